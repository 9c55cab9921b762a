"""Somebody else's restored images as a method: `folder:PATH` is scored exactly like our own results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.plan import Target
from synth.image_files import IMAGE_SUFFIXES


def find_image(homes: Sequence[Path], key: str) -> Path | None:
    """The file of a key in the first folder that has it."""
    for home in homes:
        for suffix in IMAGE_SUFFIXES:
            path = home / f"{key}{suffix}"
            if path.is_file():
                return path
    return None


def homes(folder: Path, target: Target, targets: Sequence[Target]) -> list[Path]:
    """Where the images of a target may lie: `PATH/<test set>`, or PATH itself where one test set is asked for.

    gopro has two kinds of input: where both are scored, the restorations of blur_gamma lie in `PATH/gopro-gamma`.
    """
    testset = target.testset
    same_set = {other.testset.images_folder for other in targets if other.testset.name == testset.name}
    only_set = len({other.testset.name for other in targets}) == 1
    found = [folder / testset.images_folder]
    if len(same_set) == 1 or testset.images_folder == testset.name:
        found.append(folder / testset.name)
        if only_set:
            found.append(folder)
    return list(dict.fromkeys(found))


def has_any(folder: Path, target: Target, targets: Sequence[Target]) -> bool:
    """Whether the folder has at least one image of the target."""
    places = homes(folder, target, targets)
    return any(find_image(places, key) is not None for key in target.keys)
