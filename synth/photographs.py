"""Pairs from still photographs: each becomes a scene under camera shake whose true blur is rendered, not interpolated.

A photograph is seen by a shaken camera, in some pairs with a piece of another photograph that moves in front of it
(synth/scenes.py); in others the whole picture is blurred along a random path (synth/degrade/motion.py). All of it is
light: the photograph is decoded, and the blurred image is encoded again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from core import camera_response
from core.files import sha256_of
from core.image_files import (
    encode_png,
    image_size,
    is_whole,
    left_out,
    list_images,
    read_header,
    read_image,
    require_colour,
)
from core.pool import ordered_map
from core.progress import PairProgress
from core.provenance import cpu_count
from core.random_streams import stream
from synth.degrade import DEGRADATIONS
from synth.exposure import Window
from synth.manifest import SPLITS, PairRecord, pair_names, sequence_names
from synth.pair_set import Refusal, open_set
from synth.scenes import CAPTURED_FPS, VIRTUAL_FPS, WINDOW_FRAMES, Scene
from synth.settings import LARGEST_SIDE_PX

WINDOW_GAPS = WINDOW_FRAMES - 1
CENTRE = WINDOW_GAPS * VIRTUAL_FPS / CAPTURED_FPS / 2  # the sharp image's time, as a frame number of the scene
STEP_PX = 0.5  # neighbouring virtual frames lie at most this far apart
FACTORS = (1, 2, 4, 8, 16, 32, 64)
ROOM = 1.06  # the photograph is a little larger than the frame, so that a small shake shows nothing but it
LEAST_SIDE_PX = 64
TRAJECTORIES = ("motion-uniform", "motion-varying")


@dataclass(frozen=True, kw_only=True)
class PhotographsConfig:
    """What is asked for. Errors: ValueError for a number that cannot work."""

    folders: tuple[Path, ...]  # of PNG or JPEG files
    blurs: int = 8  # pairs made of each photograph
    # least and greatest blur extent (see `synth.shake`), drawn evenly in the logarithm
    extent_px: tuple[float, float] = (2.0, 24.0)
    # least and greatest size of the frame's pixels, frame px per photograph px
    scale: tuple[float, float] = (0.6, 0.95)
    foreground: float = 0.4  # share of the shaken pairs with something moving in front
    trajectories: float = 0.25  # share of pairs blurred along random paths instead
    split: str = "train"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.blurs < 1:
            raise ValueError(f"--blurs is at least 1 pair of each photograph, got {self.blurs}")
        for flag, (low, high), most in (("--extent", self.extent_px, math.inf), ("--scale", self.scale, 1.3)):
            if not 0 < low <= high <= most:
                limit = "" if math.isinf(most) else f" <= {most:g}"
                raise ValueError(f"{flag} is LOW,HIGH with 0 < LOW <= HIGH{limit}, got {low:g},{high:g}")
        for flag, share in (("--foreground", self.foreground), ("--trajectories", self.trajectories)):
            if not 0 <= share <= 1:
                raise ValueError(f"{flag} is a share of the pairs, between 0 and 1, got {share:g}")
        if self.split not in SPLITS:
            raise ValueError(f"the split is one of {', '.join(SPLITS)}, got {self.split!r}")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A pair to be made. trajectory: a name of TRAJECTORIES, "" for shake."""

    sequence: str
    scene: Scene
    source: str
    trajectory: str


def make(config: PhotographsConfig, out: Path, *, workers: int | None = None, resume: bool = False) -> str:
    """Make the pairs of all photographs; returns one sentence about the set, after those about what was left out.

    Errors: ValueError, Refusal (bad arguments, a folder without photographs, an output folder that is taken); OSError.
    """
    files, unusable = _files(config.folders)
    shots = list(_shots(config, files))
    pair_set = open_set(Path(out), _identity(config, files), resume=resume)
    pair_set.workers = workers or cpu_count()
    if pair_set.finished:
        done = f"{len(pair_set.records)} pairs in {out}, finished before and verified; nothing was written"
        return "\n".join([*unusable, done])
    waiting = shots[len(pair_set.records) :]
    render = partial(_rendered, config)
    with (
        PairProgress(len(shots), done=len(pair_set.records)) as progress,
        ThreadPoolExecutor(pair_set.workers) as pool,
    ):
        for record, blur_png, sharp_png in ordered_map(pool, render, waiting, ahead=pair_set.workers + 2):
            pair_set.add(record, blur_png, sharp_png, None)
            progress.event(record.sequence, "pair")
    pair_set.finish()
    return "\n".join([*unusable, f"{len(pair_set.records)} pairs of {len(files)} photographs in {out}"])


def _files(folders: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """(the photographs of all folders, in order; one sentence about whatever was left out).

    Errors: Refusal, one sentence, for a folder without any.
    """
    files: list[Path] = []
    unusable: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise Refusal(f"{folder}: photographs are read from a folder of PNG or JPEG files, and this is none")
        unusable += left_out(folder)
        problems = {path: _problem(path) for path in list_images(folder)}
        unusable += [f"{problem} (left out)" for problem in problems.values() if problem]
        found = [path for path, problem in problems.items() if not problem]
        if not found:
            why = f" that can be used ({next(iter(problems.values()))})" if problems else ""
            raise Refusal(f"{folder}: there is no PNG or JPEG file in this folder{why}")
        files += found
    return files, unusable


def _problem(path: Path) -> str:
    """Why a photograph cannot be used, "" if it can. It is decoded only where its header and its end do not tell."""
    try:
        header = read_header(path)
        if header.mode != "grey":
            require_colour(path, header)
        if header.mode not in ("rgb", "grey") or not is_whole(path):
            read_image(path)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def _identity(config: PhotographsConfig, files: Sequence[Path]) -> dict[str, object]:
    """What decides the bytes of the set, as JSON has it."""
    values = {
        "photographs": [f"{path.name} {sha256_of(path)}" for path in files],
        "blurs": config.blurs,
        "extent_px": config.extent_px,
        "scale": config.scale,
        "foreground": config.foreground,
        "trajectories": config.trajectories,
        "split": config.split,
        "seed": config.seed,
        "layout": "flat",
    }
    return json.loads(json.dumps(values))


def _shots(config: PhotographsConfig, files: Sequence[Path]) -> Iterator[Shot]:
    """All pairs in order: every photograph once, then every photograph again with another blur."""
    names = sequence_names(path.stem for path in files)
    sizes = [image_size(path) for path in files]
    for blur in range(config.blurs):
        for path, name, size in zip(files, names, sizes, strict=True):
            rng = stream(config.seed, name, blur, "photograph")
            trajectory = str(rng.choice(TRAJECTORIES)) if rng.random() < config.trajectories else ""
            scale = float(rng.uniform(*config.scale))
            height, width = (int(side * scale / ROOM) for side in size)
            if max(size) > LARGEST_SIDE_PX:
                raise Refusal(
                    f"{path}: a photograph of {size[1]}x{size[0]} px; a side has {LARGEST_SIDE_PX} px at most here"
                )
            if min(height, width) < LEAST_SIDE_PX:
                raise Refusal(
                    f"{path}: a photograph of {size[1]}x{size[0]} makes frames of {width}x{height} at a scale of "
                    f"{scale:.2f}; a side has at least {LEAST_SIDE_PX} px: use a larger photograph or --scale"
                )
            sequence = f"{name}-{blur:03d}"
            scene = Scene(
                name=sequence,
                photographs=(str(path.resolve()), str(files[int(rng.integers(len(files)))].resolve())),
                height=height,
                width=width,
                seed=config.seed,
                extent_px=float(np.exp(rng.uniform(*np.log(config.extent_px)))),
                duration_s=WINDOW_GAPS / CAPTURED_FPS,
                focus=(float(rng.random()), float(rng.random())),
                magnification=scale,
                foreground=bool(rng.random() < config.foreground) and not trajectory,
            )
            yield Shot(sequence=sequence, scene=scene, source=path.name, trajectory=trajectory)


def _rendered(config: PhotographsConfig, shot: Shot) -> tuple[PairRecord, bytes, bytes]:
    """A pair: its line of the manifest and its two PNG files."""
    response, scene = camera_response.response("srgb"), shot.scene
    sharp_lin = scene.frame_lin(CENTRE)
    if shot.trajectory:
        factor = 1
        chance = stream(config.seed, shot.sequence, shot.trajectory)
        blur_lin = DEGRADATIONS[shot.trajectory](sharp_lin, chance)
    else:
        factor = _factor(scene)
        blur_lin = _blur_lin(scene, factor)
    blur_png, sharp_png = (
        encode_png(camera_response.to_8bit(response.to_encoded(light))) for light in (blur_lin, sharp_lin)
    )
    key, blur, sharp = pair_names("flat", config.split, shot.sequence, 0)
    window = Window(index=0, first=0, frames=WINDOW_FRAMES)
    record = PairRecord(
        key=key,
        split=config.split,
        sequence=shot.sequence,
        blur=blur,
        sharp=sharp,
        blur_sha256=sha256(blur_png).hexdigest(),
        sharp_sha256=sha256(sharp_png).hexdigest(),
        source=f"photograph:{shot.source}",
        source_fps=CAPTURED_FPS,
        first_frame=window.first,
        centre_frame=window.centre,
        last_frame=window.last,
        window=WINDOW_FRAMES,
        factor=factor,
        virtual_frames=1 if shot.trajectory else WINDOW_GAPS * factor + 1,
        span_s=WINDOW_GAPS / CAPTURED_FPS,
        centre_s=WINDOW_GAPS / CAPTURED_FPS / 2,
        response=response.name,
        interpolator="none",
        recipe="photograph",
        camera="none",
        sharp_transform="none",
        degradations=[shot.trajectory] if shot.trajectory else [],
        seed=config.seed,
        blur_extent_px=None if shot.trajectory else round(scene.window_extent_px(0, 2 * CENTRE), 3),
        still=blur_png == sharp_png,
    )
    return record, blur_png, sharp_png


def _factor(scene: Scene) -> int:
    """The smallest factor of FACTORS that puts virtual frames at most STEP_PX apart, told from the corners."""
    path = scene.path(0, 2 * CENTRE, positions=8 * WINDOW_GAPS + 1)
    columns, rows = np.meshgrid([0, scene.width - 1.0], [0, scene.height - 1.0])
    moved = path @ np.stack([columns.ravel(), rows.ravel(), np.ones(4)])  # [N, 3, 4]
    places = moved[:, :2] / moved[:, 2:]
    fastest_px = 8 * np.linalg.norm(np.diff(places, axis=0), axis=1).max()  # px per captured gap
    return next((factor for factor in FACTORS if fastest_px / factor <= STEP_PX), FACTORS[-1])


def _blur_lin(scene: Scene, factor: int) -> np.ndarray:
    """The mean of all virtual frames of the exposure, the two end ones weighted by half.

    Shape: [H, W, 3] float32. Range: linear light in [0, 1].
    """
    steps = WINDOW_GAPS * factor
    total = (scene.frame_lin(0) + scene.frame_lin(2 * CENTRE)) / 2
    for step in range(1, steps):
        total += scene.frame_lin(2 * CENTRE * step / steps)
    return total / np.float32(steps)
