"""Where metrics look for files that the user provides (network weights, NIQE's model); nothing is ever downloaded."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "DEBLUR_BENCH_WEIGHTS"
_DEFAULT = Path(__file__).resolve().parents[2] / "weights"
_chosen: Path | None = None


def set_weights_dir(folder: Path | str | None) -> None:
    """Choose the folder for this process; None returns to the default. Worker processes must be told again.

    Errors: ValueError if it is not a folder.
    """
    global _chosen
    if folder is not None and not Path(folder).is_dir():
        raise ValueError(f"the weights folder {folder} does not exist")
    _chosen = None if folder is None else Path(folder)


def weights_dir() -> Path:
    """The chosen folder, else the one in $DEBLUR_BENCH_WEIGHTS, else `weights/` in the repository."""
    if _chosen is not None:
        return _chosen
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named) if named else _DEFAULT


def find_file(*patterns: str) -> Path | None:
    """First file below `weights_dir()` whose name matches the first pattern that matches any; sorted by path."""
    folder = weights_dir()
    if not folder.is_dir():
        return None
    for pattern in patterns:
        found = sorted(path for path in folder.rglob(pattern) if path.is_file())
        if found:
            return found[0]
    return None


def missing_sentence(metric: str, name: str, where: str) -> str:
    """The sentence for a table's cell: which file the metric lacks and where to get it. The same on every machine."""
    return f"{metric} needs the file {name} ({where}); put it into weights/ or name its folder with --weights-dir"
