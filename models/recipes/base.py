"""What a training recipe is: frozen values only. The recipes themselves are beside this file, one family each.

And the quick profile: what every recipe becomes to train in about a minute on two CPU cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.losses import IMAGE_LOSSES, LOSSES
from synth.live_settings import USUAL, LiveSettings

PROFILES = ("quick", "paper")
SCHEDULES = ("cosine", "cosine-restarts", "step", "linear")
OPTIMISERS = ("adam", "adamw", "sgd")
ADVERSARIAL = ("ragan-ls", "ragan", "wgan", "gan")


@dataclass(frozen=True, kw_only=True)
class Features:
    """A perceptual term: `weight` times LOSSES["perceptual"] of these layers of VGG19 (models/feature_nets.py).

    layer_weights: one per layer. distance: "mse" or "l1".
    """

    weight: float
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...] = (1.0,)
    distance: str = "mse"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A contrastive term: `weight` times LOSSES["contrastive"], with negatives that grow sharper.

    shares: one per interval of the training, all of the same length: the negative is blur + share * (sharp - blur).
    """

    weight: float
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...]
    shares: tuple[float, ...]

    def share_at(self, step: int, steps: int) -> float:
        """Share of the sharp image in the negatives of step number `step` (from 0) of `steps`."""
        return self.shares[min(len(self.shares) - 1, step * len(self.shares) // steps)]


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """A discriminator of the zoo and how the two networks are played against each other.

    loss: one of ADVERSARIAL, the names in LOSSES without "-d" and "-g". A discriminator with several outputs counts
    their mean. `weight` is the generator's; discriminator_weight that of its own loss. updates: its optimiser steps per
    step of the generator, on the same images. r1: weight of LOSSES["r1"], which is added on some steps
    (models/training/discriminators.py); None: never.
    """

    discriminator: str
    loss: str
    weight: float
    discriminator_weight: float = 1.0
    gradient_penalty: float = 0.0
    updates: int = 1
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    r1: float | None = None

    def __post_init__(self) -> None:
        if self.loss not in ADVERSARIAL:
            raise ValueError(f"an adversarial loss is {', '.join(ADVERSARIAL)}, got {self.loss!r}")


@dataclass(frozen=True, kw_only=True)
class FaceTerms:
    """What is asked of faces besides (models/training/objective.py). The numbers are the weights of the terms.

    pyramid: for the first pyramid_until of the training. component: a discriminator each for left eye, right eye and
    mouth. style: on their features. identity: on ArcFace's.
    """

    pyramid: float
    pyramid_until: float
    component: Adversary
    style: float
    identity: float


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What happens to a sample besides crops and flips; both sides alike unless it says otherwise.

    brightness, contrast, saturation: factors drawn from [1 - value, 1 + value]. hue: a turn drawn from [-value, value].
    noise: standard deviation of Gaussian noise on the blurred side. degrade: a name of synth/degrade, applied to the
    blurred side after noise; from_sharp: the blurred side is made from the sharp one alone. sharpen: the target is
    sharpened by an unsharp mask (the input is made before). pool: samples are taken in an order mixed over that many
    of the last ones, so that a batch holds all kinds. Units: hue turns of the circle, noise full scale 1.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    noise: float = 0.0
    degrade: str = ""
    from_sharp: bool = False
    sharpen: bool = False
    pool: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train. `epochs` counts when `steps` is 0. Milestones are fractions of the whole training.

    losses: (name in IMAGE_LOSSES, weight), summed over all outputs of the network; symmetric: the images are compared
    in [-1, 1] in place of [0, 1]. features, contrast, adversary: further terms, on the outputs of full size. faces:
    terms of faces; all others are then taken on the last output alone. schedule:
    "cosine" to zero, or to least_rate times the rate; "cosine-restarts": the same between one milestone and the next;
    "step" (times `decay` at each milestone), "linear" (constant up to the first milestone, then down to zero).
    clip_frames: for networks that look at several frames. flips: "horizontal", "vertical", "transpose", each for half
    of the samples. response_share: share of the samples that are shown through another camera response (PairSampler in
    models/training/samples.py). rounds: how often the steps go over the same samples (1: every step draws its own), so
    that the mean losses of the rounds can be compared. most_macs: multiplications of all samples in all steps, forward;
    a network that needs more is trained in fewer steps; 0: any. starts_at_blur: the network's residual is zero before
    the first step. slow: (beginning of the parameters' names, factor of the learning rate). frozen: such beginnings,
    not trained for the first frozen_until of the training; a network without such a part trains whole, and one that is
    built with a frozen part that no stage names keeps it frozen. stages: trainings one after the other, each a recipe
    with an optimiser of its own; their steps are shares where a run is shorter; the weights after each are kept. Units:
    crop_px px, learning_rate per step. live: the blur of --sharp and --frames. motion: weight of
    LOSSES["motion"], for a network that tells the motion and blur that is drawn live.
    """

    name: str
    profile: str
    source: str
    losses: tuple[tuple[str, float], ...]
    batch: int
    crop_px: int
    symmetric: bool = False
    clip_frames: int = 1
    steps: int = 0
    epochs: int = 0
    optimiser: str = "adam"
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()
    decay: float = 0.5
    least_rate: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    slow: tuple[tuple[str, float], ...] = ()
    frozen: tuple[str, ...] = ()
    frozen_until: float = 1.0
    ema_decay: float = 0.0
    gradient_clip: float = 0.0
    features: Features | None = None
    contrast: Contrast | None = None
    adversary: Adversary | None = None
    faces: FaceTerms | None = None
    flips: tuple[str, ...] = ("horizontal", "vertical")
    reversal: bool = False
    augmentation: Augmentation = Augmentation()  # frozen
    response_share: float = 0.0
    rounds: int = 1
    most_macs: float = 0.0
    starts_at_blur: bool = False
    checkpoint_every: int = 1000
    validate_every: int = 5000
    stages: tuple[Recipe, ...] = ()
    live: LiveSettings = USUAL
    motion: float = 0.0

    def __post_init__(self) -> None:
        unknown = [name for name, _ in self.losses if name not in IMAGE_LOSSES]
        if unknown:
            raise ValueError(f"{self.name}: a loss on images is {', '.join(IMAGE_LOSSES)}, got {unknown[0]!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"{self.name}: a schedule is {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"{self.name}: an optimiser is {', '.join(OPTIMISERS)}, got {self.optimiser!r}")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Learning rate of step number `step` (from 0) of `steps`. The warm-up takes a third of them at most."""
        rising = min(self.warmup_steps, steps // 3)
        warmup = min(1.0, (step + 1) / rising) if rising else 1.0
        done = step / steps
        if self.schedule == "cosine":
            shape = self._cosine(done)
        elif self.schedule == "cosine-restarts":
            edges = (0.0, *self.milestones, 1.0)
            start = max(edge for edge in edges if edge <= done)
            shape = self._cosine((done - start) / (min(edge for edge in edges if edge > done) - start))
        elif self.schedule == "step":
            shape = self.decay ** sum(done >= milestone for milestone in self.milestones)
        else:
            shape = min(1.0, (1 - done) / (1 - self.milestones[0]))
        return self.learning_rate * warmup * shape

    def _cosine(self, done: float) -> float:
        shape = 0.5 * (1 + math.cos(math.pi * done))
        return self.least_rate + (1 - self.least_rate) * shape if self.least_rate else shape

    def loss(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Weighted sum of the losses on images over all pairs; a scalar. Range of the pairs: [0, 1]."""
        if self.symmetric:
            pairs = [(output * 2 - 1, target * 2 - 1) for output, target in pairs]
        terms = [LOSSES[name](output, target) * weight for name, weight in self.losses for output, target in pairs]
        return torch.stack(terms).sum()

    def terms(self) -> list[str]:
        """The terms of the loss in words, "0.1 mimo-frequency"; those of all stages, each once."""
        if self.stages:
            return list(dict.fromkeys(term for stage in self.stages for term in stage.terms()))
        found = [f"{weight:g} {name}" for name, weight in self.losses]
        if self.features:
            found.append(f"{self.features.weight:g} perceptual ({', '.join(self.features.layers)})")
        if self.contrast:
            found.append(f"{self.contrast.weight:g} contrastive")
        if self.adversary:
            found.append(f"{self.adversary.weight:g} {self.adversary.loss}")
        if self.motion:
            found.append(f"{self.motion:g} motion")
        if self.faces:
            found += [f"{self.faces.pyramid:g} pyramid-l1", f"{self.faces.identity:g} identity"]
            found.append(f"{self.faces.component.weight:g} {self.faces.component.loss} of components")
            found.append(f"{self.faces.style:g} gram-style of components")
        return found

    def needs_features(self) -> bool:
        """Is a feature network needed in any stage?"""
        return any(part.features or part.contrast for part in (self, *self.stages))

    def needs_faces(self) -> bool:
        """Are there terms of faces in any stage?"""
        return any(part.faces for part in (self, *self.stages))

    def adversaries(self) -> list[Adversary]:
        """The kinds of discriminators of this stage."""
        return [terms for terms in (self.adversary, self.faces and self.faces.component) if terms]


# Of all frames forward: about a minute's work of two CPU cores, so that "quick" means the same for every network
# (docs/decisions/016).
MOST_MACS = 3e12


def quick(paper: Recipe, *, steps: int, crop_px: int, clip_frames: int = 1) -> Recipe:
    """About a minute on two CPU cores. The number of steps does not depend on the machine, so that the result is
    reproducible: these, or fewer for a network that would need more than MOST_MACS.

    The loss is minus the PSNR, up to 40 dB. Where most pixels are flat and need no change, the absolute error is
    smallest for no change at all: a network that starts at the blurred image would stay there for too many steps. The
    mean squared error is led by the few strongest blurs, which nothing so short can restore. Half of the samples are
    shown through other camera responses: otherwise the first thing learned is to darken edges, which averaging in
    linear light has made brighter (docs/log, 3 to 5). Four rounds over the same samples: crops differ by more than
    so few steps teach, so that only losses of the same ones show progress.
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
        rounds=4,
        most_macs=MOST_MACS,
        starts_at_blur=True,
        checkpoint_every=50,
        validate_every=0,
    )


def quick_terms(paper: Recipe, *, steps: int, crop_px: int, clip_frames: int = 1, rate: float = 2e-4) -> Recipe:
    """The quick profile of a recipe whose further terms (perceptual, contrastive, adversarial) are what it is about.

    Its own losses stay, and so do its augmentation and its optimiser; batch, crop, length and schedule are `quick`'s.
    The rate is lower: the terms pull in different directions. Discriminators learn at a hundredth of their rate: in so
    few steps they learn faster than the network and lead it astray (docs/log, 21: up to 0.2 dB), and the sum of its
    terms rises with every success of theirs.
    """
    short = quick(paper, steps=steps, crop_px=crop_px, clip_frames=clip_frames)
    short = replace(short, losses=paper.losses, learning_rate=rate, least_rate=0.0, response_share=0.0)
    if paper.adversary:
        short = replace(short, adversary=_slow(paper.adversary))
    if paper.faces:
        short = replace(short, faces=replace(paper.faces, component=_slow(paper.faces.component)))
    return short


def _slow(adversary: Adversary) -> Adversary:
    return replace(adversary, learning_rate=adversary.learning_rate / 100)


def quick_stages(paper: Recipe, stages: tuple[Recipe, ...]) -> Recipe:
    """A quick recipe of these quick stages; what it says itself is what the last stage says."""
    last = stages[-1]
    return replace(last, name=paper.name, steps=sum(stage.steps for stage in stages), stages=stages)
