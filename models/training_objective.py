"""What a network is trained to lower: the recipe's losses on images, in feature space, and against a discriminator."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.feature_nets import FeatureNet, feature_net
from models.losses import LOSSES
from models.recipes import Recipe
from models.training_adversary import Discriminator
from models.training_faces import FaceObjective, identity_file, identity_network
from models.weights import DEFAULT_WEIGHTS


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
            path = identity_file(feature_net_name, weights_dir or DEFAULT_WEIGHTS)
            self.faces = FaceObjective(stage.faces, components or {}, identity_network(path, device))
        self.perceptual_net = self.contrast_net = None
        if stage.features:
            self.perceptual_net = _net(feature_net_name, stage.features.layers, weights_dir, device)
        if stage.contrast:
            self.contrast_net = _net(feature_net_name, stage.contrast.layers, weights_dir, device)

    def loss(
        self, pairs: list[tuple[Tensor, Tensor]], blur: Tensor, *boxes: Tensor, step: int, steps: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and its terms after weighting. pairs: (restored, sharp) of every output, in [0, 1].

        blur: [B, T, 3, H, W], what went in. boxes: of the components of faces, where the stage has terms of them.
        step of steps: place in the stage, which decides about the negatives and the pyramid.
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
        if stage.contrast and self.contrast_net is not None:
            source = _inputs(blur, restored)
            negative = torch.lerp(source, sharp, stage.contrast.share_at(step, steps))
            terms["contrastive"] = stage.contrast.weight * LOSSES["contrastive"](
                restored, sharp, negative, self.contrast_net, weights=stage.contrast.layer_weights
            )
        if stage.adversary and self.discriminator is not None:
            terms["adversarial"] = stage.adversary.weight * self.discriminator.generator_loss(restored, sharp)
        if self.faces:
            terms |= self.faces.losses(pairs, boxes[0], step=step, steps=steps)
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


def _net(name: str, layers: tuple[str, ...], weights_dir: Path | None, device: torch.device) -> FeatureNet:
    # Building layers draws from the global random numbers, which the network's own start depends on.
    with torch.random.fork_rng(devices=[]):
        return feature_net(name, layers, weights_dir).to(device)
