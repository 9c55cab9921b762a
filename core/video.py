"""Captured frames out of a video file (through PyAV) or a folder of frames, streamed and in order.

A source is checked when it is opened, so that a run can refuse to start; what breaks later (a video that was cut
short, a damaged frame) ends the stream, and the reason is handed to the caller: the frames before it are good.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.capture_rate import capture_rate
from core.frame_times import FrameTimes, evenly_spaced
from core.high_dynamic_range import TRANSFERS
from core.image_files import left_out, list_images, read_header, read_image, require_colour
from core.image_metadata import is_srgb

if TYPE_CHECKING:
    import av

UNSPECIFIED = 2  # a matrix, primaries or transfer curve that is not told (ITU-T H.273)
BT709, BT601, BT2020 = 1, 5, 9  # numbers of colour matrices (ITU-T H.273, table 4)
FIELDS = (2, 3, 4, 5)  # FFmpeg's numbers of the orders in which the two fields of an interlaced frame come
SLOWED = 1.5  # a capture rate this many times the stored one, or its inverse, means another speed of playback


class BreaksOff(Exception):
    """The good frames of a video end here; the message says why."""


@contextmanager
def open_video(path: Path) -> Iterator[av.container.InputContainer]:
    """A video file opened by FFmpeg, whatever its name holds (a colon, a %).

    Errors: av.FFmpegError; ValueError if there is no video in it.
    """
    import av

    with av.open(f"file:{path}", metadata_errors="replace") as container:
        if not container.streams.video:
            raise ValueError(f"{path}: there is no video in this file")
        yield container


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream that is no cover picture."""
    import av

    streams = container.streams.video
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in streams if not stream.disposition & cover), streams[0])


def decoded_frames(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    """The undamaged frames of the video stream, in display order, without a hole.

    Errors: BreaksOff or av.FFmpegError after the last good frame.
    """
    import av

    stream = video_stream(container)
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


def colour_matrix(frame: av.VideoFrame) -> int:
    """The colour matrix of a frame: the one that the stream names, else the one that players take.

    Where the primaries are BT.2020's, its matrix; else BT.709 from 1280 px of width or 577 px of height up, else BT.601
    (the rule of mpv's libplacebo, pl_color_system_guess_ycbcr). Returns a number of ITU-T H.273.
    """
    matrix = int(frame.colorspace)
    if matrix not in (UNSPECIFIED, 3):  # 3 is reserved
        return matrix
    if int(frame.color_primaries) == BT2020:
        return BT2020
    return BT709 if frame.width >= 1280 or frame.height > 576 else BT601


def transfer_curve(frame: av.VideoFrame) -> str:
    """ "hlg" or "pq" where the stream names one of these curves of high dynamic range, else ""."""
    return TRANSFERS.get(int(frame.color_trc), "")


def is_interlaced(frame: av.VideoFrame) -> bool:
    """Does the stream say that this frame consists of two fields, taken one after the other?"""
    return bool(frame.interlaced_frame)


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Shape: [H, W, 3] uint8, turned as the container asks for."""
    told = int(frame.colorspace) not in (UNSPECIFIED, 3) or frame.format.is_rgb
    if told or colour_matrix(frame) == BT601:  # which is what FFmpeg takes where no matrix is named
        rgb = frame.to_ndarray(format="rgb24")
    else:
        rgb = frame.to_ndarray(format="rgb24", src_colorspace=colour_matrix(frame))
    turn = turn_of(frame)
    return np.ascontiguousarray(turn.display(rgb)) if turn.matrix else rgb


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How a container asks a frame to be turned for display: rows and columns exchanged, then mirrored left to right
    (across), then top to bottom (down). matrix: as the container says it, () for none.
    """

    exchanged: bool = False
    across: bool = False
    down: bool = False
    matrix: tuple[int, ...] = ()

    def display(self, image: np.ndarray) -> np.ndarray:
        """An image [H, W, ...] as it is displayed; a view."""
        image = image.swapaxes(0, 1) if self.exchanged else image
        return image[:: -1 if self.down else 1, :: -1 if self.across else 1]

    def undo(self, image: np.ndarray) -> np.ndarray:
        """An image as it is displayed, as it is stored; a view."""
        image = image[:: -1 if self.down else 1, :: -1 if self.across else 1]
        return image.swapaxes(0, 1) if self.exchanged else image


def turn_of(frame: av.VideoFrame) -> Turn:
    """The turn that the container asks for, to the next quarter. Source: ISO/IEC 14496-12, 6.2.2 (matrix)."""
    stored: Any = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return Turn()
    matrix = struct.unpack("=9i", bytes(stored)[:36])
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]  # x' = a x + c y, y' = b x + d y
    exchanged = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c < 0, b < 0) if exchanged else (a < 0, d < 0)
    turned = exchanged or across or down
    return Turn(exchanged=exchanged, across=across, down=down, matrix=matrix if turned else ())


def require_colour_video(path: Path, frame: av.VideoFrame) -> None:
    """Errors: ValueError for a grey video."""
    name = frame.format.name
    if name.startswith(("gray", "mono", "ya")):
        raise ValueError(f"{path}: a colour video is needed, this one is grey ({name})")


def deinterlaced(frames: Iterator[av.VideoFrame], stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """One progressive frame for every frame, through FFmpeg's bwdif; both fields of every frame are taken as such.

    The tags of colour and the rotation are kept. Errors: those of `frames`.
    """
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(template=stream)
    sink = graph.add("buffersink")
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()

    def ready() -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if frame.pts is not None and frame.time_base and stream.time_base:  # bwdif counts in half units
                frame.pts = round(frame.pts * frame.time_base / stream.time_base)
                frame.time_base = stream.time_base
            yield frame

    broken: Exception | None = None
    try:
        for frame in frames:
            graph.vpush(frame)
            yield from ready()
    except (av.FFmpegError, BreaksOff) as error:
        broken = error
    graph.vpush(None)  # what the filter still holds is good
    yield from ready()
    if broken is not None:
        raise broken


def promised_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """How many frames the container says it has: its own count, else duration times rate.

    Frames that an edit list hides (a clip that was trimmed without encoding it again) do not count.
    """
    if stream.frames:
        listed = len(stream.index_entries)
        if "mp4" not in container.format.name.split(",") or not 0 < listed <= stream.frames:
            return stream.frames
        return listed - sum(entry.is_discard for entry in stream.index_entries)
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        return None
    if stream.duration and stream.time_base:
        return round(stream.duration * stream.time_base * rate)
    if container.duration:
        return round(Fraction(container.duration, 1_000_000) * rate)
    return None


def is_uneven(container: av.container.InputContainer) -> bool:
    """Are the frames of a video unevenly spaced in time? Every packet is looked at and none decoded.

    False where the container or its damage does not let one tell.
    """
    import av

    times = []
    try:
        for packet in container.demux(video_stream(container)):
            if packet.size and not packet.is_discard:
                if packet.pts is None:
                    return False
                times.append(packet.pts)
    except av.FFmpegError:  # found again, and said, when the frames are read
        pass
    return len(times) > 2 and not evenly_spaced(sorted(times))


VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".3gp")
Wanted = Callable[[int], bool]


def every_frame(index: int) -> bool:
    """The `wanted` of a caller who needs all frames."""
    return True


class VideoSource(Protocol):
    """Captured frames in time order.

    name: of the clip, from its file or folder. location: what the manifest says. fps: captured frames a second, None if
    nothing tells it. frame_count: exact, or None; frames_promised: what the container says, exact or estimated, or
    None. times: those of the frames handed out so far by the newest `frames`, None where they are even by definition.
    transfer: "hlg" or "pq" where the source says that its values follow one of these curves, else "". notes: one
    sentence for everything that was decided about the source. taken_as_even: the frames have uneven times of their own,
    which a given rate overrides. fingerprint: changes when the content does. Units: px, Hz.
    """

    name: str
    location: str
    fps: float | None
    height: int
    width: int
    frame_count: int | None
    frames_promised: int | None
    times: FrameTimes | None
    transfer: str
    notes: list[str]
    taken_as_even: bool
    fingerprint: str

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        """One item for every captured frame: [H, W, 3] uint8 RGB, or None where `wanted(index)` is False.

        `wanted` is called once per frame, in order. Where the source breaks, the stream ends and one sentence is
        appended to `problems`.
        """
        ...


def open_source(path: Path, fps: float | None = None, *, grey: bool = False, deinterlace: bool = False) -> VideoSource:
    """Open a video file or a folder of frames.

    fps: captured frames a second, evenly spaced; overrides what the container says. grey: a grey video will do.
    deinterlace: frames of two fields are made whole ones. Errors: ValueError, one sentence, for whatever is no colour
    video or no folder of equally sized 8-bit colour frames.
    """
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path, fps)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such video file or folder of frames")
    return VideoFile(path, fps, grey=grey, deinterlace=deinterlace)


class FrameFolder:
    """A folder of frames in natural order. All headers are read when it is opened.

    Where the names count the frames, a number that is missing is a frame that is missing.
    """

    transfer = ""
    taken_as_even = False

    def __init__(self, path: Path, fps: float | None) -> None:
        self.name = path.resolve().name
        self.location = path.resolve().as_posix()
        self.fps = fps
        self.notes = left_out(path)
        self._paths = list_images(path)
        if not self._paths:
            raise ValueError(f"{path}: the folder has no frames in it (image files such as PNG or JPEG)")
        for first, second in pairwise(sorted(self._paths, key=lambda path: path.stem)):
            if first.stem == second.stem:
                raise ValueError(
                    f"{path}: {first.name} and {second.name} are two files of one frame; move one of them away"
                )
        digest = hashlib.sha256()
        size = None
        profiles = 0
        for frame_path in self._paths:
            header = read_header(frame_path)
            profiles += bool(header.icc) and not is_srgb(header.icc)
            require_colour(frame_path, header)
            size = size or (header.height, header.width)
            if (header.height, header.width) != size:
                raise ValueError(
                    f"{frame_path}: the frame is {header.width}x{header.height}, but {self._paths[0].name} is "
                    f"{size[1]}x{size[0]}; the frames of a clip have one size"
                )
            digest.update(f"{frame_path.name} {frame_path.stat().st_size}\n".encode())
        if profiles:
            self.notes.append(f"{self.name}: {profiles} frames have a colour profile; they are taken in sRGB's colours")
        self.height, self.width = size or (0, 0)
        self.frame_count: int | None = len(self._paths)
        self.frames_promised: int | None = len(self._paths)
        self.times = self._numbered(fps or 1.0)
        for edge in (self._paths[0], self._paths[-1]):
            digest.update(edge.read_bytes())
        self.fingerprint = digest.hexdigest()

    def _numbered(self, fps: float) -> FrameTimes | None:
        """The times that the numbers in the names tell; None where nothing is missing or the names do not count."""
        numbers = frame_numbers([path.stem for path in self._paths])
        if numbers is None or evenly_spaced(numbers):
            return None
        steps = np.diff(numbers)
        usual = int(np.median(steps))
        holes = [index for index, step in enumerate(steps) if abs(step - usual) > 0.1 * usual]
        names = ", ".join(self._paths[index].name for index in holes[:6]) + (" ..." if len(holes) > 6 else "")
        self.notes.append(f"{self.name}: frame numbers are missing after {names}")
        return FrameTimes(tick_s=1 / (Fraction(fps) * usual), fps=fps, ticks=list(numbers))

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        for index, path in enumerate(self._paths):
            if not wanted(index):
                yield None
                continue
            try:
                frame = read_image(path, convert=True)
            except (ValueError, OSError) as error:
                problems.append(f"{error} (frame {index} of {len(self._paths)}; the windows before it are kept)")
                return
            if frame.shape[:2] != (self.height, self.width):
                problems.append(f"{path}: the frame has changed its size during the run")
                return
            yield frame


def frame_numbers(stems: list[str]) -> list[int] | None:
    """The numbers that count frames in their names; None where there are none, or more than one number changes."""
    if len(stems) < 2:
        return None
    parts = [re.split(r"(\d+)", stem) for stem in stems]
    if len({len(part) for part in parts}) > 1:
        return None
    changing = [place for place in range(len(parts[0])) if len({part[place] for part in parts}) > 1]
    if len(changing) != 1 or changing[0] % 2 == 0:
        return None
    numbers = [int(part[changing[0]]) for part in parts]
    return numbers if all(first < second for first, second in pairwise(numbers)) else None


class VideoFile:
    """A video file, decoded by FFmpeg through PyAV one frame at a time.

    Pixels are what PyAV's and OpenCV's own conversion to RGB give (swscale with the colour matrix that the stream
    names), so that anybody can check the sharp frame with them; where the stream names none, with the matrix that
    players take for its size (`colour_matrix`). A rotation that the container asks for is carried out. Decoding uses
    one thread: what breaks, breaks alike every time. Frames have the times of their own timestamps. Slow motion that is
    stored at the rate of its playback is taken at the rate at which it was captured, where the file tells it.
    """

    def __init__(self, path: Path, fps: float | None, *, grey: bool = False, deinterlace: bool = False) -> None:
        import av

        self.name = path.stem
        self.location = path.resolve().as_posix()
        self.notes: list[str] = []
        self._path = path
        self._deinterlace = deinterlace
        try:
            with open_video(path) as container:
                stream = video_stream(container)
                first = next(decoded_frames(container), None)
                if first is None:
                    raise ValueError(f"{path}: the video has no frames")
                if not deinterlace and (is_interlaced(first) or stream.codec_context.field_order in FIELDS):
                    raise ValueError(
                        f"{path}: the video is interlaced: its frames mix two moments; add --deinterlace to make whole "
                        "frames of them (FFmpeg's bwdif)"
                    )
                stored = stream.average_rate or stream.guessed_rate
                self.frames_promised = promised_frames(container, stream)
                self._promise_is_exact = stream.frames > 0
                if not grey:
                    require_colour_video(path, first)
                self.height, self.width = to_rgb(first).shape[:2]
                self.transfer = transfer_curve(first)
                self._note_colour(first)
                self._note_shape(stream)
                told = None if fps else capture_rate(path, container.metadata, stream.metadata)
                time_base = stream.time_base
            self.taken_as_even = False
            if fps:
                with open_video(path) as container:
                    self.taken_as_even = is_uneven(container)
        except (av.FFmpegError, BreaksOff) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"{path}: not a video that can be decoded, or one that was cut short ({reason})") from None
        self.fps, speed = self._rate(fps, float(stored) if stored else None, told)
        self.times: FrameTimes | None = None
        self._tick_s = time_base / Fraction(speed) if time_base and self.fps and not fps else None
        self.frame_count: int | None = None
        self.fingerprint = _fingerprint(path)

    def _rate(
        self, asked: float | None, stored: float | None, told: tuple[float, str] | None
    ) -> tuple[float | None, float]:
        """(captured frames a second, how much faster they were captured than the file plays them)."""
        if asked:
            if self.taken_as_even:
                self.notes.append(
                    f"{self.name}: the times of the frames are uneven; they are taken as even at {asked:g} fps"
                )
            return asked, 1.0
        if stored and told and not 1 / SLOWED < told[0] / stored < SLOWED:
            rate, where = told
            self.notes.append(
                f"{self.name}: stored at {stored:g} fps and captured at {rate:g} ({where}); taken at {rate:g} fps "
                "(--fps says another rate)"
            )
            return rate, rate / stored
        return stored, 1.0

    def _note_colour(self, frame: av.VideoFrame) -> None:
        if max(component.bits for component in frame.format.components) > 8:
            self.notes.append(f"{self.name}: the video has more than 8 bits; its frames are taken with 8")

    def _note_shape(self, stream: av.VideoStream) -> None:
        shape = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        if shape and shape != 1:
            self.notes.append(
                f"{self.name}: its pixels are not square ({shape.numerator}:{shape.denominator}) and are taken as they "
                "are stored"
            )

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        import av

        count, counts_packets = 0, False
        ticks: list[int | None] = []
        if self._tick_s is not None and self.fps is not None:
            self.times = FrameTimes(tick_s=self._tick_s, fps=self.fps, ticks=ticks)
        try:
            with open_video(self._path) as container:
                frames = decoded_frames(container)
                if self._deinterlace:
                    frames = deinterlaced(frames, video_stream(container))
                for frame in frames:
                    if is_interlaced(frame) and not self._deinterlace:
                        raise BreaksOff("the frames after them are interlaced; add --deinterlace")
                    rgb = to_rgb(frame) if wanted(count) else None
                    if rgb is not None and rgb.shape[:2] != (self.height, self.width):
                        raise BreaksOff("the frames change their size")
                    if count == 0:  # an AVI numbers packets in the order in which they are decoded
                        delayed = video_stream(container).codec_context.has_b_frames > 0
                        counts_packets = container.format.name == "avi" and delayed
                    count += 1
                    ticks.append(None if counts_packets else frame.pts)
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
