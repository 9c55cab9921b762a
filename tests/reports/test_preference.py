"""A preference study in the leaderboard: beside the figures of its images, else apart; in every form of the report."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from benchmark.preference import fit
from benchmark.preference.study import VoteStore, find_study, trials
from benchmark.results import Row, read_rows
from reports import build
from reports.rows import BT_LOG_ODDS, BT_ODDS, PREFERENCE
from tests.reports.result_data import write_results

ORDER = ("mimo-unet", "deblurgan-v2-inception", "identity")  # best first; the second is in the study alone


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


def with_study(results: Path, folder: Path, image: str, testset: str = "lai-real") -> list[Row]:
    """A copy of the stored files with a study on one image, its leaderboard built: every pair 9 votes to 3."""
    shutil.copytree(results, folder, dirs_exist_ok=True)
    lines = []
    for better in range(3):
        for worse in range(better + 1, 3):
            lines += [f"1,{better + 1},{worse + 1},1"] * 9 + [f"1,{better + 1},{worse + 1},2"] * 3
    (folder / "votes.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "votes.methods.txt").write_text("\n".join(ORDER), encoding="utf-8")  # as serve.py --export names them
    (folder / "votes.images.txt").write_text(image, encoding="utf-8")
    arguments = ["--votes", str(folder / "votes.csv"), "--out", str(folder), "--testset", testset]
    assert fit.main(arguments) == 0
    assert build.main(["--in", str(folder)]) == 0
    return read_rows(folder / "leaderboard.csv", Row)


def data_of(folder: Path) -> dict:
    html = (folder / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_study_of_the_same_images_is_a_column(results: Path, tmp_path: Path) -> None:
    rows = with_study(results, tmp_path, "a")
    with open(tmp_path / "preference.csv", encoding="utf-8") as stream:
        stored = {line["method"]: line for line in csv.DictReader(stream)}
    scores = {row.method: row for row in rows if row.metric == BT_LOG_ODDS}
    assert set(scores) == set(ORDER)
    for name, row in scores.items():
        assert (row.testset, row.protocol, row.simulated) == ("lai-real", "lai-real", True)
        assert row.value == float(stored[name]["score"])
        assert (row.ci95_low, row.ci95_high) == (float(stored[name]["ci95_low"]), float(stored[name]["ci95_high"]))
        assert (row.votes, row.count) == (24, 1)
        assert row.ci95_low is not None and row.value is not None and row.ci95_low < row.value
    odds = {row.method: row.value for row in rows if row.metric == BT_ODDS}
    assert odds["identity"] == 1.0 and odds["mimo-unet"] == float(stored["mimo-unet"]["BT odds"])
    assert all(row.published is None for row in scores.values()), "Table 4 of DeblurGAN-v2 is on another scale"
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    lai = text.split("## Lai real")[1].split("\n## ")[0]
    assert "| NIQE ↓ | BT log-odds ↑ | BT odds ↑ |" in lai and "range test of the Lai study" in lai
    assert "| deblurgan-v2-inception |  | 0.00" in lai and "| not known: only in the preference study |" in lai
    tex = (tmp_path / "leaderboard.tex").read_text(encoding="utf-8")
    assert r"BT log-odds $\uparrow$" in tex and "range test" in tex
    table = data_of(tmp_path)["tables"][1]
    assert table["metrics"] == ["niqe", BT_LOG_ODDS, BT_ODDS]
    figure = next(row for row in table["rows"] if row["method"] == "mimo-unet")["figures"][BT_LOG_ODDS]
    assert figure["votes"] == 24 and figure["low"] < figure["value"] < figure["high"]


def test_a_study_of_other_images_is_a_table_of_its_own(results: Path, tmp_path: Path) -> None:
    rows = with_study(results, tmp_path / "names", "another-image")
    assert {row.protocol for row in rows if row.metric == BT_LOG_ODDS} == {PREFERENCE}
    assert not any(row.simulated for row in rows if row.metric == BT_LOG_ODDS)
    text = (tmp_path / "names" / "leaderboard.md").read_text(encoding="utf-8")
    lai, apart = text.split("## Lai real")[1].split("## Preference study, images of its own")
    assert "BT log-odds" not in lai and "| **0.7" in apart and "NIQE" not in apart.split("\n## ")[0]
    assert [table["protocol"] for table in data_of(tmp_path / "names")["tables"]][-1] == PREFERENCE
    assert "Preference study" not in text.split("## Train set x test set")[1]
    rows = with_study(results, tmp_path / "set", "a", testset="my-phone")
    assert {(row.testset, row.protocol) for row in rows if row.metric == BT_LOG_ODDS} == {("my-phone", PREFERENCE)}


def test_the_study_ranks_where_the_first_metric_is_missing(results: Path, tmp_path: Path) -> None:
    with_study(results, tmp_path, "a")
    lines = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "scores.csv").write_text("\n".join(line for line in lines if ",niqe," not in line), encoding="utf-8")
    (tmp_path / "preference_images.csv").unlink()
    assert build.main(["--in", str(tmp_path)]) == 0
    lai = (tmp_path / "leaderboard.md").read_text(encoding="utf-8").split("## Lai real")[1].split("\n## ")[0]
    assert [line.split(" | ")[0] for line in lai.splitlines() if line.startswith("| ")][2:5] == [
        f"| {name}" for name in ORDER
    ]


def test_the_name_of_the_test_set_decides_where_no_images_are_named(results: Path, tmp_path: Path) -> None:
    with_study(results, tmp_path, "another-image")
    (tmp_path / "preference_images.csv").unlink()
    assert build.main(["--in", str(tmp_path)]) == 0
    rows = read_rows(tmp_path / "leaderboard.csv", Row)
    assert {row.protocol for row in rows if row.metric == BT_LOG_ODDS} == {"lai-real"}


def test_the_range_test_marks_who_shares_the_first_place(results: Path, tmp_path: Path) -> None:
    rows = with_study(results, tmp_path, "a")
    with open(tmp_path / "preference.csv", encoding="utf-8") as stream:
        first = next(csv.DictReader(stream))
    together = {first["method"], *filter(None, first["not_apart_from"].split("; "))}
    assert {row.method for row in rows if row.metric == BT_LOG_ODDS and row.shares_first_place} == together


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("score,", "points,", "column 'score' is missing"),
        ("\nmimo-unet,", "\nmimo-unet,high", "line 2: score holds 'high"),
        ("\nidentity,", "\nmimo-unet,", "one line a method"),
    ],
)
def test_a_damaged_file_gets_one_sentence(
    old: str, new: str, sentence: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_study(results, tmp_path, "a")
    text = (tmp_path / "preference.csv").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "preference.csv").write_text(text.replace(old, new, 1), encoding="utf-8")
    assert build.main(["--in", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and "preference.csv" in error and error.count("\n") == 1


def test_a_study_that_runs_in_the_folder_of_images_is_left_alone(results: Path, tmp_path: Path) -> None:
    """Votes lie in images/lai-real/votes.sqlite, with a log beside it that SQLite has not taken over yet."""
    source, target = tmp_path / "source", tmp_path / "page"
    shutil.copytree(results, source)
    for method in ("identity", "mimo-unet", "_blur"):
        (source / "images" / "lai-real" / method).mkdir(parents=True)
        shutil.copy(source / "images/gopro/identity/s1/000001.png", source / "images/lai-real" / method / "a.png")
    folder = source / "images" / "lai-real"
    shutil.copy(folder / "identity" / "a.png", folder / "identity" / "b.png")
    shutil.copy(folder / "identity" / "a.png", folder / "mimo-unet" / "b.png")
    study, store = find_study(folder), VoteStore(folder / "votes.sqlite")
    assert (study.methods, study.keys) == (("identity", "mimo-unet"), ("a", "b")), "_blur holds a few inputs only"
    with store._connection() as reader:  # an open connection keeps the log in its own file
        order = trials(study, "ann", 10)
        assert store.add("ann", 0, order[0], study, "left", 2.0)
        assert (folder / "votes.sqlite-wal").is_file()
        assert build.main(["--in", str(source), "--out", str(target)]) == 0
        assert reader.execute("SELECT COUNT(*) FROM votes").fetchone() == (1,)
        assert not list(target.rglob("*sqlite*"))
        assert (target / "images/lai-real/mimo-unet/b.png").is_file()
        assert store.add("ann", 1, order[1], study, "right", 2.0)
    assert build.main(["--in", str(source)]) == 0
    assert [row[5] for row in VoteStore(folder / "votes.sqlite").all_votes()] == ["left", "right"]
    assert (folder / "votes.sqlite").stat().st_nlink == 1
