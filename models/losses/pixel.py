"""Losses on pixel values, on edges and on the Fourier transform."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMOOTHING = (0.05, 0.25, 0.4, 0.25, 0.05)  # Burt and Adelson's kernel of the Laplacian pyramid, a = 0.4


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


def charbonnier_fine(restored: Tensor, sharp: Tensor) -> Tensor:
    """`charbonnier` with epsilon^2 = 1e-12: nearly L1. Shape: two tensors of one shape -> scalar.

    Source: the loss of EDVR's and BasicVSR's authors' programs (BasicSR, losses: eps 1e-12 inside the root).
    """
    return charbonnier(restored, sharp, epsilon=1e-6)


def charbonnier_colour(restored: Tensor, sharp: Tensor, epsilon: float = 1e-3) -> Tensor:
    """`charbonnier` of a pixel as a whole: the square is the mean over its channels.

    Shape: two tensors [B, C, H, W] -> scalar. Source: the loss of ESTRNN's authors' program.
    """
    return ((restored - sharp).square().mean(dim=1) + epsilon**2).sqrt().mean()


def mse(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean squared difference. Shape: two tensors of one shape -> scalar.

    Source: the content loss of STFAN (Zhou et al., ICCV 2019, arXiv:1904.12257).
    """
    return (restored - sharp).square().mean()


def psnr(restored: Tensor, sharp: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Minus the peak signal-to-noise ratio, mean over images: 10 log10(mean squared difference + epsilon).

    Every image counts alike, however strongly it is blurred. Shape: two tensors [B, C, H, W] in [0, 1] -> scalar.
    Units: dB, negative. Source: Chen et al., HINet, CVPRW 2021, arXiv:2105.06086, equation 3; epsilon as in the
    authors' program.
    """
    return 10 * ((restored - sharp).square().mean(dim=(1, 2, 3)) + epsilon).log10().mean()


def psnr_40(restored: Tensor, sharp: Tensor) -> Tensor:
    """`psnr` with epsilon 1e-4: an image that is nearly right already (40 dB and more) counts little.

    Ours. On small crops, many of which are flat, the plain form is led by those where there is nothing to restore.
    """
    return psnr(restored, sharp, epsilon=1e-4)


def mimo_frequency(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute difference of real and imaginary parts of the two-dimensional Fourier transforms (not normalised).

    Shape: two tensors [B, C, H, W] -> scalar. MIMO-UNet sums it over three scales and weighs the sum by 0.1.
    Source: Cho et al., ICCV 2021, equation 7. The mean runs over both parts, as in the authors' program.
    """
    return torch.view_as_real(torch.fft.fft2(restored - sharp)).abs().mean()


def frequency(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean modulus of the difference of the two-dimensional Fourier transforms (not normalised).

    Shape: two tensors [B, C, H, W] -> scalar. Source: the loss of DeepRFT's authors' program. `mimo_frequency` takes
    real and imaginary parts as two numbers.
    """
    return torch.fft.fft2(restored - sharp).abs().mean()


def edge(restored: Tensor, sharp: Tensor) -> Tensor:
    """Charbonnier loss between the finest levels of the images' Laplacian pyramids.

    Shape: two tensors [B, C, H, W] -> scalar. A pyramid's level is linear, so that it is taken once, of the difference.
    Source: Zamir et al., MPRNet, CVPR 2021, arXiv:2102.02808, equation 3, and Stripformer's loss; the level as in both
    authors' programs: the image minus its reduced and enlarged copy, borders repeated.
    """
    level = laplacian(restored - sharp)
    return charbonnier(level, torch.zeros_like(level))


def edge_l1(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute difference of the images' edges: Sobel's horizontal and vertical derivatives, borders repeated.

    Shape: two tensors [B, C, H, W] -> scalar. Units: change per pixel. Source: the high-resolution network's
    description names an "additional absolute error between the edges"; Sobel's kernel over 8 is ours.
    """
    return torch.cat(sobel(restored - sharp)).abs().mean()  # linear: taken once, of the difference


def sobel(images: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives along the rows and along the columns. Shape: [B, C, H, W] -> two of the same."""
    channels = images.shape[1]
    kernel = images.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    across, down = (
        functional.conv2d(padded, taps.expand(channels, 1, 3, 3), groups=channels) for taps in (kernel, kernel.T)
    )
    return across, down


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


LEAST_SPREAD_PX2, LEAST_LENGTH_PX2 = 0.1, 4.0


def motion(told: Tensor, path: Tensor) -> Tensor:
    """How wrong a network tells the motion: smooth L1 of two log variances and of the correlation (their mean), and of
    the offset in tenths of the length.

    Shape: told [B, 5, h, w], the log variance along x and along y of the positions that a point passes during the
    exposure (px^2), their correlation before tanh, and their mean less the position at the middle of it (px along x
    and y); path [B, 5], the same of the truth, with the variances and the covariance themselves -> a scalar. An image
    whose variances are 0 tells nothing (its motion is not known) and is left out. Ours.
    """
    known = (path[:, :2].sum(1) > 0).to(told.dtype)
    variances = path[:, :2] + LEAST_SPREAD_PX2
    correlation = path[:, 2:3] / variances.prod(dim=1, keepdim=True).sqrt()
    tenths = 10 / (12 * variances.sum(1, keepdim=True) + LEAST_LENGTH_PX2).sqrt()
    true = torch.cat([variances.log(), correlation, path[:, 3:] * tenths], dim=1)[:, :, None, None].expand_as(told)
    told = torch.cat([told[:, :2], torch.tanh(told[:, 2:3]), told[:, 3:] * tenths[..., None, None]], dim=1)
    each = functional.smooth_l1_loss(told, true, reduction="none").mean(dim=(2, 3))
    errors = each[:, :3].mean(1) + each[:, 3:].sum(1)
    return (errors * known).sum() / known.sum().clamp(min=1)
