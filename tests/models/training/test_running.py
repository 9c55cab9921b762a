"""What a training says where a network cannot run: too few numbers for a batch norm, no compiler, a failed one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import train
from models.training import checkpoint
from models.training.plan import TrainConfig, plan
from models.training.running import Running
from tests.models.training.training_data import make_pairs

CPU = torch.device("cpu")


def still(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(module(blur[:, 0]), sharp[:, 0])]


def running(module: nn.Module, **changes: object) -> Running:
    chosen = {"name": "tiny", "compiled": False, "precision": "float32", "device": CPU} | changes
    return Running(module, still, **chosen)  # type: ignore[arg-type]


def words(pairs: Path, out: Path, recipe: str, model: str, *more: str) -> list[str]:
    chosen = {"--pairs": pairs, "--out": out, "--recipe": recipe, "--model": model, "--steps": 2, "--threads": 1}
    return [*(str(word) for pair in chosen.items() for word in pair), "--feature-net", "random", *more]


def test_one_number_per_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The network's batch norms, and those of a second stage's discriminator, before the first step is made."""
    pairs = make_pairs(tmp_path / "pairs", side=32)
    out = tmp_path / "out"
    for recipe, model, who in (
        ("charbonnier", "deblurgan-v2-mobilenet-test", "deblurgan-v2-mobilenet-test"),
        ("esrgan", "mimo-unet-test", "vgg-style-discriminator-128"),
    ):
        assert train.main(words(pairs, out / recipe, recipe, model, "--batch", "1")) == 2
        error = capsys.readouterr().err
        assert f"{who} has a batch norm that is left with one number per channel by crops of 32 px" in error
        assert "use larger images, or --batch 2 or more" in error and error.count("\n") == 1
        assert not list(out.rglob(checkpoint.WEIGHTS))


def test_crops_fit_the_discriminator(tmp_path: Path) -> None:
    """64 of 70 px for five halvings; the network alone would take 68."""
    pairs = make_pairs(tmp_path, side=70)
    config = TrainConfig(model="mimo-unet-test", recipe="esrgan", pairs=(pairs,), feature_net="random", steps=2)
    assert [stage.crop_px for stage in plan(config).stages] == [64, 64]
    small = make_pairs(tmp_path / "small", side=24)
    with pytest.raises(ValueError, match="mimo-unet-test with vgg-style-discriminator-128 trains on crops of at l"):
        plan(TrainConfig(model="mimo-unet-test", recipe="esrgan", pairs=(small,), feature_net="random", steps=2))


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = make_pairs(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    config = TrainConfig(model="mimo-unet-test", pairs=(pairs,), device="cpu", compile=True)
    with pytest.raises(ValueError, match=r"--compile needs a C\+\+ compiler on the CPU and none of g\+\+, clang\+\+"):
        plan(config)


def test_failed_compiling_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import InternalTorchDynamoError

    def fails(module: nn.Module) -> nn.Module:
        class Failing(nn.Module):
            def forward(self, image: Tensor) -> Tensor:
                raise InternalTorchDynamoError("a kernel\nand a long trace")

        return Failing()

    monkeypatch.setattr(torch, "compile", fails)
    blur = torch.rand(1, 1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"tiny cannot be compiled here \(a kernel\); leave --compile away"):
        running(nn.Identity(), compiled=True)(blur, blur)


def test_other_errors_stay_what_they_are() -> None:
    class Wrong(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        running(Wrong())(torch.rand(1, 1, 3, 8, 8), torch.rand(1, 1, 3, 8, 8))


def test_mixed_precision_gives_float32_outside() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(3, 3, 3, padding=1)
    blur = torch.rand(1, 1, 3, 8, 8)
    ((plain, _),), ((mixed, _),) = running(module)(blur, blur), running(module, precision="bfloat16")(blur, blur)
    assert mixed.dtype == torch.float32 and not torch.equal(mixed, plain)
    torch.testing.assert_close(mixed, plain, atol=0.02, rtol=0.02)
