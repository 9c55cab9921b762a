"""High-resolution network of atrous residual blocks for single images: stage 1 of the dual-stage network.

Source: Brehm et al., "High-Resolution Dual-Stage Multi-Level Feature Aggregation for Single Image and Video
Deblurring", CVPRW 2020 (stage 1). The authors published no code; what their description leaves open is decided in
docs/decisions/009-highres-mlfa.md. Names of layers are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec

SOURCE = "Brehm et al., CVPRW 2020 (stage 1); no code published, see docs/decisions/009-highres-mlfa.md"
RATES = (1, 2, 3, 4)
SLOPE = 0.2
BLOCK_GAIN = 0.1  # of a block's sum before training: twenty blocks then change the variance by a fifth, not by 2^20
SMALLEST_LEVEL_PX = max(RATES) + 1  # a side that can be reflected at the largest rate


def active(x: Tensor) -> Tensor:
    """LeakyReLU, in place."""
    return functional.leaky_relu_(x, SLOPE)


def reflected(x: Tensor, reach: int) -> Tensor:
    return functional.pad(x, (reach, reach, reach, reach), mode="reflect") if reach else x


def _starting_weight(first: int, second: int, kernel: int, fan_in: float) -> nn.Parameter:
    """Normal, so that LeakyReLU keeps the variance (He et al., ICCV 2015, equation 15)."""
    return nn.Parameter(torch.randn(first, second, kernel, kernel) * math.sqrt(2 / ((1 + SLOPE**2) * fan_in)))


class ScaledConv(nn.Module):
    """Convolution whose feature maps are multiplied by a learned factor each before the bias is added.

    It takes the place of a normalisation. The factor is applied to the filters: the same result without another
    feature map. Borders are reflected.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, rate: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = _starting_weight(outputs, inputs, kernel, inputs * kernel**2)
        self.scale = nn.Parameter(torch.full((outputs,), gain))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.rate, self.reach = stride, rate, rate * (kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]; sides above rate * (kernel // 2)."""
        filters = self.weight * self.scale[:, None, None, None]
        return functional.conv2d(reflected(x, self.reach), filters, self.bias, self.stride, dilation=self.rate)


class ScaledDeconv(nn.Module):
    """Transposed 4x4 convolution of stride 2, scaled and reflected like `ScaledConv`.

    A kernel of twice the stride reaches every output equally often: no checkerboard from uneven overlap.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = _starting_weight(inputs, outputs, 4, inputs * 4)  # an output sees 2x2 places
        self.scale = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, inputs, H, W] -> [B, outputs, 2H, 2W]; sides of 2 or more."""
        filters = self.weight * self.scale[:, None, None]
        return functional.conv_transpose2d(reflected(x, 1), filters, self.bias, stride=2, padding=3)


class AtrousBlock(nn.Module):
    """Four parallel 3x3 convolutions of rates 1 to 4, joined by a 3x3 convolution, plus the input.

    Receptive field: 11x11 (9 of the largest rate, 2 of the joining convolution), all of it but 8 places at the edge.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(ScaledConv(channels, channels // 2, rate=rate) for rate in RATES)
        self.join = ScaledConv(len(RATES) * (channels // 2), channels, gain=BLOCK_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> the same; sides of 5 or more."""
        distances = active(torch.cat([branch(x) for branch in self.branches], dim=1))  # [B, 2C, H, W]
        return x + active(self.join(distances))


class HighResAtrous(nn.Module):
    """width: feature maps at half resolution; edge: at full resolution."""

    def __init__(self, *, blocks: int = 20, width: int = 256, edge: int = 64) -> None:
        super().__init__()
        self.front = ScaledConv(3, edge, 9)
        self.down = ScaledConv(edge, width, stride=2)
        self.blocks = nn.Sequential(*(AtrousBlock(width) for _ in range(blocks)))
        self.up = ScaledDeconv(width, edge)
        self.tail = ScaledConv(edge, edge)
        self.residual = nn.Conv2d(edge, 3, 3, padding=1, padding_mode="reflect")

    def features(self, blur: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides even and 10 or more -> [B, width, H/2, W/2]. Range: [-1, 1]."""
        return self.blocks(active(self.down(active(self.front(blur)))))

    def restored(self, blur: Tensor, features: Tensor) -> Tensor:
        """The image from what `features` gave for it. Range: [-1, 1], not clamped."""
        return blur + self.residual(active(self.tail(active(self.up(features)))))

    def forward(self, blur: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> the same; sides even and 10 or more. Range: RGB in [-1, 1]; output not clamped."""
        return self.restored(blur, self.features(blur))


class _Adapter:
    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            _, height, width = frame.shape
            blur = pad_to_multiple(frame[None] * 2 - 1, 2, "reflect", 2 * SMALLEST_LEVEL_PX)
            yield (self.module(blur)[0, :, :height, :width] * 0.5 + 0.5).clamp(0, 1)


def _adapt(module: nn.Module) -> Method:
    return _Adapter(module)


def _build() -> nn.Module:
    return HighResAtrous()


def _build_test() -> nn.Module:
    return HighResAtrous(blocks=2, width=16, edge=8)


HIGHRES_ATROUS = ModelSpec(
    name="highres-atrous",
    task="deblur",
    build=_build,
    adapt=_adapt,
    frames=1,
    multiple_of=2,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="charbonnier",
    source=SOURCE,
    published="",
)
HIGHRES_ATROUS_TEST = ModelSpec(
    name="highres-atrous-test",
    task="deblur",
    build=_build_test,
    adapt=_adapt,
    frames=1,
    multiple_of=2,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="charbonnier",
    source=SOURCE + " (tiny variant for tests, not the described network)",
    published="",
)
