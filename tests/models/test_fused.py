"""The copy that the Restorer runs on a CPU: the same numbers as the network itself, whose weights stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.fused import FusedConvolution, ImageNorm, fused
from models.macs import counted_macs
from models.restorer import Restorer
from models.zoo import MODELS

TESTED = [name for name, spec in MODELS.items() if spec.adapter is not None and name.endswith("-test")]
# The two with batch norms to fold, in full width.
TESTED += ["deblurgan-v2-mobilenet", "deblurgan-v2-inception"]


def lively(name: str) -> nn.Module:
    """The network with statistics and factors that are not 0 and 1, so that leaving one out would show."""
    torch.manual_seed(3)
    module = MODELS[name].build()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.6, 1.2)
            nn.init.normal_(layer.bias, std=0.2)
            layer.running_mean.normal_(std=0.2)  # type: ignore[union-attr, operator]
            layer.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr, operator]
    return module


@pytest.mark.parametrize("name", TESTED)
def test_the_restorer_gives_the_numbers_of_the_network(name: str) -> None:
    spec = MODELS[name]
    module = lively(name)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    clip = [torch.rand(3, 140, 136) for _ in range(2)]
    plain = list(Restorer(spec, module, torch.device("cpu"), fuse=False).restore(iter(clip)))
    faster = list(Restorer(spec, module, torch.device("cpu")).restore(iter(clip)))
    for one, other in zip(plain, faster, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=2e-5)
    after = module.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.3), nn.ReLU6(), nn.Tanh(), nn.Identity()])
@pytest.mark.parametrize("normed", [False, True])
def test_rows_of_layers(activation: nn.Module, normed: bool) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2)]
    if normed:
        norm = nn.BatchNorm2d(8)
        norm.running_mean, norm.running_var = torch.randn(8), torch.rand(8) + 0.5
        layers.append(norm)
    row = nn.Sequential(*layers, activation, nn.Conv2d(8, 5, 1)).eval()
    image = 3 * torch.randn(2, 6, 11, 14)
    with torch.no_grad():
        twin = fused(row)
        torch.testing.assert_close(twin(image), row(image), rtol=0, atol=1e-5)
    kinds = [type(layer) for layer in twin.children()]
    assert len(kinds) == len(row) and kinds[-1] is FusedConvolution  # the 1x1 convolution
    seen = normed or isinstance(activation, nn.ReLU | nn.LeakyReLU | nn.ReLU6)
    assert (kinds[0] is FusedConvolution) == seen
    assert all(isinstance(layer, nn.Conv2d | nn.BatchNorm2d) or layer is activation for layer in row)


def test_other_paddings_are_left_alone() -> None:
    row = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    image = torch.randn(1, 3, 7, 9)
    assert [type(layer) for layer in fused(row)] == [nn.Conv2d, nn.ReLU]  # type: ignore[attr-defined]
    with torch.no_grad():
        assert torch.equal(fused(row)(image), row(image))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_image_norm_keeps_its_digits(layout: torch.memory_format) -> None:
    """Features far from zero: 1000 standard deviations."""
    torch.manual_seed(0)
    features = torch.randn(2, 5, 70, 90) + torch.tensor([0.0, 1.0, 10.0, 100.0, 1000.0]).view(1, 5, 1, 1)
    expected = functional.instance_norm(features.double()).float()
    found = ImageNorm(1e-5)(features.contiguous(memory_format=layout))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
    torch.testing.assert_close(found[:, :3], expected[:, :3], rtol=0, atol=5e-6)
    with pytest.raises(ValueError, match="more than one value per channel, got 1 x 1"):
        ImageNorm(1e-5)(torch.zeros(1, 5, 1, 1))


def test_macs_are_counted_as_before() -> None:
    module = MODELS["deblurgan-v2-mobilenet"].build().eval()
    image = torch.zeros(1, 3, 64, 96)

    def macs(network: nn.Module) -> int:
        with torch.no_grad():
            return counted_macs(lambda: network(image))

    assert macs(fused(module)) == macs(module) > 0


def test_frames_come_back_as_ordinary_tensors() -> None:
    """Computed without gradients, but others may change them and compute gradients with them."""
    module = MODELS["mimo-unet-test"].build()
    (frame,) = Restorer(MODELS["mimo-unet-test"], module, torch.device("cpu")).restore(iter([torch.rand(3, 32, 32)]))
    weight = torch.ones(3, 1, 1, requires_grad=True)
    loss: Tensor = (frame.mul_(2) * weight).sum()
    loss.backward()
    assert weight.grad is not None and float(weight.grad.sum()) == pytest.approx(float(frame.sum()), rel=1e-5)
