"""Inception-ResNet-v2 with the layer names of the public port that DeblurGAN-v2's checkpoints come from.

Source: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", AAAI 2017,
arXiv:1602.07261.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 1000


class Unit(nn.Sequential):
    """Convolution without bias, batch norm, ReLU. Padding: one number, or (rows, columns) as kernel and stride."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.relu = nn.ReLU(inplace=True)


class Branches(nn.Module):
    """Branches side by side, joined along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class ResidualBranches(nn.Module):
    """Branches joined, brought back to the width by a k1 convolution, times `scale`, added; ReLU but for the last."""

    def __init__(self, channels: int, joined: int, scale: float, *branches: nn.Module, relu: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.count = len(branches)
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.relu = nn.ReLU(inplace=True) if relu else None

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self.get_submodule(f"branch{index}")(x) for index in range(self.count)], dim=1)
        x = torch.add(x, self.conv2d(joined), alpha=self.scale)
        return x if self.relu is None else self.relu(x)


def _mixed_5b() -> Branches:
    return Branches(
        Unit(192, 96, 1),
        nn.Sequential(Unit(192, 48, 1), Unit(48, 64, 5, padding=2)),
        nn.Sequential(Unit(192, 64, 1), Unit(64, 96, 3, padding=1), Unit(96, 96, 3, padding=1)),
        nn.Sequential(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False), Unit(192, 64, 1)),
    )


def _block35() -> ResidualBranches:
    return ResidualBranches(
        320,
        128,
        0.17,
        Unit(320, 32, 1),
        nn.Sequential(Unit(320, 32, 1), Unit(32, 32, 3, padding=1)),
        nn.Sequential(Unit(320, 32, 1), Unit(32, 48, 3, padding=1), Unit(48, 64, 3, padding=1)),
    )


def _mixed_6a() -> Branches:
    return Branches(
        Unit(320, 384, 3, stride=2),
        nn.Sequential(Unit(320, 256, 1), Unit(256, 256, 3, padding=1), Unit(256, 384, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


def _block17() -> ResidualBranches:
    return ResidualBranches(
        1088,
        384,
        0.10,
        Unit(1088, 192, 1),
        nn.Sequential(
            Unit(1088, 128, 1), Unit(128, 160, (1, 7), padding=(0, 3)), Unit(160, 192, (7, 1), padding=(3, 0))
        ),
    )


def _mixed_7a() -> Branches:
    return Branches(
        nn.Sequential(Unit(1088, 256, 1), Unit(256, 384, 3, stride=2)),
        nn.Sequential(Unit(1088, 256, 1), Unit(256, 288, 3, stride=2)),
        nn.Sequential(Unit(1088, 256, 1), Unit(256, 288, 3, padding=1), Unit(288, 320, 3, stride=2)),
        nn.MaxPool2d(3, stride=2),
    )


def _block8(scale: float, relu: bool) -> ResidualBranches:
    return ResidualBranches(
        2080,
        448,
        scale,
        Unit(2080, 192, 1),
        nn.Sequential(
            Unit(2080, 192, 1), Unit(192, 224, (1, 3), padding=(0, 1)), Unit(224, 256, (3, 1), padding=(1, 0))
        ),
        relu=relu,
    )


class InceptionResNetV2(nn.Module):
    """The layers in the order of a checkpoint. As a backbone, nothing after mixed_7a is run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = Unit(3, 32, 3, stride=2)
        self.conv2d_2a = Unit(32, 32, 3)
        self.conv2d_2b = Unit(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = Unit(64, 80, 1)
        self.conv2d_4a = Unit(80, 192, 3)
        self.maxpool_5a = nn.MaxPool2d(3, stride=2)
        self.mixed_5b = _mixed_5b()
        self.repeat = nn.Sequential(*(_block35() for _ in range(10)))
        self.mixed_6a = _mixed_6a()
        self.repeat_1 = nn.Sequential(*(_block17() for _ in range(20)))
        self.mixed_7a = _mixed_7a()
        self.repeat_2 = nn.Sequential(*(_block8(0.20, relu=True) for _ in range(9)))
        self.block8 = _block8(1.0, relu=False)
        self.conv2d_7b = Unit(2080, 1536, 1)
        self.last_linear = nn.Linear(1536, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Scores of the classes. Shape: [B, 3, H, W] -> [B, 1000]."""
        x = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(image))))
        x = self.maxpool_5a(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.mixed_6a(self.repeat(self.mixed_5b(x)))
        x = self.mixed_7a(self.repeat_1(x))
        x = self.conv2d_7b(self.block8(self.repeat_2(x)))
        return self.last_linear(x.mean(dim=(2, 3)))
