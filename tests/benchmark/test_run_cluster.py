"""Scoring on a Dask cluster of two worker processes: the same scores.csv; refusals in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.results import MethodRow, read_rows
from tests.benchmark.run_data import World, build_here, quick_cost


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.run.measure_apart", quick_cost)
        patch.setattr("benchmark.run.build_report", build_here)
        yield World(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_same_scores_as_threads(world: World, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("threads", "identity,richardson-lucy", "--workers", "2") == 0
    assert world.run("cluster", "identity,richardson-lucy", "--scheduler", address) == 0
    assert f"threads of the cluster at {address}" in capsys.readouterr().err
    assert world.bytes_of("cluster") == world.bytes_of("threads")


def test_a_bad_image_is_named_by_its_worker(world: World, address: str, tmp_path: Path) -> None:
    images = tmp_path / "theirs"
    for path in (world.data / "GOPRO_Large/test").rglob("blur/*.png"):
        copy = images / path.parent.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes()[: 200 if path.name == "000002.png" else None])
    words = (f"folder:{images}", "--protocols", "gopro-linear")
    assert world.run("broken-cluster", *words, "--scheduler", address) == 1
    (row,) = read_rows(world.home / "broken-cluster" / "methods.csv", MethodRow)
    assert "2 of 6 images failed" in row.status
    assert "000002.png" in row.status


def test_no_scheduler(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("core.pool.ANSWER_S", 1)
    assert world.run("alone", "identity", "--scheduler", "tcp://127.0.0.1:1") == 2
    assert "no Dask scheduler answers" in capsys.readouterr().err
    assert not (world.home / "alone").exists()
