"""A degradation: something that happens to a picture after it was exposed, in linear light or in encoded values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DOMAINS = ("linear", "encoded")


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """Call it with an image and a generator: float32 [H, W, 3] RGB in [0, 1] -> the same shape and range, new.

    domain: "linear" (light) or "encoded". The result depends on the image and the generator's state alone.
    """

    name: str
    domain: str
    source: str
    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    def __post_init__(self) -> None:
        if self.domain not in DOMAINS:
            raise ValueError(f"{self.name}: a degradation's domain is {' or '.join(DOMAINS)}, got {self.domain!r}")

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        require_image(image)
        degraded = self.apply(image.astype(np.float32, copy=False), rng)
        return np.clip(degraded, 0.0, 1.0).astype(np.float32, copy=False)


def require_image(image: np.ndarray) -> None:
    """Errors: ValueError unless it is float [H, W, 3] in [0, 1]."""
    if image.ndim != 3 or image.shape[2] != 3 or not np.issubdtype(image.dtype, np.floating):
        raise ValueError(
            f"a degradation takes a float image [H, W, 3] in [0, 1], got {image.dtype} {list(image.shape)}"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ValueError(
            f"a degradation takes values in [0, 1], got {low:g} to {high:g}; divide 8-bit values by 255 first"
        )


def require_order(chain: Sequence[Degradation]) -> None:
    """Errors: ValueError if one that works on light comes after one that works on encoded values."""
    encoded = ""
    for degradation in chain:
        if degradation.domain == "encoded":
            encoded = degradation.name
        elif encoded:
            raise ValueError(
                f"{degradation.name} works in linear light and cannot follow {encoded}, which works on encoded values; "
                "put it first"
            )
