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
from synth.live_exposures import USUAL, LiveSettings

PROFILES = ("quick", "paper")
SCHEDULES = ("cosine", "cosine-restarts", "held-cosine", "step", "linear", "polynomial")
OPTIMISERS = ("adam", "adamw", "sgd")
ADVERSARIAL = ("ragan-ls", "ragan", "wgan", "lsgan", "gan")
KINDS = ("published", "adapted", "ours")
INITIALISATIONS = ("", "xavier", "small", "dmphn")  # models/training/start.py


@dataclass(frozen=True, kw_only=True)
class Features:
    """A perceptual term: LOSSES["perceptual"] of layers of VGG19 (models/feature_nets.py)."""

    weight: float
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...] = (1.0,)  # one per layer
    distance: str = "mse"  # "mse" or "l1"
    # the network sees images in [-1, 1] as they are, not less ImageNet's means and over its deviations
    raw: bool = False
    gram: float = 0.0  # weight of the same layers' Gram matrices
    network: str = ""  # "": the one that the user chooses; "vgg16": that one whatever is chosen


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A contrastive term: LOSSES["contrastive"], with negatives that grow sharper."""

    weight: float
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...]
    # One per interval of the training, all of the same length: the negative of the reading "mixture" is blur + share *
    # (sharp - blur). Of "average" they count the intervals alone.
    shares: tuple[float, ...]
    # "mixture", or "average": the negative is what the running average of the network, as it was at the end of the
    # interval before, makes of the blurred image (the blurred image itself in the first): outputs that grow sharper
    # with the network, and contain nothing of the positive.
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

    A discriminator with several outputs counts their mean.
    """

    discriminator: str  # its name in models/zoo.py
    loss: str  # one of ADVERSARIAL, the names in LOSSES without "-d" and "-g"
    weight: float  # of the generator's loss
    discriminator_weight: float = 1.0  # of its own loss
    gradient_penalty: float = 0.0
    updates: int = 1  # its optimiser steps per step of the generator, on the same images
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    # weight of LOSSES["r1"], which is added on some steps (models/training/discriminators.py); None: never
    r1: float | None = None
    # A relativistic loss takes its means over so many of the last images' scores, which carry no gradient; 0: over the
    # images at hand, with their gradient.
    score_pool: int = 0
    halved: bool = False  # the two sides' losses count half
    penalty_norm: str = "image"  # "image", or "pixel": the gradient's norm over the channels of every pixel
    leads: bool = False  # its steps come before the generator's
    sees_plain: bool = False  # it sees the target before that was sharpened

    def __post_init__(self) -> None:
        if self.loss not in ADVERSARIAL:
            raise ValueError(f"an adversarial loss is {', '.join(ADVERSARIAL)}, got {self.loss!r}")


@dataclass(frozen=True, kw_only=True)
class FaceTerms:
    """What is asked of faces besides (models/training/objective.py). The numbers are the weights of the terms."""

    pyramid: float
    pyramid_until: float  # share of the training for which the pyramid counts
    component: Adversary  # a discriminator each for left eye, right eye and mouth
    style: float  # on the components' features
    identity: float  # on ArcFace's features


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What happens to a sample besides crops and flips; both sides alike unless it says otherwise."""

    brightness: float = 0.0  # a factor drawn from [1 - value, 1 + value]
    contrast: float = 0.0  # likewise
    saturation: float = 0.0  # likewise
    hue: float = 0.0  # a turn of the circle drawn from [-value, value]
    noise: float = 0.0  # standard deviation of Gaussian noise on the blurred side, full scale 1
    degrade: str = ""  # a name of synth/degrade, applied to the blurred side after noise
    # The blurred side is made from the sharp one alone, of an enlarging network at its input's size where the
    # degradation has one (models/training/augmentation.py), and otherwise reduced by `reduced_by`.
    from_sharp: bool = False
    sharpen: bool = False  # the target is sharpened by an unsharp mask
    pool: int = 0  # samples are taken in an order mixed over so many of the last ones, so that a batch holds all kinds
    reduced_by: str = "area"
    input_sharpened: bool = False  # the input is made of the sharpened target
    # (width, height) that whole images are brought to before crops are taken; (): as they are
    resize_px: tuple[int, ...] = ()
    shuffle: bool = False  # the three channels change places, one order for both sides
    saturation_share: float = 1.0  # share of the samples whose saturation changes
    # "geometric": one of five changes of shape (a mirror image, a shift with zoom and turn, a transposition, an
    # optical and an elastic distortion), the same of both sides, in place of flips.
    warp: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Trained weights that a published training starts from."""

    part: str  # how the names of the parameters begin ("spynet."); "": the whole network
    name: str  # what it is, in words
    file: str
    source: str  # where the file is to be had
    flag: str  # how it is given on the command line


MOBILENET = Start(
    part="fpn.features.",
    name="MobileNetV2 trained on ImageNet",
    file="mobilenet_v2-b0353104.pth",
    source="torchvision's ImageNet weights",
    flag="--backbone FILE",
)
INCEPTION = Start(
    part="fpn.inception.",
    name="Inception-ResNet-v2 trained on ImageNet",
    file="inceptionresnetv2-520b38e4.pth",
    source="the public port of the TensorFlow weights (Cadene, pretrained-models.pytorch)",
    flag="--backbone FILE",
)
SPYNET = Start(
    part="spynet.",
    name="SPyNet",
    file="spynet_sintel_final-3d2a1287.pth",
    source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md",
    flag="--backbone spynet=FILE",
)
EDVR_EXTRACTOR = Start(
    part="edvr.",
    name="EDVR's extractor of features",
    file="edvr_reds_pretrained.pth",
    source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md (edvr_path of train_IconVSR_REDS.yml)",
    flag="--backbone edvr=FILE",
)
STYLEGAN2 = Start(
    part="stylegan_decoder.",
    name="StyleGAN2 trained on FFHQ, in its clean form",
    file="StyleGAN2_512_Cmul1_FFHQ_B12G4_scratch_800k.pth",
    source="github.com/TencentARC/GFPGAN, releases v0.1.0",
    flag="--backbone FILE",
)
ESRGAN_X4 = Start(
    part="",
    name="ESRGAN",
    file="ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
    source="github.com/xinntao/Real-ESRGAN, releases v0.1.1",
    flag="--start FILE",
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train. A stage of it is a recipe, too."""

    name: str
    profile: str
    source: str  # paper and program
    losses: tuple[tuple[str, float], ...]  # (name in IMAGE_LOSSES, weight), summed over all outputs of the network
    batch: int  # samples of a step
    crop_px: int  # side of the square crops, px
    symmetric: bool = False  # images are compared in [-1, 1] in place of [0, 1]
    clip_frames: int = 1  # for networks that look at several frames
    steps: int = 0
    epochs: int = 0  # counts when steps is 0
    optimiser: str = "adam"
    learning_rate: float = 1e-4  # per step
    warmup_steps: int = 0
    # "cosine": to zero, or to least_rate times the rate; "cosine-restarts": the same between one milestone and the
    # next; "held-cosine": constant up to the first milestone, then a cosine; "step": times `decay` at each milestone;
    # "linear": constant up to the first milestone, then down to zero; "polynomial": see power.
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()  # fractions of the whole training
    decay: float = 0.5
    least_rate: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    slow: tuple[tuple[str, float], ...] = ()  # (beginning of the parameters' names, factor of the learning rate)
    # Beginnings of names that are not trained for the first frozen_until of the training. A network without such a
    # part trains whole, and one that is built with a frozen part that no stage names keeps it frozen.
    frozen: tuple[str, ...] = ()
    frozen_until: float = 1.0
    ema_decay: float = 0.0
    gradient_clip: float = 0.0
    features: Features | None = None  # this and the next two: further terms, on the outputs of full size
    contrast: Contrast | None = None
    adversary: Adversary | None = None
    faces: FaceTerms | None = None  # terms of faces; all others are then taken on the last output alone
    # "horizontal", "vertical", "transpose", each for half of the samples
    flips: tuple[str, ...] = ("horizontal", "vertical")
    reversal: bool = False  # half of the clips run backwards
    augmentation: Augmentation = Augmentation()  # frozen
    # Share of the samples that are shown through another camera response (PairSampler in models/training/samples.py).
    response_share: float = 0.0
    # How often the steps go over the same samples (1: every step draws its own), so that the mean losses of the rounds
    # can be compared.
    rounds: int = 1
    # Multiplications of all samples in all steps, forward; a network that needs more is trained in fewer steps; 0:
    # any.
    most_macs: float = 0.0
    starts_at_blur: bool = False  # the network's residual is zero before the first step
    checkpoint_every: int = 1000
    validate_every: int = 5000
    # Trainings one after the other, each with an optimiser of its own; their steps are shares where a run is shorter;
    # the weights after each are kept.
    stages: tuple[Recipe, ...] = ()
    live: LiveSettings = USUAL  # the blur of --sharp and --frames
    motion: float = 0.0  # weight of LOSSES["motion"], for a network that tells the motion and blur that is drawn live
    variant: str = ""  # "paper" or "code" where the two differ, "" where one of them is silent
    ours: bool = False  # no publication says it
    differs: tuple[str, ...] = ()  # where it departs from what it says it follows, one sentence each
    networks: tuple[str, ...] = ()  # those that it was published for
    starts: tuple[Start, ...] = ()  # trained weights that it starts from
    batches_per_epoch: int = 0  # what an epoch is; 0: all pairs
    imagenet: bool = False  # images are compared less ImageNet's means and over its deviations
    initialisation: str = ""  # of INITIALISATIONS
    # One optimiser step for every frame of a clip, whose state is handed on without gradient (steps count frames).
    step_per_frame: bool = False
    pieces: tuple[tuple[int, int, int], ...] = ()  # (steps, batch, crop) of parts under one optimiser and one schedule
    power: float = 1.0  # of the schedule "polynomial"
    restart_weights: tuple[float, ...] = ()  # of the rate in every period of "cosine-restarts"
    only: tuple[str, ...] = ()  # beginnings of names that are trained alone for the first only_until of the training
    only_until: float = 1.0
    bypassed: tuple[str, ...] = ()  # parts of that name are passed over (models/training/state.py)
    renewed: tuple[str, ...] = ()  # parameters that begin like this are drawn anew before the stage
    gopro_input: str = "blur"  # the folder of GOPRO_Large

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
