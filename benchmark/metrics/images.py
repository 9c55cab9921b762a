"""The boundary of all metrics: what they accept, and how tensors become the arrays they compute on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

RANGE_SLACK = 1e-4  # of full scale: what float32 arithmetic may leave outside [0, 1]
LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601, full range


def check_image(image: Tensor, what: str) -> None:
    """Refuse anything but a float tensor [3, H, W] or [1, H, W] with values in [0, 1].

    Errors: ValueError that says what was expected and what came. The range is never guessed: 0..255 is refused.
    """
    shape = list(getattr(image, "shape", []))
    if not hasattr(image, "detach") or len(shape) != 3 or shape[0] not in (1, 3) or 0 in shape:
        raise ValueError(f"{what}: a float tensor [3, H, W] or [1, H, W] is needed, got {type(image).__name__} {shape}")
    if not image.is_floating_point():
        raise ValueError(f"{what}: a float tensor in [0, 1] is needed, got {image.dtype}; divide 8-bit values by 255")
    low, high = (float(value) for value in image.detach().aminmax())
    if not (low >= -RANGE_SLACK and high <= 1 + RANGE_SLACK):  # written so that NaN is refused too
        raise ValueError(f"{what}: values must lie in [0, 1], found {low:.4g} to {high:.4g}; clamp or scale it first")


def check_pair(restored: Tensor, sharp: Tensor | None) -> None:
    """`check_image` on both and equal shapes. Errors: ValueError."""
    check_image(restored, "restored image")
    if sharp is None:
        raise ValueError("this metric compares with a sharp image and none was given")
    check_image(sharp, "sharp image")
    if restored.shape != sharp.shape:
        raise ValueError(
            f"restored and sharp images must have one size, got {list(restored.shape)} and {list(sharp.shape)}"
        )


def checked_pair(measure: Callable[[Tensor, Tensor | None], float]) -> Callable[[Tensor, Tensor | None], float]:
    """`measure` with `check_pair` in front: the public form of a metric that compares with the sharp image."""

    def checked(restored: Tensor, sharp: Tensor | None) -> float:
        check_pair(restored, sharp)
        return measure(restored, sharp)

    return checked


def checked_single(measure: Callable[[Tensor, Tensor | None], float]) -> Callable[[Tensor, Tensor | None], float]:
    """`measure` with `check_image` in front: the public form of a no-reference metric."""

    def checked(restored: Tensor, sharp: Tensor | None) -> float:
        check_image(restored, "restored image")
        return measure(restored, None)

    return checked


def to_array(image: Tensor) -> np.ndarray:
    """[C, H, W] float64 array of a tensor on any device; only for reading, since it may share the tensor's memory."""
    return np.ascontiguousarray(image.detach().cpu().double().numpy())


def studio_luma(image: np.ndarray) -> np.ndarray:
    """Y of ITU-R BT.601 between 16 and 235 of 255, as MATLAB's rgb2ycbcr gives it, not rounded.

    Shape: [3, H, W] in [0, 1] -> [H, W] in [16/255, 235/255]; [1, H, W] is taken as luma already.
    """
    if image.shape[0] == 1:
        return image[0]
    return (16 + 65.481 * image[0] + 128.553 * image[1] + 24.966 * image[2]) / 255


def luma(image: np.ndarray) -> np.ndarray:
    """Y = .299 R + .587 G + .114 B, full range. Shape: [3, H, W] -> [H, W]; [1, H, W] is taken as luma already."""
    if image.shape[0] == 1:
        return image[0]
    red, green, blue = (np.float64(weight) if image.dtype == np.uint8 else weight for weight in LUMA_WEIGHTS)
    result = image[0] * red
    result += image[1] * green
    result += image[2] * blue
    return result
