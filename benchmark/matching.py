"""Which sharp image belongs to which restored one, for two files or two folders given by a user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchmark.protocols import SU30_SHIFT, EvalProtocol, scored_positions, su30_indices
from benchmark.testsets.kohler import is_compared
from core.image_files import IMAGE_SUFFIXES, list_images, natural_key
from core.pair_folders import SHARP, Value, by_plain_name

SHARP_FOLDERS = (
    SHARP  # what the folder is called that a data set keeps its sharp images in, as GoPro's sharp/, DVD's GT/
)
# Official layouts that name the two images of a pair differently: what a key keeps of a path below its folder, and
# which files of the official folder are the sharp ones. Results are usually called scene001_blur_1, 0001_000001.
_REALBLUR = (re.compile(r"(?:.*/)?(scene\d+)(?:_reflect)?[/_](?:(?:blur|gt)/)?(?:blur|gt)_(\d+)"), "{}/blur_{}")
_RSBLUR = (re.compile(r"(?:.*/)?(\d{4})[/_](\d{6})(?:[/_].*)?"), "{}/{}")
SCENE_KEYS = {"realblur-j": _REALBLUR, "realblur-r": _REALBLUR, "rsblur": _RSBLUR}


@dataclass(frozen=True, kw_only=True)
class ScoreItem:
    """One image to score: its key, its file and its sharp files (many for Kohler, none without ground truth)."""

    key: str
    restored: Path
    references: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Matching:
    """What fits together, and the names of what does not."""

    items: tuple[ScoreItem, ...]
    without_sharp: tuple[str, ...] = ()
    without_restored: tuple[str, ...] = ()


def match(restored: Path, sharp: Path | None, protocol: EvalProtocol) -> Matching:
    """Pair files by key: the path below the folder without suffix.

    GoPro, DVD: the same key on both sides; `<sequence>/sharp/<frame>` and `<sequence>/GT/<frame>` count as
    `<sequence>/<frame>`. RealBlur, RSBlur: scene and number, from the official layout or a result's name. Lai: the
    sharp name is the beginning of the restored one. Kohler: a name that ends in {p}_{k}, with the frames in
    Image{p}/Kernel{k} below `sharp`; or one file and a folder of its frames. Frames that the official scorer leaves out
    (30 and 199 of image 1, kernel 3) are left out here, too.
    Errors: ValueError, one sentence: missing paths, a file beside a folder, two files of one key, nothing to score.
    """
    for path in (restored, sharp):
        if path is not None and not path.exists():
            raise ValueError(f"{path} does not exist")
    if not protocol.reference:
        return _without_reference(restored)
    if sharp is None:
        raise ValueError(
            f"{protocol.name} compares with sharp images: name their file or folder as the second argument"
        )
    if protocol.testset == "kohler":
        matching = _match_trajectories(restored, sharp)
    elif restored.is_file() and sharp.is_file():
        matching = Matching(items=(ScoreItem(key=restored.stem, restored=restored, references=(sharp,)),))
    elif restored.is_file() or sharp.is_file():
        raise ValueError(f"two files or two folders are needed, got {restored} and {sharp}")
    elif protocol.testset.startswith("lai"):
        matching = _match_beginnings(images_by_key(restored), images_by_key(sharp))
    elif protocol.testset in SCENE_KEYS:
        matching = _match_scenes(images_by_key(restored), images_by_key(sharp), SCENE_KEYS[protocol.testset])
    else:
        matching = _match_equal(images_by_key(restored), sharp_images_by_key(sharp), protocol)
    if not matching.items:
        raise ValueError(f"no image in {restored} has its sharp image in {sharp} ({_examples(matching)})")
    return matching


def images_by_key(folder: Path) -> dict[str, Path]:
    """Every image below a folder by its key, in natural order. Errors: ValueError: two of one key, or no image."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*"), key=natural_key):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() not in IMAGE_SUFFIXES or hidden or not path.is_file():
            continue
        key = relative.with_suffix("").as_posix()
        if key in found:
            raise ValueError(f"{found[key]} and {path} would both be the image {key}; keep one of them")
        found[key] = path
    if not found:
        raise ValueError(f"{folder} has no images ({', '.join(IMAGE_SUFFIXES)})")
    return found


def sharp_images_by_key(folder: Path) -> dict[str, Path]:
    """`images_by_key`; where an official layout keeps sharp frames apart, only those, without that folder's name."""
    found = images_by_key(folder)
    official: dict[str, Path] = {}
    for key, path in found.items():
        parts = PurePosixPath(key).parts
        kept = [part for part in parts[:-1] if part.casefold() not in SHARP_FOLDERS]
        if len(kept) < len(parts) - 1:
            name = "/".join([*kept, parts[-1]])
            if name in official:
                raise ValueError(f"{official[name]} and {path} would both be the image {name}; keep one of them")
            official[name] = path
    return official or found


def _without_reference(restored: Path) -> Matching:
    files = {restored.stem: restored} if restored.is_file() else images_by_key(restored)
    return Matching(items=tuple(ScoreItem(key=key, restored=path, references=()) for key, path in files.items()))


def _match_equal(restored: dict[str, Path], sharp: dict[str, Path], protocol: EvalProtocol) -> Matching:
    restored = _under_sharp_names(restored, sharp)
    scored = list(sharp) if protocol.frames == "all" else _scored_keys(sharp, protocol.frames)
    return Matching(
        items=tuple(
            ScoreItem(key=key, restored=restored[key], references=(sharp[key],)) for key in scored if key in restored
        ),
        without_sharp=tuple(key for key in restored if key not in sharp),
        without_restored=tuple(key for key in scored if key not in restored),
    )


def _under_sharp_names(restored: dict[str, Path], sharp: dict[str, Path]) -> dict[str, Path]:
    """Restored images under the names of their sharp ones, where the two differ in case, signs or the image's part
    (scene/0001_restored and scene-0001). Errors: ValueError if two would be the same image."""
    alone = {key: path for key, path in restored.items() if key not in sharp}
    if not alone:
        return restored
    others = {key: key for key in sharp if key not in restored}
    found = {key: path for key, path in restored.items() if key in sharp}
    for form in (by_plain_name, _flattened):
        ours, theirs = form(alone), form(others)
        for name, path in ours.items():
            if (key := theirs.get(name)) is not None and key not in found:
                found[key] = path
    taken = set(found.values())
    return found | {key: path for key, path in alone.items() if path not in taken}


def _flattened(files: Mapping[str, Value]) -> dict[str, Value]:
    """As by_plain_name, with the folders' names as a part of the name."""
    return by_plain_name({key.replace("/", "_"): value for key, value in files.items()})


def _scored_keys(sharp: dict[str, Path], frames: str) -> list[str]:
    """The scored frames of every sequence. Errors: ValueError for a sequence too short to have those of su30."""
    sequences: dict[str, list[str]] = {}
    for key in sharp:
        sequences.setdefault(PurePosixPath(key).parent.as_posix(), []).append(key)
    for name, keys in sequences.items():
        if frames in SU30_SHIFT and len(keys) <= su30_indices(frames)[-1]:
            first, *_, last = su30_indices(frames)
            raise ValueError(
                f"dvd-su30 scores frames {first} to {last} (counted from 0) of each sequence of 100; "
                f"{name} has {len(keys)} sharp frames"
            )
    return [keys[index] for keys in sequences.values() for index in scored_positions(frames, len(keys))]


def _match_scenes(restored: dict[str, Path], sharp: dict[str, Path], naming: tuple[re.Pattern[str], str]) -> Matching:
    """RealBlur, RSBlur: keys by `naming`; of an official folder only what lies in gt/."""
    pattern, form = naming

    def renamed(files: dict[str, Path]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for key, path in files.items():
            name = pattern.fullmatch(key)
            new = form.format(*name.groups()) if name else key
            if new in found:
                raise ValueError(f"{found[new]} and {path} would both be the image {new}; keep one of them")
            found[new] = path
        return found

    official = {key: path for key, path in sharp.items() if PurePosixPath(key).parent.name == "gt"}
    scored, known = renamed(restored), renamed(official or sharp)
    return Matching(
        items=tuple(
            ScoreItem(key=key, restored=scored[key], references=(known[key],)) for key in known if key in scored
        ),
        without_sharp=tuple(key for key in scored if key not in known),
        without_restored=tuple(key for key in known if key not in scored),
    )


def _match_beginnings(restored: dict[str, Path], sharp: dict[str, Path]) -> Matching:
    """Lai: manmade_01_kernel_01 belongs to manmade_01; of several that fit, the longest."""
    by_name = {PurePosixPath(key).name: key for key in sharp}
    items, without_sharp, used = [], [], set()
    for key, path in restored.items():
        name = PurePosixPath(key).name
        fitting = [start for start in by_name if name == start or name.startswith(start + "_")]
        if not fitting:
            without_sharp.append(key)
            continue
        sharp_key = by_name[max(fitting, key=len)]
        used.add(sharp_key)
        items.append(ScoreItem(key=key, restored=path, references=(sharp[sharp_key],)))
    unused = tuple(key for key in sharp if key not in used)
    return Matching(items=tuple(items), without_sharp=tuple(without_sharp), without_restored=unused)


def _match_trajectories(restored: Path, sharp: Path) -> Matching:
    """Kohler: the frames of image p and kernel k for every restored name ending in {p}_{k}."""
    if sharp.is_file():
        if not restored.is_file():
            raise ValueError(
                f"{sharp} is one frame; a folder of images needs the Kohler folder with Image1/Kernel1/..."
            )
        return Matching(items=(ScoreItem(key=restored.stem, restored=restored, references=(sharp,)),))
    if restored.is_file() and list_images(sharp):  # a folder of frames, whatever their names
        frames = tuple(path for path in list_images(sharp) if is_compared(path.stem))
        return Matching(items=(ScoreItem(key=restored.stem, restored=restored, references=frames),))
    files = {restored.stem: restored} if restored.is_file() else images_by_key(restored)
    items: dict[str, ScoreItem] = {}
    without_sharp = []
    for name, path in files.items():
        numbers = re.search(r"(?:^|\D)0*(\d+)_0*(\d+)$", name)
        frames = _trajectory(sharp, *numbers.groups()) if numbers else ()
        if numbers is None or not frames:
            without_sharp.append(name)
            continue
        key = f"Blurry{numbers[1]}_{numbers[2]}"
        if key in items:
            raise ValueError(f"{items[key].restored} and {path} would both be the image {key}; keep one of them")
        items[key] = ScoreItem(key=key, restored=path, references=frames)
    trajectories = sorted((path for path in sharp.glob("Image*/Kernel*") if path.is_dir()), key=natural_key)
    used = {frame.parent for item in items.values() for frame in item.references}
    return Matching(
        items=tuple(items.values()),
        without_sharp=tuple(without_sharp),
        without_restored=tuple(path.relative_to(sharp).as_posix() for path in trajectories if path not in used),
    )


def _trajectory(sharp: Path, image: str, kernel: str) -> tuple[Path, ...]:
    folder = sharp / f"Image{image}" / f"Kernel{kernel}"
    start = f"GroundTruth{image}_{kernel}_"
    frames = list_images(folder) if folder.is_dir() else []
    return tuple(path for path in frames if path.name.startswith(start) and is_compared(path.stem))


def _examples(matching: Matching) -> str:
    def first(names: Iterable[str]) -> str:
        return next(iter(names), "none")

    return f"for example {first(matching.without_sharp)} beside {first(matching.without_restored)}"
