"""What cost.py counts and times, and what it prints beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark import cost
from benchmark.cost import published_macs
from models.macs import counted_macs, deformable_operations, macs_at
from models.zoo import MODELS

ROOT = Path(__file__).resolve().parents[2]

IMAGE = torch.zeros(2, 8, 10, 12)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(8, 6, 3, padding=1), 2 * 10 * 12 * 6 * 8 * 9),
        (nn.Conv2d(8, 6, (1, 5), stride=2), 2 * 5 * 4 * 6 * 8 * 5),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), 2 * 10 * 12 * 8 * 9),
        (nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4), 2 * 10 * 12 * 12 * 2 * 9),
        # Every input pixel is multiplied with every tap once, whatever the stride.
        (nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1), 2 * 10 * 12 * 8 * 6 * 16),
        (nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2), 2 * 10 * 12 * 8 * 3 * 9),
        (nn.PReLU(8), 0),
        (nn.InstanceNorm2d(8), 0),
    ],
)
def test_macs_of_layers(layer: nn.Module, expected: int) -> None:
    with torch.no_grad():
        assert counted_macs(lambda: layer(IMAGE)) == expected


def test_macs_of_attention() -> None:
    query, key, value = (torch.zeros(2, 4, 15, 6) for _ in range(3))
    products = 2 * 4 * 15 * 15 * 6
    assert counted_macs(lambda: query @ key.transpose(-2, -1)) == products
    assert counted_macs(lambda: torch.einsum("bhic,bhjc->bhij", query, key)) == products
    assert counted_macs(lambda: functional.scaled_dot_product_attention(query, key, value)) == 2 * products
    assert counted_macs(lambda: functional.linear(torch.zeros(7, 5), torch.zeros(3, 5))) == 7 * 5 * 3


def test_macs_of_deformable_convolutions() -> None:
    assert deformable_operations((2, 8, 10, 12), (6, 4, 3, 3), out_shape=(2, 6, 10, 12)) == 2 * 2 * 6 * 120 * 4 * 9
    try:
        import torchvision
    except (ImportError, RuntimeError):  # its binary does not fit the torch that is installed
        pytest.skip("torchvision does not load here")
    if not hasattr(torch.ops.torchvision, "deform_conv2d"):
        pytest.skip("torchvision's binary does not load here")
    offsets, mask, weight = torch.zeros(2, 18, 10, 12), torch.ones(2, 9, 10, 12), torch.zeros(6, 8, 3, 3)
    macs = counted_macs(lambda: torchvision.ops.deform_conv2d(IMAGE, offsets, weight, padding=1, mask=mask))
    assert macs == 2 * 10 * 12 * 6 * 8 * 9


def test_macs_of_a_whole_network() -> None:
    """Plain convolutions at the input's size: a MAC for every weight of a convolution and every pixel."""
    module = MODELS["realesr-general-x4v3"].build()
    weights = sum(layer.weight.numel() for layer in module.body if isinstance(layer, nn.Conv2d))
    assert counted_macs(lambda: module(torch.zeros(1, 3, 8, 12))) == 8 * 12 * weights


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-test") and MODELS[name].adapter])
def test_macs_from_shapes_alone(name: str) -> None:
    """No image is computed, and the count is that of the frames themselves."""
    spec = MODELS[name]
    if spec.task == "face" or spec.frames > 2:
        pytest.skip("the mean over a clip, or faces that only values can tell")
    found = macs_at(spec, 38, 58)
    with torch.no_grad():
        outputs = spec.adapt(spec.build().eval()).restore(iter([torch.rand(3, 38, 58) for _ in range(2)]))
        next(outputs)
        assert found == counted_macs(lambda: next(outputs)) > 0


def test_the_authors_count_of_deblurgan_v2() -> None:
    """Their code needs 38.94 G at 1280 x 736; here the image is padded to 1312 x 736, as they do in prediction."""
    macs = macs_at(MODELS["deblurgan-v2-mobilenet"], 720, 1280)
    assert macs is not None and macs / 1e9 == pytest.approx(38.94 * 1312 / 1280, rel=2e-3)


class Pieces:
    """Reads `length` frames at once and works `work` times on each before it answers."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.layer = nn.Conv2d(3, 4, 1)

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        clip = list(frames) if self.length > 1 else frames
        for frame in clip:
            self.layer(frame[None])
            yield frame


def test_a_piece_is_shared_among_its_frames() -> None:
    pieces, frames = Pieces(5), Pieces(1)
    assert cost._in_pieces(pieces, 16, 20, 5) and not cost._in_pieces(frames, 16, 20, 5)
    assert not cost._in_pieces(frames, 16, 20, 1)
    device = torch.device("cpu")
    for found, times in (
        cost._cost_of_a_piece(pieces, 16, 20, 5, device),
        cost._cost_of_a_frame(frames, 16, 20, device),
    ):
        assert found == 16 * 20 * 3 * 4 / 1e9
        assert len(times) >= cost.MINIMUM_REPEATS and all(latency > 0 and worked > 0 for latency, worked in times)


def test_published_counts_belong_to_their_methods() -> None:
    found = published_macs(ROOT / "reports" / "published.csv")
    printed = {name: found[name].macs_g for name in ("DeblurGAN", "SRN", "DeepDeblur", "DeblurGAN-v2 MobileNet")}
    assert printed == {"DeblurGAN": 678.29, "SRN": 1434.82, "DeepDeblur": 1760.04, "DeblurGAN-v2 MobileNet": 43.75}
    mobilenet = found["DeblurGAN-v2 MobileNet"]
    assert (mobilenet.height, mobilenet.width) == (720, 1280)
    assert mobilenet.beside(42.19) == "43.75 at 1280 x 720 (measured 42.19, 0.96 of it)"
    assert "the input size is not printed there, 1280 x 720 is presumed" in mobilenet.remark()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network in a process of its own, beside a published count."""
    import dataclasses

    spec = dataclasses.replace(MODELS["srvggnet-test"], published="DeblurGAN")
    monkeypatch.setitem(MODELS, "srvggnet-test", spec)
    words = ["--methods", "srvggnet-test", "--height", "32", "--width", "40", "--device", "cpu"]
    assert cost.main([*words, "--switches", "self-ensemble", "--out", str(tmp_path / "cost.csv")]) == 0
    head, line, size, remark = capsys.readouterr().out.splitlines()
    body = MODELS["srvggnet-test"].build().body
    weights = sum(layer.weight.numel() for layer in body if isinstance(layer, nn.Conv2d))
    macs_g = 8 * 32 * 40 * weights / 1e9  # eight poses
    assert line.split()[:3] == ["srvggnet-test", "0.00", f"{macs_g:.2f}"]
    assert "678.29 at 1280 x 720 (measured" in line and "published MACs" in head
    assert size.startswith("one frame of 40 x 32 px, cpu") and "is presumed" in remark
    assert (tmp_path / "cost.csv").read_text().startswith("method,height,width")
    assert cost.main([*words, "--switches", "train-mode"]) == 1
    assert "srvggnet-test has no switch train-mode" in capsys.readouterr().err
