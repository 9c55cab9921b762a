"""The training loop that one would write first, to measure models/trainer.py against (models/throughput.py)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.recipes import Recipe
from models.training_forms import form_of
from models.training_plan import Plan
from synth.image_files import read_image


def plain_loss(recipe: Recipe, restored: list[Tensor], sharp: list[Tensor]) -> Tensor:
    """The recipe's losses on images, written out. Shape: images of every scale [B, 3, h, w] -> scalar.

    Errors: ValueError for a loss that is not written out here.
    """
    total = torch.zeros((), device=restored[0].device)
    for output, target in zip(restored, sharp, strict=True):
        for name, weight in recipe.losses:
            if name == "l1":
                term = torch.nn.functional.l1_loss(output, target)
            elif name == "mimo-frequency":
                one, other = torch.fft.fft2(output), torch.fft.fft2(target)
                parts = [torch.stack([spectrum.real, spectrum.imag], dim=-1) for spectrum in (one, other)]
                term = torch.nn.functional.l1_loss(parts[0], parts[1])
            elif name == "psnr":
                error = ((output - target) ** 2).mean(dim=(1, 2, 3))
                term = 10 * torch.log10(error + 1e-8).mean()
            elif name == "mse":
                term = torch.nn.functional.mse_loss(output, target)
            elif name == "charbonnier":
                term = torch.sqrt((output - target) ** 2 + 1e-6).mean()
            else:
                raise ValueError(f"the straightforward loop has no loss {name!r}; measure another network")
            total = total + weight * term
    return total


def require_plain(recipe: Recipe) -> None:
    """Errors: ValueError for a recipe that the straightforward loop cannot follow."""
    if recipe.stages or recipe.adversary or recipe.features or recipe.contrast or recipe.optimiser == "sgd":
        raise ValueError(f"the straightforward loop knows losses on images and Adam alone, not recipe {recipe.name}")
    image = torch.zeros(1, 3, 8, 8)
    plain_loss(recipe, [image], [image])


class PlainLoop:
    """The loop that one would write first: decode, crop, flip, forward, loss, backward, optimiser."""

    def __init__(self, chosen: Plan) -> None:
        self.plan, self.stage = chosen, chosen.stages[0]
        recipe = self.stage.recipe
        self.module = chosen.spec.build().to(chosen.device).train()
        self.outputs = form_of(self.module, chosen.spec).outputs
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser]
        settings = {"lr": recipe.learning_rate, "betas": recipe.betas, "weight_decay": recipe.weight_decay}
        self.optimiser = kind(self.module.parameters(), **settings)  # type: ignore[arg-type]

    def decode(self, step: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The images of a step, each [H, W, 3] uint8."""
        rng = np.random.default_rng(step)
        drawn = rng.integers(len(self.plan.sets.train), size=self.stage.batch)
        pairs = [self.plan.sets.train[int(place)] for place in drawn]
        return [(read_image(pair.blur), read_image(pair.sharp)) for pair in pairs]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Decode, crop and flip. Shape: two float32 [B, 1, 3, crop, crop]. Range: [0, 1]."""
        rng = np.random.default_rng(step)
        samples: tuple[list[Tensor], list[Tensor]] = ([], [])
        for images in self.decode(step):
            side = self.stage.crop_px
            top, left = (int(rng.integers(extent - side + 1)) for extent in images[0].shape[:2])
            mirrored = rng.random() < 0.5
            for image, kept in zip(images, samples, strict=True):
                crop = image[top : top + side, left : left + side]
                crop = crop[:, ::-1] if mirrored else crop
                kept.append(torch.from_numpy(crop.copy()).float().permute(2, 0, 1) / 255)
        blur, sharp = (torch.stack(kept)[:, None].to(self.plan.device) for kept in samples)
        return blur, sharp

    def loss(self, blur: Tensor, sharp: Tensor) -> Tensor:
        """Forward and loss. Shape: as `batch` -> scalar."""
        pairs = self.outputs(self.module, blur, sharp)
        return plain_loss(self.stage.recipe, [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def step(self, step: int) -> float:
        loss = self.loss(*self.batch(step))
        self.optimiser.zero_grad()
        loss.backward()
        if self.stage.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.stage.recipe.gradient_clip)
        self.optimiser.step()
        return float(loss.detach())
