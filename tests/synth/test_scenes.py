"""Rendered scenes: disjoint photographs, the same frames in any order, and the extents and means that they promise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from core.camera_response import response
from synth import scenes
from synth.scenes import CAPTURED_FPS, PHOTOGRAPHS, TINTS, Scene, blur_lin, default_scenes, photograph_lin
from synth.shake import blur_extent_px, draw_shake, homographies

SMALL = Scene(
    name="small",
    photographs=("motorcycle_left.png", "coins.png"),
    height=91,
    width=133,
    seed=5,
    extent_px=9.0,
    duration_s=22 / CAPTURED_FPS,
)
SPLITS = tuple(PHOTOGRAPHS)


def test_no_photograph_is_in_two_splits() -> None:
    names = [name for split in SPLITS for name in PHOTOGRAPHS[split]]
    assert len(names) == len(set(names))
    views = {"motorcycle_left.png", "motorcycle_right.png"}  # of one scene
    assert sum(bool(views & set(PHOTOGRAPHS[split])) for split in SPLITS) == 1


@pytest.mark.parametrize("name", [name for split in SPLITS for name in PHOTOGRAPHS[split]])
def test_photographs_ship_with_the_project_or_scikit_image(name: str) -> None:
    image_lin = photograph_lin(name)
    assert image_lin.dtype == np.float32
    assert image_lin.shape[2] == 3
    assert 0 <= image_lin.min() < image_lin.max() <= 1
    assert (np.ptp(image_lin, axis=2).max() > 0) or name not in TINTS


def test_a_missing_photograph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"coffee\.png.*scikit-image"):
        photograph_lin("coffee.png")


@pytest.mark.parametrize("split", SPLITS)
def test_default_scenes_use_their_own_photographs_and_spread_their_blur(split: str) -> None:
    clips = default_scenes(split, 0)
    extents_px = []
    for clip in clips:
        assert set(clip.scene.photographs) <= set(PHOTOGRAPHS[split])
        assert (clip.scene.height, clip.scene.width) == (360, 640)
        for first in range(0, clip.frame_count - 10, 11):
            extents_px.append(clip.scene.window_extent_px(first * 16, (first + 10) * 16))
    assert len({clip.scene.name for clip in clips}) == len(clips)
    assert len(extents_px) == {"train": 30, "val": 6, "test": 6}[split]
    assert 1 < min(extents_px) < 12
    assert 15 < max(extents_px) < 60


def test_another_seed_moves_otherwise_and_another_split_is_refused() -> None:
    one, two = (default_scenes("train", seed)[0].scene for seed in (0, 1))
    assert np.abs(one.path(0, 160) - two.path(0, 160)).max() > 0.1
    with pytest.raises(ValueError, match="train, val, test"):
        default_scenes("all", 0)


def test_the_extent_is_the_one_asked_for() -> None:
    for extent_px, band_hz in ((5.0, (3.0, 25.0)), (40.0, (3.0, 25.0)), (12.0, (10.0, 90.0))):
        scene = replace(SMALL, extent_px=extent_px, band_hz=band_hz)
        measured = [scene.window_extent_px(first, first + 160) for first in (0, 80, 160)]
        assert np.mean(measured) == pytest.approx(extent_px, rel=0.1)


def test_frames_are_the_same_in_any_order_and_thread() -> None:
    indices = [0, 7, 160, 33, 2.5, 1000]
    first = [SMALL.frame_lin(index) for index in indices]
    scenes._layers.cache_clear()
    scenes._shakes.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        second = list(pool.map(replace(SMALL).frame_lin, reversed(indices)))[::-1]
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    assert first[0].shape == (91, 133, 3)
    assert first[0].dtype == np.float32
    assert min(frame.min() for frame in first) >= 0
    assert max(frame.max() for frame in first) <= 1
    assert np.abs(first[0] - first[2]).max() > 0.1


def test_a_frame_is_that_of_its_time_at_any_frame_rate() -> None:
    captured = replace(SMALL, virtual_fps=CAPTURED_FPS)
    np.testing.assert_array_equal(captured.frame_lin(3), SMALL.frame_lin(48))


def test_a_caller_may_change_a_frame() -> None:
    before = SMALL.frame_lin(0)
    SMALL.frame_lin(0)[:] = 0
    np.testing.assert_array_equal(before, SMALL.frame_lin(0))


def test_a_resting_frame_is_the_photograph() -> None:
    """At one frame px per photograph px, pixel for pixel, and not softened."""
    scene = replace(SMALL, height=360, width=641, extent_px=0.0, magnification=1.0, foreground=False)
    frame = response("srgb").to_encoded(scene.frame_lin(12))
    photograph = response("srgb").to_encoded(photograph_lin("motorcycle_left.png")[70:430, 50:691])
    error = np.mean((frame - photograph) ** 2)
    assert 10 * np.log10(1 / error) > 32
    sharpness = np.abs(np.diff(frame, axis=1)).mean() / np.abs(np.diff(photograph, axis=1)).mean()
    assert 0.9 < sharpness < 1.1


def test_the_foreground_moves_on_its_own() -> None:
    with_front, without = SMALL, replace(SMALL, foreground=False)
    shown = [np.abs(with_front.frame_lin(index) - without.frame_lin(index)).max(axis=2) > 0.02 for index in (0, 300)]
    share = [mask.mean() for mask in shown]
    assert 0.05 < min(share) < max(share) < 0.5
    assert (shown[0] != shown[1]).mean() > 0.01


def test_the_true_blur_is_the_trapezoid_mean() -> None:
    frames = np.stack([SMALL.frame_lin(index) for index in range(20, 37)]).astype(np.float64)
    weights = np.ones(17)
    weights[[0, -1]] = 0.5
    expected = np.tensordot(weights / weights.sum(), frames, axes=1)
    np.testing.assert_allclose(blur_lin(SMALL, 20, 36), expected, atol=2e-6)
    with pytest.raises(ValueError, match="at least two"):
        blur_lin(SMALL, 4, 4)


def test_a_resting_scene_has_no_blur() -> None:
    scene = replace(SMALL, extent_px=0.0)
    np.testing.assert_allclose(blur_lin(scene, 0, 32), scene.frame_lin(0), atol=1e-6)


def test_extent_of_known_paths() -> None:
    poses = np.zeros((3, 6))
    poses[:, 0] = (0, 3, -3)
    poses[:, 1] = (0, 4, -4)
    assert blur_extent_px(homographies(poses, 90, 120), 90, 120) == pytest.approx(10.0)
    roll = np.zeros((2, 6))
    roll[1, 2] = 5.0  # px at half the diagonal, so a corner moves 5 px
    corner = np.array([0.0, 0.0, 1.0])
    moved = homographies(roll, 90, 120) @ corner
    assert np.hypot(*(moved[1, :2] - moved[0, :2])) == pytest.approx(5.0, rel=0.02)


def test_shake_is_one_px_and_within_its_band() -> None:
    shake = draw_shake(3, "test", band_hz=(3, 25))
    assert (shake.frequencies_hz >= 3).all()
    assert (shake.frequencies_hz <= 25).all()
    poses = shake.poses(np.arange(0, 400, 0.003))
    np.testing.assert_allclose(poses[:, :2].std(axis=0), 1.0, rtol=0.02)
    with pytest.raises(ValueError, match="band"):
        draw_shake(3, "test", band_hz=(25, 3))
