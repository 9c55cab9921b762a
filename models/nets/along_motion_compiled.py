"""The loops of models/nets/along_motion.py, compiled by numba: one image, blocks of 4 x 4 px, float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SIDE = 4
BLOCK = np.uint64(SIDE)
ONE, NONE = np.float32(1), np.float32(0)
_COMPILED = njit(nogil=True, fastmath=True, cache=True, error_model="numpy", boundscheck=False)
_PART = njit(nogil=True, fastmath=True, cache=True, error_model="numpy", boundscheck=False, inline="always")


@_PART
def place(at, shift, size):  # pragma: no cover (compiled)
    """Of a block that is shifted: whole px, share of the next px, and whether it lies inside."""
    whole = np.floor(shift)
    first = np.int64(at) + np.int64(whole)
    return first, shift - whole, first >= 0 and first + SIDE < size


@_PART
def clipped(at, shift, size):  # pragma: no cover (compiled)
    """Of ONE px at the border: the px before, the px after, share of the latter, slope of the place."""
    exact = np.float32(at) + shift
    slope = ONE if NONE <= exact <= np.float32(size - 1) else NONE
    exact = min(max(exact, NONE), np.float32(size - 1))
    low = min(np.int64(exact), size - 2) if size > 1 else 0
    return np.uint64(low), np.uint64(low + (1 if size > 1 else 0)), exact - np.float32(low), slope


@_PART
def read(image, y, x, dy, dx, tile):  # pragma: no cover (compiled)
    """Adds what lies (dx, dy) from a block. Shape: image [H, W], tile [4, 4]."""
    height, width = image.shape
    top, fy, inside_y = place(y, dy, height)
    left, fx, inside_x = place(x, dx, width)
    if inside_y and inside_x:
        a, b, c, d = (ONE - fy) * (ONE - fx), (ONE - fy) * fx, fy * (ONE - fx), fy * fx
        t, s = np.uint64(top), np.uint64(left)
        for j in range(BLOCK):
            for i in range(BLOCK):
                tile[j, i] += (
                    a * image[t + j, s + i]
                    + b * image[t + j, s + i + np.uint64(1)]
                    + c * image[t + j + np.uint64(1), s + i]
                    + d * image[t + j + np.uint64(1), s + i + np.uint64(1)]
                )
        return
    for j in range(BLOCK):
        y0, y1, fy, _ = clipped(y + j, dy, height)
        for i in range(BLOCK):
            x0, x1, fx, _ = clipped(x + i, dx, width)
            above = image[y0, x0] + fx * (image[y0, x1] - image[y0, x0])
            below = image[y1, x0] + fx * (image[y1, x1] - image[y1, x0])
            tile[j, i] += above + fy * (below - above)


@_PART
def hand_back(image, y, x, dy, dx, given, to_image, wanted):  # pragma: no cover (compiled)
    """Adds to the gradient of the image if it is wanted; gives that of (dx, dy). given: of what `read` adds."""
    height, width = image.shape
    along_x = along_y = NONE
    top, fy, inside_y = place(y, dy, height)
    left, fx, inside_x = place(x, dx, width)
    if inside_y and inside_x:
        a, b, c, d = (ONE - fy) * (ONE - fx), (ONE - fy) * fx, fy * (ONE - fx), fy * fx
        t, s = np.uint64(top), np.uint64(left)
        for j in range(BLOCK):
            for i in range(BLOCK):
                p = image[t + j, s + i]
                q = image[t + j, s + i + np.uint64(1)]
                r = image[t + j + np.uint64(1), s + i]
                o = image[t + j + np.uint64(1), s + i + np.uint64(1)]
                along_x += given[j, i] * ((ONE - fy) * (q - p) + fy * (o - r))
                along_y += given[j, i] * ((ONE - fx) * (r - p) + fx * (o - q))
            if not wanted:
                continue
            for i in range(BLOCK):
                to_image[t + j, s + i] += a * given[j, i]
            for i in range(BLOCK):
                to_image[t + j, s + i + np.uint64(1)] += b * given[j, i]
            for i in range(BLOCK):
                to_image[t + j + np.uint64(1), s + i] += c * given[j, i]
            for i in range(BLOCK):
                to_image[t + j + np.uint64(1), s + i + np.uint64(1)] += d * given[j, i]
        return along_x, along_y
    for j in range(BLOCK):
        y0, y1, fy, slope_y = clipped(y + j, dy, height)
        for i in range(BLOCK):
            x0, x1, fx, slope_x = clipped(x + i, dx, width)
            p, q, r, o = image[y0, x0], image[y0, x1], image[y1, x0], image[y1, x1]
            along_x += given[j, i] * slope_x * ((ONE - fy) * (q - p) + fy * (o - r))
            along_y += given[j, i] * slope_y * ((ONE - fx) * (r - p) + fx * (o - q))
            if not wanted:
                continue
            to_image[y0, x0] += (ONE - fy) * (ONE - fx) * given[j, i]
            to_image[y0, x1] += (ONE - fy) * fx * given[j, i]
            to_image[y1, x0] += fy * (ONE - fx) * given[j, i]
            to_image[y1, x1] += fy * fx * given[j, i]
    return along_x, along_y


@_COMPILED
def samples(image, shifts, out, first, last):  # pragma: no cover (compiled)
    tile = np.zeros((SIDE, SIDE), np.float32)
    for row in range(first, last):
        for p in range(shifts.shape[0]):
            for column in range(shifts.shape[2]):
                y, x = np.uint64(row) * BLOCK, np.uint64(column) * BLOCK
                dx, dy = shifts[p, row, column, 0], shifts[p, row, column, 1]
                tile[:] = NONE
                read(image, y, x, dy, dx, tile)
                for j in range(BLOCK):
                    for i in range(BLOCK):
                        out[p, y + j, x + i] = tile[j, i]


@_COMPILED
def samples_backward(image, shifts, given, to_image, to_shifts, wanted, first, last):  # pragma: no cover (compiled)
    tile = np.zeros((SIDE, SIDE), np.float32)
    for row in range(first, last):
        for p in range(shifts.shape[0]):
            for column in range(shifts.shape[2]):
                y, x = np.uint64(row) * BLOCK, np.uint64(column) * BLOCK
                dx, dy = shifts[p, row, column, 0], shifts[p, row, column, 1]
                for j in range(BLOCK):
                    for i in range(BLOCK):
                        tile[j, i] = given[p, y + j, x + i]
                along_x, along_y = hand_back(image, y, x, dy, dx, tile, to_image, wanted)
                to_shifts[p, row, column, 0] = along_x
                to_shifts[p, row, column, 1] = along_y


@_COMPILED
def weighted(image, shifts, weights, out, first, last):  # pragma: no cover (compiled)
    tile = np.zeros((SIDE, SIDE), np.float32)
    for row in range(first, last):
        y = np.uint64(row) * BLOCK
        for c in range(image.shape[0]):
            for column in range(shifts.shape[2]):
                x = np.uint64(column) * BLOCK
                for j in range(BLOCK):
                    for i in range(BLOCK):
                        out[c, y + j, x + i] = NONE
        for p in range(shifts.shape[0]):
            for column in range(shifts.shape[2]):
                x = np.uint64(column) * BLOCK
                dx, dy = shifts[p, row, column, 0], shifts[p, row, column, 1]
                for c in range(image.shape[0]):
                    tile[:] = NONE
                    read(image[c], y, x, dy, dx, tile)
                    for j in range(BLOCK):
                        for i in range(BLOCK):
                            out[c, y + j, x + i] += weights[p, y + j, x + i] * tile[j, i]


@_COMPILED
def weighted_backward(
    image, shifts, weights, given, to_image, to_shifts, to_weights, wanted, first, last
):  # pragma: no cover (compiled)
    tile = np.zeros((SIDE, SIDE), np.float32)
    share = np.zeros((SIDE, SIDE), np.float32)
    for row in range(first, last):
        y = np.uint64(row) * BLOCK
        for p in range(shifts.shape[0]):
            for column in range(shifts.shape[2]):
                x = np.uint64(column) * BLOCK
                dx, dy = shifts[p, row, column, 0], shifts[p, row, column, 1]
                along_x = along_y = NONE
                for c in range(image.shape[0]):
                    tile[:] = NONE
                    read(image[c], y, x, dy, dx, tile)
                    for j in range(BLOCK):
                        for i in range(BLOCK):
                            to_weights[p, y + j, x + i] += given[c, y + j, x + i] * tile[j, i]
                            share[j, i] = given[c, y + j, x + i] * weights[p, y + j, x + i]
                    more_x, more_y = hand_back(image[c], y, x, dy, dx, share, to_image[c], wanted)
                    along_x += more_x
                    along_y += more_y
                to_shifts[p, row, column, 0] = along_x
                to_shifts[p, row, column, 1] = along_y


KERNELS: dict[str, Any] = {
    "samples": samples,
    "samples backward": samples_backward,
    "weighted": weighted,
    "weighted backward": weighted_backward,
}
