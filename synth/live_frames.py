"""Blur drawn on the fly from consecutive sharp frames: real motion, parallax and occlusion, through our own flow.

An exposure lies around a captured frame, which is the sharp picture bit for bit; it reaches up to MOST_GAPS gaps to
either side, and the virtual frames between are those of the `flow` interpolator. A part of the frame is cut out before
anything is interpolated, with room for the motion. Gaps where the flow does not explain the second frame (an object
uncovered, a cut, a flash) would ghost: they are found once, when the frames are read, and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from core import camera_response
from core.image_files import read_image
from core.random_streams import stream
from synth.interp.flow import TIERS, Flow
from synth.live_exposures import Exposure, LiveSettings, draw_gamma, log_uniform
from synth.quality import gap_motion

MOST_GAPS = 1.5  # of an exposure, to either side
ROOM_PX = 48  # around the sample, for the motion
LEAST_EXTENT_PX, SPACING_PX = 0.5, 1.0
MOST_DISAGREEMENT = 12.0  # levels of 255 by which the two frames of a gap differ after the flow
MOST_MOTION_PX = 40.0  # over a gap; flow finds no more


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """A captured frame whose gaps before and after can be interpolated. motion_px: mean length of the motion there."""

    frames: tuple[np.ndarray, ...]  # uint8 [H, W, 3], the middle one is sharp
    motion_px: float


class Sequences:
    """Frames of sequences, in memory, as moments that an exposure can lie around."""

    def __init__(self, sequences: Sequence[Sequence[Path]], settings: LiveSettings) -> None:
        """sequences: the files of each, in order. Errors: as `read_image`; ValueError if no gap can be interpolated."""
        self.settings, self.left_out = settings, 0
        self.moments: list[Moment] = []
        self.flow = Flow(TIERS["fast"])
        self.interpolator = Flow(TIERS["balanced"])
        for files in sequences:
            self._add([read_image(path, convert=True) for path in files])
        if not self.moments:
            raise ValueError(
                "no frame of these sequences has neighbours that can be interpolated: at least 3 consecutive frames of "
                f"one scene that move by {LEAST_EXTENT_PX} to {MOST_MOTION_PX:g} px are needed"
            )

    def _add(self, frames: list[np.ndarray]) -> None:
        side = self.settings.side_px
        if len(frames) < 3 or min(frames[0].shape[:2]) < side:
            self.left_out += len(frames)
            return
        good: list[float] = []
        for first, second in pairwise(frames):
            if first.shape != second.shape:
                good.append(-1.0)
                continue
            found = gap_motion(first, second, self.flow.motion(first, second))
            length_px = float(np.percentile(found.lengths_px, 90))
            fits = found.disagreement <= MOST_DISAGREEMENT and LEAST_EXTENT_PX <= length_px <= MOST_MOTION_PX
            good.append(length_px if fits else -1.0)
        for index in range(1, len(frames) - 1):
            if good[index - 1] < 0 or good[index] < 0:
                self.left_out += 1
                continue
            wide = 2 <= index < len(frames) - 2 and good[index - 2] >= 0 and good[index + 1] >= 0
            reach = 2 if wide else 1
            self.moments.append(
                Moment(
                    frames=tuple(frames[index - reach : index + reach + 1]),
                    motion_px=(good[index - 1] + good[index]) / 2,
                )
            )

    def draw(self, seed: int, number: int) -> Exposure:
        """Exposure number `number` of a seed: the same from any worker at any time."""
        settings = self.settings
        rng = stream(seed, "live frames", number)
        gamma = draw_gamma(settings, rng)
        extent_px = log_uniform(rng, (settings.extent_px[0], settings.most_px(number)))
        moment = self.moments[int(rng.integers(len(self.moments)))]
        reach = len(moment.frames) // 2
        # An exposure of `gaps` to either side moves things by about 2 gaps times the motion of a gap.
        gaps = float(np.clip(extent_px / (2 * moment.motion_px), 0.05, MOST_GAPS if reach > 1 else 1.0))
        height, width = moment.frames[0].shape[:2]
        side = settings.side_px
        top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
        y0, x0 = max(0, top - ROOM_PX), max(0, left - ROOM_PX)
        window = np.s_[y0 : top + side + ROOM_PX, x0 : left + side + ROOM_PX]
        frames = [np.ascontiguousarray(frame[window]) for frame in moment.frames]
        response = _response(gamma)
        total_lin, weight = np.zeros(frames[0].shape, np.float32), 0.0
        for direction in (-1, 1):
            part_lin, part = self._half(frames, reach, direction, gaps, moment.motion_px, response)
            total_lin += part_lin
            weight += part
        sharp_lin = response.to_linear(frames[reach])
        inner = np.s_[top - y0 : top - y0 + side, left - x0 : left - x0 + side]
        return Exposure(
            blur=np.ascontiguousarray(total_lin[inner] / np.float32(weight)),
            sharp=np.ascontiguousarray(sharp_lin[inner]),
            gamma=gamma,
            path=(0.0, 0.0, 0.0, 0.0, 0.0),
        )

    def _half(
        self,
        frames: list[np.ndarray],
        middle: int,
        direction: int,
        gaps: float,
        motion_px: float,
        response: camera_response.CameraResponse,
    ) -> tuple[np.ndarray, float]:
        """The sum of the virtual frames on one side of the middle, as a trapezoid, and the sum of its weights."""
        steps = max(2, int(np.ceil(gaps * motion_px / SPACING_PX)))
        total_lin = response.to_linear(frames[middle]) / np.float32(2)  # the other half is the other side's
        weight = 0.5
        for gap in range(int(np.ceil(gaps))):
            times = [gaps * (step + 1) / steps for step in range(steps)]
            inside = [time for time in times if gap < time < gap + 1]
            whole = [time for time in times if time == gap + 1]
            here, there = frames[middle + direction * gap], frames[middle + direction * (gap + 1)]
            if inside:
                virtual = self.interpolator.between(here, there, [time - gap for time in inside], response)
                for time, frame in zip(inside, virtual, strict=True):
                    share = 0.5 if time == times[-1] else 1.0
                    total_lin += np.float32(share) * response.to_linear(frame)
                    weight += share
            for time in whole:
                share = 0.5 if time == times[-1] else 1.0
                total_lin += np.float32(share) * response.to_linear(there)
                weight += share
        return total_lin, weight


def _response(gamma: float) -> camera_response.CameraResponse:
    """The curve whose light is averaged: none, sRGB, or a power."""
    if gamma == 1:
        return camera_response.response("linear")
    if gamma == 0:
        return camera_response.response("srgb")
    return camera_response.CameraResponse(
        name=f"gamma{gamma:.3f}",
        source="a power, drawn",
        decode=lambda encoded: np.power(encoded, gamma),
        encode=lambda light: np.power(light, 1 / gamma),
    )
