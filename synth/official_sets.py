"""Official data sets: what of them is kept for tests, and how those of a high frame rate unpack.

Nobody trains on what is kept for tests, whatever package asks.

NFS (Galoogahi et al., ICCV 2017): NAME/240/NAME/*.jpg beside NAME/30/..., 100 videos of 240 fps. GOPRO_Large_all (Nah
et al., CVPR 2017): train/SEQUENCE/*.png; its test half is left out. DVD's original videos (Su et al., CVPR 2017):
original_high_fps_videos/*, without the ten test videos.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from core.image_files import list_images, natural_sorted

# The ten test sequences of DVD (Su et al., CVPR 2017), #1 to #10; 100 frames each.
DVD_TEST_SEQUENCES = (
    "IMG_0030",
    "IMG_0049",
    "IMG_0021",
    "720p_240fps_2",
    "IMG_0032",
    "IMG_0033",
    "IMG_0031",
    "IMG_0003",
    "IMG_0039",
    "IMG_0037",
)
# The clips of REDS' training half that video papers test on (Wang et al., EDVR, CVPRW 2019).
REDS4 = ("000", "011", "015", "020")

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".m4v", ".mkv")


def expanded(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The paths, each root of a known data set replaced by its videos in natural order; all others as they are."""
    found: list[Path] = []
    for path in paths:
        found += videos_of(path) or [path]
    return tuple(found)


def videos_of(root: Path) -> list[Path]:
    """The training videos of a data set's root; empty for any other path."""
    if not root.is_dir() or list_images(root):
        return []
    return _nfs(root) or _gopro_all(root) or _dvd(root)


def _nfs(root: Path) -> list[Path]:
    folders = [inner for name in _folders(root) for inner in _folders(name / "240")]
    return [folder for folder in folders if list_images(folder)]


def _gopro_all(root: Path) -> list[Path]:
    return [folder for folder in _folders(root / "train") if list_images(folder)]


def _dvd(root: Path) -> list[Path]:
    home = root / "original_high_fps_videos"
    if not home.is_dir():
        return []
    files = natural_sorted(path for path in home.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    return [path for path in files if path.stem not in DVD_TEST_SEQUENCES]


def _folders(home: Path) -> list[Path]:
    return list(natural_sorted(path for path in home.iterdir() if path.is_dir())) if home.is_dir() else []
