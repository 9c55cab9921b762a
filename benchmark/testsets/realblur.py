"""RealBlur-J and -R: pairs taken through a beam splitter, as camera JPEG and from raw; the authors' folders.

Which scenes are test scenes only the authors' list says (RealBlur_J_test_list.txt), so it is needed beside the folders;
re-packs with input/ and target/ hold the test images alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import (
    Clip,
    Sample,
    TestSet,
    TestSetEntry,
    first_list,
    listed,
    paired,
    pairing_problems,
    pairs_of_list,
    some,
    still,
)

COUNT = 980  # test pairs of 50 scenes, in each of the two sets
_OFFICIAL = "RealBlur-{}_ECC_IMCORR_centroid_itensity_ref"
_REPACKS = ("RealBlur_{}", "test/RealBlur_{}")


def find(kind: str, data_root: Path) -> Path | None:
    """The authors' folder (also inside `RealBlur/`), or a re-pack RealBlur_J, test/RealBlur_J; or None."""
    official = _OFFICIAL.format(kind)
    for folder in (data_root / official, data_root / "RealBlur" / official):
        if folder.is_dir():
            return folder
    repacks = (data_root / name.format(kind) for name in _REPACKS)
    found = next((folder for folder in repacks if _is_repack(folder)), None)
    return data_root if found is None and data_root.name == official and data_root.is_dir() else found


def problems(kind: str, folder: Path) -> list[str]:
    """Sentences about a missing list, missing images and a wrong count; empty if the 980 test pairs are complete."""
    if _is_repack(folder):
        found = pairing_problems(folder / "input", folder / "target")
        count = len(paired(folder / "input", folder / "target", "test"))
        return found if count == COUNT else [*found, f"{folder}: {count} pairs, {COUNT} expected"]
    path = _test_list(kind, folder)
    if path is None:
        names = f"RealBlur_{kind}_test_list.txt"
        return [f"{folder.parent / names}: the list that says which scenes are test scenes is missing"]
    try:
        pairs = pairs_of_list(path, _homes(folder))
    except ValueError as error:
        return [str(error)]
    found = [] if len(pairs) == COUNT else [f"{path}: {len(pairs)} pairs, {COUNT} expected"]
    if absent := [str(image) for pair in pairs for image in pair if not image.is_file()]:
        found.append(f"{folder}: {len(absent)} images are missing: {some(absent)}")
    return found


def open_realblur(kind: str, folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: `scene001/blur_1`; of a re-pack the file's stem."""
    return listed(
        name=f"realblur-{kind.lower()}",
        title=f"RealBlur-{kind}",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, kind, folder),
    )


def _is_repack(folder: Path) -> bool:
    return (folder / "input").is_dir() and (folder / "target").is_dir()


def _homes(folder: Path) -> tuple[Path, ...]:
    """Folders that the list's paths may be relative to."""
    return (folder.parent, folder, folder.parent.parent)


def _test_list(kind: str, folder: Path) -> Path | None:
    return first_list((f"RealBlur_{kind}_test_list.txt",), _homes(folder))


def _clips(kind: str, folder: Path) -> tuple[Clip, ...]:
    if _is_repack(folder):
        samples = paired(folder / "input", folder / "target", "")
        return tuple(
            still(Sample(key=sample.blur.stem, blur=sample.blur, references=sample.references)) for sample in samples
        )
    path = _test_list(kind, folder)
    if path is None:
        raise FileNotFoundError(problems(kind, folder)[0])
    return tuple(
        still(Sample(key=f"{blur.parent.parent.name}/{blur.stem}", blur=blur, references=(sharp,)))
        for blur, sharp in pairs_of_list(path, _homes(folder))
        if blur.is_file() and sharp.is_file()
    )


def _entry(kind: str) -> TestSetEntry:
    return TestSetEntry(
        name=f"realblur-{kind.lower()}",
        title=f"RealBlur-{kind}",
        source="Rim et al., Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms, ECCV 2020",
        licence="CC BY 4.0; see https://github.com/rimchang/RealBlur (not redistributed here)",
        protocols=(f"realblur-{kind.lower()}",),
        find=partial(find, kind),
        folders=(_OFFICIAL.format(kind), f"RealBlur_{kind}"),
        problems=partial(problems, kind),
        open=partial(open_realblur, kind),
    )


J = _entry("J")
R = _entry("R")
