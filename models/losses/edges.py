"""Losses on edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.losses.pixel import charbonnier

SMOOTHING = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt and Adelson's kernel of the Laplacian pyramid, a = 0.4


def edge(restored: Tensor, sharp: Tensor) -> Tensor:
    """Charbonnier loss between the finest levels of the images' Laplacian pyramids.

    Shape: two tensors [B, C, H, W] -> scalar. A pyramid's level is linear, so that it is taken once, of the difference.
    Source: Zamir et al., MPRNet, CVPR 2021, arXiv:2102.02808, equation 3, and Stripformer's loss; the level as in both
    authors' programs: the image minus its reduced and enlarged copy, borders repeated.
    """
    level = laplacian(restored - sharp)
    return charbonnier(level, torch.zeros_like(level))


def laplacian(images: Tensor) -> Tensor:
    """The images minus what is left of them when every second row and column is kept. Shape: [B, C, H, W] -> same."""
    kept = torch.zeros_like(images)
    kept[..., ::2, ::2] = 4 * _smoothed(images)[..., ::2, ::2]
    return images - _smoothed(kept)


def _smoothed(images: Tensor) -> Tensor:
    taps = images.new_tensor(SMOOTHING)
    channels = images.shape[1]
    padded = functional.pad(images, (2, 2, 2, 2), mode="replicate")
    rows = functional.conv2d(padded, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    return functional.conv2d(rows, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
