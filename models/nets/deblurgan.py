"""DeblurGAN: its generator, and the discriminators of DeblurGAN and DeblurGAN-v2.

DeblurGAN: a ResNet of nine blocks between two strided and two transposed convolutions, added to the blurred image.

Source: Kupyn et al., "DeblurGAN: Blind Motion Deblurring Using Conditional Adversarial Networks", CVPR 2018,
arXiv:1711.07064; layer names follow the authors' checkpoints (github.com/KupynOrest/DeblurGAN).

The discriminators of DeblurGAN (it judges patches) and of DeblurGAN-v2 (a second one sees nearly the whole image).

Sources: Kupyn et al., CVPR 2018, arXiv:1711.07064, section 3.3; Kupyn et al., ICCV 2019, arXiv:1908.03826, section 3.2;
PatchGAN: Isola et al., CVPR 2017, arXiv:1611.07004.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from models.nets.adapters import StillWithStatistics
from models.nets.deblurgan_v2 import norm
from models.spec import ModelSpec, TrainingForm

SOURCE = "Kupyn et al., CVPR 2018, arXiv:1711.07064; github.com/KupynOrest/DeblurGAN"
BLOCKS = 9
SMALLEST_PX = 8  # a deepest map of 2 x 2: smaller ones cannot be reflected, nor have they statistics


class ResidualBlock(nn.Module):
    """Two convolutions with dropout between them, added to the input.

    `second=False` is the revision of 2019, which ends after the first one's dropout.
    """

    def __init__(self, channels: int, *, second: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        ]
        if second:
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResNetGenerator(nn.Module):
    """The generator of DeblurGAN, with the sum that the authors call learn_residual."""

    def __init__(self, channels: int = 64, *, second_convolutions: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, channels, 7)]
        layers += [norm(channels), nn.ReLU(inplace=True)]
        for width in (channels, 2 * channels):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), norm(2 * width), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * channels, second=second_convolutions) for _ in range(BLOCKS)]
        for width in (4 * channels, 2 * channels):
            layers.append(nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1))
            layers += [norm(width // 2), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 4 -> the same. Range: [-1, 1] in and out."""
        return torch.clamp(image + self.model(image), min=-1, max=1)


def _build() -> nn.Module:
    return ResNetGenerator()


def _build_head2019() -> nn.Module:
    return ResNetGenerator(second_convolutions=False)


def _build_test() -> nn.Module:
    return ResNetGenerator(channels=4)


SWITCHES = ("train-mode", "truncate", "self-ensemble", "half")

DEBLURGAN = ModelSpec(
    name="deblurgan",
    task="deblur",
    build=_build,
    adapter=StillWithStatistics,
    frames=1,
    multiple_of=4,
    smallest_px=SMALLEST_PX,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="deblurgan",
    training=TrainingForm(residual=("model.26",)),
    source=SOURCE + " (the definition published with the paper)",
    published="DeblurGAN",
    parity=("deblurgan_resnet9",),
    switches=SWITCHES,
).with_tiny("deblurgan-test", _build_test, recipe="charbonnier")
DEBLURGAN_HEAD2019 = replace(
    DEBLURGAN,
    name="deblurgan-head2019",
    build=_build_head2019,
    source=SOURCE + " (newest revision, March 2019: one convolution a block)",
    published="",
    parity=("deblurgan_resnet9_head2019",),
)


WIDEST = 8  # widths double up to this many times the first


class PatchDiscriminator(nn.Module):
    """k4 convolutions, `strided` of them with stride 2; more of them see a larger patch. No sigmoid at the end."""

    def __init__(self, strided: int, channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=2), nn.LeakyReLU(0.2, inplace=True)]
        width = channels
        for index in range(1, strided + 1):
            wider = channels * min(2**index, WIDEST)
            stride = 2 if index < strided else 1
            layers += [nn.Conv2d(width, wider, 4, stride=stride, padding=2), norm(wider)]
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            width = wider
        layers.append(nn.Conv2d(width, 1, 4, padding=2))
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> [B, 1, h, w], a score per patch. Range of the image: [-1, 1]."""
        return self.model(image)


class DoubleScaleDiscriminator(nn.Module):
    """The pair; the authors keep it as two networks in a dict."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(3, channels)
        self.full = PatchDiscriminator(5, channels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of patches of 70 px and of the far larger ones (286 px)."""
        return self.patch(image), self.full(image)


def _build_patch() -> nn.Module:
    return PatchDiscriminator(3)


DEBLURGAN_DISCRIMINATOR = ModelSpec(
    name="deblurgan-discriminator",
    task="discriminator",
    build=_build_patch,
    adapter=None,
    frames=1,
    multiple_of=1,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="",
    source="Kupyn et al., CVPR 2018, arXiv:1711.07064; the local half of DeblurGAN-v2's, which the fixtures cover",
    published="",
    switches=(),
)
DEBLURGAN_V2_DISCRIMINATOR = replace(
    DEBLURGAN_DISCRIMINATOR,
    name="deblurgan-v2-discriminator",
    build=DoubleScaleDiscriminator,
    source="Kupyn et al., ICCV 2019, arXiv:1908.03826; github.com/VITA-Group/DeblurGANv2",
    parity=("deblurganv2_discriminator",),
)
