"""DeblurGAN and its successor: laws that the fixtures cannot show."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.nets.pyramids import SeparableConvolution
from models.training_forms import form_of, start_at_the_blurred_image
from models.zoo import MODELS


def weights_m(module: nn.Module) -> float:
    return sum({id(weight): weight.numel() for weight in module.parameters()}.values()) / 1e6


def macs_g(module: nn.Module, height: int, width: int) -> float:
    """Multiplications of one frame, counted without computing anything."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta").eval()(torch.zeros(1, 3, height, width, device="meta"))
    return counter.get_total_flops() / 2e9


def test_separable_convolution_is_a_convolution_of_rank_one_kernels() -> None:
    torch.manual_seed(0)
    separable = SeparableConvolution(3, 5, bias=True).double()
    kernel = separable.pointwise.weight * separable.depthwise.weight.transpose(0, 1)  # [5, 3, 3, 3]
    image = torch.randn(2, 3, 7, 9, dtype=torch.float64)
    expected = nn.functional.conv2d(image, kernel, separable.pointwise.bias, padding=1)
    torch.testing.assert_close(separable(image), expected)


def test_mobilenet_dsc_has_the_figures_of_its_decision() -> None:
    plain, separable = (MODELS[name].build() for name in ("deblurgan-v2-mobilenet", "deblurgan-v2-mobilenet-dsc"))
    assert weights_m(plain) == pytest.approx(3.3127, abs=1e-4)
    assert weights_m(separable) == pytest.approx(1.1855, abs=1e-4)
    assert macs_g(plain, 736, 1280) == pytest.approx(38.94, abs=0.01)
    assert macs_g(separable, 736, 1280) == pytest.approx(9.59, abs=0.01)


def test_mobilenet_dsc_has_no_block_that_is_never_run_and_no_plain_k3_convolution_outside_the_backbone() -> None:
    module = MODELS["deblurgan-v2-mobilenet-dsc-test"].build().train()
    module(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    outside = [(name, layer) for name, layer in module.named_modules() if not name.startswith(("fpn.feat", "fpn.enc"))]
    wide = [layer for _, layer in outside if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)]
    assert len(wide) == 14
    assert all(layer.groups == layer.in_channels for layer in wide)


@pytest.mark.parametrize("name", ["deblurgan-v2-mobilenet-test", "deblurgan-v2-mobilenet-dsc-test"])
def test_training_that_starts_at_the_blurred_image_can_leave_it(name: str) -> None:
    module = MODELS[name].build().train()
    start_at_the_blurred_image(module, MODELS[name])
    blur, sharp = torch.rand(2, 2, 1, 3, 64, 64)
    ((output, target),) = form_of(module, MODELS[name]).outputs(module, blur, sharp)
    torch.testing.assert_close(output, blur[:, 0])
    (output - target).square().mean().backward()
    last = module.get_submodule(form_of(module, MODELS[name]).residual[0])
    assert last.weight.grad.abs().max() > 0 and last.bias.grad.abs().max() > 0
