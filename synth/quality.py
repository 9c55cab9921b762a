"""The quality gate: figures about a pair that tell, without a truth, whether to train on it.

They stand in the manifest beside the pair (keys of `PairQuality`), so that anybody can filter by them. Motion is looked
at on a grid an eighth of the size, which its smoothness allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from synth.interp.flow import TIERS, Flow

GRID_PX = 8
FULL_LEVELS = 250  # a channel at or above it is taken for clipped, of 255
WIDEST_SPACING_PX = 1.0
_probe = Flow(TIERS["fast"])


@dataclass(frozen=True, kw_only=True)
class GapMotion:
    """Motion in a gap on the grid. Shape: lengths_px [h, w] float32. disagreement: levels of 255 (`gap_motion`)."""

    lengths_px: np.ndarray
    disagreement: float


@dataclass(frozen=True, kw_only=True)
class PairQuality:
    """blur_extent_px: length of the path over the window, 95th percentile over the picture. ghost_score: share of
    pixels whose averaged samples are more than 1 px apart (95th percentile over the gaps). saturated: share of pixels
    of the sharp frame with a channel at 250 or more. still: hardly any motion (under 0.5 px). sharp_blur: how blurred
    the sharp frame itself is, 0 sharp to 1 (`perceptual_blur`). flow_disagreement: worst gap, levels of 255.
    """

    blur_extent_px: float
    ghost_score: float
    saturated: float
    still: bool
    sharp_blur: float
    flow_disagreement: float


def gap_motion(first: np.ndarray, second: np.ndarray, motion_px: np.ndarray | None) -> GapMotion:
    """Motion between two captured frames: as the interpolator found it, else (None) by a fast flow.

    disagreement: mean difference between the frames after both were moved to the middle of the gap: high where the
    motion is wrong, where light changes, and where something is uncovered.
    Shape: frames uint8 [H, W, 3], motion_px float32 [H, W, 2].
    """
    if motion_px is None:
        motion_px = _probe.motion(first, second)
    height, width = first.shape[:2]
    size = (-(-width // GRID_PX), -(-height // GRID_PX))
    small = cv2.resize(motion_px, size, interpolation=cv2.INTER_AREA)
    grey = [
        cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for frame in (first, second)
    ]
    places = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).astype(np.float32)
    half = small * np.array([size[0] / width / 2, size[1] / height / 2], dtype=np.float32)
    moved = [_look_up(image.astype(np.float32), places + side) for image, side in zip(grey, (-half, half), strict=True)]
    return GapMotion(
        lengths_px=np.hypot(small[..., 0], small[..., 1]), disagreement=float(np.abs(moved[0] - moved[1]).mean())
    )


def _look_up(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    return cv2.remap(image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


def pair_quality(gaps: Sequence[GapMotion], samples_per_gap: int, sharp: np.ndarray) -> PairQuality:
    """The figures of a pair. samples_per_gap: instants averaged per captured gap (1: captured frames only).

    sharp: uint8 [H, W, 3]. Errors: ValueError without gaps.
    """
    if not gaps:
        raise ValueError("the quality of a pair is told from the motion in at least one gap")
    lengths = np.stack([gap.lengths_px for gap in gaps])  # [gaps, h, w]
    extent = float(np.percentile(lengths.sum(axis=0), 95))
    spacing = np.percentile(lengths, 95, axis=0) / samples_per_gap
    below = cv2.countNonZero(cv2.inRange(sharp, (0, 0, 0), (FULL_LEVELS - 1,) * 3))
    return PairQuality(
        blur_extent_px=round(extent, 3),
        ghost_score=round(float(np.mean(spacing > WIDEST_SPACING_PX)), 5),
        saturated=round(1 - below / (sharp.shape[0] * sharp.shape[1]), 5),
        still=extent < 0.5,
        sharp_blur=round(perceptual_blur(sharp), 4),
        flow_disagreement=round(max(gap.disagreement for gap in gaps), 3),
    )


def perceptual_blur(image: np.ndarray) -> float:
    """How blurred an image looks: how little it changes by being blurred once more. 0: not at all, 1: all of it.

    Shape: uint8 [H, W, 3]. Source: Crete et al., The Blur Effect, SPIE 6492, 2007: differences of neighbours before and
    after a 9-tap mean, the worse of the two directions.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = []
    for turned in (grey, cv2.transpose(grey)):
        blurred = cv2.blur(turned, (1, 9))
        before = cv2.absdiff(turned[1:], turned[:-1])
        after = cv2.absdiff(blurred[1:], blurred[:-1])
        total = cv2.sumElems(before)[0]
        lost = cv2.sumElems(cv2.subtract(before, after))[0]  # stops at zero
        found.append(1.0 if total == 0 else (total - lost) / total)
    return max(found)
