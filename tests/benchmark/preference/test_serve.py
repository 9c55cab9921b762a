"""The study: balanced orders, votes that survive kill -9, guards, export, and the page in a real browser."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from benchmark.preference import serve
from benchmark.preference.study import Study, VoteStore, counted_votes, find_study, trials
from benchmark.preference.votes_file import read_votes
from tests.benchmark.preference.study_data import METHODS, SERVE, asked, server, small_study, voted


def test_orders_are_seeded_balanced_and_without_repetition() -> None:
    study = Study(root=Path("x"), methods=("a", "b", "c", "d"), keys=tuple(f"k{i:02d}" for i in range(20)))
    order = trials(study, "ann", limit=60)
    assert order == trials(study, "ann", limit=60) != trials(study, "bob", limit=60)
    plain = [trial for trial in order if not trial.check]
    checks = [trial for trial in order if trial.check]
    assert len(plain) == 60 and len(checks) == 5
    assert len({(t.image, frozenset((t.left, t.right))) for t in plain}) == 60
    couples = Counter(frozenset((t.left, t.right)) for t in plain)
    assert set(couples.values()) == {10}
    sides = Counter((t.left, t.right) for t in plain)
    assert set(sides.values()) == {5}
    for check in checks:
        same = [t for t in plain if (t.image, t.left, t.right) == (check.image, check.right, check.left)]
        assert len(same) == 1 and order.index(check) - order.index(same[0]) >= 6
    assert len([t for t in trials(study, "ann", limit=10_000) if not t.check]) == study.pairs


def test_kill_9_loses_no_acknowledged_vote(tmp_path: Path) -> None:
    folder = small_study(tmp_path / "images", images=30)
    acknowledged: dict[str, int] = {}
    arguments = ("--least-seconds", "0", "--per-minute", "100000")

    def vote_on(address: str, participant: str) -> None:
        try:
            state = asked(f"{address}/next/{participant}")
            while not state["done"]:
                status, state = voted(address, participant, {"position": state["position"], "choice": "left"})
                assert status == 200
                acknowledged[participant] = state["stored"] + 1
        except OSError:
            return  # the server was killed

    with server(folder, *arguments) as (process, address):
        names = ["ann", "bob", "cem"]
        threads = [threading.Thread(target=vote_on, args=(address, name)) for name in names]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while sum(acknowledged.values()) < 25 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()  # SIGKILL in the middle of voting
        for thread in threads:
            thread.join()
    assert sum(acknowledged.values()) >= 25
    rows = VoteStore(folder / "votes.sqlite").all_votes()
    stored = Counter(row[0] for row in rows)
    assert all(stored[name] in (count, count + 1) for name, count in acknowledged.items())
    with server(folder, *arguments) as (_, address):
        assert all(asked(f"{address}/next/{name}")["position"] == stored[name] for name in stored)


def test_guards(tmp_path: Path) -> None:
    folder = small_study(tmp_path / "images")
    with server(folder, "--least-seconds", "0.3", "--per-minute", "2") as (_, address):
        assert voted(address, "ann", {"position": 0, "choice": "left"})[0] == 409  # not shown yet
        assert asked(f"{address}/next/ann")["position"] == 0
        status, answer = voted(address, "ann", {"position": 0, "choice": "left"})
        assert status == 429 and "0.3 s" in answer["error"]
        time.sleep(0.35)
        assert voted(address, "ann", {"position": 0, "choice": "both"})[0] == 400
        assert voted(address, "ann", ["left"])[0] == 400
        assert voted(address, "ann", {"position": True, "choice": "left"})[0] == 400
        assert voted(address, "ann", {"position": 3, "choice": "left"})[0] == 409
        assert voted(address, "ann", {"position": 0, "choice": "left"})[0] == 200
        assert voted(address, "ann", {"position": 0, "choice": "right"})[0] == 409  # has a vote
        for position in (1, 2):
            time.sleep(0.35)
            status, answer = voted(address, "ann", {"position": position, "choice": "skip"})
        assert status == 429 and "a minute" in answer["error"]
        with urllib.request.urlopen(f"{address}/image/ann/0/left", timeout=20) as image:
            assert image.read(4) == b"\x89PNG" and "blur" not in str(image.headers)
        for wrong in ("/image/ann/0/middle", "/image/ann/999/left", "/p/..%2f..%2fetc", "/p/" + "x" * 50):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(address + wrong, timeout=20)


def test_export_is_what_fit_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_study(tmp_path / "images")
    study, store = find_study(folder), VoteStore(folder / "votes.sqlite")
    assert study.methods == METHODS and len(study.keys) == 4
    target = tmp_path / "votes.csv"
    assert serve.main(["--images", str(folder), "--export", str(target)]) == 2
    assert "no vote" in capsys.readouterr().err
    for name in ("ann", "bob"):  # the later method always wins
        for position, trial in enumerate(trials(study, name, 100)):
            assert store.add(name, position, trial, study, "left" if trial.left > trial.right else "right", 2.0)
            assert not store.add(name, position, trial, study, "left", 2.0)
    assert serve.main(["--images", str(folder), "--export", str(target)]) == 0
    votes = read_votes(target, tmp_path / "votes.methods.txt")
    assert votes.names == METHODS and votes.count == 2 * study.pairs
    assert votes.wins.sum(axis=0).tolist() == [[0, 0, 0], [8, 0, 0], [8, 8, 0]]


def test_votes_that_do_not_count() -> None:
    rows = []
    for image in "abcd":  # ann repeats herself, bob always says left, cem skips
        rows += [("ann", image, "x", "y", False, "left"), ("ann", image, "y", "x", True, "right")]
        rows += [("bob", image, "x", "y", False, "left"), ("bob", image, "y", "x", True, "left")]
        rows += [("cem", image, "x", "y", False, "skip")]
    votes, left_out = counted_votes(rows, 0.5)
    assert left_out == {"bob": 0.0}
    assert votes == [(image, "x", "y", "left") for image in "abcd"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--images", "nowhere"], "nowhere"),
        (["--images", "empty"], "two methods or more"),
        (["--images", "apart"], "restore the same images"),
        (["--images", "good", "--comparisons", "0"], "--comparisons"),
        (["--images", "good", "--votes", "good/blur/scene/00.png"], "database"),
    ],
)
def test_bad_arguments_get_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    small_study(tmp_path / "good", images=1)
    for name in ("a", "b"):
        (tmp_path / "apart" / name).mkdir(parents=True)
        (tmp_path / "apart" / name / f"{name}.png").write_bytes(b"")
    assert serve.main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    folder = small_study(tmp_path / "images", images=1)
    with server(folder) as (_, address):
        port = address.rpartition(":")[2]
        command = [sys.executable, SERVE, "--images", str(folder), "--port", port]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and run.stderr.startswith("serve.py: ") and run.stderr.count("\n") == 1


def test_votes_are_synchronised_to_the_disk(tmp_path: Path) -> None:
    store = VoteStore(tmp_path / "votes.sqlite")
    with store._connection() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    with sqlite3.connect(tmp_path / "votes.sqlite") as plain:
        assert plain.execute("SELECT COUNT(*) FROM votes").fetchone() == (0,)
