"""Pairs of a user's own: which folders hold the blurred images and which the sharp ones, and which image is whose.

Arrangements, under the folder itself or under train/, val/ and test/ in it (names in any case of letters):

    blur/0001.png            sharp/0001.png            the usual one; also input/ and target/, lq/ and gt/, ...
    blur/clip/0001.png       sharp/clip/0001.png       a folder for every clip
    clip/blur/0001.png       clip/sharp/0001.png       as in GOPRO_Large
    0001_blur.png            0001_sharp.png            beside each other

Names are compared without regard to case, to "-", "_", "." and spaces, and without what says the image's part in the
pair: 0001_blur.png, 0001-restored.png and gt_0001.png are all 0001.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from core.image_files import image_size, list_images, natural_sorted

BLURRED = ("blur", "blurred", "blurry", "input", "inputs", "lq", "low", "degraded", "blur_gamma")
SHARP = (
    "sharp",
    "gt",
    "target",
    "targets",
    "groundtruth",
    "ground_truth",
    "hq",
    "clean",
    "reference",
    "truth",
    "clear",
)
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SPLITS |= {"testing": "test", "eval": "test"}
# Words at an end of a name that say what the image is in its pair, or what was done to it.
_PARTS = (
    *BLURRED,
    *SHARP,
    "in",
    "restored",
    "deblurred",
    "deblur",
    "output",
    "out",
    "result",
    "sr",
    "pred",
    "img",
    "image",
)
_AT_END = re.compile(rf"(?:^|_)(?:{'|'.join(_PARTS)})$")
_AT_START = re.compile(rf"^(?:{'|'.join(_PARTS)})(?:_|(?=\d))")

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class FoundPair:
    """Two images that belong together. split: train, val or test, "" where no folder says so.

    key: <sequence>/<name>, different for every pair of a split.
    """

    key: str
    sequence: str
    split: str
    blur: Path
    sharp: Path


@dataclass(frozen=True, kw_only=True)
class PairFolders:
    """What lies in a folder of own pairs. lonely: images without their other half."""

    folder: Path
    pairs: tuple[FoundPair, ...]
    lonely: tuple[Path, ...]

    def of(self, *splits: str) -> tuple[FoundPair, ...]:
        """The pairs of the first of these splits that has any."""
        for split in splits:
            if found := tuple(pair for pair in self.pairs if pair.split == split):
                return found
        return ()


def plain_name(stem: str) -> str:
    """What is left of a name for comparing: lower case, "_" between words, without the part that the image has.

    >>> plain_name("Scene-01.0003_Blur"), plain_name("gt_12"), plain_name("blur")
    ('scene_01_0003', '12', 'blur')
    """
    name = re.sub(r"[-_.\s]+", "_", stem.casefold()).strip("_")
    while (shorter := _AT_END.sub("", name)) not in ("", name):
        name = shorter
    while (shorter := _AT_START.sub("", name)) not in ("", name):
        name = shorter
    return name


def by_plain_name(files: Mapping[str, Value]) -> dict[str, Value]:
    """Values under the plain form of their keys, part by part. Errors: ValueError if two would be the same."""
    found: dict[str, Value] = {}
    first: dict[str, str] = {}
    for key, value in files.items():
        name = "/".join(plain_name(part) for part in key.split("/"))
        if name in found:
            raise ValueError(f"{first[name]} and {key} would both be the image {name}; keep one of them")
        found[name], first[name] = value, key
    return found


def find_pairs(folder: Path) -> PairFolders | None:
    """The pairs of a folder in one of the arrangements; None where there is none.

    Errors: ValueError, one sentence, if two images would be the same half of a pair, or no blurred image has a sharp
    one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    pairs: list[FoundPair] = []
    lonely: list[Path] = []
    for split, home in _homes(folder):
        for sequence, blur, sharp in _sides(home):
            matched, alone = _matched(sequence, split, blur, sharp)
            pairs += matched
            lonely += alone
    if lonely and not pairs:
        raise ValueError(
            f"{folder}: no blurred image has its sharp one ({len(lonely)} images, such as {lonely[0]}); give the two "
            "images of a pair the same name"
        )
    return PairFolders(folder=folder, pairs=_each_key_once(pairs), lonely=tuple(lonely)) if pairs else None


def _homes(folder: Path) -> list[tuple[str, Path]]:
    """(split, folder): the folder itself, or train/, val/ and test/ in it where they hold pairs."""
    parts = [(SPLITS[path.name.casefold()], path) for path in _folders(folder) if path.name.casefold() in SPLITS]
    inner = [(split, path) for split, path in parts if any(True for _ in _sides(path))]
    return inner or [("", folder)]


def _sides(home: Path) -> Iterator[tuple[str, dict[str, Path], dict[str, Path]]]:
    """(sequence, blurred images by name, sharp ones by name) of every arrangement that is found under `home`.

    sequence: "" where one folder holds all.
    """
    both = _both(home)
    if both is None:
        clips = [(clip, inner) for clip in _folders(home) if (inner := _both(clip)) is not None]
        for clip, (blur, sharp) in clips:
            yield clip.name, _images(blur), _images(sharp)
        if not clips:
            files = {path.stem: path for path in list_images(home)}
            words = {name: re.sub(r"[-_.\s]+", "_", name.casefold()) for name in files}
            sides = [
                {name: files[name] for name in files if re.search(rf"_(?:{'|'.join(side)})$", words[name])}
                for side in (BLURRED, SHARP)
            ]
            if all(sides):
                yield "", sides[0], sides[1]
        return
    blur, sharp = both
    if files := _images(blur):
        yield "", files, _images(sharp)
    others = {plain_name(path.name): path for path in _folders(sharp)}
    for clip in _folders(blur):
        other = others.get(plain_name(clip.name))
        yield clip.name, _images(clip), _images(other) if other is not None else {}


def _both(home: Path) -> tuple[Path, Path] | None:
    """The folders of blurred and of sharp images directly in a folder."""
    names = {path.name.casefold(): path for path in reversed(_folders(home))}
    blur = next((names[name] for name in BLURRED if name in names), None)
    sharp = next((names[name] for name in SHARP if name in names), None)
    return (blur, sharp) if blur is not None and sharp is not None else None


def _matched(
    sequence: str, split: str, blur: dict[str, Path], sharp: dict[str, Path]
) -> tuple[list[FoundPair], list[Path]]:
    """Pairs of one arrangement. Equal names first; then those that are equal but for case, signs and the part."""
    alone = {name: path for name, path in blur.items() if name not in sharp}
    others = {name: path for name, path in sharp.items() if name not in blur}
    one, two = by_plain_name(alone), by_plain_name(others)
    stems = {path: plain_name(name) for name, path in alone.items()}
    couples = {path: sharp.get(name) or two.get(stems[path]) for name, path in blur.items()}
    lonely = [path for path, other in couples.items() if other is None]
    lonely += [path for name, path in two.items() if name not in one]
    matched = [(path, other) for path, other in couples.items() if other is not None]
    names = _sequences([path for path, _ in matched]) if not sequence else [sequence] * len(matched)
    return [
        FoundPair(key=f"{name}/{path.stem}", sequence=name, split=split, blur=path, sharp=other)
        for name, (path, other) in zip(names, matched, strict=True)
    ], lonely


def _sequences(paths: Sequence[Path]) -> list[str]:
    """Names of sequences for images of one folder: what stands before their last number, if all of such a group have
    one size; else each image is its own."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(re.sub(r"[-_.\s]*\d+$", "", plain_name(path.stem)) or "images", []).append(path)
    found: dict[Path, str] = {}
    for name, members in groups.items():
        sizes = {_size(path) for path in members} if len(members) > 1 else set()
        for path in members:
            found[path] = name if len(sizes) <= 1 else path.stem
    return [found[path] for path in paths]


def _size(path: Path) -> tuple[int, int]:
    try:
        return image_size(path)
    except (ValueError, OSError):
        return (0, 0)


def _each_key_once(pairs: Iterable[FoundPair]) -> tuple[FoundPair, ...]:
    seen: dict[tuple[str, str], FoundPair] = {}
    for pair in pairs:
        if other := seen.get((pair.split, pair.key)):
            raise ValueError(f"{other.blur} and {pair.blur} would both be the pair {pair.key}; rename one of them")
        seen[pair.split, pair.key] = pair
    return tuple(seen.values())


def _images(folder: Path) -> dict[str, Path]:
    """Images of a folder by stem. Errors: ValueError for two of one stem."""
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in found:
            raise ValueError(f"{found[path.stem]} and {path} would both be the image {path.stem}; keep one of them")
        found[path.stem] = path
    return found


def _folders(home: Path) -> list[Path]:
    return natural_sorted(path for path in home.iterdir() if path.is_dir() and not path.name.startswith("."))
