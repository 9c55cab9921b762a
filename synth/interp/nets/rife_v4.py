"""RIFE 4.25 and 4.26: IFNet with a feature encoder, five blocks and a time of choice.

Source: Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022, and the
authors' later releases (github.com/hzwer/Practical-RIFE); layer names follow their 4.25 checkpoint: it loads strictly.
Earlier 4.x files hold other layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synth.interp.nets.warp import resize, warp

CHANNELS = (192, 128, 96, 64, 32)
SCALES = (16, 8, 4, 2, 1)
MULTIPLE = 64  # sides of the input: the coarsest block sees it at 1 / 16 and halves it twice inside
_ENCODED = 4  # channels of the encoder's features
_CARRIED = 8  # channels that one block hands to the next
_OUTPUTS = 4 + 1 + _CARRIED  # flow, mask, carried


class Encoder(nn.Module):
    """Features of one frame at its own size. Shape: [B, 3, H, W] -> [B, 4, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn0 = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.cnn1 = nn.Conv2d(16, 16, 3, padding=1)
        self.cnn2 = nn.Conv2d(16, 16, 3, padding=1)
        self.cnn3 = nn.ConvTranspose2d(16, _ENCODED, 4, stride=2, padding=1)
        self.relu = nn.LeakyReLU(0.2)

    def forward(self, frame: Tensor) -> Tensor:
        features = self.relu(self.cnn0(frame))  # [B, 16, H / 2, W / 2]
        features = self.relu(self.cnn1(features))
        return self.cnn3(self.relu(self.cnn2(features)))


class ScaledResidual(nn.Module):
    """A convolution whose answer is scaled per channel (beta) before the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.relu = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x) * self.beta + x)


class FlowBlock(nn.Module):
    """One level: correction of the flows, new mask and new carried features, at 1 / scale of the input's size."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv0 = nn.Sequential(_unit(inputs, half), _unit(half, channels))
        self.convblock = nn.Sequential(*[ScaledResidual(channels) for _ in range(8)])
        self.lastconv = nn.Sequential(
            nn.ConvTranspose2d(channels, 4 * _OUTPUTS, 4, stride=2, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, pictures: Tensor, flow_px: Tensor | None, scale: float) -> tuple[Tensor, Tensor, Tensor]:
        """Shape: [B, C, H, W], [B, 4, H, W] -> flow correction [B, 4, H, W] (px), mask [B, 1, H, W], [B, 8, H, W]."""
        small = resize(pictures, 1 / scale)
        if flow_px is not None:
            small = torch.cat([small, resize(flow_px, 1 / scale) / scale], dim=1)
        features = self.convblock(self.conv0(small))  # [B, channels, H / 4 scale, W / 4 scale]
        answer = resize(self.lastconv(features), scale)  # [B, 13, H, W]
        return answer[:, :4] * scale, answer[:, 4:5], answer[:, 5:]


class IFNetV4(nn.Module):
    """Flows from a time inside a gap to both of its frames, and the frame at that time."""

    def __init__(self) -> None:
        super().__init__()
        frames = 2 * (3 + _ENCODED) + 1  # two frames with their features, and the time
        self.block0 = FlowBlock(frames, CHANNELS[0])
        self.block1 = FlowBlock(frames + 1 + _CARRIED + 4, CHANNELS[1])  # mask, carried features, flow
        self.block2 = FlowBlock(frames + 1 + _CARRIED + 4, CHANNELS[2])
        self.block3 = FlowBlock(frames + 1 + _CARRIED + 4, CHANNELS[3])
        self.block4 = FlowBlock(frames + 1 + _CARRIED + 4, CHANNELS[4])
        self.encode = Encoder()

    def forward(
        self, first: Tensor, second: Tensor, phase: float = 0.5, scales: Sequence[float] = SCALES
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gap at a phase. scales: SCALES over the authors' setting `scale`, below 1 for large frames.

        Shape: two [B, 3, H, W], H and W multiples of 64 -> flow [B, 4, H, W] (x, y to the first frame, then to the
        second), mask [B, 1, H, W] before the sigmoid (the first frame's share), frame [B, 3, H, W]. Range: encoded
        RGB [0, 1], phase [0, 1]. Units: px.
        """
        first_features, second_features = self.encode(first), self.encode(second)
        time = first.new_full((first.shape[0], 1, *first.shape[2:]), phase)
        pictures = torch.cat([first, second, first_features, second_features, time], dim=1)
        flow_px, mask, carried = self.block0(pictures, None, scales[0])
        for block, scale in zip((self.block1, self.block2, self.block3, self.block4), scales[1:], strict=True):
            to_first, to_second = flow_px[:, :2], flow_px[:, 2:]
            moved = [warp(first, to_first), warp(second, to_second)]
            moved += [warp(first_features, to_first), warp(second_features, to_second)]
            correction, mask, carried = block(torch.cat([*moved, time, mask, carried], dim=1), flow_px, scale)
            flow_px = flow_px + correction
        share = torch.sigmoid(mask)
        frame = warp(first, flow_px[:, :2]) * share + warp(second, flow_px[:, 2:]) * (1 - share)
        return flow_px, mask, frame


def _unit(inputs: int, outputs: int) -> nn.Sequential:
    """Half as large: [B, inputs, H, W] -> [B, outputs, H / 2, W / 2]."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.LeakyReLU(0.2))
