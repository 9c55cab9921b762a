"""Where on its path a place was at the middle of the exposure: told from the profiles of blurred edges.

A blurred image is centred at the mean of the path, its sharp target at the middle of the exposure. Where the camera
speeds up or turns, the two are apart. A power spectrum has no sign and cannot show it, but an edge can: its profile is
the integral of the time that is spent at every position, and is not symmetric where the path is not. So the image is
read along lines through every place, along the motion and across it; a small network sees each line from both ends,
and what it says changes its sign with the end. Means over a neighbourhood, weighted by what the line shows, tell the
offset. Derivation: docs/decisions/019-motion-unet.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

READ = 25  # places along a line
FAR = 1.5  # lengths of the motion on either side that a line reaches
FEATURES = 16
HIDDEN = 64
SEEN = 32  # numbers that are known of a line: READ, four more, zeros
BLOCK_PX = 4  # side of the blocks whose motion is told
CELL_PX = 16  # side of the cells whose offset is told
WINDOWS = (9, 29)  # cells of the neighbourhoods
LEAST_CONTRAST = 4e-3
TENTHS = 10.0  # offsets are counted in tenths of the length of the motion


class Axes(NamedTuple):
    """A motion. Shape: each [B, h, w]. length, width: px along its larger axis and across it, of boxes of the told
    variances; right, down: the unit vector along it, which points to the right."""

    length: Tensor
    width: Tensor
    right: Tensor
    down: Tensor


class PathOffset(nn.Module):
    """The mean of the positions that a place takes during the exposure, less its position at the middle of it."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleList([_layers(SEEN, HIDDEN, HIDDEN, 2 * FEATURES) for _ in range(2)])
        odd, even = FEATURES * len(WINDOWS) + 1, FEATURES * len(WINDOWS) + 2
        self.heads = nn.ModuleList([_layers(odd + even, HIDDEN, 1) for _ in range(2)])
        self.register_buffer("places", torch.linspace(-FAR, FAR, READ), persistent=False)

    def forward(self, image: Tensor, axes: Axes, coarser: Tensor | None, stride: int) -> Tensor:
        """The offset of every cell in px along x and y. No gradient goes to the image and to the axes.

        Shape: image [B, 3, H, W], sides multiples of 16 px; axes [B, H / 4, W / 4]; coarser: what the coarser scale
        tells, in px of this one -> [B, 2, H / 16, W / 16]. stride: px between lines, 2 or 4.
        """
        grey = image.mean(1)
        here = Axes(*(_every(part.detach(), stride) for part in axes))
        cell = CELL_PX // stride
        local = Axes(*(part[:, cell // 2 :: cell, cell // 2 :: cell] for part in here))
        logs = torch.stack([local.length.log() / 3, local.width.log() / 3], dim=-1)
        before = grey.new_zeros(len(grey), 2, *local.length.shape[-2:]) if coarser is None else coarser
        found = grey.new_zeros(before.shape)
        ways = ((here.length, local.length, 1), (here.width, local.width, 0))
        for layers, head, (length, local_length, along) in zip(self.features, self.heads, ways, strict=True):
            right, down = (here.right, here.down) if along else (-here.down, here.right)
            local_right, local_down = (local.right, local.down) if along else (-local.down, local.right)
            with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
                lines, more = self._lines(grey, length, right, down, here, stride)
            one = layers(torch.cat([lines, more], dim=-1))
            other = layers(torch.cat([lines.flip(-1), more], dim=-1))
            with torch.autocast(image.device.type, enabled=False):
                ends = (one - other)[..., :FEATURES].to(grey.dtype)
                both = (one + other)[..., FEATURES:].to(grey.dtype)
                says = torch.tanh(ends).permute(0, 3, 1, 2)
                weight = functional.softplus(both).permute(0, 3, 1, 2)
                said = says * weight
                sums = [functional.avg_pool2d(part, cell) for part in (said * right[:, None], said * down[:, None])]
                weights = functional.avg_pool2d(weight, cell)
                coarse = (before[:, 0] * local_right + before[:, 1] * local_down) / local_length * TENTHS
                odd = [coarse[:, None]]
                even = [logs.permute(0, 3, 1, 2)]
                for window in WINDOWS:
                    to_right, to_down, total = (_around(part, window) for part in (*sums, weights))
                    odd.append((to_right * local_right[:, None] + to_down * local_down[:, None]) / (total + 1e-3))
                    even.append(0.2 * (total + 1e-4).log())
                changing, staying = (torch.cat(part, dim=1).permute(0, 2, 3, 1) for part in (odd, even))
            told = head(torch.cat([changing, staying], dim=-1)) - head(torch.cat([-changing, staying], dim=-1))
            px = told[..., 0].to(grey.dtype) * local_length / TENTHS
            found = found + torch.stack([px * local_right, px * local_down], dim=1)
        return found

    def _lines(
        self, grey: Tensor, length: Tensor, right: Tensor, down: Tensor, axes: Axes, stride: int
    ) -> tuple[Tensor, Tensor]:
        """Lines through every place, without their mean and of contrast 1; contrast and lengths.

        Shape: [B, H, W], four of [B, h, w] -> [B, h, w, READ], [B, h, w, SEEN - READ].
        """
        batch, height, width = grey.shape
        rows, columns = length.shape[-2:]
        y, x = ((torch.arange(count, device=grey.device) + 0.5) * stride for count in (rows, columns))
        away = length[..., None] * self.places.to(length.dtype)
        x = (x[:, None] + away * right[..., None]) * (2 / width) - 1
        y = (y[:, None, None] + away * down[..., None]) * (2 / height) - 1
        grid = torch.stack([x, y], dim=-1).view(batch, rows, columns * READ, 2)
        lines = functional.grid_sample(grey[:, None], grid, padding_mode="border", align_corners=False)
        lines = lines.view(batch, rows, columns, READ)
        lines = lines - lines.mean(dim=-1, keepdim=True)
        contrast = lines.square().mean(dim=-1, keepdim=True).sqrt() + LEAST_CONTRAST
        more = torch.stack([contrast[..., 0], length, axes.width, axes.length], dim=-1).log() / 3
        return lines / contrast, functional.pad(more, (0, SEEN - READ - 4))


def _every(part: Tensor, stride: int) -> Tensor:
    """What blocks know, for places `stride` px apart. Shape: [B, h, w] -> [B, h * 4 / stride, w * 4 / stride]."""
    times = BLOCK_PX // stride
    return part.repeat_interleave(times, dim=-1).repeat_interleave(times, dim=-2) if times > 1 else part


def _around(part: Tensor, cells: int) -> Tensor:
    return functional.avg_pool2d(part, cells, stride=1, padding=cells // 2, count_include_pad=False)


def _layers(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for seen, found in pairwise(widths):
        layers += [nn.Linear(seen, found), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
