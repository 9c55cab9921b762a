"""Exposure: which captured frames make a window, how virtual frames are weighted, and the streaming integral.

The unit of work is a gap between two captured frames. Its integral, half of both ends plus the virtual frames between,
is computed once, whatever windows cover it; a window is the sum of its gaps. Nothing else is kept: one accumulator for
every window that is open at the moment, so memory does not depend on the clip's length, the factor or the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np

from synth.camera import CameraResponse
from synth.continuity import Continuity, continuity
from synth.interp.base import Interpolator, Moving
from synth.rng import stream

PROFILES = ("trapezoid", "mean")


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A window of `frames` captured frames with factor - 1 virtual frames in every gap, weighted by `profile`.

    Errors: ValueError for an even or too small window, a factor below 1, another profile.
    """

    frames: int
    factor: int
    profile: str = "trapezoid"

    def __post_init__(self) -> None:
        require_window(self.frames)
        if self.factor < 1:
            raise ValueError(f"the interpolation factor is at least 1, got {self.factor}")
        if self.profile not in PROFILES:
            raise ValueError(f"an exposure's profile is one of {', '.join(PROFILES)}, got {self.profile!r}")

    @property
    def virtual_frames(self) -> int:
        return (self.frames - 1) * self.factor + 1

    def weights(self) -> np.ndarray:
        """Weight of every virtual frame. Shape: [virtual_frames] float64, sums to 1."""
        weights = np.ones(self.virtual_frames)
        if self.profile == "trapezoid":
            weights[[0, -1]] = 0.5
        return weights / weights.sum()

    def span_s(self, fps: float) -> float:
        """Time from the first captured frame to the last. Units: s."""
        return (self.frames - 1) / fps

    def blur_lin(self, gaps_lin: np.ndarray, first_lin: np.ndarray, last_lin: np.ndarray) -> np.ndarray:
        """The blurred image from the sum of the window's gap integrals and its two end frames.

        Shape: three float32 [H, W, 3] -> float32 [H, W, 3], new. Range: linear light.
        """
        if self.profile == "trapezoid":
            return gaps_lin * np.float32(1 / (self.virtual_frames - 1))
        return (gaps_lin + (first_lin + last_lin) * np.float32(0.5)) * np.float32(1 / self.virtual_frames)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Captured frames first..last (0-based, inclusive) of a clip; index counts the windows of the clip."""

    index: int
    first: int
    frames: int

    @property
    def last(self) -> int:
        return self.first + self.frames - 1

    @property
    def centre(self) -> int:
        return self.first + self.frames // 2


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """The windows of a clip: sizes to draw from, captured frames between starts (None: as many as the window)."""

    sizes: tuple[int, ...]
    stride: int | None
    seed: int
    sequence: str

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ValueError("at least one window size is needed")
        for size in self.sizes:
            require_window(size)
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"the stride between windows is at least 1 captured frame, got {self.stride}")

    def windows(self, frame_count: int | None = None) -> Iterator[Window]:
        """All windows by their start, endless if the clip's length is not known; what does not fit in is left out."""
        first, index, smallest = 0, 0, min(self.sizes)
        while frame_count is None or first + smallest <= frame_count:
            size = self.sizes[0]
            if len(self.sizes) > 1:
                size = int(stream(self.seed, self.sequence, index, "window").choice(np.array(self.sizes)))
            if frame_count is None or first + size <= frame_count:
                yield Window(index=index, first=first, frames=size)
            first += self.stride or size
            index += 1

    def needs(self, finished: Callable[[Window], bool], frame_count: int | None = None) -> GapsNeeded:
        """Which gaps the windows that are not finished cover."""
        return GapsNeeded(windows=self.windows(frame_count), finished=finished)


@dataclass(kw_only=True)
class GapsNeeded:
    """Call with gap 0, 1, 2 ... in order: is it inside a window that is not finished?"""

    windows: Iterator[Window]
    finished: Callable[[Window], bool]
    _next: Window | None = None
    _until: int = 0  # gaps below this are covered by a window met so far

    def __call__(self, gap: int) -> bool:
        if self._next is None:
            self._next = next(self.windows, None)
        while self._next is not None and self._next.first <= gap:
            if not self.finished(self._next):
                self._until = max(self._until, self._next.last)
            self._next = next(self.windows, None)
        return gap < self._until


@dataclass(frozen=True, kw_only=True)
class GapJob:
    """A gap to integrate. truth_lin: computes the true integral of a rendered scene's gap, where there is one.

    wanted: False for a gap that lies beside a window: only its motion is looked at. continuity and motion_px are found
    by `measure_gap`, the motions before and after filled in by `with_neighbours`; None: not known.
    """

    gap: int
    first: np.ndarray
    second: np.ndarray
    truth_lin: Callable[[], np.ndarray] | None = None
    wanted: bool = True
    continuity: Continuity | None = None
    motion_px: np.ndarray | None = None
    before_px: np.ndarray | None = None
    after_px: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class GapIntegral:
    """integral_lin: half of both ends plus the virtual frames between; None across a cut. captured_lin: half of both
    ends; truth_lin: the true integral; both only where the truth is known. Gap g lies between frames g and g + 1.

    Shape: float32 [H, W, 3]. Range: integral_lin and truth_lin sum to their number of virtual frames per gap.
    """

    gap: int
    first: np.ndarray
    second: np.ndarray
    integral_lin: np.ndarray | None
    repeated: bool
    captured_lin: np.ndarray | None = None
    truth_lin: np.ndarray | None = None


def measure_gap(job: GapJob, interpolator: Interpolator | None) -> GapJob:
    """Continuity, and the motion where the interpolator looks at it and there is any."""
    state = continuity(job.first, job.second)
    if not isinstance(interpolator, Moving) or state.cut or state.repeated:
        return replace(job, continuity=state)
    return replace(job, continuity=state, motion_px=interpolator.motion(job.first, job.second))


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


def integrate_gap(job: GapJob, interpolator: Interpolator | None, factor: int, response: CameraResponse) -> GapIntegral:
    """The work of one gap: continuity, virtual frames, their sum in linear light, the truth where there is one.

    interpolator: None goes with a factor of 1. Errors: those of the interpolator.
    """
    state = job.continuity or continuity(job.first, job.second)
    truth_lin = job.truth_lin() if job.truth_lin is not None else None
    ends_lin = response.to_linear(job.first)
    ends_lin += response.to_linear(job.second)
    ends_lin *= np.float32(0.5)
    if state.cut:
        integral_lin = None
    elif interpolator is None:
        integral_lin = ends_lin
    elif state.repeated:
        integral_lin = ends_lin * np.float32(factor)
    else:
        path = None
        if isinstance(interpolator, Moving) and job.motion_px is not None:
            path = interpolator.path(job.motion_px, job.before_px, job.after_px)
        integral_lin = interpolator.gap_sum(job.first, job.second, factor, response, path)
        integral_lin += ends_lin
    return GapIntegral(
        gap=job.gap,
        first=job.first,
        second=job.second,
        integral_lin=integral_lin,
        repeated=state.repeated,
        captured_lin=ends_lin if truth_lin is not None else None,
        truth_lin=truth_lin,
    )


@dataclass(kw_only=True, eq=False)
class BlurWindow:
    """A window while its gaps come in, and when it is complete. Sums are float32 [H, W, 3], linear light."""

    window: Window
    gaps_lin: np.ndarray | None = None
    captured_lin: np.ndarray | None = None
    truth_lin: np.ndarray | None = None
    first: np.ndarray | None = None
    sharp: np.ndarray | None = None  # the captured centre frame, never a virtual one
    last: np.ndarray | None = None
    cut_after: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    still: bool = False

    def add(self, part: GapIntegral) -> None:
        """Take in the next gap."""
        if part.gap == self.window.first:
            self.first = part.first
        if part.gap == self.window.centre:
            self.sharp = part.first
        if part.gap == self.window.last - 1:
            self.last = part.second
        if part.repeated:
            self.repeated.append(part.gap + 1)
        if part.integral_lin is None:
            self.cut_after.append(part.gap)
            self.gaps_lin = self.captured_lin = self.truth_lin = None
        if not self.cut_after:
            self.gaps_lin = _summed(self.gaps_lin, part.integral_lin)
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
) -> Iterator[BlurWindow]:
    """Sum gap integrals, which come in order (some may be left out), into windows; yields them as they are completed.

    Windows that end in the same gap are ordered by their start. `moving(gap)` is told of every gap in which something
    moves and `moving(None)` says whether one was seen: a window of nothing but repeated frames is a still if the clip
    has not moved yet, and frozen if it has.
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
            blur.add(part)
        for blur in [blur for blur in opened if blur.window.last == part.gap + 1]:
            opened.remove(blur)
            blur.still = len(blur.repeated) == blur.window.frames - 1 and not moving(None)
            yield blur


def require_window(frames: int) -> None:
    """Errors: ValueError unless the window is an odd number of captured frames, 3 or more."""
    if frames < 3 or frames % 2 == 0:
        raise ValueError(f"a window is an odd number of captured frames, 3 or more (the centre is sharp), got {frames}")


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
