"""Which blurred/sharp pairs a training uses: from our manifests or the official layouts, thinned and mixed.

The official layouts are GOPRO_Large, DeepVideoDeblurring_Dataset, REDS (blurred, or sharp and bicubically reduced) and
Vimeo-90K as they unpack, and folders of sharp images alone (DF2K, FFHQ).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core import shards
from core.command_line import note, unknown
from core.image_files import image_size, list_images, natural_sorted
from core.pair_folders import find_pairs
from synth.manifest import PairImages, checked_lines
from synth.official_sets import DVD_TEST_SEQUENCES, REDS4


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


GOPRO_INPUTS = ("blur", "blur_gamma")


def layout_pairs(
    folder: Path, prefix: str, gopro_input: str = "blur", scale: int = 1
) -> tuple[list[Pair], bytes] | None:
    """The training pairs of a data set in its own layout, and what identifies them; None for any other folder.

    GOPRO_Large: train/<sequence>/{blur,sharp}, or blur_gamma in place of blur, or train/{input,target} as re-packed;
    the test half is never read. DeepVideoDeblurring_Dataset: quantitative_datasets/<sequence>/{input,GT} without the
    ten test sequences. REDS: train/{train_blur,train_sharp}/<clip>, or train_blur_jpeg where train_blur is missing, or
    for networks that enlarge (scale 4) train_sharp_bicubic/X4; the clips REDS4 are of the split "val"; never the
    validation half, on which the benchmark scores. Vimeo-90K: sequences/<a>/<b>/im1.png to im7.png of the clips in
    sep_trainlist.txt, for networks that enlarge, with sequences_BI or sequences_LR as input where one is there. Any
    other folder: blurred and sharp images in the arrangements of core/pair_folders.py, the halves train and val of it,
    or all where there are none. The identity is a hash over names and sizes of files, not over their contents.
    Errors: ValueError if a blurred image has no sharp one (in a folder of one's own a note names them), or a folder of
    GoPro has not the input that is asked for.
    """
    if (folder / "pairs.jsonl").is_file():
        return None
    found, response = _gopro(folder, gopro_input) or _dvd(folder), PIXEL_VALUES
    if not found:
        found, response = _reds(folder, scale), LIGHT
    if not found:
        found = _vimeo(folder)
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    held = REDS4 if (folder / "train" / "train_sharp").is_dir() else ()
    repacked = [home.parent for _, home, _ in found] == [folder / "train"]
    for sequence, blur, sharp in found:
        split = "val" if sequence in held else "train"
        listed = _pairs(f"{prefix}{sequence}", blur, sharp, response)
        if repacked:  # GOPR0372_07_00-000047.png: the sequence is in the name
            listed = [replace(pair, sequence=f"{prefix}{_in_name(pair.blur.stem, sequence)}") for pair in listed]
        pairs += [replace(pair, split=split) for pair in listed]
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


def sharp_pairs(folders: Sequence[Path]) -> PairSets:
    """Sharp images alone, each its own input: for recipes that make their input from the sharp side. All of them train.

    A folder of PNG or JPEG files (FFHQ), or of such folders (DF2K: DIV2K_train_HR and Flickr2K, or that with
    Flickr2K_HR in it; FFHQ's 00000, 01000, ...). Errors: FileNotFoundError, ValueError: one sentence.
    """
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    for number, folder in enumerate(folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"--sharp {folder} is no folder; give a folder of sharp PNG or JPEG files")
        paths = [path for home in (folder, *_folders(folder), *_inner(folder)) for path in list_images(home)]
        if not paths:
            raise ValueError(f"--sharp {folder}: there is no PNG or JPEG file in this folder or in those inside it")
        for path in paths:
            key = path.relative_to(folder).with_suffix("").as_posix()
            pairs.append(
                Pair(
                    key=key, sequence=f"{number}:{key}", split="train", order=0.0, blur=path, sharp=path, folder=number
                )
            )
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
    return PairSets(
        train=tuple(pairs), validation=(), digest=digest.hexdigest(), held_out="nothing (sharp images alone)"
    )


def _in_name(stem: str, otherwise: str) -> str:
    return stem.rpartition("-")[0] or otherwise


def _inner(folder: Path) -> list[Path]:
    return [inner for outer in _folders(folder) for inner in _folders(outer)]


def _gopro(folder: Path, blur: str) -> list[tuple[str, Path, Path]]:
    train = folder / "train"
    if (train / "input").is_dir() and (train / "target").is_dir():
        return [("train", train / "input", train / "target")]
    homes = [home for home in _folders(train) if (home / "sharp").is_dir()]
    lacking = [home for home in homes if not (home / blur).is_dir()]
    if homes and lacking:
        others = ", ".join(name for name in GOPRO_INPUTS if (lacking[0] / name).is_dir()) or "none"
        raise ValueError(
            f"{lacking[0]} has no folder {blur} (of {' and '.join(GOPRO_INPUTS)}: {others}); choose another "
            "--gopro-input, or unpack GOPRO_Large again"
        )
    return [(home.name, home / blur, home / "sharp") for home in homes]


def _dvd(folder: Path) -> list[tuple[str, Path, Path]]:
    homes = _folders(folder / "quantitative_datasets")
    chosen = [home for home in homes if home.name not in DVD_TEST_SEQUENCES]
    return [(home.name, home / "input", home / "GT") for home in chosen if (home / "input").is_dir()]


def _reds(folder: Path, scale: int) -> list[tuple[str, Path, Path]]:
    train = folder / "train"
    if scale > 1:
        small = train / "train_sharp_bicubic" / f"X{scale}"
        if small.is_dir():
            return [(clip.name, clip, train / "train_sharp" / clip.name) for clip in _folders(small)]
    blur = next((home for name in ("train_blur", "train_blur_jpeg") if (home := train / name).is_dir()), None)
    return [(clip.name, clip, train / "train_sharp" / clip.name) for clip in _folders(blur)] if blur else []


def _vimeo(folder: Path) -> list[tuple[str, Path, Path]]:
    """The clips of sep_trainlist.txt, "00001/0001" a line. Errors: ValueError for a list without its folder."""
    path, homes = folder / "sep_trainlist.txt", folder / "sequences"
    if not path.is_file():
        return []
    if not homes.is_dir():
        raise ValueError(f"{path} is there, but not {homes}; unpack Vimeo-90K again")
    small = next((home for name in ("sequences_BI", "sequences_LR") if (home := folder / name).is_dir()), homes)
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(name, small / name, homes / name) for name in names]


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


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A published mix of data sets: the folders in their order, and that only every n-th pair of each is taken."""

    folders: tuple[str, ...]
    every: tuple[int, ...]
    source: str


MIXES = {
    "deblurgan-v2": Mix(
        folders=("GoPro", "DVD", "NFS"),
        every=(2, 2, 10),
        source="Kupyn et al., DeblurGAN-v2, ICCV 2019, section 3.4 and the authors' README: about 10,000 pairs",
    ),
}


def find_mix(name: str, folders: int) -> Mix:
    """Errors: ValueError for an unknown name, or another number of folders."""
    if name not in MIXES:
        raise ValueError(unknown("no mix is called", name, MIXES))
    mix = MIXES[name]
    if folders != len(mix.folders):
        raise ValueError(
            f"--mix {name} is for {len(mix.folders)} folders of --pairs in the order {', '.join(mix.folders)}, "
            f"got {folders}"
        )
    return mix


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


def load_pairs(
    folders: Sequence[Path],
    *,
    mix: Sequence[float] = (),
    every: Sequence[int] = (),
    hold_out: str = "last",
    gopro_input: str = "blur",
    scale: int = 1,
) -> PairSets:
    """Read the pairs of one or more folders: sets made by synth/make_pairs.py, GOPRO_Large, DVD or REDS as they unpack.

    Records of the split "val" validate. Where there are none, hold_out says which pairs do: "last" the last sequence;
    "none" none, so that all train; a share such as "0.05": whole sequences, spread over the set, that hold about so
    many of the pairs; names of sequences between commas. A share or names hold out of the split "train" even where
    there is a split "val", and "none" trains on that, too (REDS4 of REDS).
    mix: a weight per folder, how often it is drawn from. every: a number per folder; only every n-th of its pairs is
    taken. gopro_input, scale: see `layout_pairs`. Errors: FileNotFoundError, ValueError: one sentence that names the
    folder.
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
        found, identity = layout_pairs(Path(folder), prefix, gopro_input, scale) or manifest_pairs(Path(folder), prefix)
        pairs += [replace(pair, folder=number) for pair in found[:: every[number] if every else 1]]
        digest.update(identity)
    if hold_out == "none":
        pairs = [replace(pair, split="train") if pair.split == "val" else pair for pair in pairs]
    elif hold_out not in ("last", "val"):
        pairs = _without(pairs, hold_out)
    validation = _some_of_each_sequence([pair for pair in pairs if pair.split == "val"])
    train = [pair for pair in pairs if pair.split == "train"]
    if validation:
        held_out = f"{len(validation)} pairs of the split val"
        if hold_out not in ("last", "val"):
            held_out = f"{len(validation)} pairs of {_some({pair.sequence for pair in validation})}"
    elif hold_out == "last":
        train, validation, held_out = _hold_out(train)
    else:
        held_out = "nothing (all pairs train)"
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


def _without(pairs: Sequence[Pair], hold_out: str) -> list[Pair]:
    """The pairs, those of the sequences that are held out with the split "val" and no others.

    Errors: ValueError for a share outside of (0, 1) or a sequence that is not there.
    """
    names = list(dict.fromkeys(pair.sequence for pair in pairs if pair.split in ("train", "val")))
    try:
        share = float(hold_out)
    except ValueError:
        chosen = {name for name in hold_out.split(",") if name}
        if unknown := sorted(chosen - set(names)):
            raise ValueError(
                f"--hold-out names the sequence {unknown[0]!r}, which is not there; there are {_some(names)}"
            ) from None
    else:
        if not 0 < share < 1:
            raise ValueError(f"--hold-out is a share between 0 and 1, names of sequences or none, got {hold_out}")
        if len(names) == 1:
            return _last_pairs(pairs, share)
        count = min(len(names) - 1, max(1, round(share * len(names))))
        chosen = {names[(2 * number + 1) * len(names) // (2 * count)] for number in range(count)}
    return [
        replace(pair, split="val" if pair.sequence in chosen else "train") if pair.split in ("train", "val") else pair
        for pair in pairs
    ]


def _last_pairs(pairs: Sequence[Pair], share: float) -> list[Pair]:
    """The pairs of one sequence, so large a share of them at its end with the split "val"."""
    first = len(pairs) - min(len(pairs) - 1, max(1, round(share * len(pairs))))
    return [replace(pair, split="val" if number >= first else "train") for number, pair in enumerate(pairs)]


def _some(names: Iterable[str], shown: int = 3) -> str:
    """`a, b, c and 5 more` for a sentence, in natural order."""
    names = sorted(names)
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


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


def smallest_side(pairs: Sequence[Pair], scale: int = 1) -> int:
    """The shortest side of all sharp images, read from their headers. Units: px.

    scale: of an enlarging network, whose blurred images may be so many times smaller than the sharp ones.
    Errors: ValueError if the two images of a pair, or the images of a sequence, differ in size otherwise.
    """
    sides: list[int] = []
    first: dict[str, tuple[Pair, tuple[int, int]]] = {}
    for pair in pairs:
        size = image_size(pair.sharp)
        given = image_size(pair.blur) if pair.blur != pair.sharp else size
        if given not in (size, (size[0] // scale, size[1] // scale)) or (given != size and max(size) % scale):
            raise ValueError(f"{pair.blur} and {pair.sharp} have different sizes; a pair has one size")
        other, expected = first.setdefault(pair.sequence, (pair, size))
        if size != expected:
            raise ValueError(f"{pair.blur} and {other.blur} have different sizes; a sequence has one size")
        sides += size
    return min(sides)
