"""The virtual frames of one live exposure (synth/live_exposures.py) in torch, all of them at once: what a GPU runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

INSIDE_PX = 1.001  # a layer's last position, from its far border


@torch.inference_mode()
def integrated(
    layers: Sequence[tuple[np.ndarray, tuple[float, float]]],
    inverses: np.ndarray,
    way_px: np.ndarray,
    depth: np.ndarray,
    weights: np.ndarray,
    side: int,
    device: str,
) -> np.ndarray:
    """The weighted sum of the frames that layers make on their ways.

    Shape: layers: pixels [h, w, 4] float32 at twice the resolution, colour times matte and matte, and the texture px of
    sample px 0, the layer behind first; inverses [layers, R, N, 9], R is 1 or the side; way_px [N, 2]; depth [1, 1] if
    it is flat, or [side, side]; weights [N] -> [side, side, 3] float32.
    """
    frames = torch.zeros(0)
    for number, ((pixels, corner), matrices) in enumerate(zip(layers, inverses, strict=True)):
        places = _places(torch.from_numpy(matrices).to(device), side)  # [N, side, side, 2]
        if number == 0 and depth.shape[0] > 1:
            deep, way = torch.from_numpy(depth).to(device), torch.from_numpy(way_px).to(device)
            places = places + deep[:, :, None] * way[:, None, None]
        places = places * 2 + places.new_tensor(corner)
        height, width = pixels.shape[:2]
        last = places.new_tensor([width, height]) - INSIDE_PX
        kept = places.clamp(min=torch.zeros_like(last), max=last)
        seen = _read(torch.from_numpy(pixels).to(device), kept)  # [N, side, side, 4]
        if number == 0:
            frames = seen[..., :3]
            continue
        inside = (places == kept).all(dim=-1, keepdim=True)
        frames = torch.where(inside, frames * (1 - seen[..., 3:]) + seen[..., :3], frames)
    return torch.tensordot(torch.from_numpy(weights).to(device), frames, dims=1).cpu().numpy()


def _places(matrices: Tensor, side: int) -> Tensor:
    """Where the pixels of a sample look at a layer, x and y in sample px. Shape: [R, N, 9] -> [N, side, side, 2]."""
    axis = torch.arange(side, dtype=matrices.dtype, device=matrices.device)
    ones = torch.ones(side, side, dtype=matrices.dtype, device=matrices.device)
    here = torch.stack([axis * ones, axis[:, None] * ones, ones], dim=-1)  # [row, column, 3]
    seen = torch.einsum("rnij,rcj->nrci", matrices.unflatten(-1, (3, 3)).expand(side, -1, -1, -1), here)
    return seen[..., :2] / seen[..., 2:]


def _read(pixels: Tensor, places: Tensor) -> Tensor:
    """Bilinear. Shape: [h, w, C], [N, side, side, 2] inside of it -> [N, side, side, C]."""
    count, side = places.shape[:2]
    height, width = pixels.shape[:2]
    grid = places * (2 / (places.new_tensor([width, height]) - 1)) - 1
    image = pixels.permute(2, 0, 1)[None]
    found = functional.grid_sample(image, grid.reshape(1, count * side, side, 2), mode="bilinear", align_corners=True)
    return found[0].permute(1, 2, 0).reshape(count, side, side, -1)
