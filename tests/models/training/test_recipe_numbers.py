"""What is easily got wrong in a recipe, as numbers: pools of scores, ranges of penalties, steps, windows, weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.losses import LOSSES
from models.nets.edvr import EDVR, AttentionFusion
from models.nets.edvr import _outputs as edvr_outputs
from models.nets.esrgan import RRDBNet
from models.nets.layers import residual_blocks
from models.nets.stfan import STFAN
from models.recipes import Adversary, find_recipe
from models.spec import ModelSpec
from models.training.discriminators import Discriminator
from models.training.loop import TrainConfig, _Training, plan, train
from models.training.stages import planned_stages
from models.training.start import initialise, renew
from models.zoo import MODELS
from tests.models.face_data import use_tiny_networks
from tests.models.training.training_data import make_pairs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"), count=8, side=64)


class Slope(nn.Module):
    """A critic whose gradient is known: the sum of an image times a number."""

    def __init__(self, slope: float = 3.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, images: Tensor) -> Tensor:
        return self.slope * images.sum(dim=(1, 2, 3))


def opponent(monkeypatch: pytest.MonkeyPatch, **terms: object) -> Discriminator:
    spec = ModelSpec(
        name="slope", task="discriminator", build=Slope, adapter=None, frames=1, multiple_of=1, value_range=(-1.0, 1.0),
        weights=(), recipe="", source="a test", published="",
    )  # fmt: skip
    monkeypatch.setitem(MODELS, "slope", spec)
    return Discriminator(Adversary(discriminator="slope", weight=1.0, **terms), CPU)  # type: ignore[arg-type]


def test_relativistic_means_run_over_the_last_fifty_scores_without_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty images' scores go in, one each; fifty count. Hand-computed: halves, and a gradient of the scores alone."""
    critic = opponent(monkeypatch, loss="ragan-ls", score_pool=50, halved=True)
    real, made = np.arange(60.0), np.arange(60.0) / 10 - 1
    for one, two in zip(real, made, strict=True):
        critic._remember([torch.tensor([one])], [torch.tensor([two])])
    assert critic.pool.shape == (50, 2, 1)
    sharp, restored = torch.tensor([2.0, 5.0]), torch.tensor([0.5, -1.0, 3.0], requires_grad=True)
    sharp_mean, restored_mean = real[10:].mean(), made[10:].mean()
    loss = critic._mean("g", [sharp], [restored])
    above, below = np.array([2.0, 5.0]) - restored_mean, np.array([0.5, -1.0, 3.0]) - sharp_mean
    expected = (((above + 1) ** 2).mean() + ((below - 1) ** 2).mean()) / 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert restored.grad is not None
    assert restored.grad.tolist() == pytest.approx((below - 1) / 3, rel=1e-5)  # 2 (b - 1) / 3 / 2, nothing of the means
    told = critic._mean("d", [sharp], [restored.detach()])
    assert float(told) == pytest.approx((((above - 1) ** 2).mean() + ((below + 1) ** 2).mean()) / 2, rel=1e-6)


def test_without_a_pool_the_gradient_runs_through_the_mean() -> None:
    sharp, restored = torch.tensor([2.0, 5.0]), torch.tensor([0.5, -1.0], requires_grad=True)
    LOSSES["ragan-ls-g"](sharp, restored).backward()
    mean, sharp_mean = -0.25, 3.5
    own = 2 * (np.array([0.5, -1.0]) - sharp_mean - 1) / 2
    through = -2 * (np.array([2.0, 5.0]) - mean + 1).mean() / 2
    assert restored.grad is not None and restored.grad.tolist() == pytest.approx(own + through, rel=1e-6)


def test_gradients_are_measured_on_the_critics_own_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """D(x) = 3 sum(x) on [-1, 1]: the gradient is 3 in each of 12 numbers, whatever range the images come in."""
    sharp, restored = torch.rand(2, 3, 2, 2), torch.rand(2, 3, 2, 2)
    squares = 12 * 3.0**2
    critic = opponent(monkeypatch, loss="gan", r1=10.0)
    plain = float(critic._loss(restored, sharp, 1).detach())
    with_r1 = float(critic._loss(restored, sharp, 0).detach())
    assert with_r1 - plain == pytest.approx(10 / 2 * squares * 16, rel=1e-4)
    for norm, expected in (("image", (math.sqrt(squares) - 1) ** 2), ("pixel", (math.sqrt(3 * 9.0) - 1) ** 2)):
        critic = opponent(monkeypatch, loss="wgan", gradient_penalty=10.0, penalty_norm=norm)
        bare = opponent(monkeypatch, loss="wgan")
        loss = float(critic._loss(restored, sharp, 1).detach()) - float(bare._loss(restored, sharp, 1).detach())
        assert loss == pytest.approx(10 * expected, rel=1e-4)


def test_a_clip_of_stfan_is_one_optimiser_step_a_frame(pairs: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        model="stfan-test", recipe="stfan", profile="paper", pairs=(pairs,), steps=2, out=tmp_path, device="cpu",
        threads=1, batch=1, crop_px=32, feature_net="random",
    )  # fmt: skip
    training = _Training(plan(config))
    assert training.sampler.batch(0, 1)[0].shape[1] == 4  # of 20 frames that it asks for: a sequence has no more
    training.step(0)
    steps = {int(state["step"]) for state in training.optimiser.state.values()}
    assert steps == {4}
    training.step(1)
    assert {int(state["step"]) for state in training.optimiser.state.values()} == {8}
    whole = planned_stages(
        find_recipe("stfan", "paper"), MODELS["stfan"], pairs=5708, side_px=720, total=None, batch=None, accumulate=1
    )
    assert whole[-1].last == 45_000 and whole[0].optimiser_steps == 900_000
    code = planned_stages(
        find_recipe("stfan", "paper", "code"), MODELS["stfan"], pairs=5540, side_px=720, total=None, batch=None,
        accumulate=1,
    )  # fmt: skip
    assert code[0].optimiser_steps == 400 * 5540 and 80 * 5540 == 443_200
    assert code[0].recipe.learning_rate_at(443_200 // 20 - 1, code[0].steps) == 1e-4
    assert code[0].recipe.learning_rate_at(443_200 // 20, code[0].steps) == pytest.approx(1e-5)


def test_what_stfan_hands_on_is_clamped_and_has_no_gradient() -> None:
    seen: list[tuple[Tensor, Tensor | None]] = []
    weight = torch.tensor(2.0, requires_grad=True)

    def module(frame: Tensor, _: Tensor, previous: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        seen.append((previous, features))
        return frame * weight, frame.mean() * weight

    step = MODELS["stfan"].training.step
    assert step is not None
    frame, state = torch.full((1, 3, 2, 2), 0.75), None
    for _ in range(2):
        output, state = step(module, frame, state)
        assert output.max() == 1.5
    previous, features = seen[1]
    assert previous.max() == 1.0 and not previous.requires_grad
    assert features is not None and not features.requires_grad


def test_a_clip_of_five_is_one_window_of_edvr_and_nine_are_five() -> None:
    class Middle(nn.Module):
        deblur = True

        def forward(self, clip: Tensor) -> Tensor:
            return clip[:, 2]

    for count, expected in ((5, [2]), (9, [2, 3, 4, 5, 6]), (3, [0, 1, 2])):
        clip = torch.arange(count, dtype=torch.float32).view(1, count, 1, 1, 1).expand(1, count, 3, 16, 16)
        found = edvr_outputs(Middle(), clip, clip)
        assert [int(output[0, 0, 0, 0]) for output, _ in found] == expected
        assert all(torch.equal(*pair) for pair in found)


def test_standard_deviations_at_the_start() -> None:
    """Kaiming's sqrt(2 / fan in), times 0.1 in ESRGAN's dense and the video networks' residual blocks; others stay."""
    torch.manual_seed(0)
    net = RRDBNet(channels=32, blocks=2, growth=16)
    before = net.conv_first.weight.detach().clone()
    initialise(net, "small")
    assert torch.equal(net.conv_first.weight, before)
    for layer, inputs in ((net.body[0].rdb1.conv1, 32), (net.body[1].rdb3.conv5, 32 + 4 * 16)):
        assert float(layer.weight.detach().std()) == pytest.approx(0.1 * math.sqrt(2 / (9 * inputs)), rel=0.05)
        assert float(layer.bias.detach().abs().max()) == 0
    blocks = residual_blocks(48, 2)
    initialise(blocks, "small")
    assert float(blocks[1].conv2.weight.detach().std()) == pytest.approx(0.1 * math.sqrt(2 / (9 * 48)), rel=0.05)
    stfan = STFAN(channels=(16, 32, 32))
    initialise(stfan, "xavier")
    weight = stfan.conv2_1[0].weight
    assert float(weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / (9 * (16 + 32))), rel=0.01)
    conv = nn.Sequential(nn.Conv2d(16, 64, 3))
    initialise(conv, "dmphn")
    assert float(conv[0].weight.detach().std()) == pytest.approx(0.5 * math.sqrt(2 / (9 * 64)), rel=0.05)


def test_xavier_keeps_stfans_recurrence_within_bounds() -> None:
    """Kaiming's normal numbers let the restored image grow from frame to frame; Xavier's do not."""
    torch.manual_seed(0)
    module = STFAN(channels=(16, 32, 32))
    initialise(module, "xavier")
    blur = torch.rand(1, 6, 3, 16, 16)
    step, state, outputs = MODELS["stfan"].training.step, None, []
    assert step is not None
    with torch.no_grad():
        for frame in blur.unbind(1):
            output, state = step(module, frame, state)
            outputs.append(float(output.abs().max()))
    assert max(outputs) < 4


def test_edvrs_attention_is_passed_over_and_starts_anew() -> None:
    torch.manual_seed(0)
    fusion = AttentionFusion(4, 5, 2)
    aligned = [torch.rand(1, 4, 8, 8) for _ in range(5)]
    fusion.passed_over = True
    assert torch.equal(fusion(aligned), fusion.feat_fusion(torch.cat(aligned, dim=1)))
    module = EDVR(channels=8, groups=2, blocks=(1, 1), last=8)
    old = {key: value.clone() for key, value in module.state_dict().items()}
    renew(module, ("fusion.",))
    changed = {key for key, value in module.state_dict().items() if not torch.equal(value, old[key])}
    assert changed == {key for key in old if key.startswith("fusion.")}


def trained(pairs: Path, out: Path, model: str, recipe: str, **changes: object) -> _Training:
    common = TrainConfig(
        model=model, recipe=recipe, profile="paper", pairs=(pairs,), steps=12, out=out, device="cpu", threads=1,
        batch=1, crop_px=64, feature_net="random", from_scratch=True,
    )  # fmt: skip
    return _Training(plan(replace(common, **changes)))


def moved(training: _Training, start: dict[str, Tensor]) -> set[str]:
    return {key for key, value in training.module.named_parameters() if not torch.equal(value, start[key])}


def start_of(training: _Training) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in training.module.named_parameters()}


def test_edvr_trains_without_its_attention_and_then_the_attention_alone(pairs: Path, tmp_path: Path) -> None:
    training = trained(pairs, tmp_path, "edvr-test", "edvr", steps=24)
    start = start_of(training)
    training.step(0)
    attention = {key for key in start if key.startswith("fusion.") and "feat_fusion" not in key}
    assert attention and not attention & moved(training, start) and "conv_last.weight" in moved(training, start)
    training._enter(1)
    start = start_of(training)
    training.step(12)
    assert moved(training, start) <= {key for key in start if key.startswith("fusion.")} and moved(training, start)
    start = start_of(training)
    training.step(13)  # a twelfth of the stage is over
    assert "conv_last.weight" in moved(training, start)


def test_a_prior_that_is_given_stays_and_one_that_is_not_learns(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GFPGAN's decoder: frozen to the end as a trained StyleGAN2, trained from random numbers without one."""
    from safetensors.torch import save_file

    use_tiny_networks(monkeypatch)
    built = MODELS["gfpgan-test"].build()
    prior = tmp_path / "prior.safetensors"
    save_file({key: value.clone() for key, value in built.stylegan_decoder.state_dict().items()}, prior)  # type: ignore[union-attr]
    side = MODELS["gfpgan-test"].side_px
    faces = make_pairs(tmp_path / "faces", side=side or 64)
    for backbone in (prior, None):
        training = trained(faces, tmp_path, "gfpgan-test", "gfpgan", backbone=backbone, crop_px=None, steps=2)
        start = start_of(training)
        training.step(0)
        changed = moved(training, start)
        decoder = {key for key in changed if key.startswith("stylegan_decoder.")}
        assert bool(decoder) == (backbone is None)
        assert changed - decoder


def test_the_flow_network_is_frozen_at_trained_weights_and_slow_after(pairs: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from models.nets.motion_parts import SPYNET

    flow = tmp_path / "spynet.safetensors"
    torch.manual_seed(1)
    save_file({key: value.clone() for key, value in SPYNET.build().state_dict().items()}, flow)
    config = {"parts": (("spynet", flow),), "steps": 60, "from_scratch": False}
    training = trained(pairs, tmp_path, "basicvsr-deblur-test", "basicvsr", **config)
    start = start_of(training)
    assert training.plan.without == ()
    training.step(0)
    flows = {key for key in start if key.startswith("spynet.")}
    assert flows and not flows & moved(training, start) and "conv_last.weight" in moved(training, start)
    training.step(1)  # 5,000 of 300,000 steps are one of 60
    assert flows & moved(training, start)
    factors = {group["factor"] for group in training.optimiser.param_groups}
    assert factors == {1.0, 0.125}
    alone = trained(pairs, tmp_path, "basicvsr-deblur-test", "basicvsr")
    assert [one.name for one in alone.plan.without] == ["SPyNet"]
    start = start_of(alone)
    alone.step(0)
    assert flows & moved(alone, start) and {group["factor"] for group in alone.optimiser.param_groups} == {1.0}


@pytest.mark.parametrize(
    ("model", "recipe", "sentence"),
    [
        ("basicvsr-deblur-test", "basicvsr", r"starts from trained weights: give SPyNet .* as --backbone spynet=FILE"),
        ("iconvsr-x4-test", "iconvsr", r"SPyNet .* and EDVR's extractor of features .*--backbone edvr=FILE"),
        (
            "deblurgan-v2-mobilenet-test",
            "deblurgan-v2",
            r"MobileNetV2 trained on ImageNet \(mobilenet_v2-.*--backbone FILE",
        ),
        ("gfpgan-test", "gfpgan", r"StyleGAN2 trained on FFHQ"),
        ("rrdbnet-x4-test", "real-esrgan", r"ESRGAN .* as --start FILE"),
    ],
)
def test_a_starting_point_that_is_missing_is_asked_for(
    model: str, recipe: str, sentence: str, pairs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=sentence + r".*--from-scratch, which every row will say"):
        trained(pairs, tmp_path, model, recipe, from_scratch=False)


def test_the_checkpoint_says_what_was_missing(pairs: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        model="basicvsr-deblur-test", recipe="basicvsr", profile="paper", pairs=(pairs,), steps=2, out=tmp_path,
        device="cpu", threads=1, batch=1, crop_px=64, from_scratch=True,
    )  # fmt: skip
    meta = train(config, resume=False).meta
    assert "from scratch, without SPyNet" in meta["switches"] and meta["starts"] == ["from scratch, without SPyNet"]
    assert meta["kind"] == "adapted" and meta["switches"][0] == "recipe basicvsr (adapted: published for basicvsr-x4)"


def test_restormers_crops_grow_under_one_schedule() -> None:
    stages = planned_stages(
        find_recipe("restormer", "paper"), MODELS["restormer"], pairs=2103, side_px=720, total=None, batch=None,
        accumulate=1,
    )  # fmt: skip
    assert [(stage.steps, stage.batch, stage.crop_px) for stage in stages] == [
        (92_000, 64, 128), (64_000, 40, 160), (48_000, 32, 192), (36_000, 16, 256), (36_000, 8, 320), (24_000, 8, 384),
    ]  # fmt: skip
    assert {stage.schedule for stage in stages} == {(0, 300_000)}
    recipe = stages[0].recipe
    rates = [recipe.learning_rate_at(step, 300_000) for step in (0, 91_999, 196_000, 299_999)]
    assert rates == pytest.approx([3e-4, 3e-4, 1.505e-4, 1e-6], rel=1e-3)  # half of the cosine is half of the way


def test_schedules_by_hand() -> None:
    srn = find_recipe("srn", "paper")
    assert srn.learning_rate_at(0, 1000) == 1e-4
    assert srn.learning_rate_at(500, 1000) == pytest.approx((1e-4 - 1e-6) * 0.5**0.3 + 1e-6)
    large = find_recipe("edvr-l", "paper").stages[1]
    assert large.learning_rate_at(0, 600_000) == 4e-4
    assert large.learning_rate_at(50_000, 600_000) == pytest.approx(1e-7 + 0.5 * (4e-4 - 1e-7))  # restarts at half
    code = find_recipe("deblurgan-v2", "paper", "code")
    assert code.learning_rate_at(50, 200) == 1e-4 and code.learning_rate_at(125, 200) == pytest.approx(5.005e-5)


def test_real_esrgans_input_is_made_of_the_sharpened_target_at_a_quarter(pairs: Path, tmp_path: Path) -> None:
    training = trained(pairs, tmp_path, "rrdbnet-x4-test", "real-esrgan", steps=4)
    training._enter(1)  # the stage with a discriminator
    ((small, target, plain),) = training.sampler.parts(0, 2)
    assert small.shape == (2, 1, 3, 16, 16) and target.shape == plain.shape == (2, 1, 3, 64, 64)
    assert not torch.equal(target, plain)  # the discriminator's is not sharpened
    assert training.step(2) > 0


def test_esrgans_input_is_bicubic(pairs: Path, tmp_path: Path) -> None:
    from core import bicubic

    training = trained(pairs, tmp_path, "rrdbnet-x4-test", "esrgan", steps=4)
    ((small, sharp),) = training.sampler.parts(0, 1)
    expected = bicubic.reduced(np.moveaxis(sharp[0, 0].numpy(), 0, -1), 4)
    assert np.array_equal(np.moveaxis(small[0, 0].numpy(), 0, -1), expected)


def test_negatives_are_earlier_outputs_in_the_other_reading(pairs: Path, tmp_path: Path) -> None:
    training = trained(pairs, tmp_path, "mimo-unet-test", "mimo-unet-contrastive-average", steps=8)
    blur = torch.rand(1, 1, 3, 32, 32)
    training.step(0)
    assert training._negative(blur, blur) is None  # the first interval: the blurred image itself
    training.step(1)
    kept = {key: value.clone() for key, value in training.average.items()}
    training.step(2)
    assert training.negatives is not None
    assert all(torch.equal(value, kept[key]) for key, value in training.negatives.state_dict().items())
    negative = training._negative(blur, blur)
    assert negative is not None and negative.shape == (1, 3, 32, 32) and not negative.requires_grad
    training.step(3)
    assert all(torch.equal(value, kept[key]) for key, value in training.negatives.state_dict().items())
