"""The discriminator of StyleGAN2, which GFPGAN's training plays against.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 4.1 (residual
discriminator); the statistics over the batch: Karras et al., ICLR 2018, arXiv:1710.10196, section 3. Layer names follow
the common PyTorch form (github.com/XPixelGroup/BasicSR).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.facial_components import SLOPE, Blur, ConvLayer, EqualisedConv, ScaledActivation
from models.spec import ModelSpec

SIDE_PX = 512  # of GFPGAN's faces
GROUP = 4  # images that the statistics are taken over


def channels_at(side: int) -> int:
    """Features at a side in px: 512 up to 32 px, halved with every doubling above."""
    return min(512, 512 * 32 // side)


class Shortcut(nn.Sequential):
    """Blur, every second pixel, a 1x1 convolution without bias or activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(Blur(padding=1), EqualisedConv(inputs, outputs, 1, stride=2, padding=0, bias=False))


class ResidualBlock(nn.Module):
    """Halves the sides; the sum of both ways is brought back to unit variance."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs)
        self.conv2 = ConvLayer(inputs, outputs, downsample=True)
        self.skip = Shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class FirstConv(nn.Sequential):
    """1x1, from RGB to features, with scaled activation."""

    def __init__(self, outputs: int) -> None:
        super().__init__(EqualisedConv(3, outputs, 1, stride=1, padding=0, bias=False), ScaledActivation(outputs))


class EqualisedLinear(nn.Module):
    """A linear layer whose stored weights are scaled by 1 / sqrt(inputs); with `active`, sqrt(2) LeakyReLU after it."""

    def __init__(self, inputs: int, outputs: int, *, active: bool) -> None:
        super().__init__()
        self.scale, self.active = 1 / math.sqrt(inputs), active
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(x, self.weight * self.scale, self.bias)
        return functional.leaky_relu(x, SLOPE) * math.sqrt(2) if self.active else x


class StyleGAN2Discriminator(nn.Module):
    """Images [B, 3, size, size] in [-1, 1] -> logits [B, 1]. size: 512 as published, here any number from 8."""

    def __init__(self, size: int = SIDE_PX) -> None:
        super().__init__()
        if size < 8:
            raise ValueError(f"this discriminator sees images of at least 8 px on a side, got {size}")
        halvings = int(math.log2(size / 4))
        # Sides as if the smallest were 4: a side that is no power of two has the features of the next smaller one.
        sides = [4 << level for level in range(halvings, -1, -1)]
        blocks = [ResidualBlock(channels_at(a), channels_at(b)) for a, b in pairwise(sides)]
        self.size = size
        self.conv_body = nn.Sequential(FirstConv(channels_at(sides[0])), *blocks)
        self.final_conv = ConvLayer(512 + 1, 512)
        rest = size >> halvings  # 4 for powers of two
        self.final_linear = nn.Sequential(
            EqualisedLinear(512 * rest * rest, 512, active=True), EqualisedLinear(512, 1, active=False)
        )

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != (self.size, self.size):
            raise ValueError(f"this discriminator sees {self.size}x{self.size} px, got {list(images.shape[-2:])}")
        x = self.conv_body(images)  # [B, 512, 4, 4]
        x = self.final_conv(torch.cat([x, _spread(x)], dim=1))
        return self.final_linear(x.flatten(1))


def _spread(x: Tensor) -> Tensor:
    """How much the images of a group differ: one number as a further channel. Shape: [B, C, H, W] -> [B, 1, H, W].

    The standard deviation over the images of a group at every place, its mean over places and channels. A batch that
    does not split into groups of four is one group.
    """
    batch, channels, height, width = x.shape
    group = GROUP if batch % GROUP == 0 else batch
    grouped = x.view(group, batch // group, channels, height, width)
    spread = (grouped.var(dim=0, correction=0) + 1e-8).sqrt()  # [B / group, C, H, W]
    mean = spread.mean(dim=(1, 2, 3))  # [B / group]
    return mean.repeat(group).view(batch, 1, 1, 1).expand(batch, 1, height, width)


STYLEGAN2_DISCRIMINATOR = ModelSpec(
    name="stylegan2-discriminator",
    task="discriminator",
    build=StyleGAN2Discriminator,
    build_for=StyleGAN2Discriminator,
    adapt=None,
    frames=1,
    multiple_of=8,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="",
    source="Karras et al., StyleGAN2, CVPR 2020, arXiv:1912.04958; github.com/XPixelGroup/BasicSR",
    published="",
    switches=(),
)
