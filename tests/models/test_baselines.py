"""The methods without weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from models.baselines import BASELINES, deconvolve, estimate_motion, line_psf


@pytest.mark.parametrize("name", list(BASELINES))
def test_baseline_keeps_shape_and_range(name: str) -> None:
    clip = [torch.rand(3, 41, 53, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    restored = list(BASELINES[name].method().restore(iter(clip)))
    assert [frame.shape for frame in restored] == [(3, 41, 53)] * 2
    assert all(frame.min() >= 0 and frame.max() <= 1 for frame in restored)


def test_identity_is_exact() -> None:
    frame = torch.rand(3, 8, 8)
    assert torch.equal(next(iter(BASELINES["identity"].method().restore(iter([frame])))), frame)


@pytest.mark.parametrize(("angle", "length_px"), [(0.0, 9.0), (np.pi / 2, 12.0), (0.6, 15.0)])
def test_psf(angle: float, length_px: float) -> None:
    psf = line_psf(angle, length_px)
    assert psf.sum() == pytest.approx(1)
    rows, columns = np.indices(psf.shape) - psf.shape[0] // 2
    assert (psf * rows).sum() == pytest.approx(0, abs=1e-9)
    along = np.cos(angle) * columns + np.sin(angle) * rows
    assert (psf * along**2).sum() == pytest.approx(length_px**2 / 12, rel=0.15)  # variance of a uniform line


def astronaut() -> np.ndarray:
    from skimage.data import astronaut

    return astronaut()[:256, 100:356].transpose(2, 0, 1).astype(np.float32) / 255


@pytest.mark.parametrize(("angle", "length_px"), [(0.0, 9.0), (np.pi / 2, 13.0)])
def test_straight_blur_is_estimated_and_undone(angle: float, length_px: float) -> None:
    sharp = astronaut()
    linear = sharp**2.2
    blur = np.stack([ndimage.convolve(plane, line_psf(angle, length_px), mode="reflect") for plane in linear]) ** (
        1 / 2.2
    )
    _, found_px = estimate_motion(blur.mean(axis=0))
    assert abs(found_px - length_px) <= 2
    before, after = np.mean((blur - sharp) ** 2), np.mean((deconvolve(blur.astype(np.float32)) - sharp) ** 2)
    assert after < 0.7 * before
