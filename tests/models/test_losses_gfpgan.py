"""GFPGAN's losses against the same thing written plainly with numpy, or worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.losses import LOSSES
from models.losses.gfpgan import COMPONENT_STYLE_WEIGHTS, component_crops, gram_matrix, grey_faces
from models.zoo import MODELS


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_pyramid_by_hand() -> None:
    sharp = torch.tensor([[0.0, 2, 4, 6], [2, 4, 6, 8], [1, 1, 3, 3], [1, 1, 3, 3]]).expand(1, 3, 4, 4)
    half = torch.tensor([[2.0, 6], [1, 3]]).expand(1, 3, 2, 2)  # means of four: what the half size should show
    levels = [half[..., :1, :1] * 0 + 3 + 0.25, half + 0.5, sharp - 1]  # the quarter should show 3
    assert float(LOSSES["pyramid-l1"](levels, sharp)) == pytest.approx(0.25 + 0.5 + 1)
    assert float(LOSSES["pyramid-l1"](levels[1:], sharp)) == pytest.approx(0.5 + 1)
    assert float(LOSSES["pyramid-l1"](sharp - 1, sharp)) == pytest.approx(1)


def test_pyramid_takes_the_images_of_the_network() -> None:
    torch.manual_seed(0)
    net = MODELS["gfpgan-test"].build()
    _, levels = net(torch.rand(1, 3, 32, 32))
    loss = LOSSES["pyramid-l1"](levels, torch.rand(1, 3, 32, 32))
    loss.backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in net.toRGB)
    with pytest.raises(ValueError, match=r"has the shape \[1, 3, 16, 16\] here, got \[1, 3, 8, 8\]"):
        LOSSES["pyramid-l1"]([levels[0], levels[2]], torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="return_rgb"):
        LOSSES["pyramid-l1"]([], torch.rand(1, 3, 32, 32))


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels, two places: divided by 4
    assert gram_matrix(features).tolist() == [[[5 / 4, 11 / 4], [11 / 4, 25 / 4]]]


def test_gram_style_against_numpy() -> None:
    ours, theirs = [numbers(0, 2, 3, 4, 5), numbers(1, 2, 6, 2, 3)], [numbers(2, 2, 3, 6, 4), numbers(3, 2, 6, 2, 3)]
    expected = 0.0
    for one, two, weight in zip(ours, theirs, COMPONENT_STYLE_WEIGHTS, strict=True):
        grams = [
            np.einsum("bcij,bdij->bcd", f, f) / (f.shape[1] * f.shape[2] * f.shape[3])
            for f in (one.numpy(), two.numpy())
        ]
        expected += weight * np.abs(grams[0] - grams[1]).mean()
    assert float(LOSSES["gram-style"](ours, theirs, COMPONENT_STYLE_WEIGHTS)) == pytest.approx(expected)


def test_gram_style_does_not_know_where_things_are() -> None:
    features = numbers(0, 1, 4, 5, 6)
    turned = features.flip(2).transpose(2, 3)
    assert float(LOSSES["gram-style"](turned, features)) == pytest.approx(0, abs=1e-15)


def test_gram_style_needs_matching_maps() -> None:
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        LOSSES["gram-style"]([numbers(0, 1, 2, 3, 3)] * 2, [numbers(0, 1, 2, 3, 3)])
    with pytest.raises(ValueError, match="got 1, 1 and 2"):
        LOSSES["gram-style"](numbers(0, 1, 2, 3, 3), numbers(0, 1, 2, 3, 3), (1.0, 1.0))


def test_identity_looks_at_grey_faces() -> None:
    seen = []

    def network(grey: torch.Tensor) -> torch.Tensor:
        seen.append(grey)
        return grey.mean(dim=(1, 2, 3), keepdim=False)[:, None] * torch.tensor([1.0, -2.0])

    restored, sharp = torch.zeros(1, 3, 256, 256), torch.ones(1, 3, 256, 256)
    restored[:, 0] = 1  # red against white: 0.2989 against 0.9999
    loss = LOSSES["identity"](restored, sharp, network)
    assert [tuple(grey.shape) for grey in seen] == [(1, 1, 128, 128)] * 2
    assert float(loss) == pytest.approx((0.587 + 0.114) * (1 + 2) / 2, rel=1e-5)
    assert float(grey_faces(sharp).amax()) == pytest.approx(0.9999)


def test_identity_reaches_the_restored_face_only() -> None:
    torch.manual_seed(0)
    network = MODELS["arcface-resnet18"].build().eval().requires_grad_(False)
    restored, sharp = (torch.rand(1, 3, 64, 64) * 2 - 1 for _ in range(2))
    restored.requires_grad_()
    sharp.requires_grad_()
    LOSSES["identity"](restored, sharp, network).backward()
    assert restored.grad.abs().sum() > 0 and sharp.grad is None
    assert float(LOSSES["identity"](sharp.detach(), sharp, network)) == 0


@pytest.mark.parametrize(
    "box", [(2.0, 3.0, 10.0, 11.0), (1.3, 0.6, 18.9, 9.4), (4.2, 5.1, 6.0, 5.3), (0.0, 2.0, 3.5, 14.0)]
)
def test_component_crops_against_plain_loops(box: tuple[float, float, float, float]) -> None:
    """RoI align written out: cells, samples per cell, bilinear weights."""
    face, side = numbers(0, 1, 2, 16, 20), 4
    left, top, right, bottom = box
    width, height = max(right - left, 1), max(bottom - top, 1)
    columns, rows = math.ceil(width / side), math.ceil(height / side)

    def bilinear(x: float, y: float) -> np.ndarray:
        x0, y0 = math.floor(x), math.floor(y)
        weights = {(x0 + i, y0 + j): abs(1 - i - (x - x0)) * abs(1 - j - (y - y0)) for i in (0, 1) for j in (0, 1)}
        return sum(w * face[0, :, min(yy, 15), min(xx, 19)].numpy() for (xx, yy), w in weights.items())

    expected = np.zeros((2, side, side))
    for row in range(side):
        for column in range(side):
            for i in range(rows):
                for j in range(columns):
                    x = left + width / side * (column + (j + 0.5) / columns)
                    y = top + height / side * (row + (i + 0.5) / rows)
                    expected[:, row, column] += bilinear(x, y) / (rows * columns)
    crops = component_crops(face, torch.tensor([box], dtype=torch.float64), side)
    np.testing.assert_allclose(crops[0].numpy(), expected, atol=1e-12)


def test_component_crops_follow_a_slope_and_carry_gradients() -> None:
    """A picture that shows its own x: the crop shows the x of its cells' middles."""
    picture = torch.arange(20.0, dtype=torch.float64).expand(2, 1, 16, 20).clone().requires_grad_()
    boxes = torch.tensor([[2.0, 3.0, 10.0, 11.0], [5.0, 1.0, 13.0, 9.0]], dtype=torch.float64)
    crops = component_crops(picture, boxes, 4)
    torch.testing.assert_close(crops[0, 0, 0], torch.tensor([3.0, 5, 7, 9], dtype=torch.float64))
    torch.testing.assert_close(crops[1, 0, 3], torch.tensor([6.0, 8, 10, 12], dtype=torch.float64))
    crops.sum().backward()
    assert float(picture.grad.sum()) == pytest.approx(2 * 16)
    with pytest.raises(ValueError, match="2 faces, boxes \\[1, 4\\]"):
        component_crops(picture, boxes[:1], 4)
