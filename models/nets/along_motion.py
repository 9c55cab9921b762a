"""Samples around every pixel, at places that each block of 4 x 4 px has of its own.

Two functions, differentiable in all that they take: the samples, and their sum with a weight per pixel. Values between
pixels are bilinear, the image's border is repeated outside it.

On a CPU in single precision loops compiled by numba read the samples (over images and rows in torch's number of
threads), and sum them where they are read. Elsewhere `grid_sample` reads them; the same within rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK_PX = 4


def samples(image: Tensor, shifts: Tensor) -> Tensor:
    """What lies `shifts` away from every pixel.

    Shape: [B, H, W], [B, S, h, w, 2] (px along x and y, h = H / 4) -> [B, S, H, W].
    """
    if not _compiled(image, shifts):
        return _read(image[:, None], shifts)[:, 0]
    return _Samples.apply(image, shifts)


def weighted_samples(image: Tensor, shifts: Tensor, weights: Tensor) -> Tensor:
    """The sum over the samples of weight x what lies there.

    Shape: [B, C, H, W], [B, S, h, w, 2], [B, S, H, W] -> [B, C, H, W].
    """
    if not _compiled(image, shifts):
        return (_read(image, shifts) * weights[:, None]).sum(2)
    return _WeightedSamples.apply(image, shifts, weights)


def _compiled(image: Tensor, shifts: Tensor) -> bool:
    """Whether the loops can be used: real numbers (not shapes alone) in this machine's memory."""
    if torch.compiler.is_compiling() or type(image) not in (Tensor, nn.Parameter):
        return False
    return image.device.type == "cpu" and image.dtype == torch.float32 and shifts.dtype == torch.float32


def _read(image: Tensor, shifts: Tensor) -> Tensor:
    """Shape: [B, C, H, W], [B, S, h, w, 2] -> [B, C, S, H, W]."""
    batch, channels, height, width = image.shape
    count = shifts.shape[1]
    rows, columns = (
        (torch.arange(size, dtype=image.dtype, device=image.device) + 0.5) * (2 / size) - 1 for size in (height, width)
    )
    here = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    here = here.view(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX, 2)
    away = shifts * (2 / shifts.new_tensor([width, height]))
    grid = (away[:, :, :, None, :, None] + here).reshape(batch, count * height, width, 2)
    seen = functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return seen.view(batch, channels, count, height, width)


class _Samples(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, image: Tensor, shifts: Tensor) -> Tensor:
        context.save_for_backward(image, shifts)
        return torch.from_numpy(_run("samples", _array(image), _array(shifts)))

    @staticmethod
    def backward(context: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        image, shifts = context.saved_tensors
        found = _run(
            "samples backward", _array(image), _array(shifts), _array(given), wanted=context.needs_input_grad[0]
        )
        return tuple(torch.from_numpy(part) for part in found)


class _WeightedSamples(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, image: Tensor, shifts: Tensor, weights: Tensor) -> Tensor:
        context.save_for_backward(image, shifts, weights)
        return torch.from_numpy(_run("weighted", _array(image), _array(shifts), _array(weights)))

    @staticmethod
    def backward(context: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        image, shifts, weights = context.saved_tensors
        arrays = [_array(part) for part in (image, shifts, weights, given)]
        found = _run("weighted backward", *arrays, wanted=context.needs_input_grad[0])
        return tuple(torch.from_numpy(part) for part in found)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _run(name: str, image: np.ndarray, shifts: np.ndarray, *more: np.ndarray, wanted: bool = True) -> Any:
    """One of the kernels over all images; a part of an image's rows of blocks for every thread going forward.

    wanted: whether the image's gradient is.
    """
    kernel = _kernels()[name]
    threads = torch.get_num_threads()
    count, height, width = shifts.shape[1], *image.shape[-2:]
    rows = height // BLOCK_PX
    backward = name.endswith("backward")
    out: tuple[np.ndarray, ...]
    if backward:
        out = tuple(np.zeros(part.shape, np.float32) for part in (image, shifts, *more[:-1]))
    else:
        shape = (*image.shape[:1], count, height, width) if name == "samples" else image.shape
        out = (np.empty(shape, np.float32),)
    pieces = 1 if backward else min(threads, rows)  # going back, rows add to one another's pixels
    calls = [
        (number, rows * piece // pieces, rows * (piece + 1) // pieces)
        for number in range(len(image))
        for piece in range(pieces)
    ]

    def call(place: tuple[int, int, int]) -> None:
        number, first, last = place
        arrays = [part[number] for part in (image, shifts, *more, *out)]
        if backward:
            kernel(*arrays, wanted, first, last)
        else:
            kernel(*arrays, first, last)

    if threads > 1 and len(calls) > 1:
        list(_pool(threads).map(call, calls))
    else:
        for place in calls:
            call(place)
    return out if backward else out[0]


@functools.lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


@functools.cache
def _kernels() -> dict[str, Callable[..., None]]:
    """Read at first use, so that whoever needs none of them does not wait for numba."""
    from models.nets.along_motion_compiled import KERNELS

    return KERNELS
