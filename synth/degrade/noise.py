"""Noise on encoded values: Gaussian and Poisson, colour or grey, as degradation chains use it (not a sensor's)."""

from __future__ import annotations

import numpy as np

STFAN_SIGMA = 0.01  # of full scale: the paper; the authors' program draws up to 1e-4


def add_gaussian(image: np.ndarray, sigma: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Adds normal noise; grey: the same in all channels. sigma: of full scale 1.0. Shape kept, not clipped."""
    shape = (*image.shape[:2], 1) if grey else image.shape
    return image + rng.normal(0.0, sigma, shape).astype(np.float32)


def add_poisson(image: np.ndarray, scale: float, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Adds `scale` times the noise of counting photons, of which full scale has as many as the image has levels.

    The number of levels is that of distinct 8-bit values, rounded up to a power of two (Real-ESRGAN's definition), so
    that the variance at a value v is scale^2 v / levels. grey: drawn on the luma, the same in all channels.
    Shape kept, not clipped.
    """
    shown = np.clip(image, 0.0, 1.0)
    if grey:
        shown = shown @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        shown = shown[..., None]
    levels = 2.0 ** np.ceil(np.log2(max(2, len(np.unique(np.round(shown * 255))))))
    noise = rng.poisson(shown * levels) / levels - shown
    return (image + scale * noise).astype(np.float32)


def stfan_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of sigma 0.01. Source: Zhou et al., STFAN, ICCV 2019, section 5.1."""
    return add_gaussian(image, STFAN_SIGMA, False, rng)
