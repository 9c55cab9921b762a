"""What a training is, checked before it starts: the user's choice, and everything that its result depends on.

And what its checkpoint.json says about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core import files
from core.command_line import unknown
from core.weights_files import weights_folder
from models import network_weights
from models.chosen_weights import choose
from models.feature_nets import identity_of
from models.recipes import Recipe, find_recipe
from models.restorer import RESTORERS, choose_device
from models.spec import RESTORER_TASKS, ModelSpec
from models.training import checkpoint, processes
from models.training.augmentation import require_degradation
from models.training.checkpoint import CheckpointInfo
from models.training.discriminators import require_discriminator
from models.training.eyes_and_mouths import TEMPLATE, FaceBoxes, load_boxes
from models.training.facts import facts_of, plain
from models.training.live_samples import LiveSources, live_sources
from models.training.objective import identity_of_arcface
from models.training.pair_sources import PairSets, load_pairs, smallest_side
from models.training.running import require_compiler
from models.training.samples import require_squares
from models.training.stages import PlannedStage, planned_stages
from models.training.start import parts_after, require_backbone
from models.zoo import MODELS

DEFAULT_OUT = Path(__file__).resolve().parents[2] / "out" / "checkpoints"
TRAINING_THREADS = 2
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What the user chooses. recipe "" is the network's own; steps None is the profile's number.

    out: trainings get a folder of their own below it, <model>/<recipe>-<profile>-<digest>; folder: this very folder.

    threads is a part of the result: sums are split among threads, so another number gives other last bits.
    batch: samples of a step in every process, crop_px: side of their crops, None the recipe's; accumulate: a step's
    samples go through the network in so many parts. precision "bfloat16": mixed, weights and losses stay float32.
    feature_net, weights_dir: where losses compare features (models/feature_nets.py). mix, every: one number per folder
    of pairs: how often it is drawn from, and that only every n-th pair of it is taken. cache: a folder for decoded
    images that do not fit into memory. backbone: trained weights for a part of the network (see
    models/training/start.py). start: weights of the whole network.
    """

    model: str
    recipe: str = ""
    pairs: tuple[Path, ...] = ()
    sharp: tuple[Path, ...] = ()
    frames: tuple[Path, ...] = ()
    workers: int = 0
    profile: str = "quick"
    steps: int | None = None
    out: Path = DEFAULT_OUT
    folder: Path | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = TRAINING_THREADS
    batch: int | None = None
    crop_px: int | None = None
    accumulate: int = 1
    precision: str = "float32"
    compile: bool = False
    feature_net: str = "vgg19"
    weights_dir: Path | None = None
    mix: tuple[float, ...] = ()
    every: tuple[int, ...] = ()
    cache: Path | None = None
    backbone: Path | None = None
    start: Path | None = None


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
    boxes: FaceBoxes | None = None  # of eyes and mouths, for a recipe of faces
    live: LiveSources | None = None  # blur is drawn while training

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
        raise ValueError(unknown("no network is called", config.model, RESTORERS))
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
    config = _with_weights(config, spec)
    if config.backbone:
        require_backbone(spec)
        recipe = parts_after(recipe, spec)
    if config.start:
        recipe = _as_it_is(recipe)
    for stage in recipe.stages or (recipe,):
        require_degradation(stage.augmentation.degrade)
        for terms in stage.adversaries():
            require_discriminator(terms.discriminator)
    weights_dir = config.weights_dir or weights_folder()
    features = identity_of(config.feature_net, weights_dir) if recipe.needs_features() else ""
    arcface = identity_of_arcface(config.feature_net, weights_dir) if recipe.needs_faces() else ""
    device = processes.local_device(choose_device(config.device))
    if config.compile:
        require_compiler(device)
    live = _live(config, spec, recipe)
    sets = _live_sets(live) if live else load_pairs(config.pairs, mix=config.mix, every=config.every)
    stages = planned_stages(
        recipe,
        spec,
        pairs=live.count if live else len(sets.train),
        side_px=live.side_px if live else smallest_side(sets.train),
        total=config.steps,
        batch=config.batch,
        crop_px=config.crop_px,
        accumulate=config.accumulate,
    )
    boxes = _boxes(config, sets) if recipe.needs_faces() else None
    steps = stages[-1].last
    configuration = {
        "model": config.model,
        "recipe": facts_of(recipe),
        "steps": steps,
        "crop_px": stages[0].crop_px,
        "clip_frames": stages[0].clip_frames,
        "seed": config.seed,
        "pairs": live.count if live else len(sets.train),
        "pairs_digest": sets.digest,
        "held_out": sets.held_out,
        "device": device.type,
        "threads": config.threads,
    } | _unusual(config, features)
    rates = [stage.recipe.learning_rate for stage in stages]
    if rates != [part.learning_rate for part in recipe.stages or (recipe,)]:
        configuration["learning_rates"] = rates  # the budget of work made it shorter: not the same as --steps
    if live:
        configuration["live"] = [plain(stage.recipe.live) for stage in stages]
    if boxes:
        configuration |= {"identity_net": arcface, "face_boxes": boxes.identity}
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
        boxes=boxes,
        live=live,
    )


def find(config: TrainConfig) -> CheckpointInfo | None:
    """The finished checkpoint of exactly this configuration, verified; None where there is none."""
    chosen = plan(config)
    info = checkpoint.read(chosen.folder)
    if info is None or not info.finished or checkpoint.differences(info, chosen.configuration):
        return None
    checkpoint.verify(info)
    return info


def _live(config: TrainConfig, spec: ModelSpec, recipe: Recipe) -> LiveSources | None:
    """What blur is drawn from while training; None where there are pairs. Errors: ValueError, one sentence."""
    if not config.sharp and not config.frames:
        if not config.pairs:
            raise ValueError("there is nothing to train on; give --pairs, --sharp or --frames")
        return None
    if config.pairs:
        raise ValueError("--sharp and --frames take the place of --pairs; leave one of them away")
    if config.every:
        raise ValueError("--every thins pairs out; it says nothing to --sharp and --frames")
    if spec.frames > 1:
        raise ValueError(f"{spec.name} looks at {spec.frames} frames, but blur is drawn live for single pictures only")
    if recipe.needs_faces() or any(part.augmentation.from_sharp for part in recipe.stages or (recipe,)):
        raise ValueError(f"the recipe {recipe.name} makes its input from sharp pictures itself; give it --pairs")
    return live_sources(config.sharp, config.frames, config.mix)


def _live_sets(live: LiveSources) -> PairSets:
    """Live exposures as sets of pairs: none on disk."""
    return PairSets(train=(), validation=(), digest=live.digest, held_out=live.held_out_in_words())


def _boxes(config: TrainConfig, sets: PairSets) -> FaceBoxes:
    """Where the eyes and mouths are. Errors: as load_boxes; ValueError for an image that is not square."""
    require_squares((*sets.train, *sets.validation))
    return load_boxes(config.pairs, sets.train, template=config.feature_net != "vgg19")


def _require_settings(config: TrainConfig) -> None:
    """Errors: ValueError for a setting out of its range."""
    if config.batch is not None and config.batch < 1:
        raise ValueError(f"the batch is at least 1, got {config.batch}")
    if config.accumulate < 1:
        raise ValueError(f"a step has at least 1 part, got --accumulate {config.accumulate}")
    if config.start and config.backbone:
        raise ValueError("--start gives every weight and --backbone a part of them; leave one of the two away")
    if config.precision not in PRECISIONS:
        raise ValueError(f"the precision is {' or '.join(PRECISIONS)}, got {config.precision!r}")


def _with_weights(config: TrainConfig, spec: ModelSpec) -> TrainConfig:
    """The configuration with the files that --start and --backbone mean, as every command finds weights.

    Errors: FileNotFoundError, ValueError that say how to get them.
    """
    folder = config.weights_dir or weights_folder()
    found: list[Path | None] = []
    for given in (config.start, config.backbone):
        chosen = choose(spec, config.model, given, folder if folder.is_dir() else None) if given else None
        found.append(chosen.path if chosen else None)
    return replace(config, start=found[0], backbone=found[1])


def _unusual(config: TrainConfig, features: str) -> dict[str, Any]:
    """Settings that change the result, where they are not the usual ones."""
    found: dict[str, Any] = {
        "feature_net": features,
        "batch": config.batch,
        "crop": config.crop_px,
        "accumulate": config.accumulate if config.accumulate > 1 else None,
        "precision": config.precision if config.precision != "float32" else None,
        "compile": config.compile,
        "mix": list(config.mix),
        "every": list(config.every),
        "backbone": files.sha256_of(config.backbone) if config.backbone else None,
        "start": network_weights.identity_of(config.start) if config.start else None,
        "processes": processes.count() if processes.count() > 1 else None,
    }
    return {key: value for key, value in found.items() if value}


def _as_it_is(recipe: Recipe) -> Recipe:
    """The recipe for a network that is trained already: its last layer is not set to zero."""
    stages = tuple(replace(part, starts_at_blur=False) for part in recipe.stages)
    return replace(recipe, starts_at_blur=False, stages=stages)


def description(
    chosen: Plan, steps_done: int, validation: dict[str, float | None] | None, weights_sha256: str, residual: bool
) -> dict[str, Any]:
    """The content of checkpoint.json; `validation` is given when training is finished. residual: see `switches`."""
    config, recipe = chosen.config, chosen.recipe
    return {
        "model": config.model,
        "recipe": recipe.name,
        "profile": recipe.profile,
        "finished": validation is not None,
        "steps": chosen.steps,
        "steps_done": steps_done,
        "seed": config.seed,
        "device": chosen.device.type,
        "threads": config.threads,
        "pairs": chosen.live.count if chosen.live else len(chosen.sets.train),
        "pairs_digest": chosen.sets.digest,
        "held_out": chosen.sets.held_out,
        "loss": " + ".join(recipe.terms()),
        "feature_net": config.feature_net if recipe.needs_features() else "",
        "switches": switches(recipe, residual)
        + (_faces(chosen) if chosen.boxes else [])
        + ([f"backbone starts at {config.backbone.name}"] if config.backbone else [])
        + ([f"started at {config.start.name}"] if config.start else []),
        "validation": validation,
        "weights_sha256": weights_sha256,
        "configuration": chosen.configuration,
    }


def switches(recipe: Recipe, residual: bool) -> list[str]:
    """What a reader of the table must know about how a network was trained. residual: it adds to the blurred image."""
    found = [f"recipe {recipe.name}"]
    if (recipe.stages or (recipe,))[0].starts_at_blur and residual:
        found.append("last layer starts at zero")
    if recipe.response_share:
        found.append(f"other camera responses for {recipe.response_share:.0%} of the samples")
    if recipe.profile == "quick":
        found.append("loss " + " + ".join(recipe.terms()))
    return found


def _faces(chosen: Plan) -> list[str]:
    """Where the eyes and mouths came from, and whose identity network judged."""
    facts = chosen.configuration
    places = "in FFHQ's mean places" if TEMPLATE in facts["face_boxes"] else "from landmarks"
    return [f"eyes and mouths {places}", f"identity network {facts['identity_net'].partition(' ')[0]}"]
