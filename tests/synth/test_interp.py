"""Every interpolator: shapes, symmetry, agreement of its two methods; flow beats the cross-fade where things move."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from core.camera_response import response, to_8bit
from core.random_streams import stream
from synth.interp import INTERPOLATORS
from synth.interp.base import sum_of_virtual_frames
from synth.interp.flow import TIERS, Flow, Tier
from synth.interp.integral import GapPath, Sampling, gap_total, padded_lin, path_length_px
from tests.synth.clips import moving_frames, texture
from tests.synth.networks import make_interpolator, possible_factor

SRGB = response("srgb")


@pytest.mark.parametrize("name", INTERPOLATORS)
@pytest.mark.parametrize(("height", "width"), [(5, 7), (31, 45), (129, 33)])
def test_shapes_and_ranges_on_odd_sizes(name: str, height: int, width: int) -> None:
    first, second = stream(0, height).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    interpolator = make_interpolator(name)
    frames = interpolator.between(first, second, [0.25, 0.5], SRGB)
    assert frames.shape == (2, height, width, 3) and frames.dtype == np.float32
    assert frames.min() >= 0 and frames.max() <= 1
    total = interpolator.gap_sum(first, second, possible_factor(name, 6), SRGB)
    assert total.shape == (height, width, 3) and total.dtype == np.float32
    assert not interpolator.gap_sum(first, second, 1, SRGB).any()


@pytest.mark.parametrize("name", INTERPOLATORS)
def test_bad_arguments_are_refused(name: str) -> None:
    interpolator = make_interpolator(name)
    frame = moving_frames(1)[0]
    with pytest.raises(ValueError, match="one size"):
        interpolator.gap_sum(frame, frame[:-1], 4, SRGB)
    with pytest.raises(ValueError, match="uint8"):
        interpolator.gap_sum(frame.astype(np.float32), frame, 4, SRGB)
    with pytest.raises(ValueError, match="between 0 and 1"):
        interpolator.between(frame, frame, [0.0], SRGB)
    with pytest.raises(ValueError, match="at least 1"):
        interpolator.gap_sum(frame, frame, 0, SRGB)


@pytest.mark.parametrize("name", INTERPOLATORS)
@pytest.mark.parametrize("factor", [2, 7, 16])
def test_gap_sum_agrees_with_between(name: str, factor: int) -> None:
    """The fused sum is the sum of the single frames, up to where it takes fewer samples of slow pixels."""
    first, second = moving_frames(2, speed_px=9.0)
    interpolator, factor = make_interpolator(name), possible_factor(name, factor)
    fused = interpolator.gap_sum(first, second, factor, SRGB)
    plain = sum_of_virtual_frames(interpolator, first, second, factor, SRGB)
    assert np.abs(fused - plain)[8:-8, 16:-16].mean() / factor < 1.5e-3


@pytest.mark.parametrize("name", INTERPOLATORS)
def test_time_reversed_gap_has_the_same_sum(name: str) -> None:
    first, second = moving_frames(2, speed_px=4.0)
    interpolator = make_interpolator(name)
    forth = interpolator.gap_sum(first, second, 8, SRGB)
    back = interpolator.gap_sum(second, first, 8, SRGB)
    one_direction = name == "flow-fast"  # its flow is found from the first frame alone
    assert np.abs(forth - back).max() < (2e-2 if one_direction else 2e-3) * 8


def moved(shift_px: float) -> np.ndarray:
    """The texture, shifted, in linear light."""
    shift = np.array([[1, 0, -100 - shift_px], [0, 1, -40 - 0.5 * shift_px]], dtype=np.float64)
    return cv2.warpAffine(SRGB.to_linear(texture(3)), shift, (160, 120), flags=cv2.INTER_CUBIC)


def gap_psnr(name: str, speed_px: float) -> float:
    """PSNR in dB of a gap's integral against the mean of 64 rendered positions, 16 px border cut."""
    truth = (moved(0) + moved(speed_px)) / 2 + sum(moved(speed_px * step / 64) for step in range(1, 64))
    first, second = (to_8bit(SRGB.to_encoded(moved(shift))) for shift in (0, speed_px))
    total = make_interpolator(name).gap_sum(first, second, 16, SRGB)
    total += (SRGB.to_linear(first) + SRGB.to_linear(second)) / 2
    error = (SRGB.to_encoded(total / 16) - SRGB.to_encoded(truth / 64))[16:-16, 16:-16]
    return float(-10 * np.log10(np.mean(np.square(error, dtype=np.float64))))


@pytest.mark.parametrize(("speed_px", "gain_db"), [(0.5, -0.1), (3.0, 6.0), (6.0, 12.0)])
def test_flow_gains_over_the_crossfade(speed_px: float, gain_db: float) -> None:
    """No loss where almost nothing moves, several dB where something does."""
    assert gap_psnr("flow", speed_px) - gap_psnr("crossfade", speed_px) >= gain_db


def test_flow_measures_motion_and_slow_pixels_are_not_warped() -> None:
    first, second = moving_frames(2, speed_px=3.0)
    motion_px = np.median(Flow().motion(first, second)[16:-16, 16:-16], axis=(0, 1))
    assert motion_px == pytest.approx([-3.0, -0.9], abs=0.15) or motion_px == pytest.approx([3.0, 0.9], abs=0.15)
    first, second = moving_frames(2, speed_px=0.5)
    expected = INTERPOLATORS["crossfade"]().gap_sum(first, second, 16, SRGB)
    assert np.abs(Flow().gap_sum(first, second, 16, SRGB) - expected).max() < 1e-4


@pytest.mark.parametrize("bend", [0.0, 6.0])
@pytest.mark.parametrize("tier", TIERS.values(), ids=list(TIERS))
def test_integral_is_the_mean_of_the_frames_on_the_path(tier: Tier, bend: float) -> None:
    """The compiled integral against `between`, summed in numpy at the phases that the integral samples."""
    first, second = moving_frames(2, speed_px=4.0)
    flow = Flow(tier)
    shape = (*first.shape[:2], 2)
    motion_px = np.broadcast_to(np.array([3.6, -2.2], np.float32), shape)
    path = GapPath(motion_px=motion_px, bend_px=np.broadcast_to(np.array([bend, -bend / 2], np.float32), shape))
    steps = int(np.ceil(float(path_length_px(path)[0, 0]) / tier.spacing_px))
    mean_lin = sum_of_virtual_frames(flow, first, second, steps, SRGB, path)
    mean_lin += (SRGB.to_linear(first) + SRGB.to_linear(second)) / 2
    fused = flow.gap_sum(first, second, 64, SRGB, path) + (SRGB.to_linear(first) + SRGB.to_linear(second)) / 2
    assert 3 <= steps <= 8
    np.testing.assert_allclose(fused / 64, mean_lin / steps, atol=4e-3)  # remap rounds positions to 1/32 px
    assert np.abs(fused / 64 - mean_lin / steps).mean() < 3e-4


def test_sample_spacing() -> None:
    """The number of samples: none for slow pixels, at most `factor`, and never further apart than the spacing."""
    picture = np.zeros((40, 64, 3), np.uint8)
    picture[:, 40:] = 255
    linear = response("linear")
    padded = padded_lin(picture, linear)
    for length_px in (0.0, 1.4, 1.5, 5.0, 20.0):
        path = GapPath(motion_px=np.broadcast_to(np.array([length_px, 0], np.float32), (40, 64, 2)))
        for factor in (2, 7, 16):
            row = (
                gap_total(padded, padded, path, factor, Sampling(spacing_px=1.4, nearest=False, cubic=False))[20, :, 0]
                / factor
            )
            steps = max(1, min(factor, int(np.ceil(np.float32(length_px) / np.float32(1.4)))))
            # A still edge, warped: every sample shows it at another place, so its levels count the samples.
            expected = picture[20, :, 0] / 510
            expected = expected + expected
            columns = np.arange(64.0)
            for index in range(1, steps):
                for run, weight in ((-index / steps, 1 - index / steps), (1 - index / steps, index / steps)):
                    places = np.clip(columns + run * length_px, 0, 63)
                    expected = expected + weight * np.interp(places, columns, picture[20, :, 0] / 255)
            np.testing.assert_allclose(row, expected / steps, atol=1e-5)


@pytest.mark.parametrize("known", ["both", "before", "after"])
def test_acceleration_is_followed(known: str) -> None:
    """Positions x(t) = 5 t + 3 t^2 over gaps -1, 0, 1: the integral of gap 0 gains over uniform motion."""
    place = [5.0 * time + 3.0 * time**2 for time in (-1, 0, 1, 2)]
    frames = [to_8bit(SRGB.to_encoded(moved(shift))) for shift in place]
    truth = (moved(place[1]) + moved(place[2])) / 2
    truth = truth + sum(moved(5.0 * step / 64 + 3.0 * (step / 64) ** 2) for step in range(1, 64))
    flow = Flow(TIERS["best"])
    motions = [flow.motion(one, two) for one, two in pairwise(frames)]
    path = flow.path(motions[1], motions[0] if known != "after" else None, motions[2] if known != "before" else None)
    assert path.bend_px is not None
    assert np.abs(np.median(path.bend_px[16:-16, 16:-16], axis=(0, 1))) == pytest.approx([6.0, 3.0], abs=0.4)

    def psnr(path: GapPath) -> float:
        total = flow.gap_sum(frames[1], frames[2], 32, SRGB, path)
        total += (SRGB.to_linear(frames[1]) + SRGB.to_linear(frames[2])) / 2
        error = (SRGB.to_encoded(total / 32) - SRGB.to_encoded(truth / 64))[16:-16, 16:-16]
        return float(-10 * np.log10(np.mean(np.square(error, dtype=np.float64))))

    assert psnr(path) > psnr(GapPath(motion_px=motions[1])) + 3.0
