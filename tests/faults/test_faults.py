"""The short form of `python -m tests.faults`: a few malformed inputs of every kind, a few examples of every reader."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark import ledger
from core.locks import InUse, only_one
from synth import make_pairs
from tests.faults import malformed, readers, tasks
from tests.faults.malformed import Case, Generator, Tally, judge


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tasks.inputs(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("kind", Generator.KINDS)
def test_malformed_inputs(home: Path, tmp_path: Path, kind: str) -> None:
    tally = malformed.run(home, tmp_path, count=4, seed=7, kinds=(kind,))
    assert tally.count == 4 and not tally.wrong, tally.wrong


def test_the_judge_sees_what_is_wrong(tmp_path: Path) -> None:
    kept = tmp_path / "a"
    kept.write_text("x")

    def crash() -> int:
        raise KeyError("k")

    def change() -> int:
        kept.write_text("y")
        return 0

    def wordy() -> int:
        print("\n".join("line" for _ in range(40)), file=sys.stderr)
        return 2

    def said() -> int:
        print("a sentence", file=sys.stderr)
        return 2

    tally = Tally()
    for call in (crash, change, wordy, lambda: 7, lambda: 1, said, lambda: 0):
        judge(Case(kind="x", title="y", call=call, inputs=(kept,)), tally)
    assert (tally.sentences, tally.harmless, len(tally.wrong)) == (1, 1, 5)
    assert "KeyError" in tally.wrong[0] and "an input was changed" in tally.wrong[1]


@pytest.mark.parametrize("name", readers.READERS)
def test_readers(name: str) -> None:
    readers.fuzz(name, examples=25)


def test_a_second_process_is_told_who_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys, time\nfrom core.locks import only_one\nwith only_one(sys.argv[1]):\n"
    code += "    print('in', flush=True)\n    time.sleep(60)"
    words = [sys.executable, "-c", code, str(tmp_path / "out")]
    other = subprocess.Popen(words, cwd=tasks.ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(InUse, match=rf"process {other.pid} .*works there"), only_one(tmp_path / "out"):
            pass
        assert make_pairs.main(["photos", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert f"process {other.pid}" in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
    finally:
        other.kill()
        other.wait()
    for _ in range(50):  # a killed process lets go
        try:
            with only_one(tmp_path / "out"), only_one(tmp_path / "out"):
                break
        except InUse:
            time.sleep(0.1)
    else:
        pytest.fail("the lock of a killed process stayed")


def test_a_report_that_a_kill_kept_away_is_missed(tmp_path: Path) -> None:
    for name in (ledger.SCORES, ledger.METHODS, *ledger.REPORT):
        (tmp_path / name).write_text(name)
    run = {"status": "finished", "methods": ["a"], "configuration": {}, "done": [], "threads": 1}
    assert not ledger.has_report(tmp_path, run)
    (tmp_path / ledger.RUN).write_text(json.dumps(run))
    ledger.note_report(tmp_path)
    stored = ledger.read_run(tmp_path)
    assert stored is not None and ledger.has_report(tmp_path, stored)
    for name in ledger.REPORT:
        (tmp_path / name).rename(tmp_path / "away")
        assert not ledger.has_report(tmp_path, stored)
        (tmp_path / "away").rename(tmp_path / name)
    (tmp_path / ledger.SCORES).write_text("another method was added")
    assert not ledger.has_report(tmp_path, stored)
