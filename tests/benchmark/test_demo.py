"""`make demo`: the time that is left, the last screen, a stage that fails."""

from __future__ import annotations

import pytest

from benchmark import demo
from benchmark.demo import STAGES, Stage, minutes, summary, time_left
from benchmark.results import Row


def row(method: str, metric: str, value: float) -> Row:
    return Row(
        method=method,
        testset="gopro",
        protocol="gopro-linear",
        metric=metric,
        value=value,
        ci95_low=None,
        ci95_high=None,
        count=32,
        published=None,
        simulated=True,
        title="GoPro (mini, simulated)",
        ms_median=42.4,
        width=256,
        height=256,
        device="cpu",
    )


def test_the_time_left_follows_the_pace_of_this_machine():
    whole = sum(stage.seconds for stage in STAGES)
    assert time_left(STAGES, 0, 0.0) == whole
    assert time_left(STAGES, 1, 3 * STAGES[0].seconds) == 3 * STAGES[1].seconds
    assert time_left(STAGES, 1, STAGES[0].seconds / 9) == STAGES[1].seconds  # never promises more than was measured
    assert [minutes(seconds) for seconds in (59, 60, 100)] == ["under a minute", "about 1 minute", "about 2 minutes"]


def test_the_last_screen_has_the_numbers_and_the_places():
    rows = [row("identity", "psnr", 25.5), row("identity", "lpips-alex", 0.25)]
    rows += [row("motion-unet-small", "psnr", 26.75), row("motion-unet-small", "lpips-alex", 0.2)]
    text = summary(rows, [{}, {}, {}])
    assert "3 pairs" in text and "2 methods scored under 1 protocols" in text
    assert "PSNR 25.50 dB blurred, 26.75 dB restored (+1.25; higher is better)" in text
    assert "LPIPS 0.250 blurred, 0.200 restored (-0.050; lower is better)" in text
    assert "42 ms for 256x256 px" in text
    assert "reports/out/index.html" in text


def test_a_stage_that_fails_ends_the_demo_with_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(demo, "STAGES", (Stage(what="nothing", words=("-c", "raise SystemExit(3)"), seconds=1),))
    assert demo.main([]) == 1
    assert "stage 1 ended with exit code 3" in capsys.readouterr().err
