"""`--interp auto`: the factor that puts virtual frames at most 1 px apart, told from the motion in the sources."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from synth.continuity import continuity
from synth.interp.flow import TIERS, Flow
from synth.settings import Clip

PROBED_GAPS = 24  # a clip, spread over its length
PROBE_EVERY = 16  # gaps, where a clip's length is not known
SPEED_PERCENTILE = 99.0
DEFAULT_MOST = 64


def auto_factor(clips: Iterable[Clip], most: int, *, power_of_two: bool) -> int:
    """One factor for all clips: their fastest motion (99th percentile over a frame, px per gap), rounded up.

    Some gaps of every clip are looked at, cuts left out. At least 2, at most `most`.
    Errors: ValueError if `most` is below 2.
    """
    if most < 2:
        raise ValueError(f"--max-interp is at least 2, got {most}")
    speed = max((clip_speed_px(clip) for clip in clips), default=0.0)
    factor = max(2, math.ceil(speed))
    if power_of_two:
        factor = 1 << (factor - 1).bit_length()
        most = 1 << (most.bit_length() - 1)
    return min(factor, most)


def clip_speed_px(clip: Clip) -> float:
    """The fastest motion found in some gaps of a clip. Units: px per gap."""
    flow = Flow(TIERS["fast"])
    count = clip.source.frame_count or clip.source.frames_promised
    every = max(1, (count - 1) // PROBED_GAPS) if count else PROBE_EVERY
    fastest = 0.0
    previous: np.ndarray | None = None
    for index, frame in enumerate(clip.source.frames(lambda index: index % every < 2, [])):
        if previous is not None and frame is not None and index % every == 1 % every:
            state = continuity(previous, frame)
            if not state.cut and not state.repeated:
                motion_px = flow.motion(previous, frame)
                lengths = np.hypot(motion_px[::4, ::4, 0], motion_px[::4, ::4, 1])
                fastest = max(fastest, float(np.percentile(lengths, SPEED_PERCENTILE)))
        previous = frame
    return fastest
