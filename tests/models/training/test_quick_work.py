"""The budget of work of a quick training: fewer steps for a network that needs more, whatever the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.macs import macs_of_sample
from models.recipes import Recipe, find_recipe
from models.spec import Method, ModelSpec
from models.training.plan import Plan, TrainConfig, plan
from models.training.stages import PlannedStage, planned_stages
from models.zoo import MODELS
from tests.models.training.training_data import make_pairs

MACS_PER_PX = 3 * 3 * 3 * 3  # a 3x3 convolution of 3 to 3 channels


class Adapted:
    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        return (self.module(frame[None])[0] for frame in frames)


def adapt(spec: ModelSpec, module: nn.Module) -> Method:
    return Adapted(module)


def one_convolution(frames: int = 1) -> ModelSpec:
    return ModelSpec(
        name="one-convolution",
        task="deblur",
        build=lambda: nn.Conv2d(3, 3, 3, padding=1),
        adapter=adapt,
        frames=frames,
        multiple_of=1,
        value_range=(0.0, 1.0),
        weights=(),
        recipe="",
        source="",
        published="",
    )


@pytest.fixture
def planned() -> Callable[..., list[int]]:
    def steps(recipe: Recipe, spec: ModelSpec, total: int | None = None, batch: int | None = None) -> list[int]:
        stages = planned_stages(recipe, spec, pairs=50, side_px=256, total=total, batch=batch, accumulate=1)
        return [stage.steps for stage in stages]

    return steps


def a_recipe(**changes: object) -> Recipe:
    return replace(find_recipe("mimo-unet", "quick"), steps=100, batch=2, crop_px=32, **changes)  # type: ignore[arg-type]


def test_steps_within_the_work(planned: Callable[..., list[int]]) -> None:
    """A step of two crops of 32 px: 2 * 1024 * 81 multiplications."""
    each = 2 * 32 * 32 * MACS_PER_PX
    spec = one_convolution()
    assert macs_of_sample(spec, 32) == each // 2
    assert planned(a_recipe(most_macs=100.0 * each), spec) == [100]
    assert planned(a_recipe(most_macs=37.5 * each), spec) == [37]
    assert planned(a_recipe(most_macs=37.5 * each), spec, batch=4) == [18]
    assert planned(a_recipe(most_macs=1.0), spec) == [4]  # one in each of four rounds
    assert planned(a_recipe(most_macs=0.0), spec) == [100]


def test_the_rate_falls_with_the_steps() -> None:
    each = 2 * 32 * 32 * MACS_PER_PX
    for affordable, share in ((1000.0, 1.0), (37.5, 0.37), (4.0, 0.05)):
        (stage,) = planned_stages(
            a_recipe(most_macs=affordable * each),
            one_convolution(),
            pairs=50,
            side_px=256,
            total=None,
            batch=None,
            accumulate=1,
        )
        assert stage.recipe.learning_rate == pytest.approx(1e-3 * share)


def test_the_users_number_of_steps_stands(planned: Callable[..., list[int]]) -> None:
    assert planned(a_recipe(most_macs=1.0), one_convolution(), total=70) == [70]


def test_as_many_steps_by_wish_are_another_training(tmp_path: Path) -> None:
    """The rate of a training that the budget made shorter is lower: neither is taken for the other."""
    pairs = make_pairs(tmp_path / "pairs")
    most = 6.5 * 2 * macs_of_sample(MODELS["mimo-unet-test"], 32)
    recipe = a_recipe(most_macs=most)

    def planned_with(steps: int | None) -> Plan:
        config = TrainConfig(
            model="mimo-unet-test", pairs=(pairs,), steps=steps, out=tmp_path, device="cpu", threads=1, crop_px=32
        )
        return plan(config, recipe)

    short, asked = planned_with(None), planned_with(6)
    assert short.steps == asked.steps == 6
    assert short.folder != asked.folder
    assert short.configuration["learning_rates"] == [pytest.approx(0.06 * 1e-3)]
    assert "learning_rates" not in asked.configuration
    assert "learning_rates" not in planned_with(100).configuration


def test_frames_of_a_clip_count(planned: Callable[..., list[int]]) -> None:
    each = 2 * 3 * 32 * 32 * MACS_PER_PX
    assert planned(a_recipe(most_macs=10.5 * each, clip_frames=3), one_convolution(frames=3)) == [10]


def test_stages_keep_their_shares(planned: Callable[..., list[int]]) -> None:
    """60 steps of one crop and 40 of two, half of that work: 30 and 20."""
    one = 32 * 32 * MACS_PER_PX
    parts = (replace(a_recipe(), steps=60, batch=1), replace(a_recipe(), steps=40, batch=2))
    recipe = replace(a_recipe(most_macs=70.0 * one), stages=parts)
    assert planned(recipe, one_convolution()) == [30, 20]


def test_an_enlarging_network_is_counted_at_its_input() -> None:
    spec = MODELS["realesr-general-x4v3"]
    found = macs_of_sample(spec, 64)
    assert found == macs_of_sample(replace(spec, name="another"), 64)
    layers = 3 * 9 * 64 + 32 * 64 * 64 * 9 + 64 * 9 * 48  # of one pixel at the input
    assert found == layers * 16 * 16


@pytest.mark.parametrize("name", ["mimo-unet", "nafnet-32", "deepdeblur", "deblurgan-v2-mobilenet-dsc"])
def test_a_recipe_suits_the_network_it_was_made_for(name: str, planned: Callable[..., list[int]]) -> None:
    spec = MODELS[name]
    recipe = find_recipe(spec.recipe, "quick")
    assert planned(recipe, spec) == [recipe.steps]


def test_counting_leaves_chance_alone() -> None:
    spec = replace(MODELS["mimo-unet-test"], name="mimo-unet-counted-once")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert macs_of_sample(spec, 32) > 0
    assert torch.equal(torch.rand(3), expected)


def test_a_heavy_network_ends_sooner(planned: Callable[..., list[int]]) -> None:
    recipe, spec = find_recipe("charbonnier", "quick"), MODELS["mprnet"]
    (steps,) = planned(recipe, spec)
    assert 4 <= steps < 0.02 * recipe.steps
    assert steps * 2 * macs_of_sample(spec, recipe.crop_px) <= recipe.most_macs


def test_faces_are_not_counted() -> None:
    assert macs_of_sample(MODELS["gfpgan"], 512) == 0


def test_the_rate_rises_in_a_third_of_the_steps_at_most() -> None:
    recipe = a_recipe()
    assert recipe.warmup_steps == 10
    rates = [recipe.learning_rate_at(step, 9) for step in range(9)]
    assert rates.index(max(rates)) == 2
    assert torch.tensor(rates[3:]).diff().max() < 0


def test_the_paper_knows_no_budget() -> None:
    assert not find_recipe("charbonnier", "paper").most_macs
    (stage,) = planned_stages(
        find_recipe("stfan", "paper"), MODELS["stfan"], pairs=1, side_px=256, total=None, batch=None, accumulate=1
    )
    # The authors count frames: 900,000 of them in clips of 20.
    assert isinstance(stage, PlannedStage) and stage.steps * stage.clip_frames == 900_000
