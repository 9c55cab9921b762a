"""What a network starts its training with: drawn numbers, trained weights for a part, the blurred image as output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from core.weights_files import load_state_dict, load_strictly
from models.nets.esrgan import DenseBlock
from models.nets.layers import ResidualBlock
from models.network_weights import load_into
from models.recipes import Recipe
from models.spec import Backbone, ModelSpec
from models.zoo import MODELS

SMALL = 0.1  # of Kaiming's deviation


def _xavier(module: nn.Module) -> None:
    """Uniform Xavier, biases zero. Source: STFAN, core/build.py 56; SRN, models/model.py 79."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            _no_bias(layer)


def _small(module: nn.Module) -> None:
    """0.1 times Kaiming's normal numbers in residual and dense blocks, their biases zero; all else stays.

    Source: Wang et al., ESRGAN, section 3.1 ("smaller initialization"); BasicSR, rrdbnet_arch.py 30, arch_util.py 83.
    """
    for block in module.modules():
        if isinstance(block, DenseBlock | ResidualBlock):
            for layer in block.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight)
                    layer.weight.data.mul_(SMALL)
                    _no_bias(layer)


def _dmphn(module: nn.Module) -> None:
    """Normal of half of He's deviation over the outputs, biases zero. Source: DMPHN_1_2_4.py, weight_init."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            height, width = layer.kernel_size
            nn.init.normal_(layer.weight, 0.0, 0.5 * math.sqrt(2 / (height * width * layer.out_channels)))
            _no_bias(layer)


def _no_bias(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


RULES: dict[str, Callable[[nn.Module], None]] = {"xavier": _xavier, "small": _small, "dmphn": _dmphn}


def initialise(module: nn.Module, rule: str) -> None:
    """Draw a network's first numbers anew, in place, from torch's generator. rule: of a recipe; "" leaves them."""
    if rule:
        with torch.no_grad():
            RULES[rule](module)


def renew(module: nn.Module, beginnings: tuple[str, ...]) -> None:
    """Draw the numbers of the parts that begin like this anew, as their layers are built, in place."""
    for name, layer in module.named_modules():
        if f"{name}.".startswith(beginnings) and hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def require_backbone(spec: ModelSpec) -> Backbone:
    """The part of a network that trained weights can be given for. Errors: ValueError for a network without one."""
    if spec.backbone is None:
        able = ", ".join(name for name, other in MODELS.items() if other.backbone and not name.endswith("-test"))
        raise ValueError(
            f"--backbone gives trained weights to a part of a network and {spec.name} has no part for them, leave it "
            f"away; {able} have one"
        )
    return spec.backbone


def parts_after(recipe: Recipe, spec: ModelSpec) -> Recipe:
    """The recipe for a network whose part is loaded: where that stays, without the stages that would train it anew.

    The first of the stages that are left starts as the whole recipe would (`starts_at_blur`). A recipe that never
    freezes the part stays as it is.
    """
    backbone = spec.backbone
    kept = [part for part in recipe.stages if backbone and backbone.stays and f"{backbone.part}." in part.frozen]
    if not kept:
        return recipe
    kept[0] = replace(kept[0], starts_at_blur=recipe.stages[0].starts_at_blur)
    return replace(recipe, steps=sum(part.steps for part in kept), stages=tuple(kept))


def load_backbone(module: nn.Module, spec: ModelSpec, path: Path) -> str:
    """Every layer of the part from the file, in place, strictly: every key, every shape.

    Returns how the names of the part's parameters begin.
    Errors: as `require_backbone` and core/weights_files.py: one sentence.
    """
    backbone = require_backbone(spec)
    part = module.get_submodule(backbone.part)
    state = load_state_dict(path)
    if backbone.convert is not None:
        state = backbone.convert(state, part)
    load_strictly(part, state, path, f"{backbone.what} of {spec.name}")
    return f"{backbone.part}."


def require_part(spec: ModelSpec, part: str) -> Backbone:
    """A named part of a network that trained weights can be given for. Errors: ValueError for a network without it."""
    for known in spec.parts:
        if known.part == part:
            return known
    there = ", ".join(known.part for known in spec.parts) or "none"
    raise ValueError(
        f"--backbone {part}=FILE: {spec.name} has no part of that name for trained weights; it has {there}"
    )


def load_part(module: nn.Module, spec: ModelSpec, part: str, path: Path) -> str:
    """A named part from a file of its own, in place, strictly. Returns how the names of its parameters begin.

    A part that is an entry of the zoo itself (SPyNet) is read as that. Errors: as `load_backbone`.
    """
    known = require_part(spec, part)
    inner = module.get_submodule(known.part)
    if part in MODELS:
        load_into(inner, path, MODELS[part])
    else:
        load_strictly(inner, load_state_dict(path), path, f"{known.what} of {spec.name}")
    return f"{known.part}."


def start_at_the_blurred_image(module: nn.Module, spec: ModelSpec, loaded: tuple[str, ...] = ()) -> None:
    """Set the convolutions whose result is added to the blurred image to zero: the network begins as the identity.

    loaded: beginnings of the names of layers that stay because they are trained ones (`load_backbone`).
    """
    with torch.no_grad():
        for name in spec.training.residual:
            if loaded and name.startswith(loaded):
                continue
            for parameter in _parameters(module, name):
                parameter.zero_()


def _parameters(module: nn.Module, name: str) -> Iterable[nn.Parameter]:
    """Those of a layer, or the one that is named itself."""
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return [found] if isinstance(found, nn.Parameter) else found.parameters()
