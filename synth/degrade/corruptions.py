"""What DeblurGAN-v2's program does to half of its inputs: one of eight corruptions.

Source: github.com/VITA-Group/DeblurGANv2, config/config.yaml (corrupt) and aug.py (get_corrupt_function): cutout of 3
squares of up to 25 px, JPEG of quality 70 to 90, motion blur, median blur, gamma, shifts of RGB and of HSV, sharpening.
Their own ranges are those of the albumentations library's first release, written out in RANGES; each is as likely as
the others, and half of the images get one.
"""

from __future__ import annotations

import cv2
import numpy as np

from synth.degrade.steps import jpeg

SHARE = 0.5
KINDS = ("cutout", "jpeg", "motion", "median", "gamma", "rgb", "hsv", "sharpen")
RANGES = {
    "quality": (70, 90),
    "holes": (3, 3),
    "hole_px": (25, 25),
    "motion_px": (3, 7),
    "median_px": (3, 7),
    "gamma": (0.8, 1.2),
    "shift": (-20, 20),  # levels of 255, of every channel
    "hue_deg": (-20, 20),
    "saturation": (-30, 30),  # levels of 255
    "value": (-20, 20),  # levels of 255
    "sharpness": (0.2, 0.5),  # share of the sharpened image
    "lightness": (0.5, 1.0),  # of the sharpening kernel's middle
}


def corrupted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the images with one corruption. Shape: float32 [H, W, 3] in [0, 1], encoded -> the same."""
    if rng.random() >= SHARE:
        return image
    return apply_corruption(image, str(rng.choice(KINDS)), rng)


def apply_corruption(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """An image with this corruption, its strength drawn. Shape and range as `corrupted`."""
    out = _CORRUPTIONS[kind](image, rng)
    return np.clip(out, 0.0, 1.0).astype(np.float32)


def _drawn(rng: np.random.Generator, name: str) -> float:
    return float(rng.uniform(*RANGES[name]))


def _odd(rng: np.random.Generator, name: str) -> int:
    low, high = (int(value) for value in RANGES[name])
    return int(rng.choice(np.arange(low, high + 1, 2)))


def _cutout(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = image.copy()
    for _ in range(int(RANGES["holes"][0])):
        side = int(RANGES["hole_px"][1])
        row, column = (int(rng.integers(extent)) for extent in image.shape[:2])
        out[max(0, row - side // 2) : row + side // 2 + 1, max(0, column - side // 2) : column + side // 2 + 1] = 0
    return out


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    low, high = (int(value) for value in RANGES["quality"])
    return jpeg(image, float(rng.integers(low, high + 1)))


def _motion(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A straight line between two points of the kernel."""
    side = _odd(rng, "motion_px")
    kernel = np.zeros((side, side), np.uint8)
    ends = rng.integers(0, side, 4)
    if ends[0] == ends[2] and ends[1] == ends[3]:
        ends[2] = (ends[2] + 1) % side
    cv2.line(kernel, (int(ends[0]), int(ends[1])), (int(ends[2]), int(ends[3])), 1)
    return cv2.filter2D(image, -1, kernel.astype(np.float32) / kernel.sum())


def _median(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)  # wide medians exist for 8 bits alone
    return cv2.medianBlur(np.ascontiguousarray(levels), _odd(rng, "median_px")).astype(np.float32) / np.float32(255)


def _gamma(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.power(np.clip(image, 0, 1), np.float32(_drawn(rng, "gamma")))


def _rgb(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image + np.array([_drawn(rng, "shift") / 255 for _ in range(3)], np.float32)


def _hsv(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(np.ascontiguousarray(image, dtype=np.float32), cv2.COLOR_RGB2HSV)  # degrees, and [0, 1] twice
    hsv[..., 0] = (hsv[..., 0] + _drawn(rng, "hue_deg")) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] + _drawn(rng, "saturation") / 255, 0, 1)
    hsv[..., 2] = np.clip(hsv[..., 2] + _drawn(rng, "value") / 255, 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _sharpen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share, lightness = np.float32(_drawn(rng, "sharpness")), _drawn(rng, "lightness")
    kernel = np.full((3, 3), -1.0, np.float32)
    kernel[1, 1] = 8 + lightness
    return (1 - share) * image + share * cv2.filter2D(image, -1, kernel)


_CORRUPTIONS = {
    "cutout": _cutout,
    "jpeg": _jpeg,
    "motion": _motion,
    "median": _median,
    "gamma": _gamma,
    "rgb": _rgb,
    "hsv": _hsv,
    "sharpen": _sharpen,
}
