"""--extend: a finished training goes on with more steps, in its folder or in one of its own, through kills too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core import command_line
from models.training import checkpoint
from models.training.loop import TrainConfig, train
from tests.models.training.training_data import make_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(autouse=True)
def _fresh_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "_noted", set())


def config(pairs: Path, out: Path, **changes: object) -> TrainConfig:
    common = TrainConfig(model="mimo-unet-test", pairs=(pairs,), steps=3, out=out, device="cpu", threads=1)
    return replace(common, **changes)


def test_it_goes_on_from_the_finished_one(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = train(config(pairs, tmp_path), resume=False)
    kept = {path.name: path.read_bytes() for path in short.folder.iterdir() if path.is_file()}
    long = train(config(pairs, tmp_path, steps=5, extend=True), resume=False)
    assert long.finished and long.meta["steps_done"] == 5 and long.folder != short.folder
    extends = {"steps": 3, "weights_sha256": short.meta["weights_sha256"]}
    assert long.meta["configuration"]["extends"] == extends
    assert {path.name: path.read_bytes() for path in short.folder.iterdir() if path.is_file()} == kept
    fresh = train(config(pairs, tmp_path / "fresh", steps=5), resume=False)
    assert "extends" not in fresh.meta["configuration"]
    one, other = load_file(long.weights), load_file(fresh.weights)
    assert any(not torch.equal(one[key], other[key]) for key in one)  # the shorter one had its own learning rates
    again = train(config(pairs, tmp_path, steps=5, extend=True), resume=False)
    assert again.meta == long.meta
    assert "--extend goes on from it" not in capsys.readouterr().err


def test_in_the_same_folder_and_to_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(config(pairs, tmp_path, folder=tmp_path / name), resume=False)
    with pytest.raises(ValueError, match=r"steps is 3, not 5\); add --extend to go on from it, choose another --out"):
        train(config(pairs, tmp_path, folder=tmp_path / "a", steps=5), resume=False)
    whole = train(config(pairs, tmp_path, folder=tmp_path / "a", steps=5, extend=True), resume=False)
    real, calls = checkpoint.pack, []

    def killed(tensors):
        calls.append(1)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "pack", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config(pairs, tmp_path, folder=tmp_path / "b", steps=5, extend=True), resume=False)
    assert calls and checkpoint.pack is real
    with pytest.raises(ValueError, match="unfinished training; add --resume"):
        train(config(pairs, tmp_path, folder=tmp_path / "b", steps=5, extend=True), resume=False)
    resumed = train(config(pairs, tmp_path, folder=tmp_path / "b", steps=5, extend=True), resume=True)
    assert resumed.meta == whole.meta and resumed.weights.read_bytes() == whole.weights.read_bytes()
    states = [(tmp_path / name / checkpoint.STATE).read_bytes() for name in ("a", "b")]
    assert states[0] == states[1]


def test_what_there_is_to_go_on_from_is_said(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no finished training with fewer than 3 steps"):
        train(config(pairs, tmp_path, extend=True), resume=False)
    train(config(pairs, tmp_path), resume=False)
    assert capsys.readouterr().err.count("--extend") == 0
    train(config(pairs, tmp_path, steps=4), resume=False)
    err = capsys.readouterr().err
    assert "holds a finished training of 3 steps that is otherwise the same; --extend goes on from it" in err
    with pytest.raises(ValueError, match="no finished training with fewer than 6 steps"):
        train(config(pairs, tmp_path, steps=6, seed=1, extend=True), resume=False)
