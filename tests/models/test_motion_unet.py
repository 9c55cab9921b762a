"""The network that restores along the motion it tells: its geometry, its start, and how it is trained."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from core.random_streams import stream
from core.weights_files import load_state_dict
from models.losses import LOSSES
from models.nets.motion_unet import ALONG, EXPOSED, MotionUNet, _axis, _shared_axis
from models.nets.path_offset import Axes, PathOffset
from models.train import main
from models.training.checkpoint import pack
from models.training.live_samples import LiveSampler, live_sources
from models.training.start import start_at_the_blurred_image
from models.zoo import MODELS
from synth.live_exposures import LiveSettings


def told(length_px: float, angle_rad: float) -> torch.Tensor:
    """What the network would tell of a straight, even motion. Shape: [1, 3, 2, 2]."""
    x, y = length_px * math.cos(angle_rad), length_px * math.sin(angle_rad)
    least = 1e-3
    along_x, along_y = x * x / 12 + least, y * y / 12 + least
    correlation = (x * y / 12) / math.sqrt(along_x * along_y)
    values = [math.log(along_x), math.log(along_y), math.atanh(correlation * 0.9999)]
    return torch.tensor(values).view(1, 3, 1, 1).expand(1, 3, 2, 2)


@pytest.mark.parametrize("length_px", [3.0, 12.0, 30.0])
@pytest.mark.parametrize("angle", [0.0, 20.0, 45.0, -70.0, 89.0])
def test_length_and_direction_of_a_straight_motion(length_px: float, angle: float):
    length, width, across, down = _axis(told(length_px, math.radians(angle)))
    assert length.shape == width.shape == (1, 2, 2)
    assert float(length[0, 0, 0]) == pytest.approx(length_px, rel=0.03)
    assert float(width[0, 0, 0]) < 0.8 + 0.02 * length_px
    turn = math.degrees(math.atan2(float(down[0, 0, 0]), float(across[0, 0, 0])))
    assert (turn - angle + 90) % 180 - 90 == pytest.approx(0, abs=max(1.5, 30 / length_px))


def test_the_shared_motion_is_what_places_of_contrast_tell():
    noise = torch.rand(1, 1, 64, 160, generator=torch.Generator().manual_seed(5)).expand(1, 3, 64, 160)
    long, short = (told(*motion)[:, :, :1, :1].expand(1, 3, 4, 5) for motion in ((12.0, 0.5), (4.0, -0.9)))
    alike = _shared_axis(torch.cat([long, long], dim=3), noise)
    for shared, own in zip(alike, _axis(long), strict=True):
        assert shared.shape == (1, 16, 40)
        assert torch.allclose(shared, own[:, :1, :1].expand_as(shared), rtol=0.02, atol=0.02)
    # Where there is nothing to see, the motion of a neighbour counts.
    flat = noise.clone()
    flat[..., 80:] = 0.5
    length, _, right, down = _shared_axis(torch.cat([long, short], dim=3), flat)
    assert length[0, :, [0, 39]].flatten().tolist() == pytest.approx([12.0] * 32, rel=0.05)
    assert torch.atan2(down, right)[0, :, [0, 39]].flatten().tolist() == pytest.approx([0.5] * 32, abs=0.03)
    # Two directions at right angles, equally clear: the size is between them.
    crossing = torch.cat(
        [told(8.0, 0.0)[..., :1, :1].expand(1, 3, 4, 5), told(8.0, math.pi / 2)[..., :1, :1].expand(1, 3, 4, 5)], 3
    )
    length, width, *_ = _shared_axis(crossing, noise)
    assert float((length.square() + width.square()).mean()) == pytest.approx(64, rel=0.1)


def test_samples_lie_along_and_across_the_motion():
    module = MODELS["motion-unet-test"].build()
    assert isinstance(module, MotionUNet)
    motion = told(8.0, math.radians(30))[:, :, :1, :1].expand(1, 3, 8, 12)
    length, _, across, down = _axis(motion)
    shifts = module._shifts(length, across, down)
    one_side = len(ALONG) + 1
    assert shifts.shape == (1, 2 * (one_side + EXPOSED), 8, 12, 2)
    assert torch.equal(shifts[:, one_side : 2 * one_side], -shifts[:, :one_side])
    px, unit = float(length[0, 0, 0]), (math.cos(math.radians(30)), math.sin(math.radians(30)))
    for (part, more), shift in zip(ALONG, shifts[0, :, 3, 5], strict=False):
        expected = [(part * px + more) * side for side in unit]
        assert shift.tolist() == pytest.approx(expected, abs=0.1)
    assert shifts[0, len(ALONG), 3, 5].tolist() == pytest.approx([-unit[1], unit[0]], abs=0.02)  # across
    ends = shifts[0, [2 * one_side + EXPOSED - 1, -1], 3, 5]  # of the exposure
    for end, sign in zip(ends, (1, -1), strict=True):
        assert end.tolist() == pytest.approx([sign * side * px / 2 for side in unit], abs=0.1)


def test_the_network_gives_every_scale_in_training_and_tells_the_motion_of_each():
    module = MODELS["motion-unet-test"].build().train()
    heard: list[torch.Tensor] = []
    module.get_submodule("motion").register_forward_hook(lambda layer, given, told: heard.append(told))
    image = torch.rand(2, 3, 64, 128)
    assert [tuple(part.shape) for part in module(image)] == [(2, 3, 16, 32), (2, 3, 32, 64), (2, 3, 64, 128)]
    assert heard[0].shape == (2, 5, 3 * 4, 8)
    coarse = torch.tensor([0.0, 0.0, 0.0, 0.25, -1.0]).view(1, 5, 1, 1)
    told_twice = module._in_px_of_the_finest([coarse, torch.ones(1, 5, 2, 2)])  # type: ignore[operator]
    assert told_twice[0, :, 0, 0].tolist() == [1, 1, 1, 1, 1]
    # 1 px there is 2 px here
    assert told_twice[0, :, 2, 0].tolist() == pytest.approx([math.log(4), math.log(4), 0, 0.5, -2])
    with torch.no_grad():
        for size in ((16, 16), (48, 80), (112, 32)):  # scales that 16 does not divide
            assert module.eval()(torch.rand(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("stride", [2, 4])
def test_the_offset_turns_with_the_image_and_does_not_know_the_sign_of_the_axis(stride: int):
    draws = torch.Generator().manual_seed(3)
    module = PathOffset()
    with torch.no_grad():
        for head in module.heads:
            head[-1].weight.mul_(10)  # type: ignore[index, operator]
    image = torch.rand(1, 3, 64, 96, generator=draws)
    length, width, angle = (torch.full((1, 16, 24), value) for value in (9.0, 3.0, 0.7))
    axes = Axes(length, width, angle.cos(), angle.sin())
    coarser = torch.randn(1, 2, 4, 6, generator=draws)
    with torch.no_grad():
        found = module(image, axes, coarser, stride)
        other_sign = module(image, Axes(length, width, -axes.right, -axes.down), coarser, stride)
        turned = module(image.flip(2, 3), axes, -coarser.flip(2, 3), stride)
    assert found.shape == (1, 2, 4, 6) and float(found.abs().max()) > 0.01
    assert torch.allclose(found, other_sign, atol=1e-5)
    assert torch.allclose(found, -turned.flip(2, 3), atol=1e-5)


def test_the_loss_of_the_motion_is_zero_for_the_truth_and_leaves_out_what_is_not_known():
    true = torch.tensor([[4.0, 9.0, 3.0, 0.5, -1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    known = torch.tensor([math.log(4.1), math.log(9.1), math.atanh(3 / math.sqrt(4.1 * 9.1)), 0.5, -1.0])
    right = known.view(1, 5, 1, 1).expand(2, 5, 2, 2).clone()
    assert float(LOSSES["motion"](right, true)) == pytest.approx(0, abs=1e-6)
    right[1] += 5  # resting: not counted
    assert float(LOSSES["motion"](right, true)) == pytest.approx(0, abs=1e-6)
    right[0, 0] += 3
    assert float(LOSSES["motion"](right, true)) == pytest.approx(2.5 / 3, abs=1e-5)  # smooth L1 of 3, one of three
    right[0, 0] -= 3
    right[0, 3] += 3
    tenths = 30 / math.sqrt(12 * 13.2 + 4)  # 3 px in tenths of the length
    assert float(LOSSES["motion"](right, true)) == pytest.approx(tenths - 0.5, abs=1e-5)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(11):
        noise = stream(number, "photograph").integers(0, 256, (24, 32, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:02d}.png"), cv2.resize(noise, (128, 96), interpolation=cv2.INTER_CUBIC))
    return folder


def test_the_motion_of_a_sample_turns_with_it(photographs: Path):
    settings = LiveSettings(extent_px=(12.0, 14.0), duration_s=(0.004, 0.01), paths=0.0, foreground=0.0, parallax=0.0)
    settings = LiveSettings(**{**vars(settings), "rolling": 0.0, "noise": 0.0, "jpeg": 0.0, "soft": 0.0})
    sampler = LiveSampler(live_sources((photographs,), ()), settings, seed=1, crop_px=64, with_motion=True)
    blur, _, motion = sampler.parts(0, 24)[0]
    assert motion.shape == (24, 5)
    right = 0
    for number in range(24):
        grey = blur[number, 0].mean(0).numpy().astype(np.float64)
        down, across = np.gradient(grey)
        # Blur leaves least change along the motion.
        angle = 0.5 * math.atan2(2 * float(motion[number, 2]), float(motion[number, 0] - motion[number, 1]))
        along = np.square(across * math.cos(angle) + down * math.sin(angle)).mean()
        over = np.square(-across * math.sin(angle) + down * math.cos(angle)).mean()
        right += bool(along < over)
    assert right >= 22


def test_it_starts_at_the_blurred_image_and_trains(photographs: Path, tmp_path: Path):
    arguments = ["--model", "motion-unet-test", "--sharp", str(photographs), "--crop", "32", "--batch", "2"]
    arguments += ["--precision", "bfloat16", "--threads", "1"]
    assert main([*arguments, "--steps", "3", "--out", str(tmp_path / "out")]) == 0
    meta = json.loads((tmp_path / "out/checkpoint.json").read_text(encoding="utf-8"))
    assert "2 motion" in meta["loss"]
    module = MODELS["motion-unet-test"].build().train()
    start_at_the_blurred_image(module, MODELS["motion-unet-test"])
    image = torch.rand(1, 3, 32, 48)
    assert torch.allclose(module.eval()(image), image, atol=1e-6)


def test_only_the_last_layers_are_trained_on(photographs: Path, tmp_path: Path):
    started = MODELS["motion-unet-test"].build()
    start = tmp_path / "start.safetensors"
    start.write_bytes(pack(started.state_dict()))
    arguments = ["--model", "motion-unet-test", "--recipe", "motion-unet-last", "--profile", "paper", "--steps", "2"]
    arguments += ["--sharp", str(photographs), "--crop", "32", "--batch", "2", "--start", str(start)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    trained = load_state_dict(tmp_path / "out/training_state.safetensors")
    changed = set()
    for name, before in started.named_parameters():
        if not torch.equal(trained[f"weights.{name}"], before):
            changed.add(name.split(".")[0])
    assert changed == {"weigh", "weigh_again", "detail", "motion_detail", "head"}
