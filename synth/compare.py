"""How true synthesised blur is, and how fast it is made: every interpolator beside the naive averages, in one run.

    python synth/compare.py                              rendered scenes, against their true 3840 fps blur
    python synth/compare.py --frames DIR --fps 240       real frames: every 2nd, 4th, 8th as input, all as truth
    python synth/compare.py --triplets DIR               middle frames (folders with frame10, frame10i11, frame11)
    python synth/compare.py --speed                      CPU time of a gap at 1280x720; with --interpolator
                                                         flow,rife-recursive also of the recursion through PNG files

PSNR in dB in the encoded domain, float (before rounding), 16 px border cut. Nothing is tuned here, nothing is written
but the table (--out FILE.csv).
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from core.camera_response import CameraResponse, response, to_8bit
from core.command_line import Parser, listed, run, unknown
from core.image_files import read_image, write_image
from core.video import open_source
from synth.gaps import GapJob, integrate_gap, measure_gap, with_neighbours
from synth.interp import INTERPOLATORS
from synth.interp.base import Interpolator
from synth.interp.rife import RifeRecursive
from synth.scenes import CAPTURED_FPS, VIRTUAL_FPS, WINDOW_FRAMES, Scene
from synth.truth import blur_psnr, ghost_residual

TIERS = ("flow-fast", "flow", "flow-best")
NAIVE = ("plain", "trapezoid")
EXTENTS_PX = (5, 20, 60, 120)
SHAKE_HZ = (3.0, 25.0)
TREMOR_HZ = (3.0, 90.0)
SPACINGS = (2, 4, 8)
REAL_GAPS = 4
FACTOR = round(VIRTUAL_FPS / CAPTURED_FPS)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure. quality: PSNR in dB, or CPU milliseconds; ghosts: share of the plain mean's, nan if not defined."""

    case: str
    sample: str
    method: str
    quality: float
    ghosts: float = float("nan")


def main(argv: Sequence[str] | None = None) -> int:
    return run(_parser(), _compare, argv, refusals=(OSError,))


def _parser() -> Parser:
    parser = Parser(prog="compare.py", description="Quality and speed of blur synthesis.")
    add = parser.add_argument
    add("--interpolator", action="append", metavar="NAME,...", help=f"default: {', '.join(TIERS)}")
    add("--scenes", type=int, default=5, metavar="N", help="rendered scenes of each kind: seeds 0 to N-1 (default 5)")
    add("--seeds", dest="scenes", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # its older name
    add("--extents", default=",".join(map(str, EXTENTS_PX)), metavar="PX,...", help="rendered scenes: blur (px)")
    add("--size", default="640x360", metavar="WxH", help="rendered scenes (default 640x360)")
    add("--frames", type=Path, metavar="DIR", help="real frames or a video instead of rendered scenes")
    add("--fps", type=float, metavar="F", help="their frame rate, where nothing tells it")
    add("--triplets", type=Path, metavar="DIR", help="folders with frame10, frame10i11 and frame11")
    add("--speed", action="store_true", help="CPU time of a gap at 1280x720 instead of quality")
    add("--out", type=Path, metavar="FILE.csv", help="every single figure")
    add("--strip", type=Path, metavar="FILE.png", help="only a picture: plain mean, interpolated, true blur of a scene")
    return parser


def _compare(arguments: argparse.Namespace) -> int:
    names = listed(arguments.interpolator) or list(TIERS)
    for name in names:
        if name not in INTERPOLATORS:
            raise ValueError(unknown("there is no interpolator", name, INTERPOLATORS))
    if arguments.strip:
        scene = next(one for one in scenes([60], 1, 360, 640) if one.name.startswith("coffee"))
        write_image(arguments.strip, strip(scene, "flow"))
        return 0
    found = list(_measure(arguments, names))
    print_table(found, "CPU ms a gap" if arguments.speed else "PSNR in dB: mean (worst)")
    if arguments.out:
        write_csv(arguments.out, found)
    return 0


def _measure(arguments: argparse.Namespace, names: Sequence[str]) -> Iterator[Measurement]:
    cv2.setNumThreads(1)
    interpolators = {name: INTERPOLATORS[name]() for name in names}
    if arguments.speed:
        yield from speed(interpolators)
    elif arguments.triplets:
        yield from triplets(arguments.triplets, interpolators)
    elif arguments.frames:
        yield from real(arguments.frames, arguments.fps, interpolators)
    else:
        width, _, height = arguments.size.partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise ValueError(f"--size is a width and a height such as 640x360, got {arguments.size}")
        extents = [float(extent) for extent in arguments.extents.split(",")]
        for scene in scenes(extents, arguments.scenes, int(height), int(width)):
            yield from rendered(scene, interpolators)


def scenes(extents: Sequence[float], seeds: int, height: int, width: int) -> Iterator[Scene]:
    """The fixed scenes: two photographs, a moving foreground, shake of 3-25 Hz, and tremor up to 90 Hz at 20 px."""
    photographs = {"astronaut": ("astronaut.png", "coffee.png"), "coffee": ("coffee.png", "rocket.jpg")}
    frames = WINDOW_FRAMES + 2  # one more at each end, as a clip has them
    cases = [(name, extent, SHAKE_HZ, f"{name} {extent:g} px") for name in photographs for extent in extents]
    cases.append(("coffee", 20.0, TREMOR_HZ, "tremor to 90 Hz"))
    for name, extent, band, title in cases:
        for seed in range(seeds):
            yield Scene(
                name=title,
                photographs=photographs[name],
                height=height,
                width=width,
                seed=seed,
                extent_px=extent,
                band_hz=band,
                duration_s=frames / CAPTURED_FPS,
            )


def rendered(scene: Scene, interpolators: dict[str, Interpolator]) -> Iterator[Measurement]:
    """A window of 11 frames of a scene against its true blur."""
    srgb = response("srgb")
    first, last = FACTOR, FACTOR * WINDOW_FRAMES
    truth_lin, blurs = window_of(scene, interpolators)
    middle = np.array([scene.width / 2, scene.height / 2, 1.0])
    path = scene.path(first, last, positions=last - first + 1) @ middle
    path_px = path[:, :2] / path[:, 2:]
    for method, blur_lin in blurs.items():
        ghosts = ghost_residual(blur_lin, blurs["plain"], truth_lin, path_px, path_px[::FACTOR])
        quality = blur_psnr(blur_lin, truth_lin, srgb)
        yield Measurement(case=scene.name, sample=f"seed {scene.seed}", method=method, quality=quality, ghosts=ghosts)


def window_of(scene: Scene, interpolators: dict[str, Interpolator]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The true blur of a window of 11 frames, and that of every method. Shape: [H, W, 3] each, linear light."""
    srgb = response("srgb")
    first, last = FACTOR, FACTOR * WINDOW_FRAMES
    truth = np.zeros((scene.height, scene.width, 3))
    frames = {}
    for index in range(last + FACTOR + 1):
        if first <= index <= last or index % FACTOR == 0:
            frame_lin = scene.frame_lin(index)
            if index % FACTOR == 0:
                frames[index // FACTOR] = to_8bit(srgb.to_encoded(frame_lin))
            if first <= index <= last:
                truth += frame_lin * (0.5 if index in (first, last) else 1.0)
    truth_lin = (truth / (last - first)).astype(np.float32)
    return truth_lin, _blurs([frames[index] for index in sorted(frames)], 1, WINDOW_FRAMES - 1, interpolators, srgb)


def strip(scene: Scene, name: str, side_px: int = 300) -> np.ndarray:
    """The part of a scene with the most contrast: plain mean | interpolated by `name` | true blur, with their PSNR.

    Shape: [side_px + 28, 3 side_px + 16, 3] uint8.
    """
    srgb = response("srgb")
    truth_lin, blurs = window_of(scene, {name: INTERPOLATORS[name]()})
    grey = cv2.cvtColor(srgb.to_encoded(truth_lin), cv2.COLOR_RGB2GRAY)
    energy = cv2.boxFilter(np.abs(grey - blurs["plain"].mean(axis=2)), -1, (side_px, side_px))
    half = side_px // 2
    inner = energy[half : scene.height - half + 1, half : scene.width - half + 1]
    top, left = np.unravel_index(int(inner.argmax()), inner.shape)
    panels = []
    for words, blur_lin in (
        ("plain mean of 11 frames", blurs["plain"]),
        ("ours", blurs[name]),
        ("true blur", truth_lin),
    ):
        quality = "" if words == "true blur" else f", {blur_psnr(blur_lin, truth_lin, srgb):.1f} dB"
        panel = np.full((side_px + 28, side_px, 3), 255, np.uint8)
        shown = to_8bit(srgb.to_encoded(blur_lin))
        panel[28:] = shown[top : top + side_px, left : left + side_px]
        cv2.putText(panel, words + quality, (4, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
        panels += [panel, np.full((side_px + 28, 8, 3), 255, np.uint8)]
    return np.hstack(panels[:-1])


def real(source: Path, fps: float | None, interpolators: dict[str, Interpolator]) -> Iterator[Measurement]:
    """Every 2nd, 4th and 8th real frame as input, the trapezoid mean of all of them as truth; every window start."""
    srgb = response("srgb")
    problems: list[str] = []
    found = list(open_source(source, fps).frames(lambda index: True, problems))
    frames = [frame for frame in found if frame is not None]
    if len(frames) <= REAL_GAPS * min(SPACINGS):
        least = REAL_GAPS * min(SPACINGS) + 1
        raise ValueError(f"{source}: at least {least} frames are needed, there are {len(frames)}")
    frames_lin = [srgb.to_linear(frame) for frame in frames]
    for spacing in SPACINGS:
        span = REAL_GAPS * spacing
        for start in range(len(frames) - span):
            truth_lin = sum(frames_lin[start + 1 : start + span], (frames_lin[start] + frames_lin[start + span]) / 2)
            before, after = start >= spacing, start + span + spacing < len(frames)
            chosen = frames[start - spacing * before : start + span + spacing * after + 1 : spacing]
            for method, blur_lin in _blurs(chosen, int(before), REAL_GAPS, interpolators, srgb).items():
                quality = blur_psnr(blur_lin, truth_lin / np.float32(span), srgb)
                yield Measurement(case=f"every {spacing}", sample=f"frame {start}", method=method, quality=quality)


def triplets(folder: Path, interpolators: dict[str, Interpolator]) -> Iterator[Measurement]:
    """The frame in the middle of two: not what synthesis needs, but what others report."""
    srgb = response("srgb")
    homes = sorted(path.parent for path in folder.rglob("frame10i11.png"))
    if not homes:
        raise ValueError(f"{folder}: no folder with frame10.png, frame10i11.png and frame11.png")
    for home in homes:
        first, middle, second = (read_image(home / f"{name}.png") for name in ("frame10", "frame10i11", "frame11"))
        for name, interpolator in ({"crossfade": INTERPOLATORS["crossfade"]()} | interpolators).items():
            frame = interpolator.between(first, second, [0.5], srgb)[0]
            error = np.mean(np.square(frame.astype(np.float64) - middle / 255.0))
            yield Measurement(case="middle frame", sample=home.name, method=name, quality=float(-10 * np.log10(error)))


def speed(interpolators: dict[str, Interpolator]) -> Iterator[Measurement]:
    """CPU time of everything that a gap costs once, one thread, 1280x720, 4.6 px of motion a gap; best of 5."""
    srgb = response("srgb")
    scene = Scene(
        name="speed",
        photographs=("coffee.png", "rocket.jpg"),
        height=720,
        width=1280,
        seed=0,
        extent_px=46.0,
        duration_s=6 / CAPTURED_FPS,
    )
    frames = [to_8bit(srgb.to_encoded(scene.frame_lin(FACTOR * index))) for index in range(4)]
    for name, interpolator in interpolators.items():
        jobs = [GapJob(gap=index, first=frames[index], second=frames[index + 1]) for index in range(3)]
        measured = [measure_gap(job, interpolator) for job in jobs]
        middle = replace(measured[1], before_px=measured[0].motion_px, after_px=measured[2].motion_px)

        def gap(middle: GapJob = middle, job: GapJob = jobs[1], interpolator: Interpolator = interpolator) -> None:
            measure_gap(job, interpolator)
            integrate_gap(middle, interpolator, FACTOR, srgb)

        yield Measurement(case="1280x720", sample="scene", method=name, quality=_cpu_ms(gap))
        if isinstance(interpolator, RifeRecursive):
            spent = _cpu_ms(partial(png_recursion, interpolator, frames[1], frames[2], FACTOR))
            yield Measurement(case="1280x720", sample="scene", method="rife-recursive, PNG", quality=spent)


def png_recursion(interpolator: RifeRecursive, first: np.ndarray, second: np.ndarray, factor: int) -> np.ndarray:
    """The common way: every virtual frame of a gap is rounded and written as a PNG file, all files are read again and
    averaged. Shape: uint8 [H, W, 3] -> float32 [H, W, 3]. Range: linear light, the trapezoid mean."""
    srgb = response("srgb")
    with TemporaryDirectory() as folder:
        names = [Path(folder) / f"{index:03d}.png" for index in range(factor + 1)]
        write_image(names[0], first), write_image(names[factor], second)
        step = factor
        while step > 1:
            for start in range(0, factor, step):
                ends = [read_image(names[start]), read_image(names[start + step])]
                middle = interpolator.between(ends[0], ends[1], [0.5], srgb)[0]
                write_image(names[start + step // 2], to_8bit(middle))
            step //= 2
        total_lin = np.zeros(first.shape, dtype=np.float32)
        for index, name in enumerate(names):
            total_lin += srgb.to_linear(read_image(name)) * np.float32(0.5 if index in (0, factor) else 1.0)
    return total_lin / np.float32(factor)


def _cpu_ms(work: Callable[[], object]) -> float:
    """Best of five after a first run; what takes longer than ten seconds is run once."""
    spent: list[float] = []
    for _ in range(6):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
        if spent[0] > 10:
            break
    return min(spent) * 1e3


def _blurs(
    frames: Sequence[np.ndarray],
    first: int,
    gaps: int,
    interpolators: dict[str, Interpolator],
    curve: CameraResponse,
) -> dict[str, np.ndarray]:
    """The blur over gaps first ... first + gaps - 1 of a list of frames, by every method. Linear light."""
    inside_lin = [curve.to_linear(frame) for frame in frames[first : first + gaps + 1]]
    ends_lin = (inside_lin[0] + inside_lin[-1]) / 2
    total_lin = sum(inside_lin[1:-1], ends_lin)
    blurs = {"plain": (total_lin + ends_lin) / np.float32(gaps + 1), "trapezoid": total_lin / np.float32(gaps)}
    jobs = [
        GapJob(gap=index, first=frames[index], second=frames[index + 1], wanted=first <= index < first + gaps)
        for index in range(len(frames) - 1)
    ]
    for name, interpolator in interpolators.items():
        measured = [measure_gap(job, interpolator) for job in jobs]
        gaps_lin = np.zeros_like(total_lin)
        for job in with_neighbours(measured):
            part = integrate_gap(job, interpolator, FACTOR, curve)
            if part.integral_lin is None:
                raise ValueError("there is a scene cut between the frames; compare within one scene")
            gaps_lin += part.integral_lin
        blurs[name] = gaps_lin / np.float32(gaps * FACTOR)  # the trapezoid over all virtual frames
    return blurs


def print_table(found: Sequence[Measurement], title: str) -> None:
    """Mean and worst per case and method; the gain over the trapezoid and the ghosts where there are any."""
    cases, methods = (list(dict.fromkeys(getattr(one, key) for one in found)) for key in ("case", "method"))
    print(f"{title}; {len(found)} figures")
    for case in cases:
        slowest = max(one.quality for one in found if one.case == case)
        rows = {method: [one for one in found if (one.case, one.method) == (case, method)] for method in methods}
        base = [one.quality for one in rows.get("trapezoid", ())]
        print(f"{case} (n = {max(map(len, rows.values()))})")
        for method, ones in rows.items():
            if not ones:
                continue
            values = [one.quality for one in ones]
            line = f"  {method:<16}{np.mean(values):8.2f} ({min(values):.2f})"
            if title.startswith("CPU"):
                line += f"  {slowest / np.mean(values):6.0f} times less than the slowest"
            if base and method not in NAIVE:
                line += f"  {np.mean(values) - np.mean(base):+6.2f} over trapezoid"
            ghosts = [one.ghosts for one in ones if np.isfinite(one.ghosts)]
            print(line + (f"  ghosts {np.mean(ghosts):8.2%}" if ghosts else ""))


def write_csv(path: Path, found: Sequence[Measurement]) -> None:
    """Every figure, a line each."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "sample", "method", "quality", "ghosts"])
        for one in found:
            writer.writerow([one.case, one.sample, one.method, f"{one.quality:.4f}", f"{one.ghosts:.6f}"])


if __name__ == "__main__":
    sys.exit(main())
