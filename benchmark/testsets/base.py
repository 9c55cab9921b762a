"""What every test set offers: clips of keys, and for a key the paths of its blurred and its sharp images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from benchmark.protocol import EvalProtocol


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image to score. references: the sharp image; many trajectory frames for Kohler; empty where there is none."""

    key: str
    blur: Path
    references: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Consecutive frames in time order, as a video network must see them; a still is a clip of one.

    scored: the keys among `samples` that the protocol scores (all, except in dvd-su30).
    """

    name: str
    samples: tuple[Sample, ...]
    scored: frozenset[str]


class TestSet(Protocol):
    """A test set on disk under one protocol. simulated: it is the rendered mini set, not the real one."""

    __test__: ClassVar[bool] = False  # not a pytest class

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """Of tables: "GoPro" or "GoPro (mini, simulated)"."""
        ...

    @property
    def simulated(self) -> bool: ...

    @property
    def protocol(self) -> EvalProtocol: ...

    @property
    def images_folder(self) -> str:
        """Folder under images/: the set's id, with "-gamma" added for gopro's other input folder."""
        ...

    def clips(self) -> tuple[Clip, ...]:
        """All clips in natural order. Errors: FileNotFoundError that names what is missing."""
        ...


@dataclass(frozen=True, kw_only=True)
class TestSetEntry:
    """One line of TESTSETS: how to find the real set and how to render the stand-in in the same layout.

    find(data_root): the set's folder, or None where it is not there. problems(folder): sentences about missing parts.
    open(folder, protocol, simulated): the TestSet. render_mini(folder, seed, workers): writes the mini set there, in
    the official layout, atomically enough that a killed run is noticed and rendered again; None for a set that has no
    stand-in: it is scored where the real one is there, otherwise left out with a sentence. sizes: (height, width) that
    the real images have, upright or turned; () where they differ. Units: px.
    """

    __test__ = False
    name: str
    title: str
    source: str
    licence: str
    protocols: tuple[str, ...]  # the first is the default
    find: Callable[[Path], Path | None]
    problems: Callable[[Path], list[str]]
    open: Callable[[Path, EvalProtocol, bool], TestSet]
    render_mini: Callable[[Path, int, int], None] | None = None
    sizes: tuple[tuple[int, int], ...] = ()
