"""Whether two captured frames follow each other: scene cuts, sudden changes of light, frames that were repeated.

A window with a cut in it would blur two scenes into one, and a repeated frame makes motion stop and jump.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np

# Thresholds, measured on consecutive frames (a real 240 fps run, a 24 fps clip, rendered shake up to 20 px a gap:
# correlation 0.92 and more) and on 300 pairs of unrelated photographs (0.74 and less, residual 22 levels and more).
CUT_CORRELATION = 0.8
CUT_RESIDUAL_LEVELS = 4.0  # frames this alike are no cut even if nothing but noise is in them
FLASH_LEVELS = 48.0  # lamps flicker by less at 240 fps
# A repeated frame survives H.264 or H.265 with few pixels changed (a real run at crf 18 to 28: mean 0.02 to 0.08
# levels, 0.05 to 0.4 % of them by more than 2; its moving frames 1.1 levels and 8 %). Where a key frame falls on the
# repetition, or the coding is very coarse, it cannot be told from slow motion and is not found.
REPEATED_MEAN_LEVELS = 0.1
REPEATED_SHARE = 0.005
_SMALL_SIDE_PX = 96
_local = threading.local()


@dataclass(frozen=True, kw_only=True)
class Continuity:
    """cut: the two frames are of different scenes or light. repeated: the second is the first again."""

    cut: bool
    repeated: bool


def continuity(first: np.ndarray, second: np.ndarray) -> Continuity:
    """Compare two neighbouring captured frames. Shape: uint8 [H, W, 3] RGB, both of one size."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    if _is_repeated(*grey):
        return Continuity(cut=False, repeated=True)
    return Continuity(cut=_is_cut(*(_small(image) for image in grey)), repeated=False)


def _is_repeated(first: np.ndarray, second: np.ndarray) -> bool:
    difference = cv2.absdiff(first, second)
    changed = np.count_nonzero(difference > 2)
    return bool(difference.mean() <= REPEATED_MEAN_LEVELS and changed <= REPEATED_SHARE * difference.size)


def _is_cut(first: np.ndarray, second: np.ndarray) -> bool:
    """What is left after motion is compensated, on small images: few px of motion, and noise averaged away."""
    if abs(float(first.mean()) - float(second.mean())) > FLASH_LEVELS:
        return True
    places = np.stack(np.meshgrid(np.arange(first.shape[1]), np.arange(first.shape[0])), axis=-1).astype(np.float32)
    motion_px = _dis().calc(first, second, None)  # type: ignore[call-overload]
    places += motion_px
    moved = cv2.remap(  # type: ignore[call-overload]
        second, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    first_flat = first.astype(np.float64) - first.mean()
    moved_flat = moved.astype(np.float64) - moved.mean()
    if np.abs(first_flat - moved_flat).mean() <= CUT_RESIDUAL_LEVELS:
        return False
    energy = np.sqrt((first_flat**2).sum() * (moved_flat**2).sum())
    return energy == 0.0 or float((first_flat * moved_flat).sum() / energy) < CUT_CORRELATION


def _small(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    scale = _SMALL_SIDE_PX / min(height, width)
    size = (max(_SMALL_SIDE_PX, round(width * scale)), max(_SMALL_SIDE_PX, round(height * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def _dis() -> cv2.DISOpticalFlow:
    """Every thread has its own: DIS keeps buffers between calls."""
    if not hasattr(_local, "dis"):
        _local.dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    return _local.dis
