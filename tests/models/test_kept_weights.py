"""Weights that the project keeps: made of a training, found, checked, and used by restore.py and the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmark import doctor
from benchmark.method_work import command
from benchmark.methods import expand_methods, networks
from benchmark.plan import RunConfig, decided
from benchmark.trainings import untrained
from core import files
from models import kept_weights
from models.network_weights import load_into
from models.restore import choose_weights
from models.training import checkpoint
from models.zoo import MODELS

NAME = "mimo-unet-test"
META = {
    "model": NAME,
    "recipe": "photographs",
    "profile": "quick",
    "finished": True,
    "steps": 5,
    "steps_done": 5,
    "pairs": 6,
    "feature_net": "",
    "seed": 3,
}


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished training; what is kept goes to a folder of its own."""
    monkeypatch.setattr(kept_weights, "FOLDER", tmp_path / "pretrained")
    monkeypatch.setattr("models.restore.DEFAULT_OUT", tmp_path / "trainings")
    monkeypatch.setenv("DEBLUR_BENCH_WEIGHTS", str(tmp_path / "weights"))
    torch.manual_seed(0)
    write(tmp_path / "run", {key: value.clone() for key, value in MODELS[NAME].build().state_dict().items()})
    return tmp_path / "run"


def write(folder: Path, state: dict[str, torch.Tensor], **changes: object) -> None:
    digest = files.write_bytes(folder / checkpoint.WEIGHTS, checkpoint.pack(state))
    more = {
        "weights_sha256": digest,
        "loss": "1 l1",
        "switches": ["s"],
        "validation": {"psnr": 30.0, "psnr_blur": 29.5},
        "configuration": {"batch": 2},
    }
    files.write_json(folder / checkpoint.META, META | more | changes)


def test_kept_weights_are_the_trained_ones_in_half_precision(
    training: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kept_weights.kept_weights(NAME) is None
    assert kept_weights.main([str(training), "--trained-on", "two photographs"]) == 0
    found = kept_weights.kept_weights(NAME)
    assert found is not None and found.card["trained_on"] == "two photographs" and found.card["steps"] == 5
    before, after = load_file(training / checkpoint.WEIGHTS), load_file(found.path)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert after[key].dtype == (torch.float16 if value.is_floating_point() else value.dtype)
        assert torch.equal(after[key].float(), value.half().float())
    assert f"{found.path.stat().st_size / 1e6:.2f} MB" in capsys.readouterr().out


def test_a_training_that_went_on_from_them_counts_their_steps(training: Path) -> None:
    first = kept_weights.keep(training, "two photographs")
    state = load_file(training / checkpoint.WEIGHTS)
    write(training, state, configuration={"start": first.card["weights_sha256"]}, steps=7)
    second = kept_weights.keep(training, "three photographs").card
    assert second["steps"] == 12 and second["before"] == first.card
    write(training, state, configuration={"start": "0" * 64}, steps=7)  # at other weights
    third = kept_weights.keep(training, "three photographs").card
    assert third["steps"] == 7 and "before" not in third


def test_the_mean_with_what_it_started_at(training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = kept_weights.keep(training, "two photographs")
    old = load_file(first.path)
    state = {key: value + 1 if value.is_floating_point() else value for key, value in old.items()}
    write(training, state, configuration={"start": first.card["weights_sha256"]}, steps=7)
    assert kept_weights.main([str(training), "--trained-on", "three photographs", "--share", "0.25"]) == 0
    mixed = kept_weights.kept_weights(NAME)
    assert mixed is not None and mixed.card["share"] == 0.25 and mixed.card["before"] == first.card
    assert mixed.card["validation"] is None and mixed.card["steps"] == 12
    assert mixed.card["switches"] == ["s", "weights: 0.25 of this training's, 0.75 of those it started at"]
    for key, value in load_file(mixed.path).items():
        if value.is_floating_point():
            assert torch.allclose(value.float(), old[key].float() + 0.25, atol=2e-3), key
    capsys.readouterr()
    assert (
        kept_weights.main([str(training), "--trained-on", "three", "--share", "0.5"]) == 2
    )  # the kept ones are others now
    assert "did not start at the weights that are kept" in capsys.readouterr().err
    assert kept_weights.main([str(training), "--trained-on", "three", "--share", "0"]) == 2
    assert "above 0 and at most 1, got 0" in capsys.readouterr().err


def test_who_uses_them(training: Path) -> None:
    """A quick benchmark without other weights does; one that trains another length, the paper's profile or --retrain
    does not. restore.py takes them where there is no training of the user's own."""
    with pytest.raises(ValueError, match="there are no weights"):
        choose_weights(NAME, None)
    kept_weights.keep(training, "two photographs")
    found = kept_weights.kept_weights(NAME)
    assert found is not None
    asked = expand_methods([NAME])
    config = decided(RunConfig(methods=asked))
    (network,) = networks(config.methods)
    weights = network.weights
    assert weights is not None and (weights.path, weights.origin) == (found.path, "kept")
    assert (weights.trained_on, weights.steps) == ("two photographs (kept in models/pretrained)", 5)
    assert weights.profile == "kept"  # neither quick nor a paper's
    (line,) = [finding.line() for finding in doctor.weights(config)]
    assert f"{NAME}.safetensors fits" in line
    assert weights.sha256 == files.sha256_of(found.path)
    assert untrained(config) == []
    for other in (
        RunConfig(methods=asked, retrain=True),
        RunConfig(methods=asked, steps=9),
        RunConfig(methods=asked, profile="paper"),
    ):
        (network,) = untrained(decided(other))
        assert network.name == NAME and network.weights is None
        assert ("--retrain" in command(network, other)) == other.retrain
    assert choose_weights(NAME, None) == found.path
    mine = training / checkpoint.WEIGHTS
    (network,) = networks(decided(RunConfig(methods=asked, weights=((NAME, mine),))).methods)
    assert network.weights is not None and (network.weights.path, network.weights.origin) == (mine, "given")
    (network,) = networks(decided(RunConfig(methods=asked, weights=((NAME, found.path),))).methods)
    assert network.weights == weights, "named by the user, too, they are what they are"


def test_what_cannot_be_kept(training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kept_weights.main([str(tmp_path), "--trained-on", "nothing"]) == 2
    assert "no finished training here" in capsys.readouterr().err
    state = load_file(training / checkpoint.WEIGHTS)
    first = next(iter(state))
    write(training, state | {first: torch.full_like(state[first], 1e6)})
    with pytest.raises(ValueError, match="too large for half precision"):
        kept_weights.keep(training, "two photographs")
    write(training, state, finished=False)
    with pytest.raises(ValueError, match="no finished training"):
        kept_weights.keep(training, "two photographs")


def test_changed_files_are_noticed(training: Path) -> None:
    kept_weights.keep(training, "two photographs")
    path = kept_weights.FOLDER / f"{NAME}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="not the file of its card"):
        kept_weights.kept_weights(NAME)
    (kept_weights.FOLDER / f"{NAME}.json").write_text("{")
    with pytest.raises(ValueError, match="the card of the kept weights is missing or damaged"):
        kept_weights.kept_weights(NAME)


def test_a_shared_tensor_is_kept_once(tmp_path: Path, training: Path) -> None:
    """DeblurGAN-v2 on MobileNet knows its backbone under two names; a file with one of them loads strictly."""
    name = "deblurgan-v2-mobilenet-dsc"
    module = MODELS[name].build()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    write(tmp_path / "shared", state, model=name)
    found = kept_weights.keep(tmp_path / "shared", "two photographs")
    assert found.path.stat().st_size < 2.6e6
    other = MODELS[name].build()
    load_into(other, found.path, MODELS[name])
    for key, value in other.state_dict().items():
        assert torch.equal(value, state[key].half().float() if value.is_floating_point() else state[key]), key
    once = load_file(found.path)
    once.pop("fpn.td1.0.pointwise.weight")
    files.write_bytes(tmp_path / "less.safetensors", checkpoint.pack(once))
    with pytest.raises(ValueError, match=r"another network.*td1"):
        load_into(other, tmp_path / "less.safetensors", MODELS[name])
