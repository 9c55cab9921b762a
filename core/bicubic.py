"""Bicubic reduction as MATLAB's imresize defines it: the low-resolution input of super-resolution papers.

Keys' kernel with a = -0.5, stretched by the factor where an image is reduced (antialiasing), its weights brought to a
sum of 1, the border mirrored with the edge pixel repeated ("symmetric"). Written from that definition; computed in
float64 along the rows, then along the columns.
Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981, equation 15; MATLAB's
documentation of imresize (antialiasing is on by default when an image is reduced; sizes are rounded up).
"""

from __future__ import annotations

import math

import numpy as np

A = -0.5
SUPPORT = 4  # pixels of the input that one of the output sees, where nothing is stretched


def keys_kernel(distances: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel at these distances, in pixels. Same shape; zero from 2 on."""
    x = np.abs(distances)
    near = (A + 2) * x**3 - (A + 3) * x**2 + 1
    far = A * x**3 - 5 * A * x**2 + 8 * A * x - 4 * A
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def weights(length: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of a row an output pixel is made of, and how much of each.

    factor: the output's size over the input's. Shape: two [ceil(length * factor), n], indices and weights.
    """
    outputs = math.ceil(length * factor - 1e-9)
    stretch = max(1.0, 1 / factor)
    width = SUPPORT * stretch
    centres = (np.arange(outputs) + 0.5) / factor - 0.5
    first = np.floor(centres - width / 2).astype(int)
    places = first[:, None] + np.arange(math.ceil(width) + 2)
    shares = keys_kernel((centres[:, None] - places) / stretch)
    shares /= shares.sum(axis=1, keepdims=True)
    mirrored = places % (2 * length)
    return np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored), shares


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """An image at factor times its size. Shape: [H, W, ...] -> [ceil(H f), ceil(W f), ...] float64, not clipped."""
    return _along(_along(image.astype(np.float64), 0, factor), 1, factor)


def reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """An image at 1 / factor of its size, as the 8-bit file of a data set holds it.

    Shape: float [H, W, 3] in [0, 1] -> float32 [ceil(H / factor), ceil(W / factor), 3], levels of 1/255. Data sets cut
    H and W to multiples of the factor before.
    """
    return (np.round(np.clip(resized(image, 1 / factor), 0, 1) * 255) / 255).astype(np.float32)


def _along(image: np.ndarray, axis: int, factor: float) -> np.ndarray:
    places, shares = weights(image.shape[axis], factor)
    moved = np.moveaxis(image, axis, -1)
    total = np.zeros((*moved.shape[:-1], len(places)))
    for tap in range(places.shape[1]):
        total += moved[..., places[:, tap]] * shares[:, tap]
    return np.moveaxis(total, -1, axis)


def sampled_after_gaussian(image: np.ndarray, factor: int = 4, sigma_px: float = 1.6) -> np.ndarray:
    """The other reduction of video papers ("BD"): a Gaussian of 1.6 px, then every factor-th pixel from the first on.

    The kernel has 13 taps, the border is mirrored without the edge pixel. Shape: float [H, W, 3] in [0, 1] -> float32
    [ceil(H / factor), ceil(W / factor), 3], levels of 1/255. Source: Jo et al., DUF, CVPR 2018; Chan et al., BasicVSR,
    CVPR 2021, section 4.
    """
    reach = 6
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    out = image.astype(np.float64)
    for axis in (0, 1):
        padding = [(reach, reach) if other == axis else (0, 0) for other in range(out.ndim)]
        wide = np.moveaxis(np.pad(out, padding, mode="reflect"), axis, -1)
        length = out.shape[axis]
        total = sum(tap * wide[..., start : start + length] for start, tap in enumerate(taps / taps.sum()))
        out = np.moveaxis(total, -1, axis)
    small = out[::factor, ::factor]
    return (np.round(np.clip(small, 0, 1) * 255) / 255).astype(np.float32)
