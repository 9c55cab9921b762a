"""Training recipes: what a paper (or the quick profile) says about training, in one readable function each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.losses import LOSSES

PROFILES = ("quick", "paper")

# (network, blur, sharp) -> pairs of what the network gives and what it should give, both in [0, 1], [B, 3, H, W].
# blur and sharp: [B, T, 3, H, W], RGB in [0, 1]; T = 1 for still networks.
Targets = Callable[[nn.Module, Tensor, Tensor], list[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train. `epochs` counts when `steps` is 0. Milestones are fractions of the whole training.

    losses: (name in LOSSES, weight), summed over the pairs that `targets` gives. schedule: "cosine" to zero, "step"
    (times `decay` at each milestone), "linear" (constant up to the first milestone, then down to zero).
    zero_last: names of convolutions that start at zero, so that training starts from the blurred image.
    """

    name: str
    profile: str
    source: str
    targets: Targets
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
    flips: bool = True
    reversal: bool = False
    zero_last: tuple[str, ...] = ()
    checkpoint_every: int = 1000
    validate_every: int = 0

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


def multi_scale(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """MIMO-UNet: quarter, half and full size; reduced targets take every second pixel, as the reduced inputs do."""
    target = sharp[:, 0]
    half = functional.interpolate(target, scale_factor=0.5)
    quarter = functional.interpolate(half, scale_factor=0.5)
    return list(zip(module(blur[:, 0]), (quarter, half, target), strict=True))


def symmetric_range(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Networks on [-1, 1] (DeblurGAN and its successor)."""
    return [(module(blur[:, 0] * 2 - 1) * 0.5 + 0.5, sharp[:, 0])]


def recurrent(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """STFAN over a clip, in BGR; the gradient runs through all steps."""
    return list(_recurrent_steps(module, blur, sharp))


def _recurrent_steps(module: nn.Module, blur: Tensor, sharp: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    previous_blur = previous_output = blur[:, 0].flip(1)
    features = None
    for step in range(blur.shape[1]):
        frame = blur[:, step].flip(1)
        output, features = module(frame, previous_blur, previous_output, features)
        previous_blur, previous_output = frame, output
        yield output.flip(1), sharp[:, step]


def mimo_unet(profile: str) -> Recipe:
    """Multi-scale content + 0.1 multi-scale frequency reconstruction loss.

    Source: Cho et al., ICCV 2021, section 4.1: batch 4, crops of 256, random horizontal flips, Adam, 1e-4, halved every
    500 of 3000 epochs. Quick differs: see _quick.
    """
    paper = Recipe(
        name="mimo-unet",
        profile="paper",
        source="Cho et al., ICCV 2021, section 4.1",
        targets=multi_scale,
        losses=(("l1", 1.0), ("mimo-frequency", 0.1)),
        batch=4,
        crop_px=256,
        epochs=3000,
        schedule="step",
        milestones=(1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6),
    )
    if profile == "paper":
        return paper
    return _quick(
        paper, steps=400, crop_px=64, zero_last=("ConvsOut.0.main.0", "ConvsOut.1.main.0", "feat_extract.5.main.0")
    )


def charbonnier(profile: str) -> Recipe:
    """DeblurGAN-v2's generator without its adversarial and perceptual terms: a Charbonnier loss alone.

    Source of batch, crop and schedule: Kupyn et al., ICCV 2019, section 4 and the authors' configuration: Adam 1e-4,
    constant for 150 epochs, then down to zero in 150; crops of 256. Differs from the paper in the loss.
    """
    paper = Recipe(
        name="charbonnier",
        profile="paper",
        source="schedule of Kupyn et al., ICCV 2019; the loss is not the paper's",
        targets=symmetric_range,
        losses=(("charbonnier", 1.0),),
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
    )
    if profile == "paper":
        return paper
    return _quick(paper, steps=600, crop_px=128, zero_last=("final",))


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
        targets=recurrent,
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
    return _quick(paper, steps=220, crop_px=64, clip_frames=3, zero_last=("img_prd.0",))


def _quick(paper: Recipe, *, steps: int, crop_px: int, zero_last: tuple[str, ...], clip_frames: int = 1) -> Recipe:
    """About a minute and a half on two CPU cores; the number of steps is fixed, so that the result is reproducible.

    The loss is the mean squared error. Where most pixels are flat and need no change, the absolute error is smallest
    for no change at all: a network that starts at the blurred image would stay there for too many steps.
    """
    return replace(
        paper,
        profile="quick",
        losses=(("mse", 1.0),),
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
        zero_last=zero_last,
        checkpoint_every=50,
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
