"""The fixtures in the repository, compared; and the comparison itself must notice a wrong network."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.spec import Weights
from models.zoo import MODELS
from tests.parity import fill
from tests.parity.__main__ import FIXTURES, main
from tests.parity.cases import FORWARDS, Result, _input, _real_weights, claimed, run, run_fixture

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
    assert "there is no such folder" in capsys.readouterr().err


def test_files_that_are_missing_or_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each fails in a line of its own; the others are compared nevertheless."""
    for name in ("a_whole", "b_no_npz", "c_short_npz", "d_short_json", "e_without_outputs"):
        for suffix in (".json", ".npz"):
            shutil.copy(FIXTURES / f"srvggnet_x4{suffix}", tmp_path / f"{name}{suffix}")
    (tmp_path / "b_no_npz.npz").unlink()
    for file in ("c_short_npz.npz", "d_short_json.json"):
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:1500])
    without = manifest_of("srvggnet_x4")
    del without["cases"][0]["outputs"]
    (tmp_path / "e_without_outputs.json").write_text(json.dumps(without))
    (tmp_path / "no_manifest.json").write_text("[1, 2]")
    assert main(["--fixtures", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines[:-1]] == [
        "srvggnet_x4 a: equal",
        "srvggnet_x4 a: different",
        "srvggnet_x4 a: different",
        "d_short_json -: different",
        "srvggnet_x4 a: different",
    ]
    assert "b_no_npz.npz, the expected outputs, is not beside b_no_npz.json" in lines[1]
    assert "BadZipFile" in lines[2] and "d_short_json.json is no manifest" in lines[3] and "'outputs'" in lines[4]
    assert lines[-1] == "parity: 1 of 5 cases equal, 0 skipped"


@pytest.mark.parametrize("option", ["--fixtures", "--weights"])
def test_folders_that_are_not_there(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "none"):
        assert main([option, str(tmp_path / name)]) == 2
        printed = capsys.readouterr()
        assert f"{option} {tmp_path / name}: there is no such folder" in printed.err and not printed.out
    assert main(["--fixtures", str(tmp_path)]) == 2
    assert "no fixtures (NAME.json with NAME.npz)" in capsys.readouterr().err


def test_rife_takes_the_scales_of_a_case() -> None:
    """The authors divide all of them by a user's factor; a case may do so, too."""
    for name, halved in (("rife_v36", [2, 1, 0.5]), ("rife_v4x", [8, 4, 2, 1, 0.5])):
        manifest = manifest_of(name)
        case = next(case for case in manifest["cases"] if case.get("weights") != "real")
        module = claimed()[name]()
        module.load_state_dict(fill.fill_state_dict(manifest))
        inputs = {spec["name"]: fill.make_input(spec) for spec in case["inputs"]}
        with torch.no_grad():
            usual = FORWARDS[name](module, inputs)
            same = FORWARDS[name](module, inputs | {"scale_list": torch.tensor(case["scale_list"])})
            other = FORWARDS[name](module, inputs | {"scale_list": torch.tensor(halved)})
        assert torch.equal(usual["flow"], same["flow"]) and other["flow"].shape == usual["flow"].shape
        assert not torch.allclose(usual["flow"], other["flow"])
        case["scale_list"] = halved
        manifest["cases"] = [case]
        assert [result.state for result in results_of(name, manifest)] == ["different"]


def test_real_weights_are_skipped_or_found_by_hash(tmp_path: Path) -> None:
    import torch

    from core.files import sha256_of

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
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        next(run(FIXTURES / "none"))


def test_inputs_that_are_stored(tmp_path: Path) -> None:
    """A photo's crop beside the expected outputs: uint8, height x width x RGB."""
    crop = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.savez(tmp_path / "case.npz", x=crop, grey=crop[..., 0], halves=crop / 255)
    spec = {"name": "x", "dist": "stored", "npz_key": "x", "shape": [1, 3, 5, 7]}
    found = _input(spec, tmp_path / "case.npz")
    assert found.dtype == torch.float32
    assert torch.equal(found[0, 2, 4], torch.tensor(crop[4, :, 2].tolist()) / 255)
    with pytest.raises(ValueError, match=r"x has shape \[1, 3, 5, 7\], the manifest says \[1, 3, 7, 5\]"):
        _input(spec | {"shape": [1, 3, 7, 5]}, tmp_path / "case.npz")
    for key in ("grey", "halves"):
        with pytest.raises(ValueError, match="is no uint8 image"):
            _input(spec | {"npz_key": key}, tmp_path / "case.npz")
    with pytest.raises(KeyError):
        _input(spec | {"npz_key": "none"}, tmp_path / "case.npz")


def test_weights_that_were_converted_count_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by the digest in the zoo, or by a digest of a package's part that the manifest lists."""
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "converted.safetensors").write_bytes(content)
    entries = (Weights(file="converted.safetensors", sha256=digest),)
    assert _real_weights({"name": "maxim_3s"}, tmp_path) is None
    monkeypatch.setitem(MODELS, "maxim-3s", replace(MODELS["maxim-3s"], weights=entries))
    assert _real_weights({"name": "maxim_3s"}, tmp_path) == tmp_path / "converted.safetensors"
    assert _real_weights({"name": "uformer_b"}, tmp_path) is None
    (tmp_path / "model.json").write_bytes(b"{}")
    listed = {"name": "other", "real_weights_sha256": {"model.json": hashlib.sha256(b"{}").hexdigest()}}
    assert _real_weights(listed, tmp_path) == tmp_path / "model.json"
