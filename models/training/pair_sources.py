"""Which blurred/sharp pairs a training uses: from our manifests or the official layouts, thinned and mixed.

The official layouts are GOPRO_Large, DeepVideoDeblurring_Dataset and REDS as they unpack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.protocols import DVD_TEST_SEQUENCES
from core import shards
from core.command_line import note
from core.image_files import image_size, natural_sorted
from core.pair_folders import find_pairs
from synth.manifest import PairImages, checked_lines


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


# GoPro's `blur` averages pixel values as they are, and of DVD nothing else is known; REDS averages light, by a measured
# curve that is not published.
PIXEL_VALUES, LIGHT = "linear", "srgb"
SUFFIXES = (".png", ".jpg", ".jpeg")


def layout_pairs(folder: Path, prefix: str) -> tuple[list[Pair], bytes] | None:
    """The training pairs of a data set in its own layout, and what identifies them; None for any other folder.

    GOPRO_Large: train/<sequence>/{blur,sharp}, or train/{input,target} as re-packed; the test half is never read.
    DeepVideoDeblurring_Dataset: quantitative_datasets/<sequence>/{input,GT} without the ten test sequences. REDS:
    train/{train_blur,train_sharp}/<clip>, or train_blur_jpeg where train_blur is missing; never the validation half, on
    which the benchmark scores. Any other folder: blurred and sharp images in the arrangements of core/pair_folders.py,
    the halves train and val of it, or all where there are none. The identity is a hash over names and sizes of files,
    not over their contents.
    Errors: ValueError if a blurred image has no sharp one; in a folder of one's own a note names them.
    """
    if (folder / "pairs.jsonl").is_file():
        return None
    found, response = _gopro(folder) or _dvd(folder), PIXEL_VALUES
    if not found:
        found, response = _reds(folder), LIGHT
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    for sequence, blur, sharp in found:
        pairs += _pairs(f"{prefix}{sequence}", blur, sharp, response)
    if not found:
        pairs = _own(folder, prefix)
    if not pairs:
        return None
    for pair in pairs:
        for path in (pair.blur, pair.sharp):
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
    return pairs, digest.digest()


def _own(folder: Path, prefix: str) -> list[Pair]:
    """Pairs in folders of one's own; empty where there are none. What is not known of their light is taken as sRGB."""
    own = find_pairs(folder)
    if own is None:
        return []
    if own.lonely:
        shown = ", ".join(path.relative_to(folder).as_posix() for path in own.lonely[:3])
        note(f"{folder}: {len(own.lonely)} images without the other one of their pair are left out, such as {shown}")
    halves = [*own.of("train", ""), *own.of("val")]
    counts: dict[str, int] = {}
    pairs = []
    for pair in halves:
        order = counts[pair.sequence] = counts.get(pair.sequence, -1) + 1
        pairs.append(
            Pair(
                key=pair.key,
                sequence=f"{prefix}{pair.sequence}",
                split=pair.split or "train",
                order=float(order),
                blur=pair.blur,
                sharp=pair.sharp,
            )
        )
    return pairs


def _gopro(folder: Path) -> list[tuple[str, Path, Path]]:
    train = folder / "train"
    if (train / "input").is_dir() and (train / "target").is_dir():
        return [("train", train / "input", train / "target")]
    return [(home.name, home / "blur", home / "sharp") for home in _folders(train) if (home / "blur").is_dir()]


def _dvd(folder: Path) -> list[tuple[str, Path, Path]]:
    homes = _folders(folder / "quantitative_datasets")
    chosen = [home for home in homes if home.name not in DVD_TEST_SEQUENCES]
    return [(home.name, home / "input", home / "GT") for home in chosen if (home / "input").is_dir()]


def _reds(folder: Path) -> list[tuple[str, Path, Path]]:
    train = folder / "train"
    blur = next((home for name in ("train_blur", "train_blur_jpeg") if (home := train / name).is_dir()), None)
    return [(clip.name, clip, train / "train_sharp" / clip.name) for clip in _folders(blur)] if blur else []


def _folders(home: Path) -> Sequence[Path]:
    return natural_sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []


def _pairs(sequence: str, blur: Path, sharp: Path, response: str) -> list[Pair]:
    names = natural_sorted(path for path in blur.iterdir() if path.suffix.lower() in SUFFIXES)
    found = []
    for number, path in enumerate(names):
        same_stem = [sharp / path.name, *(sharp / f"{path.stem}{suffix}" for suffix in SUFFIXES)]
        other = next((file for file in same_stem if file.is_file()), same_stem[0])
        if not other.is_file():
            raise ValueError(f"{path} has no sharp image {other}; unpack the data set again")
        found.append(
            Pair(
                key=f"{sequence}/{path.stem}",
                sequence=sequence,
                split="train",
                order=float(number),
                blur=path,
                sharp=other,
                response=response,
            )
        )
    return found


HELD_OUT_SHARE = 0.1
HELD_OUT_MOST = 8


@dataclass(frozen=True, kw_only=True)
class PairSets:
    """What is trained on and what validates. digest: sha256 over all manifests. held_out: what validates, in words.

    shares: how often each folder is drawn from, in proportion; empty: every clip alike.
    """

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    digest: str
    held_out: str
    shares: tuple[float, ...] = ()


def folder_list(given: Sequence[str] | None) -> tuple[Path, ...]:
    """The folders of a --pairs option: separated by commas or spaces, or by repeating it; a comma may be in a name."""
    names = [name for text in given or [] for name in ([text] if Path(text).is_dir() else text.split(",")) if name]
    return tuple(Path(name) for name in names)


def load_pairs(folders: Sequence[Path], *, mix: Sequence[float] = (), every: Sequence[int] = ()) -> PairSets:
    """Read the pairs of one or more folders: sets made by synth/make_pairs.py, GOPRO_Large, DVD or REDS as they unpack.

    Records of the split "val" validate; where there are none, the last sequences (about a tenth of the pairs) do.
    mix: a weight per folder, how often it is drawn from. every: a number per folder; only every n-th of its pairs is
    taken. Errors: FileNotFoundError, ValueError: one sentence that names the folder.
    """
    for flag, given in (("--mix", mix), ("--every", every)):
        if given and len(given) != len(folders):
            raise ValueError(f"{flag} needs one number per folder of pairs: {len(folders)} folders, got {len(given)}")
        if any(not value > 0 for value in given):
            raise ValueError(f"{flag} takes numbers above 0, got {', '.join(f'{value:g}' for value in given)}")
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    for number, folder in enumerate(folders):
        prefix = f"{number}:" if len(folders) > 1 else ""
        found, identity = layout_pairs(Path(folder), prefix) or manifest_pairs(Path(folder), prefix)
        pairs += [replace(pair, folder=number) for pair in found[:: every[number] if every else 1]]
        digest.update(identity)
    validation = _some_of_each_sequence([pair for pair in pairs if pair.split == "val"])
    train = [pair for pair in pairs if pair.split == "train"]
    if validation:
        held_out = f"{len(validation)} pairs of the split val"
    else:
        train, validation, held_out = _hold_out(train)
    if not train:
        where = ", ".join(str(folder) for folder in folders)
        raise ValueError(
            f"{where}: no pairs of the split train are left to train on; make some with synth/make_pairs.py"
        )
    return PairSets(
        train=tuple(train),
        validation=tuple(validation),
        digest=digest.hexdigest(),
        held_out=held_out,
        shares=tuple(mix),
    )


def _hold_out(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair], str]:
    """Keep back the whole last sequence (of a single one, its last tenth): what trains, what validates, in words."""
    if len(pairs) < 2:
        return list(pairs), [], "nothing (there is one pair only)"
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    if len(names) == 1:
        kept = min(HELD_OUT_MOST, max(1, round(len(pairs) * HELD_OUT_SHARE)))
        return list(pairs[:-kept]), list(pairs[-kept:]), f"the last {kept} pairs of {names[0]}"
    # All of the sequence leaves the training, even where a part of it is enough to validate.
    rest = [pair for pair in pairs if pair.sequence != names[-1]]
    last = [pair for pair in pairs if pair.sequence == names[-1]][:HELD_OUT_MOST]
    return rest, last, f"{len(last)} pairs of the sequence {names[-1]}"


def _some_of_each_sequence(pairs: Sequence[Pair]) -> list[Pair]:
    """The first few pairs of every sequence, together about as many as validation can afford."""
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    each = max(1, HELD_OUT_MOST // max(1, len(names)))
    kept: list[Pair] = []
    for name in names:
        kept += [pair for pair in pairs if pair.sequence == name][:each]
    return kept[:HELD_OUT_MOST]


def manifest_pairs(folder: Path, prefix: str = "") -> tuple[list[Pair], bytes]:
    """All pairs of a set made by synth/make_pairs.py, whatever their split, and the manifest's bytes.

    prefix: put before the names of sequences. Errors: as `load_pairs`.
    """
    path = folder / "pairs.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; make pairs with synth/make_pairs.py --out {folder}, or give the folder "
            f"GOPRO_Large, DeepVideoDeblurring_Dataset or REDS itself, or one with blur/ and sharp/{lying_in(folder)}"
        )
    data = path.read_bytes()
    pairs = []
    for record in checked_lines(folder, data, PairImages):
        pair = Pair(
            key=record["key"],
            sequence=f"{prefix}{record['sequence']}",
            split=record["split"],
            order=float(record["centre_s"]),
            blur=folder / record["blur"],
            sharp=folder / record["sharp"],
            response=record["response"],
        )
        if not shards.exists(pair.blur) or not shards.exists(pair.sharp):
            raise FileNotFoundError(f"{path}: {pair.blur} or {pair.sharp} of the pair {pair.key!r} is missing")
        pairs.append(pair)
    if not pairs:
        raise ValueError(f"{path}: the set is empty; make pairs with synth/make_pairs.py")
    return pairs, data


def lying_in(folder: Path, most: int = 8) -> str:
    """ "; there are a/, b.png and 3 more in it" for a sentence about a folder in which something was not found."""
    if not folder.is_dir():
        return ""
    names = [f"{path.name}/" if path.is_dir() else path.name for path in natural_sorted(folder.iterdir())]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"; there are {', '.join(names[:most])}{rest} in it" if names else "; the folder is empty"


def smallest_side(pairs: Sequence[Pair]) -> int:
    """The shortest side of all images, read from their headers. Units: px.

    Errors: ValueError if the two images of a pair, or the images of a sequence, differ in size.
    """
    sides: list[int] = []
    first: dict[str, tuple[Pair, tuple[int, int]]] = {}
    for pair in pairs:
        size = image_size(pair.blur)
        if size != image_size(pair.sharp):
            raise ValueError(f"{pair.blur} and {pair.sharp} have different sizes; a pair has one size")
        other, expected = first.setdefault(pair.sequence, (pair, size))
        if size != expected:
            raise ValueError(f"{pair.blur} and {other.blur} have different sizes; a sequence has one size")
        sides += size
    return min(sides)
