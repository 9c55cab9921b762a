"""A network's weights in the files of training programs: wrappers, prefixes, running averages, extras, old formats."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import pathlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from core import command_line, weights_files
from core.fitting import load_fitting


class Norm(nn.Module):
    """A network whose own keys begin with "model.", with counters of batches."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))


@pytest.fixture(autouse=True)
def _fresh_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "_noted", set())


def loaded(path: Path) -> dict[str, Tensor]:
    module = Norm(seed=9)
    load_fitting(module, path, "norm", lambda state, _: state)
    return module.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


PREFIXES = ["", "module.", "_orig_mod.", "model.", "net_g.", "netG.", "generator.", "module._orig_mod.", "netG.module."]
PREFIXES += ["_orig_mod.module.model.", "generator.module.net_g.", "model.model."]


@pytest.mark.parametrize("wrapped", ["", "state_dict", "params", "netG", "state_dict.model", "network.G.params"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_in_any_nesting(tmp_path: Path, prefix: str, wrapped: str) -> None:
    state = Norm().state_dict()
    content: dict = under(prefix, state)
    for name in reversed([name for name in wrapped.split(".") if name]):
        content = {"epoch": 3, name: content}
    torch.save(content, tmp_path / "net.pth")
    assert same(loaded(tmp_path / "net.pth"), state)


@pytest.mark.parametrize("kind", ["generator_ema", "state_dict_ema", "params_ema", "beside", "averaged", "prefix"])
def test_the_running_average_is_preferred_and_said(tmp_path: Path, kind: str, capsys) -> None:
    plain, average = Norm(1).state_dict(), Norm(2).state_dict()
    contents = {
        "generator_ema": {"state_dict": under("generator.", plain) | under("generator_ema.", average)},
        "state_dict_ema": {"state_dict": plain, "state_dict_ema": under("module.", average)},
        "params_ema": {"params": plain, "params_ema": average},
        "beside": {"model": plain, "model_ema": average, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
        "prefix": under("model.", plain) | under("ema.module.", average) | {"step_counter": torch.tensor(3)},
        "averaged": {"model": plain, "swa_model": under("module.", average) | {"n_averaged": torch.tensor(5)}},
    }
    torch.save(contents[kind], tmp_path / "net.pth")
    assert same(loaded(tmp_path / "net.pth"), average)
    assert "the running average" in capsys.readouterr().err


def test_a_running_average_that_lacks_layers_is_left_out_and_said(tmp_path: Path, capsys) -> None:
    plain, average = Norm(1).state_dict(), Norm(2).state_dict()
    del average["model.1.running_var"]
    torch.save({"state_dict": plain, "state_dict_ema": average}, tmp_path / "net.pth")
    assert same(loaded(tmp_path / "net.pth"), plain)
    said = capsys.readouterr().err
    assert "running average (state_dict_ema) is left out" in said and "model.1.running_var" in said


def test_missing_counters_are_filled_in(tmp_path: Path) -> None:
    state = Norm().state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) == len(state) - 1
    for name, content in (("zip.pth", old), ("old.pth", under("module.", old))):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=name == "zip.pth")
        assert same(loaded(tmp_path / name), state | {"model.1.num_batches_tracked": torch.tensor(0)})
    save_file(old, tmp_path / "net.safetensors")
    assert same(loaded(tmp_path / "net.safetensors"), state)


EXTRAS = {
    "args": argparse.Namespace(lr=1e-4, inner=argparse.Namespace(name="x")),
    "hyper": collections.defaultdict(list, {"a": [1]}),
    "array": np.arange(6.0).reshape(2, 3),
    "half": np.float16(1.5),
    "bool": np.bool_(True),
    "date": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
    "delta": datetime.timedelta(seconds=3),
    "path": pathlib.PurePosixPath("/a/b"),
    "own path": Path("/a/b"),
    "counter": collections.Counter("aab"),
    "set": {1, 2},
    "number": decimal.Decimal("1.5"),
    "complex": 1j,
    "bytes": b"abc",
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "size": torch.Size([1, 2]),
    "class": torch.optim.Adam,
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("extra", EXTRAS)
def test_harmless_extras(tmp_path: Path, extra: str, old: bool) -> None:
    state = Norm().state_dict()
    content = {"before": EXTRAS[extra], "state_dict": state, "after": [EXTRAS[extra]]}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=not old)
    assert same(loaded(tmp_path / "net.pth"), state)


def test_a_whole_module_and_parameters(tmp_path: Path) -> None:
    module = Norm(4)
    torch.save(module, tmp_path / "module.pth")
    torch.save(dict(module.named_parameters()) | dict(module.named_buffers()), tmp_path / "parameters.pth")
    for path in tmp_path.iterdir():
        assert same(loaded(path), module.state_dict())


def test_two_networks_that_fit_are_refused(tmp_path: Path) -> None:
    torch.save({"netG_A": Norm(1).state_dict(), "netG_B": Norm(2).state_dict()}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="holds two networks that fit norm, netG_A and netG_B"):
        loaded(tmp_path / "net.pth")
    state = Norm(3).state_dict()
    torch.save({"netG_A": state, "netG_B": state}, tmp_path / "net.pth")  # the same values twice
    assert same(loaded(tmp_path / "net.pth"), state)


def test_other_parts_are_named(tmp_path: Path, capsys) -> None:
    state = Norm().state_dict()
    torch.save(under("generator.", state) | {"discriminator.0.weight": torch.ones(1)}, tmp_path / "net.pth")
    assert same(loaded(tmp_path / "net.pth"), state)
    assert "left out: discriminator" in capsys.readouterr().err


def test_what_is_left_over_without_a_prefix_is_refused(tmp_path: Path) -> None:
    torch.save(Norm().state_dict() | {"extra.weight": torch.ones(1)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"another network than norm \(1 are left over, such as 'extra.weight'\)"):
        loaded(tmp_path / "net.pth")


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.int8, torch.complex64])
def test_other_numbers_than_floats_are_refused(tmp_path: Path, kind: torch.dtype) -> None:
    state = Norm().state_dict()
    state["model.0.weight"] = state["model.0.weight"].to(kind)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"model\.0\.weight.*(float8|int8|type)"):
        loaded(tmp_path / "net.pth")
    if kind != torch.complex64:
        save_file(state, tmp_path / "net.safetensors")
        with pytest.raises(ValueError, match=r"model\.0\.weight"):
            loaded(tmp_path / "net.safetensors")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_shorter_and_longer_floats_are_read(tmp_path: Path, kind: torch.dtype) -> None:
    state = {key: value.to(kind) if value.is_floating_point() else value for key, value in Norm().state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    assert same(loaded(tmp_path / "net.pth"), {k: v.to(Norm().state_dict()[k].dtype) for k, v in state.items()})


def test_views_of_one_storage_and_expanded_tensors(tmp_path: Path) -> None:
    state = Norm().state_dict()
    block = torch.randn(200)
    state["model.0.bias"] = block[10:18:2]
    state["model.2.weight"] = block[20:32].view(4, 3, 1, 1).transpose(0, 1)
    state["model.2.bias"] = torch.tensor(0.25).expand(3)
    torch.save(state, tmp_path / "net.pth")
    assert same(loaded(tmp_path / "net.pth"), state)


def test_wheels_and_backbones_read_without_a_network_too(tmp_path: Path) -> None:
    state = Norm().state_dict()
    torch.save({"state_dict": under("_orig_mod.module.", state), "args": EXTRAS["args"]}, tmp_path / "net.pth")
    assert same(weights_files.load_state_dict(tmp_path / "net.pth"), state)
