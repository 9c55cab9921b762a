"""The other network of a GAN: a discriminator of the zoo, its loss, its optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models import training_processes
from models.losses import LOSSES
from models.recipes import Adversary
from models.zoo import MODELS

R1_EVERY = 16  # steps


def require_discriminator(name: str) -> None:
    """Errors: ValueError if the zoo has no discriminator of that name."""
    if name not in MODELS or MODELS[name].task != "discriminator":
        found = [other for other, spec in MODELS.items() if spec.task == "discriminator"]
        raise ValueError(f"no discriminator is called {name!r}; there are {', '.join(found) or 'none'}")


class Discriminator:
    """Scores sharp and restored images [B, 3, H, W] in [0, 1], and learns to tell them apart.

    side_px: of the images, for a discriminator that sees one side alone; 0: its published one.
    """

    def __init__(self, terms: Adversary, device: torch.device, side_px: int = 0) -> None:
        self.terms = terms
        self.spec = MODELS[terms.discriminator]
        module = self.spec.build_for(side_px) if self.spec.build_for and side_px else self.spec.build()
        self.module: nn.Module = module.to(device).train()
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=terms.learning_rate, betas=terms.betas, foreach=False
        )

    def scores(self, images: Tensor) -> list[Tensor]:
        """Of every output of the discriminator (the local and the global one, for example)."""
        found = self.module(self._in_its_range(images))
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
                value += float(training_processes.average(loss.detach()))
            training_processes.average_gradients(self.module.parameters())
            self.optimiser.step()
        return value

    def _loss(self, restored: Tensor, sharp: Tensor, step: int) -> Tensor:
        loss = self._mean("d", self.scores(sharp), self.scores(restored))
        if self.terms.r1 is not None and step % R1_EVERY == 0:
            for number in range(len(self.scores(sharp[:1].detach()))):
                weight = self.terms.r1 * R1_EVERY
                loss = loss + LOSSES["r1"](lambda images, number=number: self.scores(images)[number], sharp, weight)
        if self.terms.gradient_penalty:
            mix = torch.rand(sharp.shape[0], device=sharp.device)
            outputs = len(self.scores(sharp[:1].detach()))
            for number in range(outputs):
                loss = loss + LOSSES["gradient-penalty"](
                    lambda images, number=number: self.scores(images)[number],
                    sharp,
                    restored,
                    mix=mix,
                    weight=self.terms.gradient_penalty / outputs,
                )
        return loss

    def _mean(self, side: str, real: list[Tensor], made: list[Tensor]) -> Tensor:
        loss = LOSSES[f"{self.terms.loss}-{side}"]
        return torch.stack([loss(one.float(), two.float()) for one, two in zip(real, made, strict=True)]).mean()
