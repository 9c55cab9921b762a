"""A video restored to a video: the time of every frame, the sound, rotation, shape of the pixels and colour stay.

Restored frames are written as the stored planes plus what the network changed (core/video_colour.py); where a network
gives another size there is nothing to change, and its frames are converted with the matrix and range of the source.
HLG and PQ are shown to the network as ordinary pictures, compressed as core/high_dynamic_range.py says, and what comes
out is expanded again: the file stays HLG or PQ.
"""

from __future__ import annotations

import errno
import io
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.camera_response import response
from core.high_dynamic_range import DYNAMIC_RANGES
from core.video import (
    FIELDS,
    VIDEO_SUFFIXES,
    BreaksOff,
    Turn,
    decoded_frames,
    deinterlaced,
    is_interlaced,
    is_uneven,
    open_video,
    promised_frames,
    transfer_curve,
    turn_of,
    video_stream,
)
from core.video_colour import Coding, coding_of, from_rgb, is_grey, planes_of, rounded, to_frame, to_rgb
from models.spec import Method

if TYPE_CHECKING:
    import av

SHARED = {"crf": "12", "preset": "medium"}  # visually lossless
VP9 = {"crf": "15", "b": "0", "row-mt": "0", "cpu-used": "2"}
TURNED = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".3gp")  # these can ask a player to turn the picture
FORMATS = {".m4v": "mp4"}  # FFmpeg's own choice for it takes fewer codecs
DEEP_H265 = (".mp4", ".mov", ".m4v", ".mkv", ".mts", ".m2ts", ".ts")
LAYOUTS = {1: "mono", 2: "stereo", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}  # FFmpeg's names, by channels
LATE_S = 0.04  # of sound behind the picture, which is noticed
PRIMING_S = 0.1  # sound that a decoder needs before the first of it is heard
NOT_COPIED = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")


@dataclass(kw_only=True)
class _Stored:
    """A frame that the network holds. pts: in the source's time base, from its start on; duration likewise."""

    planes: list[np.ndarray]  # as whole numbers where they are such: a network may hold a whole clip
    coding: Coding
    turn: Turn
    transfer: str
    grey: bool
    pts: int | None
    duration: int


def restore_video(
    method: Method,
    source: Path,
    target: Path,
    *,
    deinterlace: bool,
    shown: Callable[[Iterator, int | None], Iterator],
    say: Callable[[str], None],
) -> list[str]:
    """Restore a video. shown: shows progress of an iterator with so many items. say: takes a sentence about the video.

    Returns one sentence for everything that broke; the frames before it are written. Errors: ValueError, one sentence,
    if the source cannot be read or the target cannot hold it; OSError if it cannot be written.
    """
    import av

    if target.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"{target}: a video is written as {', '.join(VIDEO_SUFFIXES[:-1])} or {VIDEO_SUFFIXES[-1]}")
    if target.exists() and source.resolve() == target.resolve():
        raise ValueError(f"{target}: input and output are one file; the blurred video would be overwritten")
    problems: list[str] = []
    with ExitStack() as stack:
        try:
            container = stack.enter_context(open_video(source))
            video = _Source(source, container, deinterlace)
        except (av.FFmpegError, BreaksOff) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(
                f"{source}: not a video that can be decoded, or one that was cut short ({reason})"
            ) from None
        plan = _plan(video, target, say)
        waiting: deque[_Stored] = deque()
        restored = shown(method.restore(video.tensors(waiting, problems)), promised_frames(container, video.stream))
        first = next(restored, None)
        if first is None:
            return [*problems, f"{source}: no frame could be restored"]
        target.parent.mkdir(parents=True, exist_ok=True)
        with _writer(video, target, plan, first.shape[-2:], say) as write:
            write(first, waiting.popleft())
            written = 1
            for frame in restored:
                write(frame, waiting.popleft())
                written += 1
    say(f"restored {written} image{'s' if written != 1 else ''}")
    return problems


class _Source:
    """The frames of a video with everything that has to be kept. first: the first one, as decoded."""

    def __init__(self, path: Path, container: av.container.InputContainer, deinterlace: bool) -> None:
        self.path, self.container, self.stream = path, container, video_stream(container)
        self._frames = decoded_frames(container)
        if deinterlace:
            self._frames = deinterlaced(self._frames, self.stream)
        first = next(self._frames, None)
        if first is None:
            raise ValueError(f"{path}: the video has no frames")
        if not deinterlace and (is_interlaced(first) or self.stream.codec_context.field_order in FIELDS):
            raise ValueError(
                f"{path}: the video is interlaced: its frames mix two moments; add --deinterlace to make whole frames "
                "of them (FFmpeg's bwdif)"
            )
        self._deinterlace = deinterlace
        self.first = first
        try:
            self.coding = coding_of(first)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.transfer = transfer_curve(first)
        self.turn = turn_of(first)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(30)
        self.time_base = self.stream.time_base or 1 / Fraction(self.rate)
        shape = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        self.pixel_shape = Fraction(shape) if shape else Fraction(1)
        # An AVI numbers packets in the order in which they are decoded.
        self.timed = not (container.format.name == "avi" and self.stream.codec_context.has_b_frames > 0)
        self.starts_s = Fraction(container.start_time, 1_000_000) if container.start_time else Fraction(0)

    def tensors(self, waiting: deque[_Stored], problems: list[str]) -> Iterator[Tensor]:
        """Every frame as the network sees it, [3, H, W] float32; what is stored is appended to `waiting`."""
        import av

        count, start = 0, round(self.starts_s / self.time_base)
        frame: av.VideoFrame | None = self.first
        try:
            while frame is not None:
                if (frame.width, frame.height) != (self.first.width, self.first.height):
                    raise BreaksOff("the frames change their size")
                if is_interlaced(frame) and not self._deinterlace:
                    raise BreaksOff("the frames after them are interlaced; add --deinterlace")
                coding = coding_of(frame)
                planes = planes_of(frame, coding)
                rgb = _shown(to_rgb(planes, coding), self.transfer)
                pts = frame.pts - start if self.timed and frame.pts is not None else None
                waiting.append(
                    _Stored(
                        planes=_small(frame, planes, coding),
                        coding=coding,
                        turn=self.turn,
                        transfer=self.transfer,
                        grey=is_grey(frame),
                        pts=pts,
                        duration=frame.duration or 0,
                    )
                )
                turned = self.turn.display(rgb)
                yield torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
                count += 1
                frame = next(self._frames, None)
            promised = promised_frames(self.container, self.stream) or 0
            if promised - count > max(3, (0.02 if self.stream.frames else 0.06) * count):
                raise BreaksOff(f"the container promises {promised}")
        except (av.FFmpegError, BreaksOff) as error:
            reason = getattr(error, "strerror", None) or str(error)
            problems.append(f"{self.path}: the video breaks off after {count} frames ({reason}); those are restored")


def _small(frame: av.VideoFrame, planes: list[np.ndarray], coding: Coding) -> list[np.ndarray]:
    if frame.format.is_rgb or frame.format.has_palette:
        return planes
    return rounded(planes, coding.bits, coding.bits)


def _shown(rgb: np.ndarray, transfer: str) -> np.ndarray:
    """Encoded RGB as the network sees it: of HLG and PQ, an ordinary picture in sRGB's curve."""
    if not transfer:
        return rgb
    light = DYNAMIC_RANGES[transfer].to_ordinary_lin(response(transfer).to_linear(rgb))
    return response("srgb").to_encoded(light)


def _stored_again(rgb: np.ndarray, transfer: str) -> np.ndarray:
    """Undoes `_shown`."""
    if not transfer:
        return rgb
    light = DYNAMIC_RANGES[transfer].from_ordinary_lin(response("srgb").to_linear(rgb))
    return response(transfer).to_encoded(light)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """How the target is written. upright: the picture is turned here, because the target cannot ask for it."""

    codec: str
    options: dict[str, str]
    bits: int
    upright: bool
    even_rate: Fraction | None  # where the target cannot hold the times of frames


def _plan(video: _Source, target: Path, say: Callable[[str], None]) -> _Plan:
    """Errors: ValueError, one sentence, for what the target cannot hold."""
    suffix = target.suffix.lower()
    deep = video.coding.bits > 8
    if video.transfer and suffix == ".webm":
        raise ValueError(
            f"{target}: {video.transfer.upper()} needs 10 bits, and WebM is written with 8; name an .mp4 file"
        )
    if video.pixel_shape != 1 and suffix == ".webm":
        shape = f"{video.pixel_shape.numerator}:{video.pixel_shape.denominator}"
        raise ValueError(f"{target}: the pixels are not square ({shape}), which WebM does not say; name an .mp4 file")
    if video.transfer:
        say(
            f"{video.path}: the video is {video.transfer.upper()}; the network sees it compressed to the range of sRGB "
            "and its changes are written in the video's own curve"
        )
    upright = bool(video.turn.matrix) and suffix not in TURNED
    even_rate = None
    if suffix == ".avi":
        with open_video(video.path) as container:
            if is_uneven(container):
                raise ValueError(
                    f"{target}: the frames of the video are unevenly spaced in time, and an AVI file has one rate; "
                    "name an .mp4 file"
                )
        even_rate = Fraction(video.rate)
    elif not video.timed:
        even_rate = Fraction(video.rate)
    if suffix == ".webm":
        if deep:
            say(f"{target}: the video has more than 8 bits, and WebM is written with 8")
        return _Plan(codec="libvpx-vp9", options=VP9, bits=8, upright=upright, even_rate=even_rate)
    options = dict(SHARED)
    if deep and suffix in DEEP_H265:
        options["x265-params"] = "log-level=none"
        return _Plan(codec="libx265", options=options, bits=10, upright=upright, even_rate=even_rate)
    if suffix == ".avi":
        options["bf"] = "0"  # its frames have no times: they are shown in the order in which they are stored
    return _Plan(codec="libx264", options=options, bits=10 if deep else 8, upright=upright, even_rate=even_rate)


@contextmanager
def _writer(
    video: _Source, target: Path, plan: _Plan, size: tuple[int, int], say: Callable[[str], None]
) -> Iterator[Callable[[Tensor, _Stored], None]]:
    """Takes restored frames, [3, H, W] each, in order; the file appears under its name when it is complete.

    Errors: OSError if it cannot be written (disk full).
    """
    import av

    part = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        with ExitStack() as stack:
            tags = {key: value for key, value in video.container.metadata.items() if key not in NOT_COPIED}
            format_name = FORMATS.get(target.suffix.lower())
            keeps_tags = target.suffix.lower() in (".mp4", ".mov", ".m4v") and any("." in key for key in tags)
            options = {"movflags": "use_metadata_tags"} if keeps_tags else {}
            container = stack.enter_context(av.open(f"file:{part}", "w", format=format_name, container_options=options))
            container.metadata.update(tags)
            writing = _Writing(video, container, plan, size)
            sound = _Sound(video, container, stack, say)
            before_s = Fraction(0)

            def write(frame: Tensor, stored: _Stored) -> None:
                nonlocal before_s
                for packet in writing.packets(frame, stored):
                    before_s = packet.dts * packet.time_base if packet.dts is not None else before_s
                    sound.copy_until(before_s)
                    container.mux(packet)

            yield write
            for packet in writing.last_packets():
                container.mux(packet)
            sound.copy_until(None)
        part.replace(target)
    except av.FFmpegError as error:
        raise OSError(errno.EIO, f"the video cannot be written ({error.strerror or error})", str(target)) from None
    finally:
        part.unlink(missing_ok=True)


class _Writing:
    """Turns restored frames into the packets of the target's video stream."""

    def __init__(
        self, video: _Source, container: av.container.OutputContainer, plan: _Plan, size: tuple[int, int]
    ) -> None:
        self._plan, self._count = plan, 0
        self._last: int | None = None
        self._durations: dict[int, int] = {}
        turned = video.turn.exchanged
        height, width = size if plan.upright or not turned else size[::-1]
        coding = replace(video.coding, bits=plan.bits)
        if height % coding.down or width % coding.across:
            coding = replace(coding, across=1, down=1)  # colour at half resolution needs even sides
        self._coding = coding
        self._time_base = 1 / plan.even_rate if plan.even_rate else Fraction(video.time_base)
        stream: Any = container.add_stream(plan.codec, rate=Fraction(video.rate), options=plan.options)
        self._stream = stream
        stream.height, stream.width, stream.pix_fmt = height, width, coding.pixel_format
        stream.time_base = self._time_base
        codec = stream.codec_context
        codec.time_base = self._time_base
        if plan.codec == "libx265" and container.format.name in ("mp4", "mov"):
            codec.codec_tag = "hvc1"  # which Apple's players ask for
        codec.colorspace, codec.color_range = self._tags = self._tags_of(video, size)
        codec.color_primaries, codec.color_trc = int(video.first.color_primaries), int(video.first.color_trc)
        if video.pixel_shape != 1:
            codec.sample_aspect_ratio = 1 / video.pixel_shape if plan.upright and turned else video.pixel_shape
        if video.turn.matrix and not plan.upright:
            stream.set_display_matrix(video.turn.matrix)

    def _tags_of(self, video: _Source, size: tuple[int, int]) -> tuple[int, int]:
        """The matrix and range that the target names: those of the source, which are none where it names none.

        Where players would guess another matrix than that of the source, by another size, it is named.
        """
        first, coding = video.first, self._coding
        own = (int(first.colorspace), int(first.color_range))
        same = sorted((first.width, first.height)) == sorted(size)
        if same and not first.format.is_rgb and not first.format.has_palette and (own[1] or not coding.full):
            return own
        return coding.matrix, 2 if coding.full else 1

    def packets(self, frame: Tensor, stored: _Stored) -> list[av.Packet]:
        """What the encoder gives for the next frame."""
        import av

        picture = to_frame(self._planes(frame, stored), self._coding)
        picture.colorspace, picture.color_range = self._tags
        pts = self._count if self._plan.even_rate or stored.pts is None else stored.pts
        pts = pts if self._last is None else max(pts, self._last + 1)  # encoders want rising times
        self._last = pts
        picture.pts, picture.time_base = pts, self._time_base
        if stored.duration and not self._plan.even_rate:
            self._durations[pts] = stored.duration
        picture.pict_type = av.video.frame.PictureType.NONE
        self._count += 1
        return self._timed(self._stream.encode(picture))

    def last_packets(self) -> list[av.Packet]:
        """What the encoder still holds."""
        return self._timed(self._stream.encode(None))

    def _timed(self, packets: list[av.Packet]) -> list[av.Packet]:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0) if packet.pts is not None else 0
            if duration:
                packet.duration = duration
        return packets

    def _planes(self, frame: Tensor, stored: _Stored) -> list[np.ndarray]:
        restored = np.clip(frame.permute(1, 2, 0).numpy(), 0, 1)
        if not self._plan.upright:
            restored = stored.turn.undo(restored)
        out, own = self._coding, stored.coding
        changed = _stored_again(restored, stored.transfer)
        same = restored.shape[:2] == stored.planes[0].shape and (out.across, out.down) == (own.across, own.down)
        if not same or self._plan.upright:
            planes = from_rgb(changed, out)
        else:
            before_rgb = _stored_again(_shown(to_rgb(stored.planes, own), stored.transfer), stored.transfer)
            changes = zip(stored.planes, from_rgb(changed, own), from_rgb(before_rgb, own), strict=True)
            scale = np.float32(2.0 ** (out.bits - own.bits))
            planes = [(plane + (after - before)) * scale for plane, after, before in changes]
        if stored.grey:
            planes[1:] = [np.full_like(plane, out.scales[2]) for plane in planes[1:]]
        return rounded(planes, out.bits, out.bits)


class _Sound:
    """The audio streams of the source, copied; encoded again where the target does not take their codec."""

    def __init__(
        self,
        video: _Source,
        container: av.container.OutputContainer,
        stack: ExitStack,
        say: Callable[[str], None],
    ) -> None:
        self._container = container
        self._outputs: dict[int, _Copied | _Encoded] = {}
        self._packets: Iterator[av.Packet] = iter(())
        self._next: av.Packet | None = None
        self._starts_s, self._path, self._say = video.starts_s, video.path, say
        if not video.container.streams.audio:
            return
        source = stack.enter_context(open_video(video.path))
        for stream in source.streams.audio:
            if _takes(container, stream):
                self._outputs[stream.index] = _Copied(container, stream, video.starts_s)
            else:
                self._outputs[stream.index] = _Encoded(container, stream, video.starts_s)
                say(
                    f"{video.path}: the sound is encoded again; the file that is written does not take "
                    f"{stream.codec_context.codec.canonical_name}"
                )
            late_s = float((stream.start_time or 0) * (stream.time_base or 0) - video.starts_s)
            if container.format.name == "avi" and late_s > LATE_S:
                late = f"the sound starts {late_s:.2g} s after the picture, in an AVI file with it"
                say(f"{video.path}: {late}; name an .mp4 file")
        self._packets = source.demux(*source.streams.audio)
        self._next = self._following()

    def _following(self) -> av.Packet | None:
        import av

        try:
            return next((packet for packet in self._packets if packet.dts is not None and not packet.is_corrupt), None)
        except av.FFmpegError as error:
            self._say(f"{self._path}: the sound breaks off ({error.strerror or error})")
            return None

    def copy_until(self, time_s: Fraction | None) -> None:
        """Write the sound up to a time of the target; None: all of it."""
        while self._next is not None:
            packet = self._next
            assert packet.dts is not None and packet.time_base is not None
            if time_s is not None and packet.dts * packet.time_base - self._starts_s > time_s:
                return
            for made in self._outputs[packet.stream_index].packets(packet):
                self._container.mux(made)
            self._next = self._following()
        if time_s is None:
            for output in self._outputs.values():
                for made in output.packets(None):
                    self._container.mux(made)
            self._outputs = {}


def _takes(container: av.container.OutputContainer, stream: av.AudioStream) -> bool:
    """Can sound go into such a file as it is? Tried on a file in memory: the lists of FFmpeg are not complete."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=container.format.name) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


class _Copied:
    """An audio stream whose packets go into the target as they are."""

    def __init__(self, container: av.container.OutputContainer, stream: av.AudioStream, starts_s: Fraction) -> None:
        self._stream = container.add_stream_from_template(stream)
        self._starts_s = starts_s
        # Sound before the beginning is hidden by an edit list; other files would play it.
        self._hides = container.format.name in ("mp4", "mov", "ipod", "3gp")

    def packets(self, packet: av.Packet | None) -> Iterator[av.Packet]:
        if packet is None:
            return
        start = round(self._starts_s / packet.time_base)
        ends_s = ((packet.pts or 0) - start + (packet.duration or 0)) * packet.time_base
        if ends_s < -PRIMING_S and not self._hides:
            return
        packet.dts = packet.dts - start if packet.dts is not None else None
        packet.pts = packet.pts - start if packet.pts is not None else None
        packet.stream = self._stream
        yield packet


class _Encoded:
    """An audio stream that is decoded and encoded with the target's own codec."""

    def __init__(self, container: av.container.OutputContainer, stream: av.AudioStream, starts_s: Fraction) -> None:
        import av

        name = "libopus" if container.format.name == "webm" else "aac"
        rate = 48_000 if name == "libopus" else stream.codec_context.sample_rate
        layout = LAYOUTS.get(stream.codec_context.layout.nb_channels, "stereo")  # files do not always name it
        self._stream: Any = container.add_stream(name, rate=rate, layout=layout)
        self._stream.codec_context.open()
        codec: Any = self._stream.codec_context
        self._resampler = av.AudioResampler(
            format=codec.format, layout=codec.layout, rate=rate, frame_size=codec.frame_size or None
        )
        self._starts_s = starts_s

    def packets(self, packet: av.Packet | None) -> Iterator[av.Packet]:
        frames: list[Any] = packet.decode() if packet is not None else [None]
        for frame in frames:
            if frame is not None and frame.pts is not None and frame.time_base:
                frame.pts -= round(self._starts_s / frame.time_base)
            for ready in self._resampler.resample(frame):
                yield from self._stream.encode(ready)
        if packet is None:
            yield from self._stream.encode(None)
