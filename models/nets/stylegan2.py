"""StyleGAN2: the generator that GFPGAN steers, and the discriminators that its training plays against.

The generator of StyleGAN2 in plain PyTorch layers, with GFPGAN's spatial feature transform between its layers.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020; Wang et al., "Towards
Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021, section 3.3. "Clean": bilinear resizing
instead of the filters of the original, no equalised learning rates. Layer names follow the authors' checkpoints
(github.com/TencentARC/GFPGAN).

GFPGAN's discriminator of eyes and mouth.

Source: Wang et al., CVPR 2021, section 3.4 (facial component loss); its layers are those of StyleGAN2's discriminator
(Karras et al., CVPR 2020) with equalised learning rates. Layer names follow the authors' checkpoints.

The discriminator of StyleGAN2, which GFPGAN's training plays against.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 4.1 (residual
discriminator); the statistics over the batch: Karras et al., ICLR 2018, arXiv:1710.10196, section 3. Layer names follow
the common PyTorch form (github.com/XPixelGroup/BasicSR).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spec import ModelSpec, Weights

DEMODULATION_EPSILON = 1e-8
SLOPE = 0.2  # of every LeakyReLU
GAIN = math.sqrt(2)  # of every styled convolution: keeps the variance through LeakyReLU


def resized(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by the style (paper, section 2.2, equations 1 and 3).

    demodulate: the weights of every output channel are brought back to length 1 (towards unit variance).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, style_features: int, *, demodulate: bool) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))
        self.modulation = nn.Linear(style_features, inputs)
        nn.init.ones_(self.modulation.bias)

    def forward(self, x: Tensor, style: Tensor, gain: float = 1.0) -> Tensor:
        """gain * convolution. Shape: x [B, C, H, W], style [B, S] -> [B, O, H, W]."""
        batch, channels, height, width = x.shape
        outputs, kernel = self.weight.shape[1], self.weight.shape[-1]
        weight = self.weight * self.modulation(style).view(batch, 1, channels, 1, 1)  # [B, O, C, k, k]
        if self.demodulate:
            weight = weight * (gain * torch.rsqrt(weight.square().sum([2, 3, 4], keepdim=True) + DEMODULATION_EPSILON))
        elif gain != 1.0:
            weight = weight * gain
        weight = weight.view(batch * outputs, channels, kernel, kernel)
        # A sample is a group of channels: one convolution for the whole batch.
        x = x.reshape(1, batch * channels, height, width)
        out = functional.conv2d(x, weight, padding=kernel // 2, groups=batch)
        return out.view(batch, outputs, height, width)


class StyleConv(nn.Module):
    """Modulated convolution, noise, bias, LeakyReLU; upsample: the input is doubled in size first."""

    def __init__(self, inputs: int, outputs: int, style_features: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.modulated_conv = ModulatedConv(inputs, outputs, 3, style_features, demodulate=True)
        self.weight = nn.Parameter(torch.zeros(1))  # strength of the noise
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """noise: [1, 1, H, W] of the output's size; None draws new noise."""
        out = self.modulated_conv(resized(x, 2) if self.upsample else x, style, GAIN)
        if noise is None:
            noise = torch.randn(out.shape[0], 1, *out.shape[2:], device=out.device, dtype=out.dtype)
        out += self.weight * noise
        out += self.bias
        return functional.leaky_relu_(out, SLOPE)


class ToRGB(nn.Module):
    """The image of one level, added to the doubled image of the level below."""

    def __init__(self, inputs: int, style_features: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, 3, 1, style_features, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None = None) -> Tensor:
        out = self.modulated_conv(x, style) + self.bias
        return out if below is None else out + resized(below, 2)


class ConstantInput(nn.Module):
    """The learned 4x4 features that every image starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch: int) -> Tensor:
        return self.weight.repeat(batch, 1, 1, 1)


class NormaliseStyle(nn.Module):
    """Brings a style vector to unit mean square."""

    def forward(self, style: Tensor) -> Tensor:
        return style * torch.rsqrt(style.square().mean(dim=1, keepdim=True) + 1e-8)


def _style_mlp(style_features: int, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = [NormaliseStyle()]
    for _ in range(layers):
        parts += [nn.Linear(style_features, style_features), nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*parts)


class StyleGAN2WithSFT(nn.Module):
    """Latents and conditions to an image, from 4x4 up to `size`.

    channels: features by side length, {4: 512, 8: 512, ...}. style_mlp belongs to the authors' checkpoints but is not
    used: the latents come from the degradation removal network directly.
    """

    def __init__(self, size: int, channels: dict[int, int], style_features: int, mlp_layers: int = 8) -> None:
        super().__init__()
        sides = [2**level for level in range(3, int(math.log2(size)) + 1)]
        self.latents = 2 * len(sides) + 2
        self.style_mlp = _style_mlp(style_features, mlp_layers)
        self.constant_input = ConstantInput(channels[4])
        self.style_conv1 = StyleConv(channels[4], channels[4], style_features)
        self.to_rgb1 = ToRGB(channels[4], style_features)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise0", torch.randn(1, 1, 4, 4))
        for level, side in enumerate(sides):
            inputs, outputs = channels[side // 2], channels[side]
            self.style_convs.append(StyleConv(inputs, outputs, style_features, upsample=True))
            self.style_convs.append(StyleConv(outputs, outputs, style_features))
            self.to_rgbs.append(ToRGB(outputs, style_features))
            for index in (2 * level + 1, 2 * level + 2):
                self.noises.register_buffer(f"noise{index}", torch.randn(1, 1, side, side))

    def forward(
        self, latents: Tensor, scales: Sequence[Tensor], shifts: Sequence[Tensor], *, randomize_noise: bool
    ) -> Tensor:
        """Shape: latents [B, latents, S]; per level, scales and shifts [B, half of its channels, side, side]
        -> [B, 3, size, size].

        randomize_noise: new noise at every call instead of the stored one. The output is about [-1, 1], not clamped.
        """
        x = self.style_conv1(self.constant_input(latents.shape[0]), latents[:, 0], self._noise(0, randomize_noise))
        image = self.to_rgb1(x, latents[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            first, second = 2 * level + 1, 2 * level + 2
            x = self.style_convs[2 * level](x, latents[:, first], self._noise(first, randomize_noise))
            # Channel-split SFT: one half keeps the prior, the other follows the input (GFPGAN, section 3.3).
            kept, steered = x.chunk(2, dim=1)
            x = torch.cat([kept, torch.addcmul(shifts[level], steered, scales[level])], dim=1)
            x = self.style_convs[2 * level + 1](x, latents[:, second], self._noise(second, randomize_noise))
            image = to_rgb(x, latents[:, second + 1], image)  # shares its latent with the next level's first layer
        return image

    def _noise(self, index: int, randomize: bool) -> Tensor | None:
        return None if randomize else self.noises.get_buffer(f"noise{index}")


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
    adapter=None,
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
    adapter=None,
    frames=1,
    multiple_of=8,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="",
    source="Karras et al., StyleGAN2, CVPR 2020, arXiv:1912.04958; github.com/XPixelGroup/BasicSR",
    published="",
    switches=(),
)
