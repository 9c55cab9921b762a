"""GANs with the zoo's discriminator: the recipes run from the command line; a killed run goes on to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models import checkpoint, train
from tests.models.training_data import make_pairs

ROOT = Path(__file__).resolve().parents[2]
# The program itself, its recipe saved after every step.
EVERY_STEP = """
import sys
from dataclasses import replace
from models import train
from models.recipes import RECIPES, find_recipe
recipe = replace(find_recipe("deblurgan-v2", "quick"), checkpoint_every=1)
RECIPES["deblurgan-v2"] = lambda profile: recipe
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"), side=64)  # batch norms: 2x2 values at the deepest level


def words(pairs: Path, out: Path, recipe: str, model: str, steps: int) -> list[str]:
    chosen = {"--pairs": pairs, "--out": out, "--recipe": recipe, "--model": model, "--steps": steps}
    fixed = ["--device", "cpu", "--threads", "1", "--batch", "1", "--feature-net", "random"]
    return [str(word) for pair in chosen.items() for word in pair] + fixed


@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        ("deblurgan", "deblurgan-test"),
        ("deblurgan-v2", "deblurgan-v2-mobilenet-test"),
        ("restore-mix", "deblurgan-v2-mobilenet-dsc-test"),
    ],
)
def test_the_recipes_run(recipe: str, model: str, pairs: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    assert train.main(words(pairs, tmp_path, recipe, model, 3)) == 0
    meta = json.loads((tmp_path / checkpoint.META).read_text())
    assert meta["finished"] and meta["feature_net"] == "random" and recipe in meta["switches"][0]
    state = load_file(tmp_path / checkpoint.STATE)
    updates = 15 if recipe == "deblurgan" else 3  # of the discriminator: five a step in WGAN-GP
    counted = [value for key, value in state.items() if key.startswith("adam-discriminator.") and key.endswith("step")]
    assert counted and all(int(value) == updates for value in counted)
    assert "discriminator.full.model.0.weight" in state and "discriminator.patch.model.0.weight" in state


def test_kill_and_resume_gives_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    """kill -9 after some step of a GAN, then --resume, against a run that was left alone: all files of both networks."""

    def command(name: str, *more: str) -> list[str]:
        chosen = words(pairs, tmp_path / name, "deblurgan-v2", "deblurgan-v2-mobilenet-test", 5)
        return [sys.executable, "-c", EVERY_STEP, *chosen, *more]

    def run(command: list[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=ROOT)

    run(command("whole"))
    killed = subprocess.Popen(command("cut"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / checkpoint.WEIGHTS).is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not json.loads((tmp_path / "cut" / checkpoint.META).read_text())["finished"]
    run(command("cut", "--resume"))
    whole = sorted(path for path in (tmp_path / "whole").iterdir() if path.suffix in (".safetensors", ".json"))
    assert [path.name for path in whole] == ["checkpoint.json", "checkpoint.safetensors", "training_state.safetensors"]
    for path in whole:
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes(), path.name
