"""Smooth camera shake in six degrees of freedom: sums of sinusoids, their homographies, and the blur they cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.random_streams import stream

AXES = ("shift_x", "shift_y", "roll", "zoom", "tilt_x", "tilt_y")
# Hand shake is mostly a shift of the image; the other axes move the corners by these shares of it.
AXIS_SHARES = np.array([1.0, 1.0, 0.35, 0.15, 0.12, 0.12])
HAND_BAND_HZ = (3.0, 25.0)
SINUSOIDS_PER_AXIS = 6
AMPLITUDE_EXPONENT = 1.2  # amplitude ~ 1 / frequency^1.2: slow sway dominates, tremor rides on it


@dataclass(frozen=True, kw_only=True, eq=False)
class Shake:
    """A smooth path of six pose values, defined at every instant.

    Shape: each array [6, sinusoids]. Units: Hz, px at half the image's diagonal from its centre, radians of phase.
    """

    frequencies_hz: np.ndarray
    amplitudes_px: np.ndarray
    phases: np.ndarray

    def poses(self, times_s: float | np.ndarray) -> np.ndarray:
        """Pose values at the given instants. Shape: [..., 6] for times of shape [...]. Units: s in, px out."""
        times_s = np.asarray(times_s, dtype=np.float64)[..., None, None]
        angles = 2 * np.pi * self.frequencies_hz * times_s + self.phases
        return (self.amplitudes_px * np.sin(angles)).sum(axis=-1)

    def scaled(self, factor: float) -> Shake:
        """The same path with all amplitudes multiplied by `factor`."""
        return Shake(frequencies_hz=self.frequencies_hz, amplitudes_px=self.amplitudes_px * factor, phases=self.phases)


def draw_shake(seed: int, *names: str | int, band_hz: tuple[float, float] = HAND_BAND_HZ) -> Shake:
    """A random shake whose shift has a standard deviation of 1 px per axis; `Shake.scaled` gives it a size.

    Frequencies are spread evenly in the logarithm over `band_hz`, one in each part of it, with random phases.
    Errors: ValueError for a band that is not 0 < low <= high.
    """
    low_hz, high_hz = band_hz
    if not 0 < low_hz <= high_hz:
        raise ValueError(f"a shake's band is (low, high) in Hz with 0 < low <= high, got {band_hz}")
    rng = stream(seed, *names, "shake")
    shape = (len(AXES), SINUSOIDS_PER_AXIS)
    positions = (np.arange(SINUSOIDS_PER_AXIS) + rng.random(shape)) / SINUSOIDS_PER_AXIS
    frequencies_hz = low_hz * (high_hz / low_hz) ** positions
    amplitudes = frequencies_hz**-AMPLITUDE_EXPONENT * rng.uniform(0.6, 1.4, shape)
    amplitudes *= np.sqrt(2) / np.linalg.norm(amplitudes, axis=1, keepdims=True)
    return Shake(
        frequencies_hz=frequencies_hz,
        amplitudes_px=amplitudes * AXIS_SHARES[:, None],
        phases=rng.uniform(0, 2 * np.pi, shape),
    )


def homographies(poses: np.ndarray, height: int, width: int) -> np.ndarray:
    """Homographies about the image's centre that carry a resting scene to where a pose puts it.

    Shape: poses [..., 6] in px (see `Shake`) -> [..., 3, 3], in pixel coordinates (x right, y down,
    centres at integers).
    """
    poses = np.asarray(poses, dtype=np.float64)
    half_px = np.hypot(height, width) / 2
    shift_x, shift_y, roll, zoom, tilt_x, tilt_y = np.moveaxis(poses, -1, 0)
    angle, scale = roll / half_px, np.exp(zoom / half_px)
    about_centre = np.zeros((*poses.shape[:-1], 3, 3))
    about_centre[..., 0, 0] = about_centre[..., 1, 1] = scale * np.cos(angle)
    about_centre[..., 1, 0] = scale * np.sin(angle)
    about_centre[..., 0, 1] = -about_centre[..., 1, 0]
    about_centre[..., 0, 2], about_centre[..., 1, 2] = shift_x, shift_y
    # x / (1 + k x) moves a point at x = half_px by about k half_px^2 = tilt px.
    about_centre[..., 2, 0], about_centre[..., 2, 1] = tilt_x / half_px**2, tilt_y / half_px**2
    about_centre[..., 2, 2] = 1
    centre = translation((width - 1) / 2, (height - 1) / 2)
    return centre @ about_centre @ np.linalg.inv(centre)


def translation(shift_x: float, shift_y: float) -> np.ndarray:
    """The [3, 3] homography of a shift. Units: px."""
    return np.array([[1.0, 0.0, shift_x], [0.0, 1.0, shift_y], [0.0, 0.0, 1.0]])


def blur_extent_px(path: Sequence[np.ndarray] | np.ndarray, height: int, width: int) -> float:
    """How far image points travel: the greatest distance between two positions of a point, median over a 5 x 5 grid.

    Shape: path [N, 3, 3] homographies. Units: px.
    """
    rows, columns = np.meshgrid(np.linspace(0, height - 1, 5), np.linspace(0, width - 1, 5), indexing="ij")
    points = np.stack([columns.ravel(), rows.ravel(), np.ones(25)])  # [3, 25]
    moved = np.asarray(path, dtype=np.float64) @ points  # [N, 3, 25]
    places = moved[:, :2] / moved[:, 2:]
    apart = places[:, None] - places[None]  # [N, N, 2, 25]
    return float(np.median(np.sqrt((apart**2).sum(axis=2)).max(axis=(0, 1))))
