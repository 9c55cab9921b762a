"""REDS: the validation half, blurred by averaging 120 fps video interpolated to 1920 fps; whole clips."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import (
    Clip,
    TestSet,
    TestSetEntry,
    first_folder,
    listed,
    paired,
    pairing_problems,
    some,
    whole_clip,
)

CLIPS, LENGTH = 30, 100  # 000 to 029, 00000000 to 00000099, 1280x720


def find(data_root: Path) -> Path | None:
    """The folder `REDS` if the validation frames are in it, in `val/` as the archives unpack or directly; or None."""
    folder = first_folder(data_root, ("REDS",))
    return folder if folder is not None and _home(folder) is not None else None


def problems(folder: Path) -> list[str]:
    """Sentences about missing clips, frames and partners; empty if the 30 clips are complete."""
    home = _home(folder)
    if home is None:
        return [f"{folder}: val/val_blur and val/val_sharp are missing"]
    found = []
    names = [f"{index:03d}" for index in range(CLIPS)]
    if absent := [name for name in names if not (home / "val_blur" / name).is_dir()]:
        found.append(f"{home / 'val_blur'}: {len(absent)} of {CLIPS} clips are missing: {some(absent)}")
    for clip in _folders(home):
        found += pairing_problems(clip, home / "val_sharp" / clip.name)
        count = len(paired(clip, home / "val_sharp" / clip.name, clip.name))
        if count != LENGTH:
            found.append(f"{clip}: {count} pairs, {LENGTH} expected")
    return found


def open_reds(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: `<clip>/<frame>`, such as `000/00000000`."""
    return listed(
        name="reds",
        title="REDS",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, folder),
    )


def _home(folder: Path) -> Path | None:
    return next((home for home in (folder / "val", folder) if (home / "val_blur").is_dir()), None)


def _folders(home: Path) -> list[Path]:
    return sorted(path for path in (home / "val_blur").iterdir() if path.is_dir())


def _clips(folder: Path) -> tuple[Clip, ...]:
    home = _home(folder)
    if home is None:
        return ()
    clips = ((clip.name, paired(clip, home / "val_sharp" / clip.name, clip.name)) for clip in _folders(home))
    return tuple(whole_clip(name, samples) for name, samples in clips if samples)


ENTRY = TestSetEntry(
    name="reds",
    title="REDS",
    source="Nah et al., NTIRE 2019 Challenge on Video Deblurring and Super-Resolution: Dataset and Study, CVPRW 2019",
    licence="CC BY 4.0; see https://seungjunnah.github.io/Datasets/reds (not redistributed here)",
    protocols=("reds-val",),
    find=find,
    folders=("REDS",),
    problems=problems,
    open=open_reds,
    sizes=((720, 1280),),
)
