"""Structural similarity in its plain forms: the Gaussian window inside the image, on RGB, luma or reduced images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmark.metrics.images import checked_pair, luma, to_array
from benchmark.protocol import Metric

if TYPE_CHECKING:
    from torch import Tensor

RADIUS_PX = 5
SIGMA_PX = 1.5
C1 = 0.01**2  # (K1 L)^2 with L = 1
C2 = 0.03**2
BAND_ROWS = 64  # twice as fast as whole images of 720 rows
WANG_SIDE_PX = 256  # Wang reduces an image until its shorter side is about this long


def gaussian_window() -> np.ndarray:
    """The 11 taps of the separable window, sum 1."""
    offsets = np.arange(-RADIUS_PX, RADIUS_PX + 1, dtype=np.float64)
    taps = np.exp(-(offsets**2) / (2 * SIGMA_PX**2))
    return taps / taps.sum()


def _window_mean(plane: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Gaussian mean at every pixel whose window lies inside the image. Shape: [H, W] -> [H - 10, W - 10]."""
    whole = cv2.sepFilter2D(plane, cv2.CV_64F, taps, taps)
    return whole[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]


def _terms(restored: np.ndarray, sharp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance term and contrast-structure term at every valid window of two planes [H, W] (Wang 2004, eq. 13).

    The two variances only occur as their sum, so four filterings do instead of five.
    """
    if min(restored.shape) < 2 * RADIUS_PX + 1:
        raise ValueError(f"SSIM needs images of at least 11 x 11 px, got {restored.shape[0]} x {restored.shape[1]}")
    taps = gaussian_window()
    mean_x, mean_y = _window_mean(restored, taps), _window_mean(sharp, taps)
    cross = mean_x * mean_y
    squares = mean_x * mean_x
    squares += mean_y * mean_y
    energy = restored * restored
    energy += sharp * sharp
    variances = _window_mean(energy, taps) - squares
    covariance = _window_mean(restored * sharp, taps) - cross
    luminance = (2 * cross + C1) / (squares + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return luminance, structure


def ssim_map(restored: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """SSIM at every valid window of two planes. Shape: [H, W] float64 -> [H - 10, W - 10]. Range: [0, 1] nominal."""
    luminance, structure = _terms(restored, sharp)
    luminance *= structure
    return luminance


def mean_ssim(restored: np.ndarray, sharp: np.ndarray) -> float:
    """Mean over valid windows, then over channels. Shape: [C, H, W] float64. Range: [0, 1] nominal."""
    count = (restored.shape[1] - 2 * RADIUS_PX) * (restored.shape[2] - 2 * RADIUS_PX)
    values = []
    for x, y in zip(restored, sharp, strict=True):
        values.append(sum(float(ssim_map(x[rows], y[rows]).sum()) for rows in bands(len(x))) / count)
    return float(np.mean(values))


def bands(height: int) -> Iterator[slice]:
    """Rows in bands whose valid windows are those of the whole image, each once. They stay in cache."""
    for top in range(0, max(height - 2 * RADIUS_PX, 1), BAND_ROWS):
        yield slice(top, min(top + BAND_ROWS + 2 * RADIUS_PX, height))


def box_reduced(plane: np.ndarray) -> np.ndarray:
    """Wang's reduction: box mean of f x f, mirrored border, then every f-th pixel; f = round(shorter side / 256).

    MATLAB's conventions: .5 rounds up, and the centre of an even window is the earlier of its two middle pixels.
    Source: Z. Wang, ssim.m (2009), "suggested usage"; imfilter(..., "symmetric", "same").
    """
    factor = max(1, math.floor(min(plane.shape) / WANG_SIDE_PX + 0.5))
    if factor == 1:
        return plane
    centre = (factor - 1) // 2
    blurred = cv2.blur(plane, (factor, factor), anchor=(centre, centre), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(blurred[::factor, ::factor])


def ssim_gauss_valid(restored: Tensor, sharp: Tensor | None) -> float:
    """SSIM per RGB channel with the 11 x 11 Gaussian (sigma 1.5), inside the image, float64; mean of channels."""
    assert sharp is not None
    return mean_ssim(to_array(restored), to_array(sharp))


def ssim_luma(restored: Tensor, sharp: Tensor | None) -> float:
    """SSIM of Y = .299 R + .587 G + .114 B rounded to 8 bits, negative structure terms set to 0 (pyiqa's `ssim`)."""
    assert sharp is not None
    planes = [np.rint(luma(to_array(image)) * 255) / 255 for image in (restored, sharp)]
    luminance, structure = _terms(*planes)
    return float((luminance * np.maximum(structure, 0)).mean())


def ssim_wang_downsampled(restored: Tensor, sharp: Tensor | None) -> float:
    """`ssim_gauss_valid` after `box_reduced` on every channel of both images."""
    assert sharp is not None
    reduced = [np.stack([box_reduced(plane) for plane in to_array(image)]) for image in (restored, sharp)]
    return mean_ssim(*reduced)


_WANG = "Wang et al., IEEE TIP 2004, equation 13, K = .01 and .03"

SSIM_GAUSS_VALID = Metric(
    name="ssim-gauss-valid",
    title="SSIM (Gaussian, valid)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source=_WANG + "; per RGB channel, Gaussian 11 x 11 of sigma 1.5, 5 px cut (BasicSR, mmagic, KAIR)",
    fn=checked_pair(ssim_gauss_valid),
    unchecked=ssim_gauss_valid,
)
SSIM_LUMA = Metric(
    name="ssim-luma",
    title="SSIM (luma)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source=_WANG + "; on 8-bit luma, Gaussian 11 x 11 of sigma 1.5, 5 px cut, negative structure term 0 (pyiqa's ssim)",
    fn=checked_pair(ssim_luma),
    unchecked=ssim_luma,
)
SSIM_WANG_DOWNSAMPLED = Metric(
    name="ssim-wang-downsampled",
    title="SSIM (Wang, reduced)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source=_WANG + "; images first box-filtered and decimated by round(shorter side / 256) (Wang's ssim.m of 2009)",
    fn=checked_pair(ssim_wang_downsampled),
    unchecked=ssim_wang_downsampled,
)
