"""Gaps between captured frames: their integrals, and the windows that are summed from them as a stream.

The unit of work is a gap between two captured frames. Its integral, half of both ends plus the virtual frames between,
is computed once, whatever windows cover it; a window is the sum of its gaps. Nothing else is kept: one accumulator for
every window that is open at the moment, so memory does not depend on the clip's length, the factor or the window.

Workers of a Dask cluster may compute gaps, too (`make_pairs.py --scheduler tcp://...`). The process that was started
reads the video, sends frames and motion out, gets integrals back, sums, encodes and writes. The bytes are the same
wherever a gap was computed, on machines whose processors are alike. Workers run the same checkout; an interpolator with
a network finds its weights there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.camera_response import CameraResponse
from synth.continuity import Continuity, continuity
from synth.exposure import SHUT, GapPart, GapShare, Window, WindowPlan
from synth.interp import INTERPOLATORS
from synth.interp.base import Interpolator, Moving
from synth.quality import GapMotion, gap_motion

if TYPE_CHECKING:
    from synth.interp.integral import GapPath


_AT_A_TIME = 4  # virtual frames in memory where a gap is summed frame by frame


@dataclass(frozen=True, kw_only=True)
class GapJob:
    """A gap to integrate."""

    gap: int
    first: np.ndarray
    second: np.ndarray
    truth_lin: Callable[[], np.ndarray] | None = None  # computes the true integral of a rendered scene's gap
    whole: bool = True  # a window needs all of it
    parts: tuple[GapPart, ...] = ()  # what windows need of it in place of all
    also: tuple[CameraResponse, ...] = ()  # further curves under which the same has to be summed
    wanted: bool = True  # False for a gap beside a window: only its motion is looked at
    continuity: Continuity | None = None  # found by `measure_gap`; None: not known
    motion_px: np.ndarray | None = None  # found by `measure_gap`; None: not known
    before_px: np.ndarray | None = None  # motion in the gap before, filled in by `with_neighbours`; None: not known
    after_px: np.ndarray | None = None  # motion in the gap after, likewise
    motion: GapMotion | None = None


@dataclass(frozen=True, kw_only=True)
class GapLight:
    """Sums over a gap under one curve: of all of it, and of parts. Shape: float32 [H, W, 3]."""

    whole_lin: np.ndarray | None
    parts_lin: dict[GapPart, np.ndarray]

    def of(self, share: GapShare) -> np.ndarray | None:
        """The sum that a window takes; None where its shutter is shut, or where this was not asked for."""
        return self.whole_lin if share is None else self.parts_lin.get(share)


@dataclass(frozen=True, kw_only=True)
class GapIntegral:
    """integral_lin: half of both ends plus the virtual frames between; None across a cut, or where no window asks for
    all of it. parts_lin: sums of its parts. also: the same under further curves. captured_lin: half of both ends;
    truth_lin: the true integral; both only where the truth is known. Gap g lies between frames g and g + 1.

    Shape: float32 [H, W, 3]. Range: integral_lin and truth_lin sum to their number of virtual frames per gap.
    """

    gap: int
    first: np.ndarray
    second: np.ndarray
    integral_lin: np.ndarray | None
    repeated: bool
    cut: bool = False
    parts_lin: dict[GapPart, np.ndarray] = field(default_factory=dict)
    also: tuple[GapLight, ...] = ()
    captured_lin: np.ndarray | None = None
    truth_lin: np.ndarray | None = None
    motion: GapMotion | None = None  # for the quality gate


def measure_gap(job: GapJob, interpolator: Interpolator | None, motion_px: np.ndarray | None = None) -> GapJob:
    """Continuity, the motion where the interpolator looks at it and there is any, and what the quality gate notes.

    motion_px: found already, together with that of other gaps.
    """
    state = continuity(job.first, job.second)
    if motion_px is None and isinstance(interpolator, Moving) and not state.cut and not state.repeated:
        motion_px = interpolator.motion(job.first, job.second)
    noted = gap_motion(job.first, job.second, motion_px) if job.wanted and not state.cut else None
    return replace(job, continuity=state, motion_px=motion_px, motion=noted)


def with_neighbours(jobs: Iterable[GapJob]) -> Iterator[GapJob]:
    """Fill in the motions of the gaps before and after, and leave out what is not wanted. Jobs come in order."""
    before: GapJob | None = None
    here: GapJob | None = None
    for after in chain(jobs, [None]):
        if here is not None and here.wanted:
            yield replace(here, before_px=_motion_of(before, here.gap - 1), after_px=_motion_of(after, here.gap + 1))
        before, here = here, after


def _motion_of(job: GapJob | None, gap: int) -> np.ndarray | None:
    return job.motion_px if job is not None and job.gap == gap else None


def integrate_gap(
    job: GapJob,
    interpolator: Interpolator | None,
    factor: int,
    response: CameraResponse,
    wholes_lin: Sequence[np.ndarray] = (),
) -> GapIntegral:
    """The work of one gap: continuity, virtual frames, their sum in linear light, the truth where there is one.

    interpolator: None goes with a factor of 1. wholes_lin: the whole gap's integrals under `response` and the further
    curves, where they were computed elsewhere. Errors: those of the interpolator.
    """
    state = job.continuity or continuity(job.first, job.second)
    truth_lin = job.truth_lin() if job.truth_lin is not None else None
    moving = None if state.cut or state.repeated else interpolator
    path = None
    if isinstance(moving, Moving) and job.motion_px is not None:
        path = moving.path(job.motion_px, job.before_px, job.after_px)
    curves = () if state.cut else (response, *job.also)
    given: list[np.ndarray | None] = [*wholes_lin] if wholes_lin else [None for _ in curves]
    lights = [
        _gap_light(job, moving, factor if interpolator else 1, curve, path, whole_lin)
        for curve, whole_lin in zip(curves, given, strict=True)
    ]
    main = lights[0] if lights else GapLight(whole_lin=None, parts_lin={})
    return GapIntegral(
        gap=job.gap,
        first=job.first,
        second=job.second,
        integral_lin=main.whole_lin,
        repeated=state.repeated,
        cut=state.cut,
        parts_lin=main.parts_lin,
        also=tuple(lights[1:]),
        captured_lin=_ends(job, response) if truth_lin is not None else None,
        truth_lin=truth_lin,
        motion=job.motion,
    )


def _gap_light(
    job: GapJob,
    interpolator: Interpolator | None,
    factor: int,
    response: CameraResponse,
    path: GapPath | None,
    whole_lin: np.ndarray | None,
) -> GapLight:
    """interpolator: None where nothing moves or nothing is interpolated. whole_lin: computed already."""
    if whole_lin is not None:
        pass
    elif job.whole and path is not None and isinstance(interpolator, Moving):
        whole_lin = interpolator.gap_integral(job.first, job.second, factor, response, path)
    elif job.whole:
        whole_lin = _ends(job, response)
        if interpolator is None:
            whole_lin *= np.float32(factor)
        else:
            whole_lin += interpolator.gap_sum(job.first, job.second, factor, response, path)
    parts_lin = {part: _weighted(job, interpolator, part, response, path) for part in job.parts}
    return GapLight(whole_lin=whole_lin, parts_lin=parts_lin)


def _ends(job: GapJob, response: CameraResponse) -> np.ndarray:
    """Half of both ends of a gap. Shape: float32 [H, W, 3], new. Range: linear light."""
    ends_lin = response.to_linear(job.first)
    ends_lin += response.to_linear(job.second)
    ends_lin *= np.float32(0.5)
    return ends_lin


def _weighted(
    job: GapJob,
    interpolator: Interpolator | None,
    part: GapPart,
    response: CameraResponse,
    path: GapPath | None,
) -> np.ndarray:
    """The weighted sum of a gap's frames, which no fused integral offers; a few virtual frames at a time.

    interpolator: None where nothing moves. Shape: float32 [H, W, 3], new. Range: linear light.
    """
    weights = part.weights().astype(np.float32)[..., None, None]  # [factor + 1, rows or 1, 1, 1]
    total_lin = response.to_linear(job.first) * weights[0]
    total_lin += response.to_linear(job.second) * weights[-1]
    inner = [step for step in range(1, part.factor) if weights[step].any()]
    if interpolator is None:
        return total_lin + response.to_linear(job.first) * weights[1:-1].sum(axis=0)
    for start in range(0, len(inner), _AT_A_TIME):
        some = inner[start : start + _AT_A_TIME]
        phases = [step / part.factor for step in some]
        frames = interpolator.between(job.first, job.second, phases, response, path)
        for frame, step in zip(frames, some, strict=True):
            total_lin += response.to_linear(frame) * weights[step]
    return total_lin


@dataclass(kw_only=True, eq=False)
class BlurWindow:
    """A window while its gaps come in, and when it is complete. Sums are float32 [H, W, 3], linear light."""

    window: Window
    gaps_lin: np.ndarray | None = None
    also_lin: list[np.ndarray | None] = field(default_factory=list)  # the same under further curves
    captured_lin: np.ndarray | None = None
    truth_lin: np.ndarray | None = None
    first: np.ndarray | None = None
    sharp: np.ndarray | None = None  # the captured centre frame, never a virtual one
    last: np.ndarray | None = None
    cut_after: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    still: bool = False
    motions: list[GapMotion] = field(default_factory=list)
    lacking: bool = False  # a part was not computed: true of windows only that the clip ends in

    def add(self, part: GapIntegral, share: GapShare = None) -> None:
        """Take in the next gap, or the part of it for which the shutter is open."""
        if part.gap == self.window.first:
            self.first = part.first
        if part.gap == self.window.centre:
            self.sharp = part.first
        if part.gap == self.window.last - 1:
            self.last = part.second
        if part.repeated:
            self.repeated.append(part.gap + 1)
        if part.motion is not None:
            self.motions.append(part.motion)
        if part.cut:
            self.cut_after.append(part.gap)
            self.gaps_lin = self.captured_lin = self.truth_lin = None
            self.also_lin = []
        if not self.cut_after:
            main = GapLight(whole_lin=part.integral_lin, parts_lin=part.parts_lin)
            self.gaps_lin = _summed(self.gaps_lin, main.of(share))
            self.lacking = self.lacking or (share != SHUT and main.of(share) is None)
            before = self.also_lin or [None] * len(part.also)
            also = zip(before, part.also, strict=True)
            self.also_lin = [_summed(total_lin, light.of(share)) for total_lin, light in also]
            self.captured_lin = _summed(self.captured_lin, part.captured_lin)
            self.truth_lin = _summed(self.truth_lin, part.truth_lin)

    @property
    def skip_reason(self) -> str:
        """Why the window makes no pair: "cut", "frozen", or "" if it makes one."""
        if self.cut_after:
            return "cut"
        return "frozen" if self.repeated and not self.still else ""


def blur_windows(
    parts: Iterable[GapIntegral],
    plan: WindowPlan,
    finished: Callable[[Window], bool],
    moving: Callable[[int | None], bool],
    share: Callable[[Window, int], GapShare] = lambda window, gap: None,
) -> Iterator[BlurWindow]:
    """Sum gap integrals, which come in order (some may be left out), into windows; yields them as they are completed.

    Windows that end in the same gap are ordered by their start. `moving(gap)` is told of every gap in which something
    moves and `moving(None)` says whether one was seen: a window of nothing but repeated frames is a still if the clip
    has not moved yet, and frozen if it has. `share(window, gap)` says what a gap of the clip gives to a window.
    """
    coming = plan.windows()
    upcoming = next(coming)
    opened: list[BlurWindow] = []
    for part in parts:
        if not part.repeated:
            moving(part.gap)
        while upcoming.first <= part.gap:
            if upcoming.first == part.gap and not finished(upcoming):
                opened.append(BlurWindow(window=upcoming))
            upcoming = next(coming)
        for blur in opened:
            blur.add(part, share(blur.window, part.gap))
        for blur in [blur for blur in opened if blur.window.last == part.gap + 1]:
            opened.remove(blur)
            assert not blur.lacking, f"window {blur.window} is complete, but a part of a gap was not integrated"
            blur.still = len(blur.repeated) == blur.window.frames - 1 and not moving(None)
            yield blur


def count_windows(plan: WindowPlan, frame_count: int) -> int:
    """How many windows fit into a clip of so many captured frames."""
    return sum(1 for _ in plan.windows(frame_count))


def _summed(total_lin: np.ndarray | None, part_lin: np.ndarray | None) -> np.ndarray | None:
    if part_lin is None:
        return total_lin
    if total_lin is None:
        return part_lin.copy()
    total_lin += part_lin
    return total_lin


@dataclass(frozen=True, kw_only=True)
class RemoteMeasure:
    """`measure_gap` on a worker. interpolator: its name, "" for none; weights_sha256: of the weights it must have."""

    interpolator: str
    weights_sha256: str

    def __call__(self, job: GapJob) -> GapJob:
        return measure_gap(job, _ready(self.interpolator, self.weights_sha256))


@dataclass(frozen=True, kw_only=True)
class RemoteIntegrate:
    """`integrate_gap` on a worker."""

    interpolator: str
    weights_sha256: str
    factor: int
    response: CameraResponse

    def __call__(self, job: GapJob) -> GapIntegral:
        return integrate_gap(job, _ready(self.interpolator, self.weights_sha256), self.factor, self.response)


@lru_cache(maxsize=4)
def _made(name: str) -> Interpolator:
    return INTERPOLATORS[name]()


def _ready(name: str, weights_sha256: str) -> Interpolator | None:
    """Errors: ValueError if this worker's weights are not those of the process that asks."""
    cv2.setNumThreads(1)
    if not name:
        return None
    interpolator = _made(name)
    if interpolator.weights_sha256 != weights_sha256:
        raise ValueError(f"a worker of the cluster has other weights for {name} than the process that was started")
    return interpolator
