"""What the chains of degradations share: blur kernels, noise on encoded values (not a sensor's), resizing and JPEG.

Kernels: Gaussian, generalised Gaussian, plateau and sinc. Source: Wang et al., Real-ESRGAN, ICCVW 2021,
arXiv:2107.10833, sections 3.1 and 3.2; generalised Gaussian and plateau densities from Liu et al., Estimating
Generalized Gaussian Blur Kernels, Pattern Recognition 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from core.image_files import decode_jpeg, encode_jpeg

SIZES_PX = tuple(range(7, 22, 2))
PADDED_PX = 21
KINDS = ("iso", "aniso", "generalised-iso", "generalised-aniso", "plateau-iso", "plateau-aniso")
KIND_SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
SINC_SHARE = 0.1
GENERALISED_SHAPE = (0.5, 4.0)
PLATEAU_SHAPE = (1.0, 2.0)
FIRST_SIGMA_PX = (0.2, 3.0)
SECOND_SIGMA_PX = (0.2, 1.5)


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What a kernel is. kind: one of KINDS, or "sinc". angle: radians. shape: exponent of the generalised Gaussian and
    the plateau (1 for the others). cutoff: of the sinc, radians per px. Units: px."""

    kind: str
    size: int
    sigma_x: float = 0.0
    sigma_y: float = 0.0
    angle: float = 0.0
    shape: float = 1.0
    cutoff: float = math.pi

    def values(self) -> np.ndarray:
        """Shape: [21, 21] float32, zero outside the size, sums to 1."""
        radius = self.size // 2
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
        if self.kind == "sinc":
            values = _sinc(np.hypot(x, y), self.cutoff)
        else:
            along = x * math.cos(self.angle) + y * math.sin(self.angle)
            across = y * math.cos(self.angle) - x * math.sin(self.angle)
            square = (along / self.sigma_x) ** 2 + (across / self.sigma_y) ** 2
            values = 1 / (1 + square**self.shape) if "plateau" in self.kind else np.exp(-0.5 * square**self.shape)
        return np.pad(values / values.sum(), PADDED_PX // 2 - radius).astype(np.float32)


def draw_kernel(rng: np.random.Generator, sigma_px: tuple[float, float]) -> Kernel:
    """The kernel of a blur step: a sinc in 10 % of the cases, else one of the six densities by its share.

    Half of the shapes lie below 1 and half above where the range has both sides, as the authors draw them; a plateau's
    shape is uniform over its range here, where the authors draw exactly 1 half of the time.
    """
    size = int(rng.choice(SIZES_PX))
    if rng.random() < SINC_SHARE:
        lowest = math.pi / 3 if size < 13 else math.pi / 5
        return Kernel(kind="sinc", size=size, cutoff=float(rng.uniform(lowest, math.pi)))
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    sigma_x = float(rng.uniform(*sigma_px))
    sigma_y, angle = sigma_x, 0.0
    if kind.endswith("aniso"):
        sigma_y, angle = float(rng.uniform(*sigma_px)), float(rng.uniform(-math.pi, math.pi))
    shape = 1.0
    if kind.startswith("generalised"):
        low, high = GENERALISED_SHAPE
        shape = float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))
    elif kind.startswith("plateau"):
        shape = float(rng.uniform(*PLATEAU_SHAPE))
    return Kernel(kind=kind, size=size, sigma_x=sigma_x, sigma_y=sigma_y, angle=angle, shape=shape)


def draw_final_sinc(rng: np.random.Generator) -> Kernel:
    """The sinc at the end of the chain: any size, cut-off from pi/3 to pi."""
    return Kernel(kind="sinc", size=int(rng.choice(SIZES_PX)), cutoff=float(rng.uniform(math.pi / 3, math.pi)))


def gaussian(size: int, sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """A Gaussian of two widths, turned by an angle. Shape: [size, size] float32, sums to 1. Units: px, radians."""
    radius = size // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    values = np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return (values / values.sum()).astype(np.float32)


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution with a symmetric kernel, borders reflected. Shape: [H, W, 3] float32, new."""
    return cv2.filter2D(image.astype(np.float32), cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)


def _sinc(radius: np.ndarray, cutoff: float) -> np.ndarray:
    """Ideal circular low-pass filter, cut off (paper, equation 6): cutoff J1(cutoff r) / (2 pi r)."""
    from scipy.special import j1

    safe = np.where(radius == 0, 1.0, radius)
    return np.where(radius == 0, cutoff**2 / (4 * math.pi), cutoff * j1(cutoff * safe) / (2 * math.pi * safe))


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


MODES = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def resized(image: np.ndarray, height: int, width: int, mode: str) -> np.ndarray:
    """Shape: [H, W, 3] -> float32 [height, width, 3]. mode: area, bilinear or bicubic; bicubic may overshoot."""
    size = (max(1, width), max(1, height))
    return cv2.resize(image.astype(np.float32), size, interpolation=MODES[mode])


def draw_mode(rng: np.random.Generator) -> str:
    """One of the three, all alike."""
    return str(rng.choice(list(MODES)))


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """Through a JPEG file and back. Shape kept. Range: clipped to [0, 1]. quality: 1 to 100, rounded."""
    levels = np.round(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
    return decode_jpeg(encode_jpeg(levels, round(quality))).astype(np.float32) / np.float32(255)
