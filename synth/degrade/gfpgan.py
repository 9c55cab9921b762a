"""What GFPGAN's training does to a face: blur, fewer pixels, noise, JPEG, and sometimes a wrong tint.

Source: Wang et al., CVPR 2021, arXiv:2101.04061, section 4.1: x = [(y * k_sigma) reduced r times + n_delta] JPEG_q,
brought back to the size of y.
What is drawn (`draw_face`) and what is done (`apply_face`) are apart, as in second_order.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synth.degrade.steps import add_gaussian, filtered, gaussian, jpeg, resized

REFERENCE_PX = 512  # the side of the faces that the ranges are meant for
SIGMA_PX = (0.2, 10.0)
REDUCTION = (1.0, 8.0)
NOISE_LEVELS = (0.0, 15.0)  # of 255
JPEG_QUALITY = (60.0, 100.0)
KERNEL_PX = 41
ISOTROPIC_SHARE = 0.5
TINT_SHARE, TINT_LEVELS = 0.3, 20.0
SMALLEST_PX = 4  # of a reduced side


@dataclass(frozen=True, kw_only=True)
class FaceDraw:
    """A degradation as drawn. sigma_x, sigma_y: px at REFERENCE_PX. angle: radians. noise, tint: of full scale 1."""

    sigma_x: float
    sigma_y: float
    angle: float
    reduction: float
    noise: float
    quality: float
    tint: tuple[float, float, float]


def draw_face(rng: np.random.Generator) -> FaceDraw:
    """Everything that is left to chance but the noise itself.

    Ranges are the paper's; half of the kernels have two widths and a direction, and 3 in 10 faces get every channel
    shifted by up to 20 levels (the paper's colour jitter), as in the authors' configuration.
    """
    sigma_x = float(rng.uniform(*SIGMA_PX))
    sigma_y, angle = sigma_x, 0.0
    if rng.random() >= ISOTROPIC_SHARE:
        sigma_y, angle = float(rng.uniform(*SIGMA_PX)), float(rng.uniform(-math.pi, math.pi))
    tinted = rng.random() < TINT_SHARE
    shifts = rng.uniform(-TINT_LEVELS, TINT_LEVELS, 3) / 255 * tinted
    return FaceDraw(
        sigma_x=sigma_x,
        sigma_y=sigma_y,
        angle=angle,
        reduction=float(rng.uniform(*REDUCTION)),
        noise=float(rng.uniform(*NOISE_LEVELS) / 255),
        quality=float(rng.uniform(*JPEG_QUALITY)),
        tint=(float(shifts[0]), float(shifts[1]), float(shifts[2])),
    )


def apply_face(image: np.ndarray, draw: FaceDraw, rng: np.random.Generator) -> np.ndarray:
    """The degraded face at its own size, in 8-bit levels. rng: for the noise.

    The ranges are those of faces of 512 px; widths of kernels and reductions of smaller faces shrink with them (a
    reduction is at least 1).
    Shape: float32 [H, W, 3] in [0, 1], encoded -> the same.
    """
    height, width = image.shape[:2]
    share = min(height, width) / REFERENCE_PX
    kernel = gaussian(KERNEL_PX, draw.sigma_x * share, draw.sigma_y * share, draw.angle)
    reduction = max(1.0, draw.reduction * min(1.0, share))
    rows, columns = (max(SMALLEST_PX, int(side / reduction)) for side in (height, width))
    out = resized(filtered(image, kernel), rows, columns, "bilinear")
    out = jpeg(add_gaussian(out, draw.noise, False, rng), draw.quality)
    out = resized(out, height, width, "bilinear") + np.array(draw.tint, np.float32)
    return np.round(np.clip(out, 0, 1) * 255).astype(np.float32) / np.float32(255)


def degraded_face(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a degradation and apply it."""
    return apply_face(image, draw_face(rng), rng)
