"""Window arithmetic and the streaming integral: its laws, and its equality with the sum written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from core.camera_response import response
from core.pool import ordered_map
from synth.exposure import Exposure, Window, WindowPlan
from synth.gaps import BlurWindow, GapIntegral, GapJob, blur_windows, count_windows, integrate_gap
from synth.interp import INTERPOLATORS
from tests.synth.clips import moving_frames
from tests.synth.networks import WITHOUT_NETWORK, make_interpolator

SRGB = response("srgb")


@pytest.mark.parametrize(("frames", "factor"), [(3, 1), (7, 1), (11, 16), (13, 5)])
@pytest.mark.parametrize("profile", ["trapezoid", "mean"])
def test_weights(frames: int, factor: int, profile: str) -> None:
    exposure = Exposure(frames=frames, factor=factor, profile=profile)
    weights = exposure.weights()
    assert len(weights) == exposure.virtual_frames == (frames - 1) * factor + 1
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert weights[0] / weights[1] == pytest.approx(0.5 if profile == "trapezoid" else 1.0)
    assert exposure.span_s(240.0) == pytest.approx((frames - 1) / 240)


@pytest.mark.parametrize("frames", [0, 1, 2, 10, -3])
def test_windows_that_cannot_be_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match="odd number"):
        Exposure(frames=frames, factor=16)


def test_windows_without_stride_do_not_overlap_and_tails_are_dropped() -> None:
    plan = WindowPlan(sizes=(5,), stride=None, seed=0, sequence="clip")
    assert [(window.first, window.centre, window.last) for window in plan.windows(17)] == [
        (0, 2, 4),
        (5, 7, 9),
        (10, 12, 14),
    ]
    assert count_windows(plan, 4) == 0
    overlapping = WindowPlan(sizes=(5,), stride=2, seed=0, sequence="clip")
    assert [window.first for window in overlapping.windows(10)] == [0, 2, 4]


def test_window_sizes_are_drawn_from_the_seed() -> None:
    def drawn(seed: int, sequence: str) -> list[int]:
        plan = WindowPlan(sizes=(7, 11, 13), stride=4, seed=seed, sequence=sequence)
        return [window.frames for window in itertools.islice(plan.windows(), 40)]

    assert set(drawn(0, "a")) == {7, 11, 13}
    assert drawn(0, "a") == drawn(0, "a")
    assert drawn(0, "a") != drawn(1, "a") != drawn(1, "b")


def windows_of(frames: list[np.ndarray], plan: WindowPlan, name: str, factor: int) -> list[BlurWindow]:
    interpolator = make_interpolator(name) if factor > 1 else None
    jobs = (
        GapJob(gap=gap, first=first, second=second) for gap, (first, second) in enumerate(itertools.pairwise(frames))
    )
    parts = (integrate_gap(job, interpolator, factor, SRGB) for job in jobs)
    moved: list[int] = []
    return list(blur_windows(parts, plan, lambda window: False, lambda gap: bool(moved.append(gap) if gap else moved)))


@pytest.mark.parametrize("name", INTERPOLATORS)
@pytest.mark.parametrize("stride", [None, 1, 2, 7])
def test_streaming_sum_equals_the_sum_of_all_virtual_frames(name: str, stride: int | None) -> None:
    """Overlapping or not: what comes out is the weighted sum of the captured frames and of each gap's `gap_sum`."""
    frames, factor = moving_frames(10), 4
    plan = WindowPlan(sizes=(3, 5), stride=stride, seed=3, sequence="clip")
    interpolator = make_interpolator(name)
    found = windows_of(frames, plan, name, factor)
    assert {blur.window for blur in found} == set(plan.windows(10))
    for blur in found:
        first, last = blur.window.first, blur.window.last
        total = sum(SRGB.to_linear(frame).astype(np.float64) for frame in frames[first + 1 : last])
        total += (SRGB.to_linear(frames[first]).astype(np.float64) + SRGB.to_linear(frames[last])) / 2
        for gap in range(first, last):
            total += interpolator.gap_sum(frames[gap], frames[gap + 1], factor, SRGB)
        assert blur.gaps_lin is not None and np.abs(blur.gaps_lin - total).max() < 1e-4
        assert blur.sharp is frames[blur.window.centre]


@pytest.mark.parametrize("factor", [1, 16])
def test_mean_profile_counts_every_virtual_frame_alike(factor: int) -> None:
    frames = moving_frames(5)
    plan = WindowPlan(sizes=(5,), stride=None, seed=0, sequence="clip")
    (blur,) = windows_of(frames, plan, "crossfade", factor)
    exposure = Exposure(frames=5, factor=factor, profile="mean")
    first_lin, last_lin = SRGB.to_linear(frames[0]), SRGB.to_linear(frames[-1])
    assert blur.gaps_lin is not None
    result = exposure.blur_lin(blur.gaps_lin, first_lin, last_lin)
    captured = [SRGB.to_linear(frame).astype(np.float64) for frame in frames]
    phases = np.arange(exposure.virtual_frames) / factor
    virtual = [
        (1 - (phase % 1)) * captured[int(phase)] + (phase % 1) * captured[min(int(phase) + 1, 4)] for phase in phases
    ]
    assert np.abs(result - np.mean(virtual, axis=0)).max() < 1e-5


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_linear_in_light(name: str) -> None:
    """Half the light gives half the blur, where flow takes the same samples at both levels (slow motion)."""
    linear = response("linear")
    frames = [frame // 2 * 2 for frame in moving_frames(3, speed_px=0.8)]
    interpolator = make_interpolator(name)
    bright = interpolator.gap_sum(frames[0], frames[1], 8, linear)
    dark = interpolator.gap_sum(frames[0] // 2, frames[1] // 2, 8, linear)
    assert np.abs(bright / 2 - dark).max() < 1e-5 * 8


def test_gaps_needed_follows_unfinished_windows() -> None:
    plan = WindowPlan(sizes=(3,), stride=4, seed=0, sequence="clip")
    needs = plan.needs(lambda window: window.index == 1, frame_count=15)
    assert [needs(gap) for gap in range(14)] == [True, True, *[False] * 6, True, True, False, False, True, True]


def test_cut_and_repeated_frames_are_skipped_with_their_numbers() -> None:
    moving = moving_frames(12)
    other = [255 - frame for frame in moving_frames(12, seed=5)]
    plan = WindowPlan(sizes=(3,), stride=None, seed=0, sequence="clip")
    frames = [*moving[:4], *other[:3], other[2], *other[3:7]]  # a cut after frame 3, frame 7 repeats frame 6
    found = {blur.window.first: blur for blur in windows_of(frames, plan, "crossfade", 4)}
    assert [found[first].skip_reason for first in (0, 3, 6, 9)] == ["", "cut", "frozen", ""]
    assert found[3].cut_after == [3]
    assert found[6].repeated == [7]


def test_a_still_clip_is_kept_and_a_frozen_stretch_is_not() -> None:
    moving = moving_frames(6)
    plan = WindowPlan(sizes=(3,), stride=None, seed=0, sequence="clip")
    still = windows_of([moving[0]] * 6, plan, "flow", 16)
    assert [blur.skip_reason for blur in still] == ["", ""]
    frozen = windows_of([*moving[:3], *[moving[3]] * 3], plan, "flow", 16)
    assert [blur.skip_reason for blur in frozen] == ["", "frozen"]


@pytest.mark.parametrize("name", INTERPOLATORS)
def test_static_video_gives_the_sharp_frame(name: str) -> None:
    frame = moving_frames(1)[0]
    plan = WindowPlan(sizes=(5,), stride=None, seed=0, sequence="clip")
    (blur,) = windows_of([frame] * 5, plan, name, 16)
    assert blur.gaps_lin is not None
    result = Exposure(frames=5, factor=16).blur_lin(blur.gaps_lin, SRGB.to_linear(frame), SRGB.to_linear(frame))
    assert np.abs(result - SRGB.to_linear(frame)).max() < 1e-5


def test_finished_windows_are_left_out() -> None:
    frames = moving_frames(9)
    plan = WindowPlan(sizes=(3,), stride=None, seed=0, sequence="clip")
    done = Window(index=1, first=3, frames=3)
    needs = plan.needs(lambda window: window == done, frame_count=9)
    parts = [
        GapIntegral(gap=gap, first=first, second=second, integral_lin=SRGB.to_linear(first), repeated=False)
        for gap, (first, second) in enumerate(itertools.pairwise(frames))
        if needs(gap)
    ]
    found = blur_windows(iter(parts), plan, lambda window: window == done, lambda gap: True)
    assert [blur.window.first for blur in found] == [0, 6]


def test_ordered_map_keeps_order_and_its_bound() -> None:
    from concurrent.futures import ThreadPoolExecutor
    from time import sleep

    taken: list[int] = []

    def items() -> itertools.count:
        for number in range(20):
            taken.append(number)
            yield number

    def slow_when_even(number: int) -> int:
        sleep(0.004 if number % 2 == 0 else 0.0)
        return number * number

    with ThreadPoolExecutor(4) as pool:
        results = []
        for result in ordered_map(pool, slow_when_even, items(), ahead=3):
            results.append(result)
            assert len(taken) - len(results) <= 3
    assert results == [number * number for number in range(20)]
