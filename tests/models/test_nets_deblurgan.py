"""DeblurGAN and its successor: laws that the fixtures cannot show."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.nets.adapters import outputs_of
from models.nets.deblurgan import PatchDiscriminator
from models.nets.deblurgan_v2 import SeparableConvolution
from models.nets.esrgan import UNetDiscriminator, VggStyleDiscriminator
from models.training.start import start_at_the_blurred_image
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


@pytest.mark.parametrize("name", ["deblurgan-test", "deblurgan-v2-mobilenet-test", "deblurgan-v2-mobilenet-dsc-test"])
def test_training_that_starts_at_the_blurred_image_can_leave_it(name: str) -> None:
    module = MODELS[name].build().train()
    start_at_the_blurred_image(module, MODELS[name])
    blur, sharp = torch.rand(2, 2, 1, 3, 64, 64)
    # Dropout only changes what is multiplied by 0.
    ((output, target),) = outputs_of(MODELS[name])(module, blur, sharp)
    torch.testing.assert_close(output, blur[:, 0])
    (output - target).square().mean().backward()
    last = module.get_submodule(MODELS[name].training.residual[0])
    assert last.weight.grad.abs().max() > 0 and last.bias.grad.abs().max() > 0


def test_inception_counts_the_published_code_s_multiplications() -> None:
    """The authors' code was measured to take 273.93 G at 1280 x 736."""
    module = MODELS["deblurgan-v2-inception"].build()
    assert macs_g(module, 736, 1280) == pytest.approx(273.93, abs=0.05)


def test_inception_s_taps_are_the_backbone_s_own_modules() -> None:
    with torch.device("meta"):
        pyramid = MODELS["deblurgan-v2-inception"].build().fpn
    assert pyramid.enc0 is pyramid.inception.conv2d_1a
    assert pyramid.enc4[0] is pyramid.inception.repeat_1
    assert len({id(weight) for weight in pyramid.parameters()}) == len(list(pyramid.parameters()))


def test_a_patch_s_score_sees_70_pixels() -> None:
    """Of PatchGAN with three strided convolutions; without norms, which see the whole image."""
    model = PatchDiscriminator(3, channels=2).model.double()
    layers = nn.Sequential(*(layer for layer in model if not isinstance(layer, nn.InstanceNorm2d)))
    image = torch.rand(1, 3, 160, 160, dtype=torch.float64, requires_grad=True)
    scores = layers(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70


def test_deblurgan_in_train_mode_draws_the_same_dropout_again_and_leaves_the_generator_of_chance_alone() -> None:
    torch.manual_seed(3)
    spec = MODELS["deblurgan-test"]
    method = spec.adapt(spec.build().eval())
    frame = torch.rand(3, 32, 40)
    with torch.no_grad():
        (plain,) = method.restore(iter([frame]))
        method.train_mode = True
        state = torch.get_rng_state()
        first, second = method.restore(iter([frame, frame]))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert (first - plain).abs().max() > 1e-4


def test_deblurgan_does_not_depend_on_contrast_statistics_of_training() -> None:
    """Running statistics of instance norms are stored in checkpoints, and never used."""
    spec = MODELS["deblurgan-test"]
    module = spec.build().eval()
    frame = torch.rand(3, 24, 24)
    with torch.no_grad():
        (before,) = spec.adapt(module).restore(iter([frame]))
        for name, value in module.named_buffers():
            if "running" in name:
                value.fill_(7.0)
        (after,) = spec.adapt(module).restore(iter([frame]))
    assert torch.equal(before, after)


def test_spectral_norm_bounds_a_layer() -> None:
    """After some power iterations no inner weight stretches anything by more than one."""
    module = UNetDiscriminator(width=4).train()
    with torch.no_grad():
        for _ in range(100):
            module(torch.rand(1, 3, 16, 16))
    for index in range(1, 9):
        weight = module.get_submodule(f"conv{index}").weight.flatten(1)
        assert torch.linalg.matrix_norm(weight, ord=2) == pytest.approx(1, abs=2e-2)


def test_unet_discriminator_judges_every_pixel_and_trains() -> None:
    module = UNetDiscriminator(width=4).train()
    scores = module(torch.rand(2, 3, 24, 32))
    assert scores.shape == (2, 1, 24, 32)
    scores.mean().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in module.parameters())


def test_vgg_style_discriminator_refuses_other_sizes_and_trains() -> None:
    module = VggStyleDiscriminator(width=4).train()
    with pytest.raises(ValueError, match="128x128 px, got"):
        module(torch.zeros(1, 3, 64, 96))
    module(torch.rand(2, 3, 128, 128)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
