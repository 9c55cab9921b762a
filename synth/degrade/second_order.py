"""Real-ESRGAN's second-order degradation: blur, resize, noise and JPEG, twice, with ringing at the end.

Source: Wang et al., Real-ESRGAN, ICCVW 2021, arXiv:2107.10833, section 3, and the authors' published settings. What is
drawn (`draw_chain`) and what is done (`apply_chain`) are apart, so that the draws can be looked at and kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth.degrade.steps import (
    FIRST_SIGMA_PX,
    SECOND_SIGMA_PX,
    Kernel,
    add_gaussian,
    add_poisson,
    draw_final_sinc,
    draw_kernel,
    draw_mode,
    filtered,
    jpeg,
    resized,
)

GREY_NOISE_SHARE = 0.4
GAUSSIAN_SHARE = 0.5
JPEG_QUALITY = (30.0, 95.0)
SECOND_BLUR_SHARE = 0.8
FINAL_SINC_SHARE = 0.8
JPEG_LAST_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Ranges of one of the two stages. resize_shares: up, down, keep. gaussian: sigma in levels of 255."""

    sigma_px: tuple[float, float]
    resize_shares: tuple[float, float, float]
    resize: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]


FIRST = Settings(
    sigma_px=FIRST_SIGMA_PX, resize_shares=(0.2, 0.7, 0.1), resize=(0.15, 1.5), gaussian=(1, 30), poisson=(0.05, 3)
)
SECOND = Settings(
    sigma_px=SECOND_SIGMA_PX, resize_shares=(0.3, 0.4, 0.3), resize=(0.3, 1.2), gaussian=(1, 25), poisson=(0.05, 2.5)
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage as drawn. kernel None: not blurred. noise: "gaussian" (sigma of full scale) or "poisson" (scale)."""

    kernel: Kernel | None
    scale: float
    mode: str
    noise: str
    amount: float
    grey: bool
    quality: float


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The whole chain as drawn. final_sinc None: no ringing. jpeg_last: the second JPEG after the way back to size."""

    first: Stage
    second: Stage
    final_sinc: Kernel | None
    jpeg_last: bool
    final_mode: str


def draw_stage(rng: np.random.Generator, settings: Settings, blur_share: float) -> Stage:
    kernel = draw_kernel(rng, settings.sigma_px) if rng.random() < blur_share else None
    direction = str(rng.choice(["up", "down", "keep"], p=settings.resize_shares))
    low, high = settings.resize
    scale = {"up": rng.uniform(1, high), "down": rng.uniform(low, 1), "keep": 1.0}[direction]
    mode = draw_mode(rng)
    gaussian = rng.random() < GAUSSIAN_SHARE
    amount = rng.uniform(*settings.gaussian) / 255 if gaussian else rng.uniform(*settings.poisson)
    return Stage(
        kernel=kernel,
        scale=float(scale),
        mode=mode,
        noise="gaussian" if gaussian else "poisson",
        amount=float(amount),
        grey=bool(rng.random() < GREY_NOISE_SHARE),
        quality=float(rng.uniform(*JPEG_QUALITY)),
    )


def draw_chain(rng: np.random.Generator) -> Chain:
    """Everything about a chain that is left to chance but the noise itself."""
    return Chain(
        first=draw_stage(rng, FIRST, 1.0),
        second=draw_stage(rng, SECOND, SECOND_BLUR_SHARE),
        final_sinc=draw_final_sinc(rng) if rng.random() < FINAL_SINC_SHARE else None,
        jpeg_last=bool(rng.random() < JPEG_LAST_SHARE),
        final_mode=draw_mode(rng),
    )


def apply_chain(image: np.ndarray, chain: Chain, rng: np.random.Generator, factor: int = 1) -> np.ndarray:
    """The degraded image, 1/factor of the size (rounded down; 4 is what the x4 networks learn from).

    Shape: float32 [H, W, 3] in [0, 1], encoded -> [H // factor, W // factor, 3], the same range.
    """
    height, width = image.shape[0] // factor, image.shape[1] // factor
    if min(height, width) < 1:
        raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} px cannot be reduced {factor} times")
    out = _noised(_blurred_and_resized(image, chain.first, *image.shape[:2]), chain.first, rng)
    out = jpeg(out, chain.first.quality)
    # The second stage is drawn relative to the final size.
    out = _noised(_blurred_and_resized(out, chain.second, height, width), chain.second, rng)
    if not chain.jpeg_last:
        out = jpeg(out, chain.second.quality)
    out = resized(out, height, width, chain.final_mode)
    if chain.final_sinc is not None:
        out = filtered(out, chain.final_sinc.values())
    out = jpeg(out, chain.second.quality) if chain.jpeg_last else np.clip(out, 0.0, 1.0)
    return np.round(out * 255).astype(np.float32) / np.float32(255)  # the result of the chain is 8 bit


def second_order(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a chain and apply it, at the image's own size."""
    return apply_chain(image, draw_chain(rng), rng)


def _blurred_and_resized(image: np.ndarray, stage: Stage, height: int, width: int) -> np.ndarray:
    out = filtered(image, stage.kernel.values()) if stage.kernel is not None else image
    return resized(out, round(height * stage.scale), round(width * stage.scale), stage.mode)


def _noised(image: np.ndarray, stage: Stage, rng: np.random.Generator) -> np.ndarray:
    add = add_gaussian if stage.noise == "gaussian" else add_poisson
    return np.clip(add(image, stage.amount, stage.grey, rng), 0.0, 1.0)
