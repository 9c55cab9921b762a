"""Kohler: 4 images x 12 recorded camera trajectories, each frame of one a ground truth; and a rendered mini set."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import (
    Clip,
    Sample,
    TestSet,
    TestSetEntry,
    first_folder,
    images_by_stem,
    is_mini,
    listed,
    mini_problems,
    some,
    still,
)
from benchmark.testsets.mini import MiniPlan, RenderedFile, encoded, png, render_plan, with_noise
from synth.scenes import VIRTUAL_FPS, Scene

IMAGES, KERNELS = 4, 12
_DEFAULT_LAST_FRAME = 199
# The last trajectory frame where it is not 199. The official script stops (1, 3) at 198 and skips its frame 30, which
# was never published.
LAST_FRAME = {(1, 3): 198, (2, 11): 200} | {key: 198 for key in ((1, 10), (1, 12), (2, 10), (3, 7), (3, 12), (4, 12))}
SKIPPED_FRAMES = {(1, 3): frozenset([30])}
_BLURRY = re.compile(r"Blurry(\d+)_(\d+)")
_TRUTH = re.compile(r"GroundTruth(\d+)_(\d+)_(\d+)")

MINI_PHOTOGRAPHS = (  # what of them is in the middle
    ("motherboard-circuits.jpg", (0.55, 0.35)),
    ("roman-colosseum.jpg", (0.3, 0.4)),
    ("mies-lossless.png", (0.5, 0.55)),
    ("san-francisco-skyline.jpg", (0.55, 0.6)),
    ("oakland-zoo-otters.jpg", (0.8, 0.4)),
    ("orange-hallway.jpg", (0.5, 0.6)),
    ("dog-lossless.png", (0.45, 0.4)),
    ("colorful-wall.jpg", (0.65, 0.35)),
)
MINI_MAGNIFICATION = 0.5
MINI_EXTENTS_PX = {1: 5.0, 2: 9.0, 3: 7.0, 4: 11.0}  # by trajectory
MINI_GAIN = 0.97
MINI_NOISE = 0.004


def find(data_root: Path) -> Path | None:
    """The folder `Kohler`, or None."""
    return first_folder(data_root, ("Kohler",))


def expected_frames(image: int, kernel: int) -> int:
    """How many ground-truth frames the official scorer compares for one blurred image."""
    key = (image, kernel)
    return LAST_FRAME.get(key, _DEFAULT_LAST_FRAME) - len(SKIPPED_FRAMES.get(key, ()))


def is_compared(stem: str) -> bool:
    """Whether the official scorer compares the frame GroundTruth{p}_{k}_{f}; True for files of other names."""
    name = _TRUTH.fullmatch(stem)
    if name is None:
        return True
    image, kernel, frame = (int(number) for number in name.groups())
    last = LAST_FRAME.get((image, kernel), _DEFAULT_LAST_FRAME)
    return 1 <= frame <= last and frame not in SKIPPED_FRAMES.get((image, kernel), frozenset())


def problems(folder: Path) -> list[str]:
    """Sentences about missing blurred images, ground-truth folders and trajectory frames; empty if complete."""
    if is_mini(folder):
        return mini_problems(folder)
    found = []
    blurry = _blurry_images(folder)
    wanted = [(image, kernel) for image in range(1, IMAGES + 1) for kernel in range(1, KERNELS + 1)]
    if absent := [f"Blurry{image}_{kernel}.png" for image, kernel in wanted if (image, kernel) not in blurry]:
        found.append(f"{folder}: {len(absent)} of {len(wanted)} blurred images are missing: {some(absent)}")
    counts = {key: len(_trajectory(folder, *key)) for key in wanted if key in blurry}
    if lonely := [f"Image{image}/Kernel{kernel}" for (image, kernel), count in counts.items() if not count]:
        found.append(f"{folder}: {len(lonely)} blurred images have no ground-truth frames, missing are {some(lonely)}")
    for (image, kernel), count in counts.items():
        if count and count != expected_frames(image, kernel):
            home = _truth_folder(folder, image, kernel)
            found.append(f"{home}: {count} ground-truth frames, {expected_frames(image, kernel)} expected")
    return found


def open_kohler(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: `Blurry{p}_{k}`; references: the trajectory frames of image p, kernel k, in order."""
    return listed(
        name="kohler",
        title="Kohler",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, folder),
    )


def render_mini(data_root: Path, seed: int, workers: int) -> None:
    """Render Kohler (mini, simulated): 8 photographs of 192x192 on 4 trajectories, each with 199 ground-truth frames.

    As in the real set, a flat picture stands still while the camera moves in six degrees of freedom: ground-truth frame
    f is the sharp picture seen at the f-th of 199 instants 1/3840 s apart, and the blurred image is the mean of all of
    them in linear light (trapezoid weights). The blurred image is darker by a factor of 0.97 and has Gaussian noise of
    sigma 0.004, which the protocol's gain and the many frames are there for.
    """
    scenes = mini_scenes(seed)
    tasks = tuple(partial(_render_trajectory, image, kernel, scene) for (image, kernel), scene in scenes.items())
    configuration: dict[str, object] = {
        "seed": seed,
        "scenes": [scene.description for scene in scenes.values()],
        "frames": _DEFAULT_LAST_FRAME,
        "gain": MINI_GAIN,
        "noise": MINI_NOISE,
    }
    render_plan(data_root, MiniPlan(testset="kohler", home="Kohler", tasks=tasks, configuration=configuration), workers)


def mini_scenes(seed: int) -> dict[tuple[int, int], Scene]:
    """The scene of each (image, kernel). Their extents are those of 41.7 ms; the exposure lasts 51.6 ms."""
    return {
        (image, kernel): Scene(
            name=f"kohler-kernel-{kernel}",  # one trajectory for all images, as in the real set
            photographs=(photograph, ""),
            height=192,
            width=192,
            seed=seed,
            extent_px=MINI_EXTENTS_PX[kernel],
            duration_s=_DEFAULT_LAST_FRAME / VIRTUAL_FPS,
            focus=focus,
            magnification=MINI_MAGNIFICATION,
            foreground=False,
        )
        for image, (photograph, focus) in enumerate(MINI_PHOTOGRAPHS, start=1)
        for kernel in (1 + (image - 1) % len(MINI_EXTENTS_PX),)
    }


def _render_trajectory(image: int, kernel: int, scene: Scene) -> list[RenderedFile]:
    files: list[RenderedFile] = []
    total = np.zeros((scene.height, scene.width, 3), dtype=np.float32)
    for number in range(1, _DEFAULT_LAST_FRAME + 1):
        frame_lin = scene.frame_lin(number - 1)
        total += frame_lin * np.float32(0.5 if number in (1, _DEFAULT_LAST_FRAME) else 1.0)
        name = f"Kohler/Image{image}/Kernel{kernel}/GroundTruth{image}_{kernel}_{number}.png"
        files.append((name, png(encoded(frame_lin))))
    blur = encoded(total / np.float32(_DEFAULT_LAST_FRAME - 1)) * np.float32(MINI_GAIN)
    blur = with_noise(blur, MINI_NOISE, scene.seed, "kohler", image, kernel)
    files.append((f"Kohler/BlurryImages/Blurry{image}_{kernel}.png", png(blur)))
    return files


def _blurry_images(folder: Path) -> dict[tuple[int, int], Path]:
    """Blurred images by (image, kernel), directly in the folder or under BlurryImages/."""
    found = {}
    for home in (folder / "BlurryImages", folder):
        for stem, path in images_by_stem(home).items():
            if name := _BLURRY.fullmatch(stem):
                found[int(name[1]), int(name[2])] = path
    return dict(sorted(found.items()))


def _truth_folder(folder: Path, image: int, kernel: int) -> Path:
    return folder / f"Image{image}" / f"Kernel{kernel}"


def _trajectory(folder: Path, image: int, kernel: int) -> tuple[Path, ...]:
    """The ground-truth frames that the official scorer compares, as far as they are there, in natural order."""
    frames = {}
    for stem, path in images_by_stem(_truth_folder(folder, image, kernel)).items():
        name = _TRUTH.fullmatch(stem)
        if name and (int(name[1]), int(name[2])) == (image, kernel) and is_compared(stem):
            frames[int(name[3])] = path
    return tuple(path for _, path in sorted(frames.items()))


def _clips(folder: Path) -> tuple[Clip, ...]:
    clips = []
    for (image, kernel), path in _blurry_images(folder).items():
        if references := _trajectory(folder, image, kernel):
            clips.append(still(Sample(key=f"Blurry{image}_{kernel}", blur=path, references=references)))
    return tuple(clips)


ENTRY = TestSetEntry(
    name="kohler",
    title="Kohler",
    source="Köhler et al., Recording and Playback of Camera Shake, ECCV 2012",
    licence="none stated; see https://webdav.tuebingen.mpg.de/pixel/benchmark4camerashake/ (not redistributed here)",
    protocols=("kohler",),
    find=find,
    folders=("Kohler",),
    problems=problems,
    open=open_kohler,
    render_mini=render_mini,
    sizes=((800, 800),),
)
