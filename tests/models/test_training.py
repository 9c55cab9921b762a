"""The trainer: it learns, its chance depends on the seed alone, a killed run goes on to the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint, train
from models.pair_dataset import PairSampler, load_pairs
from models.recipes import RECIPES, find_recipe
from models.trainer import TrainConfig, TrainingFailed, _Training, find, plan
from models.trainer import train as run_training
from models.zoo import MODELS
from tests.models.training_data import make_pairs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


def config(folder: Path, out: Path, **changes: object) -> TrainConfig:
    common = TrainConfig(model="mimo-unet-test", pairs=(folder,), steps=6, out=out, device="cpu", threads=1)
    return replace(common, **changes)


@pytest.mark.parametrize("model", [name for name in MODELS if name.endswith("-test")])
def test_every_kind_of_network_trains(model: str, pairs: Path, tmp_path: Path) -> None:
    info = run_training(config(pairs, tmp_path, model=model, steps=3), resume=False)
    assert info.finished and info.meta["steps_done"] == 3
    assert info.meta["validation"]["psnr"] > 10
    assert (info.folder / "tensorboard").is_dir()
    before = {path: path.stat().st_mtime_ns for path in info.folder.glob("*.safetensors")}
    again = run_training(config(pairs, tmp_path, model=model, steps=3), resume=False)
    assert again.meta == info.meta
    assert before == {path: path.stat().st_mtime_ns for path in info.folder.glob("*.safetensors")}
    assert find(config(pairs, tmp_path, model=model, steps=3)) == again
    assert find(config(pairs, tmp_path, model=model, steps=4)) is None


def test_training_beats_the_blurred_input(pairs: Path, tmp_path: Path) -> None:
    scores = run_training(config(pairs, tmp_path, steps=100), resume=False).meta["validation"]
    assert scores["psnr"] > scores["psnr_blur"] + 0.1


def test_the_start_is_the_blurred_image(tmp_path: Path) -> None:
    for model in ("mimo-unet", "deblurgan-v2-mobilenet", "stfan"):
        chosen = plan(config(make_pairs(tmp_path / "large", side=64), tmp_path, model=model))
        training = _Training(chosen)
        blur, sharp = training.sampler.batch(0, 1)
        with torch.no_grad():
            output, _ = chosen.recipe.targets(training.module, blur, sharp)[-1]
        torch.testing.assert_close(output, blur[:, -1], atol=1e-6, rtol=0)


def test_kill_and_resume_gives_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    """kill -9 in the middle, then --resume, against a run that was left alone. The state is saved every 50 steps."""
    arguments = [
        "--model",
        "mimo-unet-test",
        "--pairs",
        str(pairs),
        "--steps",
        "110",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    command = [sys.executable, str(ROOT / "models" / "train.py"), *arguments]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True, timeout=300)
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "cut")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cut").rglob(checkpoint.META)) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    (meta,) = (tmp_path / "cut").rglob(checkpoint.META)
    assert not json.loads(meta.read_text())["finished"]

    refused = subprocess.run([*command, "--out", str(tmp_path / "cut")], capture_output=True, text=True, timeout=300)
    assert refused.returncode == 2 and "--resume" in refused.stderr
    resumed = [*command, "--out", str(tmp_path / "cut"), "--resume"]
    subprocess.run(resumed, check=True, capture_output=True, timeout=300)
    whole = sorted(path for path in (tmp_path / "whole").rglob("*") if path.suffix in (".safetensors", ".json"))
    assert [path.name for path in whole] == ["checkpoint.json", "checkpoint.safetensors", "training_state.safetensors"]
    for path in whole:
        other = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes(), path.name


def test_a_kill_between_state_and_description_loses_nothing(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is ahead of checkpoint.json: going on gives what an uninterrupted run gives."""
    whole = run_training(config(pairs, tmp_path / "whole"), resume=False)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("synth.atomic.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(config(pairs, tmp_path / "cut"), resume=False)
    assert find(config(pairs, tmp_path / "cut")) is None
    resumed = run_training(config(pairs, tmp_path / "cut"), resume=True)
    assert resumed.meta == whole.meta
    for name in (checkpoint.WEIGHTS, checkpoint.STATE):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_mimo_unet_loss_is_the_papers() -> None:
    """Equations 6 to 8: content of three scales + 0.1 times frequency of three scales."""
    rng = np.random.default_rng(0)
    sides = [[rng.random((1, 3, side, side)) for side in (4, 8, 16)] for _ in range(2)]
    expected = 0.0
    for restored, sharp in zip(*sides, strict=True):
        spectrum = np.fft.fft2(restored - sharp)
        expected += np.abs(restored - sharp).mean()
        expected += 0.1 * (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    scales = [(torch.from_numpy(one), torch.from_numpy(two)) for one, two in zip(*sides, strict=True)]
    assert float(find_recipe("mimo-unet", "paper").loss(scales)) == pytest.approx(expected)


def test_samples_depend_on_seed_and_step_alone(pairs: Path) -> None:
    sets = load_pairs([pairs])
    options = {"crop_px": 16, "clip_frames": 2, "flips": True, "reversal": True}
    one, two = (PairSampler(sets.train, seed=3, **options) for _ in range(2))
    one.batch(0, 2)
    assert torch.equal(one.batch(7, 2)[0], two.batch(7, 2)[0])
    assert not torch.equal(one.batch(8, 2)[0], two.batch(7, 2)[0])
    assert not torch.equal(PairSampler(sets.train, seed=4, **options).batch(7, 2)[0], two.batch(7, 2)[0])
    blur, sharp = two.batch(0, 2)
    assert blur.shape == sharp.shape == (2, 2, 3, 16, 16)


def test_blur_and_sharp_are_cropped_alike(tmp_path: Path) -> None:
    """With blur == sharp on disk, every crop of both is the same."""
    folder = make_pairs(tmp_path / "pairs", count=4)
    for path in (folder / "sharp").iterdir():
        (folder / "blur" / path.name).write_bytes(path.read_bytes())
    sampler = PairSampler(load_pairs([folder]).train, seed=0, crop_px=24, clip_frames=1, flips=True, reversal=False)
    for step in range(5):
        blur, sharp = sampler.batch(step, 3)
        assert torch.equal(blur, sharp)


def test_an_epoch_sees_every_pair_once(pairs: Path) -> None:
    sets = load_pairs([pairs])
    sampler = PairSampler(sets.train, seed=0, crop_px=48, clip_frames=1, flips=False, reversal=False)
    seen = {sampler.batch(step, 1)[0].numpy().tobytes() for step in range(len(sets.train))}
    assert len(seen) == len(sets.train)


def test_held_out_pairs_are_not_trained_on(pairs: Path, tmp_path: Path) -> None:
    sets = load_pairs([pairs])
    assert {pair.sequence for pair in sets.validation} == {"s1"}
    assert {pair.sequence for pair in sets.train} == {"s0"}
    named = load_pairs([pairs, make_pairs(tmp_path / "val", count=2, split="val")])
    assert len(named.train) == 6 and len(named.validation) == 2


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_schedules(name: str, profile: str) -> None:
    recipe = find_recipe(name, profile)
    steps = 1000
    rates = [recipe.learning_rate_at(step, steps) for step in range(steps)]
    assert max(rates) <= recipe.learning_rate and min(rates) > 0
    after = rates[recipe.warmup_steps :]
    assert all(later <= earlier for earlier, later in itertools.pairwise(after))
    assert recipe.steps or recipe.epochs
    assert bool(recipe.zero_last) == (profile == "quick")


def test_mimo_unet_paper_schedule() -> None:
    recipe = find_recipe("mimo-unet", "paper")
    assert recipe.learning_rate_at(499, 3000) == 1e-4
    assert recipe.learning_rate_at(500, 3000) == 0.5e-4
    assert recipe.learning_rate_at(2999, 3000) == 1e-4 / 32


def test_moving_average(pairs: Path, tmp_path: Path) -> None:
    training = _Training(plan(config(pairs, tmp_path)))
    key = "FAM1.merge.main.0.weight"
    expected = training.module.state_dict()[key].clone().double()
    for step in range(4):
        training.step(step)
        decay = min(training.recipe.ema_decay, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * training.module.state_dict()[key].double()
    torch.testing.assert_close(training.average[key].double(), expected, atol=1e-6, rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(pairs: Path, tmp_path: Path) -> None:
    training = _Training(plan(config(pairs, tmp_path)))
    with torch.no_grad():
        next(training.module.parameters()).fill_(np.nan)
    with pytest.raises(TrainingFailed, match="became nan at step 0; the last checkpoint in"):
        training.step(0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "mimo"}, "no network is called 'mimo'"),
        ({"recipe": "adam"}, "no recipe is called 'adam'"),
        ({"pairs": (Path("nowhere"),)}, "pairs.jsonl does not exist"),
        ({"steps": 0}, "at least 1, got 0"),
        ({"device": "tpu0"}, "the device is auto, cpu, cuda"),
    ],
)
def test_bad_configurations(changes: dict, sentence: str, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        plan(config(pairs, tmp_path, **changes))


def test_small_images_shrink_the_crop(tmp_path: Path) -> None:
    assert plan(config(make_pairs(tmp_path / "a", side=30), tmp_path)).crop_px == 28
    with pytest.raises(ValueError, match="smallest image is 12 px"):
        plan(config(make_pairs(tmp_path / "b", side=12), tmp_path))


def test_a_changed_checkpoint_is_noticed(pairs: Path, tmp_path: Path) -> None:
    info = run_training(config(pairs, tmp_path, steps=1), resume=False)
    info.weights.write_bytes(info.weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ValueError, match="was changed after training"):
        run_training(config(pairs, tmp_path, steps=1), resume=True)


def test_command_line(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [
        "--model",
        "mimo-unet-test",
        "--pairs",
        str(pairs),
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    assert train.main([*common, "--steps", "2"]) == 0
    output = capsys.readouterr().out
    assert "2 steps, recipe mimo-unet, last layer starts at zero" in output and "blurred input" in output
    assert train.main(["--model", "mimo-unet-test", "--pairs", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: ") and error.count("\n") == 1
