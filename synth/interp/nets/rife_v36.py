"""RIFE v3.6: the intermediate flow network IFNet, coarse to fine in three blocks.

Source: Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022; layer names
follow the authors' v3.6 checkpoint (github.com/hzwer/ECCV2022-RIFE, train_log of the HD model): it loads strictly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synth.interp.nets.warp import resize, warp

CHANNELS = 90
SCALES = (4, 2, 1)
MULTIPLE = 32  # sides of the input: the coarsest block sees it at 1 / 4 and halves it three times inside


class FlowBlock(nn.Module):
    """One level: correction of the flows and of the blending mask, at 1 / scale of the input's size."""

    def __init__(self, inputs: int, channels: int = CHANNELS) -> None:
        super().__init__()
        half = channels // 2
        self.conv0 = nn.Sequential(_unit(inputs, half, stride=2), _unit(half, channels, stride=2))
        self.convblock0 = nn.Sequential(_unit(channels, channels), _unit(channels, channels))
        self.convblock1 = nn.Sequential(_unit(channels, channels), _unit(channels, channels))
        self.convblock2 = nn.Sequential(_unit(channels, channels), _unit(channels, channels))
        self.convblock3 = nn.Sequential(_unit(channels, channels), _unit(channels, channels))
        self.conv1 = _head(channels, half, 4)
        self.conv2 = _head(channels, half, 1)

    def forward(self, pictures: Tensor, flow_px: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Shape: [B, C, H, W], [B, 4, H, W] -> flow correction [B, 4, H, W] (px), mask correction [B, 1, H, W]."""
        features = self.conv0(torch.cat([resize(pictures, 1 / scale), resize(flow_px, 1 / scale) / scale], dim=1))
        for block in (self.convblock0, self.convblock1, self.convblock2, self.convblock3):
            features = block(features) + features  # [B, 90, H / 4 scale, W / 4 scale]
        return resize(self.conv1(features), scale) * scale, resize(self.conv2(features), scale)


class IFNetV36(nn.Module):
    """Flows from the middle of a gap to both of its frames, and the middle frame.

    Every block looks at the gap in both directions and the answers are averaged, so that time reversal only swaps
    the flows. `block_tea` taught the others in training; it is there because the checkpoint holds it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.block0 = FlowBlock(11)  # two warped frames, mask, flow
        self.block1 = FlowBlock(11)
        self.block2 = FlowBlock(11)
        self.block_tea = FlowBlock(14)

    def forward(self, first: Tensor, second: Tensor, scales: Sequence[float] = SCALES) -> tuple[Tensor, Tensor, Tensor]:
        """The middle of the gap. scales: SCALES over the authors' setting `scale`, below 1 for large frames.

        Shape: two [B, 3, H, W], H and W multiples of 32 -> flow [B, 4, H, W] (x, y to the first frame, then to the
        second), mask [B, 1, H, W] (the first frame's share), frame [B, 3, H, W]. Range: encoded RGB [0, 1], mask
        (0, 1). Units: px.
        """
        flow_px = first.new_zeros(first.shape[0], 4, *first.shape[2:])
        mask = first.new_zeros(first.shape[0], 1, *first.shape[2:])
        moved_first, moved_second = first, second
        for block, scale in zip((self.block0, self.block1, self.block2), scales, strict=True):
            forth, mask_forth = block(torch.cat([moved_first, moved_second, mask], dim=1), flow_px, scale)
            back, mask_back = block(torch.cat([moved_second, moved_first, -mask], dim=1), _swapped(flow_px), scale)
            flow_px = flow_px + (forth + _swapped(back)) / 2
            mask = mask + (mask_forth - mask_back) / 2
            moved_first, moved_second = warp(first, flow_px[:, :2]), warp(second, flow_px[:, 2:])
        share = torch.sigmoid(mask)
        return flow_px, share, moved_first * share + moved_second * (1 - share)


def _swapped(flow_px: Tensor) -> Tensor:
    """The two flows of a gap whose frames change places."""
    return torch.cat([flow_px[:, 2:], flow_px[:, :2]], dim=1)


def _unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.PReLU(outputs))


def _head(channels: int, middle: int, outputs: int) -> nn.Sequential:
    """Four times as large: [B, channels, H, W] -> [B, outputs, 4 H, 4 W]."""
    return nn.Sequential(
        nn.ConvTranspose2d(channels, middle, 4, stride=2, padding=1),
        nn.PReLU(middle),
        nn.ConvTranspose2d(middle, outputs, 4, stride=2, padding=1),
    )
