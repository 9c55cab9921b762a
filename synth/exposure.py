"""The exposure: which captured frames make a window, which virtual frames of it count, and by which weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from core.random_streams import stream

PROFILES = ("trapezoid", "mean")


@dataclass(frozen=True, kw_only=True)
class GapPart:
    """The part of a gap for which the shutter is open; equal parts of two windows are computed once.

    opens, shuts: for the middle row, counted from the gap's start; row_delay: how much later each row is than the one
    above it. Units: virtual frames. rows: of the image; 1 where all rows are alike. profile: as `Exposure`.
    """

    factor: int
    profile: str
    opens: float
    shuts: float
    row_delay: float = 0.0
    rows: int = 1

    def weights(self) -> np.ndarray:
        """Weights of the gap's frames, both captured ends included, for every row. Shape: [factor + 1, rows]."""
        later = row_times(self.rows, self.row_delay, self.profile)
        steps = np.arange(self.factor + 1.0)[:, None]
        opens, shuts = self.opens + later, self.shuts + later
        if self.profile == "mean":
            return _whole_gap(self.factor)[:, None] * ((steps >= opens) & (steps <= shuts))
        opened, shut = (_ramp(np.clip(np.clip(edge, 0, self.factor) - steps, -1, 1)) for edge in (opens, shuts))
        return shut - opened


# What a gap gives to an exposure: None is all of it (half of both ends and everything between), SHUT nothing.
GapShare = GapPart | None
SHUT = GapPart(factor=1, profile="mean", opens=0.0, shuts=-1.0)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A window of captured frames with virtual frames in every gap, and the weight of each in the blurred image.

    Parameters
    ----------
    frames : int
        Captured frames of the window, odd, 3 or more; the centre one is the sharp image.
    factor : int
        Steps of a gap between two captured frames: it has factor - 1 virtual frames. 1 or more.
    profile : str
        "trapezoid": the virtual frames are joined by straight lines, and the shutter opens and shuts between them, too.
        "mean": those inside are counted alike.
    duty : float
        Share of the window's time for which the shutter is open, around the centre frame. In (0, 1].
    row_delay : float
        A rolling shutter: how much later each row of the image is than the one above it; the middle row is on time.
        In virtual frames; the mean rounds a row's time to whole ones.
    rows : int
        Of the image.

    Raises
    ------
    ValueError
        For an even or too small window, a factor below 1, another profile, a duty cycle beyond 0 to 1, and for rows
        that are read outside the window.

    Examples
    --------
    >>> exposure = Exposure(frames=3, factor=2)
    >>> exposure.weights()
    array([0.125, 0.25 , 0.25 , 0.25 , 0.125])
    >>> Exposure(frames=3, factor=2, profile="mean").weights()
    array([0.2, 0.2, 0.2, 0.2, 0.2])
    >>> exposure.span_s(240)  # two gaps of 1/240 s
    0.008333333333333333
    """

    frames: int
    factor: int
    profile: str = "trapezoid"
    duty: float = 1.0
    row_delay: float = 0.0
    rows: int = 1

    def __post_init__(self) -> None:
        require_window(self.frames)
        if self.factor < 1:
            raise ValueError(f"the interpolation factor is at least 1, got {self.factor}")
        if self.profile not in PROFILES:
            raise ValueError(f"an exposure's profile is one of {', '.join(PROFILES)}, got {self.profile!r}")
        require_duty(self.duty)
        latest = float(row_times(self.rows, self.row_delay, self.profile)[-1])
        if self.row_delay < 0 or (latest and self._half_open + latest >= (self.frames - 1) * self.factor / 2):
            raise ValueError(
                f"with this row delay and a duty cycle of {self.duty:g}, the first and last rows are exposed outside "
                f"the window of {self.frames} captured frames; choose a smaller --row-delay or --duty, or a larger "
                "--window"
            )

    @property
    def virtual_frames(self) -> int:
        """How many virtual frames are averaged (in the middle row)."""
        return int(np.count_nonzero(self.weights()))

    def weights(self, row: int | None = None) -> np.ndarray:
        """Weight of every virtual frame of the window, in a row of the image (None: the middle one).

        Shape: [(frames - 1) * factor + 1] float64, sums to 1.
        """
        row = self.rows // 2 if row is None else row
        weights = np.zeros((self.frames - 1) * self.factor + 1)
        for gap in range(self.frames - 1):
            share = self.share(gap)
            start = gap * self.factor
            if share is None:
                weights[start : start + self.factor + 1] += _whole_gap(self.factor)
            elif share != SHUT:
                weights[start : start + self.factor + 1] += share.weights()[:, row if share.rows > 1 else 0]
        if self.profile == "mean" and self.duty == 1.0:
            weights[[0, -1]] += 0.5
        return weights / weights.sum()

    def span_s(self, fps: float) -> float:
        """Time for which the shutter is open; with a duty cycle of 1, from the first captured frame to the last.

        Units: s.
        """
        return (self.frames - 1) / fps if self.duty == 1.0 else 2 * self._half_open / self.factor / fps

    def share(self, gap: int) -> GapShare:
        """What a gap of the window (0 is the first) gives to the exposure: all, nothing, or a part."""
        if self.duty == 1.0:
            return None
        start, centre = gap * self.factor, (self.frames - 1) * self.factor / 2
        part = GapPart(
            factor=self.factor,
            profile=self.profile,
            opens=float(centre - self._half_open - start),
            shuts=float(centre + self._half_open - start),
            row_delay=self.row_delay,
            rows=self.rows if self.row_delay else 1,
        )
        weights = part.weights()
        if not weights.any():
            return SHUT
        return None if (weights == _whole_gap(self.factor)[:, None]).all() else part

    @property
    def _half_open(self) -> float:
        """Half the time for which the shutter is open. Units: virtual frames."""
        half = round(self.duty * (self.frames - 1) * self.factor / 2, 9)
        return float(np.floor(half)) if self.profile == "mean" else half

    def blur_lin(self, gaps_lin: np.ndarray, first_lin: np.ndarray, last_lin: np.ndarray) -> np.ndarray:
        """The blurred image from the sum of the window's gap integrals and its two end frames.

        Shape: three float32 [H, W, 3] -> float32 [H, W, 3], new. Range: linear light.
        """
        steps = 2 * self._half_open if self.duty != 1.0 else (self.frames - 1) * self.factor
        if self.profile == "trapezoid":
            return gaps_lin * np.float32(1 / steps)
        if self.duty != 1.0:  # then the two outermost frames are in the sums of the gaps
            return gaps_lin * np.float32(1 / (steps + 1))
        return (gaps_lin + (first_lin + last_lin) * np.float32(0.5)) * np.float32(1 / (steps + 1))


def require_window(frames: int) -> None:
    """Errors: ValueError unless the window is an odd number of captured frames, 3 or more."""
    if frames < 3 or frames % 2 == 0:
        raise ValueError(f"a window is an odd number of captured frames, 3 or more (the centre is sharp), got {frames}")


def require_duty(duty: float) -> None:
    """Errors: ValueError unless it is a share of the window's time: more than 0, at most 1."""
    if not 0.0 < duty <= 1.0:
        raise ValueError(f"the duty cycle is the window's open share, more than 0 and at most 1, got {duty:g}")


def row_times(rows: int, row_delay: float, profile: str) -> np.ndarray:
    """When each row is exposed, relative to the middle of the image. Shape: [rows]. Units: virtual frames."""
    times = (np.arange(rows) - (rows - 1) / 2) * row_delay
    return np.rint(times) if profile == "mean" else times


def _whole_gap(factor: int) -> np.ndarray:
    """Weights of a gap's frames in a sum of all of it. Shape: [factor + 1]."""
    weights = np.ones(factor + 1)
    weights[[0, -1]] = 0.5
    return weights


def _ramp(u: np.ndarray) -> np.ndarray:
    """Integral from -1 to u of the hat 1 - |u|, u in [-1, 1]: a virtual frame's share of the light until then."""
    return np.where(u <= 0, (1 + u) ** 2 / 2, 1 - (1 - u) ** 2 / 2)


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
        """Which gaps the windows that are not finished cover, and which windows those are."""
        return GapsNeeded(windows=self.windows(frame_count), finished=finished)


@dataclass(kw_only=True)
class GapsNeeded:
    """Call with gap 0, 1, 2 ... in order: is it inside a window that is not finished?"""

    windows: Iterator[Window]
    finished: Callable[[Window], bool]
    _next: Window | None = None
    _open: list[Window] = field(default_factory=list)

    def __call__(self, gap: int) -> bool:
        return bool(self.covering(gap))

    def covering(self, gap: int) -> list[Window]:
        """The windows that are not finished and have this gap in them; also to be called in order."""
        if self._next is None:
            self._next = next(self.windows, None)
        while self._next is not None and self._next.first <= gap:
            if not self.finished(self._next):
                self._open.append(self._next)
            self._next = next(self.windows, None)
        self._open = [window for window in self._open if window.last > gap]
        return list(self._open)
