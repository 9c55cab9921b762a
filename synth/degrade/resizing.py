"""Resizing and JPEG, the steps that every chain shares."""

from __future__ import annotations

import cv2
import numpy as np

from synth.image_files import decode_jpeg, encode_jpeg

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
