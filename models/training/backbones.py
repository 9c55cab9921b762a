"""Trained weights for a part of a network before its training starts: `models/train.py --backbone FILE`.

highres-mlfa: a checkpoint of highres-atrous becomes its first stage and stays as it is; the parts of a recipe that
would train a first stage are left out (`parts_after`).

gfpgan: a StyleGAN2, in the clean form and with its names, becomes its decoder.

DeblurGAN-v2: a classifier's published weights. MobileNetV2: torchvision's file (mobilenet_v2-*.pth), or one with the
names of the early public implementation; the latter are the network's own. Inception-ResNet-v2: the names of the public
port (conv2d_1a.conv.weight ...), its own, too.
The classifiers at the end are not part of a deblurring network; both files were trained on images of another scale than
the network's [-1, 1] (torchvision: each channel less its mean, divided by its deviation), as the authors' start was.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from core.weights_files import load_state_dict, load_strictly
from models.nets.deblurgan_v2 import InceptionPyramid, MobileNetPyramid
from models.nets.highres import HighResMLFA
from models.nets.inception_resnet_v2 import InceptionResNetV2
from models.nets.stylegan2 import StyleGAN2WithSFT
from models.recipes import Recipe

CLASSIFIERS = ("classifier.", "last_linear.")
FIRST_STAGE = "first_stage."


def require_backbone(module: nn.Module, name: str) -> nn.Module:
    """The part of a network that trained weights can be given for. Errors: ValueError for a network without one."""
    if isinstance(module, HighResMLFA):
        return module.first_stage
    pyramid = getattr(module, "fpn", None)
    if isinstance(pyramid, MobileNetPyramid):
        return pyramid.features
    if isinstance(pyramid, InceptionPyramid):
        assert isinstance(pyramid.inception, InceptionResNetV2)
        return pyramid.inception
    prior = getattr(module, "stylegan_decoder", None)
    if isinstance(prior, StyleGAN2WithSFT):
        return prior
    raise ValueError(
        "--backbone gives DeblurGAN-v2 a classifier's weights, gfpgan a StyleGAN2 and highres-mlfa a trained "
        f"highres-atrous; {name} has no part for either, leave it away"
    )


def parts_after(recipe: Recipe, module: nn.Module) -> Recipe:
    """The recipe for a network whose part is loaded: without the stages that would train the first network anew.

    The first of the stages that stay starts as the whole recipe would (`starts_at_blur`). A recipe that knows no
    frozen first stage stays as it is, and so do those for other networks than highres-mlfa.
    """
    kept = [part for part in recipe.stages if FIRST_STAGE in part.frozen]
    if not isinstance(module, HighResMLFA) or not kept:
        return recipe
    kept[0] = replace(kept[0], starts_at_blur=recipe.stages[0].starts_at_blur)
    return replace(recipe, steps=sum(part.steps for part in kept), stages=tuple(kept))


def load_backbone(module: nn.Module, path: Path, name: str) -> str:
    """Every layer of the part from the file, in place, strictly: every key, every shape.

    Returns how the names of the part's parameters begin. Left out: a classifier's last layer, and blocks behind the
    last one that the network has.
    Errors: as `require_backbone` and core/weights_files.py: one sentence.
    """
    part = require_backbone(module, name)
    beginning = next(inner for inner, found in module.named_modules() if found is part) + "."
    if isinstance(module, HighResMLFA):
        load_strictly(part, load_state_dict(path), path, f"highres-atrous, the first stage of {name},")
        return beginning
    state = {key: value for key, value in load_state_dict(path).items() if not key.startswith(CLASSIFIERS)}
    if isinstance(part, InceptionResNetV2):
        own = part.state_dict()
        state |= {key: own[key] for key in own if key.startswith(CLASSIFIERS)}
    elif not isinstance(part, StyleGAN2WithSFT):
        assert isinstance(part, nn.Sequential)
        state = _mobilenet(state, len(part))
    load_strictly(part, state, path, f"the backbone of {name}")
    return beginning


def _mobilenet(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Without "features.", torchvision's names brought to the early ones, without the blocks from `blocks` on.

    torchvision puts every convolution with its norm and activation into a group (conv.GROUP.LAYER), but for the last
    convolution and norm of a block; the early names count all layers through, three to a group. A file of early names
    has no groups.
    """
    groups: dict[str, int] = {}
    for key in state:
        if found := re.match(r"features\.(\d+)\.conv\.(\d+)\.\d+\.", key):
            groups[found[1]] = max(groups.get(found[1], 0), int(found[2]) + 1)
    renamed = {}
    for key, value in state.items():
        name = key.removeprefix("features.")
        block = name.partition(".")[0]
        if block.isdigit() and int(block) >= blocks:
            continue
        if found := re.match(r"\d+\.conv\.(\d+)\.(\d+)\.(.+)", name):
            name = f"{block}.conv.{3 * int(found[1]) + int(found[2])}.{found[3]}"
        elif block in groups and (found := re.match(r"\d+\.conv\.(\d+)\.(.+)", name)):
            name = f"{block}.conv.{2 * groups[block] + int(found[1])}.{found[2]}"
        renamed[name] = value
    return renamed
