"""Decoded images at hand for random crops: in memory first, then as memory maps of a folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from synth.image_files import read_image

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
