"""DeblurGAN-v2 generators: a feature pyramid on a classification backbone, its output added to the blurred image.

The feature extractor of MobileNetV2 with the layer names of the early public implementation.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381, table 2.

The feature pyramids of DeblurGAN-v2 on classification backbones, and the units that they share with the decoder.

Source: Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019, arXiv:1908.03826,
section 3.1. Layer names follow the authors' checkpoints.

Source: Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019, arXiv:1908.03826.
Layer names follow the authors' checkpoints (github.com/VITA-Group/DeblurGANv2) so that these load strictly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import StillWithStatistics
from models.nets.inception_resnet_v2 import InceptionResNetV2
from models.spec import Backbone, ModelSpec, TrainingForm, Weights

# Expansion, channels, repeats, stride of the first (paper, table 2).
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _conv_norm_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    ]


class InvertedResidual(nn.Module):
    """Expand (k1), filter each channel (k3), project (k1, linear); the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = _conv_norm_relu6(inputs, hidden, 1) if expansion != 1 else []
        layers += _conv_norm_relu6(hidden, hidden, 3, stride=stride, groups=hidden)
        layers += [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.keeps_shape = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).add_(x) if self.keeps_shape else self.conv(x)


def mobilenet_v2_features() -> nn.Sequential:
    """Stem, 17 inverted residuals and the last 1x1 unit. Shape: [B, 3, H, W] -> [B, 1280, H/32, W/32]."""
    layers: list[nn.Module] = [nn.Sequential(*_conv_norm_relu6(3, 32, 3, stride=2))]
    channels = 32
    for expansion, outputs, repeats, stride in STAGES:
        for repeat in range(repeats):
            layers.append(InvertedResidual(channels, outputs, stride if repeat == 0 else 1, expansion))
            channels = outputs
    layers.append(nn.Sequential(*_conv_norm_relu6(channels, 1280, 1)))
    return nn.Sequential(*layers)


# (inputs, outputs, bias) -> a convolution k3 p1, plain or separable.
Convolution = Callable[[int, int, bool], nn.Module]


class SeparableConvolution(nn.Module):
    """A k3 convolution of each channel by itself (no bias), then a k1 convolution across channels."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


def plain_convolution(inputs: int, outputs: int, bias: bool) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def norm(channels: int) -> nn.InstanceNorm2d:
    """The norm of DeblurGAN and its successor. Its running statistics are stored, and meant for nothing."""
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=True)


def conv_norm_relu(inputs: int, outputs: int, convolution: Convolution) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs, True), norm(outputs), nn.ReLU(inplace=True))


def enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="nearest")


class MobileNetPyramid(nn.Module):
    """Feature pyramid on MobileNetV2.

    The blocks after the last tap (features 16 to 18) belong to the authors' checkpoint but are never run;
    `whole_backbone=False` leaves them out.
    """

    TAPS = ((0, 2), (2, 4), (4, 7), (7, 11), (11, 16))  # ranges of `features` per level
    TAP_CHANNELS = (16, 24, 32, 64, 160)

    def __init__(
        self, channels: int, convolution: Convolution = plain_convolution, *, whole_backbone: bool = True
    ) -> None:
        super().__init__()
        layers = list(mobilenet_v2_features())
        self.features = nn.Sequential(*(layers if whole_backbone else layers[: self.TAPS[-1][1]]))
        # The same modules under a second name, as in the authors' checkpoints.
        self.enc0, self.enc1, self.enc2, self.enc3, self.enc4 = (
            nn.Sequential(*layers[first:last]) for first, last in self.TAPS
        )
        self.td1, self.td2, self.td3 = (conv_norm_relu(channels, channels, convolution) for _ in range(3))
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
        map3 = self.td1(self.lateral3(enc3) + enlarged(map4, 2))
        map2 = self.td2(self.lateral2(enc2) + enlarged(map3, 2))
        map1 = self.td3(self.lateral1(enc1) + enlarged(map2, 2))
        return self.lateral0(enc0), map1, map2, map3, map4


class InceptionPyramid(nn.Module):
    """Feature pyramid on Inception-ResNet-v2, whose maps are padded to the powers of two. Sides: 128 px at least.

    `smoothed=False` is the authors' variant whose top-down sums go without a convolution.
    """

    def __init__(self, channels: int, *, smoothed: bool = True) -> None:
        super().__init__()
        net = InceptionResNetV2()
        self.inception = net
        # The same modules under a second name, as in the authors' checkpoints.
        self.enc0 = net.conv2d_1a
        self.enc1 = nn.Sequential(net.conv2d_2a, net.conv2d_2b, net.maxpool_3a)
        self.enc2 = nn.Sequential(net.conv2d_3b, net.conv2d_4a, net.maxpool_5a)
        self.enc3 = nn.Sequential(net.mixed_5b, net.repeat, net.mixed_6a)
        self.enc4 = nn.Sequential(net.repeat_1, net.mixed_7a)
        self.smoothed = smoothed
        if smoothed:
            self.td1, self.td2, self.td3 = (conv_norm_relu(channels, channels, plain_convolution) for _ in range(3))
        self.lateral4 = nn.Conv2d(2080, channels, 1, bias=False)
        self.lateral3 = nn.Conv2d(1088, channels, 1, bias=False)
        self.lateral2 = nn.Conv2d(192, channels, 1, bias=False)
        self.lateral1 = nn.Conv2d(64, channels, 1, bias=False)
        self.lateral0 = nn.Conv2d(32, channels // 2, 1, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Shape: [B, 3, H, W] -> maps at 1/2 (half the channels), 1/4, 1/8, 1/16, 1/32 of the size."""
        enc0 = self.enc0(image)  # [B, 32, H/2 - 1, W/2 - 1]
        enc1 = self.enc1(enc0)  # [B, 64, H/4 - 2, W/4 - 2]
        enc2 = self.enc2(enc1)  # [B, 192, H/8 - 3, W/8 - 3]
        enc3 = self.enc3(enc2)  # [B, 1088, H/16 - 2, W/16 - 2]
        enc4 = self.enc4(enc3)  # [B, 2080, H/32 - 2, W/32 - 2]
        map0 = _reflected(self.lateral0(enc0), 0, 1)
        map4 = _reflected(self.lateral4(enc4), 1, 1)
        map3 = _reflected(self.lateral3(enc3), 1, 1) + enlarged(map4, 2)
        map3 = self.td1(map3) if self.smoothed else map3
        map2 = _reflected(self.lateral2(enc2), 1, 2) + enlarged(map3, 2)
        map2 = self.td2(map2) if self.smoothed else map2
        map1 = _reflected(self.lateral1(enc1), 1, 1) + enlarged(map2, 2)
        map1 = self.td3(map1) if self.smoothed else map1
        return map0, map1, map2, map3, map4


def _reflected(x: Tensor, before: int, after: int) -> Tensor:
    """Reflect `before` pixels at the left and the top, `after` at the right and the bottom."""
    return functional.pad(x, (before, after, before, after), mode="reflect")


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


def _one_block_more(images: Tensor, block: int, smallest: int) -> tuple[Tensor, int, int]:
    """Zeros (mid grey) at the right and the bottom, as the authors pad: a block more even where the side divides."""
    height, width = images.shape[-2:]
    padded_height, padded_width = (max((side // block + 1) * block, smallest) for side in (height, width))
    if padded_height == padded_width == block:
        padded_height += block  # norm statistics need more than one value at the deepest level
    return functional.pad(images, (0, padded_width - width, 0, padded_height - height)), 0, 0


def _mobilenet_names(state: dict[str, Tensor], part: nn.Module) -> dict[str, Tensor]:
    """Of a file of MobileNetV2: torchvision's (mobilenet_v2-*.pth), or one with the names of the early public
    implementation, which are the network's own. Without its classifier and the blocks that the network does not have.

    torchvision puts every convolution with its norm and activation into a group (conv.GROUP.LAYER), but for the last
    convolution and norm of a block; the early names count all layers through, three to a group. A file of early names
    has no groups.
    """
    blocks = len(cast(nn.Sequential, part))
    state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    groups: dict[str, int] = {}
    for key in state:
        if found := re.match(r"features\.(\d+)\.conv\.(\d+)\.\d+\.", key):
            groups[found[1]] = max(groups.get(found[1], 0), int(found[2]) + 1)
    renamed = {}
    for key, value in state.items():
        name = key.removeprefix("features.")
        block = name.partition(".")[0]
        if block.isdigit() and int(block) >= blocks:
            continue
        if found := re.match(r"\d+\.conv\.(\d+)\.(\d+)\.(.+)", name):
            name = f"{block}.conv.{3 * int(found[1]) + int(found[2])}.{found[3]}"
        elif block in groups and (found := re.match(r"\d+\.conv\.(\d+)\.(.+)", name)):
            name = f"{block}.conv.{2 * groups[block] + int(found[1])}.{found[2]}"
        renamed[name] = value
    return renamed


def _without_classifier(state: dict[str, Tensor], part: nn.Module) -> dict[str, Tensor]:
    """Of a file of Inception-ResNet-v2, with the names of the public port (conv2d_1a.conv.weight ...), which are the
    network's own. Its last layer, which is not used, stays as it is."""
    own = {key: value for key, value in part.state_dict().items() if key.startswith("last_linear.")}
    return {key: value for key, value in state.items() if not key.startswith("last_linear.")} | own


# The classifiers at the ends of both files are not part of a deblurring network. Both were trained on images of another
# scale than the network's [-1, 1] (torchvision: each channel less its mean, divided by its deviation), as the authors'
# start was.
_MOBILENET = Backbone(part="fpn.features", what="the backbone", convert=_mobilenet_names)
_INCEPTION = Backbone(part="fpn.inception", what="the backbone", convert=_without_classifier)


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
    adapter=StillWithStatistics,
    frames=1,
    multiple_of=32,
    padding=_one_block_more,
    smallest_px=4 * PADDING_BLOCK,
    value_range=(-1.0, 1.0),
    weights=(
        Weights(file="fpn_inception.h5", source="github.com/VITA-Group/DeblurGANv2 (README)", licence="BSD-style"),
    ),
    recipe="deblurgan-v2",
    training=TrainingForm(residual=("final",)),
    backbone=_INCEPTION,
    source=SOURCE,
    published="DeblurGAN-v2 Inception-ResNet-v2",
    parity=("deblurganv2_inception",),
    switches=("train-mode", "truncate", "self-ensemble", "half"),
)
DEBLURGAN_V2_INCEPTION_SIMPLE = replace(
    DEBLURGAN_V2_INCEPTION,
    name="deblurgan-v2-inception-simple",
    build=_build_inception_simple,
    weights=(),
    source=SOURCE + " (fpn_inception_simple, a variant in the repository only)",
    published="",
    parity=("fpn_inception_simple",),
)
DEBLURGAN_V2_MOBILENET = replace(
    DEBLURGAN_V2_INCEPTION,
    name="deblurgan-v2-mobilenet",
    build=_build_mobilenet,
    smallest_px=PADDING_BLOCK,
    weights=(
        Weights(file="fpn_mobilenet.h5", source="github.com/VITA-Group/DeblurGANv2 (README)", licence="BSD-style"),
    ),
    recipe="deblurgan-v2",
    quick_recipe="charbonnier",
    backbone=_MOBILENET,
    published="DeblurGAN-v2 MobileNet",
    parity=("deblurganv2_mobilenet",),
).with_tiny("deblurgan-v2-mobilenet-test", _build_test)
DEBLURGAN_V2_MOBILENET_DSC = replace(
    DEBLURGAN_V2_MOBILENET,
    name="deblurgan-v2-mobilenet-dsc",
    build=_build_mobilenet_dsc,
    weights=(),
    # Its k1 part alone: a product of two zeros has no gradient.
    training=TrainingForm(residual=("final.pointwise",)),
    source=SOURCE + " (the authors published no definition: docs/decisions/006-mobilenet-dsc.md)",
    published="DeblurGAN-v2 MobileNet-DSC",
    parity=(),
).with_tiny("deblurgan-v2-mobilenet-dsc-test", _build_dsc_test)
