"""Known answers of the statistics: intervals, Wilcoxon, Holm, first place, Pareto front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.results import ScoreRow
from reports.comparison import (
    clustered_interval,
    compare_all,
    holm,
    mean_and_interval,
    paired_difference,
    pareto_front,
    shares_first_place,
    wilcoxon_p,
    win_tie_loss,
)


def scores(values: dict[str, float], method: str = "m", metric: str = "psnr") -> list[ScoreRow]:
    common = {"method": method, "testset": "gopro", "protocol": "p", "metric": metric, "simulated": False}
    return [ScoreRow(key=key, value=value, **common) for key, value in values.items()]


def test_interval_is_drawn_by_sequence() -> None:
    """Two sequences whose images agree within: the interval must span both, as if there were two values only."""
    mean, low, high = mean_and_interval(
        scores({f"{s}/{n}": v for s, v in (("a", 20.0), ("b", 30.0)) for n in range(50)})
    )
    assert (mean, low, high) == (25.0, 20.0, 30.0)
    assert mean_and_interval(scores({"a/1": 20.0, "a/2": 21.0})) == (20.5, None, None)


def test_pool_by_sequence() -> None:
    """Means 20 (two images) and 30 (one image): 25 by sequence, 70 / 3 by image; the difference is pooled alike."""
    values = {"a/1": 19.0, "a/2": 21.0, "b/1": 30.0}
    by_sequence = [replace(row, protocol="gopro-per-sequence") for row in scores(values)]
    assert mean_and_interval(by_sequence) == (25.0, 20.0, 30.0)
    assert mean_and_interval(scores(values))[0] == pytest.approx(70 / 3)
    others = [replace(row, method="n", value=row.value - (1.0 if row.key == "b/1" else 0.0)) for row in by_sequence]
    line = compare_all(by_sequence + others, {"psnr": True}, ["m", "n"])[0]
    assert line.difference == 0.5 and (line.ci95_low, line.ci95_high) == (0.0, 1.0)


def test_keys_without_a_folder_are_sequences_of_their_own() -> None:
    """400 independent images: the interval is the textbook one, 1.96 standard errors to either side."""
    values = np.random.default_rng(0).normal(30, 2, 400)
    _, low, high = mean_and_interval(scores({f"Blurry{n}": float(v) for n, v in enumerate(values)}))
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.03)


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        levels = rng.normal(0, 1, 40)
        values = (levels[:, None] + rng.normal(0, 0.3, (40, 10))).ravel()
        low, high = clustered_interval(values, [str(n // 10) for n in range(400)], f"trial {trial}")
        covered += low <= 0 <= high
    assert 180 <= covered <= 199


def test_interval_is_seeded_by_the_names() -> None:
    values, sequences = np.random.default_rng(2).normal(0, 1, 10), [str(n) for n in range(10)]
    assert clustered_interval(values, sequences, "a") == clustered_interval(values, sequences, "a")
    assert clustered_interval(values, sequences, "a") != clustered_interval(values, sequences, "b")


def test_wilcoxon_known_answers() -> None:
    """Five differences of one sign: p = 2 / 2^5. Ranks 1 and 2 against 3 to 6: p = 2 * P(W <= 3) = 2 * 5 / 64."""
    assert wilcoxon_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(2 / 32)
    assert wilcoxon_p(np.array([-1.0, -2.0, 3.0, 4.0, 5.0, 6.0])) == pytest.approx(10 / 64)
    assert wilcoxon_p(np.zeros(7)) == 1.0
    assert wilcoxon_p(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(2 / 32), "zeros are dropped"


def test_holm_known_answer() -> None:
    """Sorted .01, .02, .03, .04 times 4, 3, 2, 1 gives .04, .06, .06, .04, made monotone: .04, .06, .06, .06."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_win_tie_loss_follows_the_direction() -> None:
    difference = paired_difference(np.array([3.0, 1.0, 2.0, np.inf]), np.array([1.0, 1.0, 5.0, np.inf]))
    assert win_tie_loss(difference, higher_is_better=True) == (1, 2, 1)
    assert win_tie_loss(np.array([1.0, 2.0, 0.0, -1.0]), higher_is_better=False) == (1, 1, 2)


def table(offsets: dict[str, float], noise: float, sequences: int = 8) -> list[ScoreRow]:
    rng = np.random.default_rng(3)
    keys = [f"s{s}/{n}" for s in range(sequences) for n in range(10)]
    base = rng.normal(28, 2, len(keys))
    rows: list[ScoreRow] = []
    for method, offset in offsets.items():
        values = base + offset + rng.normal(0, noise, len(keys))
        rows += scores({key: float(value) for key, value in zip(keys, values, strict=True)}, method)
    return rows


def test_first_place_is_shared_by_those_the_data_cannot_tell_apart() -> None:
    rows = table({"good": 1.0, "twin": 1.0, "poor": 0.0}, noise=0.5)
    lines = compare_all(rows, {"psnr": True}, ["good", "twin", "poor"])
    assert [(line.method, line.other) for line in lines] == [("good", "twin"), ("good", "poor"), ("twin", "poor")]
    means = {name: float(np.mean([r.value for r in rows if r.method == name])) for name in ("good", "twin", "poor")}
    assert set(shares_first_place(means, lines, higher_is_better=True)) == {"good", "twin"}
    far = lines[1]
    assert far.differs and far.holm_p < 0.001 and far.ci95_low is not None and far.ci95_low > 0.5
    assert far.wins + far.ties + far.losses == far.images == 80
    assert shares_first_place({}, [], higher_is_better=True) == []


def test_many_frames_of_few_sequences_decide_nothing_alone() -> None:
    """One sequence where a method wins every frame says nothing about another sequence."""
    lines = compare_all(table({"a": 1.0, "b": 0.0}, noise=0.1, sequences=1), {"psnr": True}, ["a", "b"])
    assert lines[0].wins == 10 and lines[0].holm_p < 0.05 and lines[0].differs is None
    assert shares_first_place({"a": 29.0, "b": 28.0}, lines, higher_is_better=True) == ["a", "b"]


def test_a_difference_in_one_sequence_only_is_not_called_general() -> None:
    """80 frames prefer `a`, all in one of two sequences: the test over images is sure, the interval is not."""
    keys = [f"s1/{n}" for n in range(80)] + [f"s2/{n}" for n in range(20)]
    ours = {key: 30.0 + (0.5 + place / 100 if key.startswith("s1") else -0.2) for place, key in enumerate(keys)}
    rows = scores(ours, "a") + scores(dict.fromkeys(keys, 30.0), "b")
    line = compare_all(rows, {"psnr": True}, ["a", "b"])[0]
    assert line.holm_p < 1e-6 and line.ci95_low is not None and line.ci95_low < 0 and line.differs is False


def test_pairs_use_only_shared_images() -> None:
    rows = scores({"a/1": 20.0, "b/1": 21.0}, "m") + scores({"b/1": 20.0, "c/1": 40.0}, "n")
    rows += scores({"z/1": 1.0}, "alone")
    lines = compare_all(rows, {"psnr": True}, ["m", "n", "alone"])
    assert [(line.method, line.other, line.images, line.difference) for line in lines] == [("m", "n", 1, 1.0)]


def test_pareto_front() -> None:
    points = {"fast": (1.0, 20.0), "good": (10.0, 30.0), "slow": (20.0, 29.0), "twin": (1.0, 20.0), "bad": (2.0, 19.0)}
    assert pareto_front(points, higher_is_better=True) == ["fast", "twin", "good"]
    lower = {"fast": (1.0, 5.0), "good": (10.0, 3.0), "unknown": (float("inf"), 1.0)}
    assert pareto_front(lower, higher_is_better=False) == ["fast", "good"]
