"""What a method is given of a test set's image: the file as it is, reduced four times, or grey as three channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmark.evaluation import load_image
from benchmark.testsets.base import Sample
from core import bicubic

if TYPE_CHECKING:
    from torch import Tensor

FACTOR = 4


def input_of(sample: Sample) -> Tensor:
    """Shape: [3, H, W] float32. Range: [0, 1], sRGB-encoded. Errors: as load_image; ValueError for another `made`."""
    image = load_image(sample.blur)
    if sample.made in ("", "grey"):
        return image
    height, width = (side // FACTOR * FACTOR for side in image.shape[1:])
    values = np.moveaxis(image[:, :height, :width].numpy(), 0, -1)
    if sample.made == "bicubic":
        return as_tensor(bicubic.reduced(values, FACTOR))
    if sample.made == "gaussian":
        return as_tensor(bicubic.sampled_after_gaussian(values, FACTOR))
    raise ValueError(f"{sample.blur}: no way to make an input is called {sample.made!r}")


def enlarged(image: Tensor, scale: int) -> Tensor:
    """Bicubically, as MATLAB does it. Shape: [3, H, W] -> [3, s H, s W]. Range: [0, 1], clipped."""
    values = bicubic.resized(np.moveaxis(image.numpy(), 0, -1), scale)
    return as_tensor(np.clip(values, 0, 1).astype(np.float32))


def as_tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] -> [3, H, W]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))
