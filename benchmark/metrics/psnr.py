"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics.images import checked_pair, to_array
from benchmark.protocols import Metric

if TYPE_CHECKING:
    from torch import Tensor


def from_mse(mse: float) -> float:
    """10 log10(1 / mse) for values in [0, 1]. Units: dB; infinite where the images are equal, without any epsilon."""
    return math.inf if mse == 0.0 else -10.0 * math.log10(mse)


def psnr(restored: Tensor, sharp: Tensor | None) -> float:
    """PSNR over all pixels and channels, in float64. Range: [0, 1] nominal. Units: dB."""
    assert sharp is not None
    difference = to_array(restored) - to_array(sharp)
    np.square(difference, out=difference)
    return from_mse(float(difference.mean()))


PSNR = Metric(
    name="psnr",
    title="PSNR",
    unit="dB",
    higher_is_better=True,
    needs_reference=True,
    source="10 log10(peak^2 / mean squared error), peak 1, one mean over pixels and channels",
    fn=checked_pair(psnr),
    unchecked=psnr,
)
