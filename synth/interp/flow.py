"""Optical flow (OpenCV's DIS): a virtual frame is both neighbours moved along straight paths and blended.

How a gap is integrated. The motion u(x) of whatever passes pixel x in the middle of the gap comes from both flows. At
phase t the pixel shows A(x - t u) and B(x + (1 - t) u), mixed by 1 - t and t. Every warp softens the picture a little,
so slow pixels are sampled seldom: with N steps the trapezoid (A/2 + N - 1 warps + B/2) / N stands for the mean over the
gap. N is 1 (nothing is warped) where a pixel moves less than MAX_SPACING_PX, else the next of 2, 4, 8 ... factor.
Sources: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016 (the flow); the integral is our own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np

from synth.camera import CameraResponse
from synth.interp.base import require_gap, require_phases

# Samples at most this far apart: their comb's first alias (1 / 1.4 cycles per px) stays beyond what pixels can show.
MAX_SPACING_PX = 1.4
# The image is integrated tile by tile: only tiles with fast pixels pay for many samples, and a tile stays in the cache.
TILE_PX = 128
_SMALLEST_SIDE_PX = 32  # below it DIS has no pyramid to work on; such frames are padded
_SAMPLING = cv2.INTER_CUBIC  # bilinear sampling costs 2 to 5 dB where samples are few


class Flow:
    """The Interpolator `flow`. Every thread has its own DIS object, because DIS keeps buffers between calls."""

    name = "flow"
    any_factor = True
    weights_sha256 = ""

    def __init__(self) -> None:
        self._local = threading.local()

    def between(
        self, first: np.ndarray, second: np.ndarray, phases: Sequence[float], response: CameraResponse
    ) -> np.ndarray:
        require_gap(first, second, 1)
        require_phases(phases)
        motion_px = self.motion(first, second)
        slow = (cv2.magnitude(*cv2.split(motion_px)) <= MAX_SPACING_PX)[..., None]
        first_lin, second_lin = response.to_linear(first), response.to_linear(second)
        places = _places(*first.shape[:2])
        frames = np.empty((len(phases), *first.shape), dtype=np.float32)
        for index, phase in enumerate(phases):
            moved = _blend(first_lin, second_lin, places, motion_px, phase)
            still = first_lin * np.float32(1 - phase) + second_lin * np.float32(phase)
            frames[index] = response.to_encoded(np.where(slow, still, moved))
        return frames

    def gap_sum(self, first: np.ndarray, second: np.ndarray, factor: int, response: CameraResponse) -> np.ndarray:
        require_gap(first, second, factor)
        first_lin, second_lin = response.to_linear(first), response.to_linear(second)
        ends_lin = cv2.addWeighted(first_lin, 0.5, second_lin, 0.5, 0.0)
        if factor == 1:
            return np.zeros_like(ends_lin)
        motion_px = self.motion(first, second)
        mean_lin = _gap_mean(first_lin, second_lin, ends_lin, motion_px, factor)
        mean_lin *= np.float32(factor)
        mean_lin -= ends_lin
        return mean_lin

    def motion(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Motion over the gap of what is at each pixel in its middle.

        Shape: two uint8 [H, W, 3] -> float32 [H, W, 2] (x right, y down). Units: px per gap.
        """
        height, width = first.shape[:2]
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        pad_y, pad_x = max(0, _SMALLEST_SIDE_PX - height), max(0, _SMALLEST_SIDE_PX - width)
        if pad_y or pad_x:
            grey = [cv2.copyMakeBorder(image, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE) for image in grey]
        forward = self._flow(grey[0], grey[1])[:height, :width]
        backward = self._flow(grey[1], grey[0])[:height, :width]
        return middle_motion(forward, backward)

    def _flow(self, first_grey: np.ndarray, second_grey: np.ndarray) -> np.ndarray:
        if not hasattr(self._local, "dis"):
            self._local.dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        return self._local.dis.calc(first_grey, second_grey, None)


def middle_motion(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Motion over the gap of what is at each pixel in its middle, from the flows of both frames to each other.

    Shape: float32 [H, W, 2] each. Units: px per gap.
    """
    # What is at x in the middle was at x - u/2 in the first frame and will be at x + u/2 in the second.
    half = cv2.addWeighted(forward, 0.25, backward, -0.25, 0.0)
    places = _places(*forward.shape[:2])
    leaving = _sample(forward, places - half, cv2.INTER_LINEAR)
    arriving = _sample(backward, places + half, cv2.INTER_LINEAR)
    return cv2.addWeighted(leaving, 0.5, arriving, -0.5, 0.0)


def sample_steps(length_px: np.ndarray, factor: int) -> np.ndarray:
    """Steps that the integral takes along a path: 1, 2, 4 ... factor, at most MAX_SPACING_PX apart where factor allows.

    Shape: [H, W] -> int32 [H, W]. Units: px.
    """
    steps = np.ones(length_px.shape, dtype=np.int32)
    for coarser, finer in zip(step_levels(factor)[:-1], step_levels(factor)[1:], strict=True):
        steps[length_px > coarser * MAX_SPACING_PX] = finer
    return steps


def step_levels(factor: int) -> list[int]:
    """1, 2, 4 ... up to and including factor."""
    levels = [1]
    while levels[-1] < factor:
        levels.append(min(2 * levels[-1], factor))
    return levels


def _gap_mean(
    first_lin: np.ndarray, second_lin: np.ndarray, ends_lin: np.ndarray, motion_px: np.ndarray, factor: int
) -> np.ndarray:
    """Trapezoid mean over the gap. Shape: float32 [H, W, 3], new."""
    height, width = motion_px.shape[:2]
    steps = sample_steps(cv2.magnitude(*cv2.split(motion_px)), factor)
    mean_lin = ends_lin.copy()
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            tile = np.s_[top : top + TILE_PX, left : left + TILE_PX]
            tile_steps = steps[tile]
            if tile_steps.max() > 1:
                rows, columns = tile_steps.shape
                places = _places(rows, columns, top, left)
                _integrate_tile(first_lin, second_lin, mean_lin[tile], motion_px[tile], places, tile_steps)
    return mean_lin


def _integrate_tile(
    first_lin: np.ndarray,
    second_lin: np.ndarray,
    mean_lin: np.ndarray,
    motion_px: np.ndarray,
    places: np.ndarray,
    steps: np.ndarray,
) -> None:
    """Put the means of the pixels with more than one step into `mean_lin`, which comes with the mean of the ends."""
    ends_lin = mean_lin.copy()
    total_lin, sampled = ends_lin, 1
    for level in step_levels(int(steps.max()))[1:]:
        nested = level == 2 * sampled  # then every second sample is in the total already
        total_lin = total_lin if nested else ends_lin
        for index in range(1, level, 2 if nested else 1):
            total_lin = total_lin + _blend(first_lin, second_lin, places, motion_px, index / level)
        sampled = level
        here = (steps == level)[..., None]
        np.copyto(mean_lin, total_lin * np.float32(1 / level), where=here)


def _blend(
    first_lin: np.ndarray, second_lin: np.ndarray, places: np.ndarray, motion_px: np.ndarray, phase: float
) -> np.ndarray:
    """The picture at `places` at a phase: first moved forward, second moved back, mixed. Shape: [H, W, 3]."""
    from_first = cv2.scaleAdd(motion_px, -phase, places)
    from_second = cv2.scaleAdd(motion_px, 1 - phase, places)
    moved_first = _sample(first_lin, from_first, _SAMPLING)
    moved_second = _sample(second_lin, from_second, _SAMPLING)
    return cv2.addWeighted(moved_first, 1 - phase, moved_second, phase, 0.0)


def _sample(image: np.ndarray, places: np.ndarray, interpolation: int) -> np.ndarray:
    """Values of `image` at `places` (x, y); beyond the border its edge goes on."""
    return cv2.remap(image, places, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def _places(height: int, width: int, top: int = 0, left: int = 0) -> np.ndarray:
    """Pixel coordinates. Shape: float32 [H, W, 2] (x, y)."""
    places = np.empty((height, width, 2), dtype=np.float32)
    places[..., 0] = np.arange(left, left + width, dtype=np.float32)
    places[..., 1] = np.arange(top, top + height, dtype=np.float32)[:, None]
    return places
