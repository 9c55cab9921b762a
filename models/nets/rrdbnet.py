"""RRDBNet: the generator of ESRGAN and Real-ESRGAN, for scales 4, 2 and 1.

Source: Wang et al., "ESRGAN", ECCV Workshops 2018, arXiv:1809.00219 (residual in residual dense blocks); Wang et al.,
"Real-ESRGAN", ICCV Workshops 2021, arXiv:2107.10833 (pixel-unshuffle for the scales 2 and 1). Layer names follow the
authors' checkpoints so that these load strictly.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec, Weights

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


class _Adapter:
    """Pads to the multiple that the fold needs, by reflection as the authors do, and cuts the output to size."""

    def __init__(self, module: nn.Module, scale: int) -> None:
        self.module = module
        self.scale = scale

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            _, height, width = frame.shape
            output = self.module(pad_to_multiple(frame[None], UPSAMPLING // self.scale, "reflect"))
            yield output[0, :, : height * self.scale, : width * self.scale].clamp(0, 1)


def _adapt_x4(module: nn.Module) -> Method:
    return _Adapter(module, 4)


def _adapt_x2(module: nn.Module) -> Method:
    return _Adapter(module, 2)


def _adapt_x1(module: nn.Module) -> Method:
    return _Adapter(module, 1)


def _build_x4() -> nn.Module:
    return RRDBNet(scale=4)


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


ESRGAN_X4 = ModelSpec(
    name="esrgan-x4",
    task="sr4",
    build=_build_x4,
    adapt=_adapt_x4,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
            source=f"{RELEASES}/v0.1.1/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
            licence="BSD-3-Clause",
        ),
        # Files of ESRGAN's own repository, with other names of the layers (models/key_layouts.py).
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
    recipe="esrgan",
    source=ESRGAN_SOURCE,
    published="ESRGAN",
    parity=("rrdbnet_x4",),
)
REAL_ESRGAN_X4 = ModelSpec(
    name="real-esrgan-x4",
    task="sr4",
    build=_build_x4,
    adapt=_adapt_x4,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="RealESRGAN_x4plus.pth",
            sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
            source=f"{RELEASES}/v0.1.0/RealESRGAN_x4plus.pth",
            licence="BSD-3-Clause",
        ),
    ),
    recipe="real-esrgan",
    source=REAL_ESRGAN_SOURCE,
    published="Real-ESRGAN",
    parity=("rrdbnet_x4",),
)
REAL_ESRGAN_X2 = ModelSpec(
    name="real-esrgan-x2",
    task="sr2",
    build=_build_x2,
    adapt=_adapt_x2,
    frames=1,
    multiple_of=2,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="RealESRGAN_x2plus.pth",
            sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
            source=f"{RELEASES}/v0.2.1/RealESRGAN_x2plus.pth",
            licence="BSD-3-Clause",
        ),
    ),
    recipe="real-esrgan",
    source=REAL_ESRGAN_SOURCE,
    published="",
    parity=("rrdbnet_x2",),
)
REAL_ESRGAN_X1 = ModelSpec(
    name="real-esrgan-x1",
    task="restore",
    build=_build_x1,
    adapt=_adapt_x1,
    frames=1,
    multiple_of=4,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="real-esrgan",
    source=REAL_ESRGAN_SOURCE + " (scale 1; its authors published no weights for it)",
    published="",
    parity=("rrdbnet_x1",),
)
RRDBNET_X4_TEST = ModelSpec(
    name="rrdbnet-x4-test",
    task="sr4",
    build=_build_test_x4,
    adapt=_adapt_x4,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source=ESRGAN_SOURCE + " (tiny variant for tests, not the published network)",
    published="",
)
RRDBNET_X2_TEST = ModelSpec(
    name="rrdbnet-x2-test",
    task="sr2",
    build=_build_test_x2,
    adapt=_adapt_x2,
    frames=1,
    multiple_of=2,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source=REAL_ESRGAN_SOURCE + " (tiny variant for tests, not the published network)",
    published="",
)
RRDBNET_X1_TEST = ModelSpec(
    name="rrdbnet-x1-test",
    task="restore",
    build=_build_test_x1,
    adapt=_adapt_x1,
    frames=1,
    multiple_of=4,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="charbonnier",
    source=REAL_ESRGAN_SOURCE + " (tiny variant for tests, not the published network)",
    published="",
)
