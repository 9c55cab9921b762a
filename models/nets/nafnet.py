"""NAFNet: a U-Net without activation functions; products of channel halves take their place.

Source: Chen et al., "Simple Baselines for Image Restoration", ECCV 2022; layer names follow the authors' checkpoints
(github.com/megvii-research/NAFNet) so that these load strictly. Local means at test time: see layers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from models.nets.adapters import Still
from models.nets.layers import LocalMean, channel_norm, pad_to_multiple
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Chen et al., ECCV 2022, arXiv:2204.04676; github.com/megvii-research/NAFNet"


class LayerNorm2d(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.weight, self.bias, 1e-6)


def simple_gate(x: Tensor) -> Tensor:
    """The first half of the channels times the second. Shape: [B, 2C, H, W] -> [B, C, H, W]."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """Depthwise convolution with channel attention, then a gated pair of 1x1 convolutions (paper, figure 3d).

    Both parts are added to their input times a learned factor per channel, zero before training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.conv1 = nn.Conv2d(c, 2 * c, 1)
        self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.conv3 = nn.Conv2d(c, c, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c, 1))
        self.conv4 = nn.Conv2d(c, 2 * c, 1)
        self.conv5 = nn.Conv2d(c, c, 1)
        self.norm1 = LayerNorm2d(c)
        self.norm2 = LayerNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        gated = simple_gate(self.conv2(self.conv1(self.norm1(x))))
        x = torch.addcmul(x, self.conv3(gated * self.sca(gated)), self.beta)
        return torch.addcmul(x, self.conv5(simple_gate(self.conv4(self.norm2(x)))), self.gamma)


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*[NAFBlock(channels) for _ in range(blocks)])


class NAFNet(nn.Module):
    """encoders, decoders: blocks per level, from full resolution down, and from the lowest level up."""

    def __init__(self, width: int, encoders: Sequence[int], middle: int, decoders: Sequence[int]) -> None:
        super().__init__()
        depth = len(encoders)
        self.multiple = 2**depth
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3, 3, padding=1)
        self.encoders = nn.ModuleList([_stage(width << level, count) for level, count in enumerate(encoders)])
        self.decoders = nn.ModuleList([_stage(width << (depth - 1 - i), count) for i, count in enumerate(decoders)])
        self.middle_blks = _stage(width << depth, middle)
        self.ups = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(width << level, width << (level + 1), 1, bias=False), nn.PixelShuffle(2))
                for level in range(depth, 0, -1)
            ]
        )
        self.downs = nn.ModuleList(
            [nn.Conv2d(width << level, width << (level + 1), 2, stride=2) for level in range(depth)]
        )

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> the same; padded with zeros inside to multiples of 16 (2 ** levels).

        Range: [0, 1] in; the output is not clamped.
        """
        height, width = image.shape[-2:]
        image = pad_to_multiple(image, self.multiple, "constant")
        x = self.intro(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for decoder, up in zip(self.decoders, self.ups, strict=True):
            x = decoder(up(x) + skips.pop())
        return (self.ending(x) + image)[:, :, :height, :width]


def localise(module: nn.Module, height: int, width: int) -> None:
    """Channel attention over windows of height x width image pixels instead of the whole image, in place."""
    assert isinstance(module, NAFNet)
    depth = len(module.encoders)
    stages = [*enumerate(module.encoders), (depth, module.middle_blks)]
    stages += [(depth - 1 - index, decoder) for index, decoder in enumerate(module.decoders)]
    for level, stage in stages:
        for block in stage.children():
            assert isinstance(block, NAFBlock)
            block.sca[0] = LocalMean(height >> level, width >> level)


def _build_32() -> nn.Module:
    return NAFNet(32, (1, 1, 1, 28), 1, (1, 1, 1, 1))


def _build_64() -> nn.Module:
    return NAFNet(64, (1, 1, 1, 28), 1, (1, 1, 1, 1))


def _build_test() -> nn.Module:
    return NAFNet(8, (1, 1), 1, (1, 1))


NAFNET_32 = ModelSpec(
    name="nafnet-32",
    task="deblur",
    build=_build_32,
    adapter=Still,
    frames=1,
    multiple_of=16,
    padding="constant",
    value_range=(0.0, 1.0),
    weights=(
        Weights(file="NAFNet-GoPro-width32.pth", source="github.com/megvii-research/NAFNet (README)", licence="MIT"),
    ),
    recipe="nafnet-32",
    quick_recipe="nafnet",
    training=TrainingForm(residual=("ending",)),
    source=SOURCE,
    published="NAFNet-width32",
    parity=("nafnet_width32",),
    switches=("truncate", "self-ensemble", "local-converter", "half"),
    localise=localise,
).with_tiny("nafnet-test", _build_test, multiple_of=4)
NAFNET_64 = replace(
    NAFNET_32,
    name="nafnet-64",
    recipe="nafnet",
    quick_recipe="",
    build=_build_64,
    weights=(
        Weights(file="NAFNet-GoPro-width64.pth", source="github.com/megvii-research/NAFNet (README)", licence="MIT"),
    ),
    published="NAFNet-width64",
    parity=("nafnet_width64",),
)
