"""Modulated deformable convolution: against loops over single pixels, its gradients, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.nets import deformable
from models.nets.deformable import PredictedOffsets, modulated_deformable_convolution


def values(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape) * scale)


def arguments(batch: int, channels: int, groups: int, height: int, width: int, spread_px: float = 2.0) -> list[Tensor]:
    """Random features, offsets, mask, weight (5 outputs) and bias in double precision."""
    return [
        values((batch, channels, height, width), 1),
        values((batch, groups * 18, height, width), 2, spread_px),
        values((batch, groups * 9, height, width), 3).sigmoid(),
        values((5, channels, 3, 3), 4),
        values((5,), 5),
    ]


def between_pixels(image: np.ndarray, y: float, x: float) -> float:
    """Bilinear value of one channel; every neighbour outside the image counts as 0."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += image[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def by_loops(features: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    x, shift, share, kernel = (value.numpy() for value in (features, offsets, mask, weight))
    batch, channels, height, width = x.shape
    groups = share.shape[1] // 9
    out = np.zeros((batch, kernel.shape[0], height, width))
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    group = c // (channels // groups)
                    for tap in range(9):
                        place = group * 9 + tap
                        y = i + tap // 3 - 1 + shift[b, 2 * place, i, j]
                        column = j + tap % 3 - 1 + shift[b, 2 * place + 1, i, j]
                        value = between_pixels(x[b, c], y, column) * share[b, place, i, j]
                        out[b, :, i, j] += kernel[:, c, tap // 3, tap % 3] * value
    return torch.from_numpy(out) + bias[None, :, None, None]


@pytest.mark.parametrize(
    ("batch", "channels", "groups", "height", "width"),
    [(2, 4, 2, 5, 6), (1, 3, 1, 7, 4), (1, 4, 4, 1, 1), (1, 2, 2, 1, 9)],
)
@pytest.mark.parametrize("strip_elements", [1, 200, 1 << 20])
def test_equals_loops(
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    channels: int,
    groups: int,
    height: int,
    width: int,
    strip_elements: int,
) -> None:
    monkeypatch.setattr(deformable, "STRIP_ELEMENTS", strip_elements)
    given = arguments(batch, channels, groups, height, width)
    expected = by_loops(*given)
    torch.testing.assert_close(deformable._by_strips(*given), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(modulated_deformable_convolution(*given), expected, rtol=1e-9, atol=1e-9)
    with torch.no_grad():  # works in place then
        before = [value.clone() for value in given]
        torch.testing.assert_close(deformable._by_strips(*given), expected, rtol=1e-9, atol=1e-9)
        assert all(torch.equal(value, copy) for value, copy in zip(given, before, strict=True))


def test_layout_does_not_matter() -> None:
    given = arguments(2, 4, 2, 6, 7)
    turned = [value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for value in given]
    torch.testing.assert_close(modulated_deformable_convolution(*turned), modulated_deformable_convolution(*given))


def test_gradients_are_exact() -> None:
    """Towards everything: features, offsets, mask, weight and bias."""
    given = arguments(1, 2, 2, 3, 4, spread_px=0.7)
    # Bilinear values have kinks at whole pixels: keep away from these by more than the finite differences.
    given[1] = given[1].floor() + 0.1 + 0.8 * (given[1] - given[1].floor())
    assert torch.autograd.gradcheck(deformable._by_strips, [value.requires_grad_() for value in given])


def test_without_offsets_it_is_a_convolution() -> None:
    features, offsets, mask, weight, bias = arguments(2, 4, 2, 6, 7)
    plain = modulated_deformable_convolution(features, offsets * 0, mask * 0 + 1, weight, bias)
    torch.testing.assert_close(plain, functional.conv2d(features, weight, bias, padding=1))


def test_whole_pixels_move_the_image() -> None:
    """All taps one row down and two columns right: the convolution of the shifted image, zero beyond the edge."""
    features, offsets, mask, weight, bias = arguments(1, 2, 1, 6, 8)
    offsets = offsets * 0
    offsets[:, 0::2], offsets[:, 1::2] = 1, 2
    moved = functional.pad(features, (0, 4, 0, 4))  # more than the shift, so that its own border is not seen
    expected = functional.conv2d(moved, weight, bias, padding=1)[:, :, 1:7, 2:10]
    result = modulated_deformable_convolution(features, offsets, mask * 0 + 1, weight, bias)
    torch.testing.assert_close(result, expected)


def test_offsets_far_outside_give_the_bias() -> None:
    features, offsets, mask, weight, bias = arguments(1, 2, 1, 4, 5)
    result = modulated_deformable_convolution(features, offsets * 0 + 1e4, mask, weight, bias)
    assert torch.equal(result, bias.view(1, 5, 1, 1).expand_as(result))


def test_shapes_must_fit() -> None:
    features, offsets, mask, weight, bias = arguments(1, 4, 2, 4, 5)
    with pytest.raises(ValueError, match=r"need a mask \[B, G \* 9, H, W\], G a divisor of 4"):
        modulated_deformable_convolution(features, offsets[:, :18], mask, weight, bias)
    with pytest.raises(ValueError, match="need a mask"):
        modulated_deformable_convolution(features, offsets, mask[:, :10], weight, bias)
    with pytest.raises(ValueError, match="groups must divide the channels, got 3 groups of 4"):
        PredictedOffsets(4, 4, 3)


def test_a_new_layer_is_half_a_convolution() -> None:
    torch.manual_seed(0)
    layer = PredictedOffsets(4, 6, 2)
    features = values((1, 4, 5, 5), 0).float()
    expected = functional.conv2d(features, layer.weight, layer.bias, padding=1) / 2
    torch.testing.assert_close(layer(features, features), expected)
