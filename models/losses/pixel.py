"""Losses on pixel values."""

from __future__ import annotations

from torch import Tensor


def l1(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute difference. Shape: two tensors of one shape -> scalar.

    Source: the multi-scale content loss of MIMO-UNet (ICCV 2021, equation 6) is its sum over three scales.
    """
    return (restored - sharp).abs().mean()


def charbonnier(restored: Tensor, sharp: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(difference^2 + epsilon^2): an L1 that is smooth at zero. Shape: two tensors of one shape -> scalar.

    Source: Lai et al., LapSRN, CVPR 2017, arXiv:1704.03915, equation 2 (epsilon = 1e-3).
    """
    return ((restored - sharp).square() + epsilon**2).sqrt().mean()


def mse(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean squared difference. Shape: two tensors of one shape -> scalar.

    Source: the content loss of STFAN (Zhou et al., ICCV 2019, arXiv:1904.12257).
    """
    return (restored - sharp).square().mean()
