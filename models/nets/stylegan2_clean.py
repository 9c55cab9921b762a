"""The generator of StyleGAN2 in plain PyTorch layers, with GFPGAN's spatial feature transform between its layers.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020; Wang et al., "Towards
Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021, section 3.3. "Clean": bilinear resizing
instead of the filters of the original, no equalised learning rates. Layer names follow the authors' checkpoints
(github.com/TencentARC/GFPGAN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

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
