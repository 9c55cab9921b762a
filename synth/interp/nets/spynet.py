"""SPyNet: optical flow over a spatial pyramid, as the video restoration networks carry it.

Source: Ranjan and Black, "Optical Flow Estimation using a Spatial Pyramid Network", CVPR 2017; layer names follow
BasicSR (github.com/XPixelGroup/BasicSR), whose checkpoints of BasicVSR and others hold one under `spynet.`.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from synth.interp.nets.warp import warp

LEVELS = 6
SMALLEST_SIDE_PX = 33  # below it the coarsest level would be empty


class PyramidLevel(nn.Module):
    """Correction of the flow at one size. Shape: [B, 8, H, W] (frame, moved other frame, flow) -> [B, 2, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 32, 64, 32, 16, 2)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 7, padding=3), nn.ReLU()]
        self.basic_module = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.basic_module(x)


class SpyNet(nn.Module):
    """Flow between two frames."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.basic_module = nn.ModuleList([PyramidLevel() for _ in range(LEVELS)])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Where each pixel of the first frame is in the second.

        Shape: two [B, 3, H, W], sides of 33 or more -> [B, 2, H, W] (x right, y down). Range: encoded RGB [0, 1].
        Units: px. Errors: ValueError for smaller sides.
        """
        height, width = first.shape[-2:]
        if min(height, width) < SMALLEST_SIDE_PX:
            raise ValueError(f"SPyNet takes sides of at least {SMALLEST_SIDE_PX} px, got {width}x{height}")
        whole = (-(-height // 32) * 32, -(-width // 32) * 32)
        pyramid = [tuple((_resized(frame, whole) - self.mean) / self.std for frame in (first, second))]
        for _ in range(LEVELS - 1):
            pyramid.insert(0, tuple(functional.avg_pool2d(frame, 2, stride=2) for frame in pyramid[0]))
        coarsest = pyramid[0][0]
        flow_px = coarsest.new_zeros(coarsest.shape[0], 2, coarsest.shape[2] // 2, coarsest.shape[3] // 2)
        for (one, other), level in zip(pyramid, self.basic_module, strict=True):
            doubled = functional.interpolate(flow_px, scale_factor=2, mode="bilinear", align_corners=True) * 2
            missing = (one.shape[3] - doubled.shape[3], one.shape[2] - doubled.shape[2])
            doubled = functional.pad(doubled, (0, missing[0], 0, missing[1]), mode="replicate")
            flow_px = level(torch.cat([one, warp(other, doubled), doubled], dim=1)) + doubled
        scale = flow_px.new_tensor([width / whole[1], height / whole[0]]).view(1, 2, 1, 1)
        return _resized(flow_px, (height, width)) * scale


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(image.shape[-2:]) == size:
        return image
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
