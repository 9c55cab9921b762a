"""Every network and how it is trained: published, adapted (and in what) or ours; `models/train.py --list`."""

from __future__ import annotations

from core.command_line import unknown
from models.recipes import RECIPES, Recipe, find_recipe, variants_of
from models.restorer import RESTORERS
from models.zoo import MODELS


def text(model: str = "") -> str:
    """Some lines for each network, or for one. Errors: ValueError for an unknown name."""
    if model and model not in MODELS:
        raise ValueError(unknown("no network is called", model, RESTORERS))
    lines = []
    for name in [model] if model else RESTORERS:
        lines += _of(name)
    if not model:
        used = {MODELS[name].recipe for name in RESTORERS}
        lines.append("further recipes, for --recipe:")
        lines += [f"  {name}: {find_recipe(name, 'paper').kind()}" for name in RECIPES if name not in used]
    return "\n".join(lines)


def _of(name: str) -> list[str]:
    spec = MODELS[name]
    if not spec.recipe:
        return [f"{name}: not trained here unless a recipe is named"]
    recipe = find_recipe(spec.recipe, "paper")
    lines = [f"{name}: {recipe.name}, {recipe.kind(name)} ({recipe.source})"]
    lines += [f"  differs: {sentence}" for sentence in recipe.differences(name)]
    lines += [f"  starts from: {sentence}" for sentence in _starts(name, recipe)]
    if variants := variants_of(spec.recipe):
        lines.append(f"  variants: {', '.join(variants)}")
    quick = spec.recipe_for("quick")
    if quick != spec.recipe:
        lines.append(f"  in the profile quick: {quick or 'not trained'}")
    return lines


def _starts(name: str, recipe: Recipe) -> list[str]:
    """The trained weights that it starts from, of those that its network has a part for."""
    if not recipe.starts:
        return []
    import torch

    with torch.device("meta"):
        names = [key for key, _ in MODELS[name].build().named_parameters()]
    return [
        f"{start.name} ({start.file}, {start.source}): {start.flag}, or --from-scratch"
        for start in recipe.starts
        if any(key.startswith(start.part) for key in names)
    ]
