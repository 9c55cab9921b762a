"""Synthesis on a Dask cluster of two worker processes gives the bytes of the serial run; refusals in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synth import make_pairs
from tests.synth.clips import moving_frames, tree, write_frames


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("more", [["--window", "5"], ["--window", "3", "--stride", "1", "--camera", "saturated"]])
def test_same_bytes_as_the_serial_run(address: str, tmp_path: Path, more: list[str]) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(11, speed_px=4.0))
    common = ["--video", str(folder), "--fps", "240", "--interp", "8x", *more]
    assert make_pairs.main([*common, "--workers", "1", "--out", str(tmp_path / "serial")]) == 0
    assert make_pairs.main([*common, "--scheduler", address, "--out", str(tmp_path / "cluster")]) == 0
    serial, remote = tree(tmp_path / "serial"), tree(tmp_path / "cluster")
    assert serial.keys() == remote.keys()
    assert all(serial[name] == remote[name] for name in serial if not name.endswith("run.json"))


def test_a_scheduler_that_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("core.pool.ANSWER_S", 1)
    folder = write_frames(tmp_path / "clip", moving_frames(5))
    arguments = ["--video", str(folder), "--fps", "240", "--window", "3", "--out", str(tmp_path / "out")]
    assert make_pairs.main([*arguments, "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers" in capsys.readouterr().err.strip().splitlines()[-1]
    assert make_pairs.main([*arguments, "--scheduler", "127.0.0.1"]) == 2
    assert "takes an address such as tcp://127.0.0.1:8786, got '127.0.0.1'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # no set was begun
    assert make_pairs.main(arguments) == 0
    # A set that is finished needs no cluster.
    assert make_pairs.main([*arguments, "--scheduler", "tcp://127.0.0.1:1"]) == 0
