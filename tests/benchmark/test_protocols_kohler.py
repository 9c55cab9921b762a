"""Kohler's protocol against a plain program written from its description: loops over shifts, padded arrays, no FFT."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from benchmark.evaluation import score_image
from benchmark.metrics import alignment
from benchmark.protocols import PROTOCOLS
from tests.benchmark.metric_data import noisy, texture, to_tensor

KOHLER = PROTOCOLS["kohler"]
LUMA = np.array([0.299, 0.587, 0.114])


def aligned_by_hand(restored: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[float, int, int]]:
    """The two luma images in 0..255, and gain and shift. Shape: [H, W, 3] uint8 -> [H, W] twice."""
    z, x = restored.astype(np.float64), frame.astype(np.float64)
    gain = (x * z).sum() / (z * z).sum()
    height, width = x.shape[:2]
    mean_x, mean_z = x.mean(axis=2), z.mean(axis=2)
    best, shift = -math.inf, (0, 0)
    for down in range(height):
        for right in range(width):
            correlation = (mean_x * np.roll(mean_z, (down, right), axis=(0, 1))).sum()
            if correlation > best * (1 + 1e-12):
                best, shift = correlation, (down, right)
    down = shift[0] if shift[0] < (height + 1) // 2 else shift[0] - height
    right = shift[1] if shift[1] < (width + 1) // 2 else shift[1] - width
    moved, mask = np.zeros_like(x), np.zeros_like(x)
    for y in range(height):
        for column in range(width):
            if 0 <= y - down < height and 0 <= column - right < width:
                moved[y, column] = gain * z[y - down, column - right]
                mask[y, column] = 1
    return moved @ LUMA, (x * mask) @ LUMA, (gain, down, right)


def scores_by_hand(restored: np.ndarray, frames: list[np.ndarray]) -> tuple[float, float]:
    """(PSNR, SSIM): each the best over the frames."""
    psnr, ssim = [], []
    for frame in frames:
        moved, masked, _ = aligned_by_hand(restored, frame)
        psnr.append(10 * math.log10(255**2 / ((moved - masked) ** 2).mean()))
        _, ssim_map = structural_similarity(
            moved,
            masked,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        ssim.append(ssim_map[5:-5, 5:-5].mean())
    return max(psnr), max(ssim)


def displaced(image: np.ndarray, down: int, right: int, gain: float, border: int) -> np.ndarray:
    """A cut-out of a larger image, displaced and with other brightness."""
    height, width = image.shape[0] - 2 * border, image.shape[1] - 2 * border
    part = image[border - down : border - down + height, border - right : border - right + width]
    return np.clip(np.rint(part * gain), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "down", "right", "gain"),
    [
        ((32, 40), 0, 0, 1.0),
        ((32, 40), 3, -5, 0.9),
        ((31, 43), -4, 2, 1.1),
        ((33, 32), -1, -5, 0.6),
        ((40, 27), 6, 0, 1.3),
    ],
)
def test_made_up_shift_and_gain(size: tuple[int, int], down: int, right: int, gain: float) -> None:
    scene = texture(f"scene {size}", size[0] + 24, size[1] + 24)
    falloff = np.hanning(scene.shape[0])[:, None, None] * np.hanning(scene.shape[1])[None, :, None]
    scene = np.rint(scene * falloff**3).astype(np.uint8)  # dark at the border, so that the shift is the true one
    frame = displaced(scene, 0, 0, 1.0, 12)
    restored = noisy(displaced(scene, down, right, gain, 12), 3)
    moved, masked, (expected_gain, back_down, back_right) = aligned_by_hand(restored, frame)
    assert (back_down, back_right) == (-down, -right)

    images = [alignment.eight_bit_image(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in (restored, frame)]
    found = alignment.align(*images)
    assert (found.down_px, found.right_px) == (-down, -right)
    assert found.gain == pytest.approx(expected_gain, rel=1e-12)
    aligned, sharp = alignment.aligned_luma(*images, found)
    assert aligned[0] * 255 == pytest.approx(moved, abs=1e-9)
    assert sharp[0] * 255 == pytest.approx(masked, abs=1e-9)

    scores = score_image(to_tensor(restored), [to_tensor(frame)], KOHLER, ["psnr", "ssim-gauss-valid"])
    psnr, ssim = scores_by_hand(restored, [frame])
    assert scores["psnr"] == pytest.approx(psnr, abs=1e-9)
    assert scores["ssim-gauss-valid"] == pytest.approx(ssim, abs=1e-9)


def test_masked_zeros_stay_in_the_mean() -> None:
    """Two px of five columns are masked: an error of 10 levels in the other three is 10^2 * 3/5 in the mean."""
    images = [np.zeros((3, 20, 5), dtype=np.uint8) + np.uint8(value) for value in (110, 100)]
    restored, sharp = (alignment.eight_bit_image(image) for image in images)
    shift = alignment.Alignment(gain=1.0, down_px=0, right_px=2)
    assert alignment.masked_mse(restored, sharp, shift) * 255**2 == pytest.approx(60.0)
    aligned, masked = alignment.aligned_luma(restored, sharp, shift)
    assert aligned[0, 3] * 255 == pytest.approx([0, 0, 110, 110, 110])
    assert masked[0, 3] * 255 == pytest.approx([0, 0, 100, 100, 100])


def test_best_frame_of_each_metric() -> None:
    """Every metric takes its own best frame: the same value as a loop over all frames gives."""
    scene = texture("trajectory", 60, 64)
    base = displaced(scene, 0, 0, 1.0, 12)
    frames = [noisy(displaced(scene, step, -2 * step, 1.0, 12), 6 * step, f"frame {step}") for step in range(4)]
    restored = noisy(base, 5)
    scores = score_image(to_tensor(restored), map(to_tensor, frames), KOHLER, ["ssim-gauss-valid", "psnr"])
    psnr, ssim = scores_by_hand(restored, frames)
    assert scores == {"ssim-gauss-valid": pytest.approx(ssim, abs=1e-9), "psnr": pytest.approx(psnr, abs=1e-9)}
    one_by_one = [
        score_image(to_tensor(restored), [to_tensor(frame)], KOHLER, ["psnr", "ssim-gauss-valid"]) for frame in frames
    ]
    assert scores["psnr"] == max(values["psnr"] for values in one_by_one)
    assert scores["ssim-gauss-valid"] == max(values["ssim-gauss-valid"] for values in one_by_one)


def test_each_metric_has_its_own_best_frame() -> None:
    """A frame with an offset in brightness pattern wins in SSIM, a plain one with noise in PSNR."""
    base = texture("own best", 48, 48)
    ramp = np.linspace(-18, 18, 48)[None, :, None]
    bent = np.clip(np.rint(base + ramp), 0, 255).astype(np.uint8)
    grainy = noisy(base, 9)
    restored = to_tensor(base)
    values = [score_image(restored, [to_tensor(f)], KOHLER, ["psnr", "ssim-gauss-valid"]) for f in (bent, grainy)]
    assert values[0]["psnr"] < values[1]["psnr"]
    assert values[0]["ssim-gauss-valid"] > values[1]["ssim-gauss-valid"]
    together = score_image(restored, map(to_tensor, (bent, grainy)), KOHLER, ["psnr", "ssim-gauss-valid"])
    assert together == {
        "psnr": values[1]["psnr"],
        "ssim-gauss-valid": values[0]["ssim-gauss-valid"],
    }


def test_bright_gain_is_not_clipped() -> None:
    """A dark restored image is raised by its gain; values above white are kept, as in the authors' program."""
    frame = texture("bright", 30, 34)
    frame[5:9, 5:9] = 255
    restored = noisy((frame // 2).astype(np.uint8), 4)
    restored[20:22, 20:22] = 255
    moved, _, (gain, _, _) = aligned_by_hand(restored, frame)
    assert gain > 1.5
    assert moved.max() > 300
    scores = score_image(to_tensor(restored), [to_tensor(frame)], KOHLER, ["psnr", "ssim-gauss-valid"])
    psnr, ssim = scores_by_hand(restored, [frame])
    assert scores == {"psnr": pytest.approx(psnr, abs=1e-9), "ssim-gauss-valid": pytest.approx(ssim, abs=1e-9)}


def test_float_results_are_scored_as_eight_bit() -> None:
    frame = to_tensor(texture("rounded", 40, 40))
    restored = to_tensor(noisy(texture("rounded", 40, 40), 5))
    wobbling = (restored + 0.3 / 255 * (torch.rand(restored.shape) * 2 - 1)).clamp(0, 1)
    assert score_image(wobbling, [frame], KOHLER, ["psnr"]) == score_image(restored, [frame], KOHLER, ["psnr"])


def test_black_image_and_bad_frames() -> None:
    frame = to_tensor(texture("bad", 40, 40))
    black = score_image(torch.zeros(3, 40, 40), [frame], KOHLER, ["psnr"])["psnr"]
    luma = (frame.double().numpy() * 255).round().transpose(1, 2, 0) @ LUMA
    assert black == pytest.approx(10 * math.log10(255**2 / (luma**2).mean()), abs=1e-6)
    with pytest.raises(ValueError, match="one size, got 40 x 40 and 41 x 40 px"):
        score_image(frame, [frame, torch.rand(3, 40, 41)], KOHLER, ["psnr"])
    with pytest.raises(ValueError, match="at least one trajectory frame"):
        score_image(frame, [], KOHLER, ["psnr"])
    with pytest.raises(ValueError, match="trajectory frame: values must lie"):
        score_image(frame, [frame * 255], KOHLER, ["psnr"])
    with pytest.raises(ValueError, match="8-bit RGB"):
        alignment.eight_bit_image(np.zeros((40, 40, 3), dtype=np.uint8))
