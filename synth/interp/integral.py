"""The mean of a gap in linear light, pixel by pixel, along paths that may bend. Compiled by numba on its first use.

What is at pixel x in the middle of a gap was at x - u/2 in the first frame and will be at x + u/2 in the second. In
between it runs at a speed that the neighbouring gaps tell: with u-, u, u+ the motions over the gap before, this one and
the next (px per gap, along the path), speed is the parabola whose means over the three gaps they are. Against uniform
speed its path is ahead by

    d(t) = b t (t - 1) / 2 + c t (t - 1) (2 t - 1) / 12,      b = (u+ - u-) / 2 (acceleration), c = u+ - 2 u + u- (jerk)

so that at phase t pixel x shows A(x - t u - d) and B(x + (1 - t) u - d), mixed by 1 - t and t.

How many samples. Every warp softens the picture, so slow pixels are sampled seldom: with N steps the trapezoid
(A/2 + N - 1 warps + B/2) / N stands for the mean. N is 1 where a path is no longer than the spacing (nothing is warped)
and otherwise the least number that keeps the spacing, at most `factor`.
"""

from __future__ import annotations

import numba
import numpy as np

CUBIC_STEPS = 4  # up to so many steps are sampled with a cubic kernel: few warps show their softness, many hide it


@numba.njit(nogil=True, cache=True, fastmath=False, boundscheck=False)
def _bilinear(image, x, y, weight, total):  # type: ignore[no-untyped-def]
    height, width = image.shape[0], image.shape[1]
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = int(x), int(y)
    if left > width - 2:
        left = width - 2
    if top > height - 2:
        top = height - 2
    fx, fy = x - np.float32(left), y - np.float32(top)
    w11 = fx * fy * weight
    w01 = fx * weight - w11
    w10 = fy * weight - w11
    w00 = weight - w01 - w10 - w11
    for channel in range(3):
        total[channel] += (
            image[top, left, channel] * w00
            + image[top, left + 1, channel] * w01
            + image[top + 1, left, channel] * w10
            + image[top + 1, left + 1, channel] * w11
        )


@numba.njit(nogil=True, cache=True, fastmath=False, boundscheck=False)
def _cubic(image, x, y, weight, total, across):  # type: ignore[no-untyped-def]
    """Keys' kernel with a = -0.75, the one of OpenCV; borders go on."""
    height, width = image.shape[0], image.shape[1]
    x = min(max(x, np.float32(0)), np.float32(width - 1))
    y = min(max(y, np.float32(0)), np.float32(height - 1))
    left, top = int(x), int(y)
    fx, fy = x - np.float32(left), y - np.float32(top)
    a = np.float32(-0.75)
    one, two, three = np.float32(1), np.float32(2), np.float32(3)
    gx, gy = one - fx, one - fy
    wx0 = a * fx * gx * gx
    wx1 = ((a + two) * fx - (a + three)) * fx * fx + one
    wx2 = ((a + two) * gx - (a + three)) * gx * gx + one
    wx3 = one - wx0 - wx1 - wx2
    wy1 = (((a + two) * fy - (a + three)) * fy * fy + one) * weight
    wy2 = (((a + two) * gy - (a + three)) * gy * gy + one) * weight
    wy0 = a * fy * gy * gy * weight
    wy3 = weight - wy0 - wy1 - wy2
    inside = left >= 1 and top >= 1 and left < width - 2 and top < height - 2
    for row in range(4):
        wy = wy0 if row == 0 else (wy1 if row == 1 else (wy2 if row == 2 else wy3))
        r = top - 1 + row
        if inside:
            for channel in range(3):
                across[channel] = (
                    image[r, left - 1, channel] * wx0
                    + image[r, left, channel] * wx1
                    + image[r, left + 1, channel] * wx2
                    + image[r, left + 2, channel] * wx3
                )
        else:
            r = min(max(r, 0), height - 1)
            c0, c1 = max(left - 1, 0), left
            c2, c3 = min(left + 1, width - 1), min(left + 2, width - 1)
            for channel in range(3):
                across[channel] = (
                    image[r, c0, channel] * wx0
                    + image[r, c1, channel] * wx1
                    + image[r, c2, channel] * wx2
                    + image[r, c3, channel] * wx3
                )
        for channel in range(3):
            total[channel] += across[channel] * wy


@numba.njit(nogil=True, cache=True, fastmath=False, boundscheck=False)
def _mean(first_lin, second_lin, motion, bend, jerk, bent, factor, spacing, nearest, cubic_steps, mean_lin):  # type: ignore[no-untyped-def]
    height, width = first_lin.shape[0], first_lin.shape[1]
    half, one = np.float32(0.5), np.float32(1)
    total = np.zeros(3, np.float32)
    across = np.zeros(3, np.float32)
    for row in range(height):
        for column in range(width):
            ux, uy = motion[row, column, 0], motion[row, column, 1]
            bx = by = cx = cy = np.float32(0)
            if bent:
                bx, by = bend[row, column, 0], bend[row, column, 1]
                cx, cy = jerk[row, column, 0], jerk[row, column, 1]
            # Length of a path whose speed changes by b over the gap: at least the root mean square of its speed.
            length = np.sqrt(ux * ux + uy * uy + (bx * bx + by * by) / np.float32(12))
            steps = int(np.ceil(length / spacing))
            if steps > factor:
                steps = factor
            if steps <= 1:
                for channel in range(3):
                    mean_lin[row, column, channel] = (
                        first_lin[row, column, channel] + second_lin[row, column, channel]
                    ) * half
                continue
            for channel in range(3):
                total[channel] = (first_lin[row, column, channel] + second_lin[row, column, channel]) * half
            cubic = steps <= cubic_steps
            for index in range(1, steps):
                t = np.float32(index) / np.float32(steps)
                d1 = t * (t - one) * half
                d2 = t * (t - one) * (t + t - one) / np.float32(12)
                dx = d1 * bx + d2 * cx
                dy = d1 * by + d2 * cy
                ax, ay = np.float32(column) - t * ux - dx, np.float32(row) - t * uy - dy
                weight = one - t
                if nearest:
                    weight = one if index + index < steps else (half if index + index == steps else np.float32(0))
                if weight > 0:
                    if cubic:
                        _cubic(first_lin, ax, ay, weight, total, across)
                    else:
                        _bilinear(first_lin, ax, ay, weight, total)
                if weight < one:
                    if cubic:
                        _cubic(second_lin, ax + ux, ay + uy, one - weight, total, across)
                    else:
                        _bilinear(second_lin, ax + ux, ay + uy, one - weight, total)
            scale = one / np.float32(steps)
            for channel in range(3):
                mean_lin[row, column, channel] = total[channel] * scale
