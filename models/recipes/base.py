"""What a training recipe is: frozen values only. The recipes themselves are beside this file, one family each.

And the quick profile: what every recipe becomes to train in about a minute on two CPU cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.feature_nets import IMAGENET_MEAN, IMAGENET_STD
from models.losses import IMAGE_LOSSES, LOSSES
from synth.live_settings import USUAL, LiveSettings

PROFILES = ("quick", "paper")
SCHEDULES = ("cosine", "cosine-restarts", "held-cosine", "step", "linear", "polynomial")
OPTIMISERS = ("adam", "adamw", "sgd")
ADVERSARIAL = ("ragan-ls", "ragan", "wgan", "lsgan", "gan")
KINDS = ("published", "adapted", "ours")
INITIALISATIONS = ("", "xavier", "small", "dmphn")  # models/training/initialisation.py


@dataclass(frozen=True, kw_only=True)
class Features:
    """A perceptual term: `weight` times LOSSES["perceptual"] of these layers of VGG19 (models/feature_nets.py).

    layer_weights: one per layer. distance: "mse" or "l1". raw: the network sees images in [-1, 1] as they are, not
    less ImageNet's means and over its deviations. gram: weight of the same layers' Gram matrices. network: "" the one
    that the user chooses, "vgg16" that one whatever is chosen.
    """

    weight: float
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...] = (1.0,)
    distance: str = "mse"
    raw: bool = False
    gram: float = 0.0
    network: str = ""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A contrastive term: `weight` times LOSSES["contrastive"], with negatives that grow sharper.

    shares: one per interval of the training, all of the same length. Two readings of what the negatives are: "mixture"
    is blur + share * (sharp - blur); "average" is what the running average of the network, as it was at the end of the
    interval before, makes of the blurred image (the blurred image itself in the first): outputs that grow sharper with
    the network, and contain nothing of the positive. Of "average" the shares count the intervals alone.
    """

    weight: float
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...]
    shares: tuple[float, ...]
    reading: str = "mixture"

    def __post_init__(self) -> None:
        if self.reading not in ("mixture", "average"):
            raise ValueError(f"negatives are read as mixture or average, got {self.reading!r}")

    def interval_at(self, step: int, steps: int) -> int:
        """Number of the interval (from 0) that step number `step` (from 0) of `steps` is in."""
        return min(len(self.shares) - 1, step * len(self.shares) // steps)

    def share_at(self, step: int, steps: int) -> float:
        """Share of the sharp image in the negatives of step number `step` (from 0) of `steps`."""
        return self.shares[self.interval_at(step, steps)]


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """A discriminator of the zoo and how the two networks are played against each other.

    loss: one of ADVERSARIAL, the names in LOSSES without "-d" and "-g". A discriminator with several outputs counts
    their mean. `weight` is the generator's; discriminator_weight that of its own loss. updates: its optimiser steps per
    step of the generator, on the same images. r1: weight of LOSSES["r1"], which is added on some steps
    (models/training/discriminators.py); None: never. score_pool: a relativistic loss takes its means over so many of
    the last images' scores, which carry no gradient; 0: over the images at hand, with their gradient. halved: the two
    sides' losses count half. penalty_norm: "image", or "pixel": the gradient's norm over the channels of every pixel.
    leads: its steps come before the generator's. sees_plain: it sees the target before that was sharpened.
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
    score_pool: int = 0
    halved: bool = False
    penalty_norm: str = "image"
    leads: bool = False
    sees_plain: bool = False

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
    blurred side after noise; from_sharp: the blurred side is made from the sharp one alone, of an enlarging network at
    its input's size where the degradation has one (models/training/augmentation.py), and otherwise reduced by
    `reduced_by`. sharpen: the target is sharpened by an unsharp mask; input_sharpened: the input is made of that.
    pool: samples are taken in an order mixed over that many of the last ones, so that a batch holds all kinds.
    resize_px: (width, height) that whole images are brought to before crops are taken; () as they are. shuffle: the
    three channels change places, one order for both sides. saturation_share: share of the samples whose saturation
    changes. warp: "geometric", one of five changes of shape (a mirror image, a shift with zoom and turn, a
    transposition, an optical and an elastic distortion), the same of both sides, in place of flips. Units: hue turns
    of the circle, noise full scale 1.
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
    reduced_by: str = "area"
    input_sharpened: bool = False
    resize_px: tuple[int, ...] = ()
    shuffle: bool = False
    saturation_share: float = 1.0
    warp: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Trained weights that a published training starts from.

    part: how the names of the parameters begin ("spynet."); "" the whole network. name: what it is, in words. file,
    source: where it is to be had. flag: how it is given on the command line.
    """

    part: str
    name: str
    file: str
    source: str
    flag: str


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

    What it is: variant "paper" or "code" where the two differ, "" where one of them is silent. ours: no publication
    says it. differs: where it departs from what it says it follows, one sentence each. networks: those that it was
    published for. starts: trained weights that it starts from.

    More of how: batches_per_epoch: what an epoch is, 0: all pairs. imagenet: the images are compared less ImageNet's
    means and over its deviations. initialisation: of INITIALISATIONS. step_per_frame: one optimiser step for every
    frame of a clip, whose state is handed on without gradient (steps count frames). pieces: (steps, batch, crop) of
    parts under one optimiser and one schedule. power: of the schedule "polynomial". restart_weights: of the rate in
    every period of "cosine-restarts". only: beginnings of names that are trained alone for the first only_until of the
    training. bypassed: parts of that name are passed over (models/training/state.py). renewed: parameters that begin
    like this are drawn anew before the stage. gopro_input: the folder of GOPRO_Large. "held-cosine": constant up to
    the first milestone, then a cosine.
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
    variant: str = ""
    ours: bool = False
    differs: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    starts: tuple[Start, ...] = ()
    batches_per_epoch: int = 0
    imagenet: bool = False
    initialisation: str = ""
    step_per_frame: bool = False
    pieces: tuple[tuple[int, int, int], ...] = ()
    power: float = 1.0
    restart_weights: tuple[float, ...] = ()
    only: tuple[str, ...] = ()
    only_until: float = 1.0
    bypassed: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    gopro_input: str = "blur"

    def __post_init__(self) -> None:
        unknown = [name for name, _ in self.losses if name not in IMAGE_LOSSES]
        if unknown:
            raise ValueError(f"{self.name}: a loss on images is {', '.join(IMAGE_LOSSES)}, got {unknown[0]!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"{self.name}: a schedule is {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"{self.name}: an optimiser is {', '.join(OPTIMISERS)}, got {self.optimiser!r}")
        if self.initialisation not in INITIALISATIONS:
            raise ValueError(f"{self.name}: an initialisation is {', '.join(INITIALISATIONS)}")

    def kind(self, network: str = "") -> str:
        """What it is to its source, one of KINDS. network: for which network of models/zoo.py, "" the published one."""
        if self.ours or self.profile == "quick":
            return "ours"
        return "adapted" if self.differences(network) else "published"

    def differences(self, network: str = "") -> tuple[str, ...]:
        """How it departs from its source, one sentence each."""
        found = self.differs
        if network and self.networks and network.removesuffix("-test") not in self.networks:
            found = (*found, f"published for {', '.join(self.networks)}")
        return found

    def in_words(self, network: str = "") -> str:
        """For the tables: "recipe NAME (published)"; of the quick profile, what it is made from."""
        if self.profile == "quick":
            return f"recipe {self.name} (ours: quick profile)"
        kind = self.kind(network)
        if kind == "adapted":
            kind += ": " + "; ".join(self.differences(network))
        variant = f", variant {self.variant}" if self.variant else ""
        return f"recipe {self.name} ({kind}{variant})"

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
            weight = self.restart_weights[edges.index(start)] if self.restart_weights else 1.0
            place = (done - start) / (min(edge for edge in edges if edge > done) - start)
            shape = self._cosine(place, weight)
        elif self.schedule == "held-cosine":
            shape = self._cosine(max(0.0, (done - self.milestones[0]) / (1 - self.milestones[0])))
        elif self.schedule == "polynomial":
            shape = self.least_rate + (1 - self.least_rate) * (1 - done) ** self.power
        elif self.schedule == "step":
            shape = self.decay ** sum(done >= milestone for milestone in self.milestones)
        else:
            left = min(1.0, (1 - done) / (1 - self.milestones[0]))
            shape = self.least_rate + (1 - self.least_rate) * left if self.least_rate else left
        return self.learning_rate * warmup * shape

    def _cosine(self, done: float, weight: float = 1.0) -> float:
        shape = weight * 0.5 * (1 + math.cos(math.pi * done))
        return self.least_rate + (1 - self.least_rate) * shape if self.least_rate else shape

    def loss(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Weighted sum of the losses on images over all pairs; a scalar. Range of the pairs: [0, 1]."""
        if self.symmetric:
            pairs = [(output * 2 - 1, target * 2 - 1) for output, target in pairs]
        if self.imagenet:
            pairs = [(_normalised(output), _normalised(target)) for output, target in pairs]
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


def _normalised(images: Tensor) -> Tensor:
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


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
        ours=True,
        differs=(),
        starts=(),
        batches_per_epoch=0,
        imagenet=False,
        initialisation="",
        step_per_frame=False,
        pieces=(),
        power=1.0,
        restart_weights=(),
        only=(),
        bypassed=(),
        renewed=(),
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
