"""Motion paths: drawn values against the stated ranges, laws of the point-spread function and of both blurs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.random_streams import stream
from synth.degrade import motion
from synth.degrade.motion import TrajectoryRotation, Tremor

CALM = Tremor(anxiety=0.0, gaussian=0.0, inertia=0.0, impulse=0.0)


def picture(height: int = 45, width: int = 70) -> np.ndarray:
    return stream(1, "picture").random((height, width, 3), dtype=np.float32)


def impulse(size: int, row: int, column: int) -> np.ndarray:
    image = np.zeros((size, size, 3), dtype=np.float32)
    image[row, column] = 1
    return image


def rotation(first: tuple[float, float, float], last: tuple[float, float, float]) -> TrajectoryRotation:
    """A steady turn from one pose to another."""
    angles = np.linspace(first, last, motion.STEPS)
    return TrajectoryRotation(tremor=CALM, exposure=1.0, focal=1.0, angles_rad=angles)


def test_tremor_is_uniform_in_its_ranges() -> None:
    drawn = [motion.draw_tremor(rng) for rng in [stream(0, "tremor")] for _ in range(4000)]
    for name, (low, high) in (("gaussian", motion.GAUSSIAN), ("inertia", motion.INERTIA), ("impulse", motion.IMPULSE)):
        values = np.array([getattr(tremor, name) for tremor in drawn])
        shares = np.histogram((values - low) / (high - low), bins=5, range=(0, 1))[0] / len(values)
        assert values.min() >= low and values.max() < high
        assert np.abs(shares - 0.2).max() < 0.03, name  # 4.7 standard deviations
    values, counts = np.unique([tremor.anxiety for tremor in drawn], return_counts=True)
    assert tuple(values) == motion.ANXIETIES
    assert motion.ANXIETIES == (0.003, 0.005, 0.007, 0.008, 0.009, 0.01)  # as the program's second revision has them
    assert motion.EXPOSURES == (1 / 100, 1 / 10, 1 / 2, 1)
    assert np.abs(counts / len(drawn) - 1 / 6).max() < 0.025


def test_rotation_draws_keep_to_their_ranges() -> None:
    rng = stream(0, "rotation")
    drawn = [motion.draw_rotation(rng) for _ in range(60)]
    focals = np.array([trajectory.focal for trajectory in drawn])
    assert motion.FOCAL[0] <= focals.min() < 0.9 and 1.8 < focals.max() < motion.FOCAL[1]
    assert {trajectory.exposure for trajectory in drawn} == set(motion.EXPOSURES)
    ways = [np.diff(t.angles_rad / (1, 1, motion.ROLL_SHARE), axis=0) for t in drawn]
    lengths = np.array([np.linalg.norm(way, axis=1).sum() for way in ways])
    assert motion.TURN_RAD[0] <= lengths.min() < 0.012 and 0.042 < lengths.max() < motion.TURN_RAD[1]


def test_path_has_equal_steps_and_the_stated_length() -> None:
    rng = stream(3, "walk")
    for dimensions in (2, 3):
        steps = np.diff(motion.walk(rng, motion.draw_tremor(rng), dimensions), axis=0)
        lengths = np.linalg.norm(steps, axis=1)
        assert np.allclose(lengths, motion.PATH_PX / (motion.STEPS - 1))
        assert lengths.sum() == pytest.approx(motion.PATH_PX)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_disturbance_does_what_it_says(dimensions: int) -> None:
    def reach(tremor: Tremor) -> float:
        """How far from the start the path gets."""
        return float(np.linalg.norm(motion.walk(stream(5, "walk"), tremor, dimensions), axis=1).max())

    straight = motion.walk(stream(5, "walk"), CALM, dimensions)
    assert np.linalg.norm(straight[-1]) == pytest.approx(motion.PATH_PX)
    assert reach(replace(CALM, anxiety=0.01, gaussian=10.0)) < 0.9 * motion.PATH_PX
    pulled = replace(CALM, anxiety=0.01, gaussian=2.0, inertia=0.7)
    assert reach(pulled) < reach(replace(pulled, inertia=0.0))
    # Impulses alone: straight pieces, each turn within the stated angle of a full reversal.
    path = motion.walk(stream(5, "walk"), replace(CALM, anxiety=0.01, impulse=1.0), dimensions)
    directions = np.diff(path, axis=0) * (motion.STEPS - 1) / motion.PATH_PX
    cosines = (directions[1:] * directions[:-1]).sum(axis=1)
    turned = cosines < 1 - 1e-9
    assert 5 < turned.sum() < 45  # 20 expected of 1999 steps at 0.01
    # v + 2 v exp(i (pi + u)) leaves an angle of at most atan2(2 sin u, 2 cos u - 1) from the reversed direction.
    u = motion.IMPULSE_SPREAD_RAD
    assert cosines[turned].max() <= -np.cos(np.arctan2(2 * np.sin(u), 2 * np.cos(u) - 1)) + 1e-9


def test_psf_sums_to_one_and_keeps_the_path() -> None:
    rng = stream(0, "psf")
    extents = {exposure: [] for exposure in motion.EXPOSURES}
    for _ in range(24):
        trajectory = motion.draw_shift(rng)
        size = motion.smallest_size(trajectory)
        density = motion.psf(trajectory, size)
        assert density.shape == (size, size) and density.dtype == np.float32
        assert density.min() >= 0 and density.sum() == pytest.approx(1, abs=1e-5)
        # Bilinear shares keep the mean position, which is the centre: blurred pictures stay registered.
        axis = np.arange(size) - (size - 1) / 2
        assert density.sum(axis=0) @ axis == pytest.approx(0, abs=1e-3)
        assert density.sum(axis=1) @ axis == pytest.approx(0, abs=1e-3)
        rows, columns = np.nonzero(density)
        seen = trajectory.seen_px()
        for places, travelled in ((columns, seen[:, 0]), (rows, seen[:, 1])):
            assert places.max() - (size - 1) / 2 == np.ceil(travelled.max())
            assert places.min() - (size - 1) / 2 == np.floor(travelled.min())
        extents[trajectory.exposure].append(np.ptp(seen, axis=0).max())
        padded = motion.psf(trajectory, size + 6)
        assert np.allclose(padded[3:-3, 3:-3], density, atol=1e-7)
    assert max(extents[0.1]) <= 6.0 and max(extents[0.5]) <= 30.0 and max(extents[1.0]) <= 60.0
    assert np.mean(extents[1.0]) > np.mean(extents[0.1]) > np.mean(extents[0.01])


def test_psf_of_a_still_point_is_bilinear() -> None:
    trajectory = replace(motion.draw_shift(stream(0)), points_px=np.full((motion.STEPS, 2), (0.25, -0.5)))
    expected = np.zeros((3, 3))
    expected[0:2, 1] = 0.375
    expected[0:2, 2] = 0.125
    assert np.allclose(motion.psf(trajectory, 3), expected)


def test_uniform_blur_of_an_impulse_is_the_psf() -> None:
    rng = stream(4, "impulse")
    trajectory = max((motion.draw_shift(rng) for _ in range(6)), key=motion.smallest_size)
    size = motion.smallest_size(trajectory)
    density = motion.psf(trajectory, size)
    blurred = motion.blur_uniform(impulse(2 * size + 1, size, size), density)
    half = size // 2
    around = blurred[size - half : size + half + 1, size - half : size + half + 1]
    assert size > 5 and not np.allclose(density, density[::-1, ::-1])  # or the direction would go untested
    assert np.allclose(around, density[..., None], atol=1e-6)
    assert blurred.sum() == pytest.approx(3, abs=1e-4)


def test_no_motion_changes_nothing() -> None:
    image = picture()
    still = motion.draw_shift(stream(0), path_px=0.0)
    assert motion.smallest_size(still) == 1
    assert np.array_equal(motion.psf(still, 5), impulse(5, 2, 2)[..., 0])
    assert np.allclose(motion.blur_uniform(image, motion.psf(still, 1)), image, atol=1e-6)
    assert np.allclose(motion.blur_uniform(image, motion.psf(still, 31)), image, atol=1e-6)
    rest = motion.draw_rotation(stream(0), turn_rad=0.0)
    assert motion.pose_count(rest, 45, 70) == 1
    assert np.allclose(motion.blur_varying(image, rest), image, atol=1e-5)


def test_flat_pictures_stay_flat() -> None:
    flat = np.full((30, 41, 3), 0.3, dtype=np.float32)
    rng = stream(2, "flat")
    for blur in (motion.uniform_motion, motion.varying_motion):
        blurred = blur(flat, rng)
        assert blurred.shape == flat.shape and blurred.dtype == np.float32
        assert np.allclose(blurred, flat, atol=1e-4)


def test_yaw_is_a_horizontal_streak_of_focal_times_angle() -> None:
    image = impulse(101, 50, 50)
    blurred = motion.blur_varying(image, rotation((0, -0.05, 0), (0, 0.05, 0)))[..., 0]
    rows, columns = np.nonzero(blurred > 1e-4)
    assert set(rows) == {50}
    assert np.ptp(columns) == pytest.approx(2 * 101 * np.tan(0.05), abs=2)
    assert blurred.sum() == pytest.approx(1, abs=0.02)
    assert np.allclose(blurred[50, 46:55], 1 / (2 * 101 * np.tan(0.05)), rtol=0.15)  # steady: every place as long


def test_roll_blurs_corners_and_not_the_centre() -> None:
    turn = rotation((0, 0, -0.1), (0, 0, 0.1))
    centre = motion.blur_varying(impulse(101, 50, 50), turn)[..., 0]
    corner = motion.blur_varying(impulse(101, 15, 15), turn)[..., 0]
    assert centre[50, 50] == pytest.approx(1, abs=1e-3)
    assert corner.max() < 0.25
    radius = 35 * np.sqrt(2)
    rows, columns = np.nonzero(corner > 1e-4)
    assert np.abs(np.hypot(rows - 50, columns - 50) - radius).max() < 2
    assert np.hypot(np.ptp(rows), np.ptp(columns)) == pytest.approx(0.2 * radius, abs=3)


def test_homographies_turn_about_the_centre_of_the_picture() -> None:
    (matrix,) = rotation((0, 0, 0.1), (0, 0, 0.1)).homographies(np.array([0.5]), 45, 70)
    assert np.allclose(matrix @ (34.5, 22, 1), (34.5, 22, 1))
    inner = matrix[:2, :2]
    assert np.allclose(inner @ inner.T, np.eye(2)) and np.linalg.det(inner) == pytest.approx(1)


def test_poses_are_dense_and_enough() -> None:
    trajectory = motion.draw_rotation(stream(6, "poses"), turn_rad=0.05)
    trajectory = replace(trajectory, exposure=1.0)
    count = motion.pose_count(trajectory, 90, 140)
    moved = trajectory.homographies((np.arange(count) + 0.5) / count, 90, 140) @ (0.0, 0.0, 1.0)
    steps = np.linalg.norm(np.diff(moved[:, :2] / moved[:, 2:], axis=0), axis=1)
    assert 4 < count < motion.MOST_POSES
    assert steps.max() < 2 * motion.POSE_STEP_PX


def test_same_generator_same_blur_and_the_input_is_left_alone() -> None:
    image = picture()
    before = image.copy()
    for blur in (motion.uniform_motion, motion.varying_motion):
        results = [blur(image, stream(seed, "same")) for seed in (2, 2, 5)]
        assert np.array_equal(results[0], results[1])
        assert not np.array_equal(results[0], results[2])
        assert results[0].min() >= 0 and results[0].max() <= 1
    assert np.array_equal(image, before)


def test_bad_input_is_refused() -> None:
    trajectory = motion.draw_shift(stream(8, "bad"), path_px=30)
    least = motion.smallest_size(trajectory)
    with pytest.raises(ValueError, match="odd size"):
        motion.psf(trajectory, least + 1)
    with pytest.raises(ValueError, match="odd size"):
        motion.psf(replace(trajectory, exposure=1.0, points_px=trajectory.points_px + 40), 5)
    with pytest.raises(ValueError, match="zero px or more"):
        motion.draw_shift(stream(0), path_px=-1)
    with pytest.raises(ValueError, match="degrees"):
        motion.draw_rotation(stream(0), turn_rad=3)
    with pytest.raises(ValueError, match="sums to 1"):
        motion.blur_uniform(picture(), np.ones((3, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="two odd sides"):
        motion.blur_uniform(picture(), np.full((2, 2), 0.25))
    with pytest.raises(ValueError, match="float32"):
        motion.blur_varying(np.zeros((9, 9, 3), dtype=np.uint8), rotation((0, 0, 0), (0, 0, 0)))
