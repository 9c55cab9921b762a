"""SRVGGNet: Real-ESRGAN's compact network, plain convolutions at the input's size and one pixel shuffle at the end.

Source: Wang et al., "Real-ESRGAN", ICCV Workshops 2021, arXiv:2107.10833, and its authors' later releases
(github.com/xinntao/Real-ESRGAN); layer names follow their checkpoints so that these load strictly.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from models.nets.rrdbnet import REAL_ESRGAN_SOURCE, RELEASES
from models.spec import Method, ModelSpec, Weights

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


class _Adapter:
    """Any size fits; the output is clamped."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            yield self.module(frame[None])[0].clamp(0, 1)


def _adapt(module: nn.Module) -> Method:
    return _Adapter(module)


def _build() -> nn.Module:
    return SRVGGNet()


def _build_test() -> nn.Module:
    return SRVGGNet(channels=8, convs=2)


REALESR_GENERAL_X4V3 = ModelSpec(
    name="realesr-general-x4v3",
    task="sr4",
    build=_build,
    adapt=_adapt,
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
)
SRVGGNET_TEST = ModelSpec(
    name="srvggnet-test",
    task="sr4",
    build=_build_test,
    adapt=_adapt,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="",
    source=REAL_ESRGAN_SOURCE + " (tiny variant for tests, not the published network)",
    published="",
)
