"""Methods without weights: the blurred input itself (the floor of every table) and a classical deconvolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from core.camera_response import response
from models.spec import Method

# Constants chosen on blurred training and validation scenes only (mean gain there 0.06 dB over the
# blurred input, worst -0.24 dB: hand shake is rarely straight).
ITERATIONS = 8
LONGEST_PX = 25
SMALLEST_PX = 2.0
CONFIDENCE = 0.15


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One entry of BASELINES: a method that is not a trained network."""

    name: str
    task: str
    title: str
    source: str
    method: Callable[[], Method]


class Identity:
    """Returns the blurred frames unchanged."""

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, H, W]. Range: [0, 1]."""
        yield from frames


class RichardsonLucy:
    """Richardson-Lucy deconvolution in linear light with a straight motion PSF estimated from the image itself.

    The angle is where the gradients are weakest (structure tensor); the length is where the autocorrelation of the
    second derivative along it has its negative peak (Yitzhaky and Kopeika, 1997). Without a clear peak the PSF is
    2 px long, which changes little.
    Source: Richardson 1972, Lucy 1974; scikit-image's `restoration.richardson_lucy`.
    """

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, H, W]. Range: [0, 1]."""
        for frame in frames:
            yield torch.from_numpy(deconvolve(frame.cpu().numpy()))


def deconvolve(image: np.ndarray) -> np.ndarray:
    """Blind deconvolution of one image. Shape: [3, H, W] float32 -> the same. Range: sRGB-encoded [0, 1]."""
    from skimage.restoration import richardson_lucy

    srgb = response("srgb")
    angle, length_px = estimate_motion(np.tensordot([0.299, 0.587, 0.114], image, axes=1))
    psf = line_psf(angle, length_px)
    margin = psf.shape[0]
    restored = np.empty_like(image)
    for channel, plane in enumerate(image):
        plane_lin = np.pad(srgb.to_linear(plane), margin, mode="reflect")
        plane_lin = richardson_lucy(plane_lin.astype(np.float64), psf, num_iter=ITERATIONS, filter_epsilon=1e-3)
        inside = np.clip(plane_lin[margin:-margin, margin:-margin], 0, 1)
        restored[channel] = srgb.to_encoded(inside.astype(np.float32))
    return np.clip(restored, 0, 1)


def estimate_motion(luma: np.ndarray) -> tuple[float, float]:
    """Direction and length of a straight motion blur. Shape: [H, W]. Units: radians (0 = along the rows), px."""
    luma = luma.astype(np.float64)
    gradient_y, gradient_x = np.gradient(luma)
    tensor_xx, tensor_yy, tensor_xy = (gradient_x**2).mean(), (gradient_y**2).mean(), (gradient_x * gradient_y).mean()
    strongest = 0.5 * np.arctan2(2 * tensor_xy, tensor_xx - tensor_yy)
    angle = float(strongest + np.pi / 2)  # blur weakens the gradients along its own direction
    along = np.cos(angle) * gradient_x + np.sin(angle) * gradient_y
    gradient_y, gradient_x = np.gradient(along)  # once more: photographs' own correlation would hide the peak
    along = np.cos(angle) * gradient_x + np.sin(angle) * gradient_y
    along = np.clip(along, -4 * along.std(), 4 * along.std())
    spectrum = np.fft.rfft2(along - along.mean(), s=[2 * side for side in along.shape])
    correlation = np.fft.irfft2(np.abs(spectrum) ** 2)
    lags = np.arange(LONGEST_PX + 1)
    rows, columns = np.sin(angle) * lags, np.cos(angle) * lags
    profile = ndimage.map_coordinates(correlation, [rows, columns], order=1, mode="grid-wrap") / correlation[0, 0]
    lag = int(profile[2:].argmin()) + 2
    if profile[lag] > -CONFIDENCE or lag == LONGEST_PX:
        return angle, SMALLEST_PX
    return angle, float(lag)


def line_psf(angle: float, length_px: float) -> np.ndarray:
    """PSF of uniform straight motion through the centre. Shape: [S, S] odd, sums to 1. Units: radians, px."""
    half = int(np.ceil(length_px / 2)) + 1
    psf = np.zeros((2 * half + 1, 2 * half + 1))
    for offset in np.linspace(-length_px / 2, length_px / 2, 8 * half + 1):
        row, column = half + np.sin(angle) * offset, half + np.cos(angle) * offset
        top, left = int(np.floor(row)), int(np.floor(column))
        below, right = row - top, column - left
        psf[top : top + 2, left : left + 2] += np.outer([1 - below, below], [1 - right, right])
    return psf / psf.sum()


def _identity() -> Method:
    return Identity()


def _richardson_lucy() -> Method:
    return RichardsonLucy()


BASELINES: dict[str, Baseline] = {
    "identity": Baseline(
        name="identity", task="deblur", title="blurred input", source="the input itself", method=_identity
    ),
    "richardson-lucy": Baseline(
        name="richardson-lucy",
        task="deblur",
        title="Richardson-Lucy, blind straight motion",
        source="Richardson 1972; Lucy 1974; PSF after Yitzhaky and Kopeika 1997; scikit-image",
        method=_richardson_lucy,
    ),
}
