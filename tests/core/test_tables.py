"""CSV files as people have them: semicolons, tabs, a byte order mark, any line ends; damaged ones are one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmark.results import CostRow, MethodRow, ScoreRow, read_rows, write_rows
from core import tables
from core.tables import number_text, read_cells, read_table


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_spreadsheet_programs_write(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    lines = [["name", "value"], ["Köhler, image 1", "1.5"], [], ["b; c", "2"]]
    text = end.join(delimiter.join(f'"{cell}"' for cell in line) for line in lines) + end
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    rows = read_table(tmp_path / "a.csv", ("name", "value"))
    assert [row for _, row in rows] == [
        {"name": "Köhler, image 1", "value": "1.5"},
        {"name": "b; c", "value": "2"},
    ]


def test_stored_results_survive_a_spreadsheet_program(tmp_path: Path) -> None:
    rows = [
        ScoreRow(
            method=name, testset="gopro", protocol="p", metric="psnr", key="s/1", value=value, simulated=name == "a"
        )
        for name, value in (("a", 28.4202), ("b", float("inf")))
    ]
    path = tmp_path / "scores.csv"
    write_rows(path, ScoreRow, rows)
    text = path.read_text().replace(",", ";").replace("28.4202", "28,4202").replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-8-sig"))
    assert read_rows(path, ScoreRow) == rows


def test_numbers_with_a_comma() -> None:
    assert [number_text(text) for text in ("28,42", " 1.5 ", "1,234.5", "1,2,3")] == [
        "28.42",
        "1.5",
        "1,234.5",
        "1,2,3",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("method,testset\na,b\n", "column 'protocol' is missing"),
        ("", "column 'method' is missing"),
        ("method,testset,protocol,height,width,device,threads\n", "column 'method' is|column 'ms_median' is missing"),
        ("a,a\n1,2\n", "column"),
    ],
)
@pytest.mark.parametrize("kind", [ScoreRow, MethodRow, CostRow])
def test_missing_columns(tmp_path: Path, text: str, sentence: str, kind: type) -> None:
    (tmp_path / "a.csv").write_text(text)
    if kind is MethodRow and "height" in text:
        assert read_rows(tmp_path / "a.csv", kind) == []  # what a method has beside its names may be missing
        return
    with pytest.raises(ValueError, match=r"a\.csv: column '\w+' is"):
        read_rows(tmp_path / "a.csv", kind)


def test_long_cells_short_lines_and_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,value\n" + "x" * (2 << 20) + ",1\n")
    with pytest.raises(ValueError, match=r"a\.csv, line 2: this is no CSV file of results \(field larger"):
        read_cells(path)
    path.write_text("name,value\na\n")
    with pytest.raises(ValueError, match=r"a\.csv, line 2: 2 cells are expected, got 1"):
        read_table(path)
    path.write_text("name,name\na,b\n")
    with pytest.raises(ValueError, match="column 'name' is there twice"):
        read_table(path)
    path.write_bytes(b"\xff\x00\x81name")
    with pytest.raises(ValueError, match="UTF-8 is needed"):
        read_cells(path)
    monkeypatch.setattr(tables, "LARGEST_FILE", 100)
    path.write_text("a,b\n" * 100)
    with pytest.raises(ValueError, match="this file is larger"):
        read_cells(path)
    os.mkfifo(tmp_path / "pipe.csv")
    for other in (tmp_path / "pipe.csv", Path("/dev/zero"), tmp_path):
        with pytest.raises(ValueError, match="a CSV file is needed"):
            read_cells(other)


def test_a_long_number_is_not_repeated_whole(tmp_path: Path) -> None:
    row = ScoreRow(method="a", testset="t", protocol="p", metric="m", key="k", value=1.0, simulated=True)
    write_rows(tmp_path / "a.csv", ScoreRow, [row])
    text = (tmp_path / "a.csv").read_text().replace("1.0", "9" * 5000 + "x")
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match="column 'value' holds") as error:
        read_rows(tmp_path / "a.csv", ScoreRow)
    assert len(str(error.value)) < 300
