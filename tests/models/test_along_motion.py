"""Samples around a pixel: compiled, with `grid_sample`, and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.nets import along_motion
from models.nets.along_motion import BLOCK_PX, samples, weighted_samples


def by_hand(image: torch.Tensor, y: float, x: float) -> float:
    """Bilinear, the border repeated."""
    height, width = image.shape
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    above = image[top, left] + (x - left) * (image[top, right] - image[top, left])
    below = image[bottom, left] + (x - left) * (image[bottom, right] - image[bottom, left])
    return float(above + (y - top) * (below - above))


def given(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 16, 24, generator=draws).to(dtype)
    shifts = 9 * torch.randn(2, 4, 4, 6, 2, generator=draws).to(dtype)  # many lie outside the image
    return image, shifts, torch.randn(2, 4, 16, 24, generator=draws).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_are_those_by_hand(dtype: torch.dtype):
    image, shifts, weights = given(dtype)
    read, weighed = samples(image[:, 0], shifts), weighted_samples(image, shifts, weights)
    for y, x in ((0, 0), (5, 11), (15, 23), (9, 3)):
        expected = torch.zeros(3)
        for number in range(4):
            right, down = (float(part) for part in shifts[1, number, y // BLOCK_PX, x // BLOCK_PX])
            colours = [by_hand(channel, y + down, x + right) for channel in image[1]]
            assert float(read[1, number, y, x]) == pytest.approx(colours[0], abs=1e-5)
            expected += float(weights[1, number, y, x]) * torch.tensor(colours)
        assert weighed[1, :, y, x].tolist() == pytest.approx(expected.tolist(), abs=2e-5)


def test_gradients_of_both_forms_are_equal(monkeypatch: pytest.MonkeyPatch):
    found = []
    for compiled in (True, False):
        monkeypatch.setattr(along_motion, "_compiled", lambda *parts, compiled=compiled: compiled)
        parts = [part.requires_grad_() for part in given()]
        image, shifts, weights = parts
        result = weighted_samples(image, shifts, weights)
        grey = samples(image[:, 1], shifts)
        slope = torch.linspace(-1, 1, result.numel()).view_as(result)
        found.append(torch.autograd.grad((result * slope).sum() + grey.square().sum(), parts))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_the_image_gets_no_gradient_that_nobody_wants():
    image, shifts, weights = given()
    weighted_samples(image, shifts.requires_grad_(), weights).sum().backward()
    assert image.grad is None and shifts.grad is not None and float(shifts.grad.abs().max()) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_byte(threads: int):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        several = weighted_samples(*given())
        torch.set_num_threads(1)
        assert torch.equal(several, weighted_samples(*given()))
    finally:
        torch.set_num_threads(before)
