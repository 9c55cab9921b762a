"""RSBlur: pairs taken through a beam splitter, with the frames of which the authors synthesise blur; the test list."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import (
    Clip,
    Sample,
    TestSet,
    TestSetEntry,
    first_folder,
    first_list,
    listed,
    pairs_of_list,
    some,
    still,
)

COUNT = 3360  # test pairs of 13,358, as the paper states it
TEST_LISTS = ("RSBlur_real_test.txt", "datalist/RSBlur/RSBlur_real_test.txt")


def find(data_root: Path) -> Path | None:
    """The folder `RSBlur`, or None."""
    return first_folder(data_root, ("RSBlur",))


def problems(folder: Path) -> list[str]:
    """Sentences about a missing list, missing images and a wrong count; empty if the 3,360 test pairs are complete."""
    path = first_list(TEST_LISTS, _homes(folder))
    if path is None:
        return [f"{folder / TEST_LISTS[0]}: the list that says which pairs are test pairs is missing"]
    try:
        pairs = pairs_of_list(path, _homes(folder))
    except ValueError as error:
        return [str(error)]
    found = [] if len(pairs) == COUNT else [f"{path}: {len(pairs)} pairs, {COUNT} expected"]
    if absent := [str(image) for pair in pairs for image in pair if not image.is_file()]:
        found.append(f"{folder}: {len(absent)} images are missing: {some(absent)}")
    return found


def open_rsblur(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: `0001/000001`; blurred real_blur/real_blur.png, sharp gt/gt_sharp.png."""
    return listed(
        name="rsblur",
        title="RSBlur",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, folder),
    )


def _homes(folder: Path) -> tuple[Path, ...]:
    """Folders that hold the list, and that its paths may be relative to."""
    return (folder.parent, folder)


def _clips(folder: Path) -> tuple[Clip, ...]:
    path = first_list(TEST_LISTS, _homes(folder))
    if path is None:
        raise FileNotFoundError(problems(folder)[0])
    return tuple(
        still(Sample(key=_key(sharp), blur=blur, references=(sharp,)))
        for blur, sharp in pairs_of_list(path, _homes(folder))
        if blur.is_file() and sharp.is_file()
    )


def _key(sharp: Path) -> str:
    """RSBlur/0001/000001/gt/gt_sharp.png -> 0001/000001."""
    pair = sharp.parent.parent
    return f"{pair.parent.name}/{pair.name}"


ENTRY = TestSetEntry(
    name="rsblur",
    title="RSBlur",
    source="Rim et al., Realistic Blur Synthesis for Learning Image Deblurring, ECCV 2022",
    licence="CC BY 4.0; see https://github.com/rimchang/RSBlur (not redistributed here)",
    protocols=("rsblur",),
    find=find,
    folders=("RSBlur",),
    problems=problems,
    open=open_rsblur,
)
