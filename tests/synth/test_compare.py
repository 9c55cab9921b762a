"""The comparison runs on small scenes and real-like frames, and its figures are right where they are known."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from core.random_streams import stream
from synth import compare
from synth.truth import ghost_residual
from tests.synth.clips import moving_frames, write_frames


def test_rendered_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.csv"
    code = compare.main(["--seeds", "1", "--extents", "12", "--size", "160x96", "--out", str(out)])
    assert code == 0 and "tremor to 90 Hz" in capsys.readouterr().out
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert {row["method"] for row in rows} == {"plain", "trapezoid", "flow-fast", "flow", "flow-best"}
    quality = {(row["case"], row["method"]): float(row["quality"]) for row in rows}
    for case in {row["case"] for row in rows}:
        assert quality[case, "flow"] > quality[case, "trapezoid"] + 3


def test_real_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(11, speed_px=1.5))
    assert compare.main(["--frames", str(folder), "--fps", "240", "--interpolator", "crossfade,flow"]) == 0
    text = capsys.readouterr().out
    assert "every 2 (n = 3)" in text and "every 4" not in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    # A cross-fade is the trapezoid, and the flow is better than it.
    assert float(lines["crossfade"].split()[1]) == pytest.approx(float(lines["trapezoid"].split()[1]), abs=0.02)
    assert float(lines["flow"].split()[1]) > float(lines["trapezoid"].split()[1]) + 1


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        (["--interpolator", "magic"], "crossfade"),
        (["--triplets", str(tmp_path)], "frame10i11"),
        (["--size", "big"], "640x360"),
        (["--frames", str(write_frames(tmp_path / "two", moving_frames(2))), "--fps", "240"], "at least 9 frames"),
    ):
        assert compare.main(arguments) == 2
        assert word in capsys.readouterr().err


def test_ghost_residual_of_known_mixtures() -> None:
    """Shifts of a texture on a torus: the truth, the plain mean, and a mixture whose error is half of the plain's."""
    picture = stream(0, "ghosts").random((96, 160, 3)).astype(np.float32)
    path_px = np.stack([np.arange(0, 61.0), np.zeros(61)], axis=1)
    shifted = [np.roll(picture, int(x), axis=1) for x, _ in path_px]
    truth = np.sum(shifted[1:-1], axis=0) / 60 + (shifted[0] + shifted[-1]) / 120
    plain = np.mean(shifted[::6], axis=0)
    assert ghost_residual(plain, plain, truth, path_px, path_px[::6]) == pytest.approx(1)
    assert ghost_residual(truth, plain, truth, path_px, path_px[::6]) == 0
    half = ghost_residual((truth + plain) / 2, plain, truth, path_px, path_px[::6])
    assert half == pytest.approx(0.25, rel=1e-3)
    assert np.isnan(ghost_residual(plain, plain, truth, path_px * 0, path_px[::6] * 0))
