"""Images, folders and videos of a person's own, restored to files of their kind."""

from __future__ import annotations

import errno
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from models.spec import Method
from synth.image_files import (
    IMAGE_SUFFIXES,
    Picture,
    image_size,
    list_images,
    read_picture,
    write_picture,
)
from synth.video import VIDEO_SUFFIXES, every_frame, open_source

VIDEO_QUALITY = {"crf": "12", "preset": "medium"}  # visually lossless H.264
BT709 = 1  # FFmpeg's number of this matrix, these primaries and this transfer curve
LIMITED_RANGE = 1


def restore_path(method: Method, source: Path, target: Path, *, clip: bool) -> list[str]:
    """Restore an image, a folder of images or a video. clip: the images of a folder are frames of one clip.

    Returns one sentence for every image that failed; the others are written. Errors: ValueError, OSError.
    """
    if source.is_dir():
        return _restore_folder(method, source, target, clip)
    if not source.is_file():
        raise ValueError(f"{source}: there is no such image, folder or video")
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return _restore_video(method, source, target)
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{source}: the input is {_either(IMAGE_SUFFIXES)}, or a video: {_either(VIDEO_SUFFIXES)}")
    if target.is_dir():
        target = target / source.name
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{target}: an image is written as {_either(IMAGE_SUFFIXES)}")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: input and output are one file; the blurred image would be overwritten")
    picture = read_picture(source)
    if picture.alpha is not None and target.suffix.lower() != ".png":
        raise ValueError(f"{target}: the image is transparent in places, and a JPEG cannot be; name a .png file")
    (frame,) = method.restore(iter([_to_tensor(picture)]))
    write_picture(target, _to_image(frame), picture)
    return []


def _either(suffixes: Sequence[str]) -> str:
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def _restore_folder(method: Method, source: Path, target: Path, clip: bool) -> list[str]:
    paths = list_images(source)
    if not paths:
        raise ValueError(f"{source}: the folder has no PNG or JPEG images in it")
    if target.is_file():
        raise ValueError(f"{target} is a file; a folder's images are written to a folder")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: input and output are one folder; the blurred images would be overwritten")
    targets = [(target / path.name).with_suffix(".png") for path in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"{source}: some images differ only in their suffix; they would be written to one PNG file")
    if clip:
        sizes = {image_size(path) for path in paths}
        if len(sizes) > 1:
            raise ValueError(f"{source}: the frames of a clip have one size, these have {len(sizes)}; add --stills")
        return _restore_clip(method, paths, targets)
    failures = []
    for path, result in _shown(zip(paths, targets, strict=True), len(paths)):
        try:
            picture = read_picture(path)
            (frame,) = method.restore(iter([_to_tensor(picture)]))
        except (ValueError, FloatingPointError, MemoryError) as error:
            failures.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            continue
        write_picture(result, _to_image(frame), picture)
    _say_count(len(paths) - len(failures))
    return failures


def _restore_clip(method: Method, paths: Sequence[Path], targets: Sequence[Path]) -> list[str]:
    waiting: deque[Picture] = deque()  # how the frames were saved that the network holds

    def blurred() -> Iterator[Tensor]:
        for path in paths:
            picture = read_picture(path)
            waiting.append(replace(picture, rgb=picture.rgb[:0]))
            yield _to_tensor(picture)

    written = 0
    try:
        for path, frame in _shown(zip(targets, method.restore(blurred()), strict=True), len(paths)):
            write_picture(path, _to_image(frame), waiting.popleft())
            written += 1
    except (ValueError, FloatingPointError, MemoryError) as error:
        return [f"{error} (the clip ends here; {written} of {len(paths)} frames are restored)"]
    _say_count(written)
    return []


def _restore_video(method: Method, source: Path, target: Path) -> list[str]:
    if target.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f"{target}: a video is written as {_either(VIDEO_SUFFIXES)}")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: input and output are one file; the blurred video would be overwritten")
    video = open_source(source, grey=True)
    problems: list[str] = []
    blurred = (_scaled(frame) for frame in video.frames(every_frame, problems) if frame is not None)
    target.parent.mkdir(parents=True, exist_ok=True)
    frames = _shown(method.restore(blurred), video.frames_promised)
    first = next(frames, None)
    if first is None:
        return [*problems, f"{source}: no frame could be restored"]
    height, width = first.shape[-2:]  # a super-resolution network's frames are larger than the video's
    with _video_writer(target, video.fps or 30.0, height, width) as write:
        write(_to_8bit(first))
        written = 1
        for frame in frames:
            write(_to_8bit(frame))
            written += 1
    _say_count(written)
    return problems


@contextmanager
def _video_writer(target: Path, fps: float, height: int, width: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes [H, W, 3] uint8 RGB frames as H.264; the file appears under its name when it is complete.

    Errors: OSError if it cannot be written (disk full).
    """
    import av

    part = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=VIDEO_QUALITY)
            stream.height, stream.width = height, width
            # Colour at half resolution needs even sides; odd ones keep full colour resolution.
            stream.pix_fmt = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
            # The matrix is named in the file: where none is, players guess it from the size.
            codec = stream.codec_context
            codec.colorspace = codec.color_primaries = codec.color_trc = BT709
            codec.color_range = LIMITED_RANGE

            def write(image: np.ndarray) -> None:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame = frame.reformat(
                    format=stream.pix_fmt, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE, interpolation="BICUBIC"
                )
                container.mux(stream.encode(frame))

            yield write
            container.mux(stream.encode())
        part.replace(target)
    except av.FFmpegError as error:
        raise OSError(errno.EIO, f"the video cannot be written ({error.strerror or error})", str(target)) from None
    finally:
        part.unlink(missing_ok=True)


def _shown(items: Iterator, total: int | None) -> Iterator:
    """The items, with a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("restoring", total=total)
        for item in items:
            yield item
            bar.advance(task)


def _say_count(count: int) -> None:
    print(f"restored {count} image{'s' if count != 1 else ''}", file=sys.stderr)


def _to_tensor(picture: Picture) -> Tensor:
    return _scaled(picture.rgb, picture.levels)


def _scaled(rgb: np.ndarray, levels: int = 255) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32)).div_(levels)


def _to_image(frame: Tensor) -> np.ndarray:
    return frame.permute(1, 2, 0).contiguous().numpy()


def _to_8bit(frame: Tensor) -> np.ndarray:
    return (frame * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
