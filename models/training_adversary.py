"""The other network of a GAN: a discriminator of the zoo, its loss, its optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models import training_processes
from models.losses import LOSSES
from models.recipes import Adversary
from models.zoo import MODELS


def require_discriminator(name: str) -> None:
    """Errors: ValueError if the zoo has no discriminator of that name."""
    if name not in MODELS or MODELS[name].task != "discriminator":
        found = [other for other, spec in MODELS.items() if spec.task == "discriminator"]
        raise ValueError(f"no discriminator is called {name!r}; there are {', '.join(found) or 'none'}")


class Discriminator:
    """Scores sharp and restored images [B, 3, H, W] in [0, 1], and learns to tell them apart."""

    def __init__(self, terms: Adversary, device: torch.device) -> None:
        self.terms = terms
        self.spec = MODELS[terms.discriminator]
        self.module: nn.Module = self.spec.build().to(device).train()
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=terms.learning_rate, betas=terms.betas, foreach=False
        )

    def scores(self, images: Tensor) -> list[Tensor]:
        """Of every output of the discriminator (the local and the global one, for example)."""
        low, high = self.spec.value_range
        found = self.module(images * (high - low) + low)
        if isinstance(found, Tensor):
            return [found]
        return list(found.values()) if isinstance(found, Mapping) else list(found)

    def generator_loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """What the restoring network is to lower; the discriminator gets no gradient."""
        self.module.requires_grad_(False)
        with torch.no_grad():
            real = self.scores(sharp)
        return self._mean("g", real, self.scores(restored))

    def update(self, batches: Sequence[tuple[Tensor, Tensor]], rate: float) -> float:
        """The discriminator's optimiser steps on (restored, sharp) batches, which count alike; gives the last loss."""
        self.module.requires_grad_(True)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        value = 0.0
        for _ in range(self.terms.updates):
            self.optimiser.zero_grad(set_to_none=True)
            value = 0.0
            for restored, sharp in batches:
                loss = self._loss(restored.detach(), sharp) * (self.terms.discriminator_weight / len(batches))
                loss.backward()
                value += float(training_processes.average(loss.detach()))
            training_processes.average_gradients(self.module.parameters())
            self.optimiser.step()
        return value

    def _loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        loss = self._mean("d", self.scores(sharp), self.scores(restored))
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
