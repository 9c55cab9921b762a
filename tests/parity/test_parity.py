"""The fixtures in the repository, compared; and the comparison itself must notice a wrong network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.parity import fill
from tests.parity.__main__ import FIXTURES, main
from tests.parity.cases import Result, claimed, run, run_fixture

CHANGED_KEY = "Decoder.1.layers.3.main.0.main.0.weight"


def manifest_of(name: str) -> dict:
    return fill.load_manifest(FIXTURES / f"{name}.json")


def results_of(name: str, manifest: dict) -> list[Result]:
    return list(run_fixture(FIXTURES / f"{name}.json", manifest, None))


@pytest.mark.parametrize("name", sorted(claimed()))
def test_fixture(name: str) -> None:
    results = results_of(name, manifest_of(name))
    assert results
    real = {case["case"] for case in manifest_of(name)["cases"] if case.get("weights") == "real"}
    assert len(real) < len(results)
    for result in results:  # the published weights are not in the repository
        assert result.state == ("skipped" if result.case in real else "equal"), result


@pytest.mark.parametrize("name", sorted(claimed()))
def test_keys_have_the_authors_order_and_count(name: str) -> None:
    manifest = manifest_of(name)
    module = claimed()[name]()
    assert list(module.state_dict()) == [entry[0] for entry in manifest["state_dict"]]
    assert sum(p.numel() for p in module.parameters()) == manifest["param_count"]


def test_dropout_can_be_switched_off_in_training_mode() -> None:
    """MIMO-UNet+ has no norms: in training mode its dropout alone makes the difference to the stored numbers."""
    manifest = manifest_of("mimounet_plus")
    states = []
    for mode in ("train_nodrop", "train", "keep"):
        manifest["cases"][0]["mode"] = mode
        (result,) = results_of("mimounet_plus", manifest)
        states.append(result.state)
    assert states == ["equal", "different", "different"]  # a new module, kept as it is, is in training mode


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_one_changed_weight_is_noticed(value: float) -> None:
    manifest = manifest_of("mimounet")
    shape = next(entry[1] for entry in manifest["state_dict"] if entry[0] == CHANGED_KEY)
    manifest["constants"] = {CHANGED_KEY: {"shape": shape, "values": [value] * (shape[0] * shape[1] * 9)}}
    assert [result.state for result in results_of("mimounet", manifest)] == ["different"]


def test_another_layout_is_noticed() -> None:
    manifest = manifest_of("mimounet")
    manifest["state_dict"][0], manifest["state_dict"][1] = manifest["state_dict"][1], manifest["state_dict"][0]
    (result,) = results_of("mimounet", manifest)
    assert (result.state, result.detail) == ("different", "order of keys")
    manifest["state_dict"][0][0] = "Encoder.renamed"
    (result,) = results_of("mimounet", manifest)
    assert result.state == "different" and "2 keys differ" in result.detail
    manifest = manifest_of("mimounet")
    manifest["cases"][0]["outputs"][0]["shape"] = [1, 3, 1, 1]
    (result,) = results_of("mimounet", manifest)
    assert result.state == "different" and "shape" in result.detail


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fixture under another file name counts; one of a network that is not built here does not."""
    for suffix in (".json", ".npz"):
        shutil.copy(FIXTURES / f"mimounet{suffix}", tmp_path / f"second_set_1{suffix}")
    unknown = manifest_of("mimounet") | {"name": "a_network_to_come"}
    (tmp_path / "a_network_to_come.json").write_text(json.dumps(unknown))
    assert main(["--fixtures", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "parity: 1 of 1 cases equal, 1 skipped"

    wrong = manifest_of("mimounet")
    wrong["gain"] = 0.6
    (tmp_path / "second_set_1.json").write_text(json.dumps(wrong))
    assert main(["--fixtures", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "parity: 0 of 1 cases equal, 1 skipped"
    assert main(["--fixtures", str(tmp_path / "none")]) == 2
    assert "no fixtures" in capsys.readouterr().err


def test_real_weights_are_skipped_or_found_by_hash(tmp_path: Path) -> None:
    import torch

    from synth.atomic import sha256_of

    manifest = manifest_of("mimounet")
    manifest["cases"][0]["weights"] = "real"
    assert [result.state for result in results_of("mimounet", manifest)] == ["skipped"]
    (tmp_path / "deep").mkdir()
    stored = tmp_path / "deep" / "renamed.pkl"
    torch.save({"model": fill.fill_state_dict(manifest)}, stored)
    manifest["notes"] = [f"published file, sha256 {sha256_of(stored)}"]
    (found,) = run_fixture(FIXTURES / "mimounet.json", manifest, tmp_path)
    assert found.state == "equal"


def test_every_fixture_here_is_claimed() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == set(claimed())
    with pytest.raises(FileNotFoundError, match="no fixtures"):
        next(run(FIXTURES / "none"))
