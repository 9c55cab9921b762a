"""Structural similarity in all the forms that published tables have.

Plain: the Gaussian window inside the image, on RGB, luma or reduced images. As scikit-image computes it. Of an RGB
image taken as a volume, as MATLAB's ssim(rgb) does. And CW-SSIM as the package pyssim computes it, which DeblurGAN's
and DeblurGAN-v2's tables print as SSIM: the grey image is read row after row as one long signal, transformed with a
real Mexican hat wavelet at 30 scales, and the coefficients of the two images are compared at every pixel (after Sampat,
Wang et al., "Complex wavelet structural similarity", IEEE TIP 18 (11), 2009, which uses a complex steerable pyramid:
these values are not that paper's).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
import scipy.fft

from benchmark.metrics.images import checked_pair, luma, to_array
from benchmark.protocols import Metric

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


def ssim_skimage_gauss(restored: Tensor, sharp: Tensor | None) -> float:
    """scikit-image with gaussian_weights, sigma 1.5, use_sample_covariance=False, float64 [0, 1]; its own 5 px cut."""
    from skimage.metrics import structural_similarity

    assert sharp is not None
    value = structural_similarity(
        to_array(restored),
        to_array(sharp),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def ssim_skimage_uniform7(restored: Tensor, sharp: Tensor | None) -> float:
    """scikit-image's default: uniform 7 x 7 window, sample covariance, on float64 [0, 1]; its own 3 px cut."""
    from skimage.metrics import structural_similarity

    assert sharp is not None
    value = structural_similarity(to_array(restored), to_array(sharp), channel_axis=0, data_range=1.0)
    return float(value)


SSIM_SKIMAGE_GAUSS = Metric(
    name="ssim-skimage-gauss",
    title="SSIM (scikit-image, Gaussian)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source="skimage.metrics.structural_similarity, Gaussian weights (DeepDeblur-PyTorch, RealBlur, RSBlur, ESTRNN)",
    fn=checked_pair(ssim_skimage_gauss),
    unchecked=ssim_skimage_gauss,
)
SSIM_SKIMAGE_UNIFORM7 = Metric(
    name="ssim-skimage-uniform7",
    title="SSIM (scikit-image, uniform 7)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source="skimage.metrics.structural_similarity, defaults (Uformer's GoPro test, PVDNet, NAFNet's helper)",
    fn=checked_pair(ssim_skimage_uniform7),
    unchecked=ssim_skimage_uniform7,
)


def channel_weights(channels: int) -> np.ndarray:
    """What a Gaussian along the channel axis, with the outer channels repeated, makes of the channels.

    Shape: [C, C]; row i holds the weights of the input channels in output channel i and sums to 1.
    """
    weights = np.zeros((channels, channels))
    for offset, tap in zip(range(-RADIUS_PX, RADIUS_PX + 1), gaussian_window(), strict=True):
        for channel in range(channels):
            weights[channel, min(max(channel + offset, 0), channels - 1)] += tap
    return weights


def volume_mean(image: np.ndarray) -> np.ndarray:
    """Mean under the 11 x 11 x 11 Gaussian at every voxel, border voxels repeated on all axes. Shape: [C, H, W]."""
    taps = gaussian_window()
    planes = np.stack([cv2.sepFilter2D(p, cv2.CV_64F, taps, taps, borderType=cv2.BORDER_REPLICATE) for p in image])
    return np.tensordot(channel_weights(len(image)), planes, axes=1)


def ssim_matlab_3d(restored: Tensor, sharp: Tensor | None) -> float:
    """SSIM with an 11 x 11 x 11 Gaussian of sigma 1.5 over rows, columns and channels; nothing is cut; float64."""
    assert sharp is not None
    x, y = to_array(restored), to_array(sharp)
    mean_x, mean_y = volume_mean(x), volume_mean(y)
    cross, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    variances = volume_mean(x * x + y * y) - squares  # the two variances only occur as their sum
    covariance = volume_mean(x * y) - cross
    ssim_map = (2 * cross + C1) / (squares + C1)
    ssim_map *= (2 * covariance + C2) / (variances + C2)
    return float(ssim_map.mean())


SSIM_MATLAB_3D = Metric(
    name="ssim-matlab-3d",
    title="SSIM (MATLAB, volume)",
    unit="",
    higher_is_better=True,
    needs_reference=True,
    source="Wang et al., IEEE TIP 2004, equation 13, over H x W x C as a volume, Gaussian of sigma 1.5, replicated "
    "border: MATLAB's ssim of an RGB image (SRN, DMPHN, MPRNet, HINet, NAFNet, Restormer, Stripformer)",
    fn=checked_pair(ssim_matlab_3d),
    unchecked=ssim_matlab_3d,
)


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
