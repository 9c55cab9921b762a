"""Votes files of other people: ties, semicolons, and more methods than tables of all pairs can hold."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmark.preference import fit as fit_entry
from benchmark.preference.bradley_terry import bootstrap_intervals, global_scores
from benchmark.preference.votes_file import read_votes


def fitted(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert fit_entry.main(["--votes", str(path), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("tie", ["0", "0.5", "tie", "Draw", "equal", "="])
def test_ties_count_half(tmp_path: Path, tie: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two wins, one loss and two ties are three of five: the score's difference is ln(3 / 2)."""
    path = tmp_path / "votes.csv"
    path.write_text(f"Image ID,Method 1,Method 2,Result\n1,A,B,1\n1,A,B,1\n1,B,A,1\n1,A,B,{tie}\n1,B,A,{tie}\n")
    votes = read_votes(path)
    assert votes.wins[0].tolist() == [[0, 3], [2, 0]] and votes.count == 5
    found = fitted(path, capsys)
    assert found["global"]["A"] - found["global"]["B"] == pytest.approx(math.log(3 / 2), abs=1e-6)
    assert found["agreement_u"] == pytest.approx(2 * 1 / 3 - 1)  # of the three votes that decide, one pair agrees


def test_an_odd_number_of_ties_and_a_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """3.5 wins of 5; with a pull a towards zero the difference d solves 3.5 - 5 / (1 + exp(-d)) = a d."""
    path = tmp_path / "votes.csv"
    path.write_text("1,A,B,1\n" * 3 + "1,A,B,2\n1,A,B,tie\n")
    found = fitted(path, capsys)
    assert found["global"]["A"] - found["global"]["B"] == pytest.approx(math.log(3.5 / 1.5), abs=1e-6)
    whole = global_scores(np.array([[0.0, 7.0], [3.0, 0.0]]), prior=0.2)
    half = global_scores(np.array([[0.0, 3.5], [1.5, 0.0]]), prior=0.1)
    assert half == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("form", ["semicolons", "tabs", "mark", "returns"])
def test_files_of_spreadsheet_programs(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Image ID,Method 1,Method 2,Result\n1,A,B,1\n2,B,C,1\n3,C,A,1\n4,A,C,1\n"
    (tmp_path / "plain.csv").write_text(text)
    changed = {
        "semicolons": text.replace(",", ";"),
        "tabs": text.replace(",", "\t"),
        "mark": "\ufeff" + text,
        "returns": text.replace("\n", "\r\n"),
    }[form]
    (tmp_path / "votes.csv").write_bytes(changed.encode())
    assert fitted(tmp_path / "votes.csv", capsys) == fitted(tmp_path / "plain.csv", capsys)


def test_too_many_methods_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "votes.csv"
    path.write_text("".join(f"{n % 40},m{n},m{(n + 1) % 1500},1\n" for n in range(1500)))
    started = time.monotonic()
    tracemalloc.start()
    assert fit_entry.main(["--votes", str(path), "--json"]) == 2
    assert tracemalloc.get_traced_memory()[1] < 50e6 and time.monotonic() - started < 10
    tracemalloc.stop()
    err = capsys.readouterr().err
    assert "votes on 1500 methods and 40 images" in err and err.count("\n") == 1


def test_intervals_do_not_depend_on_how_many_draws_are_fitted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    wins = rng.integers(1, 5, (6, 4, 4)).astype(float) * (1 - np.eye(4))
    whole = {unit: bootstrap_intervals(wins, unit, 50, 0) for unit in ("images", "votes")}
    monkeypatch.setattr("benchmark.preference.bradley_terry.AT_ONCE", 7 * 16)
    for unit, expected in whole.items():
        assert bootstrap_intervals(wins, unit, 50, 0) == pytest.approx(expected, abs=1e-9)
