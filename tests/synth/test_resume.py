"""Killed at any moment and resumed: the same bytes, and nothing that was finished is computed again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synth import make_pairs, synthesis
from synth.gaps import integrate_gap
from synth.manifest import read_whole_lines
from tests.synth.clips import moving_frames, tree, write_frames

ENTRY = Path(make_pairs.__file__)


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ENTRY), *map(str, arguments)],
        cwd="/",  # entry points run from anywhere
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        # A shell that runs the tests in the background ignores Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_pairs(process: subprocess.Popen[str], out: Path, pairs: int) -> None:
    """Until so many pairs are in the manifest."""
    deadline = time.monotonic() + 60
    manifest = out / "pairs.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if manifest.is_file() and manifest.read_bytes().count(b"\n") >= pairs:
            return
        time.sleep(0.002)
    raise AssertionError(f"the run ended before {pairs} pairs: {process.communicate()}")


def test_killed_twice_and_resumed_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(60, speed_px=3.0))
    options = ("--video", folder, "--fps", 240, "--window", "3,5", "--stride", 2, "--workers", 2)
    assert make_pairs.main([*map(str, options), "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "out"
    for pairs in (3, 9):
        process = start(*options, "--out", out, "--resume")
        wait_for_pairs(process, out, pairs)
        process.kill()
        process.communicate()
    assert json.loads((out / "run.json").read_text())["status"] == "unfinished"
    # What a kill in the middle of a write leaves behind: a torn line and a temporary file.
    with open(out / "pairs.jsonl", "ab") as manifest:
        manifest.write(b'{"key": "clip_0000')
    (out / "blur" / ".clip_000099.png.4242.part").write_bytes(b"half")
    words = [*map(str, options), "--out", str(out)]
    assert make_pairs.main(words) == 2 and "unfinished" in capsys.readouterr().err
    assert make_pairs.main([*words, "--resume"]) == 0
    assert tree(out) == tree(tmp_path / "whole")
    assert json.loads((out / "run.json").read_text())["status"] == "finished"


def test_interrupt_ends_with_one_sentence(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(80, speed_px=3.0))
    out = tmp_path / "out"
    process = start("--video", folder, "--fps", 240, "--window", 5, "--stride", 1, "--out", out)
    wait_for_pairs(process, out, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err.splitlines()[-1] and "Traceback" not in err


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_finished_pairs_are_not_computed_again(tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the gaps of windows that are not in the manifest are integrated."""
    folder = write_frames(tmp_path / "clip", moving_frames(15))
    arguments = ["--video", str(folder), "--fps", "240", "--window", "3", "--out", str(tmp_path / "out"), "--resume"]
    assert make_pairs.main(arguments) == 0
    right = tree(tmp_path / "out")
    lines = (tmp_path / "out" / "pairs.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / "pairs.jsonl").write_bytes(b"".join(lines[:kept]))
    assert len(read_whole_lines(tmp_path / "out")) == kept
    gaps: list[int] = []

    def counting(job, interpolator, factor, response):  # type: ignore[no-untyped-def]
        gaps.append(job.gap)
        return integrate_gap(job, interpolator, factor, response)

    monkeypatch.setattr(synthesis, "integrate_gap", counting)
    assert make_pairs.main(arguments) == 0
    assert tree(tmp_path / "out") == right
    assert sorted(gaps) == [gap for gap in range(14) if gap % 3 != 2 and gap >= 3 * kept]


def test_torch_stays_out(tmp_path: Path) -> None:
    """A whole run of the flow interpolator loads none of the heavy libraries."""
    folder = write_frames(tmp_path / "clip", moving_frames(3))
    out = tmp_path / "out"
    code = (
        "import sys; from synth.make_pairs import main; "
        f"code = main(['--video', {str(folder)!r}, '--fps', '240', '--window', '3', '--out', {str(out)!r}]); "
        "heavy = {'torch', 'albumentations', 'skimage', 'pandas'} & set(sys.modules); print(heavy); "
        "sys.exit(code or len(heavy))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ENTRY.parents[1], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
