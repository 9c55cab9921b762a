"""What every interpolator offers: single virtual frames, and their sum over a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from core.camera_response import CameraResponse

if TYPE_CHECKING:
    from synth.interp.integral import GapPath


class Interpolator(Protocol):
    """Invents virtual frames between two captured ones. Its methods may be called from several threads at once.

    looks_around: the paths of pixels are bent after the motion in the gaps before and after (`Moving`). any_factor:
    `gap_sum` takes any factor, not only powers of two. weights_sha256: hash of the weights file, which decides the
    bytes of a set; "" without a network.
    """

    name: str
    looks_around: bool
    any_factor: bool
    weights_sha256: str

    def between(
        self,
        first: np.ndarray,
        second: np.ndarray,
        phases: Sequence[float],
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        """Virtual frames between two captured frames.

        path: how pixels move (None: uniformly, as found in the two frames; an interpolator without motion takes none).
        Shape: two uint8 [H, W, 3] -> float32 [len(phases), H, W, 3], RGB. Range: encoded, [0, 1]; phases in (0, 1).
        Errors: ValueError for other phases or frames of two sizes.
        """
        ...

    def gap_sum(
        self,
        first: np.ndarray,
        second: np.ndarray,
        factor: int,
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        """Sum of the factor - 1 virtual frames at phases 1/factor ... (factor-1)/factor.

        Shape: two uint8 [H, W, 3] -> float32 [H, W, 3], a new array. Range: linear light, [0, factor - 1].
        Errors: ValueError for a factor below 1 or frames of two sizes.
        """
        ...


@runtime_checkable
class Moving(Interpolator, Protocol):
    """An Interpolator that finds motion and may be told how it changes."""

    def motion(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Motion over the gap of what is at each pixel in its middle. Shape: [H, W, 2] float32. Units: px per gap."""
        ...

    def path(self, motion_px: np.ndarray, before_px: np.ndarray | None, after_px: np.ndarray | None) -> GapPath:
        """The path through a gap, given its motion and those of the gaps before and after (None: not known)."""
        ...

    def gap_integral(
        self, first: np.ndarray, second: np.ndarray, factor: int, response: CameraResponse, path: GapPath
    ) -> np.ndarray:
        """Half of both ends plus `gap_sum`, in one go. Shape and errors: as `gap_sum`. Range: [0, factor]."""
        ...


def sum_of_virtual_frames(
    interpolator: Interpolator,
    first: np.ndarray,
    second: np.ndarray,
    factor: int,
    response: CameraResponse,
    path: GapPath | None = None,
) -> np.ndarray:
    """`gap_sum` the plain way, frame by frame with `between`: the default, and the yardstick of the fused ones."""
    require_gap(first, second, factor)
    total = np.zeros(first.shape, dtype=np.float32)
    for step in range(1, factor):
        total += response.to_linear(interpolator.between(first, second, [step / factor], response, path)[0])
    return total


def require_gap(first: np.ndarray, second: np.ndarray, factor: int) -> None:
    """Errors: ValueError unless both are uint8 [H, W, 3] of one size and the factor is at least 1."""
    if first.dtype != np.uint8 or second.dtype != np.uint8 or first.ndim != 3 or first.shape[2] != 3:
        raise ValueError(f"captured frames are uint8 [H, W, 3], got {first.dtype} {list(first.shape)}")
    if first.shape != second.shape:
        raise ValueError(f"the two frames of a gap have one size, got {list(first.shape)} and {list(second.shape)}")
    if factor < 1:
        raise ValueError(f"the interpolation factor is at least 1, got {factor}")


def require_phases(phases: Sequence[float]) -> None:
    """Errors: ValueError unless every phase lies strictly between 0 and 1."""
    if any(not 0.0 < phase < 1.0 for phase in phases):
        raise ValueError(f"phases lie strictly between 0 and 1, got {list(phases)}")
