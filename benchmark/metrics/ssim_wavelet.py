"""CW-SSIM as the package pyssim computes it, which DeblurGAN's and DeblurGAN-v2's tables print as SSIM.

The grey image is read row after row as one long signal, transformed with a real Mexican hat wavelet at 30 scales, and
the coefficients of the two images are compared at every pixel (after Sampat, Wang et al., "Complex wavelet structural
similarity", IEEE TIP 18 (11), 2009, which uses a complex steerable pyramid: these values are not that paper's).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from benchmark.metrics.images import checked_pair, to_array
from benchmark.protocol import Metric

if TYPE_CHECKING:
    from torch import Tensor

SCALES = 30
CONSTANT = 0.01  # on 8-bit values
HALF_WIDTH = 8  # of the wavelet's support, in units of the scale
SAMPLES = 4096  # of the wavelet's integral, from which every scale picks its own
# Pillow's grey: whole-number weights of 2^16 and the half for rounding.
GREY_WEIGHTS, GREY_HALF, GREY_SHIFT = (19595, 38470, 7471), 0x8000, 16


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Grey values 0..255 as Pillow's mode "L" has them, row after row. Shape: [3, H, W] in [0, 1] -> [H * W]."""
    levels = np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.int64)
    if len(levels) == 1:
        return levels[0].ravel().astype(np.float64)
    total = sum(weight * plane for weight, plane in zip(GREY_WEIGHTS, levels, strict=True))
    return ((total + GREY_HALF) >> GREY_SHIFT).ravel().astype(np.float64)


@functools.lru_cache(maxsize=1)
def wavelet_integral() -> tuple[np.ndarray, float]:
    """Running integral of the Mexican hat over [-8, 8] at 4096 points, and their spacing."""
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH, SAMPLES)
    hat = 2 / (np.sqrt(3) * np.pi**0.25) * (1 - x * x) * np.exp(-x * x / 2)
    step = float(x[1] - x[0])
    return np.cumsum(hat) * step, step


def wavelet(scale: int) -> np.ndarray:
    """The filter of one scale: the wavelet integrated over each pixel, times sqrt(scale). Shape: [16 * scale]."""
    integral, step = wavelet_integral()
    picked = (np.arange(2 * HALF_WIDTH * scale + 1) / (scale * step)).astype(np.int64)
    return -np.sqrt(scale) * np.diff(integral[picked[picked < SAMPLES]][::-1])


def ssim_cw(restored: Tensor, sharp: Tensor | None) -> float:
    """Mean over pixels of the two terms of CW-SSIM, each summed over the scales, on 8-bit grey values."""
    assert sharp is not None
    signals = [grey_levels(to_array(image)) for image in (restored, sharp)]
    length = scipy.fft.next_fast_len(len(signals[0]) + 2 * HALF_WIDTH * SCALES, real=True)
    spectra = [scipy.fft.rfft(signal, length) for signal in signals]
    energy, magnitude, product = (np.zeros(len(signals[0])) for _ in range(3))
    for scale in range(1, SCALES + 1):
        taps = wavelet(scale)
        response = scipy.fft.rfft(taps, length)
        first = (len(taps) - 1) // 2
        x, y = (scipy.fft.irfft(spectrum * response, length)[first : first + len(product)] for spectrum in spectra)
        both = x * y
        product += both
        magnitude += np.abs(both, out=both)
        energy += x * x
        energy += y * y
    similar = (2 * magnitude + CONSTANT) / (energy + CONSTANT)
    similar *= (2 * np.abs(product) + CONSTANT) / (2 * magnitude + CONSTANT)
    return float(similar.mean())


SSIM_CW = Metric(
    name="ssim-cw",
    title="CW-SSIM (pyssim)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source="package pyssim, cw_ssim_value: Mexican hat wavelet at 30 scales along the rows of the 8-bit grey image "
    "(DeblurGAN, DeblurGAN-v2)",
    fn=checked_pair(ssim_cw),
    unchecked=ssim_cw,
)
