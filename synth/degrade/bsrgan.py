"""BSRGAN's chain: seven steps in random order, and a JPEG at the end.

Source: Zhang et al., Designing a Practical Degradation Model for Deep Blind Image Super-Resolution, ICCV 2021,
arXiv:2103.14006, section 4. The two reductions (their product is `factor`) keep their order among the shuffled steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.camera_response import response
from synth.degrade.steps import Kernel, add_gaussian, draw_mode, filtered, jpeg, resized
from synth.sensor import CAMERAS, draw_settings, photograph

STEPS = ("blur", "blur-again", "reduce", "reduce-rest", "gaussian", "jpeg", "camera")
GAUSSIAN_LEVELS = (2.0, 25.0)  # sigma, of 255
JPEG_SHARE = 0.9
JPEG_QUALITY = (30.0, 95.0)
CAMERA_SHARE = 0.25
SIZES_PX = tuple(range(7, 22, 2))  # unverified: the paper gives a range of sizes for factor 4
ISO_SIGMA_PX = (0.1, 2.4)  # unverified: as the paper gives for a factor of 2
ANISO_SIGMA_PX = (0.5, 6.0)  # unverified: the same
REDUCE = (0.5, 1.0)  # unverified at the image's own size: the first of the two reductions


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """A chain as drawn: the order, and what each step does; None where it is left out."""

    order: tuple[str, ...]
    kernels: tuple[Kernel, Kernel]
    reduce: float
    modes: tuple[str, str]
    sigma: float
    quality: float | None
    camera: bool
    final_quality: float


def draw_shuffle(rng: np.random.Generator) -> Shuffle:
    """Everything that is left to chance but the noise and the camera's settings."""
    order = [STEPS[index] for index in rng.permutation(len(STEPS))]
    first, second = order.index("reduce"), order.index("reduce-rest")
    if first > second:
        order[first], order[second] = order[second], order[first]
    return Shuffle(
        order=tuple(order),
        kernels=(_draw_kernel(rng), _draw_kernel(rng)),
        reduce=float(rng.uniform(*REDUCE)),
        modes=(draw_mode(rng), draw_mode(rng)),
        sigma=float(rng.uniform(*GAUSSIAN_LEVELS)) / 255,
        quality=float(rng.uniform(*JPEG_QUALITY)) if rng.random() < JPEG_SHARE else None,
        camera=bool(rng.random() < CAMERA_SHARE),
        final_quality=float(rng.uniform(*JPEG_QUALITY)),
    )


def apply_shuffle(image: np.ndarray, shuffle: Shuffle, rng: np.random.Generator) -> np.ndarray:
    """The degraded image at its own size. Shape: float32 [H, W, 3] in [0, 1], encoded -> the same."""
    height, width = image.shape[:2]
    out = image
    for step in shuffle.order:
        if step in ("blur", "blur-again"):
            out = filtered(out, shuffle.kernels[step == "blur-again"].values())
        elif step == "reduce":
            out = resized(out, round(height * shuffle.reduce), round(width * shuffle.reduce), shuffle.modes[0])
        elif step == "reduce-rest":
            out = resized(out, height, width, shuffle.modes[1])
        elif step == "gaussian":
            out = add_gaussian(out, shuffle.sigma, False, rng)
        elif step == "jpeg" and shuffle.quality is not None:
            out = jpeg(out, shuffle.quality)
        elif step == "camera" and shuffle.camera:
            out = _through_a_camera(out, rng)
        out = np.clip(out, 0.0, 1.0)
    return jpeg(out, shuffle.final_quality)


def bsrgan(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the steps and take them."""
    return apply_shuffle(image, draw_shuffle(rng), rng)


def _draw_kernel(rng: np.random.Generator) -> Kernel:
    size = int(rng.choice(SIZES_PX))
    if rng.random() < 0.5:
        sigma = float(rng.uniform(*ISO_SIGMA_PX))
        return Kernel(kind="iso", size=size, sigma_x=sigma, sigma_y=sigma)
    sigma_x, sigma_y = (float(value) for value in rng.uniform(*ANISO_SIGMA_PX, 2))
    return Kernel(kind="aniso", size=size, sigma_x=sigma_x, sigma_y=sigma_y, angle=float(rng.uniform(0, math.pi)))


def _through_a_camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Back to RAW, sensor noise, and through an image pipeline again."""
    model, srgb = CAMERAS["raw-isp"], response("srgb")
    return photograph(model, draw_settings(model, rng), srgb.to_linear(image), None, srgb, rng)
