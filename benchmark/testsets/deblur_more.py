"""Further deblurring sets: Levin's 32 real shakes, BSD through a beam splitter, NAFNet's 300 frames of REDS, and
DeblurGAN-v2's restoration set."""

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
    paired,
    pairing_problems,
    some,
    still,
    whole_clip,
)
from benchmark.testsets.gopro import mini_scenes
from benchmark.testsets.lai import shake_kernel
from benchmark.testsets.mini import MiniPlan, RenderedFile, encoded, png, render_plan, with_noise
from core.camera_response import to_8bit
from core.image_files import encode_jpeg, natural_sorted
from core.random_streams import stream
from synth.degrade.restoration_mix import restoration_mix
from synth.manifest import MANIFEST, read_manifest
from synth.scenes import Scene

# Levin et al.: 4 images x 8 kernels.

_LEVIN = re.compile(r"(im\d+)_kernel\d+(?:_img)?")
LEVIN_COUNT = 32


def _find_levin(data_root: Path) -> Path | None:
    """`Levin` or `levin` with im1_kernel1_img.png ... and the sharp images in gt/."""
    folder = first_folder(data_root, ("Levin", "levin", "Levin09"))
    return folder if folder is not None and (folder / "gt").is_dir() else None


def _levin_problems(folder: Path) -> list[str]:
    if is_mini(folder):
        return mini_problems(folder)
    count = sum(bool(_LEVIN.fullmatch(stem)) for stem in images_by_stem(folder))
    return [] if count == LEVIN_COUNT else [f"{folder}: {count} blurred images, {LEVIN_COUNT} expected"]


def _levin_clips(folder: Path) -> tuple[Clip, ...]:
    truths = images_by_stem(folder / "gt")
    clips = []
    for stem, path in images_by_stem(folder).items():
        name = _LEVIN.fullmatch(stem)
        if name and name[1] in truths:
            sample = Sample(key=stem.removesuffix("_img"), blur=path, references=(truths[name[1]],), made="grey")
            clips.append(still(sample))
    return tuple(clips)


def _open_levin(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """Keys: `im1_kernel1`. The images are grey; networks see them in three equal channels."""
    return listed(
        name="levin",
        title="Levin",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_levin_clips, folder),
    )


def _render_levin(data_root: Path, seed: int, workers: int) -> None:
    """Two grey frames under two camera shakes (Lai's stand-in has them), with noise of 0.005."""
    import cv2

    luma = np.array([0.299, 0.587, 0.114], np.float32)
    scenes = mini_scenes(seed)[:2]

    def grey(scene: Scene) -> np.ndarray:
        return np.repeat((encoded(scene.frame_lin(0)) @ luma)[..., None], 3, axis=2)

    def task(number: int, scene: Scene, kernel: int) -> list[RenderedFile]:
        sharp = grey(scene)
        taps = shake_kernel(kernel, seed)
        blur = cv2.filter2D(sharp, -1, cv2.flip(taps, -1), borderType=cv2.BORDER_REFLECT_101)
        noise = with_noise(np.zeros_like(blur[..., :1]), 0.005, seed, "levin", number, kernel)
        name = f"im{number}_kernel{kernel}_img.png"
        files = [(f"levin/{name}", png((blur + noise).astype(np.float32)))]
        return [*files, (f"levin/gt/im{number}.png", png(sharp))] if kernel == 1 else files

    tasks = tuple(
        partial(task, number, scene, kernel) for number, scene in enumerate(scenes, start=1) for kernel in (1, 2)
    )
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    render_plan(data_root, MiniPlan(testset="levin", home="levin", tasks=tasks, configuration=configuration), workers)


# BSD: blurred and sharp at once through a beam splitter, three pairs of exposure times.

BSD_SETTINGS = ("BSD_1ms8ms", "BSD_2ms16ms", "BSD_3ms24ms")


def _find_bsd(data_root: Path) -> Path | None:
    """The folder that holds BSD_1ms8ms, BSD_2ms16ms, BSD_3ms24ms: `BSD`, or the data root itself."""
    for home in (data_root / "BSD", data_root):
        if any((home / name / "test").is_dir() for name in BSD_SETTINGS):
            return home
    return None


def _bsd_sequences(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for setting in BSD_SETTINGS:
        test = folder / setting / "test"
        homes = natural_sorted(path for path in test.iterdir() if path.is_dir()) if test.is_dir() else []
        found += [(f"{setting}/{home.name}", home) for home in homes]
    return found


def _bsd_problems(folder: Path) -> list[str]:
    minis = [folder / name for name in BSD_SETTINGS if is_mini(folder / name)]
    if minis:
        return [sentence for home in minis for sentence in mini_problems(home)]
    absent = [name for name in BSD_SETTINGS if not (folder / name / "test").is_dir()]
    found = [f"{folder}: {some(absent)} missing; what is there is scored"] if absent else []
    for _, home in _bsd_sequences(folder):
        found += pairing_problems(home / "Blur" / "RGB", home / "Sharp" / "RGB")
    return found


def _bsd_clips(folder: Path) -> tuple[Clip, ...]:
    clips = (
        (name, paired(home / "Blur" / "RGB", home / "Sharp" / "RGB", name)) for name, home in _bsd_sequences(folder)
    )
    return tuple(whole_clip(name, samples) for name, samples in clips if samples)


def _open_bsd(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """Keys: `<setting>/<sequence>/<frame>`, such as `BSD_2ms16ms/001/00000000`."""
    simulated = simulated or any(is_mini(folder / name) for name in BSD_SETTINGS)
    return listed(
        name="bsd",
        title="BSD",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_bsd_clips, folder),
    )


def _mean_frame(scene: Scene, index: int, reach: int) -> np.ndarray:
    """The mean of 2 reach + 1 virtual frames, 10 apart: 161 virtual frames, as GoPro's stand-in, for a reach of 8."""
    middle = index * 120 + 80
    frames = [encoded(scene.frame_lin(middle + 10 * offset)) for offset in range(-reach, reach + 1)]
    return np.asarray(np.mean(frames, axis=0, dtype=np.float32))


def _render_bsd(data_root: Path, seed: int, workers: int) -> None:
    """One setting, two sequences of five frames: sharp over 21 virtual frames, blurred over 161, each with noise."""
    home = "BSD/BSD_2ms16ms"
    scenes = mini_scenes(seed)[2:4]

    def task(number: int, scene: Scene, index: int) -> list[RenderedFile]:
        files = []
        for side, reach in (("Blur", 8), ("Sharp", 1)):
            image = with_noise(_mean_frame(scene, index, reach), 0.004, seed, "bsd", number, index, side)
            files.append((f"{home}/test/{number:03d}/{side}/RGB/{index:08d}.png", png(image.astype(np.float32))))
        return files

    tasks = tuple(partial(task, number, scene, index) for number, scene in enumerate(scenes) for index in range(5))
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    render_plan(data_root, MiniPlan(testset="bsd", home=home, tasks=tasks, configuration=configuration), workers)


# REDS-val-300: every frame of val whose name ends in 9, blurred and compressed.


def _find_reds_300(data_root: Path) -> Path | None:
    folder = first_folder(data_root, ("REDS", "REDS-val-300"))
    return folder if folder is not None and _reds_home(folder) is not None else None


def _reds_home(folder: Path) -> Path | None:
    return next((home for home in (folder / "val", folder) if (home / "val_blur_jpeg").is_dir()), None)


def _reds_300_clips(folder: Path) -> tuple[Clip, ...]:
    home = _reds_home(folder)
    if home is None:
        return ()
    clips = []
    for clip in natural_sorted(path for path in (home / "val_blur_jpeg").iterdir() if path.is_dir()):
        samples = paired(clip, home / "val_sharp" / clip.name, clip.name)
        scored = frozenset(sample.key for sample in samples if sample.key.endswith("9"))
        if scored:
            clips.append(Clip(name=clip.name, samples=samples, scored=scored))
    return tuple(clips)


def _reds_300_problems(folder: Path) -> list[str]:
    if is_mini(folder):
        return mini_problems(folder)
    count = sum(len(clip.scored) for clip in _reds_300_clips(folder))
    return [] if count == 300 else [f"{folder}: {count} frames whose names end in 9, 300 expected"]


def _open_reds_300(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """Keys: `<clip>/<frame>`, such as `000/00000009`."""
    return listed(
        name="reds-val-300",
        title="REDS-val-300",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_reds_300_clips, folder),
    )


def _render_reds_300(data_root: Path, seed: int, workers: int) -> None:
    """Four clips of one frame, 00000009, blurred over 161 virtual frames and saved as JPEG."""

    scenes = mini_scenes(seed)[4:8]

    def task(number: int, scene: Scene) -> list[RenderedFile]:
        blur, sharp = _mean_frame(scene, 0, 8), _mean_frame(scene, 0, 0)
        return [
            (f"REDS-val-300/val/val_blur_jpeg/{number:03d}/00000009.jpg", encode_jpeg(to_8bit(np.clip(blur, 0, 1)))),
            (f"REDS-val-300/val/val_sharp/{number:03d}/00000009.png", png(sharp)),
        ]

    tasks = tuple(partial(task, number, scene) for number, scene in enumerate(scenes))
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    plan = MiniPlan(testset="reds-val-300", home="REDS-val-300", tasks=tasks, configuration=configuration)
    render_plan(data_root, plan, workers)


# DeblurGAN-v2's restoration set, as `synth/make_pairs.py restoration` makes it.

RESTORATION_COUNT = 1200


def _find_restoration(data_root: Path) -> Path | None:
    folder = first_folder(data_root, ("restoration",))
    return folder if folder is not None and ((folder / MANIFEST).is_file() or is_mini(folder)) else None


def _restoration_clips(folder: Path) -> tuple[Clip, ...]:
    if not (folder / MANIFEST).is_file():
        return tuple(still(sample) for sample in paired(folder / "test" / "blur", folder / "test" / "sharp", "test"))
    return tuple(
        still(Sample(key=record.key, blur=record.blur_path(folder), references=(record.sharp_path(folder),)))
        for record in read_manifest(folder)
        if record.split == "test"
    )


def _restoration_problems(folder: Path) -> list[str]:
    if is_mini(folder):
        return mini_problems(folder)
    count = len(_restoration_clips(folder))
    return [] if count == RESTORATION_COUNT else [f"{folder}: {count} test pairs, {RESTORATION_COUNT} expected"]


def _open_restoration(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """Keys: those of the manifest's test pairs."""
    return listed(
        name="restoration",
        title="Restoration",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_restoration_clips, folder),
    )


def _render_restoration(data_root: Path, seed: int, workers: int) -> None:
    """Eight blurred frames with the degradations of the set (synth/degrade/restoration_mix.py)."""

    scenes = mini_scenes(seed)

    def task(number: int, scene: Scene) -> list[RenderedFile]:
        blur, sharp = np.clip(_mean_frame(scene, 0, 8), 0, 1), _mean_frame(scene, 0, 0)
        given = restoration_mix(blur.astype(np.float32), stream(seed, "restoration", number))
        return [
            (f"restoration/test/blur/{number:04d}.png", png(given)),
            (f"restoration/test/sharp/{number:04d}.png", png(sharp)),
        ]

    tasks = tuple(partial(task, number, scene) for number, scene in enumerate(scenes))
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    plan = MiniPlan(testset="restoration", home="restoration", tasks=tasks, configuration=configuration)
    render_plan(data_root, plan, workers)


LEVIN = TestSetEntry(
    name="levin",
    title="Levin",
    source="Levin et al., Understanding and Evaluating Blind Deconvolution Algorithms, CVPR 2009",
    licence="none stated (not redistributed here)",
    protocols=("levin",),
    find=_find_levin,
    problems=_levin_problems,
    open=_open_levin,
    render_mini=_render_levin,
    by_name=True,
)
BSD = TestSetEntry(
    name="bsd",
    title="BSD",
    source="Zhong et al., ESTRNN, ECCV 2020; Real-world Video Deblurring, IJCV 2022, arXiv:2106.16028",
    licence="see github.com/zzh-tech/ESTRNN (not redistributed here)",
    protocols=("bsd",),
    find=_find_bsd,
    problems=_bsd_problems,
    open=_open_bsd,
    render_mini=_render_bsd,
    by_name=True,
)
REDS_VAL_300 = TestSetEntry(
    name="reds-val-300",
    title="REDS-val-300",
    source="Nah et al., NTIRE 2021; the 300 frames that HINet and NAFNet report on",
    licence="CC BY 4.0; see https://seungjunnah.github.io/Datasets/reds (not redistributed here)",
    protocols=("reds-val-300",),
    find=_find_reds_300,
    problems=_reds_300_problems,
    open=_open_reds_300,
    render_mini=_render_reds_300,
    by_name=True,
)
RESTORATION = TestSetEntry(
    name="restoration",
    title="Restoration",
    source="Kupyn et al., DeblurGAN-v2, ICCV 2019, section 4.4; made by synth/make_pairs.py restoration",
    licence="that of GoPro and DVD",
    protocols=("restoration-1200",),
    find=_find_restoration,
    problems=_restoration_problems,
    open=_open_restoration,
    render_mini=_render_restoration,
    by_name=True,
)
