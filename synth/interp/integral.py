"""The mean of a gap in linear light, pixel by pixel, along paths that may bend. Compiled by numba on its first use.

What is at pixel x in the middle of a gap was at x - u/2 in the first frame and will be at x + u/2 in the second. Its
speed may change on the way, as the motion in the gaps before (u-) and after (u+) tells: with b = (u+ - u-) / 2, all in
px per gap, it is ahead of uniform motion by b t (t - 1) / 2 at phase t, so that pixel x shows

    A(x - t u - b t (t - 1) / 2)   and   B(x + (1 - t) u - b t (t - 1) / 2),   mixed by 1 - t and t.

How many samples. Every warp softens the picture, so slow pixels are sampled seldom: with N steps the trapezoid
(A/2 + N - 1 warps + B/2) / N stands for the mean. N is 1 where a path is no longer than the spacing (nothing is
warped), else the least number that keeps the spacing, at most `factor`. Sampling is cubic (Keys, a = -0.75) or
bilinear.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np

from core.camera_response import CameraResponse

# LLVM's vectorisation of straight code, which numba leaves off: the four channels of a pixel become one instruction.
# It must be asked for before numba is imported, and halves the time of a gap.
os.environ.setdefault("NUMBA_SLP_VECTORIZE", "1")
import numba

MARGIN_PX = 2  # around a padded frame: a cubic kernel reaches so far beyond the border
SUBPIXELS = 64  # sub-pixel positions of the cubic kernel

f32 = np.float32


@dataclass(frozen=True, kw_only=True)
class GapPath:
    """How pixels move through a gap. motion_px: over the gap, of what is there in its middle; bend_px: how much
    faster it gets over the gap, None for uniform motion.

    Shape: float32 [H, W, 2] (x right, y down). Units: px per gap.
    """

    motion_px: np.ndarray
    bend_px: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """spacing_px: samples of a path are at most so far apart, where the factor allows. nearest: every sample is taken
    from the frame that is nearer in time, instead of mixing both. cubic: or bilinear."""

    spacing_px: float
    nearest: bool
    cubic: bool


def padded_lin(frame: np.ndarray, response: CameraResponse) -> np.ndarray:
    """A captured frame for `gap_total`. Shape: uint8 [H, W, 3] -> float32 [H + 4, W + 4, 4], linear light, fourth 0."""
    wide = cv2.copyMakeBorder(frame, MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX, cv2.BORDER_REPLICATE)
    four = np.zeros((*wide.shape[:2], 4), dtype=np.float32)
    cv2.mixChannels([response.to_linear(wide)], [four], [0, 0, 1, 1, 2, 2])
    return four


def gap_total(first: np.ndarray, second: np.ndarray, path: GapPath, factor: int, sampling: Sampling) -> np.ndarray:
    """`factor` times the trapezoid mean over the gap between two frames made by `padded_lin`: half of both ends plus
    factor - 1 virtual frames. Shape: float32 [H, W, 3], new. Range: linear light, [0, factor]."""
    return _integrated(first, second, path, factor, sampling, float(factor), 0.0)


def virtual_sum(first: np.ndarray, second: np.ndarray, path: GapPath, factor: int, sampling: Sampling) -> np.ndarray:
    """`gap_total` without half of both ends: the sum of factor - 1 virtual frames. Shape: the same."""
    return _integrated(first, second, path, factor, sampling, float(factor), 1.0)


def _integrated(
    first: np.ndarray, second: np.ndarray, path: GapPath, factor: int, sampling: Sampling, times: float, less: float
) -> np.ndarray:
    """times * mean - less * (first + second) / 2."""
    height, width = path.motion_px.shape[:2]
    mean_lin = np.empty((height, width, 3), dtype=np.float32)
    bend = np.zeros((1, 1, 2), dtype=np.float32) if path.bend_px is None else np.ascontiguousarray(path.bend_px)
    motion = np.ascontiguousarray(path.motion_px)
    spacing, bent = f32(sampling.spacing_px), path.bend_px is not None
    compiled = _cubic_mean if sampling.cubic else _bilinear_mean
    near = sampling.nearest
    compiled(first, second, motion, bend, bent, factor, spacing, near, _CUBIC, f32(times), f32(less), mean_lin)
    return mean_lin


def bent_path(motion_px: np.ndarray, before_px: np.ndarray | None, after_px: np.ndarray | None) -> GapPath:
    """The path through a gap, given the motions in the gaps around it (None: not known).

    The neighbours are looked up along the path. One neighbour alone gives the acceleration as well. Smoothed over
    4 px, which removes the steps of the flow's grid.
    """
    if before_px is None and after_px is None:
        return GapPath(motion_px=motion_px)
    height, width = motion_px.shape[:2]
    small = (max(1, width // 4), max(1, height // 4))  # the fields are smooth: a quarter of the resolution shows them
    scale = np.array([small[0] / width, small[1] / height], dtype=np.float32)
    here = cv2.resize(motion_px, small, interpolation=cv2.INTER_AREA)
    places = pixel_places(small[1], small[0])
    earlier, later = here, here
    if before_px is not None:
        earlier = _at(cv2.resize(before_px, small, interpolation=cv2.INTER_AREA), places - here * scale)
    if after_px is not None:
        later = _at(cv2.resize(after_px, small, interpolation=cv2.INTER_AREA), places + here * scale)
    share = 0.5 if before_px is not None and after_px is not None else 1.0
    bend = cv2.GaussianBlur(cv2.addWeighted(later, share, earlier, -share, 0.0), (0, 0), 1.0)
    bend = cv2.resize(bend, (width, height), interpolation=cv2.INTER_LINEAR)
    return GapPath(motion_px=motion_px, bend_px=bend)


def path_length_px(path: GapPath) -> np.ndarray:
    """Length that decides the number of samples: the root mean square speed along the path. Shape: [H, W]."""
    square = np.square(path.motion_px).sum(axis=-1)
    if path.bend_px is not None:
        square = square + np.square(path.bend_px).sum(axis=-1) / 12
    return np.sqrt(square)


def pixel_places(height: int, width: int) -> np.ndarray:
    """Pixel coordinates. Shape: float32 [H, W, 2] (x, y)."""
    places = np.empty((height, width, 2), dtype=np.float32)
    places[..., 0] = np.arange(width, dtype=np.float32)
    places[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return places


def _at(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    return cv2.remap(field, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def _cubic_table() -> np.ndarray:
    """Weights of four neighbours for every sub-pixel position. Shape: float32 [65, 4]."""
    a = -0.75
    x = np.arange(SUBPIXELS + 1) / SUBPIXELS
    y = 1 - x
    outer_left, outer_right = a * x * y * y, a * y * x * x
    left = ((a + 2) * x - (a + 3)) * x * x + 1
    return np.stack([outer_left, left, 1 - outer_left - left - outer_right, outer_right], axis=1).astype(np.float32)


_CUBIC = _cubic_table()
_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")


@_compiled
def _row4(image, row, column, channel, wx):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    second, third = column + one, column + one + one
    return (
        image[row, column, channel] * wx[0]
        + image[row, second, channel] * wx[1]
        + image[row, third, channel] * wx[2]
        + image[row, third + one, channel] * wx[3]
    )


@_compiled
def _square4(image, row, column, channel, wx, wy):  # type: ignore[no-untyped-def]
    one = np.uint64(1)
    second, third = row + one, row + one + one
    return (
        wy[0] * _row4(image, row, column, channel, wx)
        + wy[1] * _row4(image, second, column, channel, wx)
        + wy[2] * _row4(image, third, column, channel, wx)
        + wy[3] * _row4(image, third + one, column, channel, wx)
    )


@_compiled
def _add_cubic(image, x, y, weight, table, total):  # type: ignore[no-untyped-def]
    """total += weight * image at (x, y); x and y inside the picture. The four channels are one vector for LLVM."""
    left, top = np.uint32(x), np.uint32(y)
    ix = np.uint32((x - f32(left)) * f32(64) + f32(0.5))
    iy = np.uint32((y - f32(top)) * f32(64) + f32(0.5))
    wx = (table[ix, 0], table[ix, 1], table[ix, 2], table[ix, 3])
    wy = (table[iy, 0] * weight, table[iy, 1] * weight, table[iy, 2] * weight, table[iy, 3] * weight)
    row, column = np.uint64(top) + np.uint64(1), np.uint64(left) + np.uint64(1)
    s0 = _square4(image, row, column, 0, wx, wy)
    s1 = _square4(image, row, column, 1, wx, wy)
    s2 = _square4(image, row, column, 2, wx, wy)
    s3 = _square4(image, row, column, 3, wx, wy)
    total[0] += s0
    total[1] += s1
    total[2] += s2
    total[3] += s3


@_compiled
def _square2(image, row, column, channel, w00, w01, w10, w11):  # type: ignore[no-untyped-def]
    second, below = column + np.uint64(1), row + np.uint64(1)
    return (
        image[row, column, channel] * w00
        + image[row, second, channel] * w01
        + image[below, column, channel] * w10
        + image[below, second, channel] * w11
    )


@_compiled
def _add_bilinear(image, x, y, weight, table, total):  # type: ignore[no-untyped-def]
    left, top = np.uint32(x), np.uint32(y)
    fx, fy = x - f32(left), y - f32(top)
    w11 = fx * fy * weight
    w01, w10 = fx * weight - w11, fy * weight - w11
    w00 = weight - w01 - w10 - w11
    row, column = np.uint64(top) + np.uint64(2), np.uint64(left) + np.uint64(2)
    s0 = _square2(image, row, column, 0, w00, w01, w10, w11)
    s1 = _square2(image, row, column, 1, w00, w01, w10, w11)
    s2 = _square2(image, row, column, 2, w00, w01, w10, w11)
    s3 = _square2(image, row, column, 3, w00, w01, w10, w11)
    total[0] += s0
    total[1] += s1
    total[2] += s2
    total[3] += s3


def _mean_with(add):  # type: ignore[no-untyped-def]
    """The loop over pixels around one of the two ways to sample."""

    def mean(first, second, motion, bend, bent, factor, spacing, nearest, table, times, less, mean_lin):  # type: ignore[no-untyped-def]
        height, width = motion.shape[0], motion.shape[1]
        half, one, zero = f32(0.5), f32(1), f32(0)
        right, bottom = f32(width - 1), f32(height - 1)
        total = np.zeros(4, np.float32)
        for row in range(height):
            for column in range(width):
                ux, uy = motion[row, column, 0], motion[row, column, 1]
                bx = by = zero
                if bent:
                    bx, by = bend[row, column, 0], bend[row, column, 1]
                length = np.sqrt(ux * ux + uy * uy + (bx * bx + by * by) / f32(12))
                steps = int(np.ceil(length / spacing))
                if steps > factor:
                    steps = factor
                for channel in range(4):
                    total[channel] = (first[row + 2, column + 2, channel] + second[row + 2, column + 2, channel]) * half
                share = one if steps <= 1 else one / f32(steps)
                for index in range(1, steps):
                    t = f32(index) * share
                    ahead = t * (t - one) * half
                    x, y = f32(column) - t * ux - ahead * bx, f32(row) - t * uy - ahead * by
                    late = t
                    if nearest:
                        late = zero if 2 * index < steps else (half if 2 * index == steps else one)
                    if late < one:
                        add(first, min(max(x, zero), right), min(max(y, zero), bottom), one - late, table, total)
                    if late > zero:
                        x, y = x + ux, y + uy
                        add(second, min(max(x, zero), right), min(max(y, zero), bottom), late, table, total)
                for channel in range(3):
                    ends = (first[row + 2, column + 2, channel] + second[row + 2, column + 2, channel]) * half
                    mean_lin[row, column, channel] = total[channel] * share * times - ends * less

    return mean


_cubic_mean = _compiled(_mean_with(_add_cubic))
_bilinear_mean = _compiled(_mean_with(_add_bilinear))
