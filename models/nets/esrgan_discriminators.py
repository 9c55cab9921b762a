"""Discriminators of ESRGAN (a classifier in the manner of VGG) and Real-ESRGAN (a U-Net with spectral norm).

Source: Wang et al., "ESRGAN", ECCV Workshops 2018, arXiv:1809.00219; Wang et al., "Real-ESRGAN", ICCV Workshops 2021,
arXiv:2107.10833, section 3.4. Layer names follow the authors' checkpoints (github.com/XPixelGroup/BasicSR).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from models.spec import ModelSpec

REPOSITORY = "github.com/XPixelGroup/BasicSR"


class VGGStyleDiscriminator128(nn.Module):
    """Five times a k3 convolution and a strided k4 one, then two linear layers: one score for 128 x 128 px."""

    WIDTHS = (1, 2, 4, 8, 8)

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        width = 3
        for level, factor in enumerate(self.WIDTHS):
            wider = channels * factor
            setattr(self, f"conv{level}_0", nn.Conv2d(width, wider, 3, padding=1, bias=level == 0))
            if level:
                setattr(self, f"bn{level}_0", nn.BatchNorm2d(wider))
            setattr(self, f"conv{level}_1", nn.Conv2d(wider, wider, 4, stride=2, padding=1, bias=False))
            setattr(self, f"bn{level}_1", nn.BatchNorm2d(wider))
            width = wider
        self.linear1 = nn.Linear(width * 4 * 4, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, 128, 128] -> [B, 1]. Errors: ValueError for another size."""
        if image.shape[-2:] != (128, 128):
            height, width = image.shape[-2:]
            raise ValueError(f"this discriminator judges crops of 128 x 128 px, got {width} x {height}; crop them")
        x = image
        for level in range(len(self.WIDTHS)):
            for part in (0, 1):
                x = self.get_submodule(f"conv{level}_{part}")(x)
                if level or part:
                    x = self.get_submodule(f"bn{level}_{part}")(x)
                x = functional.leaky_relu(x, 0.2, inplace=True)
        x = functional.leaky_relu(self.linear1(x.flatten(1)), 0.2)
        return self.linear2(x)


class UNetDiscriminatorSN(nn.Module):
    """A score for every pixel: three levels down and up again, skips summed, spectral norm inside."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, channels, 3, padding=1)
        self.conv1, self.conv2, self.conv3 = (
            spectral_norm(nn.Conv2d(channels * factor, 2 * channels * factor, 4, stride=2, padding=1, bias=False))
            for factor in (1, 2, 4)
        )
        self.conv4, self.conv5, self.conv6 = (
            spectral_norm(nn.Conv2d(channels * factor, channels * factor // 2, 3, padding=1, bias=False))
            for factor in (8, 4, 2)
        )
        self.conv7, self.conv8 = (
            spectral_norm(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in range(2)
        )
        self.conv9 = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 8 -> [B, 1, H, W]. Range of the image: [0, 1]."""
        down0 = _leaky(self.conv0(image))
        down1 = _leaky(self.conv1(down0))
        down2 = _leaky(self.conv2(down1))
        down3 = _leaky(self.conv3(down2))
        x = _leaky(self.conv4(_doubled(down3))) + down2
        x = _leaky(self.conv5(_doubled(x))) + down1
        x = _leaky(self.conv6(_doubled(x))) + down0
        return self.conv9(_leaky(self.conv8(_leaky(self.conv7(x)))))


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2, inplace=True)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


VGG_STYLE_DISCRIMINATOR128 = ModelSpec(
    name="vgg-style-discriminator128",
    task="discriminator",
    build=VGGStyleDiscriminator128,
    adapt=None,
    frames=1,
    multiple_of=128,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source=f"Wang et al., ECCV Workshops 2018, arXiv:1809.00219; {REPOSITORY}",
    published="",
    parity=("vgg_style_discriminator128",),
    switches=(),
)
UNET_DISCRIMINATOR_SN = ModelSpec(
    name="unet-discriminator-sn",
    task="discriminator",
    build=UNetDiscriminatorSN,
    adapt=None,
    frames=1,
    multiple_of=8,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source=f"Wang et al., ICCV Workshops 2021, arXiv:2107.10833; {REPOSITORY}",
    published="",
    parity=("unet_discriminator_sn",),
    switches=(),
)
