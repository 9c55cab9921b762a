"""Training samples whose blur is drawn on the fly: from sharp photographs, or from consecutive sharp frames.

No pair lies on disk. What step n gets depends on the seed and n alone, whatever the number of workers, so that resuming
is exact. An exposure is drawn a little larger than the crop and shown REUSE times, each time as another crop, flipped,
with other noise and compression, mixed with BLOCK others.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.image_files import image_size, list_images
from core.random_streams import stream
from models.recipes import Augmentation
from models.training.augmentation import augmented
from models.training.samples import NO_CHANGE, to_tensor, unit
from synth.live_exposures import Exposure, LiveSettings, PathNumbers, Photographs, developed, draw
from synth.live_frames import Sequences

REUSE = 2
BLOCK = 128
ROOM_PX = 32  # an exposure's side less the crop's: where the crops of one exposure may lie
HELD_OUT_MOST = 8
VALIDATION_SIDE_PX = 256


@dataclass(frozen=True, kw_only=True)
class LiveSources:
    """Checked folders. photographs, sequences: the files of each folder that train; held_out: pictures that validate.

    digest: sha256 over the names and sizes of all files. shares: how often each folder is drawn from, photographs'
    folders first; empty: photographs alike, and every folder of frames like the mean folder of photographs.
    """

    photographs: tuple[tuple[Path, ...], ...]
    sequences: tuple[tuple[Path, ...], ...]
    held_out: tuple[Path, ...]
    digest: str
    shares: tuple[float, ...]
    side_px: int

    @property
    def count(self) -> int:
        """Pictures that are trained on."""
        return sum(len(files) for files in (*self.photographs, *self.sequences))

    def held_out_in_words(self) -> str:
        return f"{len(self.held_out)} pictures of --sharp or --frames, blurred live"


def live_sources(sharp: Sequence[Path], frames: Sequence[Path], mix: Sequence[float] = ()) -> LiveSources:
    """Look at the folders of --sharp and --frames. A folder of frames is a sequence, or holds one folder for each.

    Every tenth photograph, at most HELD_OUT_MOST of them, is kept back; without photographs the last sequence is.
    Errors: ValueError, FileNotFoundError: one sentence.
    """
    if mix and len(mix) != len(sharp) + len(frames):
        folders = len(sharp) + len(frames)
        raise ValueError(f"--mix needs one number per folder of --sharp and --frames: {folders}, got {len(mix)}")
    digest = hashlib.sha256()
    photographs = [_pictures(folder, "--sharp") for folder in sharp]
    sequences = [files for folder in frames for files in _sequences(folder)]
    for path in (path for files in (*photographs, *sequences) for path in files):
        digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
    held_out: list[Path] = []
    if photographs:
        every = [path for files in photographs for path in files]
        held_out = every[9::10][:HELD_OUT_MOST]
        photographs = [[path for path in files if path not in set(held_out)] for files in photographs]
    elif len(sequences) > 1:
        held_out = sequences.pop()[::4][:HELD_OUT_MOST]
    side_px = min(min(image_size(path)) for files in (*photographs, *sequences) for path in files[:1])
    return LiveSources(
        photographs=tuple(map(tuple, photographs)),
        sequences=tuple(map(tuple, sequences)),
        held_out=tuple(held_out),
        digest=digest.hexdigest(),
        shares=tuple(mix),
        side_px=side_px,
    )


def _pictures(folder: Path, flag: str) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{flag} {folder} is no folder; give a folder of sharp PNG or JPEG files")
    found = list_images(folder)
    if not found:
        raise ValueError(f"{flag} {folder}: there is no PNG or JPEG file in this folder")
    return found


def _sequences(folder: Path) -> list[list[Path]]:
    if not folder.is_dir():
        raise FileNotFoundError(f"--frames {folder} is no folder; give a folder of consecutive frames")
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and list_images(path)]
    found = [list_images(path) for path in inner] or [_pictures(folder, "--frames")]
    long_enough = [files for files in found if len(files) >= 3]
    if not long_enough:
        raise ValueError(f"--frames {folder}: a sequence has at least 3 consecutive frames, and none here has")
    return long_enough


class LiveSampler:
    """Crops of live exposures. workers: threads that draw, which changes no byte. augmentation: what a recipe does to
    a sample besides, colours for example. with_motion: a batch has a third part, the motion behind each sample. device:
    where exposures of photographs are made (synth/live_exposures.py, `draw`); batches are on the CPU."""

    def __init__(
        self,
        sources: LiveSources,
        settings: LiveSettings,
        *,
        seed: int,
        crop_px: int,
        workers: int = 1,
        augmentation: Augmentation = NO_CHANGE,
        with_motion: bool = False,
        device: str = "cpu",
    ) -> None:
        self.seed, self.crop_px, self.augmentation = seed, crop_px, augmentation
        self.device = device
        self.with_motion = with_motion
        self.settings = replace(settings, side_px=crop_px + ROOM_PX)
        folders = len(sources.photographs)
        self.photographs = (
            Photographs(sources.photographs, self.settings, seed=seed, shares=sources.shares[:folders])
            if sources.photographs
            else None
        )
        self.sequences = Sequences(sources.sequences, self.settings) if sources.sequences else None
        given = sources.shares or (1.0,) * (folders + len(sources.sequences))
        self.frames_share = sum(given[folders:]) / sum(given)
        self._pool: dict[int, Exposure] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(workers) if workers > 1 else None

    def parts(
        self, step: int, size: int, *, processes: int = 1, rank: int = 0, parts: int = 1
    ) -> list[tuple[Tensor, ...]]:
        """The share of process number `rank` in the step's `size` samples, in so many batches of one size.

        Shape: each two float32 [size, 1, 3, crop, crop], blurred and sharp, in [0, 1]; and with the motion float32
        [size, 5]: of the positions that the sample's middle sees, the variance of x, of y, the covariance (px^2), and
        the mean of x and of y less the position at the middle of the exposure (px).
        """
        share = size // processes
        start = step * size + rank * share
        piece = share // parts
        return [self._together(range(start + n * piece, start + (n + 1) * piece)) for n in range(parts)]

    def _together(self, numbers: range) -> tuple[Tensor, ...]:
        samples = list(self._threads.map(self.sample, numbers) if self._threads else map(self.sample, numbers))
        blur, sharp = (unit(np.stack([sample[side] for sample in samples])[:, None]) for side in (0, 1))
        if self.augmentation != NO_CHANGE:
            changed = [
                augmented(blur[place], sharp[place], self.augmentation, stream(self.seed, "live change", number))
                for place, number in enumerate(numbers)
            ]
            blur, sharp = (np.stack([clip[side] for clip in changed]) for side in (0, 1))
        if not self.with_motion:
            return to_tensor(blur), to_tensor(sharp)
        return to_tensor(blur), to_tensor(sharp), torch.tensor([sample[2] for sample in samples])

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray, PathNumbers]:
        """Sample number `number`. Shape: two uint8 [crop, crop, 3], blurred and sharp; and its motion (see `parts`)."""
        block, place = divmod(number, BLOCK * REUSE)
        order = stream(self.seed, "live order", block).permutation(BLOCK * REUSE)
        exposure = self._exposure(block * BLOCK + int(order[place]) % BLOCK)
        rng = stream(self.seed, "live sample", number)
        pair = developed(exposure, self.settings, rng)
        top, left = (int(rng.integers(ROOM_PX + 1)) for _ in range(2))
        mirrored, upside_down, transposed = rng.random(3) < 0.5
        shown = []
        for picture in pair:
            crop = picture[top : top + self.crop_px, left : left + self.crop_px]
            crop = crop[:, ::-1] if mirrored else crop
            crop = crop[::-1] if upside_down else crop
            shown.append(crop.swapaxes(0, 1) if transposed else crop)
        along_x, along_y, together, x, y = exposure.path
        if mirrored:
            together, x = -together, -x
        if upside_down:
            together, y = -together, -y
        if transposed:
            along_x, along_y, x, y = along_y, along_x, y, x
        return shown[0], shown[1], (along_x, along_y, together, x, y)

    def _exposure(self, number: int) -> Exposure:
        with self._lock:
            found = self._pool.get(number)
        if found is not None:
            return found
        found = self._drawn(number)
        with self._lock:
            if len(self._pool) >= 2 * BLOCK:  # of the block before
                self._pool = {key: value for key, value in self._pool.items() if key // BLOCK == number // BLOCK}
            self._pool[number] = found
        return found

    def _drawn(self, number: int) -> Exposure:
        if self.sequences is None:
            assert self.photographs is not None
            return draw(self.photographs, self.settings, self.seed, number, device=self.device)
        if self.photographs is None or stream(self.seed, "live kind", number).random() < self.frames_share:
            return self.sequences.draw(self.seed, number)
        return draw(self.photographs, self.settings, self.seed, number, device=self.device)


def validation_samples(sources: LiveSources, settings: LiveSettings) -> list[tuple[Tensor, Tensor]]:
    """Held-out pictures, blurred without noise: the same in every training. Shape: pairs of [3, side, side]."""
    if not sources.held_out:
        return []
    clean = replace(settings, side_px=VALIDATION_SIDE_PX, noise=0.0, jpeg=0.0, growth=0)
    photographs = Photographs([sources.held_out], clean, seed=0, scales=1)
    pairs = []
    for number in range(len(sources.held_out)):
        pair = developed(draw(photographs, clean, 0, number), clean, stream(0, "live validation", number))
        blur, sharp = (to_tensor(unit(picture)) for picture in pair)
        pairs.append((blur, sharp))
    return pairs
