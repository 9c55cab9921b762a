"""Where captured frames come from: a video file, a folder of frames, or a rendered scene. All are streamed.

A source is checked when it is opened, so that a run can refuse to start; what breaks later (a video that was cut
short, a damaged frame) ends the stream, and the reason is handed to the caller: the frames before it are good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from synth.camera import CameraResponse, to_8bit
from synth.decoding import BreaksOff, decoded_frames, promised_frames, require_colour_video, to_rgb, uneven_s
from synth.image_files import list_images, read_header, read_image, require_colour

if TYPE_CHECKING:
    from synth.scenes import SceneClip

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


class SceneFrames:
    """The embedded default: a rendered scene, every n-th virtual frame of which is encoded to 8 bit."""

    def __init__(self, clip: SceneClip, response: CameraResponse) -> None:
        self.name = clip.scene.name
        self.location = f"scene:{clip.scene.name}"
        self.fps: float | None = clip.fps
        self.height, self.width = clip.scene.height, clip.scene.width
        self.frame_count: int | None = clip.frame_count
        self.frames_promised: int | None = clip.frame_count
        self.uneven_s: tuple[float, float] | None = None
        # The first frame is in it, so that pairs of another version of the renderer are not taken for these.
        first = to_8bit(response.to_encoded(clip.scene.frame_lin(0)))
        self.fingerprint = hashlib.sha256(repr(clip).encode() + first.tobytes()).hexdigest()
        self._scene = clip.scene
        self._response = response
        self._virtual_per_gap = round(clip.scene.virtual_fps / clip.fps)

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        for index in range(self.frame_count or 0):
            if wanted(index):
                frame_lin = self._scene.frame_lin(index * self._virtual_per_gap)
                yield to_8bit(self._response.to_encoded(frame_lin))
            else:
                yield None

    def truth_lin(self, gap: int) -> np.ndarray:
        """True integral of a gap, from every rendered virtual frame before any encoding: trapezoid rule.

        Shape: [H, W, 3] float32. Range: linear light times the virtual frames per gap.
        """
        start = gap * self._virtual_per_gap
        total = self._scene.frame_lin(start) + self._scene.frame_lin(start + self._virtual_per_gap)
        total *= np.float32(0.5)
        for index in range(start + 1, start + self._virtual_per_gap):
            total += self._scene.frame_lin(index)
        return total

    @property
    def truth_weight(self) -> int:
        """Virtual frames that the truth of one gap sums over."""
        return self._virtual_per_gap


def _fingerprint(path: Path) -> str:
    """Hash of the file's size, first MiB and last MiB: enough to notice another video under the same name."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as stream:
        digest.update(stream.read(1 << 20))
        stream.seek(max(0, size - (1 << 20)))
        digest.update(stream.read(1 << 20))
    return digest.hexdigest()
