"""What a recipe asks of faces: the pyramid, eyes and mouth against discriminators of their own, identity.

Source: Wang et al., GFPGAN, CVPR 2021, section 3.4; the losses themselves: models/losses/gfpgan.py.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from models.face_boxes import COMPONENTS
from models.losses import LOSSES
from models.losses.gfpgan import COMPONENT_STYLE_WEIGHTS, EYE_SIDE_PX, MOUTH_SIDE_PX, component_crops
from models.nets.arcface import ARCFACE_RESNET18
from models.recipes import FaceTerms
from models.training_adversary import Discriminator
from models.weights import find_weights, load_into
from synth import atomic

REFERENCE_PX = 512  # the side of a face that the crops of eyes and mouth are meant for
RANDOM_SEED = 19


def identity_file(feature_net_name: str, weights_dir: Path) -> Path | None:
    """ArcFace's weights file; None for a random network, which --feature-net squeezenet or random allows.

    Errors: FileNotFoundError that says what is missing and how to get it.
    """
    if feature_net_name == "random":
        return None
    path = find_weights(ARCFACE_RESNET18, weights_dir) if weights_dir.is_dir() else None
    if path is None and feature_net_name == "vgg19":
        wanted = ARCFACE_RESNET18.weights[0]
        raise FileNotFoundError(
            f"this recipe's identity loss needs {wanted.file} in {weights_dir}: get it from {wanted.source}, or choose "
            "--feature-net squeezenet or random, which every row will say"
        )
    return path


def identity_of_arcface(feature_net_name: str, weights_dir: Path) -> str:
    """What the configuration says about the identity network. Errors: as `identity_file`."""
    path = identity_file(feature_net_name, weights_dir)
    return "random" if path is None else f"arcface {atomic.sha256_of(path)}"


def identity_network(path: Path | None, device: torch.device) -> nn.Module:
    """ArcFace's network, frozen; without a file with random weights under a fixed seed, which tell nobody apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        module = ARCFACE_RESNET18.build()
    if path is not None:
        load_into(module, path, ARCFACE_RESNET18.name)
    return module.to(device).eval().requires_grad_(False)


def crop_sides(side: int) -> dict[str, int]:
    """Side of each component's crop for faces of this side: 80, 80 and 120 px at 512 px, multiples of 4."""
    usual = {"left_eye": EYE_SIDE_PX, "right_eye": EYE_SIDE_PX, "mouth": MOUTH_SIDE_PX}
    return {name: max(8, round(px * side / REFERENCE_PX / 4) * 4) for name, px in usual.items()}


def crops_of(faces: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """Eyes and mouth of every face. Shape: [B, 3, S, S], boxes [B, 3, 4] -> [B, 3, side, side] each."""
    sides = crop_sides(faces.shape[-1])
    return {name: component_crops(faces, boxes[:, index], sides[name]) for index, name in enumerate(COMPONENTS)}


class FaceObjective:
    """The terms of faces, which add to those of every image."""

    def __init__(self, terms: FaceTerms, components: dict[str, Discriminator], network: nn.Module) -> None:
        self.terms, self.components, self.network = terms, components, network

    def losses(self, pairs: list[tuple[Tensor, Tensor]], boxes: Tensor, *, step: int, steps: int) -> dict[str, Tensor]:
        """Terms after weighting, by name. Range: pairs [0, 1]; the losses are taken on [-1, 1] as the authors do.

        pairs: (restored, sharp) of all outputs; the last is the restored face, those before it are the U-Net's pyramid.
        A network without one is compared on the outputs it has.
        """
        restored, sharp = pairs[-1]
        own = len(pairs) > 1 and pairs[-2][0].shape == restored.shape  # the U-Net's last image is of full size
        levels = [level * 2 - 1 for level, _ in (pairs[:-1] if own else pairs)]
        found: dict[str, Tensor] = {}
        if step < self.terms.pyramid_until * steps:
            found["pyramid"] = self.terms.pyramid * LOSSES["pyramid-l1"](levels, sharp * 2 - 1)
        made, real = crops_of(restored, boxes), crops_of(sharp, boxes)
        adversarial, style = [], []
        for name, opponent in self.components.items():
            fooled, alike = self._component(opponent, made[name], real[name])
            adversarial.append(fooled)
            style.append(alike)
        found["adversarial components"] = self.terms.component.weight * torch.stack(adversarial).sum()
        found["style"] = self.terms.style * torch.stack(style).sum()
        identity = LOSSES["identity"](restored * 2 - 1, sharp * 2 - 1, self.network)
        found["identity"] = self.terms.identity * identity
        return found

    def _component(self, opponent: Discriminator, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """How well one component fools its discriminator, and how alike its features are."""
        opponent.module.requires_grad_(False)
        with torch.no_grad():
            real_scores, real_features = opponent.described(real)
        made_scores, made_features = opponent.described(made)
        fooled = LOSSES[f"{self.terms.component.loss}-g"](real_scores, made_scores)
        return fooled, LOSSES["gram-style"](made_features, real_features, COMPONENT_STYLE_WEIGHTS)
