"""The restoration set: drawn values against the stated ranges, noise statistics, each step, determinism."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.random_streams import stream
from synth.degrade import restoration_mix as mix
from synth.degrade.restoration_mix import RestorationDraw


def only(
    scale: float | None = None,
    upscaling: str = "bicubic",
    gaussian_std: float | None = None,
    speckle_std: float | None = None,
    jpeg_quality: int | None = None,
    seed: int = 11,
) -> RestorationDraw:
    return RestorationDraw(
        scale=scale,
        upscaling=upscaling,
        gaussian_std=gaussian_std,
        speckle_std=speckle_std,
        jpeg_quality=jpeg_quality,
        seed=seed,
    )


def grey(value: float, height: int = 200, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.float32)


def picture(height: int = 37, width: int = 53) -> np.ndarray:
    smooth = cv2.GaussianBlur(stream(1, "picture").random((height, width, 3), dtype=np.float32), (0, 0), 2)
    return np.clip((smooth - 0.5) * 4 + 0.5, 0, 1)


def test_draws_are_uniform_in_the_stated_ranges() -> None:
    rng = stream(0, "mix")
    drawn = [mix.draw_restoration(rng) for _ in range(4000)]
    for name, (low, high) in mix.RANGES.items():
        values = np.array([getattr(draw, name) for draw in drawn if getattr(draw, name) is not None])
        assert abs(len(values) / len(drawn) - mix.PROBABILITY) < 0.04, name
        assert values.min() >= low and values.max() <= high, name
        assert abs(values.mean() - (low + high) / 2) < 0.05 * (high - low), name
        assert np.ptp(values) > 0.98 * (high - low), name
    qualities = {draw.jpeg_quality for draw in drawn} - {None}
    assert qualities == set(range(70, 91))
    names, counts = np.unique([draw.upscaling for draw in drawn], return_counts=True)
    assert set(names) == set(mix.UPSCALINGS) and np.abs(counts / len(drawn) - 1 / 3).max() < 0.04
    left_out = np.array([[getattr(draw, name) is None for name in mix.RANGES] for draw in drawn])
    assert np.abs(np.corrcoef(left_out.T) - np.eye(4)).max() < 0.08  # independent of each other


def test_nothing_drawn_changes_nothing() -> None:
    image = picture()
    assert np.array_equal(mix.apply_restoration(image, only()), image)


def test_gaussian_noise_has_its_deviation_at_every_brightness() -> None:
    noises = []
    for value in (0.3, 0.7):
        noise = mix.apply_restoration(grey(value), only(gaussian_std=0.04)) - value
        assert noise.mean() == pytest.approx(0, abs=1e-3)
        assert noise.std() == pytest.approx(0.04, rel=0.02)
        assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.02  # each channel its own
        noises.append(noise)
    standard = noises[0].ravel() / 0.04
    assert (standard**4).mean() == pytest.approx(3, abs=0.15)  # kurtosis of a normal distribution


def test_speckle_grows_with_brightness() -> None:
    for value in (0.2, 0.6):
        noise = mix.apply_restoration(grey(value), only(speckle_std=0.1)) - value
        assert noise.mean() == pytest.approx(0, abs=1e-3)
        assert noise.std() == pytest.approx(0.1 * value, rel=0.02)
        assert np.abs(noise).max() <= 0.1 * value * 3**0.5 + 1e-6  # the library's factor is uniform
    assert np.array_equal(mix.apply_restoration(grey(0.0), only(speckle_std=0.1)), grey(0.0))


def test_jpeg_is_that_of_the_picture_with_its_own_colours() -> None:
    image = picture(64, 80)
    eight_bits = np.rint(image * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", eight_bits[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
    assert np.allclose(mix.apply_restoration(image, only(jpeg_quality=75)), expected, atol=1e-6)


@pytest.mark.parametrize("upscaling", mix.UPSCALINGS)
def test_scaling_keeps_size_and_brightness_and_loses_detail(upscaling: str) -> None:
    image = picture(51, 67)
    small = mix.apply_restoration(image, only(scale=0.3, upscaling=upscaling))
    assert small.shape == image.shape
    assert small.mean() == pytest.approx(image.mean(), abs=0.01)
    assert np.abs(np.diff(small, axis=1)).mean() < np.abs(np.diff(image, axis=1)).mean()
    others = [mix.apply_restoration(image, only(scale=0.3, upscaling=name)) for name in mix.UPSCALINGS]
    assert sum(np.array_equal(small, other) for other in others) == 1


def test_only_the_generator_matters() -> None:
    image = picture()
    before = image.copy()
    first = [mix.restoration_mix(image, stream(seed, "mix")) for seed in range(12)]
    np.random.seed(5)  # noqa: NPY002
    cv2.setRNGSeed(99)
    again = [mix.restoration_mix(image, stream(seed, "mix")) for seed in range(12)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)
        assert one.shape == image.shape and one.dtype == np.float32 and one.flags["C_CONTIGUOUS"]
        assert one.min() >= 0 and one.max() <= 1
    assert len({one.tobytes() for one in first}) >= 10  # one in 16 has nothing done to it
    assert np.array_equal(image, before)
    noisy = only(gaussian_std=0.03, speckle_std=0.1)
    other = only(gaussian_std=0.03, speckle_std=0.1, seed=12)
    assert not np.array_equal(mix.apply_restoration(image, noisy), mix.apply_restoration(image, other))


def test_odd_and_smallest_sizes() -> None:
    for height, width in ((8, 8), (8, 31), (33, 9)):
        for seed in range(4):
            assert mix.restoration_mix(picture(height, width), stream(seed)).shape == (height, width, 3)


def test_bad_input_is_refused() -> None:
    for bad in (np.zeros((20, 20, 3), dtype=np.uint8), np.zeros((20, 20), dtype=np.float32), grey(0.5, 4, 20)):
        with pytest.raises(ValueError, match="float32 picture"):
            mix.restoration_mix(bad, stream(0))


def test_the_library_is_loaded_only_when_used() -> None:
    code = "import sys, synth.degrade.restoration_mix; sys.exit('albumentations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], timeout=60).returncode == 0
