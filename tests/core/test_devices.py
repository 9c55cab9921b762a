"""Devices that are not there, or are none: one sentence in every command that takes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import cost
from benchmark import run as benchmark_run
from benchmark.studies import operators
from core import devices
from core.image_files import write_image
from models import restore, train
from synth import make_pairs
from synth.gaps_in_torch import choose_device, torch_device

NONE = [] if torch.cuda.is_available() else ["cuda"]
NONE += [] if torch.backends.mps.is_available() else ["mps"]
ABSENT = [*NONE, "cuda:99"]
UNKNOWN = ["gpu", "tpu", "cuda:-1", "cuda:x", "meta", "xpu", "vulkan", "cpu:1", "", "CUDA", "cuda:0,1", "x" * 500]

COMMANDS: dict[str, Callable[[Path, str], int]] = {
    "make_pairs": lambda out, name: make_pairs.main(["--device", name, "--out", str(out)]),
    "train": lambda out, name: train.main(
        ["--model", "mimo-unet-test", "--pairs", str(out), "--device", name, "--out", str(out)]
    ),
    "restore": lambda out, name: restore.main([str(out.parent / "a.png"), str(out / "b.png"), "--device", name]),
    "run": lambda out, name: benchmark_run.main(["--methods", "identity", "--device", name, "--out", str(out)]),
    "cost": lambda out, name: cost.main(["--methods", "identity", "--device", name]),
    "operators": lambda out, name: operators.main(["--device", name]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", [*ABSENT, "gpu", "meta", "cuda:x"])
def test_one_sentence(tmp_path: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", np.zeros((16, 16, 3), np.uint8))
    code = COMMANDS[command](tmp_path / "out", name)
    err = capsys.readouterr().err
    last = err.strip().splitlines()[-1]  # restore.py has said which weights it takes
    assert code == 2 and err.count("\n") <= 2 and (repr(name) in last or f"device {name} " in last), err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_names(name: str) -> None:
    for choose in (devices.choose, choose_device):
        with pytest.raises(ValueError, match="device is") as error:
            choose(name)
        assert len(str(error.value)) < 200


def test_apples_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.choose("mps") == torch.device("mps") == torch_device(choose_device("mps"))
    assert devices.choose("auto").type != "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"Apple's GPU\) was asked for"):
        devices.choose("mps")


def test_one_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.choose("cuda:1") == torch.device("cuda:1") and devices.choose("auto") == torch.device("cuda")
    with pytest.raises(ValueError, match="'cuda:2' was asked for, but torch sees only cuda:0, cuda:1"):
        devices.choose("cuda:2")
