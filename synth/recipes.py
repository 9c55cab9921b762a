"""Recipes: how captured and virtual frames become one exposure. A recipe is a function that returns one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SynthesisRecipe:
    """profile: weights over the virtual frames of a window, "trapezoid" (the two ends half) or "mean" (all alike)."""

    name: str
    profile: str
    source: str


def trapezoid() -> SynthesisRecipe:
    """The exposure from the first captured frame's instant to the last one's: the integral by the trapezoid rule."""
    return SynthesisRecipe(name="trapezoid", profile="trapezoid", source="trapezoid rule over the virtual frames")


def mean() -> SynthesisRecipe:
    """Every virtual frame counts alike, as when captured frames are simply averaged."""
    return SynthesisRecipe(
        name="mean",
        profile="mean",
        source="plain mean: Nah et al., Deep Multi-scale CNN for Dynamic Scene Deblurring, CVPR 2017",
    )


RECIPES: dict[str, Callable[[], SynthesisRecipe]] = {"trapezoid": trapezoid, "mean": mean}


def recipe(name: str | None, factor: int) -> SynthesisRecipe:
    """The recipe of that name; without one, the trapezoid, or the plain mean where nothing is interpolated (factor 1).

    Errors: ValueError that lists what exists.
    """
    if name is None:
        name = "mean" if factor == 1 else "trapezoid"
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
