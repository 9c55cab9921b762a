"""highres-mlfa's first stage in trainings: frozen unless a recipe names it, and a trained one to start from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.weights_files import load_state_dict
from models import train
from models.recipes import RECIPES, find_recipe
from models.training import checkpoint
from models.training.loop import _Training, plan
from models.training.state import freeze
from models.zoo import MODELS
from tests.models.training.training_data import make_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"), side=48)


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a highres-atrous, as if trained: the last layer is not zero."""
    torch.manual_seed(11)
    path = tmp_path_factory.mktemp("stage-1") / "checkpoint.safetensors"
    path.write_bytes(checkpoint.pack(MODELS["highres-atrous-test"].build().state_dict()))
    return path


def words(pairs: Path, out: Path, recipe: str, steps: int, *more: object) -> list[str]:
    chosen = ["--pairs", pairs, "--out", out, "--recipe", recipe, "--model", "highres-mlfa-test", "--steps", steps]
    return [str(word) for word in (*chosen, "--device", "cpu", "--threads", "1", "--batch", "1", *more)]


def training(pairs: Path, out: Path, recipe: str, steps: int, *more: object) -> _Training:
    config, _ = train.parse(words(pairs, out, recipe, steps, *more))
    return _Training(plan(config))


def state_of(running: _Training) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in running.module.state_dict().items()}


def moved(running: _Training, start: dict[str, Tensor]) -> tuple[bool, bool]:
    """(something of the first stage, something of the second) is another than at the start."""
    changed = [key for key, value in running.module.state_dict().items() if not torch.equal(value, start[key])]
    first = [key for key in changed if key.startswith("first_stage.")]
    return bool(first), len(changed) > len(first)


@pytest.mark.parametrize("recipe", ["stfan-plain", "charbonnier", "edvr", "highres-atrous"])
def test_recipes_that_do_not_name_the_first_stage_leave_it_frozen(recipe: str, pairs: Path, tmp_path: Path) -> None:
    running = training(pairs, tmp_path, recipe, 2)
    start = state_of(running)
    running.step(0)
    running.step(1)
    assert moved(running, start) == (False, True)
    learning = {name for name, value in running.module.named_parameters() if value.requires_grad}
    assert learning and not any(name.startswith("first_stage.") for name in learning)


def test_its_own_recipe_trains_both_and_then_the_second(pairs: Path, tmp_path: Path) -> None:
    running = training(pairs, tmp_path, "highres-mlfa", 4)
    assert [stage.last for stage in running.plan.stages] == [2, 4]
    start = state_of(running)
    running.step(0)
    running.step(1)
    assert moved(running, start) == (True, True)
    start = state_of(running)
    running.step(2)
    running.step(3)
    assert moved(running, start) == (False, True)


def test_freeze_touches_only_what_is_named() -> None:
    module = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in ("built", "named", "free")})
    module["built"].requires_grad_(False)

    def learning() -> set[str]:
        return {name.split(".")[0] for name, value in module.named_parameters() if value.requires_grad}

    freeze(module, ("named.",), ("named.",))
    assert learning() == {"free"}
    freeze(module, ("named.",), ())
    assert learning() == {"named", "free"}
    freeze(module, (), ())
    assert learning() == {"named", "free"}


@pytest.mark.parametrize("recipe", ["highres-mlfa", "stfan-plain"])
def test_a_trained_first_stage_stays_as_it_is(recipe: str, pairs: Path, first_stage: Path, tmp_path: Path) -> None:
    arguments = words(pairs, tmp_path / "out", recipe, 3, "--backbone", first_stage)
    config, _ = train.parse(arguments)
    chosen = plan(config)
    assert [(stage.first, stage.last) for stage in chosen.stages] == [(0, 3)]
    if recipe == "highres-mlfa":
        assert chosen.stages[0].recipe.frozen == ("first_stage.",)
    running = _Training(chosen)
    blur = torch.rand(1, 5, 3, 48, 48) * 2 - 1
    with torch.no_grad():  # the second stage begins with what the first gives, not with the blurred image
        torch.testing.assert_close(running.module(blur), running.module.first_stage(blur[:, 2]), atol=1e-6, rtol=0)
        assert float((running.module(blur) - blur[:, 2]).abs().max()) > 1e-3
    assert train.main(arguments) == 0
    trained = load_state_dict(tmp_path / "out" / checkpoint.WEIGHTS)
    given = load_state_dict(first_stage)
    assert all(torch.equal(trained[f"first_stage.{key}"], value) for key, value in given.items())
    assert not torch.equal(trained["output.weight"], torch.zeros_like(trained["output.weight"]))
    meta = json.loads((tmp_path / "out" / checkpoint.META).read_text())
    assert any(said.startswith("backbone starts at checkpoint.safetensors") for said in meta["switches"])
    assert meta["configuration"]["backbone"]
    assert train.main(arguments) == 0  # finished output of the same configuration
    assert train.main(words(pairs, tmp_path / "out", recipe, 3)) == 2


def test_the_published_schedule_keeps_its_second_half(pairs: Path, first_stage: Path, tmp_path: Path) -> None:
    config, _ = train.parse([*words(pairs, tmp_path, "highres-mlfa", 1, "--backbone", first_stage)])
    paper = plan(type(config)(**{**vars(config), "profile": "paper", "steps": None, "batch": None}))
    assert paper.steps == 2_500_000 == find_recipe("highres-mlfa", "paper").stages[1].steps
    assert paper.stages[0].batch == 2 and len(RECIPES["highres-mlfa"]("paper").stages) == 2


def test_files_that_are_no_first_stage(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(MODELS["mimo-unet-test"].build().state_dict(), tmp_path / "other.pth")
    torch.save(MODELS["highres-mlfa-test"].build().state_dict(), tmp_path / "both.pth")
    for name in ("other.pth", "both.pth"):
        assert train.main(words(pairs, tmp_path / "out", "highres-mlfa", 2, "--backbone", tmp_path / name)) == 2
        error = capsys.readouterr().err
        assert f"{name}: this is a checkpoint of another network than highres-atrous, the first stage of" in error
        assert error.count("\n") == 1
    words_of_one = words(pairs, tmp_path / "out", "highres-atrous", 2, "--backbone", tmp_path / "other.pth")
    words_of_one[words_of_one.index("highres-mlfa-test")] = "highres-atrous-test"
    assert train.main(words_of_one) == 2
    assert "highres-atrous-test has no part for them, leave it away" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
