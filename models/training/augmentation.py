"""Changes of a training sample besides crops and flips: colours, noise, degradations, a sharpened target.

Samples are clips, float32 [T, H, W, 3] RGB in [0, 1]; chance comes from the generator given alone.
"""

from __future__ import annotations

import cv2
import numpy as np

from core import camera_response
from core.command_line import unknown
from models.recipes import Augmentation
from synth.degrade import DEGRADATIONS

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SHARPEN_KERNEL_PX, SHARPEN_WEIGHT, SHARPEN_THRESHOLD = 51, 0.5, 10 / 255


def augmented(
    blur: np.ndarray, sharp: np.ndarray, settings: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A sample after all that the settings ask for: colours of both sides, then the blurred side, then the target."""
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        turns = _colour_change(settings, rng)
        blur, sharp = (_recoloured(side, *turns) for side in (blur, sharp))
    if settings.from_sharp:
        blur = sharp
    if settings.noise:
        noisy = blur + settings.noise * rng.standard_normal(blur.shape, dtype=np.float32)
        blur = np.clip(noisy, 0, 1)
    if settings.degrade:
        blur = _degraded(blur, settings.degrade, rng)
    return blur, np.stack([sharpened(frame) for frame in sharp]) if settings.sharpen else sharp


def require_degradation(name: str) -> None:
    """Errors: ValueError that lists the degradations."""
    if name and name not in DEGRADATIONS:
        raise ValueError(unknown("no degradation is called", name, DEGRADATIONS))


def _degraded(clip: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """Every frame degraded on its own; a degradation of light works on sRGB decoded to light."""
    degradation = DEGRADATIONS[name]
    if degradation.domain == "encoded":
        return np.stack([degradation(frame, rng) for frame in clip])
    response = camera_response.response("srgb")
    return np.stack([response.to_encoded(degradation(response.to_linear(frame), rng)) for frame in clip])


def _colour_change(settings: Augmentation, rng: np.random.Generator) -> tuple[float, float, float, float]:
    spans = (settings.brightness, settings.contrast, settings.saturation)
    brightness, contrast, saturation = (float(rng.uniform(1 - span, 1 + span)) for span in spans)
    return brightness, contrast, saturation, float(rng.uniform(-settings.hue, settings.hue))


def _recoloured(clip: np.ndarray, brightness: float, contrast: float, saturation: float, hue_turn: float) -> np.ndarray:
    """Brightness: a factor. Contrast: a factor of the distance from mid grey. Both are one for all frames of a clip.

    Saturation: a factor of the distance from the pixel's own grey. Hue: colours turned about the grey axis, exactly on
    the plane of equal R + G + B.
    """
    clip = (clip * np.float32(brightness) - np.float32(0.5)) * np.float32(contrast) + np.float32(0.5)
    if saturation != 1:
        grey = (clip @ LUMA)[..., None]  # [T, H, W, 1]
        clip = grey + (clip - grey) * np.float32(saturation)
    if hue_turn:
        clip = clip @ _about_grey(2 * np.pi * hue_turn).T
    return np.clip(clip, 0, 1).astype(np.float32)


def _about_grey(angle: float) -> np.ndarray:
    """Rotation of RGB about the axis (1, 1, 1) by an angle in radians. Shape: [3, 3]. Source: Rodrigues' formula."""
    axis = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turned = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turned.astype(np.float32)


def sharpened(image: np.ndarray) -> np.ndarray:
    """Unsharp mask where an edge is stronger than a threshold, softly blended. Shape: [H, W, 3] -> the same.

    Source: Wang et al., Real-ESRGAN, ICCVW 2021, section 3.3 and the authors' program: a Gaussian of 51 px, weight 0.5,
    threshold 10 of 255.
    """
    size = (SHARPEN_KERNEL_PX, SHARPEN_KERNEL_PX)
    detail = image - cv2.GaussianBlur(image, size, 0)
    edges = (np.abs(detail) > SHARPEN_THRESHOLD).astype(np.float32)
    share = cv2.GaussianBlur(edges, size, 0)
    crisp = np.clip(image + np.float32(SHARPEN_WEIGHT) * detail, 0, 1)
    return share * crisp + (1 - share) * image
