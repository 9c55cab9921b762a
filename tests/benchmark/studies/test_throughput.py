"""The comparison of training loops: both take the same step, and what is reported follows from the times."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.studies import throughput
from benchmark.studies.throughput import PlainLoop, compare, made_up_pairs, plain_loss, ratio, require_plain, spread
from core.image_files import read_image
from models.recipes import find_recipe
from models.training.loop import TrainConfig, by_hand
from tests.models.training.training_data import make_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


def config(pairs: Path, model: str) -> TrainConfig:
    return TrainConfig(model=model, pairs=(pairs,), steps=3, threads=1, device="cpu", folder=pairs / "nowhere")


@pytest.mark.parametrize(("model", "recipe"), [("mimo-unet-test", "mimo-unet"), ("nafnet-test", "nafnet")])
def test_both_loops_take_the_same_step(model: str, recipe: str, pairs: Path) -> None:
    """Same weights, same batch: the same loss and, after the step, the same weights."""
    chosen = replace(find_recipe(recipe, "paper"), batch=2, crop_px=32)
    with by_hand(config(pairs, model), chosen) as ours:
        plain = PlainLoop(ours.plan)
        plain.module.load_state_dict(ours.module.state_dict())
        start = {name: value.clone() for name, value in ours.module.state_dict().items()}
        ((blur, sharp),) = ours.ahead.get(0)
        plain.batch = lambda step: (blur, sharp)  # type: ignore[method-assign]
        assert plain.step(0) == pytest.approx(ours.step(0), rel=1e-5)
        moved = 0.0
        for name, value in ours.module.state_dict().items():
            torch.testing.assert_close(plain.module.state_dict()[name], value, rtol=1e-3, atol=2e-5)
            moved = max(moved, float((value - start[name]).abs().max()))
        assert moved > 1e-5
    assert not (pairs / "nowhere").exists()


def test_the_plain_losses() -> None:
    one, other = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)
    nafnet = find_recipe("nafnet", "paper")
    assert float(plain_loss(nafnet, [one], [other])) == pytest.approx(10 * math.log10(0.01), abs=1e-4)
    # A constant difference is the zero frequency alone: 16 * 0.1 in one of 2 * 16 numbers.
    assert float(plain_loss(find_recipe("mimo-unet", "paper"), [one], [other])) == pytest.approx(0.1 + 0.1 * 1.6 / 32)
    with pytest.raises(ValueError, match="the straightforward loop has no loss 'psnr-40'"):
        plain_loss(find_recipe("nafnet", "quick"), [one], [other])


def test_its_batches_are_crops_of_the_pairs(pairs: Path) -> None:
    chosen = replace(find_recipe("mimo-unet", "paper"), batch=2, crop_px=48)  # the images whole: only flips are left
    with by_hand(config(pairs, "mimo-unet-test"), chosen) as ours:
        plain = PlainLoop(ours.plan)
        blur, sharp = plain.batch(5)
        assert blur.shape == sharp.shape == (2, 1, 3, 48, 48)
        for number, images in enumerate(plain.decode(5)):
            for side, image in zip((blur, sharp), images, strict=True):
                found = (side[number, 0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
                assert (found == image).all() or (found == image[:, ::-1]).all()


def test_a_comparison(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "times.json"
    fixed = ["--models", "mimo-unet-test", "--crop", "32", "--batch", "2", "--repeats", "3", "--pairs", str(pairs)]
    assert throughput.main([*fixed, "--out", str(out)]) == 0
    (found,) = json.loads(out.read_text())
    assert (found["crop_px"], found["batch"], found["threads"], found["device"]) == (32, 2, 1, "cpu")
    times = [value for key, values in found.items() if key.endswith("_s") for value in values]
    assert len(times) == 8 * 3 and min(times) > 0
    assert found["decode_s"][0] < sum(found["plain_cpu_s"]) and found["draw_s"][0] < sum(found["ours_cpu_s"])
    text = capsys.readouterr().out
    assert f"ours: {1 / sorted(found['ours_wall_s'])[1]:.3f} steps/s" in text
    assert not list(pairs.glob("never*"))


def test_medians() -> None:
    assert spread([4.0, 1.0, 2.0, 3.0, 10.0]) == "3 (2 to 4)"
    assert ratio([1.0, 2.0, 9.0], [2.0, 2.0, 3.0]) == 1.0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--models", "nothing"), "no network is called 'nothing'"),
        (("--repeats", "0"), "--repeats is at least 1, got 0"),
        (("--pairs", "nowhere"), "pairs.jsonl does not exist"),
    ],
)
def test_bad_arguments(more: tuple[str, ...], message: str, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert throughput.main(["--pairs", str(pairs), "--models", "mimo-unet-test", *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["deblurgan-v2", "mimo-unet-contrastive", "edvr"])
def test_recipes_that_the_plain_loop_cannot_follow(name: str) -> None:
    with pytest.raises(ValueError, match=f"not recipe {name}"):
        require_plain(find_recipe(name, "paper"))


def test_made_up_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "MADE_UP_SIZE", (64, 80))
    monkeypatch.setattr(throughput, "MADE_UP_PAIRS", 2)
    made_up_pairs(tmp_path)
    assert read_image(tmp_path / "blur/1.png").shape == (64, 80, 3)
    found = compare("mimo-unet-test", pairs=tmp_path, crop_px=32, batch=1, threads=1, device="cpu", repeats=1)
    assert len(found.ours_wall_s) == 1
