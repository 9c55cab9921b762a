"""What a training's checkpoint.json says about it."""

from __future__ import annotations

from typing import Any

from models.face_boxes import TEMPLATE
from models.recipes import Recipe
from models.training_plan import Plan


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
        "pairs": len(chosen.sets.train),
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
