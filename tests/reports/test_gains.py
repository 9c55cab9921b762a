"""Gains over the blurred input: known differences, known intervals, folders side by side, one sentence for a lack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.results import ComparisonRow, CostRow, MethodRow, ScoreRow, read_rows, write_rows
from reports.build import build
from reports.gains import collect, gains, main, markdown
from tests.reports.result_data import KEYS, write_results


def test_gain_and_interval_are_those_of_two_sequences(tmp_path: Path) -> None:
    """mimo-unet gains 1, 1 (sequence s1) and 2 dB (s2): 1.33 in the mean; drawn by sequence, from 1 to 2."""
    table = collect([write_results(tmp_path)])[0]
    found = gains(table, "identity")["mimo-unet", "psnr"]
    assert found.difference == pytest.approx(4 / 3)
    assert (found.ci95_low, found.ci95_high) == (pytest.approx(1.0), pytest.approx(2.0))
    assert (found.images, found.wins, found.losses) == (3, 3, 0)
    lines = markdown(table, "identity").splitlines()
    assert lines[0] == "## GoPro (mini, simulated): gopro-linear"
    assert lines[4].startswith(
        "| mimo-unet | 3 | 23.33 | +1.33 (+1.00 to +2.00) | 0.7778 | +0.0444 (+0.0333 to +0.0667)"
    )
    assert lines[4].endswith("| 900 | 400 |")
    assert lines[5].startswith("| identity | 3 | 22.00 |  | ")
    assert lines[6].startswith("| stfan | 3 | 21.17 | -0.83 (-2.00 to -0.25) | ")


def test_the_same_numbers_as_in_comparisons(tmp_path: Path) -> None:
    folder = write_results(tmp_path)
    build(folder, folder)
    rows = read_rows(folder / "comparisons.csv", ComparisonRow)
    stored = next(row for row in rows if (row.method, row.other, row.metric) == ("identity", "stfan", "psnr"))
    found = gains(collect([folder])[0], "identity")["stfan", "psnr"]
    assert (found.difference, found.ci95_low) == (-stored.difference, -(stored.ci95_high or 0.0))


def test_lower_is_better_comes_first_and_one_image_has_no_interval(tmp_path: Path) -> None:
    lines = markdown(collect([write_results(tmp_path)])[1], "identity").splitlines()
    assert [line.split(" | ")[0] for line in lines[4:6]] == ["| mimo-unet", "| identity"]
    assert "| 4.00 | -1.00 |" in lines[4]


def test_folders_of_one_set_share_a_table(tmp_path: Path) -> None:
    """A second run of one network: its row stands beside those of the first, and the last run of a method counts."""
    first = write_results(tmp_path / "a")
    second = tmp_path / "b"
    common = {"testset": "gopro", "protocol": "gopro-linear", "metric": "psnr", "simulated": True}
    scores = [
        ScoreRow(method=name, key=key, value=value, **common)
        for name, value in (("mine", 24.0), ("stfan", 30.0))
        for key in KEYS
    ]
    names = {"testset": "gopro", "protocol": "gopro-linear", "title": "GoPro (mini, simulated)"}
    write_rows(second / "scores.csv", ScoreRow, scores)
    write_rows(second / "methods.csv", MethodRow, [MethodRow(method=name, **names) for name in ("mine", "stfan")])
    table = collect([first, second])[0]
    found = gains(table, "identity")
    assert found["mine", "psnr"].difference == pytest.approx(2.0)
    assert found["stfan", "psnr"].difference == pytest.approx(8.0)
    assert found["mimo-unet", "psnr"].difference == pytest.approx(4 / 3)
    assert "| mine | 3 | 24.00 | +2.00 (+0.00 to +3.00) |  |  |  |  |" in markdown(table, "identity")


def test_one_sentence_for_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "name the --out folder of a benchmark/run.py" in capsys.readouterr().err
    assert main([str(write_results(tmp_path / "a")), "--against", "srn"]) == 2
    assert "srn was not scored there, only identity, mimo-unet, stfan" in capsys.readouterr().err


def test_out_holds_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_results(tmp_path / "a")
    costs = read_rows(folder / "cost.csv", CostRow)
    write_rows(folder / "cost.csv", CostRow, [*costs, replace(costs[0], method="stfan", threads=1)])
    assert main([str(folder), "--out", str(tmp_path / "gains.md")]) == 0
    text = (tmp_path / "gains.md").read_text(encoding="utf-8")
    assert text == capsys.readouterr().out
    assert "ms (256 x 256 px, cpu, threads: 1; 256 x 256 px, cpu, threads: 2)" in text
