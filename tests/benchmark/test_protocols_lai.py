"""Lai's shift search against trying every shift of the grid, and the size differences that the set is known for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage.metrics import structural_similarity

from benchmark.evaluation import score_image
from benchmark.metrics import alignment
from benchmark.protocols import PROTOCOLS
from tests.benchmark.metric_data import noisy, texture, to_tensor

LAI = PROTOCOLS["lai-synthetic"]
LUMA = np.array([0.299, 0.587, 0.114])
OFFSETS = np.arange(-40, 41) / 4


def moved_by_hand(plane: np.ndarray, down: float, right: float, shape: tuple[int, int]) -> np.ndarray:
    """plane(y + down, x + right) at the pixels 15 px inside a `shape` image, by scipy's bilinear sampling."""
    y, x = np.mgrid[15 : shape[0] - 15, 15 : shape[1] - 15].astype(float)
    return map_coordinates(plane, [y + down, x + right], order=1)


def errors_by_hand(restored: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """Squared error of every shift. Shape: two planes [H, W] -> [81, 81]."""
    target = sharp[15:-15, 15:-15]
    return np.array(
        [
            [((moved_by_hand(restored, down, right, sharp.shape) - target) ** 2).sum() for right in OFFSETS]
            for down in OFFSETS
        ]
    )


def shifted_pair(down: float, right: float, height: int = 58, width: int = 66) -> tuple[np.ndarray, np.ndarray]:
    """A noisy restored image whose content lies (down, right) px further than in the sharp one; luma in [0, 1]."""
    scene = (texture(f"lai {down} {right}", height + 40, width + 40) / 255) @ LUMA
    y, x = np.mgrid[20 : 20 + height, 20 : 20 + width].astype(float)
    restored = map_coordinates(scene, [y - down, x - right], order=1)
    return restored + 0.01 * np.random.default_rng(4).standard_normal(restored.shape), scene[20:-20, 20:-20]


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2.25, -3.5), (-10, 10), (9.75, 0.25)])
def test_whole_grid_and_minimum(down: float, right: float) -> None:
    restored, sharp = shifted_pair(down, right)
    expected = errors_by_hand(restored, sharp)
    found = alignment.squared_errors(restored, sharp, 15)
    assert found.shape == (81, 81)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    row, column = np.unravel_index(np.argmin(expected), expected.shape)
    best = alignment.best_shift(restored, sharp, 15)
    assert best == (OFFSETS[row], OFFSETS[column])
    assert best == pytest.approx((down, right), abs=0.25)  # averaging lowers the noise, which may win a quarter px
    sampled = alignment.sampled(restored, *best, 15)
    assert sampled == pytest.approx(moved_by_hand(restored, *best, sharp.shape), abs=1e-12)


def test_equal_errors_take_the_smallest_shift() -> None:
    flat = np.full((60, 60), 0.3)
    assert alignment.best_shift(flat, flat, 15) == (0.0, 0.0)
    stripes = np.tile(np.sin(np.arange(70) * 2 * np.pi / 6) / 3 + 0.5, (64, 1))
    assert alignment.best_shift(stripes, stripes, 15) == (0.0, 0.0)
    assert alignment.best_shift(np.roll(stripes, 2, axis=1), stripes, 15) == (0.0, 2.0)


@pytest.mark.parametrize("growth", [(0, 0), (1, -1), (-1, 1), (2, 2)])
def test_scores(growth: tuple[int, int]) -> None:
    """Luma, common region from the top left, 15 px cut, best shift; PSNR and SSIM of what is left."""
    scene = texture("lai scores", 120, 130)
    sharp = scene[20:90, 20:100]
    restored = noisy(scene[17 : 87 + growth[0], 22 : 102 + growth[1]], 4)  # 3 px lower, 2 px further left
    found = score_image(to_tensor(restored), [to_tensor(sharp)], LAI, ["psnr", "ssim-wang-downsampled"])

    height, width = min(restored.shape[0], 70), min(restored.shape[1], 80)
    plane, target = (image[:height, :width].astype(float) @ LUMA for image in (restored, sharp))
    errors = errors_by_hand(plane, target)
    row, column = np.unravel_index(np.argmin(errors), errors.shape)
    assert (OFFSETS[row], OFFSETS[column]) == (3.0, -2.0)
    moved, inner = moved_by_hand(plane, 3.0, -2.0, target.shape), target[15:-15, 15:-15]
    assert found["psnr"] == pytest.approx(10 * math.log10(255**2 / ((moved - inner) ** 2).mean()), abs=1e-4)
    _, ssim_map = structural_similarity(
        moved, inner, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert found["ssim-wang-downsampled"] == pytest.approx(ssim_map[5:-5, 5:-5].mean(), abs=1e-6)


def test_refused_sizes() -> None:
    with pytest.raises(ValueError, match="at most 2 px in this protocol, got 80 x 80 and 80 x 83 px"):
        score_image(torch.rand(3, 80, 80), [torch.rand(3, 83, 80)], LAI, ["psnr"])
    with pytest.raises(ValueError, match="more than 30 px a side"):
        score_image(torch.rand(3, 30, 80), [torch.rand(3, 30, 80)], LAI, ["psnr"])
