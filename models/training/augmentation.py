"""Changes of a training sample besides crops and flips: colours, noise, degradations, a sharpened target.

Samples are clips, float32 [T, H, W, 3] RGB in [0, 1]; chance comes from the generator given alone.
"""

from __future__ import annotations

import os

import cv2
import numpy as np

from core import bicubic, camera_response
from core.command_line import unknown
from models.recipes import Augmentation
from synth.degrade import DEGRADATIONS
from synth.degrade.second_order import apply_chain, draw_chain

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SHARPEN_KERNEL_PX, SHARPEN_WEIGHT, SHARPEN_THRESHOLD = 51, 0.5, 10 / 255


def augmented(
    blur: np.ndarray, sharp: np.ndarray, settings: Augmentation, rng: np.random.Generator, scale: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """A sample after all that the settings ask for: colours of both sides, then the blurred side, then the target.

    scale: of an enlarging network; what is made of the sharp side is then so many times smaller.
    """
    if settings.warp:
        blur, sharp = _warped(blur, sharp, rng)
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        turns = _colour_change(settings, rng)
        blur, sharp = (_recoloured(side, *turns) for side in (blur, sharp))
    if settings.shuffle:
        order = rng.permutation(3)
        blur, sharp = (np.ascontiguousarray(side[..., order]) for side in (blur, sharp))
    target = np.stack([sharpened(frame) for frame in sharp]) if settings.sharpen else sharp
    if settings.from_sharp:
        blur = target if settings.input_sharpened else sharp
    if settings.noise:
        noisy = blur + settings.noise * rng.standard_normal(blur.shape, dtype=np.float32)
        blur = np.clip(noisy, 0, 1)
    small = settings.from_sharp and scale > 1
    if small and settings.degrade == "real-esrgan":  # its second half comes at the input's size
        return np.stack([apply_chain(frame, draw_chain(rng), rng, factor=scale) for frame in blur]), target
    if settings.degrade:
        blur = _degraded(blur, settings.degrade, rng)
    if small and settings.reduced_by == "bicubic":
        blur = np.stack([bicubic.reduced(frame, scale) for frame in blur])
    return blur, target


WARPS = ("mirror", "turn", "transpose", "optical", "elastic")


def _warped(blur: np.ndarray, sharp: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One of five changes of shape, the same of every frame of both sides. Shape: [T, H, W, 3] each -> the same.

    The ranges are albumentations' own: a shift of up to 1/16 of a side, a zoom of up to a tenth and a turn of up to 45
    degrees; an optical distortion of up to 0.05; elastic displacements of strength 1 and width 50.
    Source: github.com/VITA-Group/DeblurGANv2, aug.py 9-14.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # the library asks the network for its version otherwise
    import albumentations

    kind = str(rng.choice(WARPS))
    seed = int(rng.integers(1, 2**31))
    if kind == "mirror":
        return blur[:, :, ::-1], sharp[:, :, ::-1]
    if kind == "transpose":
        return blur.swapaxes(1, 2), sharp.swapaxes(1, 2)
    if kind == "turn":
        change: albumentations.BasicTransform = albumentations.Affine(
            translate_percent=(-1 / 16, 1 / 16), scale=(0.9, 1.1), rotate=(-45, 45), border_mode=cv2.BORDER_REFLECT_101,
            keep_ratio=True, p=1,
        )  # fmt: skip
    elif kind == "optical":
        change = albumentations.OpticalDistortion(distort_limit=0.05, p=1)
    else:
        change = albumentations.ElasticTransform(alpha=1, sigma=50, p=1)
    frames = [np.ascontiguousarray(frame) for frame in (*blur, *sharp)]
    names = {f"frame{number}": "image" for number in range(1, len(frames))}
    shown = {f"frame{number}": frame for number, frame in enumerate(frames) if number}
    changed = albumentations.Compose([change], additional_targets=names, seed=seed)(image=frames[0], **shown)
    moved = np.stack([changed["image"], *(changed[name] for name in names)]).astype(np.float32)
    return np.clip(moved[: len(blur)], 0, 1), np.clip(moved[len(blur) :], 0, 1)


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
    if settings.saturation_share < 1 and rng.random() >= settings.saturation_share:
        saturation = 1.0
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
