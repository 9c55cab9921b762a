"""The shutter: which virtual frames of a window are averaged, by which weights, and what each gap gives to that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PROFILES = ("trapezoid", "mean")

# What a gap gives to an exposure: None is all of it (half of both ends and everything between), () nothing, else the
# weights of its factor + 1 frames, both captured ends included.
GapShare = tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A window of `frames` captured frames with factor - 1 virtual frames in every gap, weighted by `profile`.

    duty: share of the window's time for which the shutter is open, around the centre frame. The trapezoid opens and
    shuts between virtual frames too (they are joined by straight lines); the mean counts the whole ones inside.
    Errors: ValueError for an even or too small window, a factor below 1, another profile, a duty cycle beyond 0 to 1.
    """

    frames: int
    factor: int
    profile: str = "trapezoid"
    duty: float = 1.0

    def __post_init__(self) -> None:
        require_window(self.frames)
        if self.factor < 1:
            raise ValueError(f"the interpolation factor is at least 1, got {self.factor}")
        if self.profile not in PROFILES:
            raise ValueError(f"an exposure's profile is one of {', '.join(PROFILES)}, got {self.profile!r}")
        require_duty(self.duty)

    @property
    def virtual_frames(self) -> int:
        """How many virtual frames are averaged."""
        return int(np.count_nonzero(self.weights()))

    def weights(self) -> np.ndarray:
        """Weight of every virtual frame of the window. Shape: [(frames - 1) * factor + 1] float64, sums to 1."""
        weights = np.zeros((self.frames - 1) * self.factor + 1)
        for gap in range(self.frames - 1):
            share = self.share(gap)
            start = gap * self.factor
            weights[start : start + self.factor + 1] += _whole_gap(self.factor) if share is None else share or 0.0
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
        opens, shuts = (float(centre + side * self._half_open - start) for side in (-1, 1))
        steps = np.arange(self.factor + 1)
        if self.profile == "mean":
            weights = _whole_gap(self.factor) * ((steps >= opens) & (steps <= shuts))
        else:
            edges = np.clip([opens, shuts], 0, self.factor)
            upto = [_ramp(np.clip(edge - steps, -1, 1)) for edge in edges]
            weights = upto[1] - upto[0]
        if not weights.any():
            return ()
        return None if np.array_equal(weights, _whole_gap(self.factor)) else tuple(weights.tolist())

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


def _whole_gap(factor: int) -> np.ndarray:
    """Weights of a gap's frames in a sum of all of it. Shape: [factor + 1]."""
    weights = np.ones(factor + 1)
    weights[[0, -1]] = 0.5
    return weights


def _ramp(u: np.ndarray) -> np.ndarray:
    """Integral from -1 to u of the hat 1 - |u|, u in [-1, 1]: a virtual frame's share of the light until then."""
    return np.where(u <= 0, (1 + u) ** 2 / 2, 1 - (1 - u) ** 2 / 2)
