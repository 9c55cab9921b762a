"""How true a synthesised blur is: PSNR beside the true one and the naive averages, where the true one is known.

And ghosting: what is left in a blurred image of the separate copies that too few frames leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.camera_response import CameraResponse

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


COMB_PASSES = 0.3
TRUTH_STOPS = 0.12


def ghost_residual(
    blur_lin: np.ndarray, plain_lin: np.ndarray, truth_lin: np.ndarray, path_px: np.ndarray, captured_px: np.ndarray
) -> float:
    """Share of the plain mean's ghosts that a synthesised blur still has; 1 for the plain mean itself.

    Ghosts live where the comb of the captured positions lets a spatial frequency pass (above 0.3) that the true path
    stops (below 0.12); compared is the energy of the error against the truth in those frequencies, borders cut.

    Shape: three images [H, W, 3]; path_px [N, 2] and captured_px [M, 2]: where the middle of the picture is at evenly
    spaced instants and in the captured frames (x, y). Units: px. Returns nan where there are no such frequencies.
    """
    border = min(16, min(truth_lin.shape[:2]) // 5)
    inside = np.s_[border : truth_lin.shape[0] - border, border : truth_lin.shape[1] - border]
    height, width = truth_lin[inside].shape[:2]
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    bins = (_transfer(captured_px, fx, fy) > COMB_PASSES) & (_transfer(path_px, fx, fy) < TRUTH_STOPS)
    if not bins.any():
        return float("nan")
    window = np.outer(np.hanning(height), np.hanning(width))

    def energy(image_lin: np.ndarray) -> float:
        error = (image_lin[inside] - truth_lin[inside]).mean(axis=-1) * window
        return float(np.square(np.abs(np.fft.rfft2(error)))[bins].sum())

    return energy(blur_lin) / energy(plain_lin)


def _transfer(positions_px: np.ndarray, fx: np.ndarray, fy: np.ndarray) -> np.ndarray:
    """Modulus of the transfer function of a mean over positions; the two end ones count half. Shape: of fx."""
    total = np.zeros(fx.shape, dtype=np.complex128)
    weights = np.ones(len(positions_px))
    weights[[0, -1]] = 0.5
    for (x, y), weight in zip(positions_px, weights / weights.sum(), strict=True):
        total += weight * np.exp(-2j * np.pi * (fx * x + fy * y))
    return np.abs(total)
