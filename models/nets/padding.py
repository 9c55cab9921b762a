"""Padding images to the sides that a network needs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pad_to_multiple(images: Tensor, multiple: int, mode: str, smallest: int = 1) -> Tensor:
    """Pad at the right and the bottom until both sides divide by `multiple` and are `smallest` or more.

    Shape: [B, C, H, W]. mode: "reflect" (an image too small to be reflected has its edge repeated) or "constant"
    (zeros).
    """
    height, width = images.shape[-2:]
    bottom = max(0, smallest - height)
    bottom += -(height + bottom) % multiple
    right = max(0, smallest - width)
    right += -(width + right) % multiple
    if not bottom and not right:
        return images
    if mode == "reflect" and (bottom >= height or right >= width):
        mode = "replicate"
    return functional.pad(images, (0, right, 0, bottom), mode=mode)
