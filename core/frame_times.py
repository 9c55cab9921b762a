"""When the frames of a clip were captured, from their own timestamps: the rate of a run of frames, and whether they are
evenly spaced.

Timestamps are whole ticks. An even rate that is no whole number of ticks is stored with steps that differ by one tick
(240 frames a second in ticks of 1/600 s: 2, 3, 2, 3, ...), and a file that was made from such a one keeps those steps
in finer ticks. Frames whose times are those of an even rate, rounded in this way, are evenly spaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

STEPS_DIFFER = 0.1  # steps that differ by more than this share of their mean are uneven


@dataclass(kw_only=True)
class FrameTimes:
    """The times of a clip's frames, as far as they were read.

    tick_s: captured time that a tick stands for (s). fps: nominal rate of the clip (Hz). ticks: one entry a frame, in
    order; None where a frame has no time.
    """

    tick_s: Fraction
    fps: float
    ticks: list[int | None] = field(default_factory=list)

    def uneven_after(self, first: int, last: int) -> list[int]:
        """The frames of first..last (inclusive) after which the next one comes at an odd time; none of even frames.

        Frames without a time count as even.
        """
        run = self._run(first, last)
        if run is None or evenly_spaced(run):
            return []
        steps = np.diff(run)
        usual = float(np.median(steps))
        most = STEPS_DIFFER * usual + _rounding(steps)
        odd = [first + index for index, step in enumerate(steps) if abs(step - usual) > most]
        return odd or list(range(first, last))

    def rate(self, first: int, last: int) -> float:
        """Captured frames a second from frame `first` to frame `last`: the nominal rate where the times agree with it
        but for their rounding. Units: Hz.
        """
        run = self._run(first, last)
        if run is None or run[-1] <= run[0] or self._nominal(run[-1] - run[0], last - first):
            return self.fps
        return float((last - first) / ((run[-1] - run[0]) * self.tick_s))

    def since_start_s(self, frame: int) -> float:
        """The time of a frame from the first one on. Units: s."""
        run = self._run(0, frame) if frame else None
        if run is None or self._nominal(run[-1] - run[0], frame):
            return frame / self.fps
        return float((run[-1] - run[0]) * self.tick_s)

    def _nominal(self, ticks: int, steps: int) -> bool:
        tick = float(self.tick_s) * self.fps  # in frames
        return abs(ticks * tick - steps) <= (tick if tick <= 0.5 else 1e-6)

    def _run(self, first: int, last: int) -> list[int] | None:
        """The ticks of first..last; None where there are not two, or one of the ends or a frame between has no time."""
        run = self.ticks[first : last + 1]
        known = [tick for tick in run if tick is not None]
        return known if len(known) == len(run) > 1 else None


def evenly_spaced(ticks: Sequence[int]) -> bool:
    """Do the steps of these times differ by no more than a tenth, their rounding to ticks left out?

    ticks: at least two, rising.
    """
    steps = np.diff(np.asarray(ticks, dtype=np.int64))
    if steps.min() <= 0:
        return False
    if float(steps.max() - steps.min()) <= STEPS_DIFFER * float(steps.mean()):
        return True
    rounded = _rounding(steps)
    off_line = np.asarray(ticks, dtype=np.float64) - ticks[0] - np.arange(len(ticks)) * float(steps.mean())
    return bool(off_line.max() - off_line.min() <= rounded * (1 + 1e-9))


def _rounding(steps: np.ndarray) -> int:
    """By how much steps may differ because they were rounded: by a tick of the file in which that was done first.

    Where a step is one of those ticks, two are no rounding but a gap: 0.
    """
    rounded = math.gcd(*(int(step) for step in steps))
    return rounded if int(steps.min()) >= 2 * rounded else 0
