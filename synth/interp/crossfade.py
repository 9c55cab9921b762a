"""Cross-fade: a virtual frame is the mix of its two neighbours in linear light. Moving things ghost.

Summed over a gap it equals trapezoid weights on the captured frames: the baseline that any interpolation has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.camera_response import CameraResponse
from synth.interp.base import require_gap, require_phases

if TYPE_CHECKING:
    from synth.interp.integral import GapPath


class CrossFade:
    """The Interpolator `crossfade`."""

    name = "crossfade"
    looks_around = False
    any_factor = True
    weights_sha256 = ""

    def between(
        self,
        first: np.ndarray,
        second: np.ndarray,
        phases: Sequence[float],
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        require_gap(first, second, 1)
        require_phases(phases)
        first_lin, second_lin = response.to_linear(first), response.to_linear(second)
        frames = np.empty((len(phases), *first.shape), dtype=np.float32)
        for index, phase in enumerate(phases):
            frames[index] = response.to_encoded(first_lin * np.float32(1 - phase) + second_lin * np.float32(phase))
        return frames

    def gap_sum(
        self,
        first: np.ndarray,
        second: np.ndarray,
        factor: int,
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        require_gap(first, second, factor)
        total = response.to_linear(first)
        total += response.to_linear(second)
        total *= np.float32((factor - 1) / 2)  # the phases are symmetric: each end has half of the factor - 1 frames
        return total
