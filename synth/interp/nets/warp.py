"""Moving a picture along a flow, as the flow networks do it: bilinear, the edge goes on beyond the border."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def warp(image: Tensor, flow_px: Tensor) -> Tensor:
    """Values of `image` at every pixel's place plus its flow.

    Shape: [B, C, H, W], flow [B, 2, H, W] (x right, y down) -> [B, C, H, W]. Units: px.
    """
    height, width = image.shape[-2:]
    # grid_sample with align_corners wants -1 and 1 at the centres of the outermost pixels.
    columns = torch.linspace(-1.0, 1.0, width, device=image.device).view(1, 1, width)
    rows = torch.linspace(-1.0, 1.0, height, device=image.device).view(1, height, 1)
    x = columns + flow_px[:, 0] / ((width - 1) / 2)
    y = rows + flow_px[:, 1] / ((height - 1) / 2)
    grid = torch.stack([x, y], dim=-1)  # [B, H, W, 2]
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def resize(image: Tensor, factor: float) -> Tensor:
    """Bilinear resizing by a factor, pixel centres at halves. Shape: [B, C, H, W] -> [B, C, factor H, factor W]."""
    if factor == 1:
        return image
    return functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
