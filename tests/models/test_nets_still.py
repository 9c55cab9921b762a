"""Laws of the still-image networks beyond parity: local means, windows of attention, pyramids, patches, dilation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.deepdeblur import gaussian_pyramid
from models.nets.dmphn import DMPHN, merge_folder
from models.nets.highres import AtrousBlock, HighResAtrous, HighResMLFA, ScaledConvolution
from models.nets.layers import LocalMean, channel_norm, local_mean
from models.nets.mprnet import MPRNet
from models.nets.restormer import ChannelSelfAttention, window_starts
from models.network_weights import load_into
from models.zoo import MODELS

LOCALISED = [name for name, spec in MODELS.items() if spec.localise is not None and name.endswith("-test")]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def built(name: str) -> nn.Module:
    """A network in which every parameter takes part: some start at zero."""
    torch.manual_seed(2)
    module = MODELS[name].build().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return module


@pytest.mark.parametrize(("rows", "columns"), [(9, 14), (20, 7), (6, 6)])
@pytest.mark.parametrize(("height", "width"), [(3, 4), (5, 6), (1, 1), (6, 30), (30, 5)])
def test_local_mean_against_plain_windows(rows: int, columns: int, height: int, width: int) -> None:
    image = noise(2, 3, rows, columns).numpy().astype(np.float64)
    h, w = min(height, rows), min(width, columns)
    expected = np.empty_like(image)
    for y in range(rows):
        for x in range(columns):
            top = min(max(y - (h - 1) // 2, 0), rows - h)
            left = min(max(x - (w - 1) // 2, 0), columns - w)
            expected[:, :, y, x] = image[:, :, top : top + h, left : left + w].mean(axis=(2, 3))
    measured = local_mean(torch.from_numpy(image), height, width).expand(2, 3, rows, columns).numpy()
    np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-12)


def test_local_mean_is_exact_on_a_large_bright_image() -> None:
    """Running sums in float32 would be off by 1e-3 here."""
    image = noise(1, 1, 700, 900) + 1000
    centre = local_mean(image, 96, 96)[0, 0, 300, 400]
    expected = image[0, 0, 300 - 47 : 300 + 49, 400 - 47 : 400 + 49].double().mean()
    assert abs(float(centre) - float(expected)) < 1e-4


def test_local_mean_has_exact_gradients() -> None:
    image = noise(1, 2, 5, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: local_mean(x, 3, 4), (image,))


def test_a_window_of_no_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 x 1 px"):
        LocalMean(0, 3)


@pytest.mark.parametrize("name", LOCALISED)
def test_a_window_as_large_as_the_image_changes_nothing(name: str) -> None:
    spec, module, image = MODELS[name], built(name), noise(1, 3, 32, 48)
    assert spec.localise is not None
    with torch.no_grad():
        plain = module(image)
        spec.localise(module, 48, 48)
        same = module(image)
        spec.localise(module, 16, 16)
        local = module(image)
    for before, after, other in zip(*[x if isinstance(x, list) else [x] for x in (plain, same, local)], strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
        assert (other - before).abs().max() > 1e-5  # and a smaller one does


@pytest.mark.parametrize("name", LOCALISED)
def test_localised_networks_keep_their_keys(name: str) -> None:
    spec, module = MODELS[name], built(name)
    keys = list(module.state_dict())
    assert spec.localise is not None
    spec.localise(module, 384, 384)
    assert list(module.state_dict()) == keys


def test_windows_of_mprnet_follow_its_patches() -> None:
    """A quadrant's window is half as high and wide; every level halves it again."""
    module = MODELS["mprnet-test"].build()
    assert isinstance(module, MPRNet) and MODELS["mprnet-test"].localise is not None
    MODELS["mprnet-test"].localise(module, 384, 384)
    windows = {
        "shallow_feat1.1": (192, 192),
        "shallow_feat3.1": (384, 384),
        "stage1_encoder.encoder_level3.0": (48, 48),
        "stage1_decoder.decoder_level1.1": (192, 384),
        "stage1_decoder.skip_attn2": (96, 192),
        "stage2_encoder.encoder_level2.1": (96, 192),
        "stage2_decoder.decoder_level3.0": (96, 96),
        "stage3_orsnet.orb2.body.0": (384, 384),
    }
    for name, expected in windows.items():
        pool = module.get_submodule(name + ".CA").avg_pool
        assert isinstance(pool, LocalMean) and (pool.height, pool.width) == expected, name


@pytest.mark.parametrize(("length", "window"), [(10, 10), (11, 10), (48, 16), (50, 16), (97, 7), (5, 4)])
def test_windows_of_attention_cover_the_axis(length: int, window: int) -> None:
    starts = window_starts(length, window)
    covered = {pixel for start in starts for pixel in range(start, start + window)}
    assert covered == set(range(length))
    assert len(starts) == -(-length // window)


def test_attention_in_windows_is_attention_of_each_part() -> None:
    """Windows that do not overlap give what the attention gives on the parts alone."""
    torch.manual_seed(0)
    layer = ChannelSelfAttention(8, 2)
    projected = torch.randn(1, 24, 12, 16)
    with torch.no_grad():
        together = layer._attend_in_windows(projected, 6, 8)
        torch.testing.assert_close(together[:, :, 6:, :8], layer._attend(projected[:, :, 6:, :8]))


def test_attention_ignores_the_length_of_queries_and_keys() -> None:
    torch.manual_seed(0)
    layer = ChannelSelfAttention(8, 2)
    projected = torch.randn(1, 24, 5, 6)
    scaled = projected.clone()
    scaled[:, :16] *= 3
    with torch.no_grad():
        torch.testing.assert_close(layer._attend(scaled), layer._attend(projected))
        assert not layer._attend(torch.zeros(1, 24, 5, 6)).isnan().any()


def test_channel_norm_by_its_definition() -> None:
    x = noise(2, 6, 4, 5)
    weight, bias = noise(6, seed=1), noise(6, seed=2)
    centred = x - x.mean(dim=1, keepdim=True)
    expected = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    expected = expected * weight.view(1, 6, 1, 1) + bias.view(1, 6, 1, 1)
    torch.testing.assert_close(channel_norm(x, weight, bias, 1e-6), expected)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (4, 8), (12, 4)])
def test_gaussian_pyramid_is_that_of_scikit_image(height: int, width: int) -> None:
    transform = pytest.importorskip("skimage.transform")
    image = noise(1, 3, height, width).double()
    expected = list(transform.pyramid_gaussian(image[0].numpy(), max_layer=2, channel_axis=0))
    for ours, theirs in zip(gaussian_pyramid(image, 3), expected, strict=True):
        np.testing.assert_allclose(ours[0].numpy(), theirs, rtol=0, atol=1e-6)


def test_dmphn_batches_its_patches_correctly() -> None:
    """Two images at once give what each gives alone: no patch is swapped between images."""
    module, images = built("dmphn-test"), noise(2, 3, 16, 24) - 0.5
    with torch.no_grad():
        torch.testing.assert_close(module(images), torch.cat([module(images[:1]), module(images[1:])]))


def test_mprnet_batches_its_patches_correctly() -> None:
    module, images = built("mprnet-test"), noise(2, 3, 16, 24)
    with torch.no_grad():
        for both, first, second in zip(module(images), module(images[:1]), module(images[1:]), strict=True):
            torch.testing.assert_close(both, torch.cat([first, second]), rtol=1e-4, atol=1e-5)


def test_mprnet_shares_one_activation() -> None:
    module = MODELS["mprnet-test"].build()
    assert sum(isinstance(layer, nn.PReLU) for layer in module.modules()) == 1


def test_dmphn_reads_the_authors_six_files(tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = DMPHN(channels=8)
    for part, child in module.named_children():
        torch.save(child.state_dict(), tmp_path / f"{part}.pkl")
    for path in (tmp_path, tmp_path / "decoder_lv2.pkl"):
        other = DMPHN(channels=8)
        load_into(other, path, MODELS["dmphn-test"])
        assert all(torch.equal(value, module.state_dict()[key]) for key, value in other.state_dict().items())
    torch.save(module.state_dict(), tmp_path / "merged.pth")
    assert merge_folder(tmp_path / "merged.pth") is None
    load_into(DMPHN(channels=8), tmp_path / "merged.pth", MODELS["dmphn-test"])
    (tmp_path / "encoder_lv3.pkl").unlink()
    with pytest.raises(ValueError, match=r"six files of DMPHN .* but encoder_lv3.pkl is not there"):
        load_into(DMPHN(channels=8), tmp_path, MODELS["dmphn-test"])


def test_scaled_convolution_scales_before_the_bias() -> None:
    torch.manual_seed(4)
    layer = ScaledConvolution(3, 5, 3, stride=2, rate=2)
    with torch.no_grad():
        layer.scale.normal_()
        layer.bias.normal_()
        x = torch.randn(1, 3, 12, 14)
        plain = functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), layer.weight, stride=2, dilation=2)
        torch.testing.assert_close(layer(x), plain * layer.scale.view(1, 5, 1, 1) + layer.bias.view(1, 5, 1, 1))


def test_atrous_block_has_the_published_weights_and_view() -> None:
    """2.36 M weights; a pixel of the output sees 11 x 11 of the input, apart from the corners no rate reaches."""
    count = sum(
        layer.weight.numel() for layer in AtrousBlock(256, 128).modules() if isinstance(layer, ScaledConvolution)
    )
    assert count == 2_359_296
    block = AtrousBlock(4, 4)
    x = torch.randn(1, 4, 25, 25, requires_grad=True)
    block(x)[0, :, 12, 12].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum(dim=(0, 1)) > 0
    rows, columns = torch.nonzero(seen, as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (7, 17, 7, 17)


def test_stage_one_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        module = HighResAtrous()
    blocks = sum(layer.weight.numel() for layer in module.blocks.modules() if isinstance(layer, ScaledConvolution))
    assert round(blocks / 1e6, 1) == 47.2


def test_branches_read_the_padded_features_as_if_alone() -> None:
    torch.manual_seed(5)
    x = torch.randn(1, 3, 9, 11)
    padded = functional.pad(x, (4, 4, 4, 4), mode="reflect")
    with torch.no_grad():
        for rate in (1, 2, 3, 4):
            layer = ScaledConvolution(3, 2, 3, rate=rate)
            torch.testing.assert_close(layer(padded, 4), layer(x))


def test_the_first_stage_is_frozen() -> None:
    module = MODELS["highres-mlfa-test"].build().train()
    assert isinstance(module, HighResMLFA)
    module(torch.randn(1, 5, 3, 48, 48)).sum().backward()
    assert all(parameter.grad is None for parameter in module.first_stage.parameters())
    assert all(
        parameter.grad is not None
        for name, parameter in module.named_parameters()
        if not name.startswith("first_stage.")
    )
    with pytest.raises(ValueError, match=r"\[B, 5, 3, H, W\], got \[1, 3, 3, 48, 48\]"):
        module(torch.zeros(1, 3, 3, 48, 48))


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_the_sliding_window_is_the_network_on_five_frames(count: int) -> None:
    """Each output equals the module on the five frames around it, the clip's ends repeated."""
    spec, module = MODELS["highres-mlfa-test"], built("highres-mlfa-test")
    clip = [noise(3, 48, 64, seed=index) for index in range(count)]
    with torch.no_grad():
        restored = list(spec.adapt(module).restore(iter(clip)))
        assert len(restored) == count
        for index, frame in enumerate(restored):
            window = [clip[min(max(index + offset, 0), count - 1)] for offset in (-2, -1, 0, 1, 2)]
            expected = module(torch.stack(window)[None] * 2 - 1)[0] * 0.5 + 0.5
            torch.testing.assert_close(frame, expected.clamp(0, 1), rtol=0, atol=1e-6)
