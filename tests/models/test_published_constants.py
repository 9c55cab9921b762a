"""Every recipe's constants against models/recipes/published.csv, which says where each was published."""

from __future__ import annotations

import csv
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from models.recipes import RECIPES, VARIANTS, Recipe, find_recipe

TABLE = Path(__file__).resolve().parents[2] / "models" / "recipes" / "published.csv"
GOPRO_PAIRS = 2103
NEEDED = {"losses", "batch", "crop_px", "learning_rate", "schedule"}


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def place(recipe: Recipe, share: float) -> float:
    """A fraction of a training in the unit that its length is said in: steps or epochs."""
    return round(share * (recipe.steps or recipe.epochs), 3)


def constant(recipe: Recipe, name: str) -> Any:
    """What a recipe says about a constant of the table; names that are no fields are worked out of some."""
    epoch = -(-GOPRO_PAIRS // recipe.batch)
    worked_out = {
        "losses": lambda: ", ".join(f"{loss} {weight:g}" for loss, weight in recipe.losses),
        "milestone_places": lambda: [place(recipe, share) for share in recipe.milestones],
        "lowest_rate": lambda: recipe.learning_rate * recipe.least_rate,
        "frozen_places": lambda: [place(recipe, recipe.frozen_until)],
        "only_places": lambda: [place(recipe, recipe.only_until)],
        "pyramid_places": lambda: [place(recipe, recipe.faces.pyramid_until if recipe.faces else 0)],
        "warmup_epochs": lambda: recipe.warmup_steps / epoch,
        "piece_steps": lambda: [steps for steps, _, _ in recipe.pieces],
        "piece_batches": lambda: [batch for _, batch, _ in recipe.pieces],
        "piece_crops": lambda: [crop for _, _, crop in recipe.pieces],
        "slow_spynet": lambda: dict(recipe.slow)["spynet."],
        "slow_edvr": lambda: dict(recipe.slow)["edvr."],
    }
    if name in worked_out:
        return worked_out[name]()
    found: Any = recipe
    for part in name.split("."):
        found = getattr(found, part)
    return found


def same(found: Any, value: str) -> bool:
    if isinstance(found, bool):
        return value == str(found).lower()
    if isinstance(found, str):
        return found == value
    if isinstance(found, tuple | list):
        parts = value.split()
        return len(parts) == len(found) and all(same(one, two) for one, two in zip(found, parts, strict=True))
    return float(found) == pytest.approx(float(Fraction(value)), rel=1e-9)


@pytest.mark.parametrize("recipe", sorted({row["recipe"] for row in rows()}))
def test_every_constant_is_the_published_one(recipe: str) -> None:
    for row in (row for row in rows() if row["recipe"] == recipe):
        found = find_recipe(recipe, "paper", row["variant"])
        stage = found.stages[int(row["stage"]) - 1] if row["stage"] else found
        value = constant(stage, row["constant"])
        assert same(value, row["value"]), f"{recipe} {row['stage']}: {row['constant']} is {value}, not {row['value']}"
        assert row["source"], row


def test_no_published_recipe_is_silent_about_what_matters() -> None:
    """Of every stage of every variant that is not ours the table has at least loss, batch, crop, length and rate."""
    said = defaultdict(set)
    for row in rows():
        said[row["recipe"], row["variant"], row["stage"]].add(row["constant"])
    variants = [(name, "") for name in RECIPES] + list(VARIANTS)
    for name, variant in variants:
        recipe = find_recipe(name, "paper", variant)
        if recipe.kind() == "ours":
            continue
        for number, stage in enumerate(recipe.stages or (recipe,), start=1):
            key = str(number) if recipe.stages else ""
            found = said[name, variant, key] | said[name, recipe.variant, key] | said[name, "", key]
            assert found >= NEEDED and found & {"steps", "epochs"}, (name, variant, key, NEEDED - found)
            if stage.features:
                assert "features.weight" in found, (name, key)
            if stage.adversary:
                assert "adversary.weight" in found or stage.adversary.weight == 1, (name, key)
            if stage.contrast:
                assert "contrast.weight" in found, (name, key)


def test_a_changed_constant_is_noticed() -> None:
    assert same(1e-4, "1e-4") and not same(1e-4, "2e-4")
    assert same((0.9, 0.99), "0.9 0.99") and not same((0.9, 0.999), "0.9 0.99")
    assert same(1 / 3, "1/3") and same(True, "true") and not same(False, "true") and same((), "")


def test_the_word_published_is_for_recipes_without_differences() -> None:
    for name, find in RECIPES.items():
        recipe = find("paper")
        assert recipe.kind() == ("ours" if recipe.ours else "adapted" if recipe.differs else "published"), name
        assert find("quick").kind() == "ours", name
        assert all(sentence and sentence[0].islower() for sentence in recipe.differs) or "VGG19" in recipe.differs[-1]
    assert find_recipe("basicvsr", "paper").kind("basicvsr-deblur") == "adapted"
    assert find_recipe("basicvsr", "paper").kind("basicvsr-x4") == "published"
