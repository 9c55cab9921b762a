"""Duty cycle: its laws, and the streaming sum against the exposure written out virtual frame by virtual frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from core.camera_response import response
from synth.exposure import SHUT, Exposure, GapShare, Window, WindowPlan
from synth.gaps import GapJob, blur_windows, integrate_gap
from synth.interp import INTERPOLATORS
from synth.sensor import HIGHLIGHTS
from tests.synth.clips import moving_frames
from tests.synth.networks import WITHOUT_NETWORK

SRGB = response("srgb")


@pytest.mark.parametrize("duty", [0.05, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("factor", [1, 5, 16])
@pytest.mark.parametrize("profile", ["trapezoid", "mean"])
def test_weights_sum_to_one_are_centred_and_last_as_long_as_asked(profile: str, factor: int, duty: float) -> None:
    exposure = Exposure(frames=11, factor=factor, profile=profile, duty=duty)
    weights = exposure.weights()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12) and (weights >= 0).all()
    assert np.allclose(weights, weights[::-1])
    steps = duty * 10 * factor
    if profile == "trapezoid":
        assert exposure.span_s(240) == pytest.approx(duty * 10 / 240)
    else:  # whole virtual frames, the centre one in the middle
        assert exposure.virtual_frames == 2 * int(steps / 2 + 1e-9) + 1
        assert exposure.span_s(240) == pytest.approx((exposure.virtual_frames - 1) / factor / 240)


@pytest.mark.parametrize("profile", ["trapezoid", "mean"])
def test_rolling_shutter_moves_the_weights_from_row_to_row(profile: str) -> None:
    exposure = Exposure(frames=5, factor=8, profile=profile, duty=0.5, row_delay=0.3, rows=21)
    times = np.arange(33) - 16.0
    for row in range(21):
        weights = exposure.weights(row)
        late = (row - 10) * 0.3
        assert weights.sum() == pytest.approx(1.0)
        assert weights @ times == pytest.approx(late if profile == "trapezoid" else np.rint(late), abs=1e-9)
    with pytest.raises(ValueError, match="--row-delay"):
        Exposure(frames=5, factor=8, profile=profile, duty=0.5, row_delay=1.0, rows=21)


def test_trapezoid_integrates_straight_lines_exactly() -> None:
    """Something that brightens linearly, and a kink at the centre: the mean over the open time, to the last digit."""
    exposure = Exposure(frames=5, factor=4, profile="trapezoid", duty=0.33)
    times = np.arange(17) - 8.0
    half = 0.33 * 16 / 2
    assert exposure.weights() @ (3 + 0.5 * times) == pytest.approx(3.0)
    assert exposure.weights() @ np.abs(times) == pytest.approx(half / 2)


def test_a_duty_cycle_of_one_is_the_exposure_without() -> None:
    assert [Exposure(frames=5, factor=4, duty=1.0).share(gap) for gap in range(4)] == [None] * 4
    shares = [Exposure(frames=11, factor=4, duty=0.5).share(gap) for gap in range(10)]
    assert shares[:2] == [SHUT] * 2 and shares[3:7] == [None] * 4 and shares[8:] == [SHUT] * 2
    assert shares[2] and shares[2].weights()[:, 0].tolist() == [0.0, 0.0, 0.5, 1.0, 0.5]
    assert shares[7] and shares[7].weights()[:, 0].tolist() == [0.5, 1.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
@pytest.mark.parametrize("profile", ["trapezoid", "mean"])
def test_streaming_sum_equals_the_weighted_virtual_frames(name: str, profile: str) -> None:
    """Several overlapping windows of two sizes: each the weighted mean of frames asked for one by one."""
    frames, factor, duty = moving_frames(9, speed_px=0.9), 4, 0.55
    interpolator = INTERPOLATORS[name]()
    plan = WindowPlan(sizes=(5, 7), stride=1, seed=1, sequence="clip")

    def exposure(size: int) -> Exposure:
        return Exposure(frames=size, factor=factor, profile=profile, duty=duty)

    def share(window: Window, gap: int) -> GapShare:
        return exposure(window.frames).share(gap - window.first)

    needs = plan.needs(lambda window: False, frame_count=9)
    parts, seen = [], []
    for gap, (first, second) in enumerate(itertools.pairwise(frames)):
        shares = {share(window, gap) for window in needs.covering(gap)}
        job = GapJob(
            gap=gap,
            first=first,
            second=second,
            whole=None in shares,
            parts=tuple(found for found in shares if found not in (None, SHUT)),
            also=(response("gamma2.2"),),
        )
        parts.append(integrate_gap(job, interpolator, factor, SRGB))
    for blur in blur_windows(iter(parts), plan, lambda window: False, lambda gap: True, share):
        window = blur.window
        seen.append(window)
        assert blur.gaps_lin is not None and blur.also_lin[0] is not None
        for curve, total_lin in ((SRGB, blur.gaps_lin), (response("gamma2.2"), blur.also_lin[0])):
            ends = curve.to_linear(frames[window.first]), curve.to_linear(frames[window.last])
            result = exposure(window.frames).blur_lin(total_lin, *ends)
            expected = np.zeros(frames[0].shape)
            for step, weight in enumerate(exposure(window.frames).weights()):
                gap, inside = window.first + step // factor, step % factor
                if weight and inside:
                    virtual = interpolator.between(frames[gap], frames[gap + 1], [inside / factor], curve)[0]
                    expected += weight * curve.to_linear(virtual)
                elif weight:
                    expected += weight * curve.to_linear(frames[gap])
            # The fused integral of flow takes fewer samples where motion is slow.
            assert np.abs(result - expected).max() < (1e-5 if name == "crossfade" else 0.03)
            assert np.abs(result - expected).mean() < (1e-6 if name == "crossfade" else 5e-4)
    assert set(seen) == set(plan.windows(9))


def test_clipped_highlights_are_summed_like_light() -> None:
    """A white bar crosses: the mask's mean is the share of the time in which a pixel was at full scale."""
    frames = []
    for index in range(5):
        frame = moving_frames(1)[0][:40, :64] // 2
        frame[16:24, 10 + 4 * index : 30 + 4 * index] = 255
        frames.append(frame)
    plan = WindowPlan(sizes=(5,), stride=None, seed=0, sequence="clip")
    jobs = [
        GapJob(gap=gap, first=first, second=second, also=(HIGHLIGHTS,))
        for gap, (first, second) in enumerate(itertools.pairwise(frames))
    ]
    parts = (integrate_gap(job, INTERPOLATORS["crossfade"](), 8, SRGB) for job in jobs)
    (blur,) = blur_windows(parts, plan, lambda window: False, lambda gap: True)
    assert blur.also_lin[0] is not None
    ends = HIGHLIGHTS.to_linear(frames[0]), HIGHLIGHTS.to_linear(frames[-1])
    mask = Exposure(frames=5, factor=8).blur_lin(blur.also_lin[0], *ends)
    assert mask[20, :10].max() == 0 and np.allclose(mask[20, 27:29], 1) and mask[20, 50:].max() == 0
    weights = np.array([0.5, 1, 1, 1, 0.5]) / 4
    expected = [sum(w * (10 + 4 * i <= x < 30 + 4 * i) for i, w in enumerate(weights)) for x in range(64)]
    assert np.allclose(mask[20, :, 1], expected, atol=1e-6)
