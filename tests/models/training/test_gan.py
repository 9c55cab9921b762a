"""GANs with the zoo's discriminator: from the command line, after a kill, on a classifier's backbone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.files import sha256_of
from core.weights_files import load_state_dict
from models import train
from models.nets.deblurgan_v2 import mobilenet_v2_features
from models.recipes import RECIPES, find_recipe
from models.training import checkpoint
from models.training.loop import _Training, plan
from models.training.start import load_backbone
from models.zoo import MODELS
from tests.models.training.training_data import make_pairs

ROOT = Path(__file__).resolve().parents[3]
# The program itself, its recipe saved after every step.
EVERY_STEP = """
import sys
from dataclasses import replace
from models import feature_nets, train
from models.recipes import RECIPES, find_recipe
recipe = replace(find_recipe("deblurgan-v2", "quick"), checkpoint_every=1)
RECIPES["deblurgan-v2"] = lambda profile: recipe
feature_nets.VGG19_BLOCKS = ((2, 6), (2, 8), (4, 8), (4, 8), (4, 8))
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

    assert train.main(words(pairs, tmp_path, recipe, model, 2)) == 0
    meta = json.loads((tmp_path / checkpoint.META).read_text())
    assert meta["finished"] and meta["feature_net"] == "random" and recipe in meta["switches"][0]
    state = load_file(tmp_path / checkpoint.STATE)
    updates = 10 if recipe == "deblurgan" else 2  # of the discriminator: five a step in WGAN-GP
    counted = [value for key, value in state.items() if key.startswith("adam-discriminator.") and key.endswith("step")]
    assert counted and all(int(value) == updates for value in counted)
    outputs = ("discriminator.full.model", "discriminator.patch.model")  # DeblurGAN's judges patches alone
    for output in ("discriminator.model",) if recipe == "deblurgan" else outputs:
        assert f"{output}.0.weight" in state


def test_kill_and_resume_gives_the_same_bytes(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 after some step of a GAN, then --resume, against a run that was left alone: both networks.

    What is killed is a process of its own.
    """
    recipe = replace(find_recipe("deblurgan-v2", "quick"), checkpoint_every=1)
    monkeypatch.setitem(RECIPES, "deblurgan-v2", lambda profile: recipe)

    def chosen(name: str) -> list[str]:
        return words(pairs, tmp_path / name, "deblurgan-v2", "deblurgan-v2-mobilenet-test", 3)

    assert train.main(chosen("whole")) == 0
    command = [sys.executable, "-c", EVERY_STEP, *chosen("cut")]
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / checkpoint.WEIGHTS).is_file() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not json.loads((tmp_path / "cut" / checkpoint.META).read_text())["finished"]
    assert train.main([*chosen("cut"), "--resume"]) == 0
    whole = sorted(path for path in (tmp_path / "whole").iterdir() if path.suffix in (".safetensors", ".json"))
    assert [path.name for path in whole] == ["checkpoint.json", "checkpoint.safetensors", "training_state.safetensors"]
    for path in whole:
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes(), path.name


def torchvision_name(key: str) -> str:
    """Written out from torchvision's MobileNetV2: block 1 has two convolutions, the others three."""
    block, *rest = key.split(".")
    if rest[0] != "conv":
        return f"features.{key}"
    two = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
    three = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
    return ".".join(["features", block, "conv", (two if block == "1" else three)[rest[1]], *rest[2:]])


@pytest.mark.parametrize("model", ["deblurgan-v2-mobilenet-test", "deblurgan-v2-mobilenet-dsc-test"])
@pytest.mark.parametrize("early", [True, False])
def test_a_mobilenet_file_fills_the_backbone(model: str, early: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    classifier = mobilenet_v2_features()
    state = {f"features.{key}" if early else torchvision_name(key): v for key, v in classifier.state_dict().items()}
    path = tmp_path / "mobilenet_v2.pth"
    torch.save(state | {"classifier.1.weight": torch.ones(1000, 1280)}, path)
    module = MODELS[model].build()
    load_backbone(module, MODELS[model], path)
    features = module.get_submodule("fpn.features").state_dict()
    assert len(features) > 200
    assert all(torch.equal(value, classifier.state_dict()[key]) for key, value in features.items())
    assert torch.equal(module.fpn.enc0[0][0].weight, classifier[0][0].weight)
    del state["features.3.conv.0.weight" if early else "features.3.conv.0.0.weight"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"1 keys are missing, such as '3\.conv\.0\.weight'"):
        load_backbone(module, MODELS[model], path)


def test_an_inception_file_fills_the_backbone(tmp_path: Path) -> None:
    """The public file has 1001 classes; the deblurring network never runs that layer."""
    from models.nets.inception_resnet_v2 import InceptionResNetV2

    state = InceptionResNetV2().state_dict()
    state |= {"last_linear.weight": torch.ones(1001, 1536), "last_linear.bias": torch.ones(1001)}
    torch.save(state, tmp_path / "inceptionresnetv2.pth")
    module = MODELS["deblurgan-v2-inception"].build()
    load_backbone(module, MODELS["deblurgan-v2-inception"], tmp_path / "inceptionresnetv2.pth")
    loaded = module.get_submodule("fpn.inception").state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.items() if "last_linear" not in key)


def test_training_starts_at_the_backbone_and_freezes_it_first(pairs: Path, tmp_path: Path) -> None:
    path = tmp_path / "mobilenet_v2.pth"
    torch.save({torchvision_name(key): v for key, v in mobilenet_v2_features().state_dict().items()}, path)
    arguments = words(pairs, tmp_path / "out", "deblurgan-v2", "deblurgan-v2-mobilenet-test", 2)
    config, _ = train.parse([*arguments, "--backbone", str(path)])
    training = _Training(plan(config))
    start = load_state_dict(path)["features.2.conv.1.0.weight"]
    inside = training.module.get_submodule("fpn.features.2.conv.3").weight
    assert torch.equal(inside, start)
    training.step(0)
    assert torch.equal(inside, start)
    training.step(1)
    assert not torch.equal(inside, start)
    assert train.main([*arguments, "--backbone", str(path)]) == 0
    meta = json.loads((tmp_path / "out" / checkpoint.META).read_text())
    digest = sha256_of(path)
    assert f"backbone starts at mobilenet_v2.pth ({digest[:8]})" in meta["switches"]
    assert meta["configuration"]["backbone"] == digest


def test_backbones_that_cannot_be(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = words(pairs, tmp_path / "out", "mimo-unet", "mimo-unet-test", 1)
    assert train.main([*arguments, "--backbone", str(tmp_path / "none.pth")]) == 2
    assert "none.pth does not exist; give the path of one" in capsys.readouterr().err
    torch.save({"features.0.0.weight": torch.ones(1)}, tmp_path / "file.pth")
    assert train.main([*arguments, "--backbone", str(tmp_path / "file.pth")]) == 2
    assert "mimo-unet-test has no part for them, leave it away" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
