"""Multi-scale SSIM as Kohler's scoring program offers it under the name MSSIM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmark.metrics.images import checked_pair, luma, to_array
from benchmark.metrics.ssim import C1, C2, RADIUS_PX, bands, gaussian_window
from benchmark.protocols import Metric

if TYPE_CHECKING:
    from torch import Tensor

# Wang et al. 2003, section 3.2: of contrast and structure at each scale; of the luminance at the coarsest.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Analysis low-pass of the biorthogonal 9/7 wavelet (Antonini et al., IEEE TIP 1992), the middle and one side.
LOW_PASS_HALF = (0.85269867900889, 0.37740285561283, -0.11062440441844, -0.02384946501956, 0.03782845550726)
SMALLEST_PX = 2 * RADIUS_PX * 2 ** (len(EXPONENTS) - 1) + 1  # the window must still fit at the coarsest scale


def low_pass() -> np.ndarray:
    """The 9 taps, sum 1."""
    taps = np.array((*LOW_PASS_HALF[:0:-1], *LOW_PASS_HALF))
    return taps / taps.sum()


def halved(plane: np.ndarray) -> np.ndarray:
    """Low-pass with mirrored border (the border pixel twice), then every second pixel from the first."""
    taps = low_pass()
    smooth = cv2.sepFilter2D(plane, cv2.CV_64F, taps, taps, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(smooth[::2, ::2])


def mean_terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Means of luminance, contrast and structure over valid windows. Shape: two planes [H, W] -> [3]."""
    count = (x.shape[0] - 2 * RADIUS_PX) * (x.shape[1] - 2 * RADIUS_PX)
    return sum((_sums(x[rows], y[rows]) for rows in bands(len(x))), np.zeros(3)) / count


def _sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sums of the three terms (Wang 2004, eq. 6, 9, 10, with C3 = C2 / 2). Range: [0, 1] nominal.

    Variances that rounding made negative count as zero.
    """
    taps, inner = gaussian_window(), slice(RADIUS_PX, -RADIUS_PX)

    def window_mean(plane: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(plane, cv2.CV_64F, taps, taps)[inner, inner]

    mean_x, mean_y = window_mean(x), window_mean(y)
    cross = mean_x * mean_y
    square_x, square_y = mean_x * mean_x, mean_y * mean_y
    variance_x, variance_y = window_mean(x * x) - square_x, window_mean(y * y) - square_y
    deviations = np.sqrt(np.maximum(variance_x, 0) * np.maximum(variance_y, 0))
    covariance = window_mean(x * y) - cross
    luminance = (2 * cross + C1) / (square_x + square_y + C1)
    contrast = (2 * deviations + C2) / (variance_x + variance_y + C2)
    structure = (covariance + C2 / 2) / (deviations + C2 / 2)
    return np.array([luminance.sum(), contrast.sum(), structure.sum()])


def ms_ssim_of_luma(x: np.ndarray, y: np.ndarray) -> float:
    """Product over five scales of the mean contrast and the mean structure, and the mean luminance of the coarsest.

    Shape: two planes [H, W] of at least 161 px a side. A negative mean structure counts as 0: it has no real power.
    Errors: ValueError for smaller images.
    """
    if min(x.shape) < SMALLEST_PX:
        raise ValueError(f"ms-ssim needs images of at least {SMALLEST_PX} px a side, got {x.shape[1]} x {x.shape[0]}")
    value = luminance = 1.0
    for scale, exponent in enumerate(EXPONENTS):
        if scale:
            x, y = halved(x), halved(y)
        luminance, contrast, structure = map(float, mean_terms(x, y))
        value *= (max(contrast, 0.0) * max(structure, 0.0)) ** exponent
    return float(value * max(luminance, 0.0) ** EXPONENTS[-1])


def ms_ssim(restored: Tensor, sharp: Tensor | None) -> float:
    """Multi-scale SSIM of the luma, .299 R + .587 G + .114 B, in float64."""
    assert sharp is not None
    return ms_ssim_of_luma(luma(to_array(restored)), luma(to_array(sharp)))


MS_SSIM = Metric(
    name="ms-ssim",
    title="MS-SSIM",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source="Wang et al., Asilomar 2003, on luma, five scales, 9/7 wavelet low-pass, contrast and structure averaged "
    "apart: the MSSIM of Kohler's scoring program",
    fn=checked_pair(ms_ssim),
    unchecked=ms_ssim,
    smallest_px=SMALLEST_PX,
)
