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
from models.recipes import Recipe, Start, find_recipe
from models.restorer import RESTORERS, choose_device
from models.spec import RESTORER_TASKS, ModelSpec
from models.training import checkpoint, processes
from models.training.augmentation import require_degradation
from models.training.checkpoint import CheckpointInfo
from models.training.discriminators import require_discriminator
from models.training.extension import extended
from models.training.eyes_and_mouths import TEMPLATE, FaceBoxes, load_boxes
from models.training.facts import facts_of, plain
from models.training.live_samples import LiveSources, live_sources
from models.training.objective import identity_of_arcface, network_of
from models.training.pair_sources import GOPRO_INPUTS, PairSets, load_pairs, sharp_pairs, smallest_side
from models.training.running import require_compiler
from models.training.samples import require_squares
from models.training.stages import PlannedStage, planned_stages
from models.training.start import parts_after, require_backbone, require_part
from models.zoo import MODELS

DEFAULT_OUT = Path(__file__).resolve().parents[2] / "out" / "checkpoints"
TRAINING_THREADS = 2
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What the user chooses."""

    model: str
    recipe: str = ""  # "": the network's own
    pairs: tuple[Path, ...] = ()
    sharp: tuple[Path, ...] = ()  # photographs whose blur is drawn while training, in place of pairs
    frames: tuple[Path, ...] = ()  # the same from consecutive frames
    workers: int = 0  # threads that draw the blur; 0: the usual number
    profile: str = "quick"
    steps: int | None = None  # None: the profile's number
    out: Path = DEFAULT_OUT  # trainings get a folder of their own below it, <model>/<recipe>-<profile>-<digest> ...
    folder: Path | None = None  # ... or this very folder
    seed: int = 0
    device: str = "auto"
    # a part of the result: sums are split among threads, so another number gives other last bits
    threads: int = TRAINING_THREADS
    batch: int | None = None  # samples of a step in every process; None: the recipe's
    crop_px: int | None = None  # side of their crops; None: the recipe's
    accumulate: int = 1  # a step's samples go through the network in so many parts
    precision: str = "float32"  # "bfloat16": mixed, weights and losses stay float32
    compile: bool = False
    feature_net: str = "vgg19"  # where losses compare features (models/feature_nets.py)
    weights_dir: Path | None = None  # None: the usual folder
    mix: tuple[float, ...] = ()  # how often each folder of pairs is drawn from
    every: tuple[int, ...] = ()  # only every n-th pair of each folder is taken
    cache: Path | None = None  # a folder for decoded images that do not fit into memory
    backbone: Path | None = None  # trained weights for a part of the network (models/training/start.py)
    start: Path | None = None  # weights of the whole network
    extend: bool = False  # go on from a finished training with fewer steps (models/training/extension.py)
    variant: str = ""  # of the recipe; "": the usual one
    parts: tuple[tuple[str, Path], ...] = ()  # trained weights for named parts
    from_scratch: bool = False  # go on without the trained weights that the recipe starts from
    hold_out: str = ""  # see `load_pairs`; "": the profile's (quick: the last sequence, paper: none)
    gopro_input: str = ""  # the folder of GOPRO_Large; "": the recipe's


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
    without: tuple[Start, ...] = ()  # trained weights that the recipe starts from and this training does not
    live: LiveSources | None = None  # blur is drawn while training
    base: CheckpointInfo | None = None  # the finished training that this one goes on from

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
    name = config.recipe or spec.recipe_for(config.profile)
    if recipe is None and not name:
        profile = f" in the profile {config.profile}" if spec.recipe else ""
        raise ValueError(
            f"{spec.name} ({spec.task}) has no recipe of its own to train it with{profile}; name one with --recipe"
        )
    recipe = recipe or find_recipe(name, config.profile, config.variant)
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
    recipe, without = _without_starts(recipe, config, spec)
    for stage in recipe.stages or (recipe,):
        if stage.step_per_frame and spec.training.step is None:
            raise ValueError(
                f"the recipe {recipe.name} takes an optimiser step a frame, for networks that carry a state from frame "
                f"to frame; {spec.name} does not"
            )
        if stage.step_per_frame and config.accumulate > 1:
            raise ValueError(f"the recipe {recipe.name} takes an optimiser step a frame; leave --accumulate away")
        require_degradation(stage.augmentation.degrade)
        for terms in stage.adversaries():
            require_discriminator(terms.discriminator)
    weights_dir = config.weights_dir or weights_folder()
    features = identity_of(config.feature_net, weights_dir) if recipe.needs_features() else ""
    for part in recipe.stages or (recipe,):
        if part.features and part.features.network:
            features = identity_of(network_of(part.features, config.feature_net), weights_dir)
    arcface = identity_of_arcface(config.feature_net, weights_dir) if recipe.needs_faces() else ""
    device = processes.local_device(choose_device(config.device))
    if config.compile:
        require_compiler(device)
    live = _live(config, spec, recipe)
    sets = _live_sets(live) if live else _sets(config, spec, recipe)
    resized = [min(part.augmentation.resize_px) for part in recipe.stages or (recipe,) if part.augmentation.resize_px]
    stages = planned_stages(
        recipe,
        spec,
        pairs=live.count if live else len(sets.train),
        side_px=live.side_px if live else min(resized, default=0) or smallest_side(sets.train, spec.scale),
        total=config.steps,
        batch=config.batch,
        crop_px=config.crop_px,
        accumulate=config.accumulate,
    )
    boxes = None
    if recipe.needs_faces():
        boxes, sets = _boxes(config, sets)
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
    } | _unusual(config, features, recipe)
    if without:
        configuration["from_scratch"] = [start.name for start in without]
    rates = [stage.recipe.learning_rate for stage in stages]
    if rates != [part.learning_rate for part in recipe.stages or (recipe,)]:
        configuration["learning_rates"] = rates  # the budget of work made it shorter: not the same as --steps
    if live:
        configuration["live"] = [plain(stage.recipe.live) for stage in stages]
    if boxes:
        configuration |= {"identity_net": arcface, "face_boxes": boxes.identity}
    home = config.out / config.model
    places = [config.folder] if config.folder else sorted(path.parent for path in home.glob(f"*/{checkpoint.META}"))
    configuration, base = extended(configuration, places, stages=len(stages), asked=config.extend)
    name = f"{recipe.name}-{recipe.profile}-{checkpoint.digest_of(configuration)}"
    return Plan(
        config=config,
        spec=spec,
        recipe=recipe,
        sets=sets,
        stages=stages,
        steps=steps,
        device=device,
        folder=config.folder or home / name,
        configuration=configuration,
        boxes=boxes,
        live=live,
        base=base,
        without=without,
    )


def _sets(config: TrainConfig, spec: ModelSpec, recipe: Recipe) -> PairSets:
    """The pairs of a training; of a recipe that makes its input from sharp images, --sharp may give those alone."""
    if config.sharp:
        return sharp_pairs(config.sharp)
    return load_pairs(
        config.pairs,
        mix=config.mix,
        every=config.every,
        hold_out=config.hold_out or ("last" if recipe.profile == "quick" else "val"),
        gopro_input=config.gopro_input or recipe.gopro_input,
        scale=spec.scale,
    )


def _from_sharp(recipe: Recipe) -> bool:
    return all(part.augmentation.from_sharp for part in recipe.stages or (recipe,))


def _without_starts(recipe: Recipe, config: TrainConfig, spec: ModelSpec) -> tuple[Recipe, tuple[Start, ...]]:
    """The recipe, and the trained weights it starts from that this training has not.

    Parts that start from random numbers are not frozen and learn at the full rate.
    Errors: ValueError that says which weights are missing, and how to go on without.
    """
    if config.parts or recipe.starts:
        with torch.device("meta"):
            module = spec.build()
        for part, _ in config.parts:
            require_part(spec, part)
        names = [name for name, _ in module.named_parameters()]
    given = [f"{part}." for part, _ in config.parts]
    missing = tuple(
        start
        for start in recipe.starts
        if not config.start
        and not (config.backbone and start.part and "=" not in start.flag)
        and start.part not in given
        and any(name.startswith(start.part) for name in names)
    )
    if missing and not config.from_scratch:
        wanted = " and ".join(f"{start.name} ({start.file}, from {start.source}) as {start.flag}" for start in missing)
        raise ValueError(
            f"the recipe {recipe.name} starts from trained weights: give {wanted}, or go on without them with "
            "--from-scratch, which every row will say"
        )
    gone = tuple(start.part for start in missing if start.part)
    if not gone:
        return recipe, missing

    def thawed(part: Recipe) -> Recipe:
        return replace(
            part,
            frozen=tuple(name for name in part.frozen if not name.startswith(gone) and not _inside(name, gone)),
            slow=tuple((name, factor) for name, factor in part.slow if not name.startswith(gone)),
            stages=tuple(thawed(inner) for inner in part.stages),
        )

    return thawed(recipe), missing


def _inside(name: str, gone: tuple[str, ...]) -> bool:
    return any(part.startswith(name) for part in gone)


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
    if config.sharp and not config.frames and not config.pairs and _from_sharp(recipe):
        return None  # the recipe itself makes the input of the sharp images
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


def _boxes(config: TrainConfig, sets: PairSets) -> tuple[FaceBoxes, PairSets]:
    """Where the eyes and mouths are, and the pairs that it is known of: of --sharp those with a face.

    Errors: as load_boxes; ValueError for an image that is not square, or if no face is known.
    """
    require_squares((*sets.train, *sets.validation))
    folders = config.sharp or config.pairs
    boxes = load_boxes(folders, sets.train, template=config.feature_net != "vgg19", whole=not config.sharp)
    if not config.sharp or TEMPLATE in boxes.identity:
        return boxes, sets
    train = tuple(pair for pair in sets.train if (pair.folder, pair.key) in boxes.found)
    if not train:
        raise ValueError(f"landmarks.jsonl of {folders[0]} knows no face in it; make it with models/face_boxes.py")
    return boxes, replace(sets, train=train)


def _require_settings(config: TrainConfig) -> None:
    """Errors: ValueError for a setting out of its range."""
    if config.batch is not None and config.batch < 1:
        raise ValueError(f"the batch is at least 1, got {config.batch}")
    if config.accumulate < 1:
        raise ValueError(f"a step has at least 1 part, got --accumulate {config.accumulate}")
    if config.start and config.backbone:
        raise ValueError("--start gives every weight and --backbone a part of them; leave one of the two away")
    if config.gopro_input not in ("", *GOPRO_INPUTS):
        raise ValueError(f"--gopro-input is {' or '.join(GOPRO_INPUTS)}, got {config.gopro_input!r}")
    for part, path in config.parts:
        if not path.is_file():
            raise FileNotFoundError(f"--backbone {part}={path} does not exist; give the file of weights to start from")
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


def _unusual(config: TrainConfig, features: str, recipe: Recipe) -> dict[str, Any]:
    """Settings that change the result, where they are not the usual ones."""
    gopro = config.gopro_input or recipe.gopro_input
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
        "parts": {part: files.sha256_of(path) for part, path in config.parts},
        "hold_out": config.hold_out,
        "gopro_input": gopro if gopro != "blur" else None,
        "processes": processes.count() if processes.count() > 1 else None,
    }
    return {key: value for key, value in found.items() if value}


def _as_it_is(recipe: Recipe) -> Recipe:
    """The recipe for a network that is trained already: its last layer is not set to zero."""
    stages = tuple(replace(part, starts_at_blur=False) for part in recipe.stages)
    return replace(recipe, starts_at_blur=False, stages=stages)


def description(
    chosen: Plan,
    steps_done: int,
    validation: dict[str, float | None] | None,
    *,
    weights_sha256: str,
    state_sha256: str,
    residual: bool,
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
        "kind": recipe.kind(chosen.spec.name),
        "variant": recipe.variant,
        "differences": list(recipe.differences(chosen.spec.name)),
        "starts": _starts(chosen),
        "switches": switches(recipe, residual, chosen.spec.name)
        + (_faces(chosen) if chosen.boxes else [])
        + _starts(chosen)
        + _inputs(chosen),
        "validation": validation,
        "weights_sha256": weights_sha256,
        "state_sha256": state_sha256,
        "configuration": chosen.configuration,
    }


def _starts(chosen: Plan) -> list[str]:
    """What the training started from, in words: files and digests, or that something is missing."""
    config, facts = chosen.config, chosen.configuration
    found = [f"backbone starts at {config.backbone.name} ({facts['backbone'][:8]})"] if config.backbone else []
    found += [f"{part} starts at {path.name} ({facts['parts'][part][:8]})" for part, path in config.parts]
    found += [f"started at {config.start.name} ({facts['start'][:8]})"] if config.start else []
    return found + [f"from scratch, without {start.name}" for start in chosen.without]


def _inputs(chosen: Plan) -> list[str]:
    """Which of GoPro's inputs was trained on, where it is not the plain mean; steps that are not the tables'."""
    found = [f"trained on {chosen.configuration['gopro_input']}"] if "gopro_input" in chosen.configuration else []
    if chosen.recipe.step_per_frame:
        found.append(f"{sum(stage.optimiser_steps for stage in chosen.stages)} optimiser steps, one a frame")
    return found


def switches(recipe: Recipe, residual: bool, network: str = "") -> list[str]:
    """What a reader of the table must know about how a network was trained. residual: it adds to the blurred image."""
    found = [recipe.in_words(network)]
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
