"""Means over windows in place of means over the whole image: the test-time local converter (TLC).

A network that was trained on crops sees means over a crop; on a whole frame a global mean has another distribution.
TLC takes the mean over a window of 1.5 times the training crop around every pixel instead.

Source: Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022,
arXiv:2112.04491, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def local_mean(x: Tensor, height: int, width: int) -> Tensor:
    """Mean over the window of height x width around every pixel.

    Windows lie inside the image; where one would leave it, the nearest that does not counts (replicate padding, the
    smaller half in front). A window that covers the whole image gives the global mean, [B, C, 1, 1].

    Shape: [B, C, H, W] -> [B, C, H, W] or [B, C, 1, 1]. Differentiable. The sums run along one axis after the other
    in float64, so that a large image loses no digits.
    """
    rows, columns = x.shape[-2:]
    if height >= rows and width >= columns:
        return x.mean(dim=(2, 3), keepdim=True)
    height, width = min(height, rows), min(width, columns)
    means = _window_sums(_window_sums(x.double(), 2, height), 3, width) / (height * width)  # [B, C, H-h+1, W-w+1]
    above, left = (height - 1) // 2, (width - 1) // 2
    return functional.pad(means.to(x.dtype), (left, width - 1 - left, above, height - 1 - above), mode="replicate")


def _window_sums(x: Tensor, axis: int, length: int) -> Tensor:
    """Sums of `length` neighbours along an axis, as differences of running sums."""
    running = x.cumsum(dim=axis)
    count = x.shape[axis]
    first = running.narrow(axis, length - 1, 1)
    others = running.narrow(axis, length, count - length) - running.narrow(axis, 0, count - length)
    return torch.cat([first, others], dim=axis)


class LocalMean(nn.Module):
    """Takes the place of a global average pooling. height, width: the window in pixels of this layer's features."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        if height < 1 or width < 1:
            raise ValueError(f"a window has at least 1 x 1 px at every level of the network, got {height} x {width}")
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return local_mean(x, self.height, self.width)
