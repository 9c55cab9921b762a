"""HINet: two U-Nets in sequence, in which half of the channels are normalised by each image's own statistics.

Source: Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", CVPRW 2021; layer names follow
the authors' checkpoints (github.com/megvii-model/HINet). Local statistics at test time: Chu et al., ECCV 2022,
arXiv:2112.04491, section 3.

The authors score GoPro and REDS on tiles of 256 px (switch "authors-tiles"): the statistics are then those of a tile,
as in training. Without it the network sees the whole image.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import StillInTiles, last
from models.nets.layers import local_mean
from models.nets.restormer import window_starts
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Chen et al., CVPRW 2021, arXiv:2105.06086; github.com/megvii-model/HINet"
SLOPE = 0.2  # of all LeakyReLUs
TILE_PX = 256  # of the authors' test options for GoPro and REDS
SMALLEST_PX = 32  # an instance norm needs more than the one pixel that the lowest level of 16 x 16 px has

Features = list[Tensor]  # of the levels, full resolution first


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class LocalInstanceNorm(nn.Module):
    """An instance norm whose statistics are those of a window around every pixel (see local_mean.py).

    norm: the layer whose scale, shift and epsilon it takes over. height, width: the window in pixels of the features.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    eps: float

    def __init__(self, norm: nn.InstanceNorm2d | LocalInstanceNorm, height: int, width: int) -> None:
        super().__init__()
        if height < 1 or width < 1:
            raise ValueError(f"a window has at least 1 x 1 px at every level of the network, got {height} x {width}")
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> the same. Statistics in float64: the variance is a difference of large numbers."""
        exact = x.double()
        mean = local_mean(exact, self.height, self.width)
        variance = (local_mean(exact.square(), self.height, self.width) - mean.square()).clamp_min(0)
        normed = ((exact - mean) * torch.rsqrt(variance + self.eps)).to(x.dtype)
        return torch.addcmul(self.bias.view(-1, 1, 1), normed, self.weight.view(-1, 1, 1))


class ConvolutionBlock(nn.Module):
    """Two convolutions with LeakyReLUs, plus a 1x1 convolution of the input (paper, figure 3).

    normed: the first half of the channels goes through an instance norm after the first convolution (HIN block). fused:
    adds features of the first U-Net (cross-stage feature fusion). down: a strided convolution leads to the next level.
    """

    def __init__(
        self, inputs: int, outputs: int, *, normed: bool = False, fused: bool = False, down: bool = False
    ) -> None:
        super().__init__()
        self.normed, self.fused, self.down = normed, fused, down
        self.identity = nn.Conv2d(inputs, outputs, 1)
        self.conv_1 = _conv3(inputs, outputs)
        self.conv_2 = _conv3(outputs, outputs)
        if fused:
            self.csff_enc = _conv3(outputs, outputs)
            self.csff_dec = _conv3(outputs, outputs)
        if normed:
            self.norm: nn.Module = nn.InstanceNorm2d(outputs // 2, affine=True)
        if down:
            self.downsample = nn.Conv2d(outputs, outputs, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, encoded: Tensor | None = None, decoded: Tensor | None = None) -> Tensor:
        """Shape: [B, C, H, W] -> [B, C', H, W]; encoded, decoded: of the first U-Net, [B, C', H, W]."""
        inner = self.conv_1(x)
        if self.normed:
            first, second = inner.chunk(2, dim=1)
            inner = torch.cat([self.norm(first), second], dim=1)
        inner = self.conv_2(functional.leaky_relu(inner, SLOPE, inplace=True))
        inner = functional.leaky_relu(inner, SLOPE, inplace=True) + self.identity(x)
        if self.fused and encoded is not None and decoded is not None:
            inner = inner + self.csff_enc(encoded) + self.csff_dec(decoded)
        return inner


class UpBlock(nn.Module):
    """A transposed convolution, the features of the way down beside it, and a block of convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.conv_block = ConvolutionBlock(inputs, outputs)

    def forward(self, x: Tensor, bridge: Tensor) -> Tensor:
        """Shape: [B, 2C, H, W], bridge [B, C, 2H, 2W] -> [B, C, 2H, 2W]."""
        return self.conv_block(torch.cat([self.up(x), bridge], dim=1))


class SupervisedAttention(nn.Module):
    """SAM: an image of the first U-Net, and features weighted by it for the second."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv3(channels, channels)
        self.conv2 = _conv3(channels, 3)
        self.conv3 = _conv3(3, channels)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        restored = self.conv2(x) + image
        return torch.addcmul(x, self.conv1(x), self.conv3(restored).sigmoid()), restored


class HINet(nn.Module):
    """channels: of the first of `depth` levels, each has twice as many as the one before. normed: the levels, 0 first,
    whose blocks on the way down have half instance norms."""

    def __init__(self, channels: int = 64, depth: int = 5, normed: tuple[int, ...] = (3, 4)) -> None:
        super().__init__()
        widths = [channels << level for level in range(depth)]

        def way_down(*, fused: bool) -> nn.ModuleList:
            blocks = []
            for level, (before, width) in enumerate(zip([channels, *widths], widths, strict=False)):
                down = level < depth - 1
                blocks.append(ConvolutionBlock(before, width, normed=level in normed, fused=fused and down, down=down))
            return nn.ModuleList(blocks)

        levels = range(depth - 2, -1, -1)  # of the way up
        self.down_path_1 = way_down(fused=False)
        self.down_path_2 = way_down(fused=True)
        self.conv_01 = _conv3(3, channels)
        self.conv_02 = _conv3(3, channels)
        self.up_path_1 = nn.ModuleList([UpBlock(2 * widths[level], widths[level]) for level in levels])
        self.up_path_2 = nn.ModuleList([UpBlock(2 * widths[level], widths[level]) for level in levels])
        self.skip_conv_1 = nn.ModuleList([_conv3(widths[level], widths[level]) for level in levels])
        self.skip_conv_2 = nn.ModuleList([_conv3(widths[level], widths[level]) for level in levels])
        self.sam12 = SupervisedAttention(channels)
        self.cat12 = nn.Conv2d(2 * channels, channels, 1)
        self.last = _conv3(channels, 3)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Shape: [B, 3, H, W], sides multiples of 16 (2 ** (depth - 1)) -> the images of stages 1 and 2 (the result),
        same shape.

        Range: [0, 1] in; the outputs are not clamped.
        """
        bottom, encoded = _down(self.down_path_1, self.conv_01(image))
        decoded = _up(self.up_path_1, self.skip_conv_1, bottom, encoded)
        attended, stage1 = self.sam12(decoded[0], image)

        x = self.cat12(torch.cat([self.conv_02(image), attended], dim=1))
        bottom, skips = _down(self.down_path_2, x, encoded, decoded)
        x = _up(self.up_path_2, self.skip_conv_2, bottom, skips)[0]
        return [stage1, self.last(x) + image]


def _down(
    blocks: nn.ModuleList, x: Tensor, encoded: Features | None = None, decoded: Features | None = None
) -> tuple[Tensor, Features]:
    """The features of the lowest level, and those of the others. encoded, decoded: of the first U-Net."""
    found: Features = []
    for level, block in enumerate(blocks):
        assert isinstance(block, ConvolutionBlock)
        if not block.down:
            return block(x), found
        other = (encoded[level], decoded[level]) if encoded and decoded else ()
        found.append(block(x, *other))
        x = block.downsample(found[-1])
    raise ValueError("the last block of the way down leads to no other")


def _up(blocks: nn.ModuleList, bridges: nn.ModuleList, x: Tensor, skips: Features) -> Features:
    """The features of all levels on the way up, full resolution first."""
    found: Features = []
    for block, bridge, skip in zip(blocks, bridges, reversed(skips), strict=True):
        x = block(x, bridge(skip))
        found.insert(0, x)
    return found


def in_tiles(module: nn.Module, image: Tensor, side: int) -> Tensor:
    """The result for tiles of this side, each on its own, averaged where they overlap: the authors' `grids`.

    As few tiles as cover the image, in steps as equal as whole pixels allow; the last ends with the image. 1280 x 720
    in tiles of 256: five columns, three rows with a step of 232. Shape: [1, 3, H, W] -> the same. An axis shorter than
    a tile is not cut.
    """
    rows, columns = image.shape[-2:]
    height, width = min(side, rows), min(side, columns)
    total, count = torch.zeros_like(image), image.new_zeros(1, 1, rows, columns)
    for top in window_starts(rows, height):
        for left in window_starts(columns, width):
            area = (..., slice(top, top + height), slice(left, left + width))
            total[area] += module(image[area])[-1]
            count[area] += 1
    return total / count


def localise(module: nn.Module, height: int, width: int) -> None:
    """Statistics of instance norms over windows of height x width image pixels instead of the whole image, in place."""
    assert isinstance(module, HINet)
    for path in (module.down_path_1, module.down_path_2):
        for level, block in enumerate(path):
            assert isinstance(block, ConvolutionBlock)
            if block.normed:
                assert isinstance(block.norm, nn.InstanceNorm2d | LocalInstanceNorm)
                block.norm = LocalInstanceNorm(block.norm, height >> level, width >> level)


def _in_tiles(module: nn.Module, image: Tensor) -> Tensor:
    return in_tiles(module, image, TILE_PX)


def _build_half() -> nn.Module:
    return HINet(channels=32, normed=(0, 1, 2, 3, 4))


def _build_test() -> nn.Module:
    return HINet(channels=8, depth=3, normed=(1, 2))


_SWITCHES = ("truncate", "self-ensemble", "local-converter", "half", "authors-tiles")

HINET = ModelSpec(
    name="hinet",
    task="deblur",
    build=HINet,
    adapter=partial(StillInTiles, run=last, tiles=_in_tiles, side_px=TILE_PX),
    frames=1,
    multiple_of=16,
    smallest_px=SMALLEST_PX,
    value_range=(0.0, 1.0),
    weights=(Weights(file="HINet-GoPro.pth", source="github.com/megvii-model/HINet (README)", licence="MIT"),),
    recipe="hinet",
    training=TrainingForm(residual=("sam12.conv2", "last")),
    source=SOURCE,
    published="HINet",
    parity=("hinet_gopro",),
    switches=_SWITCHES,
    localise=localise,
).with_tiny("hinet-test", _build_test, multiple_of=4)
# Half the channels, and norms at every level. The authors publish it for denoising alone, so no weights are listed.
HINET_HALF = replace(
    HINET,
    name="hinet-half",
    build=_build_half,
    weights=(),
    source=SOURCE + " (HINet 0.5x, which its authors train for denoising)",
    published="",
    parity=("hinet_half",),
    in_all=False,  # nobody published it for deblurring
)
