"""DeblurGAN-v2 generators: a feature pyramid on a classification backbone, its output added to the blurred image.

Source: Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019, arXiv:1908.03826.
Layer names follow the authors' checkpoints (github.com/VITA-Group/DeblurGANv2) so that these load strictly.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets import image_statistics
from models.nets.pyramids import (
    Convolution,
    InceptionPyramid,
    MobileNetPyramid,
    SeparableConvolution,
    conv_norm_relu,
    enlarged,
    plain_convolution,
)
from models.spec import Method, ModelSpec, Weights

SOURCE = "Kupyn et al., ICCV 2019, arXiv:1908.03826; github.com/VITA-Group/DeblurGANv2"
PADDING_BLOCK = 32


class PyramidHead(nn.Module):
    """Brings one level of the pyramid to the width of the fusion."""

    def __init__(self, inputs: int, outputs: int, convolution: Convolution) -> None:
        super().__init__()
        self.block0 = convolution(inputs, outputs, False)
        self.block1 = convolution(outputs, outputs, False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.block0(x), inplace=True)
        return functional.relu(self.block1(x), inplace=True)


class PyramidGenerator(nn.Module):
    """The generator around a pyramid `fpn`; widths are those of the head and of the pyramid."""

    convolution: Convolution = staticmethod(plain_convolution)

    def __init__(self, pyramid: nn.Module, head_channels: int, pyramid_channels: int) -> None:
        super().__init__()
        self.fpn = pyramid
        self.head1, self.head2, self.head3, self.head4 = (
            PyramidHead(pyramid_channels, head_channels, self.convolution) for _ in range(4)
        )
        self.smooth = conv_norm_relu(4 * head_channels, head_channels, self.convolution)
        self.smooth2 = conv_norm_relu(head_channels, head_channels // 2, self.convolution)
        self.final = self.convolution(head_channels // 2, 3, True)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 32 -> the same. Range: [-1, 1] in and out."""
        map0, map1, map2, map3, map4 = self.fpn(image)
        levels = [
            enlarged(self.head4(map4), 8),
            enlarged(self.head3(map3), 4),
            enlarged(self.head2(map2), 2),
            self.head1(map1),
        ]
        x = self.smooth(torch.cat(levels, dim=1))  # [B, head, H/4, W/4]
        x = self.smooth2(enlarged(x, 2) + map0)  # [B, head / 2, H/2, W/2]
        x = self.final(enlarged(x, 2))  # [B, 3, H, W]
        return torch.clamp(torch.tanh(x) + image, min=-1, max=1)


class SeparablePyramidGenerator(PyramidGenerator):
    """The generator with every convolution of its decoder depthwise-separable (docs/decisions/006-mobilenet-dsc.md)."""

    convolution = SeparableConvolution


class _Adapter:
    """Pads as the authors do; instance norms use the statistics of the image, batch norms the stored ones.

    train_mode: batch norms use those of the image, too, as in the authors' own predictions.
    """

    train_mode = False

    def __init__(self, module: nn.Module, smallest: int) -> None:
        self.module = module
        self.smallest = smallest

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            _, height, width = frame.shape
            # One block more even where the side divides already, zeros (mid grey) after the range is changed.
            padded_height, padded_width = (
                max((side // PADDING_BLOCK + 1) * PADDING_BLOCK, self.smallest) for side in (height, width)
            )
            if padded_height == padded_width == PADDING_BLOCK:
                padded_height += PADDING_BLOCK  # norm statistics need more than one value at the deepest level
            image = functional.pad(frame[None] * 2 - 1, (0, padded_width - width, 0, padded_height - height))
            output = image_statistics.forward(self.module, image, train_mode=self.train_mode)
            yield (output[0, :, :height, :width] * 0.5 + 0.5).clamp(0, 1)


def _adapt(module: nn.Module) -> Method:
    return _Adapter(module, smallest=PADDING_BLOCK)


def _adapt_inception(module: nn.Module) -> Method:
    return _Adapter(module, smallest=4 * PADDING_BLOCK)


def _build_inception() -> nn.Module:
    return PyramidGenerator(InceptionPyramid(256), head_channels=128, pyramid_channels=256)


def _build_inception_simple() -> nn.Module:
    return PyramidGenerator(InceptionPyramid(256, smoothed=False), head_channels=128, pyramid_channels=256)


def _build_mobilenet() -> nn.Module:
    return PyramidGenerator(MobileNetPyramid(128), head_channels=64, pyramid_channels=128)


def _build_mobilenet_dsc() -> nn.Module:
    pyramid = MobileNetPyramid(128, SeparableConvolution, whole_backbone=False)
    return SeparablePyramidGenerator(pyramid, head_channels=64, pyramid_channels=128)


def _build_test() -> nn.Module:
    return PyramidGenerator(MobileNetPyramid(8), head_channels=4, pyramid_channels=8)


def _build_dsc_test() -> nn.Module:
    pyramid = MobileNetPyramid(8, SeparableConvolution, whole_backbone=False)
    return SeparablePyramidGenerator(pyramid, head_channels=4, pyramid_channels=8)


DEBLURGAN_V2_INCEPTION = ModelSpec(
    name="deblurgan-v2-inception",
    task="deblur",
    build=_build_inception,
    adapt=_adapt_inception,
    frames=1,
    multiple_of=32,
    value_range=(-1.0, 1.0),
    weights=(
        Weights(file="fpn_inception.h5", source="github.com/VITA-Group/DeblurGANv2 (README)", licence="BSD-style"),
    ),
    recipe="deblurgan-v2",
    source=SOURCE,
    published="DeblurGAN-v2 Inception-ResNet-v2",
    parity=("deblurganv2_inception",),
    switches=("train-mode", "truncate", "self-ensemble", "half"),
)
DEBLURGAN_V2_INCEPTION_SIMPLE = ModelSpec(
    name="deblurgan-v2-inception-simple",
    task="deblur",
    build=_build_inception_simple,
    adapt=_adapt_inception,
    frames=1,
    multiple_of=32,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="deblurgan-v2",
    source=SOURCE + " (fpn_inception_simple, a variant in the repository only)",
    published="",
    parity=("fpn_inception_simple",),
    switches=("train-mode", "truncate", "self-ensemble", "half"),
)
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
    switches=("train-mode", "truncate", "self-ensemble", "half"),
)
DEBLURGAN_V2_MOBILENET_DSC = ModelSpec(
    name="deblurgan-v2-mobilenet-dsc",
    task="deblur",
    build=_build_mobilenet_dsc,
    adapt=_adapt,
    frames=1,
    multiple_of=32,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="charbonnier",
    source=SOURCE + " (the authors published no definition: docs/decisions/006-mobilenet-dsc.md)",
    published="DeblurGAN-v2 MobileNet-DSC",
    switches=("train-mode", "truncate", "self-ensemble", "half"),
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
    switches=("train-mode", "truncate", "self-ensemble", "half"),
)
DEBLURGAN_V2_MOBILENET_DSC_TEST = ModelSpec(
    name="deblurgan-v2-mobilenet-dsc-test",
    task="deblur",
    build=_build_dsc_test,
    adapt=_adapt,
    frames=1,
    multiple_of=32,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="charbonnier",
    source=SOURCE + " (narrow decoder for tests, not the published network)",
    published="",
    switches=("train-mode", "truncate", "self-ensemble", "half"),
)
