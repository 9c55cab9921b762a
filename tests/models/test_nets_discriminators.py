"""Discriminators whose size follows the images: StyleGAN2's by its formulas, the VGG-style one at other sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.nets.esrgan import VggStyleDiscriminator
from models.nets.stylegan2 import ResidualBlock, StyleGAN2Discriminator, _spread, channels_at
from models.zoo import MODELS


def test_channels_and_layers_of_stylegan2() -> None:
    """Narrow at full size: 32 features at 512 px, 512 from 32 px down; names of the common PyTorch form."""
    assert [channels_at(4 << level) for level in range(8)] == [512, 512, 512, 512, 256, 128, 64, 32]
    with torch.device("meta"):
        shapes = {
            key: tuple(value.shape) for key, value in MODELS["stylegan2-discriminator"].build().state_dict().items()
        }
    assert shapes["conv_body.0.0.weight"] == (32, 3, 1, 1) and shapes["conv_body.0.1.bias"] == (32,)
    assert shapes["conv_body.1.conv2.1.weight"] == (64, 32, 3, 3) and shapes["conv_body.1.skip.1.weight"] == (
        64,
        32,
        1,
        1,
    )
    assert shapes["conv_body.7.conv1.0.weight"] == (512, 512, 3, 3) and "conv_body.8.conv1.0.weight" not in shapes
    assert shapes["final_conv.0.weight"] == (512, 513, 3, 3)
    assert shapes["final_linear.0.weight"] == (512, 512 * 16) and shapes["final_linear.1.weight"] == (1, 512)


def test_a_residual_block_by_its_formula() -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(2, 3), torch.randn(1, 2, 8, 8)
    weights = block.state_dict()
    kernel = torch.outer(*[torch.tensor([1.0, 3, 3, 1]) / 8] * 2).expand(2, 1, 4, 4)

    def active(y: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(y, 0.2) * math.sqrt(2)  # biases are zero at the start

    one = active(functional.conv2d(x, weights["conv1.0.weight"] / math.sqrt(18), padding=1))
    soft = functional.conv2d(functional.pad(one, (2, 2, 2, 2)), kernel, groups=2)
    two = active(functional.conv2d(soft, weights["conv2.1.weight"] / math.sqrt(18), stride=2))
    low = functional.conv2d(functional.pad(x, (1, 1, 1, 1)), kernel, groups=2)
    skip = functional.conv2d(low, weights["skip.1.weight"] / math.sqrt(2), stride=2)
    assert two.shape == (1, 3, 4, 4)
    torch.testing.assert_close(block(x), (two + skip) / math.sqrt(2))


def test_how_much_a_group_differs() -> None:
    """Two groups of four: images 0, 2, 4, 6 and 1, 3, 5, 7, as the published grouping takes them."""
    x = torch.from_numpy(np.random.default_rng(0).random((8, 3, 2, 2)))
    found = _spread(x)
    for start in (0, 1):
        members = x[start::2].numpy()
        expected = np.sqrt(members.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[start::2].numpy(), expected)
    assert _spread(x[:3]).shape == (3, 1, 2, 2)
    np.testing.assert_allclose(_spread(x[:1]).numpy(), 1e-4)  # one image does not differ


@pytest.mark.parametrize("side", [8, 16, 24])
def test_sides_of_stylegan2(side: int) -> None:
    with torch.device("meta"):
        module = StyleGAN2Discriminator(side)
        assert module(torch.zeros(2, 3, side, side)).shape == (2, 1)
    with pytest.raises(ValueError, match=f"sees {side}x{side} px, got"):
        module(torch.zeros(1, 3, side + 1, side))


def test_sides_of_the_vgg_style_discriminator() -> None:
    module = MODELS["vgg-style-discriminator-128"].build_for
    assert module is not None
    with torch.device("meta"):
        assert module(64)(torch.zeros(2, 3, 64, 64)).shape == (2, 1)
        assert VggStyleDiscriminator().linear1.in_features == 512 * 16
    with pytest.raises(ValueError, match="multiples of 32 px, got 48"):
        module(48)
