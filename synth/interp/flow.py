"""Optical flow (OpenCV's DIS): a virtual frame is its neighbours moved along their paths; a gap is one integral.

Three tiers: `flow-fast`, `flow` (balanced, also called `flow-balanced`) and `flow-best`; TIERS says what they do, and
docs/log (6) what they measure. Sources: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016 (the
flow); the integral is our own, synth/interp/integral.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.camera_response import CameraResponse
from synth.interp.base import require_gap, require_phases

if TYPE_CHECKING:
    import torch

    from synth.interp.integral import GapPath, Sampling

_SMALLEST_SIDE_PX = 32  # below it DIS has no pyramid to work on; such frames are padded


@dataclass(frozen=True, kw_only=True)
class Tier:
    """preset: of DIS. both_directions: the flow forward and the flow back, averaged in the middle of the gap; else
    forward alone. spacing_px, nearest, cubic: see `synth.interp.integral.Sampling`."""

    name: str
    preset: int
    both_directions: bool
    spacing_px: float
    nearest: bool
    cubic: bool


# Spacings of 1 to 1.4 px: the comb's first alias stays at or beyond what pixels can show; 2 px costs 2 to 5 dB.
TIERS: dict[str, Tier] = {
    "fast": Tier(
        name="flow-fast",
        preset=cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
        both_directions=False,
        spacing_px=1.4,
        nearest=True,
        cubic=False,
    ),
    "balanced": Tier(
        name="flow",
        preset=cv2.DISOPTICAL_FLOW_PRESET_FAST,
        both_directions=True,
        spacing_px=1.4,
        nearest=False,
        cubic=True,
    ),
    "best": Tier(
        name="flow-best",
        preset=cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        both_directions=True,
        spacing_px=1.0,
        nearest=False,
        cubic=True,
    ),
}


class Flow:
    """An Interpolator. Every thread has its own DIS object, because DIS keeps buffers between calls.

    To build another one on the same integral, override `motion`.
    """

    any_factor = True
    weights_sha256 = ""

    looks_around = True

    def __init__(self, tier: Tier = TIERS["balanced"]) -> None:
        self.name, self.tier = tier.name, tier
        self._local = threading.local()

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
        path = path or self._uniform(first, second)
        slow = self._steps(path, 2) == 1
        first_lin, second_lin = response.to_linear(first), response.to_linear(second)
        frames = np.empty((len(phases), *first.shape), dtype=np.float32)
        for index, phase in enumerate(phases):
            moved = self._moved(first_lin, second_lin, path, phase)
            still = first_lin * np.float32(1 - phase) + second_lin * np.float32(phase)
            frames[index] = response.to_encoded(np.where(slow[..., None], still, moved))
        return frames

    def gap_sum(
        self,
        first: np.ndarray,
        second: np.ndarray,
        factor: int,
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        from synth.interp.integral import padded_lin, virtual_sum

        require_gap(first, second, factor)
        if factor == 1:
            return np.zeros(first.shape, dtype=np.float32)
        path = path or self._uniform(first, second)
        return virtual_sum(padded_lin(first, response), padded_lin(second, response), path, factor, self.sampling())

    def gap_integral(
        self, first: np.ndarray, second: np.ndarray, factor: int, response: CameraResponse, path: GapPath
    ) -> np.ndarray:
        from synth.interp.integral import gap_total, padded_lin

        require_gap(first, second, factor)
        return gap_total(padded_lin(first, response), padded_lin(second, response), path, factor, self.sampling())

    def motion(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Motion over the gap of what is at each pixel in its middle.

        Shape: two uint8 [H, W, 3] -> float32 [H, W, 2] (x right, y down). Units: px per gap.
        """
        height, width = first.shape[:2]
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        pad_y, pad_x = max(0, _SMALLEST_SIDE_PX - height), max(0, _SMALLEST_SIDE_PX - width)
        if pad_y or pad_x:
            grey = [cv2.copyMakeBorder(image, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE) for image in grey]
        forward = self._dis(grey[0], grey[1])[:height, :width]
        if not self.tier.both_directions:
            return to_the_middle(forward, None)
        return to_the_middle(forward, self._dis(grey[1], grey[0])[:height, :width])

    def motions(self, gaps: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """`motion` of several gaps of one size; a network looks at them at once."""
        return [self.motion(first, second) for first, second in gaps]

    def use(self, device: torch.device) -> None:
        """Let the network, where there is one, run on another device. DIS has none."""

    def path(self, motion_px: np.ndarray, before_px: np.ndarray | None, after_px: np.ndarray | None) -> GapPath:
        from synth.interp.integral import bent_path

        return bent_path(motion_px, before_px, after_px)

    def sampling(self) -> Sampling:
        """How the tier samples paths."""
        from synth.interp.integral import Sampling

        return Sampling(spacing_px=self.tier.spacing_px, nearest=self.tier.nearest, cubic=self.tier.cubic)

    def _uniform(self, first: np.ndarray, second: np.ndarray) -> GapPath:
        return self.path(self.motion(first, second), None, None)

    def _steps(self, path: GapPath, factor: int) -> np.ndarray:
        """Steps of the integral, per pixel. Shape: [H, W]."""
        from synth.interp.integral import path_length_px

        return np.clip(np.ceil(path_length_px(path) / self.tier.spacing_px), 1, factor)

    def _moved(self, first_lin: np.ndarray, second_lin: np.ndarray, path: GapPath, phase: float) -> np.ndarray:
        """The picture at a phase, every pixel moved. Shape: float32 [H, W, 3]; linear light."""
        from synth.interp.integral import pixel_places

        here = pixel_places(*path.motion_px.shape[:2])
        if path.bend_px is not None:
            here = cv2.scaleAdd(path.bend_px, phase * (1 - phase) / 2, here)
        kernel = cv2.INTER_CUBIC if self.tier.cubic else cv2.INTER_LINEAR
        late = phase if not self.tier.nearest else (0.0 if phase < 0.5 else 0.5 if phase == 0.5 else 1.0)
        moved = np.zeros_like(first_lin)
        for image_lin, run, weight in ((first_lin, -phase, 1 - late), (second_lin, 1 - phase, late)):
            if weight:
                places = cv2.scaleAdd(path.motion_px, run, here)
                shown = cv2.remap(image_lin, places, None, kernel, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
                moved += np.float32(weight) * shown
        return moved

    def _dis(self, first_grey: np.ndarray, second_grey: np.ndarray) -> np.ndarray:
        if not hasattr(self._local, "dis"):
            self._local.dis = cv2.DISOpticalFlow.create(self.tier.preset)
        return self._local.dis.calc(first_grey, second_grey, None)


def to_the_middle(forward: np.ndarray, backward: np.ndarray | None) -> np.ndarray:
    """Motion seen from the middle of the gap, from the flow of the first frame and, where known, of the second one.

    What is at x in the middle was at x - u/2 in the first frame and will be at x + u/2 in the second. Flow varies
    slowly: it is looked up at a quarter of the resolution, at which DIS itself works.
    Shape: float32 [H, W, 2] -> the same. Units: px per gap.
    """
    height, width = forward.shape[:2]
    small = (max(1, width // 4), max(1, height // 4))
    forward = cv2.resize(forward, small, interpolation=cv2.INTER_AREA)
    scale = np.array([small[0] / width, small[1] / height], dtype=np.float32)
    places = np.empty_like(forward)
    places[..., 0] = np.arange(small[0], dtype=np.float32)
    places[..., 1] = np.arange(small[1], dtype=np.float32)[:, None]
    if backward is None:
        middle = _look_up(forward, places - forward * scale * np.float32(0.5))
    else:
        backward = cv2.resize(backward, small, interpolation=cv2.INTER_AREA)
        half = cv2.addWeighted(forward, 0.25, backward, -0.25, 0.0) * scale
        middle = cv2.addWeighted(_look_up(forward, places - half), 0.5, _look_up(backward, places + half), -0.5, 0.0)
    return cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR)


def _look_up(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    return cv2.remap(field, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
