"""Lai et al. 2016: the synthetic uniform and non-uniform sets, and the real images, which have no ground truth."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from benchmark.protocol import EvalProtocol
from benchmark.testsets.base import Clip, Sample, TestSet, TestSetEntry
from benchmark.testsets.lai_mini import render_nonuniform, render_real, render_uniform
from benchmark.testsets.listing import first_folder, images_by_stem, is_mini, listed, mini_problems, some, still

SOURCE = "Lai et al., A Comparative Study for Single Image Blind Deblurring, CVPR 2016"
LICENCE = "none stated; see http://vllab.ucmerced.edu/wlai24/cvpr16_deblur_study/ (not redistributed here)"
COUNT = 100  # blurred images in each of the three sets
TRUTHS = 25
_BLURRED = re.compile(r"(.+)_(?:kernel|gyro)_\d+")


def sharp_stem(blurred_stem: str) -> str | None:
    """Name of the ground truth of a blurred file: `manmade_01_kernel_01` -> `manmade_01`; None for another name."""
    name = _BLURRED.fullmatch(blurred_stem)
    return name[1] if name else None


def _find(part: str, data_root: Path) -> Path | None:
    """The folder `Lai` if it has `part`, or None."""
    folder = first_folder(data_root, ("Lai",))
    return folder if folder is not None and (folder / part).is_dir() else None


def _synthetic_problems(kind: str, folder: Path) -> list[str]:
    blurred_folder, truth_folder = folder / "synthetic_dataset" / kind, folder / "synthetic_dataset" / "ground_truth"
    if is_mini(blurred_folder):
        return mini_problems(blurred_folder)
    missing = [home for home in (blurred_folder, truth_folder) if not home.is_dir()]
    if missing:
        return [f"{home}: the folder is missing" for home in missing]
    blurred, truths = images_by_stem(blurred_folder), images_by_stem(truth_folder)
    found = []
    if len(blurred) != COUNT:
        found.append(f"{blurred_folder}: {len(blurred)} images, {COUNT} expected")
    if len(truths) != TRUTHS:
        found.append(f"{truth_folder}: {len(truths)} images, {TRUTHS} expected")
    if lonely := [stem for stem in blurred if sharp_stem(stem) not in truths]:
        found.append(f"{blurred_folder}: {some(lonely)} without a sharp image in {truth_folder.name}")
    return found


def _real_problems(folder: Path) -> list[str]:
    home = folder / "real_dataset"
    if is_mini(home):
        return mini_problems(home)
    if not home.is_dir():
        return [f"{home}: the folder is missing"]
    count = len(images_by_stem(home))
    return [] if count == COUNT else [f"{home}: {count} images, {COUNT} expected"]


def _synthetic_clips(kind: str, folder: Path) -> tuple[Clip, ...]:
    truths = images_by_stem(folder / "synthetic_dataset" / "ground_truth")
    clips = []
    for stem, path in images_by_stem(folder / "synthetic_dataset" / kind).items():
        if (truth := truths.get(sharp_stem(stem) or "")) is not None:
            clips.append(still(Sample(key=stem, blur=path, references=(truth,))))
    return tuple(clips)


def _real_clips(folder: Path) -> tuple[Clip, ...]:
    images = images_by_stem(folder / "real_dataset")
    return tuple(still(Sample(key=stem, blur=path, references=())) for stem, path in images.items())


def _open_synthetic(kind: str, folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: the blurred file's stem, `manmade_01_kernel_01`; the reference is ground_truth/manmade_01."""
    return listed(
        name=f"lai-{kind}",
        title=f"Lai {kind}",
        folder=folder / "synthetic_dataset" / kind,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_synthetic_clips, kind, folder),
    )


def _open_real(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set without ground truth. Keys: the file's stem."""
    return listed(
        name="lai-real",
        title="Lai real",
        folder=folder / "real_dataset",
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_real_clips, folder),
    )


UNIFORM = TestSetEntry(
    name="lai-uniform",
    title="Lai uniform",
    source=SOURCE,
    licence=LICENCE,
    protocols=("lai-synthetic",),
    find=partial(_find, "synthetic_dataset/uniform"),
    problems=partial(_synthetic_problems, "uniform"),
    open=partial(_open_synthetic, "uniform"),
    render_mini=render_uniform,
)
NONUNIFORM = TestSetEntry(
    name="lai-nonuniform",
    title="Lai nonuniform",
    source=SOURCE,
    licence=LICENCE,
    protocols=("lai-synthetic",),
    find=partial(_find, "synthetic_dataset/nonuniform"),
    problems=partial(_synthetic_problems, "nonuniform"),
    open=partial(_open_synthetic, "nonuniform"),
    render_mini=render_nonuniform,
)
REAL = TestSetEntry(
    name="lai-real",
    title="Lai real",
    source=SOURCE,
    licence=LICENCE,
    protocols=("lai-real",),
    find=partial(_find, "real_dataset"),
    problems=_real_problems,
    open=_open_real,
    render_mini=render_real,
)
