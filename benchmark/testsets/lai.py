"""Lai et al. 2016: the synthetic uniform and non-uniform sets, the real images, and rendered stand-ins for the three.

Rendered stand-ins for the three Lai sets, in their layout: uniform, non-uniform, and images without ground truth.

Lai et al. 2016: the synthetic uniform and non-uniform sets, and the real images, which have no ground truth.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cv2
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
from core.random_streams import stream
from synth.scenes import Scene, blur_lin
from synth.shake import Shake, blur_extent_px, draw_shake, homographies

HEIGHT, WIDTH = 192, 256
MARGIN_PX = 32  # rendered around an image so that its blur takes in what lies beyond the border
UNIFORM_NOISE = 0.005
NONUNIFORM_NOISE = 0.01  # height of uniform noise, as in the authors' script
EXPOSURE_S = 0.25
PATH_POSITIONS = 97  # instants of a camera path that are averaged: under 0.4 px apart
MAGNIFICATION = 0.5
SHARP = {  # photograph, and what of it is in the middle
    "manmade_01": ("motherboard-circuits.jpg", (0.35, 0.45)),
    "manmade_02": ("roman-colosseum.jpg", (0.35, 0.45)),
    "manmade_03": ("orange-hallway.jpg", (0.5, 0.5)),
    "natural_01": ("kitten-on-lawn.jpg", (0.55, 0.55)),
    "natural_02": ("perched-osprey.jpg", (0.45, 0.35)),
    "natural_03": ("oakland-zoo-otters.jpg", (0.75, 0.45)),
    "saturated_01": ("taipei-city.jpg", (0.5, 0.65)),
    "text_01": ("mies-lossless.png", (0.5, 0.55)),
}
KERNEL_EXTENTS_PX = {1: 13.0, 2: 19.0}
GYRO_EXTENTS_PX = {1: 9.0, 2: 15.0}
REAL_SCENES = (  # background and foreground, what of the background is in the middle, blur in px
    (("singaporean-cityscape.jpg", "dog-lossless.png"), (0.5, 0.5), 10.0),
    (("colorful-wall.jpg", "kitten-on-lawn.jpg"), (0.5, 0.4), 14.0),
    (("san-francisco-skyline.jpg", "mies-lossless.png"), (0.5, 0.6), 12.0),
    (("roman-colosseum.jpg", "perched-osprey.jpg"), (0.4, 0.45), 18.0),
    (("motherboard-circuits.jpg", "colorful-wall.jpg"), (0.7, 0.5), 8.0),
    (("kitten-on-lawn.jpg", "taipei-city.jpg"), (0.55, 0.5), 16.0),
    (("taipei-city.jpg", "orange-hallway.jpg"), (0.45, 0.6), 6.0),
    (("perched-osprey.jpg", "motherboard-circuits.jpg"), (0.45, 0.4), 13.0),
)
REAL_FIRST, REAL_LAST = 0, 160  # virtual frames of the exposure: 11 frames at 240 fps


def render_uniform(data_root: Path, seed: int, workers: int) -> None:
    """Render Lai uniform (mini, simulated): 8 photographs x 2 kernels, 256x192, and the kernels (up to 25 px wide).

    A kernel is the trace of a random camera shake, centred on its mean. As in the real set sRGB values are convolved;
    Gaussian noise of sigma 0.005 is added. The image takes in what lies beyond its border.
    """
    kernels = [partial(_render_kernel, number, seed) for number in KERNEL_EXTENTS_PX]
    blurred = [partial(_render_uniform, name, number, seed) for name in SHARP for number in KERNEL_EXTENTS_PX]
    _render_synthetic(data_root, "uniform", seed, workers, [*kernels, *blurred], KERNEL_EXTENTS_PX, UNIFORM_NOISE)


def render_nonuniform(data_root: Path, seed: int, workers: int) -> None:
    """Render Lai nonuniform (mini, simulated): 8 photographs x 2 six-dimensional camera paths, 256x192.

    As in the authors' script: the mean of the image under the path's homographies, in sRGB values, and uniform noise
    in [0, 0.01). The path is centred on its mean pose, so that the ground truth lies within the blur.
    """
    blurred = [partial(_render_nonuniform, name, number, seed) for name in SHARP for number in GYRO_EXTENTS_PX]
    _render_synthetic(data_root, "nonuniform", seed, workers, blurred, GYRO_EXTENTS_PX, NONUNIFORM_NOISE)


def render_real(data_root: Path, seed: int, workers: int) -> None:
    """Render Lai real (mini, simulated): 8 blurred images of 384x288 with a moving foreground, and no ground truth.

    The blur is the linear-light mean of 161 virtual frames at 3840 fps; Gaussian noise of sigma 0.01 is added.
    """
    scenes = real_scenes(seed)
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    tasks = tuple(partial(_render_real, scene) for scene in scenes)
    plan = MiniPlan(testset="lai-real", home="Lai/real_dataset", tasks=tasks, configuration=configuration)
    render_plan(data_root, plan, workers)


def sharp_scene(name: str) -> Scene:
    """The resting scene behind a ground truth, with the margin. It depends on no seed: two sets share the pictures."""
    photograph, focus = SHARP[name]
    return Scene(
        name=name,
        photographs=(photograph, ""),
        height=HEIGHT + 2 * MARGIN_PX,
        width=WIDTH + 2 * MARGIN_PX,
        seed=0,
        extent_px=0.0,
        focus=focus,
        magnification=MAGNIFICATION,
        foreground=False,
    )


def real_scenes(seed: int) -> tuple[Scene, ...]:
    """The scenes of the images without ground truth."""
    return tuple(
        Scene(
            name=f"simulated_{number:02d}",
            photographs=photographs,
            height=288,
            width=384,
            seed=seed,
            extent_px=extent_px,
            focus=focus,
            magnification=MAGNIFICATION,
        )
        for number, (photographs, focus, extent_px) in enumerate(REAL_SCENES, start=1)
    )


def camera_path(kind: str, number: int, extent_px: float, seed: int) -> np.ndarray:
    """Poses of a camera path of one exposure, centred on their mean. Shape: [positions, 6]. Units: px."""
    shake: Shake = draw_shake(seed, "lai", kind, number)
    poses = shake.poses(np.linspace(0, EXPOSURE_S, PATH_POSITIONS))
    poses -= poses.mean(axis=0)
    extent = blur_extent_px(homographies(poses, HEIGHT, WIDTH), HEIGHT, WIDTH)
    return poses * (extent_px / extent)


def shake_kernel(number: int, seed: int) -> np.ndarray:
    """A uniform blur kernel: the trace of a camera shake. Shape: [size, size] float32, odd size; it sums to 1."""
    shifts = camera_path("kernel", number, KERNEL_EXTENTS_PX[number], seed)[:, :2]
    radius = int(np.ceil(np.abs(shifts).max())) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=np.float64)
    between = np.linspace(0, len(shifts) - 1, 64 * len(shifts))  # fine enough for a trace without gaps
    x, y = (np.interp(between, np.arange(len(shifts)), shifts[:, axis]) + radius for axis in (0, 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for step_y, step_x in ((0, 0), (0, 1), (1, 0), (1, 1)):  # bilinear share of each position in its four pixels
        share = np.abs(1 - step_y - (y - top)) * np.abs(1 - step_x - (x - left))
        np.add.at(kernel, (top + step_y, left + step_x), share)
    return (kernel / kernel.sum()).astype(np.float32)


def _render_synthetic(
    data_root: Path,
    kind: str,
    seed: int,
    workers: int,
    blurred: list[partial[list[RenderedFile]]],
    extents_px: dict[int, float],
    noise: float,
) -> None:
    configuration: dict[str, object] = {
        "seed": seed,
        "scenes": [sharp_scene(name).description for name in SHARP],
        "extents_px": list(extents_px.values()),
        "noise": noise,
    }
    plan = MiniPlan(
        testset=f"lai-{kind}",
        home=f"Lai/synthetic_dataset/{kind}",
        tasks=(*blurred, *(partial(_render_sharp, name) for name in SHARP)),
        configuration=configuration,
    )
    render_plan(data_root, plan, workers)


def _sharp_with_margin(name: str) -> np.ndarray:
    return encoded(sharp_scene(name).frame_lin(0))


def _cut(image: np.ndarray) -> np.ndarray:
    return image[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def _render_sharp(name: str) -> list[RenderedFile]:
    return [(f"Lai/synthetic_dataset/ground_truth/{name}.png", png(_cut(_sharp_with_margin(name))))]


def _render_kernel(number: int, seed: int) -> list[RenderedFile]:
    kernel = shake_kernel(number, seed)
    picture = np.repeat((kernel / kernel.max())[..., None], 3, axis=2)
    return [(f"Lai/synthetic_dataset/kernel/kernel_{number:02d}.png", png(picture))]


def _render_uniform(name: str, number: int, seed: int) -> list[RenderedFile]:
    kernel = shake_kernel(number, seed)
    # filter2D correlates; a convolution spreads each point along the kernel as it is drawn.
    blur = _cut(cv2.filter2D(_sharp_with_margin(name), -1, cv2.flip(kernel, -1)))
    blur = with_noise(blur, UNIFORM_NOISE, seed, "lai-uniform", name, number)
    return [(f"Lai/synthetic_dataset/uniform/{name}_kernel_{number:02d}.png", png(blur))]


def _render_nonuniform(name: str, number: int, seed: int) -> list[RenderedFile]:
    sharp = _sharp_with_margin(name)
    height, width = sharp.shape[:2]
    total = np.zeros_like(sharp)
    for motion in homographies(camera_path("gyro", number, GYRO_EXTENTS_PX[number], seed), height, width):
        total += cv2.warpPerspective(
            sharp, motion, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
    blur = _cut(total / np.float32(PATH_POSITIONS))
    noise = stream(seed, "lai-nonuniform", name, number, "noise").random(blur.shape, dtype=np.float32)
    blur = blur + np.float32(NONUNIFORM_NOISE) * noise
    return [(f"Lai/synthetic_dataset/nonuniform/{name}_gyro_{number:02d}.png", png(blur))]


def _render_real(scene: Scene) -> list[RenderedFile]:
    blur = with_noise(encoded(blur_lin(scene, REAL_FIRST, REAL_LAST)), 0.01, scene.seed, "lai-real", scene.name)
    return [(f"Lai/real_dataset/{scene.name}.png", png(blur))]


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
    folders=("Lai/synthetic_dataset/uniform",),
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
    folders=("Lai/synthetic_dataset/nonuniform",),
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
    folders=("Lai/real_dataset",),
    problems=_real_problems,
    open=_open_real,
    render_mini=render_real,
)
