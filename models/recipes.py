"""Training recipes: what a paper (or the quick profile) says about training, in one readable function each.

How a network is fed, and what its outputs are compared with, belongs to the network: models/training_forms.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.losses import LOSSES

PROFILES = ("quick", "paper")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train. `epochs` counts when `steps` is 0. Milestones are fractions of the whole training.

    losses: (name in LOSSES, weight), summed over all outputs of the network. schedule: "cosine" to zero, "step"
    (times `decay` at each milestone), "linear" (constant up to the first milestone, then down to zero). clip_frames:
    for networks that look at several frames. flips: "horizontal", "vertical", "transpose", each for half of the
    samples. response_share: share of the samples that are shown through another camera response (PairSampler in
    models/pair_dataset.py). starts_at_blur: the network's residual is zero before the first step. Units: crop_px px,
    learning_rate per step.
    """

    name: str
    profile: str
    source: str
    losses: tuple[tuple[str, float], ...]
    batch: int
    crop_px: int
    clip_frames: int = 1
    steps: int = 0
    epochs: int = 0
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()
    decay: float = 0.5
    betas: tuple[float, float] = (0.9, 0.999)
    ema_decay: float = 0.0
    gradient_clip: float = 0.0
    flips: tuple[str, ...] = ("horizontal", "vertical")
    reversal: bool = False
    response_share: float = 0.0
    starts_at_blur: bool = False
    checkpoint_every: int = 1000
    validate_every: int = 5000

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate of step number `step` (from 0) of `steps`."""
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        done = step / steps
        if self.schedule == "cosine":
            shape = 0.5 * (1 + math.cos(math.pi * done))
        elif self.schedule == "step":
            shape = self.decay ** sum(done >= milestone for milestone in self.milestones)
        elif self.schedule == "linear":
            shape = min(1.0, (1 - done) / (1 - self.milestones[0]))
        else:
            raise ValueError(f"a schedule is cosine, step or linear, got {self.schedule!r}")
        return self.learning_rate * warmup * shape

    def loss(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Weighted sum of the losses over all pairs; a scalar."""
        terms = [LOSSES[name](output, target) * weight for name, weight in self.losses for output, target in pairs]
        return torch.stack(terms).sum()


def mimo_unet(profile: str) -> Recipe:
    """Multi-scale content + 0.1 multi-scale frequency reconstruction loss.

    Source: Cho et al., ICCV 2021, section 4.1: batch 4, crops of 256, random horizontal flips, Adam, 1e-4, halved every
    500 of 3000 epochs. Quick differs: see _quick.
    """
    paper = Recipe(
        name="mimo-unet",
        profile="paper",
        source="Cho et al., ICCV 2021, section 4.1",
        losses=(("l1", 1.0), ("mimo-frequency", 0.1)),
        batch=4,
        crop_px=256,
        epochs=3000,
        schedule="step",
        milestones=(1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6),
        flips=("horizontal",),
    )
    if profile == "paper":
        return paper
    return _quick(paper, steps=800, crop_px=64)


def charbonnier(profile: str) -> Recipe:
    """DeblurGAN-v2's generator without its adversarial and perceptual terms: a Charbonnier loss alone.

    Source of batch, crop and schedule: Kupyn et al., ICCV 2019, section 4 and the authors' configuration: Adam 1e-4,
    constant for 150 epochs, then down to zero in 150; crops of 256. Differs from the paper in the loss.
    """
    paper = Recipe(
        name="charbonnier",
        profile="paper",
        source="schedule of Kupyn et al., ICCV 2019; the loss is not the paper's",
        losses=(("charbonnier", 1.0),),
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
    )
    if profile == "paper":
        return paper
    return _quick(paper, steps=900, crop_px=128)


def stfan_plain(profile: str) -> Recipe:
    """STFAN with its mean squared error replaced by Charbonnier and without its perceptual term.

    Source of the rest: Zhou et al., ICCV 2019, section 5.1: clips of 20 frames, random reversal, flips, crops of 256,
    Adam 1e-4, divided by 10 every 400k of 900k steps. Differs from the paper in the loss and leaves out colour jitter
    and noise.
    """
    paper = Recipe(
        name="stfan-plain",
        profile="paper",
        source="schedule of Zhou et al., ICCV 2019, section 5.1; the loss is not the paper's",
        losses=(("charbonnier", 1.0),),
        batch=1,
        crop_px=256,
        clip_frames=20,
        steps=900_000,
        schedule="step",
        milestones=(4 / 9, 8 / 9),
        decay=0.1,
        reversal=True,
    )
    if profile == "paper":
        return paper
    return _quick(paper, steps=220, crop_px=64, clip_frames=3)


def _quick(paper: Recipe, *, steps: int, crop_px: int, clip_frames: int = 1) -> Recipe:
    """One to three minutes on two CPU cores; the number of steps is fixed, so that the result is reproducible.

    The loss is minus the PSNR, up to 40 dB. Where most pixels are flat and need no change, the absolute error is
    smallest for no change at all: a network that starts at the blurred image would stay there for too many steps. The
    mean squared error is led by the few strongest blurs, which nothing so short can restore. Half of the samples are
    shown through other camera responses: otherwise the first thing learned is to darken edges, which averaging in
    linear light has made brighter (docs/log.md, 3 to 5).
    """
    return replace(
        paper,
        profile="quick",
        losses=(("psnr-40", 1.0),),
        steps=steps,
        epochs=0,
        batch=2,
        crop_px=crop_px,
        clip_frames=clip_frames,
        learning_rate=1e-3,
        warmup_steps=10,
        schedule="cosine",
        milestones=(),
        ema_decay=0.95,
        gradient_clip=1.0,
        flips=("horizontal", "vertical", "transpose"),
        response_share=0.5,
        starts_at_blur=True,
        checkpoint_every=50,
        validate_every=0,
    )


RECIPES: dict[str, Callable[[str], Recipe]] = {
    "mimo-unet": mimo_unet,
    "charbonnier": charbonnier,
    "stfan-plain": stfan_plain,
}


def find_recipe(name: str, profile: str) -> Recipe:
    """Errors: ValueError that lists the recipes, or the profiles."""
    if name not in RECIPES:
        raise ValueError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    if profile not in PROFILES:
        raise ValueError(f"the profile is {' or '.join(PROFILES)}, got {profile!r}")
    return RECIPES[name](profile)
