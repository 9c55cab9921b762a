"""DeblurGAN-v2 generators: a feature pyramid on a classification backbone, its output added to the blurred image.

Source: Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019, arXiv:1908.03826.
Layer names follow the authors' checkpoints (github.com/VITA-Group/DeblurGANv2) so that these load strictly.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.mobilenet_v2 import mobilenet_v2_features
from models.spec import Method, ModelSpec, Weights

SOURCE = "Kupyn et al., ICCV 2019, arXiv:1908.03826; github.com/VITA-Group/DeblurGANv2"
PADDING_BLOCK = 32


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=True)


def _conv_norm_relu(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), _norm(outputs), nn.ReLU(inplace=True))


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="nearest")


class PyramidHead(nn.Module):
    """Brings one level of the pyramid to the width of the fusion."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block0 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.block1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.block0(x), inplace=True)
        return functional.relu(self.block1(x), inplace=True)


class MobileNetPyramid(nn.Module):
    """Feature pyramid on MobileNetV2 (paper, section 3.1).

    The blocks after the last tap (features 16 to 18) belong to the authors' checkpoint but are never run.
    """

    TAPS = ((0, 2), (2, 4), (4, 7), (7, 11), (11, 16))  # ranges of `features` per level
    TAP_CHANNELS = (16, 24, 32, 64, 160)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = mobilenet_v2_features()
        # The same modules under a second name, as in the authors' checkpoints.
        self.enc0, self.enc1, self.enc2, self.enc3, self.enc4 = (
            nn.Sequential(*list(self.features)[first:last]) for first, last in self.TAPS
        )
        self.td1, self.td2, self.td3 = (_conv_norm_relu(channels, channels) for _ in range(3))
        tap0, tap1, tap2, tap3, tap4 = self.TAP_CHANNELS
        self.lateral4 = nn.Conv2d(tap4, channels, 1, bias=False)
        self.lateral3 = nn.Conv2d(tap3, channels, 1, bias=False)
        self.lateral2 = nn.Conv2d(tap2, channels, 1, bias=False)
        self.lateral1 = nn.Conv2d(tap1, channels, 1, bias=False)
        self.lateral0 = nn.Conv2d(tap0, channels // 2, 1, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Shape: [B, 3, H, W] -> maps at 1/2 (half the channels), 1/4, 1/8, 1/16, 1/32 of the size."""
        enc0 = self.enc0(image)
        enc1 = self.enc1(enc0)
        enc2 = self.enc2(enc1)
        enc3 = self.enc3(enc2)
        map4 = self.lateral4(self.enc4(enc3))
        map3 = self.td1(self.lateral3(enc3) + _enlarged(map4, 2))
        map2 = self.td2(self.lateral2(enc2) + _enlarged(map3, 2))
        map1 = self.td3(self.lateral1(enc1) + _enlarged(map2, 2))
        return self.lateral0(enc0), map1, map2, map3, map4


class PyramidGenerator(nn.Module):
    """The generator around a pyramid `fpn`; widths are those of the head and of the pyramid."""

    def __init__(self, pyramid: nn.Module, head_channels: int, pyramid_channels: int) -> None:
        super().__init__()
        self.fpn = pyramid
        self.head1, self.head2, self.head3, self.head4 = (
            PyramidHead(pyramid_channels, head_channels) for _ in range(4)
        )
        self.smooth = _conv_norm_relu(4 * head_channels, head_channels)
        self.smooth2 = _conv_norm_relu(head_channels, head_channels // 2)
        self.final = nn.Conv2d(head_channels // 2, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 32 -> the same. Range: [-1, 1] in and out."""
        map0, map1, map2, map3, map4 = self.fpn(image)
        levels = [
            _enlarged(self.head4(map4), 8),
            _enlarged(self.head3(map3), 4),
            _enlarged(self.head2(map2), 2),
            self.head1(map1),
        ]
        x = self.smooth(torch.cat(levels, dim=1))  # [B, head, H/4, W/4]
        x = self.smooth2(_enlarged(x, 2) + map0)  # [B, head / 2, H/2, W/2]
        x = self.final(_enlarged(x, 2))  # [B, 3, H, W]
        return torch.clamp(torch.tanh(x) + image, min=-1, max=1)


class _Adapter:
    """The authors' way to restore an image: training mode, so that the norms use the statistics of the image itself.

    The running statistics, which that mode would move, are put back after every image.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            _, height, width = frame.shape
            # One block more even where the side divides already, zeros (mid grey) after the range is changed.
            bottom, right = ((side // PADDING_BLOCK + 1) * PADDING_BLOCK - side for side in (height, width))
            if height < PADDING_BLOCK and width < PADDING_BLOCK:
                bottom += PADDING_BLOCK  # norm statistics need more than one value at the deepest level
            image = functional.pad(frame[None] * 2 - 1, (0, right, 0, bottom))
            yield (self._forward(image)[0, :, :height, :width] * 0.5 + 0.5).clamp(0, 1)

    def _forward(self, image: Tensor) -> Tensor:
        training = self.module.training
        statistics = [(value, value.clone()) for value in self.module.buffers()]
        try:
            return self.module.train()(image)
        finally:
            self.module.train(training)
            for value, before in statistics:
                value.copy_(before)


def _adapt(module: nn.Module) -> Method:
    return _Adapter(module)


def _build_mobilenet() -> nn.Module:
    return PyramidGenerator(MobileNetPyramid(128), head_channels=64, pyramid_channels=128)


def _build_test() -> nn.Module:
    return PyramidGenerator(MobileNetPyramid(8), head_channels=4, pyramid_channels=8)


DEBLURGAN_V2_MOBILENET = ModelSpec(
    name="deblurgan-v2-mobilenet",
    task="deblur",
    build=_build_mobilenet,
    adapt=_adapt,
    frames=1,
    multiple_of=32,
    value_range=(-1.0, 1.0),
    weights=(
        Weights(file="fpn_mobilenet.h5", source="github.com/VITA-Group/DeblurGANv2 (README)", licence="BSD-style"),
    ),
    recipe="charbonnier",
    source=SOURCE,
    published="DeblurGAN-v2 MobileNet",
    parity=("deblurganv2_mobilenet",),
)
DEBLURGAN_V2_MOBILENET_TEST = ModelSpec(
    name="deblurgan-v2-mobilenet-test",
    task="deblur",
    build=_build_test,
    adapt=_adapt,
    frames=1,
    multiple_of=32,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="charbonnier",
    source=SOURCE + " (narrow decoder for tests, not the published network)",
    published="",
)
