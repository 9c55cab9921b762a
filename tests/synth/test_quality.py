"""The figures of the quality gate where they are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.random_streams import stream
from synth.quality import GapMotion, gap_motion, pair_quality, perceptual_blur
from tests.synth.clips import moving_frames


def uniform(length_px: float) -> GapMotion:
    return GapMotion(lengths_px=np.full((6, 8), length_px, np.float32), disagreement=1.0)


def test_extent_and_spacing_follow_the_motion() -> None:
    sharp = moving_frames(1)[0]
    quality = pair_quality([uniform(4.0)] * 10, 16, sharp)
    assert quality.blur_extent_px == pytest.approx(40) and quality.ghost_score == 0 and not quality.still
    assert pair_quality([uniform(4.0)] * 10, 1, sharp).ghost_score == 1
    half = GapMotion(lengths_px=np.tile([[4.0, 20.0]], (6, 4)).astype(np.float32), disagreement=3.5)
    assert pair_quality([half] * 10, 16, sharp).ghost_score == pytest.approx(0.5)
    assert pair_quality([half, uniform(0)], 16, sharp).flow_disagreement == 3.5
    assert pair_quality([uniform(0.02)] * 10, 16, sharp).still
    with pytest.raises(ValueError, match="at least one gap"):
        pair_quality([], 16, sharp)


def test_saturated_share() -> None:
    sharp = np.full((40, 40, 3), 100, np.uint8)
    sharp[:10, :, 2] = 255
    assert pair_quality([uniform(1.0)], 16, sharp).saturated == 0.25


def test_blur_of_the_sharp_frame_grows_with_defocus() -> None:
    image = stream(0, "focus").integers(0, 256, (120, 160, 3), dtype=np.uint8)
    found = [perceptual_blur(image)] + [perceptual_blur(cv2.GaussianBlur(image, (0, 0), s)) for s in (1.0, 2.0, 4.0)]
    assert found == sorted(found) and found[0] < 0.2 < 0.4 < found[-1]
    assert perceptual_blur(np.full((20, 20, 3), 7, np.uint8)) == 1.0


def test_wrong_motion_disagrees() -> None:
    first, second = moving_frames(2, speed_px=6.0)
    found = gap_motion(first, second, None)
    wrong = gap_motion(first, second, np.full((*first.shape[:2], 2), 20.0, np.float32))
    assert found.lengths_px.shape == (-(-first.shape[0] // 8), -(-first.shape[1] // 8))
    assert np.median(found.lengths_px) == pytest.approx(np.hypot(6.0, 1.8), abs=0.8)
    assert wrong.disagreement > 1.5 * found.disagreement
