"""The test sets, by the ids of the command line. A new one is a file with an entry and a line here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmark.testsets import deblur_more, dvd, gopro, hide, kohler, lai, own_tasks, pairs, realblur, reds, rsblur
from benchmark.testsets.base import TestSetEntry
from core.command_line import did_you_mean

TESTSETS: dict[str, TestSetEntry] = {
    "gopro": gopro.ENTRY,
    "kohler": kohler.ENTRY,
    "dvd": dvd.ENTRY,
    "lai-uniform": lai.UNIFORM,
    "lai-nonuniform": lai.NONUNIFORM,
    "lai-real": lai.REAL,
    "reds": reds.ENTRY,
    "hide": hide.ENTRY,
    "realblur-j": realblur.J,
    "realblur-r": realblur.R,
    "rsblur": rsblur.ENTRY,
    "pairs": pairs.ENTRY,
    "reds4": own_tasks.REDS4_ENTRY,
    "reds-val-300": deblur_more.REDS_VAL_300,
    "bsd": deblur_more.BSD,
    "levin": deblur_more.LEVIN,
    "restoration": deblur_more.RESTORATION,
    "vid4": own_tasks.VID4_ENTRY,
    "set5": own_tasks.SET5,
    "set14": own_tasks.SET14,
    "bsd100": own_tasks.BSD100,
    "urban100": own_tasks.URBAN100,
    "blind-sr": own_tasks.BLIND_SR,
    "faces": own_tasks.FACES,
}


def render_missing(mini_root: Path, names: Iterable[str], seed: int, workers: int) -> None:
    """Render the mini sets called `names` under `mini_root`, each in its official layout; finished ones are verified.

    Errors: ValueError for an unknown name, a set without a stand-in or a folder that holds something else; OSError.
    """
    names = list(names)
    if unknown := [name for name in names if name not in TESTSETS]:
        near = did_you_mean(unknown[0], TESTSETS)
        raise ValueError(f"unknown test set {', '.join(unknown)}; there are {', '.join(TESTSETS)}{near}")
    for name in names:
        render = TESTSETS[name].render_mini
        if render is None:
            raise ValueError(f"{TESTSETS[name].title} has no rendered stand-in; the real one is needed")
        render(mini_root, seed, workers)


def sets_at_hand(data_root: Path | None) -> tuple[str, ...]:
    """The sets of a run that asks for none by name: those with a stand-in, and others found under `data_root`.

    A set whose stand-in is `by_name` counts where the real one is there.
    """
    return tuple(
        name
        for name, entry in TESTSETS.items()
        if (entry.render_mini is not None and not entry.by_name)
        or (data_root is not None and entry.find(data_root) is not None)
    )
