"""The images of `folder:PATH`: where each lies, whether it was changed since, and the copy that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from benchmark.plan import Target
from benchmark.scoring import record_path, scored_images
from core import files
from core.image_files import IMAGE_SUFFIXES, encode_png, read_picture
from core.pair_folders import plain_name


def find_image(homes: Sequence[Path], key: str) -> Path | None:
    """The file of a key in the first folder that has it; `scene001/blur_1` may also be called scene001_blur_1.

    Names need not agree in case, in "-" and "_", and in what says the image's part: 0001_restored is 0001.
    """
    for home in homes:
        for name in dict.fromkeys((key, key.replace("/", "_"))):
            for suffix in IMAGE_SUFFIXES:
                path = home / f"{name}{suffix}"
                if path.is_file():
                    return path
        if home.is_dir() and (found := _by_plain_name(home, home.stat().st_mtime_ns).get(_plain(key))):
            return found
    return None


def _plain(key: str) -> str:
    return plain_name(key.replace("/", "_"))


@lru_cache(maxsize=64)
def _by_plain_name(home: Path, mtime_ns: int) -> dict[str, Path]:
    """Images below a folder by what is left of their names without case, signs and the image's part (_restored).

    mtime_ns only tells a folder that was changed. Names that two images share name none of them.
    """
    found: dict[str, Path | None] = {}
    for path in sorted(home.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            name = _plain(path.relative_to(home).with_suffix("").as_posix())
            found[name] = None if name in found else path
    return {name: path for name, path in found.items() if path is not None}


def homes(folder: Path, target: Target, targets: Sequence[Target]) -> list[Path]:
    """Where the images of a target may lie: `PATH/<test set>`, or PATH itself where one test set is asked for.

    gopro has two kinds of input: where both are scored, the restorations of blur_gamma lie in `PATH/gopro-gamma`.
    """
    testset = target.testset
    same_set = {other.testset.images_folder for other in targets if other.testset.name == testset.name}
    only_set = len({other.testset.name for other in targets}) == 1
    found = [folder / testset.images_folder]
    if len(same_set) == 1 or testset.images_folder == testset.name:
        found.append(folder / testset.name)
        if only_set:
            found.append(folder)
    return list(dict.fromkeys(found))


def has_any(folder: Path, target: Target, targets: Sequence[Target]) -> bool:
    """Whether the folder has at least one image of the target."""
    places = homes(folder, target, targets)
    return any(find_image(places, key) is not None for key in target.keys)


def with_images(folder: Path, targets: Sequence[Target]) -> list[Target]:
    """The targets without the other input variants of a set (gopro-gamma) for which the folder has no image."""
    return [
        target
        for target in targets
        if target.testset.images_folder == target.testset.name or has_any(folder, target, targets) or len(targets) == 1
    ]


def keep(source: Path, target: Path) -> None:
    """Copy an image to images/, where the page and a preference study look for it. What is no PNG becomes one.

    A copy and no link: what was scored stays what is shown. Errors: ValueError for an unreadable image; OSError.
    """
    data = source.read_bytes() if source.suffix.lower() == ".png" else encode_png(read_picture(source).rgb)
    if not target.is_file() or target.read_bytes() != data:
        files.write_bytes(target, data)


def change(folder: Path, targets: Sequence[Target], out: Path) -> str | None:
    """The first image that is another one than when it was scored, as a sentence; None if all are the same."""
    targets = with_images(folder, targets)
    for target in targets:
        places = homes(folder, target, targets)
        recorded = scored_images(record_path(out, folder.resolve().name, target))
        for key in target.keys:
            path = find_image(places, key)
            if path is None:
                return f"{key} in {folder} is missing"
            if files.sha256_of(path) != recorded.get(key):
                return f"{path} was changed after it was scored"
    return None
