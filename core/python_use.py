"""Entry scripts as functions of arrays: what `from models import restore` and `from benchmark import score` stand on.

An entry script such as models/restore.py is a module of its package already, so the package cannot give that name to a
function as well: whichever was imported last would win. Called, the module does what its function does. Images come in
arrays, are checked at the boundary, and are given back in the type they came in.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

LEVELS = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def as_float(images: object, what: str, dimensions: tuple[int, ...] = (3,)) -> np.ndarray:
    """An image [H, W, 3], or a clip [T, H, W, 3] where 4 is among `dimensions`, as float32 in [0, 1].

    uint8 and uint16 are divided by their largest value; floats must lie in [0, 1]. what: for errors, "restored".
    Errors: ValueError, one sentence, for another type, shape or range.
    """
    array = np.asarray(images)
    shape = " or ".join("[H, W, 3]" if count == 3 else "[T, H, W, 3]" for count in dimensions)
    if array.ndim not in dimensions or array.shape[-1] != 3 or not array.size:
        raise ValueError(f"{what}: RGB of shape {shape} is needed, got {list(array.shape)}")
    if array.dtype in LEVELS:
        return array.astype(np.float32) / np.float32(LEVELS[array.dtype])
    if array.dtype not in FLOATS:
        raise ValueError(f"{what}: uint8, uint16 or floats in [0, 1] are needed, got {array.dtype}")
    least, greatest = float(array.min()), float(array.max())
    if not (least >= 0 and greatest <= 1):  # also for NaN
        raise ValueError(f"{what}: floats lie in [0, 1], these in [{least:g}, {greatest:g}]; divide them by full scale")
    return array.astype(np.float32)


def in_type_of(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] in the type of another array: rounded to whole levels for uint8 and uint16."""
    if like.dtype in LEVELS:
        return np.rint(values.clip(0, 1) * LEVELS[like.dtype]).astype(like.dtype)
    return values.astype(like.dtype)


def make_callable(module: str, function: Callable[..., Any]) -> None:
    """Let `module(...)` do what `function(...)` does; the signature of the module is the function's.

    >>> make_callable("core.python_use", len)
    >>> this = sys.modules["core.python_use"]
    >>> this((1, 2, 3))
    3
    """

    class Called(ModuleType):
        def __call__(self, *arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

        __call__.__doc__ = function.__doc__

    own = sys.modules[module]
    own.__class__ = Called
    own.__dict__["__signature__"] = inspect.signature(function)
