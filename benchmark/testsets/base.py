"""What every test set offers: clips of keys with their paths, and what the lists of such clips share.

What every test set offers: clips of keys, and for a key the paths of its blurred and its sharp images.

What the test sets share: a test set as a list of clips, pairs by file name, and sentences about what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from benchmark.protocols import EvalProtocol
from core import schema
from core.image_files import list_images


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image to score. references: the sharp image; many trajectory frames for Kohler; empty where there is none."""

    key: str
    blur: Path
    references: tuple[Path, ...]
    # What is done to the file before a network sees it (benchmark/restoring.py): "" nothing, "bicubic" or "gaussian"
    # four times reduced, "grey": it has one channel, shown as three.
    made: str = ""


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
    """One line of TESTSETS: how to find the real set and how to render the stand-in in the same layout."""

    __test__ = False
    name: str
    title: str
    source: str
    licence: str
    protocols: tuple[str, ...]  # the first is the default
    find: Callable[[Path], Path | None]  # (data_root) -> the set's folder, or None where it is not there
    problems: Callable[[Path], list[str]]  # (folder) -> sentences about missing parts
    open: Callable[[Path, EvalProtocol, bool], TestSet]  # (folder, protocol, simulated) -> the set
    # (folder, seed, workers): writes the mini set there, in the official layout, atomically enough that a killed run
    # is noticed and rendered again; None for a set that has no stand-in: it is scored where the real one is there,
    # otherwise left out with a sentence.
    render_mini: Callable[[Path, int, int], None] | None = None
    # (height, width) in px that the real images have, upright or turned; () where they differ
    sizes: tuple[tuple[int, int], ...] = ()
    folders: tuple[str, ...] = ()  # names that `find` looks for, for sentences
    by_name: bool = False  # its stand-in takes part only where the set is asked for, not in every run


MARKER = "mini.json"  # in the folder of a rendered mini set; written first as unfinished, and last as finished


@dataclass(frozen=True, kw_only=True)
class ListedTestSet:
    """A `TestSet` whose clips are listed from a folder when they are asked for."""

    __test__: ClassVar[bool] = False
    name: str
    title: str
    simulated: bool
    protocol: EvalProtocol
    images_folder: str
    list_clips: Callable[[], tuple[Clip, ...]]
    folder: Path

    def clips(self) -> tuple[Clip, ...]:
        """All clips in natural order. Errors: FileNotFoundError if there is nothing in the folder to score."""
        clips = self.list_clips()
        if not clips:
            raise FileNotFoundError(f"{self.folder}: no image of {self.title} can be scored; check the folder's layout")
        return clips


def listed(
    *,
    name: str,
    title: str,
    folder: Path,
    protocol: EvalProtocol,
    simulated: bool,
    list_clips: Callable[[], tuple[Clip, ...]],
    images_folder: str = "",
) -> ListedTestSet:
    """A ListedTestSet; its title says "(mini, simulated)" if the caller or the folder's marker says so."""
    simulated = simulated or is_mini(folder)
    return ListedTestSet(
        name=name,
        title=f"{title} (mini, simulated)" if simulated else title,
        simulated=simulated,
        protocol=protocol,
        images_folder=images_folder or name,
        list_clips=list_clips,
        folder=folder,
    )


def is_mini(folder: Path) -> bool:
    """Whether a folder holds a rendered mini set, finished or not."""
    return (folder / MARKER).is_file()


def mini_problems(folder: Path) -> list[str]:
    """What is wrong with a rendered mini set: at most that its rendering was interrupted."""
    try:
        finished = bool(schema.parse((folder / MARKER).read_text(encoding="utf-8")).get("finished"))
    except (OSError, ValueError, AttributeError):
        finished = False
    return [] if finished else [f"{folder}: the rendering of this mini set was interrupted; render it again"]


def first_folder(data_root: Path, names: Sequence[str]) -> Path | None:
    """The first of the named folders under `data_root` that exists, or `data_root` itself if that is its name."""
    for name in names:
        if (data_root / name).is_dir():
            return data_root / name
    return data_root if data_root.name in names and data_root.is_dir() else None


def images_by_stem(folder: Path) -> dict[str, Path]:
    """PNG and JPEG files of a folder by stem, in natural order; empty if the folder is not there."""
    return {path.stem: path for path in list_images(folder)} if folder.is_dir() else {}


def paired(blur_folder: Path, sharp_folder: Path, prefix: str) -> tuple[Sample, ...]:
    """Samples of the images that are in both folders, keyed `<prefix>/<stem>`."""
    sharp = images_by_stem(sharp_folder)
    return tuple(
        Sample(key=f"{prefix}/{stem}", blur=path, references=(sharp[stem],))
        for stem, path in images_by_stem(blur_folder).items()
        if stem in sharp
    )


def pairing_problems(blur_folder: Path, sharp_folder: Path) -> list[str]:
    """Sentences about images that lack their partner, or whole folders that are missing."""
    missing = [folder for folder in (blur_folder, sharp_folder) if not folder.is_dir()]
    if missing:
        return [f"{folder}: the folder is missing" for folder in missing]
    blur, sharp = images_by_stem(blur_folder), images_by_stem(sharp_folder)
    problems = []
    if lonely := [stem for stem in blur if stem not in sharp]:
        problems.append(f"{blur_folder}: {some(lonely)} without a sharp image in {sharp_folder.name}")
    if lonely := [stem for stem in sharp if stem not in blur]:
        problems.append(f"{sharp_folder}: {some(lonely)} without a blurred image in {blur_folder.name}")
    return problems


def still(sample: Sample) -> Clip:
    """A clip of one image."""
    return Clip(name=sample.key, samples=(sample,), scored=frozenset([sample.key]))


def whole_clip(name: str, samples: tuple[Sample, ...]) -> Clip:
    """A clip of which every image is scored."""
    return Clip(name=name, samples=samples, scored=frozenset(sample.key for sample in samples))


def some(names: Iterable[str], shown: int = 3) -> str:
    """`a, b, c and 5 more` for a sentence."""
    names = list(names)
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def pairs_of_list(path: Path, homes: Sequence[Path]) -> list[tuple[Path, Path]]:
    """(blurred, sharp) of every line of an official list: two paths, relative to one of `homes`, in either order.

    The sharp one is the one with a folder gt. RealBlur's scene244 was re-issued as scene244_reflect: both names are
    looked for. Errors: ValueError that names the line.
    """
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        names = line.split()
        if not names:
            continue
        sharp = [name for name in names if "/gt/" in name]
        blur = [name for name in names if "/gt/" not in name]
        if len(sharp) != 1 or len(blur) != 1:
            raise ValueError(f"{path}, line {number}: a sharp image (in a folder gt) and a blurred one expected")
        pairs.append((_resolved(blur[0], homes), _resolved(sharp[0], homes)))
    return pairs


def _resolved(name: str, homes: Sequence[Path]) -> Path:
    """The file of a listed name; where there is none, where it should be."""
    for spelling in (name, name.replace("scene244/", "scene244_reflect/")):
        for home in homes:
            if (home / spelling).is_file():
                return home / spelling
    return homes[0] / name


def first_list(names: Sequence[str], homes: Sequence[Path]) -> Path | None:
    """The first file of these names in one of the folders."""
    return next((home / name for home in homes for name in names if (home / name).is_file()), None)
