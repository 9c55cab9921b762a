"""Layer normalisation over the channels of every pixel."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Subtract the mean of a pixel's channels, divide by their (biased) deviation, scale and shift per channel.

    Shape: [B, C, H, W]. Needs no copy where the features are laid out channels-last.
    """
    last = x.permute(0, 2, 3, 1)  # [B, H, W, C]
    return functional.layer_norm(last, weight.shape, weight, bias, eps).permute(0, 3, 1, 2)
