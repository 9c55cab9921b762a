"""SSIM as scikit-image computes it, for tables whose authors used it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.metrics.images import checked_pair, to_array
from benchmark.protocol import Metric

if TYPE_CHECKING:
    from torch import Tensor


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
