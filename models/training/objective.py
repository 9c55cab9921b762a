"""What a network is trained to lower: losses on images, in feature space, against discriminators, and on faces.

Faces: the pyramid, eyes and mouth against discriminators of their own, identity. Source: Wang et al., GFPGAN, CVPR
2021, section 3.4; the losses themselves: models/losses/gfpgan.py.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from core import files
from core.weights_files import weights_folder
from models.feature_nets import FeatureNet, feature_net
from models.losses import LOSSES
from models.losses.gfpgan import COMPONENT_STYLE_WEIGHTS
from models.nets.arcface import ARCFACE_RESNET18
from models.network_weights import find_weights, load_into
from models.recipes import FaceTerms, Features, Recipe
from models.training.discriminators import Discriminator, crops_of

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
    return "random" if path is None else f"arcface {files.sha256_of(path)}"


def identity_network(path: Path | None, device: torch.device) -> nn.Module:
    """ArcFace's network, frozen; without a file with random weights under a fixed seed, which tell nobody apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        module = ARCFACE_RESNET18.build()
    if path is not None:
        load_into(module, path, ARCFACE_RESNET18)
    return module.to(device).eval().requires_grad_(False)


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


def network_of(features: Features, chosen: str) -> str:
    """The feature network of a perceptual term: the recipe's own, with random weights where those were chosen."""
    if not features.network:
        return chosen
    return f"random-{features.network}" if chosen == "random" else features.network


class Objective:
    """The loss of one stage of a training."""

    def __init__(
        self,
        stage: Recipe,
        *,
        feature_net_name: str,
        weights_dir: Path | None,
        discriminator: Discriminator | None,
        device: torch.device,
        components: dict[str, Discriminator] | None = None,
    ) -> None:
        self.stage, self.discriminator = stage, discriminator
        self.faces: FaceObjective | None = None
        if stage.faces:
            path = identity_file(feature_net_name, weights_dir or weights_folder())
            self.faces = FaceObjective(stage.faces, components or {}, identity_network(path, device))
        self.perceptual_net = self.contrast_net = None
        if stage.features:
            name = network_of(stage.features, feature_net_name)
            self.perceptual_net = _net(name, stage.features.layers, weights_dir, device, raw=stage.features.raw)
        if stage.contrast:
            self.contrast_net = _net(feature_net_name, stage.contrast.layers, weights_dir, device)

    def loss(
        self,
        pairs: list[tuple[Tensor, Tensor]],
        blur: Tensor,
        *known: Tensor,
        motion: Tensor | None = None,
        step: int,
        steps: int,
        negative: Tensor | None = None,
        plain: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and its terms after weighting. pairs: (restored, sharp) of every output, in [0, 1].

        blur: [B, T, 3, H, W], what went in. known: what the sampler says besides, the boxes of the components of faces
        or the motion, where the stage has terms of them. motion: what the network tells of it.
        step of steps: place in the stage, which decides about the negatives and the pyramid. negative: images of full
        size in place of the mixture of the blurred and the sharp one. plain: what the discriminator takes for sharp.
        """
        stage = self.stage
        terms: dict[str, Tensor] = {}
        compared = self.compared(pairs)
        if stage.losses:
            terms["images"] = stage.loss(compared)
        restored, sharp = full_size(compared)
        if stage.features and self.perceptual_net is not None:
            part = stage.features
            terms["perceptual"] = part.weight * LOSSES["perceptual"](
                restored, sharp, self.perceptual_net, weights=part.layer_weights, distance=part.distance
            )
            if part.gram:
                made, real = self.perceptual_net(restored), self.perceptual_net(sharp)
                terms["gram"] = part.gram * LOSSES["gram-style"](made, real, part.layer_weights)
        if stage.contrast and self.contrast_net is not None:
            if negative is None:
                share = stage.contrast.share_at(step, steps) if stage.contrast.reading == "mixture" else 0.0
                negative = torch.lerp(_inputs(blur, restored), sharp, share)
            terms["contrastive"] = stage.contrast.weight * LOSSES["contrastive"](
                restored, sharp, negative, self.contrast_net, weights=stage.contrast.layer_weights
            )
        if stage.adversary and self.discriminator is not None:
            terms["adversarial"] = stage.adversary.weight * self.discriminator.generator_loss(
                restored, sharp if plain is None else plain
            )
        if self.faces:
            terms |= self.faces.losses(pairs, known[0], step=step, steps=steps)
        if stage.motion and motion is not None and known:
            terms["motion"] = stage.motion * LOSSES["motion"](motion, known[0])
        return torch.stack(list(terms.values())).sum(), terms

    def compared(self, pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """The outputs that the terms of every image see: of faces, the restored one alone."""
        return pairs[-1:] if self.faces else pairs


def full_size(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The outputs of the largest size, and what they should be, as one batch each."""
    width = max(pair[0].shape[-1] for pair in pairs)
    whole = [pair for pair in pairs if pair[0].shape[-1] == width]
    if len(whole) == 1:
        return whole[0]
    return torch.cat([pair[0] for pair in whole]), torch.cat([pair[1] for pair in whole])


def _inputs(blur: Tensor, restored: Tensor) -> Tensor:
    """The blurred frames that were restored: all of a clip, or its middle one for every output. Shape: `restored`'s."""
    outputs = restored.shape[0] // blur.shape[0]
    if outputs == blur.shape[1]:
        return torch.cat(list(blur.unbind(dim=1)))
    return torch.cat([blur[:, blur.shape[1] // 2]] * outputs)


def _net(
    name: str, layers: tuple[str, ...], weights_dir: Path | None, device: torch.device, *, raw: bool = False
) -> FeatureNet:
    # Building layers draws from the global random numbers, which the network's own start depends on.
    with torch.random.fork_rng(devices=[]):
        found = feature_net(name, layers, weights_dir)
    if raw:
        found.as_it_is()
    return found.to(device)
