"""Training pairs out of data sets as they unpack: GOPRO_Large, DeepVideoDeblurring_Dataset and REDS."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmark.protocol import DVD_TEST_SEQUENCES
from models.pair_record import Pair
from synth.image_files import natural_sorted

# GoPro's `blur` averages pixel values as they are, and of DVD nothing else is known; REDS averages light, by a measured
# curve that is not published.
PIXEL_VALUES, LIGHT = "linear", "srgb"
SUFFIXES = (".png", ".jpg", ".jpeg")


def layout_pairs(folder: Path, prefix: str) -> tuple[list[Pair], bytes] | None:
    """The training pairs of a data set in its own layout, and what identifies them; None for any other folder.

    GOPRO_Large: train/<sequence>/{blur,sharp}, or train/{input,target} as re-packed; the test half is never read.
    DeepVideoDeblurring_Dataset: quantitative_datasets/<sequence>/{input,GT} without the ten test sequences. REDS:
    train/{train_blur,train_sharp}/<clip>, or train_blur_jpeg where train_blur is missing; never the validation half, on
    which the benchmark scores. The identity is a hash over names and sizes of files, not over their contents.
    Errors: ValueError if a blurred image has no sharp one.
    """
    if (folder / "pairs.jsonl").is_file():
        return None
    found, response = _gopro(folder) or _dvd(folder), PIXEL_VALUES
    if not found:
        found, response = _reds(folder), LIGHT
    if not found:
        return None
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    for sequence, blur, sharp in found:
        pairs += _pairs(f"{prefix}{sequence}", blur, sharp, response)
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
