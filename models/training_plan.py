"""What a training is, checked before it starts: the user's choice, and everything that its result depends on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from models import checkpoint, training_processes
from models.augmentation import require_degradation
from models.backbones import parts_after, require_backbone
from models.checkpoint import CheckpointInfo
from models.feature_nets import identity_of
from models.pair_sets import PairSets, load_pairs, smallest_side
from models.recipes import Recipe, find_recipe
from models.restorer import RESTORERS, choose_device
from models.spec import RESTORER_TASKS, ModelSpec
from models.training_adversary import require_discriminator
from models.weights import DEFAULT_WEIGHTS
from models.zoo import MODELS
from synth import atomic

DEFAULT_OUT = Path(__file__).resolve().parents[1] / "out" / "checkpoints"
TRAINING_THREADS = 2
# Fields of a recipe that stand in every configuration; the others only where they are used.
EARLY_FIELDS = (
    "name",
    "profile",
    "losses",
    "batch",
    "crop_px",
    "clip_frames",
    "steps",
    "epochs",
    "learning_rate",
    "warmup_steps",
    "schedule",
    "milestones",
    "decay",
    "betas",
    "ema_decay",
    "gradient_clip",
    "flips",
    "reversal",
    "response_share",
    "starts_at_blur",
    "checkpoint_every",
    "validate_every",
)
NOTHING = object()
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What the user chooses. recipe "" is the network's own; steps None is the profile's number.

    out: trainings get a folder of their own below it, <model>/<recipe>-<profile>-<digest>; folder: this very folder.

    threads is a part of the result: sums are split among threads, so another number gives other last bits.
    batch: samples of a step in every process, None the recipe's; accumulate: a step's samples go through the network in
    so many parts. precision "bfloat16": mixed, weights and losses stay float32. feature_net, weights_dir: where losses
    compare features (models/feature_nets.py). mix, every: one number per folder of pairs: how often it is drawn from,
    and that only every n-th pair of it is taken. cache: a folder for decoded images that do not fit into memory.
    backbone: trained weights for a part of the network (models/backbones.py).
    """

    model: str
    recipe: str = ""
    pairs: tuple[Path, ...]
    profile: str = "quick"
    steps: int | None = None
    out: Path = DEFAULT_OUT
    folder: Path | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = TRAINING_THREADS
    batch: int | None = None
    accumulate: int = 1
    precision: str = "float32"
    compile: bool = False
    feature_net: str = "vgg19"
    weights_dir: Path | None = None
    mix: tuple[float, ...] = ()
    every: tuple[int, ...] = ()
    cache: Path | None = None
    backbone: Path | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage of the recipe with its place in the whole training: steps first to last - 1. batch: all processes'."""

    recipe: Recipe
    first: int
    last: int
    batch: int
    crop_px: int
    clip_frames: int

    @property
    def steps(self) -> int:
        return self.last - self.first


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked training: everything that its result depends on."""

    config: TrainConfig
    spec: ModelSpec
    recipe: Recipe
    sets: PairSets
    stages: tuple[PlannedStage, ...]
    steps: int
    device: torch.device
    folder: Path
    configuration: dict[str, Any]

    @property
    def crop_px(self) -> int:
        return self.stages[0].crop_px

    def stage_of(self, step: int) -> int:
        """Number of the stage that a step belongs to."""
        return next(number for number, stage in enumerate(self.stages) if step < stage.last)


def plan(config: TrainConfig, recipe: Recipe | None = None) -> Plan:
    """Check a configuration and resolve it, without training. Errors: ValueError, FileNotFoundError: one sentence.

    recipe: one of the caller's own (an arm of an ablation) in place of the one that the configuration names.
    """
    if config.model not in MODELS:
        raise ValueError(f"no network is called {config.model!r}; there are {', '.join(RESTORERS)}")
    spec = MODELS[config.model]
    if spec.task not in RESTORER_TASKS:
        raise ValueError(f"{spec.name} is a part of other networks ({spec.task}), it is not trained on pairs")
    if recipe is None and not config.recipe and not spec.recipe:
        raise ValueError(f"{spec.name} ({spec.task}) has no recipe of its own to train it with; name one with --recipe")
    recipe = recipe or find_recipe(config.recipe or spec.recipe, config.profile)
    if config.steps is not None and config.steps < 1:
        raise ValueError(f"the number of steps is at least 1, got {config.steps}")
    if config.seed < 0:
        raise ValueError(f"the seed is at least 0, got {config.seed}")
    if config.threads < 1:
        raise ValueError(f"the number of threads is at least 1, got {config.threads}")
    _require_settings(config)
    if config.backbone:
        with torch.device("meta"):
            module = spec.build()
        require_backbone(module, spec.name)
        recipe = parts_after(recipe, module)
    for stage in recipe.stages or (recipe,):
        require_degradation(stage.augmentation.degrade)
        if stage.adversary:
            require_discriminator(stage.adversary.discriminator)
    features = identity_of(config.feature_net, config.weights_dir or DEFAULT_WEIGHTS) if recipe.needs_features() else ""
    device = training_processes.local_device(choose_device(config.device))
    sets = load_pairs(config.pairs, mix=config.mix, every=config.every)
    stages = _stages(recipe, config, spec, len(sets.train), smallest_side(sets.train))
    steps = stages[-1].last
    configuration = {
        "model": config.model,
        "recipe": _facts(recipe),
        "steps": steps,
        "crop_px": stages[0].crop_px,
        "clip_frames": stages[0].clip_frames,
        "seed": config.seed,
        "pairs": len(sets.train),
        "pairs_digest": sets.digest,
        "held_out": sets.held_out,
        "device": device.type,
        "threads": config.threads,
    } | _unusual(config, features)
    name = f"{recipe.name}-{recipe.profile}-{checkpoint.digest_of(configuration)}"
    return Plan(
        config=config,
        spec=spec,
        recipe=recipe,
        sets=sets,
        stages=stages,
        steps=steps,
        device=device,
        folder=config.folder or config.out / config.model / name,
        configuration=configuration,
    )


def find(config: TrainConfig) -> CheckpointInfo | None:
    """The finished checkpoint of exactly this configuration, verified; None where there is none."""
    chosen = plan(config)
    info = checkpoint.read(chosen.folder)
    if info is None or not info.finished or checkpoint.differences(info, chosen.configuration):
        return None
    checkpoint.verify(info)
    return info


def _crop(recipe: Recipe, spec: ModelSpec, side_px: int) -> int:
    """The recipe's crop, or the largest that fits the images and the network."""
    multiple = spec.multiple_of * spec.scale  # an enlarging network gets area means of the crop
    largest = side_px // multiple * multiple
    if largest < max(multiple, 16):
        raise ValueError(
            f"the smallest image is {side_px} px on a side, but {spec.name} trains on crops of at least "
            f"{max(multiple, 16)} px; use larger images"
        )
    return min(recipe.crop_px, largest)


def _stages(recipe: Recipe, config: TrainConfig, spec: ModelSpec, pairs: int, side_px: int) -> tuple[PlannedStage, ...]:
    """The stages in order; with another number of steps than the recipe's they keep their shares of it."""
    parts = recipe.stages or (recipe,)
    batches = [(config.batch or part.batch) * training_processes.count() for part in parts]
    for part in parts:
        if (config.batch or part.batch) % config.accumulate:
            raise ValueError(
                f"a batch of {config.batch or part.batch} does not split into {config.accumulate} equal parts; give "
                "another --batch or --accumulate"
            )
    lengths = [part.steps or part.epochs * math.ceil(pairs / batch) for part, batch in zip(parts, batches, strict=True)]
    total = config.steps or sum(lengths)
    if total < len(parts):
        raise ValueError(f"the recipe {recipe.name} has {len(parts)} stages, so that it takes at least as many steps")
    ends = [max(number, round(sum(lengths[:number]) * total / sum(lengths))) for number in range(1, len(parts) + 1)]
    ends = [min(end, total - len(parts) + number) for number, end in enumerate(ends, start=1)]
    return tuple(
        PlannedStage(
            recipe=part,
            first=first,
            last=last,
            batch=batch,
            crop_px=_crop(part, spec, side_px),
            clip_frames=part.clip_frames if spec.frames > 1 else 1,
        )
        for part, batch, first, last in zip(parts, batches, [0, *ends], ends, strict=False)
    )


def _require_settings(config: TrainConfig) -> None:
    """Errors: ValueError for a setting out of its range; FileNotFoundError for a backbone's file."""
    if config.batch is not None and config.batch < 1:
        raise ValueError(f"the batch is at least 1, got {config.batch}")
    if config.accumulate < 1:
        raise ValueError(f"a step has at least 1 part, got --accumulate {config.accumulate}")
    if config.backbone and not config.backbone.is_file():
        raise FileNotFoundError(f"--backbone {config.backbone} does not exist; give the file of weights to start from")
    if config.precision not in PRECISIONS:
        raise ValueError(f"the precision is {' or '.join(PRECISIONS)}, got {config.precision!r}")


def _unusual(config: TrainConfig, features: str) -> dict[str, Any]:
    """Settings that change the result, where they are not the usual ones."""
    found: dict[str, Any] = {
        "feature_net": features,
        "batch": config.batch,
        "accumulate": config.accumulate if config.accumulate > 1 else None,
        "precision": config.precision if config.precision != "float32" else None,
        "compile": config.compile,
        "mix": list(config.mix),
        "every": list(config.every),
        "backbone": atomic.sha256_of(config.backbone) if config.backbone else None,
        "processes": training_processes.count() if training_processes.count() > 1 else None,
    }
    return {key: value for key, value in found.items() if value}


def _facts(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, for the digest; source and what is left at its default say nothing."""
    found = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    usual = {field.name: field.default for field in fields(recipe) if field.name not in EARLY_FIELDS}
    facts = {key: value for key, value in found.items() if key != "source" and usual.get(key, NOTHING) != value}
    return json.loads(json.dumps(facts, default=_plain))


def _plain(value: Any) -> Any:
    return {key: part for key, part in asdict(value).items() if key != "source"}
