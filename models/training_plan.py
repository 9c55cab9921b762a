"""What a training is, checked before it starts: the user's choice, and everything that its result depends on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.checkpoint import CheckpointInfo
from models.pair_dataset import PairSets, load_pairs, smallest_side
from models.recipes import Recipe, find_recipe
from models.restorer import choose_device
from models.spec import ModelSpec
from models.zoo import MODELS

DEFAULT_OUT = Path(__file__).resolve().parents[1] / "out" / "checkpoints"
TRAINING_THREADS = 2


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What the user chooses. recipe "" is the network's own; steps None is the profile's number.

    out: trainings get a folder of their own below it, <model>/<recipe>-<profile>-<digest>; folder: this very folder.

    threads is a part of the result: sums are split among threads, so another number gives other last bits.
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked training: everything that its result depends on."""

    config: TrainConfig
    spec: ModelSpec
    recipe: Recipe
    sets: PairSets
    crop_px: int
    clip_frames: int
    steps: int
    device: torch.device
    folder: Path
    configuration: dict[str, Any]


def plan(config: TrainConfig) -> Plan:
    """Check a configuration and resolve it, without training. Errors: ValueError, FileNotFoundError: one sentence."""
    if config.model not in MODELS:
        raise ValueError(f"no network is called {config.model!r}; there are {', '.join(MODELS)}")
    spec = MODELS[config.model]
    recipe = find_recipe(config.recipe or spec.recipe, config.profile)
    if config.steps is not None and config.steps < 1:
        raise ValueError(f"the number of steps is at least 1, got {config.steps}")
    if config.seed < 0:
        raise ValueError(f"the seed is at least 0, got {config.seed}")
    if config.threads < 1:
        raise ValueError(f"the number of threads is at least 1, got {config.threads}")
    device = choose_device(config.device)
    sets = load_pairs(config.pairs)
    crop_px = _crop(recipe, spec, smallest_side(sets.train))
    clip_frames = recipe.clip_frames if spec.frames > 1 else 1
    steps = config.steps or recipe.steps or recipe.epochs * math.ceil(len(sets.train) / recipe.batch)
    configuration = {
        "model": config.model,
        "recipe": _facts(recipe),
        "steps": steps,
        "crop_px": crop_px,
        "clip_frames": clip_frames,
        "seed": config.seed,
        "pairs": len(sets.train),
        "pairs_digest": sets.digest,
        "held_out": sets.held_out,
        "device": device.type,
        "threads": config.threads,
    }
    name = f"{recipe.name}-{recipe.profile}-{checkpoint.digest_of(configuration)}"
    return Plan(
        config=config,
        spec=spec,
        recipe=recipe,
        sets=sets,
        crop_px=crop_px,
        clip_frames=clip_frames,
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
    largest = side_px // spec.multiple_of * spec.multiple_of
    if largest < max(spec.multiple_of, 16):
        raise ValueError(
            f"the smallest image is {side_px} px on a side, but {spec.name} trains on crops of at least "
            f"{max(spec.multiple_of, 16)} px; use larger images"
        )
    return min(recipe.crop_px, largest)


def _facts(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, for the digest."""
    return {key: value for key, value in asdict(recipe).items() if key != "source"}
