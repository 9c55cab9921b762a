"""Frames out of a video container through PyAV: the undamaged ones in order, their colours, their times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

LOOKED_AT = 1000  # packets whose times tell whether frames are evenly spaced


class BreaksOff(Exception):
    """The good frames of a video end here; the message says why."""


def decoded_frames(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    """The undamaged frames of the first video stream, in display order, without a hole.

    Errors: BreaksOff or av.FFmpegError after the last good frame.
    """
    import av

    stream = container.streams.video[0]
    stream.thread_type = "NONE"
    last_pts: int | None = None  # of what was handed out so far, in the stream's time base
    step: int | None = None
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise BreaksOff("the data is damaged or ends too early")
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise BreaksOff("the data is damaged")
                if last_pts is not None and frame.pts is not None:
                    step = frame.pts - last_pts
                last_pts = frame.pts
                yield frame
    except (av.FFmpegError, BreaksOff):
        # The decoder still holds good frames that waited for their turn; they count as far as they are in sequence.
        try:
            for frame in stream.codec_context.decode(None):
                if frame.is_corrupt or frame.pts is None or last_pts is None or step is None:
                    break
                if frame.pts - last_pts > 1.5 * step:
                    break
                last_pts = frame.pts
                yield frame
        except av.FFmpegError:
            pass
        raise


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Shape: [H, W, 3] uint8, turned as the container asks for."""
    rgb = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def require_colour_video(path: Path, frame: av.VideoFrame) -> None:
    """Errors: ValueError for a grey video."""
    name = frame.format.name
    if name.startswith(("gray", "mono", "ya")):
        raise ValueError(f"{path}: a colour video is needed, this one is grey ({name})")


def promised_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """How many frames the container says it has: its own count, else duration times rate."""
    if stream.frames:
        return stream.frames
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        return None
    if stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * rate)
    if container.duration:
        return round(Fraction(container.duration, 1_000_000) * rate)
    return None


def uneven_s(container: av.container.InputContainer) -> tuple[float, float] | None:
    """Usual and longest time between frames, where one lasts more than half as long again as usual. Units: s.

    None where they are even, and where the container or its damage does not let one tell.
    """
    import av

    stream = container.streams.video[0]
    try:
        packets = [packet for packet in islice(container.demux(stream), LOOKED_AT) if packet.size]
    except av.FFmpegError:  # found again, and said, when the frames are read
        return None
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    if len(times) < len(packets) or stream.time_base is None:
        return None
    # Packets come in decoding order: what follows the last ones in time may not have been read.
    steps = np.diff(times if len(packets) < LOOKED_AT - 1 else times[:-32])
    if len(steps) < 2:
        return None
    usual, longest = float(np.median(steps)), float(steps.max())
    if longest <= 1.5 * usual or longest - usual <= 1:  # times are rounded to the stream's unit
        return None
    return usual * float(stream.time_base), longest * float(stream.time_base)
