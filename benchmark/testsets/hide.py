"""HIDE: the test half, people in motion, close-ups and long shots; the authors' folders or the re-pack of MPRNet."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import Clip, Sample, TestSet, TestSetEntry, images_by_stem, listed, some, still

COUNT = 2025  # as papers state it; no source of the authors was read
FOLDERS = ("HIDE_dataset", "HIDE", "test/HIDE")
# Blurred folders and the sharp one: the authors' layout (unverified), then the re-pack's.
LAYOUTS = (
    (("test/test-close-ups", "test/test-long-shot"), "GT"),
    (("input",), "target"),
)


def find(data_root: Path) -> Path | None:
    """The folder `HIDE_dataset` or `HIDE` (or test/HIDE) in one of the known layouts, or None."""
    for name in FOLDERS:
        if _layout(data_root / name) is not None:
            return data_root / name
    known = data_root.name in FOLDERS and _layout(data_root) is not None
    return data_root if known else None


def problems(folder: Path) -> list[str]:
    """Sentences about missing folders and partners; empty if the 2,025 pairs are complete."""
    layout = _layout(folder)
    if layout is None:
        return [f"{folder}: neither test/test-close-ups, test/test-long-shot and GT nor input and target are there"]
    blurred, sharp = layout
    found = [f"{home}: the folder is missing" for home in blurred if not home.is_dir()]
    truths = images_by_stem(sharp)
    stems = [stem for home in blurred for stem in images_by_stem(home)]
    if lonely := [stem for stem in stems if stem not in truths]:
        found.append(f"{folder}: {some(lonely)} without a sharp image in {sharp.name}")
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []:
        found.append(f"{folder}: {some(twice)} in both blurred folders; only one of each is scored")
    count = len(set(stems) & truths.keys())
    return found if count == COUNT else [*found, f"{folder}: {count} pairs, {COUNT} expected"]


def open_hide(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: the file's stem, such as `1fromGOPR0950`."""
    return listed(
        name="hide",
        title="HIDE",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, folder),
    )


def _layout(folder: Path) -> tuple[tuple[Path, ...], Path] | None:
    for blurred, sharp in LAYOUTS:
        if (folder / sharp).is_dir() and any((folder / name).is_dir() for name in blurred):
            return tuple(folder / name for name in blurred), folder / sharp
    return None


def _clips(folder: Path) -> tuple[Clip, ...]:
    layout = _layout(folder)
    if layout is None:
        return ()
    blurred, sharp = layout
    truths = images_by_stem(sharp)
    images = {stem: path for home in blurred for stem, path in images_by_stem(home).items() if stem in truths}
    return tuple(still(Sample(key=stem, blur=path, references=(truths[stem],))) for stem, path in images.items())


ENTRY = TestSetEntry(
    name="hide",
    title="HIDE",
    source="Shen et al., Human-Aware Motion Deblurring, ICCV 2019",
    licence="none stated; see https://github.com/joanshen0508/HA_deblur (not redistributed here)",
    protocols=("hide",),
    find=find,
    folders=FOLDERS,
    problems=problems,
    open=open_hide,
)
