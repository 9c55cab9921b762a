"""The dual-stage network: counts, view, borders, stability, what learns in it, and what reaches the middle frame."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import outputs_of
from models.nets.highres import (
    FRAMES,
    RATES,
    SLOPE,
    AtrousBlock,
    HighResAtrous,
    HighResMLFA,
    ScaledConvolution,
    ScaledDeconvolution,
)
from models.training.start import start_at_the_blurred_image
from models.zoo import MODELS


def aggregation() -> HighResMLFA:
    module = MODELS["highres-mlfa-test"].build()
    assert isinstance(module, HighResMLFA)
    return module


def without_gradient(module: nn.Module) -> list[str]:
    return [name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()]


def test_the_layers_are_those_described() -> None:
    with torch.device("meta"):
        net = HighResAtrous()
    block = net.blocks[0]
    filters = sum(weight.numel() for weight in block.parameters() if weight.ndim == 4)
    assert filters == 4 * 256 * 128 * 9 + 512 * 256 * 9 == 2_359_296  # 2.36 M
    assert len(net.blocks) == 20 and 20 * filters == 47_185_920  # 47.2 M
    assert [(branch.rate, tuple(branch.weight.shape)) for branch in block.branches] == [
        (rate, (128, 256, 3, 3)) for rate in (1, 2, 3, 4)
    ]
    assert net.first.weight.shape[2:] == (9, 9) and net.down.weight.shape[2:] == (3, 3) and net.down.stride == 2
    layers = [m for m in net.modules() if isinstance(m, ScaledConvolution | ScaledDeconvolution | nn.Conv2d)]
    assert len(layers) == 20 * 5 + 5  # 9x9, strided, deconvolution and two convolutions


def test_a_block_sees_a_nearly_full_square_of_eleven() -> None:
    torch.manual_seed(0)
    block = AtrousBlock(8, 4).double()
    x = torch.randn(1, 8, 31, 33, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[0, :, 15, 16].sum(), x)
    seen = gradient[0].abs().sum(dim=0) > 0
    expected = torch.zeros(31, 33, dtype=torch.bool)
    expected[10:21, 11:22] = True
    for far, near in ((5, 2), (5, -2), (-5, 2), (-5, -2)):  # between the taps of rate 4, beyond those of rate 3
        expected[15 + far, 16 + near] = expected[15 + near, 16 + far] = False
    assert torch.equal(seen, expected)


def test_a_block_against_plain_layers() -> None:
    """Concatenated, joined, added to the input; the factor before the bias; reflected borders; LeakyReLU twice."""
    torch.manual_seed(1)
    block = AtrousBlock(4, 2).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 4, 9, 6, dtype=torch.float64)

    def plain(layer: ScaledConvolution, x: Tensor, rate: int) -> Tensor:
        padded = functional.pad(x, (rate, rate, rate, rate), mode="reflect")
        total = functional.conv2d(padded, layer.weight, dilation=rate) * layer.scale[None, :, None, None]
        return functional.leaky_relu(total + layer.bias[None, :, None, None], SLOPE)

    wide = torch.cat([plain(layer, x, rate) for layer, rate in zip(block.branches, RATES, strict=True)], dim=1)
    assert wide.shape[1] == 8
    torch.testing.assert_close(block(x), x + plain(block.merge, wide, 1))


def test_deconvolution_reaches_every_output_equally_and_reflects() -> None:
    torch.manual_seed(2)
    layer = ScaledDeconvolution(3, 5).double()
    nn.init.normal_(layer.scale)
    nn.init.normal_(layer.bias)
    x = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    assert layer(x).shape == (1, 5, 12, 14)
    inside = functional.conv_transpose2d(x, layer.weight, stride=2, padding=1)
    inside = inside * layer.scale[None, :, None, None] + layer.bias[None, :, None, None]
    torch.testing.assert_close(layer(x)[..., 1:-1, 1:-1], inside[..., 1:-1, 1:-1])
    nn.init.ones_(layer.weight)
    flat = layer(torch.ones(1, 3, 2, 4, dtype=torch.float64))  # a flat input stays flat up to the border
    torch.testing.assert_close(flat, flat[..., :1, :1].expand_as(flat))


def test_the_untrained_blocks_are_stable_at_full_depth() -> None:
    """Twenty sums without normalisation neither blow up nor die."""
    torch.manual_seed(3)
    blocks = nn.Sequential(*(AtrousBlock(32, 16) for _ in range(20)))
    x = torch.randn(1, 32, 24, 24)
    with torch.no_grad():
        growth = float(blocks(x).std() / x.std())
    assert 0.8 < growth < 2


def test_gradient_reaches_every_weight_of_stage_1() -> None:
    torch.manual_seed(4)
    net = MODELS["highres-atrous-test"].build()
    net(torch.rand(1, 3, 32, 36) * 2 - 1).square().mean().backward()
    assert without_gradient(net) == []


def test_gradient_reaches_all_but_the_frozen_stage() -> None:
    torch.manual_seed(5)
    net = aggregation()
    net(torch.rand(1, FRAMES, 3, 40, 48) * 2 - 1).square().mean().backward()
    assert all(weight.grad is None and not weight.requires_grad for weight in net.first_stage.parameters())
    assert [name for name in without_gradient(net) if not name.startswith("first_stage.")] == []


def test_a_thawed_first_stage_learns_from_its_own_image_alone() -> None:
    torch.manual_seed(6)
    net = aggregation()
    outputs = outputs_of(MODELS["highres-mlfa-test"])
    blur, sharp = torch.rand(1, 2, 3, 40, 40), torch.rand(1, 2, 3, 40, 40)
    assert len(outputs(net, blur, sharp)) == 2
    net.first_stage.requires_grad_(True)
    pairs = outputs(net, blur, sharp)
    assert len(pairs) == 4
    assert torch.equal(pairs[0][1], sharp[:, 0]) and torch.equal(pairs[2][1], sharp[:, 0])
    pairs[2][0].mean().backward(retain_graph=True)
    assert all(weight.grad is None for weight in net.first_stage.parameters())
    pairs[0][0].mean().backward()
    assert all(weight.grad is not None for weight in net.first_stage.parameters())


@pytest.mark.parametrize("name", ["highres-atrous-test", "highres-mlfa-test"])
def test_the_quick_start_is_the_blurred_image_and_all_layers_learn(name: str) -> None:
    torch.manual_seed(7)
    net = MODELS[name].build()
    net.requires_grad_(True)
    start_at_the_blurred_image(net, MODELS[name])
    count = MODELS[name].frames
    blur, sharp = torch.rand(1, count, 3, 42, 44), torch.rand(1, count, 3, 42, 44)
    outputs = outputs_of(MODELS[name])
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)

    def loss() -> Tensor:
        return torch.stack([(image - target).abs().mean() for image, target in outputs(net, blur, sharp)]).mean()

    first = loss()
    for number, (image, _) in enumerate(outputs(net, blur[..., :40, :], sharp[..., :40, :])):
        torch.testing.assert_close(image, blur[:, number % count, :, :40], atol=1e-6, rtol=0)
    for _ in range(6):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert without_gradient(net) == []
    assert loss() < first


def test_neighbours_are_told_apart_and_reach_from_afar() -> None:
    """Each of the five frames changes the middle one's image, their order matters, and so does what is 56 px away."""
    torch.manual_seed(9)
    net = aggregation().eval()
    window = torch.rand(1, FRAMES, 3, 96, 96) * 2 - 1
    with torch.no_grad():
        plain = net(window)
        assert (net(window.flip(1)) - plain).abs().max() > 1e-4
        for number in range(FRAMES):
            changed = window.clone()
            changed[:, number, :, 40:56, 95] += 1
            difference = (net(changed) - plain).abs().amax(dim=(0, 1))
            assert difference[:, :40].max() > 0, number  # through the coarsest level


def test_stage_2_starts_from_stage_1_s_image() -> None:
    net = aggregation().eval()
    nn.init.zeros_(net.output.weight)
    assert net.output.bias is not None
    nn.init.zeros_(net.output.bias)
    window = torch.rand(2, FRAMES, 3, 40, 40) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(net(window), net.first_stage(window[:, 2]), atol=1e-6, rtol=0)


def test_a_frame_goes_through_stage_1_once() -> None:
    net, calls = aggregation().eval(), []
    net.first_stage.first.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        assert len(list(MODELS["highres-mlfa-test"].adapt(net).restore(iter(torch.rand(6, 3, 41, 50))))) == 6
    assert len(calls) == 6


def test_stage_1_s_weights_fit_into_the_second_network() -> None:
    """A trained `highres-atrous` goes into `highres-mlfa` under the prefix first_stage."""
    with torch.device("meta"):
        alone, both = MODELS["highres-atrous"].build(), MODELS["highres-mlfa"].build()
    inside = {key: value.shape for key, value in both.state_dict().items() if key.startswith("first_stage.")}
    assert inside == {f"first_stage.{key}": value.shape for key, value in alone.state_dict().items()}
