"""Adversarial losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.losses import LOSSES

SHARP, RESTORED = torch.tensor([[2.0], [4.0]]), torch.tensor([[0.0], [1.0]])  # means 3 and 0.5


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_ragan_ls() -> None:
    """Sharp minus 0.5, minus 1: 0.5 and 2.5. Restored minus 3, plus 1: -2 and -1."""
    discriminator = (0.25 + 6.25) / 2 + (4 + 1) / 2
    assert float(LOSSES["ragan-ls-d"](SHARP, RESTORED)) == pytest.approx(discriminator)
    # Swapped: restored minus 3, minus 1: -4 and -3. Sharp minus 0.5, plus 1: 2.5 and 4.5.
    generator = (16 + 9) / 2 + (6.25 + 20.25) / 2
    assert float(LOSSES["ragan-ls-g"](SHARP, RESTORED)) == pytest.approx(generator)


def test_ragan() -> None:
    above = -(math.log(sigmoid(1.5)) + math.log(sigmoid(3.5))) / 2
    below = -(math.log(1 - sigmoid(-3.0)) + math.log(1 - sigmoid(-2.0))) / 2
    assert float(LOSSES["ragan-d"](SHARP, RESTORED)) == pytest.approx(above + below, rel=1e-5)
    swapped_above = -(math.log(sigmoid(-3.0)) + math.log(sigmoid(-2.0))) / 2
    swapped_below = -(math.log(1 - sigmoid(1.5)) + math.log(1 - sigmoid(3.5))) / 2
    assert float(LOSSES["ragan-g"](SHARP, RESTORED)) == pytest.approx(swapped_above + swapped_below, rel=1e-5)
    same = torch.zeros(3)
    assert float(LOSSES["ragan-d"](same, same)) == pytest.approx(2 * math.log(2))


def test_wgan_and_gan() -> None:
    assert float(LOSSES["wgan-d"](SHARP, RESTORED)) == pytest.approx(-2.5)
    assert float(LOSSES["wgan-g"](SHARP, RESTORED)) == pytest.approx(-0.5)
    told = -(math.log(sigmoid(2)) + math.log(sigmoid(4))) / 2 - (math.log(0.5) + math.log(1 - sigmoid(1))) / 2
    assert float(LOSSES["gan-d"](SHARP, RESTORED)) == pytest.approx(told, rel=1e-5)
    fooled = -(math.log(0.5) + math.log(sigmoid(1))) / 2
    assert float(LOSSES["gan-g"](SHARP, RESTORED)) == pytest.approx(fooled, rel=1e-5)


def test_gradient_penalty() -> None:
    """D(z) = 3 z1 + 4 z2 has a gradient of norm 5 everywhere; D(z) = z^2 / 2 has the gradient z."""
    slope = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    images = torch.rand(3, 2, 1, 1), torch.rand(3, 2, 1, 1)
    value = LOSSES["gradient-penalty"](lambda z: (z * slope).sum(dim=(1, 2, 3)), *images)
    assert value.item() == pytest.approx(10 * (5 - 1) ** 2)
    sharp, restored = torch.full((1, 1, 1, 1), 6.0), torch.full((1, 1, 1, 1), 2.0)
    value = LOSSES["gradient-penalty"](lambda z: z.square() / 2, sharp, restored, mix=torch.tensor([0.25]), weight=1.0)
    assert value.item() == pytest.approx((0.25 * 6 + 0.75 * 2 - 1) ** 2)


def test_gradient_penalty_trains_the_discriminator() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(4, 1, 3))
    LOSSES["gradient-penalty"](net, torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)).backward()
    gradient = net[0].weight.grad
    assert gradient is not None and float(gradient.abs().sum()) > 0


def test_r1() -> None:
    """D(z) = 3 z1 + 4 z2: the square of the gradient is 25; D(z) = z^2 / 2 has the gradient z."""
    slope = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    assert LOSSES["r1"](lambda z: (z * slope).sum(dim=(1, 2, 3)), torch.rand(3, 2, 1, 1)).item() == pytest.approx(125)
    sharp = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    assert LOSSES["r1"](lambda z: z.square() / 2, sharp, weight=1.0).item() == pytest.approx((1 + 9) / 2 / 2)
