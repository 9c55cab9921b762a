"""Every recipe trains a few steps on tiny networks; its loss is what it says; GANs and stages resume exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from core.weights_files import load_state_dict
from models.feature_nets import feature_net
from models.recipes import RECIPES, find_recipe
from models.training import checkpoint
from models.training.discriminators import Discriminator
from models.training.loop import TrainConfig, TrainingFailed, _Training, plan, train
from models.training.objective import Objective
from models.weights import interpolate
from models.zoo import MODELS
from tests.models.face_data import use_tiny_networks
from tests.models.training.training_data import DISCRIMINATORS, make_pairs, narrow_features, tiny_opponents


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(autouse=True)
def tiny_opponents_and_features(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_networks(monkeypatch)
    narrow_features(monkeypatch)
    tiny_opponents(monkeypatch)


def config(pairs_folder: Path, out: Path, recipe: str, **changes: object) -> TrainConfig:
    common = TrainConfig(
        model="mimo-unet-test",
        recipe=recipe,
        pairs=(pairs_folder,),
        steps=4,
        out=out,
        device="cpu",
        threads=1,
        batch=2,
        feature_net="random",
        from_scratch=True,
    )
    return replace(common, **changes)


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_every_recipe_trains(recipe: str, profile: str, pairs: Path, tmp_path: Path) -> None:
    model = "stfan-test" if recipe.startswith("stfan") else "mimo-unet-test"
    chosen = config(pairs, tmp_path, recipe, model=model, profile=profile, hold_out="0.5", crop_px=48)
    meta = train(chosen, resume=False).meta
    assert meta["finished"] and meta["steps_done"] == 4 and meta["validation"]["psnr"] > 3
    assert meta["kind"] == find_recipe(recipe, profile).kind("mimo-unet") and meta["variant"] in ("", "paper", "code")
    needed = find_recipe(recipe, profile).needs_features()
    assert meta["feature_net"] == ("random" if needed else "")


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "gfpgan"])  # that: test_gfpgan_training.py
def test_quick_lowers_the_loss_on_one_batch(recipe: str, pairs: Path, tmp_path: Path) -> None:
    """The same samples over and over: what the network itself is to lower, without the opponent, falls."""
    training = _Training(plan(config(pairs, tmp_path, recipe, steps=24)))
    batch = training.sampler.batch(0, 2)
    training.sampler.parts = lambda *_, **__: [batch]  # type: ignore[method-assign]
    own = []
    for step in range(training.plan.stages[0].last):
        training.step(step)
        told = sum(value for name, value in training.terms.items() if name.startswith("loss/adversarial"))
        own.append(training.terms["loss"] - told)
    # Where the negatives are earlier outputs, each interval has a loss of its own: theirs are nearer than the blur.
    first = len(own) // 4 if recipe == "mimo-unet-contrastive-average" else len(own)
    assert np.mean(own[first - 3 : first]) < np.mean(own[:3])


def test_deblurgan_v2_loss_by_hand() -> None:
    """0.5 MSE of normalised images + 0.006 MSE of conv3_3 + 0.01 half the mean of the two RaGAN-LS losses."""
    torch.manual_seed(0)
    recipe = find_recipe("deblurgan-v2", "paper")
    assert recipe.adversary is not None
    opponent = Discriminator(recipe.adversary, torch.device("cpu"))
    objective = Objective(
        recipe, feature_net_name="random", weights_dir=None, discriminator=opponent, device=torch.device("cpu")
    )
    restored, sharp = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    loss, terms = objective.loss([(restored, sharp)], sharp[:, None], step=0, steps=10)
    deviation = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    images = 0.5 * (((restored.numpy() - sharp.numpy()) / deviation) ** 2).mean()
    maps = [feature_net("random", ["conv3_3"], None)(side)[0].detach().numpy() for side in (restored, sharp)]
    perceptual = 0.006 * ((maps[0] - maps[1]) ** 2).mean()
    adversarial = 0.0
    with torch.no_grad():
        scores = zip(opponent.module(sharp * 2 - 1), opponent.module(restored * 2 - 1), strict=True)
    for real, made in ((one.numpy(), two.numpy()) for one, two in scores):
        above, below = made - real.mean() - 1, real - made.mean() + 1
        adversarial += 0.01 * ((above**2).mean() + (below**2).mean()) / 2 / 2
    assert float(terms["images"]) == pytest.approx(images, rel=1e-5)
    assert float(terms["perceptual"]) == pytest.approx(perceptual, rel=1e-4)
    assert float(terms["adversarial"]) == pytest.approx(adversarial, rel=1e-4)
    assert float(loss) == pytest.approx(images + perceptual + adversarial, rel=1e-4)


def test_the_generators_step_leaves_the_discriminator_alone_and_the_other_way_round(
    pairs: Path, tmp_path: Path
) -> None:
    training = _Training(plan(config(pairs, tmp_path, "deblurgan", model="deblurgan-v2-mobilenet-test")))
    opponent = training.opponents.whole
    assert opponent is not None
    before = [parameter.detach().clone() for parameter in opponent.module.parameters()]
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    opponent.generator_loss(images, torch.rand(1, 3, 32, 32)).backward()
    assert images.grad is not None and all(parameter.grad is None for parameter in opponent.module.parameters())
    network = [parameter.detach().clone() for parameter in training.module.parameters()]
    opponent.update([(images, torch.rand(1, 3, 32, 32))], 1e-4)
    assert any(not torch.equal(*both) for both in zip(before, opponent.module.parameters(), strict=True))
    assert all(torch.equal(*both) for both in zip(network, training.module.parameters(), strict=True))


@pytest.mark.parametrize(
    ("recipe", "cut"),
    [("esrgan", 2), ("esrgan", 3), ("esrgan", 5), ("deblurgan-v2", 3), ("mimo-unet-contrastive-average", 4)],
)
def test_gan_and_stages_resume_to_the_same_bytes(
    recipe: str, cut: int, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved after every step, stopped after some, taken up in a new object: both networks, both optimisers.

    And the pools of scores, and the network that makes the negatives.
    """
    find = RECIPES[recipe]

    def every_step(profile: str) -> object:
        found = find(profile)
        stages = tuple(replace(stage, checkpoint_every=1, validate_every=2) for stage in found.stages)
        return replace(found, checkpoint_every=1, validate_every=2, stages=stages)

    monkeypatch.setitem(RECIPES, recipe, every_step)
    chosen = config(pairs, tmp_path / "whole", recipe, steps=6)
    whole = train(chosen, resume=False)
    save = _Training.save

    def stopped(self: _Training, steps_done: int, validation: dict | None) -> object:
        written = save(self, steps_done, validation)
        if steps_done == cut:
            raise KeyboardInterrupt
        return written

    cut_config = replace(chosen, out=tmp_path / "cut")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_Training, "save", stopped)
        train(cut_config, resume=False)
    resumed = train(cut_config, resume=True)
    files = sorted(path.name for path in whole.folder.iterdir() if path.suffix in (".safetensors", ".json"))
    assert checkpoint.BEST in files and ("stage-1.safetensors" in files) == (recipe == "esrgan")
    for name in files:
        assert (whole.folder / name).read_bytes() == (resumed.folder / name).read_bytes(), name


def test_esrgan_keeps_both_networks_for_interpolation(pairs: Path, tmp_path: Path) -> None:
    info = train(config(pairs, tmp_path, "esrgan", steps=8), resume=False)
    mixed = interpolate(info.folder / "stage-1.safetensors", info.weights, 0.5)
    module = MODELS["mimo-unet-test"].build()
    module.load_state_dict(mixed)
    first, last = (load_state_dict(path) for path in (info.folder / "stage-1.safetensors", info.weights))
    key = next(iter(mixed))
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert torch.allclose(module.state_dict()[key], (first[key] + last[key]) / 2)


def test_parts_that_are_frozen_stay(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the training without the encoder, then with it; a slow part moves by its share of the rate."""
    recipe = replace(
        find_recipe("mimo-unet", "paper"), frozen=("Encoder.",), frozen_until=0.5, slow=(("Decoder.", 0.01),)
    )
    monkeypatch.setitem(RECIPES, "mimo-unet", lambda profile: recipe)
    training = _Training(plan(config(pairs, tmp_path, "mimo-unet")))
    start = {name: value.detach().clone() for name, value in training.module.named_parameters()}

    def moved(beginning: str) -> float:
        now = training.module.named_parameters()
        return max(float((v.detach() - start[n]).abs().max()) for n, v in now if n.startswith(beginning))

    training.step(0)
    training.step(1)
    assert moved("Encoder.") == 0 and moved("FAM1.") > 1e-4
    assert 0 < moved("Decoder.") < 0.02 * moved("FAM1.")
    training.step(2)
    assert moved("Encoder.") > 1e-5


def test_parts_of_a_batch_give_its_gradient(pairs: Path, tmp_path: Path) -> None:
    gradients = []
    for parts in (1, 2):
        torch.manual_seed(0)
        training = _Training(plan(config(pairs, tmp_path, "mimo-unet", profile="paper", batch=4, accumulate=parts)))
        training.step(0)
        gradients.append([p.grad for p in training.module.parameters() if p.grad is not None])
    whole, split = (torch.cat([gradient.flatten() for gradient in one]) for one in gradients)
    assert float((whole - split).norm() / whole.norm()) < 1e-5


def test_mixed_precision_is_near(pairs: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        training = _Training(plan(config(pairs, tmp_path, "mimo-unet", profile="paper", precision=precision)))
        losses.append(training.step(0))
        assert all(parameter.dtype == torch.float32 for parameter in training.module.parameters())
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.02)


def test_negatives_grow_sharper() -> None:
    contrast = find_recipe("mimo-unet-contrastive", "paper").contrast
    assert contrast is not None
    shares = [contrast.share_at(step, 3000) for step in range(3000)]
    assert shares == sorted(shares) and shares[749] == 0 and shares[750] == 1 / 8 and shares[2999] == 3 / 8
    assert max(shares) < 1 - 10 ** (-(31.73 - 25.64) / 20)  # the anchor's error at the end of training


def test_missing_weights_stop_before_the_first_step(pairs: Path, tmp_path: Path) -> None:
    chosen = config(pairs, tmp_path, "deblurgan-v2", feature_net="vgg19", weights_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"vgg19\*\.pth in .*--feature-net squeezenet or random"):
        train(chosen, resume=False)
    assert not list(tmp_path.rglob(checkpoint.META))


def test_a_discriminator_that_is_not_there(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(MODELS, DISCRIMINATORS[0])
    with pytest.raises(ValueError, match=f"no discriminator is called '{DISCRIMINATORS[0]}'; there are .*vgg-style"):
        plan(config(pairs, tmp_path, "deblurgan-v2"))


def test_the_batch_of_a_failure_is_kept(pairs: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    training = _Training(plan(config(pairs, tmp_path, "mimo-unet")))
    with torch.no_grad():
        next(training.module.parameters()).fill_(math.nan)
    expected = training.sampler.batch(training.stage.drawn_at(3), 2)
    with pytest.raises(TrainingFailed, match=r"became nan at step 3 \(its batch is in failed_batch\.safetensors\)"):
        training.step(3)
    kept = load_file(training.plan.folder / checkpoint.FAILED_BATCH)
    assert torch.equal(kept["blur"], expected[0]) and torch.equal(kept["sharp"], expected[1]) and int(kept["step"]) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch": 0}, "the batch is at least 1, got 0"),
        ({"batch": 3, "accumulate": 2}, "a batch of 3 does not split into 2 equal parts"),
        ({"precision": "float16"}, "the precision is float32 or bfloat16"),
        ({"mix": (1.0, 2.0)}, "--mix needs one number per folder of pairs: 1 folders, got 2"),
        ({"every": (0,)}, "--every takes numbers above 0, got 0"),
    ],
)
def test_bad_settings(changes: dict, sentence: str, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        plan(config(pairs, tmp_path, "mimo-unet", **changes))


@pytest.mark.parametrize(
    ("recipe", "model"),
    [("esrgan", "rrdbnet-x4-test"), ("real-esrgan", "rrdbnet-x2-test"), ("edvr", "edvr-x4-test")],
)
def test_enlarging_networks_train_on_pairs_of_one_size(recipe: str, model: str, pairs: Path, tmp_path: Path) -> None:
    info = train(config(pairs, tmp_path, recipe, model=model, steps=2, batch=1), resume=False)
    assert info.finished and info.meta["validation"]["psnr"] > 3


def test_both_networks_learn_in_their_stage(pairs: Path, tmp_path: Path) -> None:
    """The high-resolution pair: the first learns in stage 1 by its own image and rests in stage 2."""
    training = _Training(plan(config(pairs, tmp_path, "highres-mlfa", model="highres-mlfa-test")))
    first = training.module.get_submodule("first_stage.output")
    weights = [next(first.parameters()).detach().clone()]
    for step in range(training.plan.steps):
        training.step(step)
        weights.append(next(first.parameters()).detach().clone())
    changes = training.plan.stages[1].first
    assert all(not torch.equal(*both) for both in pairwise(weights[: changes + 1]))
    assert all(torch.equal(weights[changes], later) for later in weights[changes:])


def test_default_recipes_are_there() -> None:
    assert {spec.recipe for spec in MODELS.values()} - {""} <= set(RECIPES)
    assert MODELS["deblurgan"].recipe == "deblurgan" and MODELS["deblurgan-v2-inception"].recipe == "deblurgan-v2"
    for spec in MODELS.values():  # the published recipe wherever one is known, in the profile of that name
        assert {spec.recipe_for("quick"), spec.recipe_for("paper")} - {""} <= set(RECIPES)
        if not spec.name.endswith("-test") and spec.recipe:
            ours = find_recipe(spec.recipe, "paper").kind() == "ours"
            assert ours == (spec.name == "motion-unet-small"), spec.name
    assert MODELS["deblurgan-v2-mobilenet"].recipe_for("quick") == "charbonnier"  # the leaderboard was measured with it
    assert MODELS["gfpgan"].recipe_for("quick") == ""
