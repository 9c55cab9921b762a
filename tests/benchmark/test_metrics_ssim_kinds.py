"""The SSIM kinds that are more than a window on a plane, each against a program or a plain computation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from benchmark.metrics import METRICS
from benchmark.metrics.ms_ssim import EXPONENTS, low_pass
from benchmark.metrics.ssim import channel_weights
from tests.benchmark.metric_data import noisy, texture, to_tensor

C1, C2 = 0.01**2, 0.03**2
LUMA = np.array([0.299, 0.587, 0.114])


def photographs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph of scikit-image, its mirror image, and itself after a Gaussian of sigma 2 on its 8-bit values."""
    from skimage import data

    image = data.chelsea()
    return image, image[:, ::-1], scipy.ndimage.gaussian_filter(image, (2, 2, 0))


def volume_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two volumes in [0, 1] with scipy's Gaussian over all three axes."""

    def mean(values: np.ndarray) -> np.ndarray:
        return scipy.ndimage.gaussian_filter(values, 1.5, mode="nearest", radius=5)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    return float(((2 * mx * my + C1) * (2 * cov + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))).mean())


def multi_scale_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Kohler's MSSIM of two planes in 0..255 with scipy's filters; written from its formulae."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(window, window) / window.sum() ** 2
    taps = np.outer(low_pass(), low_pass())
    value = 1.0
    for scale in range(5):
        if scale:
            x, y = (scipy.ndimage.correlate(plane, taps, mode="reflect")[::2, ::2] for plane in (x, y))

        def mean(values: np.ndarray) -> np.ndarray:
            return scipy.ndimage.correlate(values, window)[5:-5, 5:-5]

        mx, my = mean(x), mean(y)
        sx, sy = np.sqrt(mean(x * x) - mx * mx), np.sqrt(mean(y * y) - my * my)
        cov = mean(x * y) - mx * my
        c1, c2 = 2.55**2, 7.65**2
        contrast = ((2 * sx * sy + c2) / (sx**2 + sy**2 + c2)).mean()
        structure = ((cov + c2 / 2) / (sx * sy + c2 / 2)).mean()
        value *= (contrast * structure) ** EXPONENTS[scale]
        if scale == 4:
            value *= ((2 * mx * my + c1) / (mx**2 + my**2 + c1)).mean() ** EXPONENTS[4]
    return float(value)


def test_volume_on_photographs() -> None:
    """0.7286998453949... from scipy 1.17.1, `volume_ssim` above on the 8-bit values divided by 255."""
    image, mirrored, _ = photographs()
    found = METRICS["ssim-matlab-3d"].fn(to_tensor(image), to_tensor(mirrored))
    assert found == pytest.approx(0.7286998453949203, abs=1e-6)


@pytest.mark.parametrize("size", [(7, 40), (33, 20), (163, 197)])
def test_volume_equals_scipy(size: tuple[int, int]) -> None:
    """Also where the window is larger than the image: the border is repeated, nothing is cut."""
    sharp = texture("volume", *size)
    restored = noisy(sharp, 15)
    found = METRICS["ssim-matlab-3d"].fn(to_tensor(restored), to_tensor(sharp))
    assert found == pytest.approx(volume_ssim(restored / 255, sharp / 255), abs=1e-6)
    plain = METRICS["ssim-gauss-valid"]
    if min(size) >= 11:
        assert abs(found - plain.fn(to_tensor(restored), to_tensor(sharp))) > 1e-3  # the kinds must not be mixed


def test_volume_weights_of_channels() -> None:
    weights = channel_weights(3)
    assert weights.sum(axis=1) == pytest.approx([1, 1, 1])
    assert weights == pytest.approx(weights[::-1, ::-1])
    assert channel_weights(1) == pytest.approx(np.ones((1, 1)))


def test_cw_on_photographs() -> None:
    """From pyssim 0.7.1 with PyWavelets 1.9.0, which the tests do not need:

    python -c "from PIL import Image; from skimage import data; from ssim import SSIM; a = data.chelsea();
    i = Image.fromarray; print(SSIM(i(a)).cw_ssim_value(i(a[:, ::-1].copy())))"
    """
    image, mirrored, blurred = photographs()
    cw = METRICS["ssim-cw"].fn
    assert cw(to_tensor(image), to_tensor(mirrored)) == pytest.approx(0.5475389635608777, abs=1e-9)
    assert cw(to_tensor(image), to_tensor(blurred)) == pytest.approx(0.9690837853885393, abs=1e-9)


def test_multi_scale_on_photographs() -> None:
    """0.93852... from scipy 1.17.1, `multi_scale_ssim` above; pyiqa's ms_ssim, another kind, says 0.9453."""
    image, _, blurred = photographs()
    found = METRICS["ms-ssim"].fn(to_tensor(image), to_tensor(blurred))
    assert found == pytest.approx(multi_scale_ssim(image @ LUMA, blurred @ LUMA), abs=1e-6)
    assert found == pytest.approx(0.9385211483569625, abs=1e-6)


@pytest.mark.parametrize("size", [(161, 170), (200, 163)])
def test_multi_scale_equals_scipy(size: tuple[int, int]) -> None:
    sharp = texture("scales", *size)
    restored = noisy(sharp, 18)
    found = METRICS["ms-ssim"].fn(to_tensor(restored), to_tensor(sharp))
    assert found == pytest.approx(multi_scale_ssim(restored @ LUMA, sharp @ LUMA), abs=1e-6)


def test_multi_scale_of_opposites_is_zero() -> None:
    """A negative mean structure has no real power; it counts as nothing in common."""
    sharp = texture("opposite")
    assert METRICS["ms-ssim"].fn(to_tensor(255 - sharp), to_tensor(sharp)) == 0.0


def test_luma_figure() -> None:
    """pyiqa.create_metric("ssim")(blurred, image) of pyiqa 0.1.16, on the tensors below with a batch axis."""
    image, _, blurred = photographs()
    found = METRICS["ssim-luma"].fn(to_tensor(blurred), to_tensor(image))
    assert found == pytest.approx(0.7882028553282344, abs=1e-4)
