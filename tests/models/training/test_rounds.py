"""Rounds over the same samples: what is shown again, and the means that are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.recipes import RECIPES, find_recipe
from models.training.loop import TrainConfig, _Training, plan, train
from models.training.progress import Rounds
from models.training.stages import PlannedStage
from tests.models.training.training_data import make_pairs


def a_stage(*, rounds: int, first: int, last: int) -> PlannedStage:
    recipe = replace(find_recipe("mimo-unet", "quick"), rounds=rounds)
    return PlannedStage(recipe=recipe, first=first, last=last, batch=2, crop_px=32, clip_frames=1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("rounds"))


class Log:
    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))


def config(pairs: Path, out: Path, steps: int) -> TrainConfig:
    return TrainConfig(
        model="mimo-unet-test",
        recipe="mimo-unet",
        pairs=(pairs,),
        steps=steps,
        out=out,
        device="cpu",
        threads=1,
    )


def test_which_samples_are_shown() -> None:
    stage = a_stage(rounds=3, first=10, last=17)
    assert stage.round_steps == 2  # 7 steps: three whole rounds, and one step is left
    assert [stage.drawn_at(step) for step in range(10, 17)] == [10, 11, 10, 11, 10, 11, 10]
    every = a_stage(rounds=1, first=10, last=17)
    assert [every.drawn_at(step) for step in range(10, 17)] == list(range(10, 17))


def test_a_round_shows_the_same_images(pairs: Path, tmp_path: Path) -> None:
    training = _Training(plan(config(pairs, tmp_path, 12)))
    assert training.stage.round_steps == 3
    batches = [training._batches(step)[0] for step in range(5)]
    for now, again in ((0, 3), (1, 4)):
        assert all(torch.equal(one, other) for one, other in zip(batches[now], batches[again], strict=True))
    assert not torch.equal(batches[0][0], batches[1][0])


def test_means_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """Rounds of 2 steps; of the discriminator nothing, of the last half round nothing."""
    stage, log, rounds = a_stage(rounds=2, first=4, last=9), Log(), Rounds()
    for step, loss in enumerate((8.0, 4.0, 5.0, 3.0, 100.0), start=4):
        terms = {"loss": loss, "loss/images": loss / 2, "loss/discriminator": 1.0, "learning_rate": 1e-3}
        rounds.add(stage, step, terms, log)
    assert log.scalars == [
        ("round/loss", 6.0, 5),
        ("round/loss/images", 3.0, 5),
        ("round/loss", 4.0, 7),
        ("round/loss/images", 2.0, 7),
    ]
    assert capsys.readouterr().err.splitlines() == [
        "loss, mean of each round over the same samples: 6, 4",
        "loss/images, mean of each round over the same samples: 3, 2",
    ]
    assert not rounds.means


def test_a_round_that_was_not_seen_whole_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    stage, log, rounds = a_stage(rounds=2, first=0, last=6), Log(), Rounds()
    for step in range(1, 6):  # resumed after the first step
        rounds.add(stage, step, {"loss": float(step)}, log)
    assert log.scalars == [("round/loss", 4.0, 5)]
    assert capsys.readouterr().err == "loss, mean of each round over the same samples: 4\n"


def test_without_rounds_nothing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    stage, log, rounds = a_stage(rounds=1, first=0, last=3), Log(), Rounds()
    for step in range(3):
        rounds.add(stage, step, {"loss": 1.0}, log)
    assert not log.scalars and not capsys.readouterr().err


def test_the_quick_profile_shows_its_progress(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The narrow network learns: the mean loss of the last round is below that of the first."""
    train(config(pairs, tmp_path, 60), resume=False)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("loss, mean of each round")]
    means = [float(word) for word in line.split(": ")[1].split(", ")]
    assert len(means) == 4 and means[-1] < means[0]


@pytest.mark.parametrize("name", RECIPES)
def test_rounds_are_the_quick_profiles_alone(name: str) -> None:
    quick, paper = (find_recipe(name, profile) for profile in ("quick", "paper"))
    assert all(part.rounds == 4 for part in quick.stages or (quick,))
    assert all(part.rounds == 1 for part in paper.stages or (paper,))
