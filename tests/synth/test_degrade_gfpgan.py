"""GFPGAN's degradation of faces: ranges of what is drawn, and what each part does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.random_streams import stream
from synth.degrade.gfpgan import FaceDraw, apply_face, draw_face

NOTHING = FaceDraw(sigma_x=0.2, sigma_y=0.2, angle=0.0, reduction=1.0, noise=0.0, quality=100.0, tint=(0.0, 0.0, 0.0))


def face(side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    return np.stack([x, y, 0.5 + 0.2 * np.sin(20 * x)], axis=2).astype(np.float32)


def test_draws_stay_in_the_papers_ranges() -> None:
    draws = [draw_face(stream(0, "face", number)) for number in range(600)]
    for name, low, high in (("sigma_x", 0.2, 10), ("reduction", 1, 8), ("noise", 0, 15 / 255), ("quality", 60, 100)):
        values = np.array([getattr(draw, name) for draw in draws])
        assert low <= values.min() < low + 0.02 * (high - low) and high >= values.max() > high - 0.02 * (high - low)
        assert abs(values.mean() - (low + high) / 2) < 0.06 * (high - low)
    assert 0.42 < np.mean([draw.sigma_x == draw.sigma_y for draw in draws]) < 0.58
    tinted = [draw.tint for draw in draws if any(draw.tint)]
    assert 0.24 < len(tinted) / 600 < 0.36 and np.abs(tinted).max() <= 20 / 255


def test_each_part_does_what_it_says() -> None:
    image = face()
    plain = apply_face(image, NOTHING, stream(0, "n"))
    assert np.abs(plain - image).mean() < 0.01 and np.array_equal(plain, np.round(plain * 255) / np.float32(255))
    blurred = apply_face(image, replace(NOTHING, sigma_x=80.0, sigma_y=0.2), stream(0, "n"))  # 10 px at 64 px
    assert np.abs(np.diff(blurred[..., 2], axis=1)).mean() < 0.5 * np.abs(np.diff(plain[..., 2], axis=1)).mean()
    noisy = apply_face(image, replace(NOTHING, noise=15 / 255), stream(0, "n"))
    assert 0.6 * 15 / 255 < (noisy - plain).std() < 1.1 * 15 / 255
    tinted = apply_face(
        np.full((32, 32, 3), 0.5, np.float32), replace(NOTHING, tint=(0.05, 0.0, -0.05)), stream(0, "n")
    )
    np.testing.assert_allclose(tinted.mean(axis=(0, 1)), [0.55, 0.5, 0.45], atol=4e-3)
    large = np.repeat(np.repeat(image, 8, axis=0), 8, axis=1)
    reduced = apply_face(large, replace(NOTHING, reduction=8.0), stream(0, "n"))
    assert reduced.shape == (512, 512, 3) and np.abs(reduced - large).mean() < 0.03


def test_grey_stays_grey() -> None:
    grey = np.full((40, 40, 3), 0.4, np.float32)
    done = apply_face(grey, replace(NOTHING, sigma_x=10, sigma_y=3, angle=1.0, reduction=5), stream(0, "n"))
    np.testing.assert_allclose(done, 0.4, atol=1.5 / 255)
