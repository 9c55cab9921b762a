"""Restoring the clips of test sets with one method, clip by clip, so that a killed run goes on where it stopped."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.evaluation import load_image
from benchmark.testsets.base import Clip, Sample
from core import bicubic, files, schema
from core.image_files import encode_png

if TYPE_CHECKING:
    from torch import Tensor

    from models.spec import Method

FACTOR = 4


def input_of(sample: Sample) -> Tensor:
    """What a method is given of a test set's image: the file as it is, reduced four times, or grey as three channels.

    Shape: [3, H, W] float32. Range: [0, 1], sRGB-encoded. Errors: as load_image; ValueError for another `made`.
    """
    image = load_image(sample.blur)
    if sample.made in ("", "grey"):
        return image
    height, width = (side // FACTOR * FACTOR for side in image.shape[1:])
    values = np.moveaxis(image[:, :height, :width].numpy(), 0, -1)
    if sample.made == "bicubic":
        return as_tensor(bicubic.reduced(values, FACTOR))
    if sample.made == "gaussian":
        return as_tensor(bicubic.sampled_after_gaussian(values, FACTOR))
    raise ValueError(f"{sample.blur}: no way to make an input is called {sample.made!r}")


def enlarged(image: Tensor, scale: int) -> Tensor:
    """Bicubically, as MATLAB does it. Shape: [3, H, W] -> [3, s H, s W]. Range: [0, 1], clipped."""
    values = bicubic.resized(np.moveaxis(image.numpy(), 0, -1), scale)
    return as_tensor(np.clip(values, 0, 1).astype(np.float32))


def as_tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] -> [3, H, W]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))


class AreaReduced:
    """A super-resolution method as one of the input's size: the exact mean over every scale x scale pixels."""

    def __init__(self, method: Method, scale: int) -> None:
        self.method = method
        self.scale = scale

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, H, W]. Errors: ValueError if the method's output is not scale times its input."""
        from torch.nn.functional import avg_pool2d

        sizes: deque[tuple[int, int]] = deque()
        for frame in self.method.restore(_noting_sizes(frames, sizes)):
            height, width = sizes.popleft()
            if tuple(frame.shape[-2:]) != (self.scale * height, self.scale * width):
                raise ValueError(
                    f"a network of scale {self.scale} turned {height} x {width} px into {frame.shape[-2]} x "
                    f"{frame.shape[-1]}"
                )
            yield avg_pool2d(frame[None], self.scale)[0]


class Enlarged:
    """A method of the input's size where a larger image is asked for: it restores the bicubically enlarged one."""

    def __init__(self, method: Method, scale: int) -> None:
        self.method = method
        self.scale = scale

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, s H, s W]."""
        return self.method.restore(enlarged(frame, self.scale) for frame in frames)


def _noting_sizes(frames: Iterator[Tensor], sizes: deque[tuple[int, int]]) -> Iterator[Tensor]:
    for frame in frames:
        sizes.append((frame.shape[-2], frame.shape[-1]))
        yield frame


@dataclass
class Restored:
    """The images of a method and images folder: sha256 of every file by key, and why others are missing.

    faces: of a method that restores faces, how many it restored in each image.
    """

    source: str  # sha256 of the weights, or the method's name: images of other weights do not count
    images: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    faces: dict[str, int] = field(default_factory=dict)


def read_record(path: Path, source: str) -> Restored:
    """What an earlier run recorded; nothing where the record is missing, broken or of other weights."""
    try:
        stored = schema.parse(path.read_text(encoding="utf-8"))
        if stored["source"] == source:
            return Restored(source=source, images=dict(stored["images"]), faces=dict(stored.get("faces", {})))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return Restored(source=source)


def restore_clips(
    method: Method,
    clips: Sequence[Clip],
    folder: Path,
    record_path: Path,
    source: str,
    advance: Callable[[int], None],
    scale: int = 1,
) -> Restored:
    """Restore clips and write `<folder>/<key>.png`, 8-bit rounded. Clips whose images are all recorded are kept.

    scale: how many times larger than its input every image must come out.

    advance(images) is called after every clip. A clip that fails is left out, with the reason in `failed`.
    Errors: OSError if an image cannot be written (disk full).
    """
    record = read_record(record_path, source)
    for clip in clips:
        if not _complete(clip, folder, record):
            for sample in clip.samples:
                record.images.pop(sample.key, None)
                record.faces.pop(sample.key, None)
            written: dict[str, str] = {}
            faces: dict[str, int] = {}
            counted = _faces_so_far(method)
            try:
                for key, image in _restored_images(method, clip, scale):
                    written[key] = _write(folder / f"{key}.png", image)
                    if counted is not None:
                        faces[key] = (_faces_so_far(method) or 0) - counted
                        counted += faces[key]
                record.images.update(written)
                record.faces.update(faces)
            except WriteFailed as error:
                raise error.reason from None
            except Exception as error:  # whatever a network throws is the reason in its row; the others go on
                record.failed[clip.name] = one_sentence(error)
            write_record(record_path, record)
        advance(len(clip.samples))
    write_record(record_path, record)
    return record


def write_record(path: Path, record: Restored) -> None:
    """Write the record in one step, unless it says the same already."""
    content: dict[str, object] = {"source": record.source, "images": dict(sorted(record.images.items()))}
    content["failed"] = record.failed
    if record.faces:
        content["faces"] = dict(sorted(record.faces.items()))
    text = json.dumps(content, indent=1)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)


def _faces_so_far(method: Method) -> int | None:
    """How many faces a method has restored since it was opened; None if it does not restore faces."""
    return getattr(getattr(method, "adapted", method), "faces", None)


class WriteFailed(Exception):
    """An image could not be written: not the method's fault, so the run stops."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def one_sentence(error: BaseException) -> str:
    """The first line of an error, with its kind where the text alone says little."""
    text = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, ValueError | OSError | FloatingPointError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _complete(clip: Clip, folder: Path, record: Restored) -> bool:
    for sample in clip.samples:
        digest, path = record.images.get(sample.key), folder / f"{sample.key}.png"
        if digest is None or not path.is_file() or files.sha256_of(path) != digest:
            return False
    return True


def _restored_images(method: Method, clip: Clip, scale: int = 1) -> Iterator[tuple[str, np.ndarray]]:
    """(key, [H, W, 3] uint8) of every frame; the whole clip goes through the method, frame by frame."""

    sizes: list[tuple[int, ...]] = []

    def frames() -> Iterator[Tensor]:
        for sample in clip.samples:
            frame = input_of(sample)
            sizes.append((frame.shape[0], scale * frame.shape[1], scale * frame.shape[2]))
            yield frame

    count = 0
    for image in method.restore(frames()):
        if count >= len(clip.samples):
            raise ValueError(f"the method returned more frames than the {len(clip.samples)} of {clip.name}")
        if tuple(image.shape) != sizes[count]:
            raise ValueError(f"the method turned {list(sizes[count])} into {list(image.shape)}")
        levels = (image.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy()
        yield clip.samples[count].key, np.ascontiguousarray(levels.transpose(1, 2, 0))
        count += 1
    if count != len(clip.samples):
        raise ValueError(f"the method returned {count} of the {len(clip.samples)} frames of {clip.name}")


def _write(path: Path, image: np.ndarray) -> str:
    try:
        return files.write_bytes(path, encode_png(image))
    except OSError as error:
        raise WriteFailed(error) from None
