"""Training samples of faces: whole aligned faces, not crops, and where their eyes and mouths are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from models.augmentation import augmented
from models.face_boxes import FaceBoxes, mirrored, scaled
from models.pair_dataset import PairSampler, to_tensor, unit
from models.pair_record import Pair
from models.recipes import Augmentation
from synth.image_files import image_size, read_image
from synth.rng import stream


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
