"""The trainer: it learns, its chance depends on the seed alone, a killed run goes on to the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.image_files import write_image
from models import train
from models.nets.adapters import outputs_of
from models.recipes import RECIPES, find_recipe
from models.training import checkpoint
from models.training.loop import TrainConfig, TrainingFailed, _Training, find, plan
from models.training.loop import train as run_training
from models.zoo import MODELS
from tests.models.training.training_data import make_pairs, tiny_opponents

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


def config(pairs_folder: Path, out: Path, **changes: object) -> TrainConfig:
    common = TrainConfig(model="mimo-unet-test", pairs=(pairs_folder,), steps=6, out=out, device="cpu", threads=1)
    return replace(common, **changes)


@pytest.mark.parametrize(
    "model", [name for name in MODELS if name.endswith("-test") and MODELS[name].recipe_for("quick")]
)
def test_every_kind_of_network_trains(model: str, pairs: Path, tmp_path: Path) -> None:
    info = run_training(config(pairs, tmp_path, model=model, steps=2), resume=False)
    assert info.finished and info.meta["steps_done"] == 2
    residual = bool(MODELS[model].training.residual)
    assert info.meta["validation"]["psnr"] > (10 if residual else 0)  # only a residual can start at the blurred image
    assert ("last layer starts at zero" in info.meta["switches"]) == residual
    assert (info.folder / "tensorboard").is_dir()
    before = {path: path.stat().st_mtime_ns for path in info.folder.glob("*.safetensors")}
    again = run_training(config(pairs, tmp_path, model=model, steps=2), resume=False)
    assert again.meta == info.meta
    assert before == {path: path.stat().st_mtime_ns for path in info.folder.glob("*.safetensors")}
    assert find(config(pairs, tmp_path, model=model, steps=2)) == again
    assert find(config(pairs, tmp_path, model=model, steps=3)) is None


def test_training_beats_the_blurred_input(pairs: Path, tmp_path: Path) -> None:
    scores = run_training(config(pairs, tmp_path, steps=350), resume=False).meta["validation"]
    assert scores["psnr"] > scores["psnr_blur"] + 0.1


def test_the_start_is_the_blurred_image(tmp_path: Path) -> None:
    for model in ("mimo-unet", "deblurgan-v2-mobilenet", "stfan"):
        chosen = plan(config(make_pairs(tmp_path / "large", side=64), tmp_path, model=model))
        training = _Training(chosen)
        blur, sharp = training.sampler.batch(0, 1)
        with torch.no_grad():
            output, _ = outputs_of(chosen.spec)(training.module, blur, sharp)[-1]
        torch.testing.assert_close(output, blur[:, -1], atol=1e-6, rtol=0)


def test_a_training_starts_at_given_weights(pairs: Path, tmp_path: Path) -> None:
    """The whole network of a file; its last layer is not set to zero, and the table's row tells of it."""
    model = "deblurgan-v2-mobilenet-dsc-test"
    first = run_training(config(pairs, tmp_path / "first", model=model, steps=3), resume=False)
    trained = load_file(first.weights)
    going_on = config(pairs, tmp_path / "second", model=model, steps=2, start=first.weights)
    for key, value in _Training(plan(going_on)).module.state_dict().items():
        torch.testing.assert_close(value, trained[key], rtol=0, atol=0)
    info = run_training(going_on, resume=False)
    digest = first.meta["weights_sha256"]
    assert f"started at checkpoint.safetensors ({digest[:8]})" in info.meta["switches"]
    assert not any("zero" in said for said in info.meta["switches"])
    assert info.meta["configuration"]["start"] == first.meta["weights_sha256"]
    assert plan(replace(going_on, start=None)).folder != info.folder


def test_weights_to_start_from_are_found_as_everywhere(pairs: Path, tmp_path: Path) -> None:
    """By their name in the weights folder, as `restore.py --weights` and `run.py --weights` find them."""
    folder = tmp_path / "weights"
    folder.mkdir()
    weights = folder / "mine.safetensors"
    save_file(MODELS["mimo-unet-test"].build().state_dict(), weights)
    by_name = plan(config(pairs, tmp_path, start=Path("mine.safetensors"), weights_dir=folder))
    assert by_name.config.start == weights
    assert by_name.configuration == plan(config(pairs, tmp_path, start=weights)).configuration
    with pytest.raises(
        FileNotFoundError, match=r"is not in the weights folder; run: models/weights\.py fetch mimo-unet"
    ):
        plan(config(pairs, tmp_path, model="mimo-unet", start=Path("MIMO-UNet.pkl"), weights_dir=folder))


def test_weights_to_start_from_are_checked(pairs: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors does not exist; give the path of one"):
        plan(config(pairs, tmp_path, start=missing))
    other = run_training(config(pairs, tmp_path / "first", model="nafnet-test", steps=1), resume=False).weights
    with pytest.raises(ValueError, match="leave one of the two away"):
        plan(config(pairs, tmp_path, model="deblurgan-v2-mobilenet-test", start=other, backbone=other))
    with pytest.raises(ValueError, match="mimo-unet-test"):
        run_training(config(pairs, tmp_path / "second", start=other), resume=False)


def test_kill_and_resume_gives_the_same_bytes(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """kill -9 in the middle, then --resume, against a run that was left alone. The state is saved every 50 steps.

    What is killed is a process of its own.
    """
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
        "--batch",
        "1",
        "--crop",
        "24",
    ]
    command = [sys.executable, str(ROOT / "models" / "train.py"), *arguments]
    assert train.main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "cut")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / checkpoint.WEIGHTS).is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not json.loads((tmp_path / "cut" / checkpoint.META).read_text())["finished"]

    capsys.readouterr()
    assert train.main([*arguments, "--out", str(tmp_path / "cut")]) == 2
    assert "--resume" in capsys.readouterr().err
    assert train.main([*arguments, "--out", str(tmp_path / "cut"), "--resume"]) == 0
    whole = sorted(path for path in (tmp_path / "whole").rglob("*") if path.suffix in (".safetensors", ".json"))
    assert [path.name for path in whole] == ["checkpoint.json", "checkpoint.safetensors", "training_state.safetensors"]
    for path in whole:
        assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes(), path.name


def test_a_kill_between_state_and_description_loses_nothing(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is ahead of checkpoint.json: going on gives what an uninterrupted run gives."""
    whole = run_training(config(pairs, tmp_path / "whole"), resume=False)
    write_json = checkpoint.files.write_json

    def killed_at_the_end(path: Path, meta: dict) -> str:
        if meta["steps_done"]:
            raise KeyboardInterrupt
        return write_json(path, meta)

    with monkeypatch.context() as patch:
        patch.setattr("core.files.write_json", killed_at_the_end)
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


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_schedules(name: str, profile: str) -> None:
    """Rates fall after the warm-up, but for the restarts, and never to zero.

    A quick training starts at the blurred image, unless it would stay there (the contrastive term pulls it away), and
    so does the long one of our own recipe.
    """
    recipe = find_recipe(name, profile)
    assert recipe.name == name and recipe.profile == profile
    stages = recipe.stages or (recipe,)
    exceptions = {("mimo-unet-contrastive", "quick"): False, ("mimo-unet-contrastive-average", "quick"): False}
    exceptions |= {("photographs", "paper"): True, ("motion-unet", "paper"): True}
    assert stages[0].starts_at_blur == exceptions.get((name, profile), profile == "quick")
    for stage in stages:
        steps = 1000
        rates = [stage.learning_rate_at(step, steps) for step in range(steps)]
        assert max(rates) <= stage.learning_rate and min(rates) > 0
        rises = sum(later > earlier for earlier, later in itertools.pairwise(rates[stage.warmup_steps :]))
        assert rises == (len(stage.milestones) if stage.schedule == "cosine-restarts" else 0)
        assert stage.steps or stage.epochs


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
    with pytest.raises(TrainingFailed, match=r"became nan at step 0 .*; the last checkpoint in"):
        training.step(0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "mimo"}, "no network is called 'mimo'"),
        ({"recipe": "adam"}, "no recipe is called 'adam'"),
        ({"model": "spynet"}, "is a part of other networks .flow., it is not trained"),
        ({"pairs": (Path("nowhere"),)}, "pairs.jsonl does not exist"),
        ({"steps": 0}, "at least 1, got 0"),
        ({"seed": -1}, "at least 0, got -1"),
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


def test_a_crop_that_is_asked_for(pairs: Path, tmp_path: Path) -> None:
    usual, asked = (plan(config(pairs, tmp_path, crop_px=side)) for side in (None, 24))
    assert usual.crop_px == 48 and asked.crop_px == 24
    assert asked.configuration["crop"] == 24 and "crop" not in usual.configuration
    blur, sharp = _Training(asked)._batches(0)[0]
    assert blur.shape == sharp.shape == (2, 1, 3, 24, 24)


@pytest.mark.parametrize("side", [12, 30, 52])
def test_a_crop_that_does_not_suit_is_one_sentence(side: int, pairs: Path, tmp_path: Path) -> None:
    """Smaller than any, no multiple, larger than the images."""
    with pytest.raises(ValueError, match=rf"multiple of 4 px, from 16 to 48 px .*48 px on a side\), got {side}$"):
        plan(config(pairs, tmp_path, crop_px=side))


def test_a_network_of_one_size_takes_no_crop(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gfpgan-test trains on squares of 32 px, got --crop 48; leave it away"):
        plan(config(pairs, tmp_path, model="gfpgan-test", recipe="charbonnier", crop_px=48))


def test_sizes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = make_pairs(tmp_path, count=4)
    write_image(folder / "sharp" / "000.png", np.zeros((48, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=r"000\.png have different sizes; a pair has one size"):
        plan(config(folder, tmp_path / "out"))
    write_image(folder / "blur" / "000.png", np.zeros((48, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a sequence has one size"):
        plan(config(folder, tmp_path / "out"))


def test_another_configuration_in_the_folder_is_named(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    first = config(pairs, tmp_path, folder=folder, steps=2)
    info = run_training(first, resume=False)
    assert info.folder == folder and find(first) == info
    other = replace(first, seed=1, steps=3)
    assert find(other) is None
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"another configuration \(steps is 2, not 3; seed is 0, not 1\)"):
            run_training(other, resume=resume)


def test_any_recipe_trains_any_network(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_opponents(monkeypatch)
    networks = [name for name in MODELS if name.endswith("-test") and MODELS[name].recipe_for("quick")]
    for number, name in enumerate(networks):
        recipe = MODELS[networks[number - 1]].recipe_for("quick")
        assert run_training(config(pairs, tmp_path, model=name, recipe=recipe, steps=2), resume=False).finished


def test_weights_that_are_not_finite_are_never_saved(pairs: Path, tmp_path: Path) -> None:
    training = _Training(plan(config(pairs, tmp_path)))
    before = training.save(1, None)
    kept = before.weights.read_bytes()
    with torch.no_grad():
        next(training.module.parameters()).fill_(np.inf)
    with pytest.raises(TrainingFailed, match="a weight became NaN or infinite before step 2"):
        training.save(2, None)
    assert before.weights.read_bytes() == kept


def test_a_changed_checkpoint_is_noticed(pairs: Path, tmp_path: Path) -> None:
    info = run_training(config(pairs, tmp_path, steps=1), resume=False)
    info.weights.write_bytes(info.weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ValueError, match="was changed after training"):
        run_training(config(pairs, tmp_path, steps=1), resume=True)


def test_blurred_images_that_are_sharp_are_said(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their PSNR is infinite, which JSON does not know."""
    folder = Path(shutil.copytree(pairs, tmp_path / "pairs"))
    for path in (folder / "sharp").iterdir():
        shutil.copy(path, folder / "blur" / path.name)
    words = [
        "--model",
        "nafnet-test",
        "--recipe",
        "charbonnier",
        "--profile",
        "paper",
        "--steps",
        "1",
        "--device",
        "cpu",
    ]
    words += ["--pairs", str(folder), "--out", str(tmp_path / "out"), "--hold-out", "0.5", "--crop", "32"]
    assert train.main(words) == 0
    assert "dB, blurred input as sharp as its target" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [{"validation": {"psnr": "x", "psnr_blur": 3.0}}, {"validation": 5.0}, {"held_out": 1}, {"extends": 1e300}],
)
def test_a_description_of_another_kind_is_one_sentence(change: dict, pairs: Path, tmp_path: Path) -> None:
    asked = config(pairs, tmp_path, steps=1)
    path = run_training(asked, resume=False).folder / checkpoint.META
    meta = json.loads(path.read_text())
    meta["configuration"] |= {key: change[key] for key in change.keys() & {"extends"}}
    path.write_text(json.dumps({**meta, **{key: change[key] for key in change.keys() - {"extends"}}}))
    with pytest.raises(ValueError, match=r"checkpoint\.json is not that of a training .*; remove .* and train again"):
        run_training(asked, resume=False)


def test_a_changed_state_is_noticed(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of a moment: of a finished training the weights stay good, of an unfinished one nothing is gone on."""

    def change(folder: Path) -> None:
        data = bytearray((folder / checkpoint.STATE).read_bytes())
        data[-5] ^= 1
        (folder / checkpoint.STATE).write_bytes(data)

    asked = config(pairs, tmp_path, steps=2)
    info = run_training(asked, resume=False)
    change(info.folder)
    with pytest.raises(ValueError, match=r"state\.safetensors was changed after it was written; the weights beside it"):
        run_training(asked, resume=True)
    assert find(asked) == info  # who wants the weights alone
    with pytest.raises(ValueError, match=r"state\.safetensors was changed"):
        run_training(replace(asked, steps=3, extend=True), resume=False)
    (info.folder / checkpoint.STATE).unlink()
    assert run_training(asked, resume=False) == info
    with pytest.raises(ValueError, match=r"--extend: .*state\.safetensors, which it would go on from, is gone"):
        run_training(replace(asked, steps=3, extend=True), resume=False)

    cut = config(pairs, tmp_path, steps=120)  # saved after 50 and 100 steps
    with monkeypatch.context() as patch:
        patch.setattr(_Training, "step", lambda self, step: 0.0)
        save = _Training.save

        def stopped(self: _Training, *given: object) -> object:
            save(self, *given)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(_Training, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_training(cut, resume=False)
    change(plan(cut).folder)
    with pytest.raises(ValueError, match=r"state\.safetensors was changed after it was written; remove .* and train"):
        run_training(cut, resume=True)


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
    assert "2 steps, recipe mimo-unet (ours: quick profile), last layer starts at zero" in output
    assert "blurred input" in output
    config_, _ = train.parse(["--model", "m", "--pairs", "a,b", "c", "--pairs", "d", "--mix", "1,2", "--mix", "0.5"])
    assert config_.mix == (1.0, 2.0, 0.5) and config_.every == ()
    assert config_.pairs == (Path("a"), Path("b"), Path("c"), Path("d"))
    assert train.main(["--model", "mimo-unet-test", "--pairs", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: ") and error.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can make a folder")
def test_a_folder_that_cannot_be_made_is_one_sentence(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "mimo-unet-test", "--pairs", str(pairs), "--steps", "1", "--device", "cpu"]
    assert train.main([*words, "--out", "/proc/none/below"]) == 1
    assert capsys.readouterr().err == "train.py: /proc/none: No such file or directory\n"
