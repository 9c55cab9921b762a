"""The feature pyramids of DeblurGAN-v2 on classification backbones, and the units that they share with the decoder.

Source: Kupyn et al., "DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better", ICCV 2019, arXiv:1908.03826,
section 3.1. Layer names follow the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from models.nets.inception_resnet_v2 import InceptionResNetV2
from models.nets.mobilenet_v2 import mobilenet_v2_features

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
