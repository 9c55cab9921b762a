"""A recipe as plain values: what tells one training from another (`checkpoint.digest_of`), and checkpoint.json holds.

Recipes grow new fields. So that the digests of older trainings stay as they are, a class says in every case only what
it said when digests were first taken (`FIRST`); a field that was added later says nothing at its default.
"""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any

from models.recipes import Recipe

WORDS = ("source", "ours", "differs", "networks", "starts")  # fields that say what a recipe is, not what it does
# Of a recipe itself, of one that is a stage of another, and of the parts of both, by the class's name.
FIRST_OF_A_RECIPE = frozenset(
    (
        *("name", "profile", "losses", "batch", "crop_px", "clip_frames", "steps", "epochs", "learning_rate"),
        *("warmup_steps", "schedule", "milestones", "decay", "betas", "ema_decay", "gradient_clip", "flips"),
        *("reversal", "response_share", "starts_at_blur", "checkpoint_every", "validate_every"),
    )
)
FIRST = {
    "Recipe": FIRST_OF_A_RECIPE
    | {
        *("symmetric", "optimiser", "least_rate", "weight_decay", "slow", "frozen", "frozen_until", "features"),
        *("contrast", "adversary", "augmentation", "rounds", "most_macs", "stages", "live"),
    },
    "Features": {"weight", "layers", "layer_weights", "distance"},
    "Contrast": {"weight", "layers", "layer_weights", "shares"},
    "Adversary": {
        *("discriminator", "loss", "weight", "discriminator_weight", "gradient_penalty", "updates", "learning_rate"),
        "betas",
    },
    "FaceTerms": {"pyramid", "pyramid_until", "component", "style", "identity"},
    "Augmentation": {
        *("brightness", "contrast", "saturation", "hue", "noise", "degrade", "from_sharp", "sharpen", "pool"),
    },
    "LiveSettings": {
        *("side_px", "extent_px", "first_extent_px", "growth", "duration_s", "scale", "encoded", "frames"),
        *("few_frames", "paths", "foreground", "second", "resting", "parallax", "rolling", "highlights", "soft"),
        *("noise", "noise_sigma", "jpeg", "jpeg_quality", "candidates"),
    },
}


def facts_of(recipe: Recipe) -> dict[str, Any]:
    """What a recipe does, as plain values."""
    return json.loads(json.dumps(_said(recipe, FIRST_OF_A_RECIPE), default=plain))


def plain(part: Any) -> dict[str, Any]:
    """A part of a recipe, for JSON: a dataclass as a dict. Errors: TypeError for anything else."""
    if not is_dataclass(part):
        raise TypeError(f"a part of a recipe is a dataclass, got {type(part).__name__}")
    return _said(part, FIRST.get(type(part).__name__, frozenset()))


def _said(value: Any, first: AbstractSet[str]) -> dict[str, Any]:
    found = ((field, getattr(value, field.name)) for field in fields(value) if field.name not in WORDS)
    return {field.name: said for field, said in found if field.name in first or said != field.default}
