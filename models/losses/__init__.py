"""Training losses by name: functions of tensors to a scalar. A new one is a function here and a line below."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from models.losses.gfpgan import gram_style, identity, pyramid_l1
from models.losses.pixel import charbonnier, l1, mse, psnr, psnr_40
from models.losses.spectral import mimo_frequency

LOSSES: dict[str, Callable[..., Tensor]] = {
    "l1": l1,
    "mse": mse,
    "charbonnier": charbonnier,
    "psnr": psnr,
    "psnr-40": psnr_40,
    "mimo-frequency": mimo_frequency,
    "pyramid-l1": pyramid_l1,
    "gram-style": gram_style,
    "identity": identity,
}
