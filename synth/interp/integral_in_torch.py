"""The gap integral of `synth.interp.integral` in torch, for many gaps at once: what a GPU runs.

Same paths, same numbers of samples, same kernels (torch's bicubic one has a = -0.75, too; positions are rounded to 1/64
px as there), so that the results agree to float noise. All pixels of a batch take as many steps as the fastest one
needs; those that need fewer ignore the rest, which costs a GPU little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.camera_response import CameraResponse
from synth.interp.integral import SUBPIXELS, GapPath, Sampling

if TYPE_CHECKING:
    import torch


@torch.inference_mode()
def gap_totals(
    firsts: Sequence[np.ndarray],
    seconds: Sequence[np.ndarray],
    paths: Sequence[GapPath],
    factor: int,
    sampling: Sampling,
    response: CameraResponse,
    device: torch.device,
) -> list[np.ndarray]:
    """`gap_total` of several gaps of one size. Shape: uint8 [H, W, 3] each -> float32 [H, W, 3] each, linear light."""
    table = torch.from_numpy(response.table_lin.copy()).to(device)
    first, second = (_linear(frames, table, device) for frames in (firsts, seconds))  # [B, 3, H, W]
    motion = _stacked([path.motion_px for path in paths], device)  # [B, 2, H, W]
    still = np.zeros_like(paths[0].motion_px)
    bend = _stacked([still if path.bend_px is None else path.bend_px for path in paths], device)
    length = torch.sqrt(motion.square().sum(dim=1) + bend.square().sum(dim=1) / 12)
    steps = torch.ceil(length / sampling.spacing_px).clamp(1, factor)[:, None]  # [B, 1, H, W]
    height, width = motion.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    here = torch.stack([columns, rows])[None].to(device, torch.float32)  # [1, 2, H, W], x and y
    total = (first + second) * 0.5
    for index in range(1, int(steps.max())):
        phase = index / steps
        places = here - phase * motion - phase * (phase - 1) * 0.5 * bend
        late = phase
        if sampling.nearest:
            late = ((2 * index - steps).sign() + 1) / 2
        moved = (1 - late) * _sampled(first, places, sampling.cubic)
        moved += late * _sampled(second, places + motion, sampling.cubic)
        total += moved * (steps > index)
    total *= factor / steps
    return list(total.permute(0, 2, 3, 1).cpu().numpy())  # [B] of [H, W, 3]


def _linear(frames: Sequence[np.ndarray], table: Tensor, device: torch.device) -> Tensor:
    pixels = torch.from_numpy(np.stack(frames)).to(device)  # uint8 over the bus: a quarter of the floats
    return table[pixels.long()].permute(0, 3, 1, 2).contiguous()  # [B, 3, H, W]


def _stacked(fields: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(fields)).to(device).permute(0, 3, 1, 2)  # [B, 2, H, W]


def _sampled(image: Tensor, places: Tensor, cubic: bool) -> Tensor:
    """image [B, C, H, W] at places [B, 2, H, W] (x, y in px), which are first brought inside the picture."""
    height, width = image.shape[-2:]
    corner = torch.tensor([width - 1, height - 1], device=image.device, dtype=torch.float32)[None, :, None, None]
    inside = torch.minimum(places.clamp(min=0), corner)
    if cubic:
        inside = torch.floor(inside * SUBPIXELS + 0.5) / SUBPIXELS
    grid = (inside / corner.clamp(min=1) * 2 - 1).permute(0, 2, 3, 1)  # [B, H, W, 2]
    mode = "bicubic" if cubic else "bilinear"
    return functional.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)
