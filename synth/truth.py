"""How true a synthesised blur is, where the true one is known: PSNR of the synthesis beside the naive averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synth.camera import CameraResponse

BORDER_PX = 16
METHODS = ("synthesis", "trapezoid", "plain")


@dataclass(frozen=True, kw_only=True)
class TruthRecord:
    """PSNR against the true blur of one pair, of three ways to make it. Units: dB, encoded domain, float (not rounded),
    16 px border cut.

    synthesis: the pair as written, before rounding; trapezoid: captured frames with the two end ones weighted by half
    (a cross-fade); plain: the plain mean of the captured frames.
    """

    key: str
    synthesis: float
    trapezoid: float
    plain: float


def blur_psnr(blur_lin: np.ndarray, truth_lin: np.ndarray, response: CameraResponse) -> float:
    """PSNR in the encoded domain of one blurred image against the true one, both linear light, borders cut.

    Shape: [H, W, 3] each. Units: dB; infinite if they are equal.
    """
    border = BORDER_PX if min(truth_lin.shape[:2]) > 4 * BORDER_PX else 0
    inside = np.s_[border : truth_lin.shape[0] - border, border : truth_lin.shape[1] - border]
    difference = response.to_encoded(blur_lin[inside]) - response.to_encoded(truth_lin[inside])
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    return float("inf") if error == 0.0 else float(-10.0 * np.log10(error))


def summary(records: Sequence[TruthRecord]) -> dict[str, dict[str, float]]:
    """Mean and worst PSNR per method. Units: dB. Errors: ValueError without records."""
    if not records:
        raise ValueError("there is no pair with a known true blur")
    values = {method: [getattr(record, method) for record in records] for method in METHODS}
    return {method: {"mean_db": float(np.mean(found)), "worst_db": min(found)} for method, found in values.items()}


def summary_lines(records: Sequence[TruthRecord], interpolator: str, factor: int) -> list[str]:
    """The same for people."""
    found = summary(records)
    names = {
        "synthesis": f"synthesis ({interpolator} {factor}x)" if factor > 1 else "synthesis (1x)",
        "trapezoid": "trapezoid average of the captured frames",
        "plain": "plain average of the captured frames",
    }
    lines = [f"Error against the true blur of {len(records)} rendered windows (simulated), PSNR in dB, mean and worst:"]
    for method in METHODS:
        lines.append(f"  {names[method]:<42}{found[method]['mean_db']:6.2f}  {found[method]['worst_db']:6.2f}")
    gain_db = found["synthesis"]["mean_db"] - found["trapezoid"]["mean_db"]
    lines.append(f"  gain over the trapezoid average {gain_db:+.2f} dB in the mean")
    return lines
