"""Test sets of the networks that are not for deblurring: super-resolution of stills and clips, and faces.

Low-resolution images that a set does not hold are made of the sharp ones when they are read (Sample.made): as MATLAB's
bicubic reduction, or by a Gaussian and every fourth pixel (Vid4 "BD").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    whole_clip,
)
from benchmark.testsets.gopro import mini_scenes
from benchmark.testsets.mini import MiniPlan, RenderedFile, encoded, png, render_plan, with_noise
from core import bicubic
from core.image_files import list_images, natural_sorted
from core.random_streams import stream
from synth.degrade.gfpgan import degraded_face
from synth.official_sets import REDS4
from synth.scenes import Scene

SCALE = 4
SHARP_FOLDERS = ("HR", "GTmod12", "GT", "original", ".")
SMALL_FOLDERS = ("LRbicx4", "LR_bicubic/X4", "BIx4")
MINI_FRAMES = 5


# Stills: Set5, Set14, BSD100, Urban100.


def _still_home(names: Sequence[str], data_root: Path) -> Path | None:
    folder = first_folder(data_root, names)
    return folder if folder is not None and _sharp_images(folder) else None


def _sharp_images(folder: Path) -> dict[str, Path]:
    """Sharp images by name: of HR/, Set5_HR/, GTmod12/, GT/, original/ or the folder (img_001_SRF_4_HR.png, too)."""
    for name in (f"{folder.name}_HR", *SHARP_FOLDERS):
        found = images_by_stem(folder / name)
        marked = {stem.removesuffix("_HR"): path for stem, path in found.items() if stem.endswith("_SRF_4_HR")}
        if marked or found:
            return marked or found
    return {}


def _small_images(folder: Path, stems: Sequence[str]) -> dict[str, Path]:
    """Low-resolution images by the name of their sharp one; those of LRbicx4/ may end in x4."""
    for name in (f"{folder.name}_LR_x4", *SMALL_FOLDERS):
        found = images_by_stem(folder / name)
        by_name = {stem.removesuffix("x4"): path for stem, path in found.items()}
        if by_name:
            return {stem: by_name[stem] for stem in stems if stem in by_name}
    marked = {stem.removesuffix("_LR"): path for stem, path in images_by_stem(folder).items() if stem.endswith("_LR")}
    return {stem: marked[stem] for stem in stems if stem in marked}


def _still_clips(folder: Path) -> tuple[Clip, ...]:
    sharp = _sharp_images(folder)
    small = _small_images(folder, list(sharp))
    return tuple(
        still(
            Sample(
                key=stem,
                blur=small.get(stem, path),
                references=(path,),
                made="" if stem in small else "bicubic",
            )
        )
        for stem, path in sharp.items()
    )


def _still_problems(count: int, folder: Path) -> list[str]:
    if is_mini(folder):
        return mini_problems(folder)
    sharp = _sharp_images(folder)
    found = [] if len(sharp) == count else [f"{folder}: {len(sharp)} sharp images, {count} expected"]
    small = _small_images(folder, list(sharp))
    if small and (lonely := [stem for stem in sharp if stem not in small]):
        found.append(f"{folder}: {some(lonely)} without a low-resolution image")
    return found


def _open_stills(name: str, title: str, folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    return listed(
        name=name,
        title=title,
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_still_clips, folder),
    )


def _sharp_frame(scene: Scene, index: int) -> np.ndarray:
    return encoded(scene.frame_lin(index))


def _render_stills(name: str, home: str, data_root: Path, seed: int, workers: int) -> None:
    """A sharp frame of each of four scenes; the low-resolution images are made of them when they are read."""
    start = sum(name.encode()) % 5  # so that the sets differ

    def task(scene: Scene) -> list[RenderedFile]:
        return [(f"{home}/HR/{scene.name}.png", png(_sharp_frame(scene, 0)))]

    scenes = mini_scenes(seed)[start : start + 4]
    plan = MiniPlan(
        testset=name,
        home=home,
        tasks=tuple(partial(task, scene) for scene in scenes),
        configuration={"seed": seed, "scenes": [scene.description for scene in scenes]},
    )
    render_plan(data_root, plan, workers)


def _stills(name: str, title: str, folders: tuple[str, ...], count: int, source: str) -> TestSetEntry:
    return TestSetEntry(
        name=name,
        title=title,
        source=source,
        licence="see its authors' page (not redistributed here)",
        protocols=(f"{name}-x4",),
        find=partial(_still_home, folders),
        problems=partial(_still_problems, count),
        open=partial(_open_stills, name, title),
        render_mini=partial(_render_stills, name, folders[0]),
        by_name=True,
    )


SET5 = _stills("set5", "Set5", ("Set5",), 5, "Bevilacqua et al., BMVC 2012")
SET14 = _stills("set14", "Set14", ("Set14",), 14, "Zeyde et al., 2010")
BSD100 = _stills("bsd100", "BSD100", ("BSD100", "BSDS100"), 100, "Martin et al., ICCV 2001")
URBAN100 = _stills("urban100", "Urban100", ("Urban100",), 100, "Huang et al., CVPR 2015")


# Clips: REDS4 and Vid4.


def _folders(home: Path) -> list[Path]:
    return list(natural_sorted(path for path in home.iterdir() if path.is_dir())) if home.is_dir() else []


def _frames(given: Path, sharp: Path, name: str, made: str = "") -> Clip | None:
    truths = images_by_stem(sharp)
    samples = tuple(
        Sample(key=f"{name}/{stem}", blur=path, references=(truths[stem],), made=made)
        for stem, path in images_by_stem(given).items()
        if stem in truths
    )
    return whole_clip(name, samples) if samples else None


REDS4_INPUTS = {"reds4-deblur": "train_blur", "reds4-bix4": "train_sharp_bicubic/X4"}


def _reds_train(folder: Path) -> Path:
    return folder / "train" if (folder / "train").is_dir() else folder


def _find_reds4(data_root: Path) -> Path | None:
    folder = first_folder(data_root, ("REDS", "REDS4"))
    return folder if folder is not None and (_reds_train(folder) / "train_sharp").is_dir() else None


def _reds4_problems(folder: Path) -> list[str]:
    if is_mini(folder):
        return mini_problems(folder)
    home = _reds_train(folder)
    found = []
    for name in REDS4:
        count = len(images_by_stem(home / "train_sharp" / name))
        if count != 100:
            found.append(f"{home / 'train_sharp' / name}: {count} frames, 100 expected")
    return found


def _reds4_clips(folder: Path, protocol: str) -> tuple[Clip, ...]:
    home = _reds_train(folder)
    given = home / REDS4_INPUTS[protocol]
    made = ""
    if protocol == "reds4-bix4" and not given.is_dir():
        given, made = home / "train_sharp", "bicubic"
    if not given.is_dir():
        raise FileNotFoundError(f"{given}: the folder is missing, which {protocol} scores")
    clips = (_frames(given / name, home / "train_sharp" / name, name, made) for name in REDS4)
    return tuple(clip for clip in clips if clip)


def _open_reds4(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    return listed(
        name="reds4",
        title="REDS4",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_reds4_clips, folder, protocol.name),
        images_folder=protocol.images,
    )


def _render_clip(scene: Scene, index: int, sharp: str, blurred: str) -> list[RenderedFile]:
    """A sharp frame, and the mean of the ones around it where `blurred` names a file."""
    middle = index * 120 + 80
    files = [(sharp, png(_sharp_frame(scene, middle)))]
    if blurred:
        frames = [_sharp_frame(scene, middle + offset) for offset in range(-80, 81, 10)]
        files.append((blurred, png(np.asarray(np.mean(frames, axis=0, dtype=np.float32)))))
    return files


def _render_reds4(data_root: Path, seed: int, workers: int) -> None:
    """Four clips of five frames under REDS4's names; the blur is the mean of 17 of 161 virtual frames."""
    scenes = mini_scenes(seed)[: len(REDS4)]
    tasks = tuple(
        partial(
            _render_clip,
            scene,
            index,
            f"REDS4/train/train_sharp/{name}/{index:08d}.png",
            f"REDS4/train/train_blur/{name}/{index:08d}.png",
        )
        for name, scene in zip(REDS4, scenes, strict=True)
        for index in range(MINI_FRAMES)
    )
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    render_plan(data_root, MiniPlan(testset="reds4", home="REDS4", tasks=tasks, configuration=configuration), workers)


VID4 = ("calendar", "city", "foliage", "walk")
VID4_INPUTS = {"vid4-bi": ("BIx4", "bicubic"), "vid4-bd": ("BDx4", "gaussian")}


def _find_vid4(data_root: Path) -> Path | None:
    folder = first_folder(data_root, ("Vid4",))
    return folder if folder is not None and (folder / "GT").is_dir() else None


def _vid4_problems(folder: Path) -> list[str]:
    if is_mini(folder):
        return mini_problems(folder)
    absent = [name for name in VID4 if not (folder / "GT" / name).is_dir()]
    return [f"{folder / 'GT'}: {some(absent)} missing"] if absent else []


def _vid4_clips(folder: Path, protocol: str) -> tuple[Clip, ...]:
    name, reduction = VID4_INPUTS[protocol]
    clips = []
    for sharp in _folders(folder / "GT"):
        small = folder / name / sharp.name
        given, made = (small, "") if small.is_dir() else (sharp, reduction)
        if clip := _frames(given, sharp, sharp.name, made):
            clips.append(clip)
    return tuple(clips)


def _open_vid4(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    return listed(
        name="vid4",
        title="Vid4",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_vid4_clips, folder, protocol.name),
        images_folder=protocol.images,
    )


def _render_vid4(data_root: Path, seed: int, workers: int) -> None:
    """Four clips of five frames under Vid4's names; the low-resolution frames are made when they are read."""
    scenes = mini_scenes(seed)[4:8]
    tasks = tuple(
        partial(_render_clip, scene, index, f"Vid4/GT/{name}/{index:08d}.png", "")
        for name, scene in zip(VID4, scenes, strict=True)
        for index in range(MINI_FRAMES)
    )
    configuration: dict[str, object] = {"seed": seed, "scenes": [scene.description for scene in scenes]}
    render_plan(data_root, MiniPlan(testset="vid4", home="Vid4", tasks=tasks, configuration=configuration), workers)


# Blind super-resolution and faces.


def _find_flat(names: Sequence[str], data_root: Path) -> Path | None:
    folder = first_folder(data_root, names)
    return folder if folder is not None and list_images(folder) else None


def _flat_problems(folder: Path) -> list[str]:
    return mini_problems(folder) if is_mini(folder) else []


def _flat_clips(folder: Path) -> tuple[Clip, ...]:
    return tuple(still(Sample(key=stem, blur=path, references=())) for stem, path in images_by_stem(folder).items())


def _open_blind(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """Real low-resolution images without truth. Keys: the file's stem."""
    return listed(
        name="blind-sr",
        title="Blind super-resolution",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_flat_clips, folder),
    )


def _render_blind(data_root: Path, seed: int, workers: int) -> None:
    """Six small noisy images: frames reduced four times, with Gaussian noise of 0.02."""

    def task(scene: Scene) -> list[RenderedFile]:
        small = bicubic.reduced(_sharp_frame(scene, 0), SCALE)
        noisy = with_noise(small, 0.02, seed, "blind-sr", scene.name).astype(np.float32)
        return [(f"RealSRSet/{scene.name}.png", png(noisy))]

    scenes = mini_scenes(seed)[:6]
    plan = MiniPlan(
        testset="blind-sr",
        home="RealSRSet",
        tasks=tuple(partial(task, scene) for scene in scenes),
        configuration={"seed": seed, "scenes": [scene.description for scene in scenes]},
    )
    render_plan(data_root, plan, workers)


FACE_FOLDERS = (("input", "target"), ("lq", "gt"), ("LQ", "GT"))


def _face_homes(folder: Path) -> tuple[Path, Path] | None:
    pairs = ((folder / given, folder / sharp) for given, sharp in FACE_FOLDERS)
    return next(((given, sharp) for given, sharp in pairs if given.is_dir() and sharp.is_dir()), None)


def _find_faces(data_root: Path) -> Path | None:
    folder = first_folder(data_root, ("CelebA-Test", "faces"))
    return folder if folder is not None and _face_homes(folder) is not None else None


def _face_clips(folder: Path) -> tuple[Clip, ...]:
    homes = _face_homes(folder)
    if homes is None:
        return ()
    truths = images_by_stem(homes[1])
    return tuple(
        still(Sample(key=stem, blur=path, references=(truths[stem],)))
        for stem, path in images_by_stem(homes[0]).items()
        if stem in truths
    )


def _open_faces(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """Aligned faces of 512 px, low quality and sharp. Keys: the file's stem."""
    return listed(
        name="faces",
        title="Faces",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_face_clips, folder),
    )


def drawn_face(number: int, seed: int, side: int = 512) -> np.ndarray:
    """A drawn head in FFHQ's pose: what stands in for a face where there is none. Shape: float32 [side, side, 3].

    Ellipses of skin, hair, eyes, nose and mouth, their colours and sizes drawn from the seed, with a little texture. No
    detector need take it for a face.
    """
    import cv2

    rng = stream(seed, "face", number)
    image = np.full((side, side, 3), rng.uniform(0.2, 0.8, 3), np.float32)
    skin = rng.uniform((0.45, 0.3, 0.2), (0.95, 0.75, 0.6)).tolist()

    def ellipse(x: float, y: float, half_x: float, half_y: float, colour: list[float]) -> None:
        centre, axes = (round(x * side), round(y * side)), (round(half_x * side), round(half_y * side))
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    ellipse(0.5, 0.42, 0.36, 0.42, rng.uniform(0.02, 0.4, 3).tolist())
    ellipse(0.5, 0.55, 0.28, 0.38, skin)
    for x in (0.377, 0.624):  # where FFHQ's eyes are
        ellipse(x, 0.469, 0.055, 0.025, [0.95, 0.95, 0.95])
        ellipse(x, 0.469, 0.022, 0.022, rng.uniform(0.05, 0.4, 3).tolist())
    ellipse(0.5, 0.6, 0.03, 0.05, [value * 0.85 for value in skin])
    ellipse(0.5, 0.72, 0.1, 0.025, [0.6, 0.2, 0.2])
    texture = cv2.GaussianBlur(rng.normal(0, 0.25, image.shape).astype(np.float32), (0, 0), 1.5)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1.0) + texture * 0.2, 0, 1).astype(np.float32)


def _render_faces(data_root: Path, seed: int, workers: int) -> None:
    """Four drawn heads and what GFPGAN's training does to them (synth/degrade/gfpgan.py)."""

    def task(number: int) -> list[RenderedFile]:
        sharp = drawn_face(number, seed)
        given = degraded_face(sharp, stream(seed, "faces", number))
        return [
            (f"faces/input/{number:02d}.png", png(given)),
            (f"faces/target/{number:02d}.png", png(sharp)),
        ]

    tasks = tuple(partial(task, number) for number in range(4))
    render_plan(data_root, MiniPlan(testset="faces", home="faces", tasks=tasks, configuration={"seed": seed}), workers)


def _entry(
    name: str,
    title: str,
    source: str,
    protocols: tuple[str, ...],
    find: Callable[[Path], Path | None],
    problems: Callable[[Path], list[str]],
    open_set: Callable[[Path, EvalProtocol, bool], TestSet],
    render: Callable[[Path, int, int], None],
) -> TestSetEntry:
    return TestSetEntry(
        name=name,
        title=title,
        source=source,
        licence="see its authors' page (not redistributed here)",
        protocols=protocols,
        find=find,
        problems=problems,
        open=open_set,
        render_mini=render,
        by_name=True,
    )


REDS4_ENTRY = _entry(
    "reds4",
    "REDS4",
    "Nah et al., CVPRW 2019; the clips 000, 011, 015 and 020 of its training half (Wang et al., EDVR, CVPRW 2019)",
    ("reds4-deblur", "reds4-bix4"),
    _find_reds4,
    _reds4_problems,
    _open_reds4,
    _render_reds4,
)
VID4_ENTRY = _entry(
    "vid4", "Vid4", "Liu and Sun, TPAMI 2014", ("vid4-bi", "vid4-bd"), _find_vid4, _vid4_problems, _open_vid4,
    _render_vid4,
)  # fmt: skip
BLIND_SR = _entry(
    "blind-sr",
    "Blind super-resolution",
    "real low-resolution images without truth, such as RealSRSet (Zhang et al., BSRGAN, ICCV 2021)",
    ("blind-sr",),
    partial(_find_flat, ("RealSRSet", "blind-sr")),
    _flat_problems,
    _open_blind,
    _render_blind,
)
FACES = _entry(
    "faces",
    "Faces",
    "aligned faces of 512 px in pairs, such as CelebA-Test (Wang et al., GFPGAN, CVPR 2021)",
    ("faces",),
    _find_faces,
    _flat_problems,
    _open_faces,
    _render_faces,
)
