"""RealBlur's scoring against a program written from its description with OpenCV and scikit-image."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from benchmark.evaluation import score_image
from benchmark.metrics import alignment
from benchmark.protocols import PROTOCOLS
from tests.benchmark.metric_data import noisy, texture, to_tensor

PROTOCOL = PROTOCOLS["realblur-j"]
METRICS = ["psnr", "ssim-skimage-gauss"]


def warped_pair(gain: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """A smooth sharp image, and it seen through a small homography, dimmer and with noise. Shape: [H, W, 3] uint8."""
    sharp = cv2.GaussianBlur(texture("registered", 150, 170), (0, 0), 2)
    motion = np.array([[1.004, 0.006, 2.3], [-0.005, 0.998, -1.6], [1e-5, -1e-5, 1]], dtype=np.float64)
    moved = cv2.warpPerspective(sharp, motion, (170, 150), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return noisy(np.rint(moved * gain).astype(np.uint8), 2), sharp


def scores_by_description(restored: np.ndarray, sharp: np.ndarray) -> tuple[float, float]:
    """Gain, ECC homography, cubic warp, masked PSNR, masked SSIM without a border of 5 px."""
    z, x = restored.astype(np.float32) / 255, sharp.astype(np.float32) / 255
    # single precision throughout, as theirs: OpenCV 5's warp of double-precision images is another one
    scaled = z * np.float32((x * z).sum(dtype=np.float64) / (z * z).sum(dtype=np.float64))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (x, z)]
    _, warp = cv2.findTransformECC(
        grey[0], grey[1], np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, None, 5
    )
    size, inverse = (x.shape[1], x.shape[0]), cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(scaled, warp, size, flags=cv2.INTER_CUBIC + inverse, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpPerspective(np.ones_like(z), warp, size, flags=cv2.INTER_NEAREST + inverse)
    moved, fixed = moved * mask, x * mask
    error = ((fixed.astype(float) - moved) ** 2).sum() / mask.sum()
    _, ssim_map = structural_similarity(
        fixed.astype(float),
        moved.astype(float),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    inner = (slice(5, -5), slice(5, -5))
    ssim = ((ssim_map * mask)[inner].sum(axis=(0, 1)) / mask[inner].sum(axis=(0, 1))).mean()
    return -10 * math.log10(error), float(ssim)


def test_scores() -> None:
    restored, sharp = warped_pair()
    found = score_image(to_tensor(restored), [to_tensor(sharp)], PROTOCOL, METRICS)
    psnr, ssim = scores_by_description(restored, sharp)
    assert found["psnr"] == pytest.approx(psnr, abs=2e-3)
    assert found["ssim-skimage-gauss"] == pytest.approx(ssim, abs=1e-4)
    unaligned = score_image(to_tensor(restored), [to_tensor(sharp)], PROTOCOLS["hide"], ["psnr"])["psnr"]
    assert found["psnr"] > unaligned + 8
    for name in ("realblur-r", "rsblur"):
        assert score_image(to_tensor(restored), [to_tensor(sharp)], PROTOCOLS[name], METRICS) == found


def test_the_mask_leaves_out_what_came_from_outside() -> None:
    restored, sharp = warped_pair()
    pair = alignment.registered(*(np.ascontiguousarray(i.transpose(2, 0, 1)) / 255 for i in (restored, sharp)))
    assert set(np.unique(pair.mask)) == {0.0, 1.0}
    assert 0.9 < pair.mask.mean() < 1
    assert (pair.restored[:, pair.mask == 0] == 0).all()
    assert (pair.sharp[:, pair.mask == 0] == 0).all()
    inside = np.square(pair.restored - pair.sharp)[:, pair.mask == 1].mean()
    assert alignment.registered_mse(pair) == pytest.approx(inside)


def test_gain_alone() -> None:
    """A dimmer image without motion and noise is the sharp one again, up to its rounding."""
    _, sharp = warped_pair()
    dimmer = np.rint(sharp * 0.5).astype(np.uint8)
    found = score_image(to_tensor(dimmer), [to_tensor(sharp)], PROTOCOL, METRICS)
    assert found["psnr"] > 50
    assert found["ssim-skimage-gauss"] > 0.99


def test_what_cannot_be_aligned() -> None:
    _, sharp = warped_pair()
    with pytest.raises(ValueError, match="could not be aligned with the sharp one by ECC"):
        score_image(torch.zeros(3, 150, 170), [to_tensor(sharp)], PROTOCOL, METRICS)
    with pytest.raises(ValueError, match="one size, got 170 x 149 and 170 x 150 px"):
        score_image(torch.rand(3, 149, 170), [to_tensor(sharp)], PROTOCOL, METRICS)
