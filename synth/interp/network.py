"""What the interpolators with a network share: finding the weights file, frames to tensors and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.weights_files import SUFFIXES, weights_folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def weights_file(interpolator: str, variable: str, patterns: Sequence[str], where: str) -> Path:
    """The weights file of an interpolator: the one that the environment variable names, else the first file in the
    weights folder or below it whose name, in lower case, matches the first pattern that matches any.

    where: how to get the file, for the message. Errors: ValueError, one sentence, if there is none.
    """
    named = os.environ.get(variable)
    if named:
        if not Path(named).is_file():
            raise ValueError(f"{variable} names the weights file {named}, which does not exist")
        return Path(named)
    folder = weights_folder()
    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    for pattern in patterns:
        for path in files:
            if fnmatch(path.name.lower(), pattern):
                return path
    raise ValueError(
        f"the interpolator {interpolator} needs its authors' weights and there is no {patterns[0]} in {folder}: "
        f"{where}, and put it there, or name the file in the environment variable {variable}"
    )


def to_tensor(frame: np.ndarray, multiple: int, smallest: int = 1) -> Tensor:
    """A frame for a network; its last row and column go on until both sides are multiples of `multiple`.

    Shape: [H, W, 3], uint8 or float32 in [0, 1] -> float32 [1, 3, H', W']. Range: [0, 1].
    """
    import torch

    torch.set_num_threads(1)  # parallel work is ours; one thread gives the same bytes for any number of workers
    height, width = frame.shape[:2]
    below, beside = (-max(side, smallest) % multiple + max(0, smallest - side) for side in (height, width))
    padded = cv2.copyMakeBorder(frame, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    values = padded.astype(np.float32) / np.float32(255) if frame.dtype == np.uint8 else padded
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]


def to_batch(frames: Sequence[np.ndarray], multiple: int, smallest: int, device: torch.device) -> Tensor:
    """`to_tensor` of several frames of one size, on a device. Shape: float32 [B, 3, H', W']."""
    import torch

    return torch.cat([to_tensor(frame, multiple, smallest) for frame in frames]).to(device)


def to_array(tensor: Tensor, height: int, width: int, index: int = 0) -> np.ndarray:
    """The picture of a batch inside the padding. Shape: [B, C, H', W'] -> float32 [H, W, C], new."""
    return np.ascontiguousarray(tensor[index, :, :height, :width].cpu().numpy().transpose(1, 2, 0))
