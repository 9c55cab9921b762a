"""High dynamic range: the curves of HLG and PQ, and light of either brought into the range of an ordinary picture.

Diffuse white is 203 cd/m2, 75 % of an HLG signal and 58 % of a PQ signal (ITU-R BT.2408-7, table 1). A picture of
ordinary range ends there; what is brighter is compressed with the knee of ITU-R BT.2390-11 (section 5.4.1), channel by
channel, so that it can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

TRANSFERS = {18: "hlg", 16: "pq"}  # numbers of these curves in ITU-T H.273, table 3
WHITE_NITS = 203.0
PQ_PEAK_NITS = 10_000.0
PQ_MASTERED_NITS = 1_000.0  # what is brighter is cut off
_POINTS = 1 << 14

# ITU-R BT.2100-2, table 5 (HLG reference OETF)
_HLG_A = 0.17883277
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * float(np.log(4 * _HLG_A))
# ITU-R BT.2100-2, table 4 (PQ)
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

# From the primaries of BT.2020 to those of BT.709, for linear light (ITU-R BT.2087-0, section 4.4).
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """Scene light of an HLG signal, both in [0, 1]: the inverse of BT.2100's OETF."""
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12)


def hlg_from_scene(light: np.ndarray) -> np.ndarray:
    """HLG signal of scene light, both in [0, 1]: BT.2100's OETF."""
    bright = _HLG_A * np.log(np.maximum(12 * light - _HLG_B, 1e-9)) + _HLG_C
    return np.where(light <= 1 / 12, np.sqrt(3 * np.maximum(light, 0)), bright)


def pq_to_display(signal: np.ndarray) -> np.ndarray:
    """Share of 10,000 cd/m2 of a PQ signal, both in [0, 1]: BT.2100's EOTF."""
    powered = np.power(signal, 1 / _PQ_M2, dtype=np.float64)  # single precision loses four digits here
    return np.power(np.maximum(powered - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * powered), 1 / _PQ_M1)


def pq_from_display(light: np.ndarray) -> np.ndarray:
    """PQ signal of a share of 10,000 cd/m2, both in [0, 1]: the inverse of BT.2100's EOTF."""
    powered = np.power(light, _PQ_M1, dtype=np.float64)
    return np.power((_PQ_C1 + _PQ_C2 * powered) / (1 + _PQ_C3 * powered), _PQ_M2)


@dataclass(frozen=True, kw_only=True)
class DynamicRange:
    """One of the two curves with the way into an ordinary picture.

    white: linear value, in this curve's own scale of [0, 1], of diffuse white. peak: linear value of the brightest that
    is kept.
    """

    name: str
    white: float
    peak: float

    def to_ordinary_lin(self, linear: np.ndarray) -> np.ndarray:
        """Light of this curve's scale as light of an ordinary picture; its primaries stay.

        Shape: any, kept. Range: [0, 1] -> [0, 1] (1 is the brightest that is kept), float32.
        """
        bright, ordinary = self._knee
        return np.interp(linear, bright, ordinary).astype(np.float32)

    def from_ordinary_lin(self, linear: np.ndarray) -> np.ndarray:
        """Undoes `to_ordinary_lin` for what was not cut off."""
        bright, ordinary = self._knee
        return np.interp(linear, ordinary, bright).astype(np.float32)

    @cached_property
    def _knee(self) -> tuple[np.ndarray, np.ndarray]:
        """The two sides of the compression: light of this curve's scale, and of an ordinary picture."""
        nits_a_unit = WHITE_NITS / self.white
        most = float(pq_from_display(np.asarray(self.peak * nits_a_unit / PQ_PEAK_NITS)))
        target = float(pq_from_display(np.asarray(WHITE_NITS / PQ_PEAK_NITS))) / most
        starts = 1.5 * target - 0.5
        signal = np.linspace(0.0, 1.0, _POINTS)
        t = np.clip((signal - starts) / (1 - starts), 0, 1)
        spline = (
            (2 * t**3 - 3 * t**2 + 1) * starts + (t**3 - 2 * t**2 + t) * (1 - starts) + (3 * t**2 - 2 * t**3) * target
        )
        shown = np.where(signal < starts, signal, spline)
        bright = pq_to_display(signal * most) * PQ_PEAK_NITS / nits_a_unit
        ordinary = pq_to_display(shown * most) * PQ_PEAK_NITS / WHITE_NITS
        return bright, np.clip(ordinary, 0, 1)


def to_bt709_lin(linear: np.ndarray) -> np.ndarray:
    """Linear light with BT.2020's primaries as light with BT.709's; colours outside those are cut off at 0.

    Shape: [..., 3] float32, new.
    """
    return np.maximum(linear @ BT2020_TO_BT709.T, 0.0)


DYNAMIC_RANGES = {
    "hlg": DynamicRange(name="hlg", white=float(hlg_to_scene(np.asarray(0.75))), peak=1.0),
    "pq": DynamicRange(name="pq", white=WHITE_NITS / PQ_PEAK_NITS, peak=PQ_MASTERED_NITS / PQ_PEAK_NITS),
}
