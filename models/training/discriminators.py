"""The discriminators that a training plays against: one for whole images and, for faces, one each for eyes and mouth.

A discriminator is a network of the zoo with its loss and its optimiser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.command_line import unknown
from models.losses import LOSSES
from models.losses.gfpgan import EYE_SIDE_PX, MOUTH_SIDE_PX, component_crops
from models.recipes import Adversary
from models.training import processes
from models.training.eyes_and_mouths import COMPONENTS
from models.training.stages import PlannedStage
from models.zoo import MODELS

R1_EVERY = 16  # steps


def require_discriminator(name: str) -> None:
    """Errors: ValueError if the zoo has no discriminator of that name."""
    if name not in MODELS or MODELS[name].task != "discriminator":
        found = [other for other, spec in MODELS.items() if spec.task == "discriminator"]
        raise ValueError(unknown("no discriminator is called", name, found))


class Discriminator:
    """Scores sharp and restored images [B, 3, H, W] in [0, 1], and learns to tell them apart.

    side_px: of the images, for a discriminator that sees one side alone; 0: its published one.
    """

    def __init__(self, terms: Adversary, device: torch.device, side_px: int = 0) -> None:
        self.terms = terms
        self.spec = MODELS[terms.discriminator]
        module = self.spec.build_for(side_px) if self.spec.build_for and side_px else self.spec.build()
        self.module: nn.Module = module.to(device).train()
        # Of a relativistic loss: the mean scores of the last images, one row each, sharp and restored, of every output.
        self.pool = torch.zeros(0, 2, 0, device=device)
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=terms.learning_rate, betas=terms.betas, foreach=False
        )

    def scores(self, images: Tensor) -> list[Tensor]:
        """Of every output of the discriminator (the local and the global one, for example)."""
        return self._scores_of(self._in_its_range(images))

    def _scores_of(self, images: Tensor) -> list[Tensor]:
        """`scores` of images in the discriminator's own range."""
        found = self.module(images)
        if isinstance(found, Tensor):
            return [found]
        listed = found.values() if isinstance(found, Mapping) else found
        return [scores for scores in listed if isinstance(scores, Tensor)]

    def described(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores and the features behind them, of a discriminator that gives both (facial components)."""
        return self.module(self._in_its_range(images), return_feats=True)

    def _in_its_range(self, images: Tensor) -> Tensor:
        low, high = self.spec.value_range
        return images * (high - low) + low

    def generator_loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """What the restoring network is to lower; the discriminator gets no gradient."""
        self.module.requires_grad_(False)
        with torch.no_grad():
            real = self.scores(sharp)
        return self._mean("g", real, self.scores(restored))

    def update(self, batches: Sequence[tuple[Tensor, Tensor]], rate: float, step: int = 0) -> float:
        """The discriminator's optimiser steps on (restored, sharp) batches, which count alike; gives the last loss.

        step: of the stage. On every R1_EVERY-th R1 is added, so many times as strong (StyleGAN2, section 3.1).
        """
        self.module.requires_grad_(True)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        value = 0.0
        for _ in range(self.terms.updates):
            self.optimiser.zero_grad(set_to_none=True)
            value = 0.0
            for restored, sharp in batches:
                loss = self._loss(restored.detach(), sharp, step) * (self.terms.discriminator_weight / len(batches))
                loss.backward()
                value += float(processes.average(loss.detach()))
            processes.average_gradients(self.module.parameters())
            self.optimiser.step()
        return value

    def _loss(self, restored: Tensor, sharp: Tensor, step: int) -> Tensor:
        real, made = self.scores(sharp), self.scores(restored)
        self._remember(real, made)
        loss = self._mean("d", real, made)
        # Gradients are measured where the discriminator lives: on [0, 1] they would be as many times larger as its
        # range is longer.
        sharp, restored = self._in_its_range(sharp), self._in_its_range(restored)
        if self.terms.r1 is not None and step % R1_EVERY == 0:
            for number in range(len(real)):
                weight = self.terms.r1 * R1_EVERY
                loss = loss + LOSSES["r1"](lambda images, number=number: self._scores_of(images)[number], sharp, weight)
        if self.terms.gradient_penalty:
            mix = torch.rand(sharp.shape[0], device=sharp.device)
            outputs = len(real)
            for number in range(outputs):
                loss = loss + LOSSES["gradient-penalty"](
                    lambda images, number=number: self._scores_of(images)[number],
                    sharp,
                    restored,
                    mix=mix,
                    weight=self.terms.gradient_penalty / outputs,
                    norm=self.terms.penalty_norm,
                )
        return loss

    def _mean(self, side: str, real: list[Tensor], made: list[Tensor]) -> Tensor:
        loss = LOSSES[f"{self.terms.loss}-{side}"]
        found = []
        for number, (one, two) in enumerate(zip(real, made, strict=True)):
            known = {"means": tuple(self.pool[:, :, number].mean(dim=0))} if len(self.pool) else {}
            found.append(loss(one.float(), two.float(), **known))
        return torch.stack(found).mean() / (2 if self.terms.halved else 1)

    def _remember(self, real: list[Tensor], made: list[Tensor]) -> None:
        """Put the images' mean scores into the pool; the oldest leave it."""
        if not self.terms.score_pool:
            return
        means = [[one.detach().float().reshape(len(one), -1).mean(dim=1) for one in side] for side in (real, made)]
        rows = torch.stack([torch.stack(side) for side in means])  # [2, outputs, B]
        rows = rows.permute(2, 0, 1)
        known = self.pool if self.pool.shape[2] else rows[:0]
        self.pool = torch.cat([known, rows])[-self.terms.score_pool :]


class Opponents:
    """whole: None where the stage has none. components: by name, empty unless the stage has terms of faces."""

    def __init__(self, stage: PlannedStage, seed: int, device: torch.device) -> None:
        self.recipe = stage.recipe
        # Its start depends on the seed alone: a resumed run comes here too.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adversary, faces = stage.recipe.adversary, stage.recipe.faces
            self.whole = Discriminator(adversary, device, stage.crop_px) if adversary else None
            self.components = {name: Discriminator(faces.component, device) for name in COMPONENTS if faces}

    @property
    def named(self) -> dict[str, Discriminator]:
        """Each with a name of its own, for the saved state."""
        found = {"discriminator": self.whole} if self.whole else {}
        return found | {f"discriminator-{name}": one for name, one in self.components.items()}

    def update(self, seen: list[tuple[Tensor, ...]], rate: float, step: int) -> dict[str, float]:
        """Every discriminator's steps on what the network gave: its loss, by the name in the log.

        seen: (restored, sharp) of every part of the batch, and the boxes of components. rate: the network's learning
        rate, of which each has its share. step: of the stage.
        """
        losses: dict[str, float] = {}
        for name, opponent in self.named.items():
            share = opponent.terms.learning_rate / self.recipe.learning_rate
            batches = [self._shown(name, *part) for part in seen]
            losses[f"loss/{name}"] = opponent.update(batches, rate * share, step)
            processes.average_buffers(opponent.module)
        return losses

    def _shown(self, name: str, restored: Tensor, sharp: Tensor, *boxes: Tensor) -> tuple[Tensor, Tensor]:
        if name == "discriminator":
            return restored, sharp
        component = name.removeprefix("discriminator-")
        with torch.no_grad():
            return crops_of(restored, boxes[0])[component], crops_of(sharp, boxes[0])[component]


REFERENCE_PX = 512  # the side of a face that the crops of eyes and mouth are meant for


def crop_sides(side: int) -> dict[str, int]:
    """Side of each component's crop for faces of this side: 80, 80 and 120 px at 512 px, multiples of 4."""
    usual = {"left_eye": EYE_SIDE_PX, "right_eye": EYE_SIDE_PX, "mouth": MOUTH_SIDE_PX}
    return {name: max(8, round(px * side / REFERENCE_PX / 4) * 4) for name, px in usual.items()}


def crops_of(faces: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """Eyes and mouth of every face. Shape: [B, 3, S, S], boxes [B, 3, 4] -> [B, 3, side, side] each."""
    sides = crop_sides(faces.shape[-1])
    return {name: component_crops(faces, boxes[:, index], sides[name]) for index, name in enumerate(COMPONENTS)}
