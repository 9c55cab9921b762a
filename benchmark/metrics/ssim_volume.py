"""SSIM of an RGB image taken as a volume, as MATLAB's ssim(rgb) does and many published tables have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmark.metrics.images import checked_pair, to_array
from benchmark.metrics.ssim import C1, C2, RADIUS_PX, gaussian_window
from benchmark.protocol import Metric

if TYPE_CHECKING:
    from torch import Tensor


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
