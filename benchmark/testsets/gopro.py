"""GoPro: the test half of GOPRO_Large, its flat re-packs, and a rendered mini set in the same layout."""

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
from benchmark.testsets.mini import MiniPlan, RenderedFile, encoded, png, render_plan
from core.image_files import natural_sorted
from synth.scenes import CAPTURED_FPS, VIRTUAL_FPS, Scene

# Test sequences and how many pairs each has: 11 sequences, 1111 pairs, 1280x720.
TEST_LENGTHS = {
    "GOPR0384_11_00": 100,
    "GOPR0384_11_05": 100,
    "GOPR0385_11_01": 100,
    "GOPR0396_11_00": 100,
    "GOPR0410_11_00": 134,
    "GOPR0854_11_00": 100,
    "GOPR0862_11_00": 77,
    "GOPR0868_11_00": 100,
    "GOPR0869_11_00": 100,
    "GOPR0871_11_00": 100,
    "GOPR0881_11_01": 100,
}
FOLDERS = ("GOPRO_Large", "GoPro", "GOPRO", "test/GoPro")
FLAT_FOLDERS = (("input", "target"), ("blur", "sharp"))
_FLAT_NAME = re.compile(r"(GOPR\d+_\d+_\d+)[-_](\d+)")

MINI_FRAMES = 4
MINI_WINDOW = 11  # frames at 240 fps, as in every test sequence of the real set
MINI_MAGNIFICATION = 0.5  # the photographs are larger than a frame, and at half their size as sharp as a video's frame
MINI_SCENES = (  # background and foreground, what of the background is in the middle, blur in px
    (("colorful-wall.jpg", "dog-lossless.png"), (0.4, 0.4), 4.0),
    (("motherboard-circuits.jpg", "mies-lossless.png"), (0.35, 0.4), 4.5),
    (("oakland-zoo-otters.jpg", "singaporean-cityscape.jpg"), (0.65, 0.55), 9.0),
    (("roman-colosseum.jpg", "kitten-on-lawn.jpg"), (0.35, 0.45), 7.0),
    (("taipei-city.jpg", "colorful-wall.jpg"), (0.5, 0.65), 6.0),
    (("orange-hallway.jpg", "perched-osprey.jpg"), (0.5, 0.5), 9.0),
    (("kitten-on-lawn.jpg", "motherboard-circuits.jpg"), (0.55, 0.5), 10.0),
    (("perched-osprey.jpg", "roman-colosseum.jpg"), (0.45, 0.35), 8.0),
)


def find(data_root: Path) -> Path | None:
    """The folder with `test/` (GOPRO_Large, or GoPro/GOPRO for re-packs), or test/GoPro with input/ and target/."""
    for name in FOLDERS:
        if (data_root / name).is_dir():
            return data_root / name
    return data_root if data_root.name in FOLDERS and data_root.is_dir() else None


def problems(folder: Path) -> list[str]:
    """Sentences about missing sequences, frames and partners; empty if the test set is complete."""
    if is_mini(folder):
        return mini_problems(folder)
    if (flat := _flat(folder)) is not None:
        blur, sharp = flat
        found = pairing_problems(blur, sharp)
        count = len(images_by_stem(blur).keys() & images_by_stem(sharp).keys())
        return found + _count_problem(folder, count)
    test = folder / "test"
    if not test.is_dir():
        return [f"{test}: the folder is missing"]
    found, counts = [], {}
    for sequence in _sequences(folder):
        found += pairing_problems(sequence / "blur", sequence / "sharp")
        if (sequence / "blur_gamma").is_dir():
            found += pairing_problems(sequence / "blur_gamma", sequence / "sharp")
        else:
            found.append(f"{sequence / 'blur_gamma'}: the folder is missing (only protocol gopro-gamma needs it)")
        counts[sequence.name] = len(paired(sequence / "blur", sequence / "sharp", sequence.name))
    if absent := [name for name in TEST_LENGTHS if name not in counts]:
        found.append(f"{test}: {len(absent)} of {len(TEST_LENGTHS)} test sequences are missing: {some(absent)}")
    for name, expected in TEST_LENGTHS.items():
        if counts.get(name, expected) != expected:
            found.append(f"{test / name}: {counts[name]} pairs, {expected} expected")
    return list(dict.fromkeys(found))  # both blurred folders may name the same missing sharp one


def open_gopro(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set; protocol.blur_variant chooses the input folder (`blur` or `blur_gamma`).

    Keys: `<sequence>/<frame>`. A flat re-pack's images become the sequences that their names tell; where names tell
    none, each is a still of the sequence `test`. Errors: FileNotFoundError from clips() if the variant is not there.
    """
    variant = protocol.blur_variant or "blur"
    return listed(
        name="gopro",
        title="GoPro",
        folder=folder,
        protocol=protocol,
        simulated=simulated,
        list_clips=partial(_clips, folder, variant),
        images_folder=protocol.images,
    )


def render_mini(data_root: Path, seed: int, workers: int) -> None:
    """Render GoPro (mini, simulated) as GOPRO_Large/test: eight sequences of four 320x192 pairs.

    Blur is made as the authors made it, but from 3840 fps frames: over windows of 11 frames at 240 fps (161 virtual
    frames, the two end ones weighted by half), `blur` is the mean of the sRGB-encoded frames x and `blur_gamma` is
    mean(x^2.2)^(1/2.2). `sharp` is the frame in the window's middle. Windows follow each other without a gap.
    """
    tasks = tuple(partial(_render_pair, scene, index) for scene in mini_scenes(seed) for index in range(MINI_FRAMES))
    configuration: dict[str, object] = {
        "seed": seed,
        "scenes": [scene.description for scene in mini_scenes(seed)],
        "window": MINI_WINDOW,
        "frames": MINI_FRAMES,
    }
    plan = MiniPlan(testset="gopro", home="GOPRO_Large", tasks=tasks, configuration=configuration)
    render_plan(data_root, plan, workers)


def mini_scenes(seed: int) -> tuple[Scene, ...]:
    """The scenes of the mini set, named like sequences.

    Their extents are such that the blurred images are about as far from the sharp ones (25.7 dB) as in the real set
    (25.63 dB published).
    """
    return tuple(
        Scene(
            name=f"GOPR{9001 + number}_11_00",
            photographs=photographs,
            height=192,
            width=320,
            seed=seed,
            extent_px=extent_px,
            duration_s=MINI_FRAMES * MINI_WINDOW / CAPTURED_FPS,
            focus=focus,
            magnification=MINI_MAGNIFICATION,
        )
        for number, (photographs, focus, extent_px) in enumerate(MINI_SCENES)
    )


def _render_pair(scene: Scene, index: int) -> list[RenderedFile]:
    factor = round(VIRTUAL_FPS / CAPTURED_FPS)
    first = index * MINI_WINDOW * factor
    last = first + (MINI_WINDOW - 1) * factor
    total, total_gamma = np.zeros((2, scene.height, scene.width, 3), dtype=np.float32)
    for virtual in range(first, last + 1):
        frame = encoded(scene.frame_lin(virtual))
        weight = np.float32(0.5 if virtual in (first, last) else 1.0) / np.float32(last - first)
        total += weight * frame
        total_gamma += weight * np.power(frame, np.float32(2.2))
    sharp = encoded(scene.frame_lin((first + last) // 2))
    folder, frame_name = f"GOPRO_Large/test/{scene.name}", f"{index + 1:06d}.png"
    return [
        (f"{folder}/blur/{frame_name}", png(total)),
        (f"{folder}/blur_gamma/{frame_name}", png(np.power(total_gamma, np.float32(1 / 2.2)))),
        (f"{folder}/sharp/{frame_name}", png(sharp)),
    ]


def _sequences(folder: Path) -> list[Path]:
    test = folder / "test"
    return natural_sorted(path for path in test.iterdir() if path.is_dir()) if test.is_dir() else []


def _flat(folder: Path) -> tuple[Path, Path] | None:
    """The blurred and the sharp folder of a flat re-pack, or None for the official layout."""
    for home in (folder / "test", folder):
        for blur, sharp in FLAT_FOLDERS:
            if any(images_by_stem(home / name) for name in (blur, sharp)):
                return home / blur, home / sharp
    return None


def _clips(folder: Path, variant: str) -> tuple[Clip, ...]:
    if (flat := _flat(folder)) is not None:
        if variant != "blur":
            raise FileNotFoundError(
                f"{folder}: a flat re-pack has only the linear blur; {variant} needs the authors' GOPRO_Large"
            )
        return _flat_clips(*flat)
    clips = []
    for sequence in _sequences(folder):
        samples = paired(sequence / variant, sequence / "sharp", sequence.name)
        if samples:
            clips.append(whole_clip(sequence.name, samples))
    return tuple(clips)


def _flat_clips(blur_folder: Path, sharp_folder: Path) -> tuple[Clip, ...]:
    by_sequence: dict[str, list[Sample]] = {}
    stills = []
    for sample in paired(blur_folder, sharp_folder, "test"):
        name = _FLAT_NAME.fullmatch(sample.blur.stem)
        if name is None:
            stills.append(still(sample))
            continue
        sequence, frame = name.groups()
        sample = Sample(key=f"{sequence}/{frame}", blur=sample.blur, references=sample.references)
        by_sequence.setdefault(sequence, []).append(sample)
    return tuple([whole_clip(name, tuple(samples)) for name, samples in by_sequence.items()] + stills)


def _count_problem(folder: Path, count: int) -> list[str]:
    expected = sum(TEST_LENGTHS.values())
    return [] if count == expected else [f"{folder}: {count} pairs, {expected} expected"]


ENTRY = TestSetEntry(
    name="gopro",
    title="GoPro",
    source="Nah et al., Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring, CVPR 2017",
    licence="see https://seungjunnah.github.io/Datasets/gopro (not redistributed here)",
    protocols=("gopro-linear", "gopro-gamma", "gopro-per-sequence"),
    find=find,
    folders=FOLDERS,
    problems=problems,
    open=open_gopro,
    render_mini=render_mini,
    sizes=((720, 1280),),
)
