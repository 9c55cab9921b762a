"""Small clips for the tests: a smooth random texture that moves, as frames, as a folder and as a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from core.image_files import write_image
from core.random_streams import stream

HEIGHT, WIDTH = 72, 96


def texture(seed: int = 0, height: int = 3 * HEIGHT, width: int = 6 * WIDTH) -> np.ndarray:
    """Smooth random picture with values well inside 0..255. Shape: [height, width, 3] uint8."""
    coarse = stream(seed, "texture").integers(30, 226, (height // 9, width // 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def moving_frames(count: int, speed_px: float = 1.7, seed: int = 0, start: int = 0) -> list[np.ndarray]:
    """The texture shifted by speed_px a frame. Shape: each [72, 96, 3] uint8."""
    picture = texture(seed)
    frames = []
    for index in range(start, start + count):
        shift = np.array([[1, 0, -20 - index * speed_px], [0, 1, -30 - 0.3 * index * speed_px]], dtype=np.float64)
        frames.append(cv2.warpAffine(picture, shift, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC))
    return frames


def write_frames(folder: Path, frames: list[np.ndarray], suffix: str = ".png") -> Path:
    """A folder of frames whose names sort naturally but not alphabetically (frame_2 before frame_10)."""
    for index, frame in enumerate(frames):
        write_image(folder / f"frame_{index}{suffix}", frame)
    return folder


def write_video(
    path: Path,
    frames: list[np.ndarray],
    *,
    fps: int = 240,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    bt709: bool = False,
    ticks: list[int] | None = None,
    time_base: Fraction | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Encode a clip with PyAV. ticks: times of the frames in units of `time_base` (s), in place of an even rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        made = container.add_stream(codec, rate=fps, options={"crf": "10", **(options or {})})
        made.height, made.width, made.pix_fmt = frames[0].shape[0], frames[0].shape[1], pixels
        container.metadata.update(metadata or {})
        if bt709:
            made.codec_context.colorspace = 1
        if ticks:
            made.time_base = made.codec_context.time_base = time_base
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            if bt709:
                picture = picture.reformat(format=pixels, dst_colorspace="itu709")
            if ticks:
                picture.pts, picture.time_base = ticks[index], time_base
            container.mux(made.encode(picture))
        container.mux(made.encode())
    return path


def decoded(path: Path) -> list[np.ndarray]:
    """Every frame of a video as PyAV converts it by itself."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def tree(folder: Path) -> dict[str, bytes]:
    """All files of an output folder that have to be reproducible: everything but run.json."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }
