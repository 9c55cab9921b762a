"""Two processes under torchrun equal one with the double batch."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.recipes import RECIPES
from tests.models.training.training_data import make_pairs

ROOT = Path(__file__).resolve().parents[3]

# What every process runs: 5 steps of plain gradient descent; the first one writes its gradient and its weights.
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from safetensors.torch import save_file
from models.training import processes
from models.recipes import RECIPES, find_recipe
from models.training.loop import TrainConfig, _Training, plan
from models.training.loop import reproducible
recipe = replace(find_recipe("mimo-unet", "paper"), optimiser="sgd", learning_rate=0.01)
RECIPES["mimo-unet"] = lambda profile: recipe
config = TrainConfig(model="mimo-unet-test", pairs=(Path(sys.argv[2]),), steps=5, batch=int(sys.argv[4]), device="cpu",
                     threads=1, profile="paper", out=Path(sys.argv[3]).parent)
chosen = plan(config)
with reproducible(config.seed, config.threads), processes.together(chosen.device):
    training = _Training(chosen)
    kept = {"loss": torch.tensor(training.step(0))}
    parameters = [(n, p) for n, p in training.module.named_parameters() if p.grad is not None]
    kept |= {f"gradient.{n}": p.grad.clone().contiguous() for n, p in parameters}
    for step in range(1, 5):
        training.step(step)
    kept |= {f"weights.{n}": v.clone().contiguous() for n, v in training.module.state_dict().items()}
    if processes.is_writer():
        save_file(kept, sys.argv[3])
"""


def torchrun(processes: int, *arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    run = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]


def test_two_processes_equal_one_with_the_double_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = make_pairs(tmp_path / "pairs", count=10)
    script = tmp_path / "steps.py"
    script.write_text(SCRIPT)
    torchrun(2, str(script), str(ROOT), str(pairs), str(tmp_path / "two.safetensors"), "2")
    monkeypatch.setitem(RECIPES, "mimo-unet", RECIPES["mimo-unet"])  # the script changes it
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", [str(script), str(ROOT), str(pairs), str(tmp_path / "one.safetensors"), "4"])
    runpy.run_path(str(script))
    together, alone = (load_file(tmp_path / f"{name}.safetensors") for name in ("two", "one"))
    assert abs(float(together["loss"] - alone["loss"])) < 1e-6
    for prefix, bound in (("gradient.", 1e-5), ("weights.", 1e-6)):
        keys = [key for key in alone if key.startswith(prefix)]
        two, whole = (torch.cat([content[key].flatten() for key in keys]) for content in (together, alone))
        assert keys and float((two - whole).norm() / whole.norm()) < bound, prefix


def test_torchrun_trains_and_one_process_writes(tmp_path: Path) -> None:
    pairs = make_pairs(tmp_path / "pairs")
    common = ["--model", "mimo-unet-test", "--pairs", str(pairs), "--steps", "3", "--device", "cpu", "--threads", "1"]
    torchrun(2, str(ROOT / "models" / "train.py"), *common, "--out", str(tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["checkpoint.json", "checkpoint.safetensors", "tensorboard", "training_state.safetensors"]
