"""The feature extractor of MobileNetV2 with the layer names of the early public implementation.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381, table 2.
"""

from __future__ import annotations

from torch import Tensor, nn

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
