"""Training pairs out of data sets as they unpack: GOPRO_Large and DeepVideoDeblurring_Dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmark.protocol import DVD_TEST_SEQUENCES
from models.pair_record import Pair
from synth.image_files import natural_sorted

# Both sets average pixel values as they are (GoPro's `blur`; of DVD nothing else is known).
RESPONSE = "linear"


def layout_pairs(folder: Path, prefix: str) -> tuple[list[Pair], bytes] | None:
    """The training pairs of a data set in its own layout, and what identifies them; None for any other folder.

    GOPRO_Large: train/<sequence>/{blur,sharp}, or train/{input,target} as re-packed; the test half is never read.
    DeepVideoDeblurring_Dataset: quantitative_datasets/<sequence>/{input,GT} without the ten test sequences. The
    identity is a hash over names and sizes of files, not over their contents.
    Errors: ValueError if a blurred image has no sharp one.
    """
    if (folder / "pairs.jsonl").is_file():
        return None
    found = _gopro(folder) or _dvd(folder)
    if not found:
        return None
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    for sequence, blur, sharp in found:
        pairs += _pairs(f"{prefix}{sequence}", blur, sharp)
    for pair in pairs:
        for path in (pair.blur, pair.sharp):
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
    return pairs, digest.digest()


def _gopro(folder: Path) -> list[tuple[str, Path, Path]]:
    train = folder / "train"
    if (train / "input").is_dir() and (train / "target").is_dir():
        return [("train", train / "input", train / "target")]
    return [(home.name, home / "blur", home / "sharp") for home in _folders(train) if (home / "blur").is_dir()]


def _dvd(folder: Path) -> list[tuple[str, Path, Path]]:
    homes = _folders(folder / "quantitative_datasets")
    chosen = [home for home in homes if home.name not in DVD_TEST_SEQUENCES]
    return [(home.name, home / "input", home / "GT") for home in chosen if (home / "input").is_dir()]


def _folders(home: Path) -> Sequence[Path]:
    return natural_sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []


def _pairs(sequence: str, blur: Path, sharp: Path) -> list[Pair]:
    names = natural_sorted(path for path in blur.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    found = []
    for number, path in enumerate(names):
        other = sharp / path.name
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
                response=RESPONSE,
            )
        )
    return found
