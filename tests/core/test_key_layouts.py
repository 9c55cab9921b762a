"""Checkpoints under other layer names load strictly; made-up files of those layouts, out of our networks' tensors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.key_layouts import layout_of, renamed
from models import network_weights, weights
from models.zoo import MODELS

# (the zoo's key, that of the authors' file), for every kind of layer; the numbers of the tiny network.
FIRST_RELEASE = (
    (r"conv_first\.(.*)", r"model.0.\1"),
    (r"body\.(\d+)\.rdb(\d)\.conv(\d)\.(.*)", r"model.1.sub.\1.RDB\2.conv\3.0.\4"),
    (r"conv_body\.(.*)", r"model.1.sub.BLOCKS.\1"),
    (r"conv_up1\.(.*)", r"model.3.\1"),
    (r"conv_up2\.(.*)", r"model.6.\1"),
    (r"conv_hr\.(.*)", r"model.8.\1"),
    (r"conv_last\.(.*)", r"model.10.\1"),
)
SECOND_RELEASE = (
    (r"body\.(\d+)\.rdb(\d)\.(.*)", r"RRDB_trunk.\1.RDB\2.\3"),
    (r"conv_body\.(.*)", r"trunk_conv.\1"),
    (r"conv_up(\d)\.(.*)", r"upconv\1.\2"),
    (r"conv_hr\.(.*)", r"HRconv.\1"),
    (r"(conv_first|conv_last)\.(.*)", r"\1.\2"),
)


def rewritten(state: dict[str, Tensor], rules: tuple[tuple[str, str], ...], blocks: int) -> dict[str, Tensor]:
    """Every key by the one rule that matches it."""
    found = {}
    for key, value in state.items():
        (rule,) = [(pattern, name) for pattern, name in rules if re.fullmatch(pattern, key)]
        found[re.sub(*rule, key).replace("BLOCKS", str(blocks))] = value.clone()
    return found


def in_mmediting(module: nn.Module) -> dict[str, Tensor]:
    """`generator.` before every key; the flow's convolutions counted without their activations."""
    state: dict[str, Tensor] = {"step_counter": torch.tensor([600000.0])}
    for key, value in module.state_dict().items():
        name = key.replace("upconv1.", "upsample1.upsample_conv.").replace("upconv2.", "upsample2.upsample_conv.")
        name = name.replace("forward_trunk.", "forward_resblocks.").replace("backward_trunk.", "backward_resblocks.")
        parts = name.split(".")
        if parts[0] == "spynet" and len(parts) == 6:
            name = ".".join([*parts[:4], str(int(parts[4]) // 2), "conv", parts[5]])
        state[f"generator.{name}"] = value.clone()
    return state


def seeded(name: str) -> nn.Module:
    torch.manual_seed(1)
    return MODELS[name].build()


def assert_loads(module: nn.Module, path: Path, name: str) -> None:
    torch.manual_seed(2)
    other = MODELS[name].build()
    network_weights.load_into(other, path, MODELS[name])
    for key, value in module.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


@pytest.mark.parametrize("rules", [FIRST_RELEASE, SECOND_RELEASE], ids=["first", "second"])
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_esrgan(tmp_path: Path, rules: tuple[tuple[str, str], ...], wrapper: str | None) -> None:
    module = seeded("rrdbnet-x4-test")
    state = rewritten(module.state_dict(), rules, blocks=1)
    torch.save({wrapper: state} if wrapper else state, tmp_path / "old.pth")
    assert_loads(module, tmp_path / "old.pth", "rrdbnet-x4-test")


def test_every_key_of_the_published_size(tmp_path: Path) -> None:
    """702 tensors in the 23 blocks' network; the convolution behind the blocks is number 23 of the sequence."""
    with torch.device("meta"):
        own = MODELS["esrgan-x4"].build().state_dict()
    for rules in (FIRST_RELEASE, SECOND_RELEASE):
        state = rewritten(own, rules, blocks=23)
        assert len(state) == len(own) == 702
        assert renamed(state, MODELS["esrgan-x4"].layouts, tmp_path).keys() == own.keys()
    known = {"model.0.weight", "model.1.sub.22.RDB3.conv5.0.bias", "model.1.sub.23.weight", "model.10.bias"}
    assert known <= rewritten(own, FIRST_RELEASE, blocks=23).keys()


def test_old_and_new_names_of_one_network_mix(tmp_path: Path) -> None:
    """ESRGAN's own example: a PSNR and an ESRGAN checkpoint, here of two layouts."""
    one, two = seeded("rrdbnet-x4-test"), MODELS["rrdbnet-x4-test"].build()
    torch.save(rewritten(one.state_dict(), FIRST_RELEASE, blocks=1), tmp_path / "one.pth")
    torch.save({"params": two.state_dict()}, tmp_path / "two.pth")
    mixed = weights.interpolate(tmp_path / "one.pth", tmp_path / "two.pth", 0.25)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(mixed[key], 0.75 * value + 0.25 * two.state_dict()[key])


@pytest.mark.parametrize("name", ["basicvsr++-test", "basicvsr-x4-test"])
def test_mmediting(tmp_path: Path, name: str) -> None:
    module = seeded(name)
    state = in_mmediting(module)
    assert "generator.spynet.basic_module.5.basic_module.4.conv.bias" in state
    assert "generator.upsample2.upsample_conv.weight" in state and "generator.spynet.mean" in state
    torch.save({"meta": {"mmedit_version": "0.13.0"}, "state_dict": state}, tmp_path / "theirs.pth")
    assert_loads(module, tmp_path / "theirs.pth", name)


def test_every_key_of_basicvsr_plus_plus(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = MODELS["basicvsr++-deblur"].build()
    state = in_mmediting(module) | {"step_counter": torch.zeros(1)}
    assert renamed(state, MODELS["basicvsr++-deblur"].layouts, tmp_path).keys() == module.state_dict().keys()
    assert "generator.feat_extract.4.main.2.4.conv2.bias" in state  # the deblurring variant's front end
    assert "generator.deform_align.forward_2.conv_offset.6.weight" in state


def test_a_key_too_few_or_too_many_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = seeded("rrdbnet-x4-test")
    whole = rewritten(module.state_dict(), FIRST_RELEASE, blocks=1)
    lacking = {key: value for key, value in whole.items() if key != "model.6.bias"}
    torch.save(lacking, tmp_path / "lacking.pth")
    with pytest.raises(ValueError, match=r"1 keys are missing, such as 'conv_up2\.bias'"):
        network_weights.load_into(module, tmp_path / "lacking.pth", MODELS["rrdbnet-x4-test"])
    torch.save(whole | {"model.12.weight": torch.zeros(3, 3)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"1 are left over, such as 'model\.12\.weight'"):
        network_weights.load_into(module, tmp_path / "more.pth", MODELS["rrdbnet-x4-test"])
    torch.save(whole | {"model.1.sub.2.weight": torch.zeros(8, 8, 3, 3)}, tmp_path / "twice.pth")
    with pytest.raises(ValueError, match=r"'model\.1\.sub\.1\.weight' and 'model\.1\.sub\.2\.weight' both mean"):
        network_weights.load_into(module, tmp_path / "twice.pth", MODELS["rrdbnet-x4-test"])
    foreign = in_mmediting(seeded("basicvsr++-test")) | {"discriminator.0.weight": torch.zeros(1)}
    torch.save(foreign, tmp_path / "foreign.pth")
    other = MODELS["basicvsr++-test"].build()
    network_weights.load_into(other, tmp_path / "foreign.pth", MODELS["basicvsr++-test"])
    for key, value in seeded("basicvsr++-test").state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key
    assert "left out: discriminator" in capsys.readouterr().err


def test_fetch_takes_a_file_of_another_layout(tmp_path: Path) -> None:
    state = rewritten(seeded("rrdbnet-x4-test").state_dict(), SECOND_RELEASE, blocks=1)
    torch.save(state, tmp_path / "old.pth")
    folder = tmp_path / "weights"
    arguments = ["fetch", "rrdbnet-x4-test", "--from", str(tmp_path / "old.pth"), "--weights-dir", str(folder)]
    assert weights.main(arguments) == 0
    assert [path.read_bytes() for path in folder.iterdir()] == [(tmp_path / "old.pth").read_bytes()]


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-test")])
def test_our_own_layouts_are_taken_as_they_are(name: str, tmp_path: Path) -> None:
    state = MODELS[name].build().state_dict()
    layouts = [layout for spec in MODELS.values() for layout in spec.layouts]
    assert layout_of(state, layouts) is None and renamed(state, layouts, tmp_path) is state
