"""Frames' own times: even ones, rounded ones, lost frames, ramps."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest

from core.frame_times import FrameTimes, evenly_spaced


def ticks(steps: list[int], start: int = 0) -> list[int]:
    return list(accumulate(steps, initial=start))


@pytest.mark.parametrize(
    ("steps", "even"),
    [
        ([64] * 10, True),
        ([64, 96] * 5, True),  # 240 fps in ticks of 1/600 s, stored in ticks of 1/19200 s
        ([4, 4, 4, 4, 4, 5] * 2, True),  # 240 fps in milliseconds
        ([33, 33, 34] * 4, True),  # 30 fps in milliseconds
        ([2, 3] * 6, True),
        ([100, 104, 99, 103, 100], True),  # within a tenth
        ([100, 104, 99, 112, 100], False),
        ([64] * 5 + [128] + [64] * 5, False),  # a lost frame
        ([1, 1, 1, 2, 1, 1], False),  # the same in a file whose ticks are frames
        ([640] * 5 + [64] * 5, False),
        ([2] * 8 + [3] * 8, False),  # a ramp, not rounding
        ([64, 0, 64, 64], False),
    ],
)
def test_evenly_spaced(steps: list[int], even: bool) -> None:
    assert evenly_spaced(ticks(steps)) is even
    assert evenly_spaced(ticks(steps, start=-12345)) is even


def test_rates_and_times_of_a_ramp() -> None:
    """30 -> 240 -> 30 fps, as a phone's editor writes it."""
    steps = [640] * 12 + [80] * 20 + [640] * 12
    times = FrameTimes(tick_s=Fraction(1, 19200), fps=66.0, ticks=list(ticks(steps)))
    assert times.uneven_after(0, 12) == times.uneven_after(12, 32) == times.uneven_after(32, 44) == []
    assert times.uneven_after(6, 14) == [12, 13]
    assert times.rate(0, 10) == 30.0 and times.rate(14, 24) == 240.0
    assert times.since_start_s(12) == pytest.approx(0.4) and times.since_start_s(32) == pytest.approx(0.4 + 20 / 240)


def test_the_nominal_rate_where_times_are_only_rounded() -> None:
    times = FrameTimes(tick_s=Fraction(1, 1000), fps=240.0, ticks=[round(1000 * index / 240) for index in range(50)])
    assert times.rate(3, 13) == 240.0 and times.since_start_s(13) == 13 / 240


def test_frames_without_times_are_even_at_the_nominal_rate() -> None:
    times = FrameTimes(tick_s=Fraction(1, 1000), fps=25.0, ticks=[None, None, None])
    assert times.uneven_after(0, 2) == [] and times.rate(0, 2) == 25.0 and times.since_start_s(2) == 0.08
