"""A blurred image and its sharp counterpart on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Paths of a blurred image and its sharp counterpart. response: the camera response that it was averaged under."""

    key: str
    sequence: str
    split: str
    order: float  # position in its sequence
    blur: Path
    sharp: Path
    response: str = "srgb"
    folder: int = 0  # number of the folder of pairs that it came from
