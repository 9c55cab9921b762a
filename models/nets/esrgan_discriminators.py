"""The discriminators of ESRGAN (a VGG-style classifier) and Real-ESRGAN (a U-Net with spectral norm).

Sources: Wang et al., ESRGAN, ECCV Workshops 2018; Wang et al., Real-ESRGAN, ICCV Workshops 2021 (section 3.4), after
Schonfeld et al., A U-Net Based Discriminator, CVPR 2020; spectral norm: Miyato et al., ICLR 2018. Keys are those of the
authors' checkpoints (github.com/XPixelGroup/BasicSR). Neither ends in a sigmoid: losses take the values as they are.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from models.spec import ModelSpec

SLOPE = 0.2
VGG_SIDE_PX = 128
VGG_MULTIPLE = 32  # five halvings
VGG_WIDTHS = (64, 128, 256, 512, 512)


class VggStyleDiscriminator(nn.Module):
    """Five pairs of convolutions, the second of each halving the sides, and two linear layers.

    Shape: [B, 3, side, side] -> [B, 1]; 128 px as published, any multiple of 32. Errors: ValueError for another size.
    """

    def __init__(self, width: int = VGG_WIDTHS[0], side: int = VGG_SIDE_PX) -> None:
        super().__init__()
        if side < 1 or side % VGG_MULTIPLE:
            raise ValueError(f"this discriminator sees sides that are multiples of {VGG_MULTIPLE} px, got {side}")
        self.side = side
        before = 3
        for level, published in enumerate(VGG_WIDTHS):
            channels = published * width // VGG_WIDTHS[0]
            # Where batch norm follows, a bias would be taken out again; it follows all but the very first.
            self.add_module(f"conv{level}_0", nn.Conv2d(before, channels, 3, padding=1, bias=level == 0))
            if level:
                self.add_module(f"bn{level}_0", nn.BatchNorm2d(channels))
            self.add_module(f"conv{level}_1", nn.Conv2d(channels, channels, 4, stride=2, padding=1, bias=False))
            self.add_module(f"bn{level}_1", nn.BatchNorm2d(channels))
            before = channels
        self.linear1 = nn.Linear(before * (side // VGG_MULTIPLE) ** 2, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-2:] != (self.side, self.side):
            raise ValueError(f"this discriminator sees {self.side}x{self.side} px, got {list(image.shape[-2:])}")
        features = image
        for level in range(len(VGG_WIDTHS)):
            for half in (0, 1):
                features = self.get_submodule(f"conv{level}_{half}")(features)
                if level or half:
                    features = self.get_submodule(f"bn{level}_{half}")(features)
                features = functional.leaky_relu(features, SLOPE, inplace=True)
        features = functional.leaky_relu(self.linear1(features.flatten(1)), SLOPE)  # [B, 100]
        return self.linear2(features)


class UNetDiscriminator(nn.Module):
    """A value for every pixel: is it of a real image? Three levels down, three up, skips are sums.

    Shape: [B, 3, H, W] -> [B, 1, H, W]; sides are multiples of 8.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, width, 3, padding=1)
        self.conv1 = _normed(width, width * 2, kernel=4, stride=2)
        self.conv2 = _normed(width * 2, width * 4, kernel=4, stride=2)
        self.conv3 = _normed(width * 4, width * 8, kernel=4, stride=2)
        self.conv4 = _normed(width * 8, width * 4)
        self.conv5 = _normed(width * 4, width * 2)
        self.conv6 = _normed(width * 2, width)
        self.conv7 = _normed(width, width)
        self.conv8 = _normed(width, width)
        self.conv9 = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        full = _active(self.conv0(image))  # [B, 64, H, W]
        half = _active(self.conv1(full))  # [B, 128, H / 2, W / 2]
        quarter = _active(self.conv2(half))  # [B, 256, H / 4, W / 4]
        features = _active(self.conv3(quarter))  # [B, 512, H / 8, W / 8]
        features = _active(self.conv4(_twice(features))) + quarter
        features = _active(self.conv5(_twice(features))) + half
        features = _active(self.conv6(_twice(features))) + full
        return self.conv9(_active(self.conv8(_active(self.conv7(features)))))


def _normed(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    # The older form of spectral norm: its keys (weight_orig, weight_u, weight_v) are the authors'.
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=1, bias=False))


def _active(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, SLOPE, inplace=True)


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


def _vgg_style_for(side: int) -> nn.Module:
    return VggStyleDiscriminator(side=side)


VGG_STYLE_DISCRIMINATOR_128 = ModelSpec(
    name="vgg-style-discriminator-128",
    task="discriminator",
    build=VggStyleDiscriminator,
    build_for=_vgg_style_for,
    adapt=None,
    frames=1,
    multiple_of=VGG_MULTIPLE,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source="Wang et al., ESRGAN, ECCV Workshops 2018; github.com/XPixelGroup/BasicSR",
    published="",
    parity=("vgg_style_discriminator128",),
    switches=(),
)
UNET_DISCRIMINATOR_SN = ModelSpec(
    name="unet-discriminator-sn",
    task="discriminator",
    build=UNetDiscriminator,
    adapt=None,
    frames=1,
    multiple_of=8,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source="Wang et al., Real-ESRGAN, ICCV Workshops 2021; github.com/XPixelGroup/BasicSR",
    published="",
    parity=("unet_discriminator_sn",),
    switches=(),
)
