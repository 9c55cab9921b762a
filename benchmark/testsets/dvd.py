"""DVD: the quantitative half of DeepVideoDeblurring_Dataset, whole videos; and a rendered mini set in its layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol, scored_positions
from benchmark.testsets.base import (
    Clip,
    TestSet,
    TestSetEntry,
    first_folder,
    is_mini,
    listed,
    mini_problems,
    paired,
    pairing_problems,
    some,
)
from benchmark.testsets.mini import MiniPlan, RenderedFile, encoded, jpeg, render_plan
from core.image_files import natural_sorted
from synth.official_sets import DVD_TEST_SEQUENCES as TEST_SEQUENCES
from synth.scenes import CAPTURED_FPS, VIRTUAL_FPS, Scene, blur_lin

TEST_LENGTH = 100

MINI_SEQUENCE = "IMG_9001"
MINI_WINDOW = 7  # frames at 240 fps in a blurred frame
MINI_STEP = 8  # one blurred frame from every 8: 30 fps
MINI_FRAMES = 100


def find(data_root: Path) -> Path | None:
    """The folder `DeepVideoDeblurring_Dataset`, or None."""
    return first_folder(data_root, ("DeepVideoDeblurring_Dataset",))


def problems(folder: Path) -> list[str]:
    """Sentences about missing sequences, frames and partners; empty if the ten test sequences are complete."""
    if is_mini(folder):
        return mini_problems(folder)
    home = folder / "quantitative_datasets"
    if not home.is_dir():
        return [f"{home}: the folder is missing"]
    found = []
    if absent := [name for name in TEST_SEQUENCES if not (home / name).is_dir()]:
        found.append(f"{home}: {len(absent)} of {len(TEST_SEQUENCES)} test sequences are missing: {some(absent)}")
    for sequence in _sequences(folder):
        found += pairing_problems(sequence / "input", sequence / "GT")
        count = len(paired(sequence / "input", sequence / "GT", sequence.name))
        if count != TEST_LENGTH:
            found.append(f"{sequence}: {count} pairs, {TEST_LENGTH} expected")
    return found


def open_dvd(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set: the ten test sequences, or all there are if none of these is. Keys: `<sequence>/<frame>`.

    protocol.frames: which frames of a sequence are scored; the others are still seen by video networks. Positions
    beyond a shorter sequence are dropped. Errors: ValueError for another word.
    """
    scored_positions(protocol.frames, TEST_LENGTH)
    return listed(
        name="dvd",
        title="DVD",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, folder, protocol.frames),
    )


def render_mini(data_root: Path, seed: int, workers: int) -> None:
    """Render DVD (mini, simulated): one video of 100 frames of 224x128 at 30 fps, JPEG of quality 95 as the real set.

    A blurred frame is the linear-light mean of the 3840 fps frames over 7 frames at 240 fps (97 virtual frames, the two
    end ones weighted by half); one is taken from every 8 frames. GT is the frame in its middle.
    """
    scene = mini_scene(seed)
    configuration: dict[str, object] = {
        "seed": seed,
        "scenes": [scene.description],
        "window": MINI_WINDOW,
        "step": MINI_STEP,
        "frames": MINI_FRAMES,
    }
    tasks = tuple(partial(_render_frame, scene, index) for index in range(MINI_FRAMES))
    plan = MiniPlan(testset="dvd", home="DeepVideoDeblurring_Dataset", tasks=tasks, configuration=configuration)
    render_plan(data_root, plan, workers)


def mini_scene(seed: int) -> Scene:
    """The scene of the mini set."""
    return Scene(
        name=MINI_SEQUENCE,
        photographs=("motorcycle_right.png", "gravel.png"),
        height=128,
        width=224,
        seed=seed,
        extent_px=5.0,
        duration_s=MINI_FRAMES * MINI_STEP / CAPTURED_FPS,
        focus=(0.35, 0.5),
        magnification=0.45,
    )


def _render_frame(scene: Scene, index: int) -> list[RenderedFile]:
    factor = round(VIRTUAL_FPS / CAPTURED_FPS)
    first = index * MINI_STEP * factor
    last = first + (MINI_WINDOW - 1) * factor
    home = f"DeepVideoDeblurring_Dataset/quantitative_datasets/{scene.name}"
    return [
        (f"{home}/input/{index:05d}.jpg", jpeg(encoded(blur_lin(scene, first, last)))),
        (f"{home}/GT/{index:05d}.jpg", jpeg(encoded(scene.frame_lin((first + last) // 2)))),
    ]


def _sequences(folder: Path) -> list[Path]:
    """Folders of the test sequences, or of all sequences if none of these is there, in natural order."""
    home = folder / "quantitative_datasets"
    if not home.is_dir():
        return []
    sequences = natural_sorted(path for path in home.iterdir() if path.is_dir())
    return [path for path in sequences if path.name in TEST_SEQUENCES] or sequences


def _clips(folder: Path, frames: str) -> tuple[Clip, ...]:
    clips = []
    for sequence in _sequences(folder):
        samples = paired(sequence / "input", sequence / "GT", sequence.name)
        if positions := scored_positions(frames, len(samples)):
            scored = frozenset(samples[index].key for index in positions)
            clips.append(Clip(name=sequence.name, samples=samples, scored=scored))
    return tuple(clips)


ENTRY = TestSetEntry(
    name="dvd",
    title="DVD",
    source="Su et al., Deep Video Deblurring for Hand-held Cameras, CVPR 2017",
    licence="none stated; see https://www.cs.ubc.ca/labs/imager/tr/2017/DeepVideoDeblurring/ (not redistributed here)",
    protocols=("dvd-all", "dvd-su30", "dvd-su30-aligned", "dvd-pvdnet"),
    find=find,
    folders=("DeepVideoDeblurring_Dataset",),
    problems=problems,
    open=open_dvd,
    render_mini=render_mini,
    sizes=((720, 1280),),
)
