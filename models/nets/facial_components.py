"""GFPGAN's discriminator of eyes and mouth.

Source: Wang et al., CVPR 2021, section 3.4 (facial component loss); its layers are those of StyleGAN2's discriminator
(Karras et al., CVPR 2020) with equalised learning rates. Layer names follow the authors' checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spec import ModelSpec, Weights

SLOPE, GAIN = 0.2, math.sqrt(2)


class EqualisedConv(nn.Module):
    """A convolution whose stored weights are scaled by 1 / sqrt(inputs * k * k) when it runs."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class ScaledActivation(nn.Module):
    """sqrt(2) * LeakyReLU(x + bias)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x + self.bias.view(-1, 1, 1), SLOPE).mul_(GAIN)


class Blur(nn.Module):
    """A binomial low-pass, (1, 3, 3, 1) in both directions, before every second pixel is dropped."""

    kernel: Tensor

    def __init__(self, padding: int = 2) -> None:
        super().__init__()
        self.padding = padding
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(line, line)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> [B, C, H + 1, W + 1], or one less than H and W with a padding of 1."""
        channels = x.shape[1]
        return functional.conv2d(x, self.kernel.expand(channels, 1, 4, 4), padding=self.padding, groups=channels)


class ConvLayer(nn.Sequential):
    """Convolution and scaled activation, at full or (after a blur) half resolution."""

    def __init__(self, inputs: int, outputs: int, *, downsample: bool = False) -> None:
        layers: list[nn.Module] = [Blur()] if downsample else []
        stride, padding = (2, 0) if downsample else (1, 1)
        layers.append(EqualisedConv(inputs, outputs, 3, stride=stride, padding=padding, bias=False))
        super().__init__(*layers, ScaledActivation(outputs))


class FinalConv(nn.Sequential):
    """The convolution to one logit per place, with a bias of its own and no activation."""

    def __init__(self, inputs: int) -> None:
        super().__init__(EqualisedConv(inputs, 1, 3, stride=1, padding=1, bias=True))


class FacialComponentDiscriminator(nn.Module):
    """Real or restored, at every place of an eye or a mouth."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvLayer(3, 64)
        self.conv2 = ConvLayer(64, 128, downsample=True)
        self.conv3 = ConvLayer(128, 128)
        self.conv4 = ConvLayer(128, 256, downsample=True)
        self.conv5 = ConvLayer(256, 256)
        self.final_conv = FinalConv(256)

    def forward(self, x: Tensor, return_feats: bool = False) -> tuple[Tensor, list[Tensor] | None]:
        """Shape: [B, 3, H, W] in [-1, 1] -> logits [B, 1, H/4, W/4] (of sides that divide by 4).

        return_feats: also the features [B, 128, H/2, W/2] and [B, 256, H/4, W/4] that the style loss compares.
        """
        half = self.conv3(self.conv2(self.conv1(x)))
        quarter = self.conv5(self.conv4(half))
        return self.final_conv(quarter), [half, quarter] if return_feats else None


def _build() -> nn.Module:
    return FacialComponentDiscriminator()


FACIAL_COMPONENT_DISCRIMINATOR = ModelSpec(
    name="facial-component-discriminator",
    task="discriminator",
    build=_build,
    adapt=None,
    frames=1,
    multiple_of=1,
    value_range=(-1.0, 1.0),
    weights=tuple(
        Weights(file=f"GFPGANv1_net_d_{part}.pth", source="github.com/TencentARC/GFPGAN (releases, v0.1.0)")
        for part in ("left_eye", "right_eye", "mouth")
    ),
    recipe="",
    source="Wang et al., CVPR 2021, arXiv:2101.04061; github.com/TencentARC/GFPGAN",
    published="",
    parity=("facial_component_discriminator",),
    switches=(),
)
