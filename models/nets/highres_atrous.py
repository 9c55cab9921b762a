"""High-resolution atrous network, stage 1: one strided convolution, then a large view by dilation alone.

Source: Brehm et al., "High-Resolution Dual-Stage Multi-Level Feature Aggregation for Single Image and Video
Deblurring", CVPR Workshops 2020 (NTIRE). No code or weights were published; what the description leaves open is in
docs/decisions/007-highres-mlfa.md. Stage 2, for video: highres_mlfa.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec

SOURCE = "Brehm et al., CVPRW 2020 (NTIRE); no published code: docs/decisions/007-highres-mlfa.md"
SLOPE = 0.2  # of LeakyReLU below zero
RATES = (1, 2, 3, 4)


class ScaledConvolution(nn.Module):
    """A convolution whose output maps are scaled by a learned factor each before the bias is added.

    The factor is multiplied into the weights: the same numbers without another pass over the features. It pads by
    reflection, or takes its part of features that the caller has padded by `margin` pixels already.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, rate: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.scale = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.rate = stride, rate
        self.reach = rate * (kernel // 2)
        nn.init.normal_(self.weight, std=sqrt(2 / ((1 + SLOPE**2) * inputs * kernel * kernel)))

    def forward(self, x: Tensor, margin: int = 0) -> Tensor:
        """Shape: [B, C, H + 2 margin, W + 2 margin] -> [B, C', H / stride, W / stride], before the activation."""
        if margin:
            cut = margin - self.reach
            x = x[:, :, cut : x.shape[2] - cut, cut : x.shape[3] - cut]
        elif self.reach:
            x = functional.pad(x, (self.reach,) * 4, mode="reflect")
        return functional.conv2d(
            x, self.weight * self.scale.view(-1, 1, 1, 1), self.bias, stride=self.stride, dilation=self.rate
        )


class ScaledDeconvolution(nn.Module):
    """Twice the size by a transposed convolution (kernel 4, stride 2), scaled and reflected like `ScaledConvolution`.

    The kernel is twice the stride: every pixel of the output gets as many taps, no checkerboard from uneven overlap.
    Shape: [B, C, H, W] -> [B, C', 2H, 2W].
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, 4, 4))
        self.scale = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=sqrt(2 / ((1 + SLOPE**2) * inputs * 4)))  # 4 taps reach a pixel

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale.view(1, -1, 1, 1)
        reflected = functional.pad(x, (1, 1, 1, 1), mode="reflect")  # 2x2 places make a pixel: one beyond the edge
        return functional.conv_transpose2d(reflected, weight, self.bias, stride=2, padding=3)


def activated(x: Tensor) -> Tensor:
    """LeakyReLU, in place: no convolution needs its own output for its gradient."""
    return functional.leaky_relu_(x, SLOPE)


def residual_convolution(inputs: int) -> nn.Conv2d:
    """The last layer, whose three channels are no feature maps: without a factor, so that it can start at zero.

    A factor and weights that are both zero would get no gradient.
    """
    return nn.Conv2d(inputs, 3, 3, padding=1, padding_mode="reflect")


class AtrousBlock(nn.Module):
    """Four dilated convolutions side by side, joined by a fifth, plus input: sees 11 x 11 pixels.

    With 256 channels in and 128 in each branch it has 2.36 M weights.
    """

    def __init__(self, channels: int, branch: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ScaledConvolution(channels, branch, 3, rate=rate) for rate in RATES])
        self.merge = ScaledConvolution(len(RATES) * branch, channels, 3)
        nn.init.constant_(self.merge.scale, 0.1)  # twenty sums in a row start small

    def forward(self, x: Tensor) -> Tensor:
        margin = max(RATES)
        padded = functional.pad(x, (margin,) * 4, mode="reflect")  # once; each branch takes the part it reaches
        wide = activated(torch.cat([branch(padded, margin) for branch in self.branches], dim=1))
        return activated(self.merge(wide)) + x


class HighResAtrous(nn.Module):
    """Stage 1. channels: in the blocks; branch: of each dilated convolution; shallow: at full resolution."""

    def __init__(self, channels: int = 256, branch: int = 128, shallow: int = 64, blocks: int = 20) -> None:
        super().__init__()
        self.channels = channels
        self.first = ScaledConvolution(3, shallow, 9)
        self.down = ScaledConvolution(shallow, channels, 3, stride=2)
        self.blocks = nn.Sequential(*[AtrousBlock(channels, branch) for _ in range(blocks)])
        self.up = ScaledDeconvolution(channels, shallow)
        self.refine = ScaledConvolution(shallow, shallow, 3)
        self.output = residual_convolution(shallow)

    def features(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> [B, channels, H/2, W/2]."""
        return self.blocks(activated(self.down(activated(self.first(image)))))

    def image(self, features: Tensor, blurred: Tensor) -> Tensor:
        """The restored image out of `features`: a residual added to the blurred one."""
        return self.output(activated(self.refine(activated(self.up(features))))) + blurred

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides even and at least 10 -> the same. Range: [-1, 1] in; the output is not clamped."""
        return self.image(self.features(image), image)


class _Adapter:
    """Changes the range and pads by reflection to a multiple of 16 (2 would do for all but tiny images)."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            _, height, width = frame.shape
            output = self.module(pad_to_multiple(frame[None], 16, "reflect") * 2 - 1)
            yield (output[0, :, :height, :width] * 0.5 + 0.5).clamp(0, 1)


def _adapt(module: nn.Module) -> Method:
    return _Adapter(module)


def _build_test() -> nn.Module:
    return HighResAtrous(channels=16, branch=8, shallow=8, blocks=2)


HIGHRES_ATROUS = ModelSpec(
    name="highres-atrous",
    task="deblur",
    build=HighResAtrous,
    adapt=_adapt,
    frames=1,
    multiple_of=16,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="highres-atrous",
    source=SOURCE,
    published="",
)
HIGHRES_ATROUS_TEST = ModelSpec(
    name="highres-atrous-test",
    task="deblur",
    build=_build_test,
    adapt=_adapt,
    frames=1,
    multiple_of=16,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="highres-atrous",
    source=SOURCE + " (tiny variant for tests)",
    published="",
)
