"""Captured frames out of a video file (through PyAV) or a folder of frames, streamed and in order.

A source is checked when it is opened, so that a run can refuse to start; what breaks later (a video that was cut
short, a damaged frame) ends the stream, and the reason is handed to the caller: the frames before it are good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from core.image_files import list_images, read_header, read_image, require_colour

if TYPE_CHECKING:
    import av

    pass


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


VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm")
Wanted = Callable[[int], bool]


def every_frame(index: int) -> bool:
    """The `wanted` of a caller who needs all frames."""
    return True


class VideoSource(Protocol):
    """Captured frames in time order.

    name: of the clip, from its file or folder. location: what the manifest says. fps: None if nothing tells it.
    frame_count: exact, or None; frames_promised: what the container says, exact or estimated, or None. uneven_s: usual
    and longest time between frames where they are not evenly spaced (a variable frame rate, dropped frames), else None.
    fingerprint: changes when the content does. Units: px, Hz, s.
    """

    name: str
    location: str
    fps: float | None
    height: int
    width: int
    frame_count: int | None
    frames_promised: int | None
    uneven_s: tuple[float, float] | None
    fingerprint: str

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        """One item for every captured frame: [H, W, 3] uint8 RGB, or None where `wanted(index)` is False.

        `wanted` is called once per frame, in order. Where the source breaks, the stream ends and one sentence is
        appended to `problems`.
        """
        ...


def open_source(path: Path, fps: float | None = None, *, grey: bool = False) -> VideoSource:
    """Open a video file or a folder of frames; `fps` overrides what the container says. grey: a grey video will do.

    Errors: ValueError, one sentence, for whatever is no colour video or no folder of equally sized 8-bit colour frames.
    """
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path, fps)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such video file or folder of frames")
    return VideoFile(path, fps, grey=grey)


class FrameFolder:
    """A folder of PNG or JPEG frames in natural order. All headers are read when it is opened."""

    def __init__(self, path: Path, fps: float | None) -> None:
        self.name = path.resolve().name
        self.location = path.resolve().as_posix()
        self.fps = fps
        self._paths = list_images(path)
        if not self._paths:
            raise ValueError(f"{path}: the folder has no frames in it (PNG or JPEG files)")
        digest = hashlib.sha256()
        size = None
        for frame_path in self._paths:
            header = read_header(frame_path)
            require_colour(frame_path, header)
            size = size or (header.height, header.width)
            if (header.height, header.width) != size:
                raise ValueError(
                    f"{frame_path}: the frame is {header.width}x{header.height}, but {self._paths[0].name} is "
                    f"{size[1]}x{size[0]}; the frames of a clip have one size"
                )
            digest.update(f"{frame_path.name} {frame_path.stat().st_size}\n".encode())
        self.height, self.width = size or (0, 0)
        self.frame_count: int | None = len(self._paths)
        self.frames_promised: int | None = len(self._paths)
        self.uneven_s: tuple[float, float] | None = None
        for edge in (self._paths[0], self._paths[-1]):
            digest.update(edge.read_bytes())
        self.fingerprint = digest.hexdigest()

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        for index, path in enumerate(self._paths):
            if not wanted(index):
                yield None
                continue
            try:
                frame = read_image(path)
            except (ValueError, OSError) as error:
                problems.append(f"{error} (frame {index} of {len(self._paths)}; the windows before it are kept)")
                return
            if frame.shape[:2] != (self.height, self.width):
                problems.append(f"{path}: the frame has changed its size during the run")
                return
            yield frame


class VideoFile:
    """A video file, decoded by FFmpeg through PyAV one frame at a time.

    Pixels are what PyAV's and OpenCV's own conversion to RGB give (swscale with the colour matrix that the stream
    names; BT.601 where it names none, as FFmpeg writes then), so that anybody can check the sharp frame with them. A
    rotation that the container asks for is carried out. Decoding uses one thread: what breaks, breaks alike every time.
    """

    def __init__(self, path: Path, fps: float | None, *, grey: bool = False) -> None:
        import av

        self.name = path.stem
        self.location = path.resolve().as_posix()
        self._path = path
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise ValueError(f"{path}: there is no video in this file")
                stream = container.streams.video[0]
                first = next(decoded_frames(container), None)
                if first is None:
                    raise ValueError(f"{path}: the video has no frames")
                rate = fps or stream.average_rate or stream.guessed_rate
                self.frames_promised = promised_frames(container, stream)
                self._promise_is_exact = stream.frames > 0
                if not grey:
                    require_colour_video(path, first)
                self.height, self.width = to_rgb(first).shape[:2]
            with av.open(str(path)) as container:
                self.uneven_s = uneven_s(container)
        except (av.FFmpegError, BreaksOff) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"{path}: not a video that can be decoded, or one that was cut short ({reason})") from None
        self.fps = float(rate) if rate else None
        self.frame_count: int | None = None
        self.fingerprint = _fingerprint(path)

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        import av

        count = 0
        try:
            with av.open(str(self._path)) as container:
                for frame in decoded_frames(container):
                    rgb = to_rgb(frame) if wanted(count) else None
                    if rgb is not None and rgb.shape[:2] != (self.height, self.width):
                        raise BreaksOff("the frames change their size")
                    count += 1
                    yield rgb
            missing = (self.frames_promised or 0) - count
            # Edit lists hide a few frames; a promise made from the duration is only about right.
            if missing > max(3, (0.02 if self._promise_is_exact else 0.06) * count):
                raise BreaksOff(f"the container promises {self.frames_promised}")
        except (av.FFmpegError, BreaksOff) as error:
            reason = getattr(error, "strerror", None) or str(error)
            problems.append(
                f"{self._path}: the video breaks off after {count} frames ({reason}); the windows before that are kept"
            )


def _fingerprint(path: Path) -> str:
    """Hash of the file's size, first MiB and last MiB: enough to notice another video under the same name."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as stream:
        digest.update(stream.read(1 << 20))
        stream.seek(max(0, size - (1 << 20)))
        digest.update(stream.read(1 << 20))
    return digest.hexdigest()
