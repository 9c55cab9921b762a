"""Frames that repeat the one before them: found, left out, and the true spacing of what remains.

Doubles come in two ways. A slower capture was brought to a higher rate by repeating frames (192 frames a second stored
as 240: every fifth is a double): without them the frames are evenly spaced. Or a camera was too slow to write a frame
and repeated the last one: there is a hole, and motion is twice as long across it. The motion tells which it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np

from core.frame_times import FrameTimes
from core.video import VideoSource, Wanted, every_frame
from synth.continuity import continuity

ALIKE = 0.35  # of the usual motion: where a double is expected, a frame that moves less is one, whatever its coding
REGULAR = 0.6  # share of the distances between doubles that are the usual one
LONGEST_PERIOD = 60  # frames
EVEN_BELOW, LOST_ABOVE = 1.3, 1.7  # motion across a double, as a multiple of the motion beside it
LEAST_MOTION_PX = 0.15  # on the small images that are compared
_SMALL_SIDE_PX = 160


@dataclass(frozen=True, kw_only=True)
class Doubles:
    """frames: the repeated ones. every: their usual distance, None where they come irregularly. even: are the other
    frames evenly spaced in time? None: the motion does not tell.
    """

    frames: frozenset[int]
    count: int
    every: int | None
    even: bool | None


def regular_distance(frames: list[int]) -> int | None:
    """The usual distance of frames, given in order, if most of the distances are it (or its double: one was missed)."""
    distances = [second - first for first, second in pairwise(frames)]
    if len(distances) < 2:
        return None
    usual, times = Counter(distances).most_common(1)[0]
    fits = sum(distance % usual == 0 for distance in distances)
    regular = 2 <= usual <= LONGEST_PERIOD and times > 1 and fits >= REGULAR * len(distances)
    return usual if regular else None


def find_doubles(source: VideoSource) -> Doubles:
    """Look at every frame of a source once. What is broken in it is said when it is read for its pairs."""
    motion = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    lengths_px = [0.0]  # motion from the frame before, in every frame
    repeated: list[int] = []
    previous: np.ndarray | None = None
    small: np.ndarray | None = None
    count = 0
    for index, frame in enumerate(source.frames(every_frame, [])):
        assert frame is not None
        before, small, count = small, _small(frame), index + 1
        if previous is not None:
            flow_px = motion.calc(before, small, None)  # type: ignore[call-overload]
            lengths_px.append(float(np.median(np.hypot(flow_px[..., 0], flow_px[..., 1]))))
            if continuity(previous, frame).repeated:
                repeated.append(index)
        previous = frame
    every = regular_distance(repeated)
    found = set(repeated)
    usual_px = float(np.median(lengths_px[1:])) if count > 1 else 0.0
    if every and usual_px > LEAST_MOTION_PX:
        found |= set(_expected(lengths_px, usual_px, repeated, every))
    even: bool | None = None
    across = [lengths_px[frame + 1] for frame in sorted(found) if frame + 1 < count and frame + 1 not in found]
    if every and len(across) > 1 and usual_px > LEAST_MOTION_PX:
        beside = [lengths_px[i] for i in range(1, count) if i not in found and i - 1 not in found]
        ratio = float(np.median(across)) / float(np.median(beside)) if beside else 1.0
        even = True if ratio < EVEN_BELOW else False if ratio > LOST_ABOVE else None
    return Doubles(frames=frozenset(found), count=count, every=every, even=even)


def _expected(lengths_px: list[float], usual_px: float, repeated: list[int], every: int) -> Iterator[int]:
    """Frames where a double is expected and in which hardly anything has moved: a key frame changes a picture's noise,
    but not its place.
    """
    for phase in sorted({frame % every for frame in repeated}):
        if sum(frame % every == phase for frame in repeated) < 2:
            continue
        for frame in range(phase or every, len(lengths_px), every):
            if lengths_px[frame] <= ALIKE * usual_px:
                yield frame


def _small(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _SMALL_SIDE_PX / min(grey.shape))
    return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey


class WithoutDoubles:
    """A source without its repeated frames; a `core.video.VideoSource` itself.

    Where the other frames are evenly spaced, their rate is the stored one times their share. Otherwise they keep the
    times that they are stored with.
    """

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._doubles = found = find_doubles(source)
        self.name, self.location, self.fingerprint = source.name, source.location, source.fingerprint
        self.height, self.width = source.height, source.width
        self.transfer, self.taken_as_even = source.transfer, source.taken_as_even
        self.fps = source.fps
        self.frame_count: int | None = found.count - len(found.frames)
        self.frames_promised: int | None = self.frame_count
        self.times: FrameTimes | None = None
        self.notes = list(source.notes)
        self._keeps_times = bool(found.frames) and not found.even
        if found.frames and found.even and found.every and source.fps:
            self.fps = source.fps * (found.every - 1) / found.every
        self.notes.append(self._sentence(found))

    def _sentence(self, found: Doubles) -> str:
        if not found.frames:
            return f"{self.name}: no frame repeats the one before it"
        said = f"{self.name}: {len(found.frames)} of {found.count} frames repeat the one before them and are left out"
        if found.every:
            said += f" (one in {found.every})"
        if found.even:
            return f"{said}; the others are evenly spaced at {self.fps or 0:g} fps"
        if found.even is False:
            return f"{said}; motion is twice as long across them, so that a frame was lost at each: they leave holes"
        return f"{said}; the others keep their times, and windows across a hole are left out"

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        doubles = self._doubles.frames
        ticks: list[int | None] = []
        self.times = None
        kept = -1  # number of the newest frame that is kept

        def wanted_here(index: int) -> bool:
            nonlocal kept
            if index in doubles:
                return False
            kept += 1
            return wanted(kept)

        for index, frame in enumerate(self._source.frames(wanted_here, problems)):
            if index in doubles:
                continue
            stored = self._source.times
            if self._keeps_times and self.fps:
                if self.times is None:
                    tick_s = stored.tick_s if stored else 1 / Fraction(self.fps)
                    self.times = FrameTimes(tick_s=tick_s, fps=self.fps, ticks=ticks)
                ticks.append(stored.ticks[index] if stored else index)
            yield frame
