"""Fits of votes against known scores, plain computations and the published study's votes where they are at hand."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.preference import fit as fit_entry
from benchmark.preference.bradley_terry import (
    agreement_u,
    bootstrap_intervals,
    global_scores,
    newton_scores,
    range_test,
    scores_per_image,
)
from benchmark.preference.fit import fit
from benchmark.preference.votes_file import HEADER, read_votes

ROOT = Path(__file__).resolve().parents[3]
TRUE = np.array([0.9, 0.4, 0.0, -0.3, -1.0])
NAMES = ("Pan", "Xu", "Sun", "Cho", "Blur")


def drawn_votes(images: int, repeats: int, seed: int = 0, spread: float = 0.0) -> list[tuple[int, int, int, int]]:
    """Votes drawn from Bradley-Terry scores TRUE, plus a normal deviation of `spread` on every image."""
    rng = np.random.default_rng(seed)
    votes = []
    for image in range(1, images + 1):
        scores = TRUE + spread * rng.standard_normal(len(TRUE))
        for first in range(len(TRUE)):
            for second in range(len(TRUE)):
                for _ in range(repeats if first != second else 0):
                    better = rng.random() < 1 / (1 + np.exp(scores[second] - scores[first]))
                    votes.append((image, first + 1, second + 1, 1 if better else 2))
    return votes


def stored(folder: Path, votes: list[tuple[int, int, int, int]], header: str | None = ",".join(HEADER)) -> list[str]:
    """Write votes and names; returns the command line's first arguments."""
    lines = ([header] if header else []) + [",".join(map(str, vote)) for vote in votes]
    (folder / "votes.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    (folder / "names.txt").write_text("\r\n".join(NAMES), encoding="utf-8")
    return ["--votes", str(folder / "votes.csv"), "--names", str(folder / "names.txt")]


def test_known_scores_come_back_from_the_command_line(tmp_path: Path) -> None:
    arguments = stored(tmp_path, drawn_votes(images=40, repeats=10))
    script = [sys.executable, str(ROOT / "benchmark/preference/fit.py"), *arguments, "--json"]
    run = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert list(report) == ["global", "per_image_mean", "ci95", "votes", "agreement_u"]
    assert report["votes"] == 40 * 10 * 20
    for name, true in zip(NAMES, TRUE, strict=True):
        assert report["global"][name] == pytest.approx(true, abs=0.12)
        assert report["per_image_mean"][name] == pytest.approx(true, abs=0.2)
        low, high = report["ci95"][name]
        assert low < report["global"][name] < high and high - low < 0.3
    assert sum(report["global"].values()) == pytest.approx(0, abs=1e-9)


def test_names_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By number from a list, with the Lai study's sizes behind them; without a list as they stand in the votes."""
    arguments = stored(tmp_path, drawn_votes(images=3, repeats=4))
    names = tmp_path / "images.txt"
    command = [*arguments, "--image-names", str(names), "--out", str(tmp_path), "--draws", "100"]
    for text in ("bird            51\nboat   31\ncar\t75", "bird\nboat\ncar"):
        names.write_text(text, encoding="utf-8")
        assert fit_entry.main(command) == 0
        with open(tmp_path / "preference_images.csv", encoding="utf-8") as stream:
            assert {line["image"] for line in csv.DictReader(stream)} == {"bird", "boat", "car"}
    (tmp_path / "votes.images.txt").write_text("x y 1\nb\nc", encoding="utf-8")  # beside the votes: found by itself
    assert fit_entry.main([*arguments, "--out", str(tmp_path), "--draws", "100"]) == 0
    assert "x y 1,Pan," in (tmp_path / "preference_images.csv").read_text(encoding="utf-8")
    capsys.readouterr()
    names.write_text("bird\nboat", encoding="utf-8")
    assert fit_entry.main(command) == 2
    assert "image '3' is neither a number from 1 to 2 nor a name of" in capsys.readouterr().err


@pytest.mark.parametrize("unit", ["votes", "images"])
def test_intervals_cover_the_true_scores(unit: str, tmp_path: Path) -> None:
    inside = 0
    for seed in range(12):
        stored(tmp_path, drawn_votes(images=25, repeats=2, seed=seed))
        low, high = bootstrap_intervals(read_votes(tmp_path / "votes.csv").wins, unit, 400, seed).T
        inside += int(((low <= TRUE) & (high >= TRUE)).sum())
    assert inside >= 0.85 * 12 * len(TRUE)


def test_intervals_are_seeded_and_wider_where_images_differ(tmp_path: Path) -> None:
    stored(tmp_path, drawn_votes(images=30, repeats=10, spread=0.8))
    wins = read_votes(tmp_path / "votes.csv").wins
    by_votes = bootstrap_intervals(wins, "votes", 300, 1)
    by_images = bootstrap_intervals(wins, "images", 300, 1)
    assert np.array_equal(by_images, bootstrap_intervals(wins, "images", 300, 1))
    assert not np.array_equal(by_images, bootstrap_intervals(wins, "images", 300, 2))
    assert (np.diff(by_images) > 1.5 * np.diff(by_votes)).all()


def test_a_missing_header_loses_no_vote(tmp_path: Path) -> None:
    votes = drawn_votes(images=3, repeats=4)
    stored(tmp_path, votes)
    named = read_votes(tmp_path / "votes.csv", tmp_path / "names.txt")
    for header in (None, "image,left,right,better", "\ufeff" + ",".join(HEADER)):
        stored(tmp_path, votes, header)
        again = read_votes(tmp_path / "votes.csv", tmp_path / "names.txt")
        assert again.count == len(votes) and again.names == NAMES
        assert np.array_equal(again.wins, named.wins)
    assert read_votes(tmp_path / "votes.csv").names == ("1", "2", "3", "4", "5")
    swapped = [f"{result},{second},{first},{image}" for image, first, second, result in votes]
    (tmp_path / "votes.csv").write_text("\n".join(["Result,Method 2,Method 1,Image ID", *swapped]), encoding="utf-8")
    assert np.array_equal(read_votes(tmp_path / "votes.csv").wins, named.wins)


def test_two_methods_have_the_logarithm_of_their_odds() -> None:
    wins = np.array([[0.0, 30.0], [10.0, 0.0]])
    expected = [np.log(3) / 2, -np.log(3) / 2]
    assert global_scores(wins) == pytest.approx(expected, abs=1e-8)
    assert newton_scores(wins[None])[0] == pytest.approx(expected, abs=1e-6)
    assert scores_per_image(wins[None])[0] == pytest.approx(expected, abs=1e-6)


def test_the_three_iterations_agree_where_a_maximum_exists(tmp_path: Path) -> None:
    stored(tmp_path, drawn_votes(images=4, repeats=10))
    wins = read_votes(tmp_path / "votes.csv").wins
    fixed_point, newton = scores_per_image(wins), newton_scores(wins)
    for image in range(4):
        assert fixed_point[image] == pytest.approx(global_scores(wins[image]), abs=1e-4)
        assert newton[image] == pytest.approx(global_scores(wins[image]), abs=1e-4)


def test_values_that_are_not_finite_are_dropped_per_image() -> None:
    wins = np.zeros((2, 4, 4))
    for image in range(2):  # methods 0 and 1 share their votes, 2 loses to both, 3 is never shown on image 0
        wins[image, 0, 1], wins[image, 1, 0] = 3, 1
        wins[image, 0, 2] = wins[image, 1, 2] = 2
    wins[1, 3, 0], wins[1, 0, 3] = 2, 2
    scores = scores_per_image(wins)
    assert np.isnan(scores[:, 2]).all() and np.isnan(scores[0, 3])
    assert scores[0, :2] == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=1e-6)
    assert np.isfinite(scores[1, [0, 1, 3]]).all()


def test_agreement_is_kendalls() -> None:
    unanimous = np.triu(np.full((4, 4), 6.0), 1)
    assert agreement_u(unanimous) == 1
    halves = np.full((4, 4), 3.0) - 3 * np.eye(4)
    assert agreement_u(halves) == pytest.approx(-1 / 5)  # the least for S = 6 votes: -1 / (S - 1)
    wins = np.array([[0, 4.0, 5], [2, 0, 3], [1, 3, 0]])  # S = 6, M = 3: sum of C(a, 2) = 24, 2 * 24 / (15 * 3) - 1
    assert agreement_u(wins) == pytest.approx(2 * (6 + 10 + 1 + 3 + 0 + 3) / 45 - 1)


def test_range_test_against_drawn_normal_values() -> None:
    """W for 5 methods from the table of the studentised range (infinite degrees of freedom, 1 %): 4.603."""
    wins = np.full((5, 5), 50.0) - 50 * np.eye(5)
    result = range_test(wins)
    assert result is not None and result.votes_per_pair == 100
    assert result.least_difference == int(np.ceil(0.5 * 4.603 * np.sqrt(100 * 5) + 0.25))
    assert not result.apart().any()
    drawn = np.ptp(np.random.default_rng(0).standard_normal((200_000, 5)), axis=1)
    assert np.quantile(drawn, 0.99) == pytest.approx(4.603, abs=0.03)
    wins[0, 1] = wins[1, 0] = 0
    assert range_test(wins) is None


def test_table_files(tmp_path: Path) -> None:
    arguments = stored(tmp_path, drawn_votes(images=6, repeats=10))
    assert fit_entry.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out" / "preference.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["method"] == "Pan" and rows[-1]["method"] == "Blur"
    assert float(rows[-1]["BT odds"]) == 1
    assert float(rows[0]["BT odds"]) == pytest.approx(np.exp(float(rows[0]["score"]) - float(rows[-1]["score"])))
    assert (tmp_path / "out" / "preference_images.csv").read_text().startswith("image,method,score\n1,")


def test_methods_without_votes_are_left_out(tmp_path: Path) -> None:
    votes = [vote for vote in drawn_votes(images=2, repeats=10) if 3 not in vote[1:3]]
    stored(tmp_path, votes)
    assert read_votes(tmp_path / "votes.csv", tmp_path / "names.txt").names == ("Pan", "Xu", "Cho", "Blur")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("", "expected votes"),
        ("Image ID,Method 1,Method 2,Result\n", "expected votes"),
        ("1,1,2,1\n1,2,3,3\n", "line 2"),
        ("1,1,2,0\n1,1,2,1\n", "line 1"),
        ("1,1,2,1\n1,2\n", "line 2"),
        ("1,1,2,1\n1,9,2,1\n", "neither a number from 1 to 5"),
        ("1,1,1,1\n", "two different methods"),
        ("1,1,2,1\n1,1,2,1\n", "Pan never lost"),
    ],
)
def test_bad_votes_get_one_sentence(
    lines: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = stored(tmp_path, [])
    (tmp_path / "votes.csv").write_text(lines, encoding="utf-8")
    assert fit_entry.main([*arguments, "--json"]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_missing_files_and_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = stored(tmp_path, drawn_votes(images=1, repeats=4))
    assert fit_entry.main(["--votes", str(tmp_path / "none.csv")]) == 2
    assert fit_entry.main([*arguments, "--blurred", "nobody"]) == 2
    (tmp_path / "names.txt").write_text("a\na\n", encoding="utf-8")
    assert fit_entry.main(arguments) == 2
    assert "'a' twice" in capsys.readouterr().err


def test_few_votes_can_be_fitted_with_a_prior(tmp_path: Path) -> None:
    stored(tmp_path, [(1, 1, 2, 1), (1, 2, 3, 1)])
    result = fit(read_votes(tmp_path / "votes.csv", tmp_path / "names.txt"), prior=0.1, draws=200)
    assert np.isfinite(result.ci95).all() and result.scores[0] > result.scores[1] > result.scores[2]


def test_the_votes_of_the_study() -> None:
    """Global scores of the study's real images, computed independently (two digits). LAI_VOTES names the folder."""
    folder = Path(os.environ.get("LAI_VOTES", "/nowhere"))
    if not (folder / "votes_real_balance_all.csv").is_file():
        pytest.skip("LAI_VOTES names no folder with the votes files of phoenix104104/cvpr16_deblur_study")
    result = fit(read_votes(folder / "votes_real_balance_all.csv", folder / "list_method.txt"), draws=200)
    expected = [-1.16, -0.76, 0.15, 0.46, 0.54, -0.17, 0.16, 0.30, 0.17, -0.44, -0.19, 0.13, 0.89, -0.09]
    assert result.votes.count == 23478 and result.votes.names[0] == "Blur"
    assert np.abs(result.scores - expected).max() <= 0.0051
