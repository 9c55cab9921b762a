"""Training losses by name: functions of tensors to a scalar. A new one is a function here and a line below."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from models.losses.pixel import charbonnier, l1, mse
from models.losses.spectral import mimo_frequency

LOSSES: dict[str, Callable[..., Tensor]] = {
    "l1": l1,
    "mse": mse,
    "charbonnier": charbonnier,
    "mimo-frequency": mimo_frequency,
}
