"""Training samples: random crops of pairs, or whole aligned faces, changed as the seed and the step say.

Decoded images are kept in memory first, then as memory maps of a folder. On a GPU the next step's samples are made
while the network works on this step's.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core import camera_response
from core.image_files import image_size, read_image
from core.random_streams import stream
from models.recipes import Augmentation
from models.training.augmentation import augmented
from models.training.eyes_and_mouths import FaceBoxes, mirrored, scaled
from models.training.pair_sources import Pair

MEMORY_BYTES = 2 << 30


class ImageStore:
    """Reads images; each is decoded once where there is room.

    The first MEMORY_BYTES stay in memory. The others go, where a folder is given, into it as arrays that are mapped
    into memory (a crop reads only its own rows; the folder may be shared by processes and kept for the next training),
    and are decoded every time otherwise.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._images: dict[Path, np.ndarray] = {}
        self._bytes = 0

    def read(self, path: Path) -> np.ndarray:
        """Shape: [H, W, 3], uint8 or uint16, RGB; not to be changed. Errors: as read_image; OSError (disk full)."""
        image = self._images.get(path)
        if image is not None:
            return image
        mapped = self._mapped(path)
        if mapped is not None:
            self._images[path] = mapped
            return mapped
        image = read_image(path, deep=True)
        if self._bytes + image.nbytes <= MEMORY_BYTES:
            self._images[path] = image
            self._bytes += image.nbytes
        elif self.folder is not None:
            self._write(path, image)
        return image

    def _place(self, path: Path) -> Path | None:
        if self.folder is None:
            return None
        # An image inside an archive is known by the archive's date.
        facts = next(place for place in (path, *path.parents) if place.exists()).stat()
        name = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npy"

    def _mapped(self, path: Path) -> np.ndarray | None:
        place = self._place(path)
        return np.load(place, mmap_mode="r") if place is not None and place.is_file() else None

    def _write(self, path: Path, image: np.ndarray) -> None:
        place = self._place(path)
        assert place is not None
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, image)
        part.replace(place)


RESPONSE_EXPONENTS = (1.0, 2.2)  # from GoPro's plain mean of values to its mean of linear light (gamma 2.2)
NO_CHANGE = Augmentation()


class PairSampler:
    """Random crops of training clips. What step n gets depends on the seed and n alone, so that resuming is exact.

    flips: "horizontal", "vertical", "transpose". response_share: this share of the clips is decoded to linear light,
    brought to full scale by one gain, and encoded with the power 1/g, g drawn from RESPONSE_EXPONENTS: as a camera of
    that response would have recorded them. g = 1 gives blur that is a plain mean of pixel values. A measured curve
    that is not at hand any more leaves a clip as it is. shares: how often each folder is drawn from; empty: an epoch
    shows every clip once. cache: see ImageStore. scale: of an enlarging
    network, whose blurred crops may be so many times smaller; crop_px is the sharp ones'. plain: a further part, the
    sharp clips before they were sharpened.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        seed: int,
        crop_px: int,
        clip_frames: int,
        flips: Sequence[str],
        reversal: bool,
        response_share: float = 0.0,
        augmentation: Augmentation = NO_CHANGE,
        shares: Sequence[float] = (),
        cache: Path | None = None,
        scale: int = 1,
        plain: bool = False,
    ):
        self.clips = _clips(pairs, clip_frames)
        self.scale, self.plain = scale, plain
        self.seed, self.crop_px, self.flips, self.reversal = seed, crop_px, tuple(flips), reversal
        self.response_share = response_share
        self._responses = _responses(pairs) if response_share else {}
        self.augmentation = augmentation
        self.shares = np.array(shares) / np.sum(shares) if len(shares) else None
        self._store = ImageStore(cache)
        self._resized: dict[tuple[Path, tuple[int, ...]], np.ndarray] = {}

    def batch(self, step: int, size: int) -> tuple[Tensor, ...]:
        """Blurred and sharp clips of a step. Shape: two float32 [size, T, 3, crop, crop]. Range: [0, 1].

        A sampler of faces adds a third part (models/training/samples.py).
        """
        return self._together(range(step * size, (step + 1) * size))

    def parts(
        self, step: int, size: int, *, processes: int = 1, rank: int = 0, parts: int = 1
    ) -> list[tuple[Tensor, ...]]:
        """The share of process number `rank` in the step's `size` samples, in so many batches of one size."""
        share = size // processes
        start = step * size + rank * share
        piece = share // parts
        return [self._together(range(start + n * piece, start + (n + 1) * piece)) for n in range(parts)]

    def _together(self, positions: range) -> tuple[Tensor, ...]:
        samples = [self._sample(self._from_pool(position)) for position in positions]
        return tuple(to_tensor(np.stack(sides)) for sides in zip(*samples, strict=True))

    def _from_pool(self, position: int) -> int:
        """One of the last `pool` positions: a batch is mixed of samples that were drawn at different times."""
        pool = self.augmentation.pool
        if not pool:
            return position
        return position - int(stream(self.seed, "pool", position).integers(min(pool, position + 1)))

    def _clip(self, position: int) -> tuple[Pair, ...]:
        if self.shares is None:
            epoch, place = divmod(position, len(self.clips))
            return self.clips[int(stream(self.seed, "order", epoch).permutation(len(self.clips))[place])]
        rng = stream(self.seed, "mix", position)
        folder = int(rng.choice(len(self.shares), p=self.shares))
        clips = [clip for clip in self.clips if clip[0].folder == folder]
        return clips[int(rng.integers(len(clips)))]

    def _sample(self, position: int) -> tuple[np.ndarray, ...]:
        blur, sharp, rng = self._shown(position)
        shown = sharp
        if self.augmentation != NO_CHANGE:
            blur, sharp = augmented(blur, sharp, self.augmentation, rng, self.scale)
        return (blur, sharp, shown) if self.plain else (blur, sharp)

    def _read(self, path: Path) -> np.ndarray:
        """An image, at the size that whole images are brought to. Shape: [H, W, 3]."""
        image = self._store.read(path)
        size = self.augmentation.resize_px
        if not size or image.shape[1::-1] == tuple(size):
            return image
        if (path, size) not in self._resized:
            if sum(kept.nbytes for kept in self._resized.values()) > MEMORY_BYTES:
                self._resized.clear()
            self._resized[path, size] = bicubically(image, *size)
        return self._resized[path, size]

    def _shown(self, position: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
        """A sample as a camera shows it, and the generator to go on with. Shape: two float32 [T, crop, crop, 3]."""
        clip = self._clip(position)
        rng = stream(self.seed, "sample", position)
        height, width = self._read(clip[0].sharp).shape[:2]
        ratio = height // self._read(clip[0].blur).shape[0]  # 1, or the scale of an enlarging network
        top, left = (ratio * int(rng.integers((side - self.crop_px) // ratio + 1)) for side in (height, width))
        mirrored, upside_down, reversed_ = rng.random(3) < 0.5
        ordered = clip[::-1] if reversed_ and self.reversal else clip
        transposed = "transpose" in self.flips and rng.random() < 0.5
        sides: list[np.ndarray] = []
        for paths, part in (([pair.blur for pair in ordered], ratio), ([pair.sharp for pair in ordered], 1)):
            rows, columns = (slice(start // part, (start + self.crop_px) // part) for start in (top, left))
            frames = np.stack([self._read(path)[rows, columns] for path in paths])  # [T, crop, crop, 3]
            frames = frames[:, :, ::-1] if mirrored and "horizontal" in self.flips else frames
            frames = frames[:, ::-1] if upside_down and "vertical" in self.flips else frames
            frames = frames.swapaxes(1, 2) if transposed else frames
            sides.append(frames)
        response = self._responses.get(clip[0].response)
        if response is None or rng.random() >= self.response_share:
            return unit(sides[0]), unit(sides[1]), rng
        blur, sharp = _through_another_response(sides[0], sides[1], response, float(rng.uniform(*RESPONSE_EXPONENTS)))
        return blur, sharp, rng


def bicubically(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image at another size as PIL's BICUBIC gives it (a = -0.5, antialiased). Shape: uint8 or uint16 [H, W, 3]."""
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    sides = [Image.fromarray(image[..., channel].astype(np.float32)) for channel in range(3)]
    found = np.stack([np.asarray(side.resize((width, height), Image.Resampling.BICUBIC)) for side in sides], axis=-1)
    return np.clip(np.round(found), 0, 65535).astype(np.uint16)


def centre_crop(path: Path, side: int) -> Tensor:
    """The middle of an image, at most `side` px. Shape: [3, h, w] float32. Range: [0, 1]."""
    image = read_image(path, deep=True)
    top, left = (max(0, (extent - side) // 2) for extent in image.shape[:2])
    return to_tensor(unit(image[top : top + side, left : left + side]))


def _clips(pairs: Sequence[Pair], frames: int) -> list[tuple[Pair, ...]]:
    """Runs of `frames` neighbours of one sequence; shorter where no sequence is that long."""
    sequences: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        sequences[pair.sequence].append(pair)
    frames = min(frames, max(len(sequence) for sequence in sequences.values()))
    clips = []
    for sequence in sequences.values():
        ordered = sorted(sequence, key=lambda pair: pair.order)
        clips += [tuple(ordered[start : start + frames]) for start in range(len(ordered) - frames + 1)]
    return clips


def _responses(pairs: Sequence[Pair]) -> dict[str, camera_response.CameraResponse]:
    """The responses of pairs by name, less those whose file is not at hand."""
    found = {}
    for name in sorted({pair.response for pair in pairs}):
        try:
            found[name] = camera_response.response(name)
        except ValueError:
            continue
    return found


def _through_another_response(
    blur: np.ndarray, sharp: np.ndarray, response: camera_response.CameraResponse, exponent: float
) -> tuple[np.ndarray, np.ndarray]:
    """Clips as a camera of the response light^(1/exponent) would show them, float32 in [0, 1], same shapes."""
    values = (side if side.dtype == np.uint8 else unit(side) for side in (blur, sharp))  # 8 bit goes by table
    blur_lin, sharp_lin = (response.to_linear(np.ascontiguousarray(side)) for side in values)
    top = np.float32(max(blur_lin.max(), sharp_lin.max(), 1e-3))
    encoded = [np.power(side / top, np.float32(1 / exponent), dtype=np.float32) for side in (blur_lin, sharp_lin)]
    return encoded[0], encoded[1]


def unit(image: np.ndarray) -> np.ndarray:
    """8-bit or 16-bit values as float32 in [0, 1], same shape."""
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def to_tensor(image: np.ndarray) -> Tensor:
    """[..., H, W, 3] -> [..., 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, -3)))


class FaceSampler(PairSampler):
    """Faces of side_px, flipped for half of the samples if flips say "horizontal", with boxes [B, 3, 4] as third part.

    What step n gets depends on the seed and n alone. cache: see ImageStore.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        boxes: FaceBoxes,
        *,
        seed: int,
        side_px: int,
        flips: Sequence[str],
        augmentation: Augmentation,
        shares: Sequence[float],
        cache: Path | None,
    ):
        super().__init__(
            pairs,
            seed=seed,
            crop_px=side_px,
            clip_frames=1,
            flips=flips,
            reversal=False,
            augmentation=augmentation,
            shares=shares,
            cache=cache,
        )
        self.boxes = boxes

    def _together(self, positions: range) -> tuple[Tensor, ...]:
        places = [self._places(self._from_pool(position)) for position in positions]
        return (*super()._together(positions), torch.from_numpy(np.stack(places)))

    def _shown(self, position: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
        """A face and the generator to go on with. Shape: two float32 [1, side, side, 3]."""
        (pair,) = self._clip(position)
        rng = stream(self.seed, "sample", position)
        turned = self._turned(rng)
        sides = [face(self._store.read(path), self.crop_px) for path in (pair.blur, pair.sharp)]
        blur, sharp = (np.ascontiguousarray(side[:, ::-1] if turned else side)[None] for side in sides)
        return blur, sharp, rng

    def _places(self, position: int) -> np.ndarray:
        """The boxes of the same sample. Shape: float32 [3, 4]. Units: px."""
        (pair,) = self._clip(position)
        side = self._store.read(pair.sharp).shape[0]
        boxes = scaled(self.boxes.of(pair, side), self.crop_px / side)
        if self._turned(stream(self.seed, "sample", position)):
            boxes = mirrored(boxes, self.crop_px)
        return boxes.astype(np.float32)

    def _turned(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < 0.5) and "horizontal" in self.flips


def face(image: np.ndarray, side: int) -> np.ndarray:
    """A square image at this side, by area means. Shape: uint8 or uint16 [S, S, 3] -> float32 [side, side, 3]."""
    values = unit(image)
    return values if len(image) == side else cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)


def validation_face(pair: Pair, side: int, settings: Augmentation) -> tuple[Tensor, Tensor]:
    """Input and target of a held-out face; a degradation depends on its key alone. Shape: two [3, side, side]."""
    blur, sharp = (face(read_image(path, deep=True), side)[None] for path in (pair.blur, pair.sharp))
    if settings.from_sharp:
        blur, sharp = augmented(blur, sharp, settings, stream(0, "validation", pair.key))
    return to_tensor(blur)[0], to_tensor(sharp)[0]


def require_squares(pairs: Sequence[Pair]) -> None:
    """Errors: ValueError for an image that is not square."""
    for pair in pairs:
        height, width = image_size(pair.sharp)
        if width != height:
            raise ValueError(
                f"{pair.sharp} is {width}x{height} px; a recipe of faces trains on aligned faces, which are square "
                "pictures in FFHQ's pose"
            )


Batches = list[tuple[Tensor, ...]]


class Ahead:
    """Calls `make(step)` for the step after the one that is asked for, in a thread; what it gives is the same.

    On a CPU nothing runs ahead: the network uses the cores already, and its batches take a hundredth of its time.
    """

    def __init__(self, make: Callable[[int], Batches], device: torch.device, last: int) -> None:
        self.make, self.device, self.last = make, device, last
        self._thread = ThreadPoolExecutor(1) if device.type == "cuda" else None
        self._next: tuple[int, Future[Batches]] | None = None

    def get(self, step: int) -> Batches:
        """The batches of a step on the device. Errors: those of `make`."""
        if self._thread is None:
            return [tuple(part.to(self.device) for part in batch) for batch in self.make(step)]
        batches = self._next[1].result() if self._next and self._next[0] == step else self.make(step)
        if step + 1 < self.last:
            self._next = (step + 1, self._thread.submit(self.make, step + 1))
        return [tuple(self._moved(part) for part in batch) for batch in batches]

    def _moved(self, part: Tensor) -> Tensor:
        return part.pin_memory().to(self.device, non_blocking=True)
