"""Checkpoints under other layer names than a network's own, brought to those on loading, one to one.

Which other names there are stands in each network's file (`layouts` of its ModelSpec).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class KeyLayout:
    """A way to name a network's layers.

    A key that is not of the layout stays as it is and is then found to be left over.
    """

    name: str
    marker: str  # a key that files of it have and no others do
    rename: Callable[[str], str]  # gives the network's key
    dropped: tuple[str, ...] = ()  # keys that belong to the training, not to the network


def layout_of(state: dict[str, Tensor], layouts: Iterable[KeyLayout]) -> KeyLayout | None:
    """The one of some layouts that a checkpoint is in; None for a network's own keys."""
    return next((layout for layout in layouts if layout.marker in state), None)


def renamed(state: dict[str, Tensor], layouts: Iterable[KeyLayout], path: Path) -> dict[str, Tensor]:
    """A checkpoint under a network's keys, every tensor of it used once. The same dict where nothing is to be done.

    layouts: those that it may be in. path: of the file, for the error.
    Errors: ValueError if two keys of the file mean one key of the network.
    """
    layout = layout_of(state, layouts)
    if layout is None:
        return state
    found: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for key, value in state.items():
        if key in layout.dropped:
            continue
        name = layout.rename(key)
        if name in found:
            raise ValueError(
                f"{path}: in {layout.name} the keys {origin[name]!r} and {key!r} both mean {name!r}; the file was put "
                "together from two networks, get the authors' own"
            )
        found[name], origin[name] = value, key
    return found
