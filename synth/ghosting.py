"""Ghosting: what is left of the separate copies that too few frames leave in a blurred image."""

from __future__ import annotations

import numpy as np

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
