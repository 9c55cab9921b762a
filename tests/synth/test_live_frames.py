"""Blur from consecutive frames: the sharp picture is the captured one, and cuts are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.image_files import read_image
from core.random_streams import stream
from synth.live_exposures import LiveSettings, developed
from synth.live_frames import Sequences

SETTINGS = LiveSettings(side_px=64, extent_px=(4.0, 12.0), noise=0.0, jpeg=0.0)


def panned(folder: Path, count: int = 7, step: int = 6, seed: int = 0) -> list[Path]:
    """A picture that moves to the left by `step` px a frame."""
    noise = stream(seed, "panned").integers(0, 256, (20, 60, 3)).astype(np.uint8)
    wide = cv2.resize(noise, (160 + step * count, 120), interpolation=cv2.INTER_CUBIC)
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:03d}.png")
        cv2.imwrite(str(paths[-1]), wide[:, step * number : step * number + 160])
    return paths


def test_the_sharp_picture_is_a_captured_frame_and_the_blur_a_pan(tmp_path: Path):
    paths = panned(tmp_path)
    sequences = Sequences([paths], SETTINGS)
    assert len(sequences.moments) == 5
    frames = [read_image(path) for path in paths]
    for number in range(6):
        exposure = sequences.draw(2, number)
        blur, sharp = developed(exposure, SETTINGS, stream(0, "developed"))
        found = [cv2.matchTemplate(frame, sharp, cv2.TM_SQDIFF).min() for frame in frames]
        assert min(found) / sharp.size < 1e-3
        # a pan to the side takes contrast away along rows, hardly along columns
        along = [np.abs(np.diff(picture.astype(float), axis=1)).mean() for picture in (blur, sharp)]
        across = [np.abs(np.diff(picture.astype(float), axis=0)).mean() for picture in (blur, sharp)]
        assert along[0] / along[1] < across[0] / across[1]
    again = sequences.draw(2, 3)
    np.testing.assert_array_equal(again.blur, sequences.draw(2, 3).blur)


def test_a_cut_is_left_out(tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
    first, second = panned(tmp_path / "a", 5), panned(tmp_path / "b", 5, seed=9)
    sequences = Sequences([[*first, *second]], SETTINGS)
    assert sequences.left_out == 2
    assert len(sequences.moments) == 6


def test_frames_that_cannot_be_interpolated_are_refused(tmp_path: Path):
    paths = panned(tmp_path, count=4, step=0)
    with pytest.raises(ValueError, match="neighbours that can be interpolated"):
        Sequences([paths], replace(SETTINGS, side_px=64))
