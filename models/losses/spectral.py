"""Losses on the Fourier transform."""

from __future__ import annotations

import torch
from torch import Tensor


def mimo_frequency(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute difference of real and imaginary parts of the two-dimensional Fourier transforms (not normalised).

    Shape: two tensors [B, C, H, W] -> scalar. MIMO-UNet sums it over three scales and weighs the sum by 0.1.
    Source: Cho et al., ICCV 2021, equation 7. The mean runs over both parts, as in the authors' program.
    """
    return torch.view_as_real(torch.fft.fft2(restored - sharp)).abs().mean()
