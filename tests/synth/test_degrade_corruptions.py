"""DeblurGAN-v2's corruptions: how often, each of its kind, the same for the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from core.random_streams import stream
from synth.degrade import DEGRADATIONS
from synth.degrade.corruptions import KINDS, apply_corruption, corrupted


def picture(side: int = 40) -> np.ndarray:
    return np.random.default_rng(0).random((side, side, 3)).astype(np.float32)


def test_half_of_the_images_are_corrupted_and_all_kinds_come() -> None:
    image = picture()
    changed = [not np.array_equal(corrupted(image, stream(0, number)), image) for number in range(300)]
    assert 0.42 < np.mean(changed) < 0.58


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_keeps_shape_and_range(kind: str) -> None:
    image = picture()
    first, second = (apply_corruption(image, kind, stream(3, kind)) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1 and np.array_equal(first, second)
    assert not np.array_equal(first, image)


def test_what_is_known_of_each() -> None:
    grey = np.full((60, 60, 3), 0.5, np.float32)
    for kind in ("motion", "median", "jpeg"):
        assert np.allclose(apply_corruption(grey, kind, stream(0)), 0.5, atol=1 / 255), kind
    shifted = apply_corruption(grey, "rgb", stream(1))
    assert np.ptp(shifted.reshape(-1, 3), axis=0).max() < 1e-6 and np.abs(shifted - 0.5).max() <= 20 / 255 + 1e-6
    assert 0.5**1.2 <= apply_corruption(grey, "gamma", stream(2)).mean() <= 0.5**0.8
    holes = (apply_corruption(grey, "cutout", stream(4)) == 0).all(axis=2)
    assert 12 * 12 <= holes.sum() <= 3 * 25 * 25
    assert DEGRADATIONS["deblurgan-v2-corruptions"].domain == "encoded"
