"""The result files: exact columns, numbers that survive writing and reading, and clear errors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.results import (
    COST_COLUMNS,
    METHODS_COLUMNS,
    SCORES_COLUMNS,
    CostRow,
    MethodRow,
    Row,
    ScoreRow,
    columns,
    read_rows,
    write_rows,
)

SCORE = ScoreRow(
    method="identity",
    testset="gopro",
    protocol="gopro-linear",
    metric="psnr",
    key="a/1",
    value=0.1 + 0.2,
    simulated=True,
)
METHOD = MethodRow(method="m", testset="gopro", protocol="gopro-linear", status='failed: "x", line\nbreak', steps=3)
COST = CostRow(
    method="m", height=256, width=128, device="cpu", threads=2, ms_median=1.25, ms_iqr=0.5, peak_mb=None
)  # fmt: skip


def test_columns_are_the_agreed_ones() -> None:
    """Scripts of users read these names; later columns go behind them."""
    assert SCORES_COLUMNS == ("method", "testset", "protocol", "metric", "key", "value", "simulated")
    agreed = "method testset protocol task params_m macs_g trained_on steps feature_net switches weights_sha256 status"
    assert METHODS_COLUMNS[:14] == (*agreed.split(), "commit", "command")
    assert COST_COLUMNS == ("method", "height", "width", "device", "threads", "ms_median", "ms_iqr", "peak_mb")
    agreed = "method testset protocol metric value ci95_low ci95_high count published simulated"
    assert columns(Row)[:10] == tuple(agreed.split())
    assert set(columns(Row)) >= set(METHODS_COLUMNS) | set(COST_COLUMNS)


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-17, 31.0, math.inf])
def test_scores_survive(tmp_path: Path, value: float) -> None:
    row = replace(SCORE, value=value, simulated=False)
    write_rows(tmp_path / "scores.csv", ScoreRow, [row, SCORE])
    assert read_rows(tmp_path / "scores.csv", ScoreRow) == [row, SCORE]


def test_text_of_a_scores_file(tmp_path: Path) -> None:
    write_rows(tmp_path / "scores.csv", ScoreRow, [replace(SCORE, value=math.inf)])
    assert (tmp_path / "scores.csv").read_bytes() == (
        b"method,testset,protocol,metric,key,value,simulated\nidentity,gopro,gopro-linear,psnr,a/1,inf,true\n"
    )


def test_methods_and_costs_survive(tmp_path: Path) -> None:
    write_rows(tmp_path / "methods.csv", MethodRow, [METHOD])
    write_rows(tmp_path / "cost.csv", CostRow, [COST])
    assert read_rows(tmp_path / "methods.csv", MethodRow) == [METHOD]
    assert read_rows(tmp_path / "cost.csv", CostRow) == [COST]


def test_errors_name_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_rows(path, ScoreRow, [SCORE])
    path.write_text(path.read_text().replace("true", "maybe"))
    with pytest.raises(ValueError, match=r"scores.csv, line 2: column 'simulated' holds 'maybe'"):
        read_rows(path, ScoreRow)
    path.write_text("method,testset\nx,y\n")
    with pytest.raises(ValueError, match="column 'protocol' is missing"):
        read_rows(path, ScoreRow)


def test_unknown_columns_of_newer_files_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    write_rows(path, CostRow, [COST])
    header, line = path.read_text().splitlines()
    path.write_text(f"{header},later\n{line},1\n")
    assert read_rows(path, CostRow) == [COST]
