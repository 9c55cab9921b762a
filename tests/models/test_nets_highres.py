"""The dual-stage network: counts, receptive field, borders, windows, and what learns in it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.highres_atrous import (
    RATES,
    SLOPE,
    AtrousBlock,
    HighResAtrous,
    ScaledConv,
    ScaledDeconv,
)
from models.nets.highres_mlfa import FRAMES, HighResMLFA
from models.training_forms import form_of, start_at_the_blurred_image
from models.zoo import MODELS


def filter_weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.ndim == 4)


def frames(count: int, height: int, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(height)
    return [torch.rand(3, height, width, generator=generator) for _ in range(count)]


def test_weights_are_as_many_as_described() -> None:
    with torch.device("meta"):
        net = HighResAtrous()
    block = 4 * 256 * 128 * 9 + 512 * 256 * 9
    assert len(net.blocks) == 20
    assert filter_weights(net.blocks[0]) == block == 2_359_296  # 2.36 M
    assert filter_weights(net.blocks) == 20 * block == 47_185_920  # 47.2 M
    assert [tuple(branch.weight.shape) for branch in net.blocks[0].branches] == [(128, 256, 3, 3)] * 4
    assert [branch.rate for branch in net.blocks[0].branches] == [1, 2, 3, 4]
    assert net.front.weight.shape[2:] == (9, 9) and net.down.stride == 2
    outside = [layer for layer in net.modules() if isinstance(layer, ScaledConv | ScaledDeconv | nn.Conv2d)]
    assert len(outside) - 20 * 5 == 5  # 9x9, strided, deconvolution and two convolutions


def test_a_block_sees_a_nearly_full_square_of_eleven() -> None:
    torch.manual_seed(0)
    block = AtrousBlock(8).double()
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
    block = AtrousBlock(4).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 4, 9, 6, dtype=torch.float64)

    def plain(layer: ScaledConv, x: Tensor, rate: int) -> Tensor:
        conv = nn.Conv2d(
            x.shape[1], len(layer.bias), 3, padding=rate, dilation=rate, padding_mode="reflect", bias=False
        )
        conv.weight.data = layer.weight.data
        total = conv(x) * layer.scale[None, :, None, None] + layer.bias[None, :, None, None]
        return functional.leaky_relu(total, SLOPE)

    joined = torch.cat([plain(layer, x, rate) for layer, rate in zip(block.branches, RATES, strict=True)], dim=1)
    assert joined.shape[1] == 8
    torch.testing.assert_close(block(x), x + plain(block.join, joined, 1))


def test_deconvolution_reaches_every_output_equally_and_reflects() -> None:
    torch.manual_seed(2)
    layer = ScaledDeconv(3, 5).double()
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


def test_the_untrained_network_is_stable_at_full_depth() -> None:
    """Twenty blocks without normalisation neither blow up nor die."""
    torch.manual_seed(3)
    blocks = nn.Sequential(*(AtrousBlock(32) for _ in range(20)))
    x = torch.randn(1, 32, 24, 24)
    with torch.no_grad():
        growth = float(blocks(x).std() / x.std())
    assert 0.8 < growth < 2


def test_gradient_reaches_every_weight_of_stage_1() -> None:
    torch.manual_seed(4)
    net = MODELS["highres-atrous-test"].build()
    net(torch.rand(1, 3, 32, 36) * 2 - 1).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters())


def test_gradient_reaches_all_but_the_frozen_stage() -> None:
    torch.manual_seed(5)
    net = MODELS["highres-mlfa-test"].build()
    net(torch.rand(1, FRAMES, 3, 40, 48) * 2 - 1).square().mean().backward()
    assert all(weight.grad is None and not weight.requires_grad for weight in net.stage1.parameters())
    silent = [name for name, weight in net.stage2.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_a_thawed_first_stage_learns_from_its_own_image_alone() -> None:
    torch.manual_seed(6)
    net = MODELS["highres-mlfa-test"].build()
    assert isinstance(net, HighResMLFA)
    outputs = form_of(net).outputs
    blur, sharp = torch.rand(1, 2, 3, 40, 40), torch.rand(1, 2, 3, 40, 40)
    assert len(outputs(net, blur, sharp)) == 2
    net.stage1.requires_grad_(True)
    pairs = outputs(net, blur, sharp)
    assert len(pairs) == 4
    assert torch.equal(pairs[0][1], sharp[:, 0]) and torch.equal(pairs[2][1], sharp[:, 0])
    pairs[2][0].mean().backward(retain_graph=True)
    assert all(weight.grad is None for weight in net.stage1.parameters())
    pairs[0][0].mean().backward()
    assert all(weight.grad is not None for weight in net.stage1.parameters())


@pytest.mark.parametrize("name", ["highres-atrous-test", "highres-mlfa-test"])
def test_the_quick_start_is_the_blurred_image_and_moves(name: str) -> None:
    torch.manual_seed(7)
    net = MODELS[name].build()
    start_at_the_blurred_image(net)
    blur, sharp = torch.rand(1, 3, 3, 42, 44), torch.rand(1, 3, 3, 42, 44)
    if name == "highres-atrous-test":
        blur, sharp = blur[:, :1], sharp[:, :1]
    optimiser = torch.optim.Adam([weight for weight in net.parameters() if weight.requires_grad], lr=1e-3)

    def loss() -> Tensor:
        pairs = form_of(net).outputs(net, blur, sharp)
        return torch.stack([(output - target).abs().mean() for output, target in pairs]).mean()

    first = loss()
    for number, (output, _) in enumerate(form_of(net).outputs(net, blur, sharp)):
        torch.testing.assert_close(output, blur[:, number], atol=1e-6, rtol=0)
    for _ in range(8):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss() < first


def test_a_frame_goes_through_stage_1_once_and_the_ends_repeat() -> None:
    torch.manual_seed(8)
    spec = MODELS["highres-mlfa-test"]
    net = spec.build().eval()
    assert isinstance(net, HighResMLFA)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    net.stage1.front.register_forward_hook(count)
    clip = frames(6, 41, 50)
    with torch.no_grad():
        restored = list(spec.adapt(net).restore(iter(clip)))
        assert calls == 6
        for centre in (0, 3, 5):
            window = [clip[min(max(index, 0), 5)] for index in range(centre - 2, centre + 3)]
            padded = functional.pad(torch.stack(window) * 2 - 1, (0, 6, 0, 7), mode="reflect")
            expected = (net(padded[None])[0, :, :41, :50] * 0.5 + 0.5).clamp(0, 1)
            torch.testing.assert_close(restored[centre], expected, atol=1e-6, rtol=0)


def test_neighbours_are_told_apart_and_reach_from_afar() -> None:
    """All five frames change the middle one's image, in an order that matters, over long distances."""
    torch.manual_seed(9)
    net = MODELS["highres-mlfa-test"].build().eval()
    window = torch.rand(1, FRAMES, 3, 96, 96) * 2 - 1
    with torch.no_grad():
        plain = net(window)
        assert (net(window.flip(1)) - plain).abs().max() > 1e-4
        for number in range(FRAMES):
            changed = window.clone()
            changed[:, number, :, 48, 95] += 1
            difference = (net(changed) - plain).abs().amax(dim=(0, 1))
            assert difference.max() > 0
            assert difference[:, :40].max() > 0  # through the coarsest level: 56 px away


def test_stage_2_starts_from_stage_1_s_image() -> None:
    net = MODELS["highres-mlfa-test"].build().eval()
    assert isinstance(net, HighResMLFA)
    nn.init.zeros_(net.stage2.residual.weight)
    nn.init.zeros_(net.stage2.residual.bias)
    window = torch.rand(2, FRAMES, 3, 40, 40) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(net(window), net.stage1(window[:, 2]), atol=1e-6, rtol=0)


def test_another_number_of_frames_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[B, 5, 3, H, W\], got \[1, 3, 3, 40, 40\]"):
        MODELS["highres-mlfa-test"].build()(torch.zeros(1, 3, 3, 40, 40))


def test_stage_1_s_weights_fit_into_the_second_network() -> None:
    """A trained `highres-atrous` goes into `highres-mlfa` under the prefix stage1."""
    with torch.device("meta"):
        alone, both = MODELS["highres-atrous"].build(), MODELS["highres-mlfa"].build()
    inside = {key: tuple(value.shape) for key, value in both.state_dict().items() if key.startswith("stage1.")}
    assert inside == {f"stage1.{key}": tuple(value.shape) for key, value in alone.state_dict().items()}
