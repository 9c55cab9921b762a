"""The test sets, by the ids of the command line. A new one is a file with an entry and a line here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark.testsets import dvd, gopro, kohler, lai
from benchmark.testsets.base import TestSetEntry

TESTSETS: dict[str, TestSetEntry] = {
    "gopro": gopro.ENTRY,
    "kohler": kohler.ENTRY,
    "dvd": dvd.ENTRY,
    "lai-uniform": lai.UNIFORM,
    "lai-nonuniform": lai.NONUNIFORM,
    "lai-real": lai.REAL,
}


def render_missing(mini_root: Path, names: Iterable[str], seed: int, workers: int) -> None:
    """Render the mini sets called `names` under `mini_root`, each in its official layout; finished ones are verified.

    Errors: ValueError for an unknown name or a folder that holds something else; OSError (disk full).
    """
    names = list(names)
    if unknown := [name for name in names if name not in TESTSETS]:
        raise ValueError(f"unknown test set {', '.join(unknown)}; there are {', '.join(TESTSETS)}")
    for name in names:
        TESTSETS[name].render_mini(mini_root, seed, workers)
