"""Ablations: each arm changes one thing, intervals follow their definition, a killed study ends in the same bytes."""

from __future__ import annotations

import csv
import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.studies import ablation
from benchmark.studies.arm_scores import BLURRED, interval
from benchmark.studies.arms import STUDIES, Arm, shortened
from benchmark.studies.negatives import Sharpness, anchor_losses, gradient_energy, plot, sharpness
from models.recipes import Contrast, find_recipe
from models.training.loop import TrainingFailed
from models.training.pair_sources import manifest_pairs
from models.training.samples import PairSampler
from tests.models.training.training_data import make_pairs, narrow_features

TINY = {"deblurgan-v2": "deblurgan-test,deblurgan-v2-mobilenet-test", "contrastive": "mimo-unet-test"}
SAME_BYTES = ("scores.csv", "table.csv")


@pytest.fixture(autouse=True, scope="module")
def narrow() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        narrow_features(patch)
        yield


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("sets")
    return make_pairs(home / "train", side=64), make_pairs(home / "held", count=4, side=64, split="test")


def words(sets: tuple[Path, Path], out: Path, study: str, *more: str, seeds: str = "0,1") -> list[str]:
    fixed = ["--pairs", str(sets[0]), "--held-out", str(sets[1]), "--out", str(out), "--models", TINY[study]]
    fixed += ["--feature-net", "random", "--steps", "4", "--crop", "32" if study == "contrastive" else "64"]
    return ["--study", study, *fixed, "--seeds", seeds, *more]


@pytest.fixture(scope="module")
def whole(sets: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a whole study: four arms, two seeds."""
    out = tmp_path_factory.mktemp("study") / "whole"
    assert ablation.main(words(sets, out, "contrastive")) == 0
    return out


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def changed(one: Arm, other: Arm) -> set[str]:
    recipes = {
        field.name
        for field in fields(one.recipe)
        if getattr(one.recipe, field.name) != getattr(other.recipe, field.name)
    }
    return recipes | ({"model"} if one.model != other.model else set())


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_arm_of_deblurgan_v2_changes_what_its_row_says(profile: str) -> None:
    study = STUDIES["deblurgan-v2"]
    arms = study.arms(profile, study.networks)
    steps = [changed(one, other) for one, other in itertools.pairwise(arms)]
    assert steps == [{"model", "frozen", "frozen_until"}, {"adversary"}, {"adversary", "features"}, {"losses"}]
    first, local, both, relativistic, last = (arm.recipe.adversary for arm in arms)
    assert first == local and local and both and relativistic and last
    assert (local.discriminator, both.discriminator) == ("deblurgan-discriminator", "deblurgan-v2-discriminator")
    assert replace(local, discriminator=both.discriminator) == both
    assert (both.loss, both.gradient_penalty, both.updates) == ("wgan", 10.0, 5)
    assert (relativistic.loss, relativistic.gradient_penalty, relativistic.updates) == ("ragan-ls", 0.0, 1)
    assert arms[-1].recipe == find_recipe("deblurgan-v2", profile)
    assert [arm.against for arm in arms] == ["", *(arm.name for arm in arms[:-1])]


@pytest.mark.parametrize("name", STUDIES)
def test_every_step_of_a_study_draws_its_own_samples(name: str) -> None:
    """The quick profiles, which the arms come from, go several times over the same ones."""
    study = STUDIES[name]
    for arm in study.arms("quick", study.networks):
        assert arm.recipe.rounds > 1
        recipe = shortened(arm, steps=12, batch=3, crop_px=32)
        assert (recipe.rounds, recipe.steps, recipe.batch, recipe.crop_px) == (1, 12, 3, 32)


def test_the_contrastive_arms_differ_in_the_term_alone() -> None:
    without, term, blurred, earlier = STUDIES["contrastive"].arms("quick", ("mimo-unet",))
    assert changed(without, term) == changed(term, blurred) == {"contrast"}
    assert without.recipe.contrast is None and without.recipe.losses == find_recipe("mimo-unet", "paper").losses
    assert term.recipe == find_recipe("mimo-unet-contrastive", "quick")
    assert blurred.recipe.contrast and blurred.recipe.contrast.shares == (0.0,)
    assert earlier.recipe.contrast and earlier.recipe.contrast.reading == "average"


def test_the_interval_of_a_difference() -> None:
    constant = np.full((3, 6), 0.25)
    assert interval(constant, ["a", "a", "b", "b", "c", "c"]) == (0.25, 0.25)
    rng = np.random.default_rng(0)
    noise = rng.normal(0.1, 1.0, size=(1, 400))
    low, high = interval(noise, [str(number) for number in range(400)])
    half = 1.96 * noise.std() / 20  # independent images: the normal approximation
    assert low == pytest.approx(noise.mean() - half, abs=0.015) and high == pytest.approx(
        noise.mean() + half, abs=0.015
    )
    together = interval(np.repeat(noise[:, :20], 20, axis=1), [str(number // 20) for number in range(400)])
    apart = interval(np.repeat(noise[:, :20], 20, axis=1), [str(number) for number in range(400)])
    assert together[1] - together[0] > 3 * (apart[1] - apart[0])  # frames of one photograph are not independent
    seeds = np.array([[-1.0] * 4, [0.0] * 4, [1.0] * 4])
    low, high = interval(seeds, list("abcd"))
    assert low == pytest.approx(-1, abs=0.35) and high == pytest.approx(1, abs=0.35)
    with pytest.raises(ValueError, match="one sequence per image"):
        interval(constant, ["a"])


def test_an_interrupted_study_ends_in_the_same_bytes(
    sets: tuple[Path, Path],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut = tmp_path / "cut"
    real, calls = ablation.train, 0

    def stops(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "train", stops)
        assert ablation.main(words(sets, cut, "contrastive")) == 130
    assert len(lines_of(cut / "scores.csv")) == (1 + 2) * 4 * 2  # the input and two arms, whole
    capsys.readouterr()
    assert ablation.main(words(sets, cut, "contrastive", "--resume")) == 0
    for name in (*SAME_BYTES, "negatives.csv", "negatives.svg", "anchors.csv"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    before = {path: path.read_bytes() for path in whole.iterdir() if path.is_file() and path.name != "run.json"}
    assert ablation.main(words(sets, whole, "contrastive")) == 0  # finished: verified, not trained again
    assert before == {path: path.read_bytes() for path in before}
    assert ablation.main([*words(sets, whole, "contrastive"), "--batch", "4"]) == 2
    assert "holds a training of another configuration (batch is 2, not 4" in capsys.readouterr().err.replace(
        "recipe.", ""
    )


def test_the_tables_say_budget_and_differences(whole: Path) -> None:
    scores, rows = lines_of(whole / "scores.csv"), lines_of(whole / "table.csv")
    assert len(scores) == 2 * 4 * (1 + 4 * 2) and len(rows) == 2 * 4
    assert {row["arm"] for row in scores if not row["seed"]} == {BLURRED}

    def mean(arm: str, seed: str) -> float:
        found = [row for row in scores if (row["arm"], row["seed"], row["metric"]) == (arm, seed, "psnr")]
        return float(np.mean([float(row["value"]) for row in found]))

    row = next(row for row in rows if row["arm"] == "+ contrastive" and row["metric"] == "psnr")
    apart = [mean("+ contrastive", seed) - mean("without", seed) for seed in "01"]
    assert float(row["difference"]) == pytest.approx(np.mean(apart))
    assert row["per_seed"] == " ".join(f"{value:+.4f}" for value in apart)
    assert float(row["ci95_low"]) <= float(row["difference"]) <= float(row["ci95_high"])
    gain = np.mean([mean("+ contrastive", seed) for seed in "01"]) - mean(BLURRED, "")
    assert float(row["gain"]) == pytest.approx(gain)
    facts = ("steps", "batch", "crop_px", "feature_net", "seeds", "images", "photographs")
    assert [row[name] for name in facts] == ["4", "2", "32", "random", "0 1", "4", "2"]
    assert next(row for row in rows if row["arm"] == "without")["feature_net"] == ""  # it has none
    costs = lines_of(whole / "cost.csv")
    assert len(costs) == 8 and all(float(line["seconds"]) > 0 for line in costs)
    text = (whole / "ablation.md").read_text()
    assert "4 steps, batch 2, crops of 32 px; feature network: random; seeds 0 1; 4 held-out images of 2" in text


def test_the_deblurgan_study_runs(sets: tuple[Path, Path], tmp_path: Path) -> None:
    few = ("--arms", "start,+ MSE", "--steps", "1")
    assert ablation.main(words(sets, tmp_path, "deblurgan-v2", *few, seeds="0")) == 0
    rows = [row for row in lines_of(tmp_path / "table.csv") if row["metric"] == "psnr"]
    assert [row["arm"] for row in rows] == ["start", "+ MSE"]
    assert rows[0]["loss"] == "100 perceptual (conv3_3) + 1 wgan"
    assert rows[1]["loss"] == "0.5 mse + 0.006 perceptual (conv3_3) + 0.01 ragan-ls"
    assert rows[1]["difference"] == ""  # its neighbour was not asked for
    assert not (tmp_path / "negatives.csv").exists()


def test_a_failed_training_leaves_the_others(
    sets: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = ablation.train

    def fails(training, resume, recipe):  # type: ignore[no-untyped-def]
        if recipe.name == "+ contrastive":
            raise TrainingFailed("the loss became nan at step 2")
        return real(training, resume, recipe)

    monkeypatch.setattr(ablation, "train", fails)
    assert ablation.main(words(sets, tmp_path, "contrastive", seeds="0")) == 1
    assert "+ contrastive, seed 0: the loss became nan at step 2" in capsys.readouterr().out
    arms = {row["arm"] for row in lines_of(tmp_path / "table.csv")}
    assert arms == {"without", "+ blurred negatives", "+ earlier outputs"}


def test_an_image_without_blur_is_left_out_and_counted(sets: tuple[Path, Path], tmp_path: Path) -> None:
    held = make_pairs(tmp_path / "held", count=3, side=64)
    (held / "blur" / "001.png").write_bytes((held / "sharp" / "001.png").read_bytes())
    few = ("--arms", "without", "--steps", "1")
    assert ablation.main(words((sets[0], held), tmp_path / "out", "contrastive", *few, seeds="0")) == 0
    assert {row["key"] for row in lines_of(tmp_path / "out" / "scores.csv")} == {"000", "002"}
    assert "2 held-out images of 2 photographs (middle crops; 1 left out" in (tmp_path / "out/ablation.md").read_text()
    for number in (0, 2):
        (held / "blur" / f"00{number}.png").write_bytes((held / "sharp" / f"00{number}.png").read_bytes())
    assert ablation.main(words((sets[0], held), tmp_path / "none", "contrastive", *few, seeds="0")) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--study", "nothing"),
            "no study is called 'nothing'; there are deblurgan-v2, contrastive, highres, basicvsr",
        ),
        (("--models", "a,b"), "--models takes one network, got 2 names"),
        (("--models", "nothing"), "no network is called 'nothing'"),
        (("--arms", "nothing"), "no arm is called 'nothing'; there are without, "),
        (("--seeds", "1,1"), "--seeds takes different numbers from 0 up, got 1, 1"),
        (("--feature-net", "vgg19", "--weights-dir", "nowhere"), "this recipe's losses need vgg19*.pth in nowhere"),
        (("--held-out", "nowhere"), "pairs.jsonl does not exist"),
    ],
)
def test_bad_arguments(
    more: tuple[str, ...], message: str, sets: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation.main([*words(sets, tmp_path / "out", "contrastive"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_gradient_energy_of_a_ramp() -> None:
    ramp = torch.arange(5.0).expand(1, 3, 4, 5) * 0.1
    assert gradient_energy(ramp) == pytest.approx(0.01)
    assert gradient_energy(torch.full((1, 3, 4, 5), 0.3)) == 0


def test_negatives_get_sharper_from_interval_to_interval(sets: tuple[Path, Path]) -> None:
    pairs, _ = manifest_pairs(sets[0])
    sampler = PairSampler(pairs, seed=0, crop_px=32, clip_frames=1, flips=(), reversal=False)
    contrast = Contrast(weight=0.1, layers=("relu1_1",), layer_weights=(1.0,), shares=(0.0, 0.25, 0.5))
    rows = sharpness(sampler, contrast, steps=10, batch=2)
    assert [(row.first_step, row.last_step, row.share) for row in rows] == [(0, 3, 0.0), (4, 6, 0.25), (7, 9, 0.5)]
    assert [contrast.share_at(row.last_step, 10) for row in rows] == [row.share for row in rows]
    for row in rows:
        # The negative's error is (1 - share) times the blur's.
        assert row.psnr - row.blurred_psnr == pytest.approx(-20 * np.log10(1 - row.share), abs=1e-3)
    assert rows[0].gradient_energy == rows[0].blurred_gradient_energy
    relative = [row.gradient_energy / row.blurred_gradient_energy for row in rows]
    assert relative == sorted(relative) and relative[-1] > 1.1
    assert rows[0].crops == 8


def test_the_contrastive_loss_along_the_way_to_the_sharp_image() -> None:
    """Without noise it is (1 - way) / way on pixels: above 1 in the first half, where noise lowers it."""
    blur, sharp = torch.zeros(4, 3, 32, 32), torch.ones(4, 3, 32, 32)
    found = {(row.way, row.noise): row.loss for row in anchor_losses(blur, sharp, None, (1.0,))}
    assert found[0.75, 0.01] == pytest.approx(1 / 3, rel=1e-3) and found[0.25, 0.01] == pytest.approx(3, rel=1e-2)
    assert found[0.0, 0.01] > found[0.0, 0.03] > found[0.0, 0.1] > 1
    share = math.sqrt(2 / math.pi)  # mean |N(0, s)| is s sqrt(2 / pi)
    assert found[0.0, 0.1] == pytest.approx(1 / (0.1 * share), rel=0.02)


def test_the_plot_is_a_picture_of_the_numbers() -> None:
    rows = [
        Sharpness(
            interval=number + 1,
            first_step=10 * number,
            last_step=10 * number + 9,
            share=number / 4,
            crops=8,
            gradient_energy=0.5 + 0.1 * number,
            psnr=25.0 + number,
            blurred_gradient_energy=0.5,
            blurred_psnr=25.0,
        )
        for number in range(3)
    ]
    text = plot(rows, "negatives & more")
    tree = ElementTree.fromstring(text)
    lines = [node.get("points") or "" for node in tree.iter() if node.tag.endswith("polyline")]
    assert len(lines) == 4  # of either panel: the blurred crops, the negatives
    heights = [float(point.split(",")[1]) for point in lines[1].split()]
    assert heights == sorted(heights, reverse=True) and heights[0] > heights[-1]  # up is less in SVG
    assert "negatives &amp; more" in text and ">0.7<" in text and ">27<" in text
