"""Facts of HINet, Stripformer and FFTformer beyond parity: tiles, local statistics, ranges, strips, transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.fftformer import FrequencyAttention, FrequencyFeedForward, _spectra
from models.nets.hinet import SMALLEST_PX, TILE_PX, HINet, LocalInstanceNorm, in_tiles
from models.nets.stripformer import InterStrip, IntraStrip
from models.restorer import LOCAL_WINDOW_PX, Restorer
from models.zoo import MODELS

CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


class Recorder(nn.Module):
    """Two stages, as HINet has: adds the tile's mean, so that the places of tiles can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> list[Tensor]:
        self.sizes.append(tuple(image.shape[-2:]))
        return [torch.zeros_like(image), image + image.mean()]


def test_hinet_tiles_of_a_gopro_frame() -> None:
    """Five columns side by side and three rows with a step of 232; the rows 232 to 255 lie in two tiles."""
    module, image = Recorder(), noise(1, 3, 720, 1280)
    found = in_tiles(module, image, 256)
    assert module.sizes == [(256, 256)] * 15
    means = [[image[..., top : top + 256, 256 * n : 256 * n + 256].mean() for n in range(5)] for top in (0, 232, 464)]
    expected = image.clone()
    for column in range(5):
        area = slice(256 * column, 256 * column + 256)
        for first, last, value in (
            (0, 232, means[0][column]),
            (232, 256, (means[0][column] + means[1][column]) / 2),
            (256, 464, means[1][column]),
            (464, 488, (means[1][column] + means[2][column]) / 2),
            (488, 720, means[2][column]),
        ):
            expected[..., first:last, area] += value
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [(256, 300, [(256, 256)] * 2), (100, 300, [(112, 256)] * 2), (10, 12, [(SMALLEST_PX, SMALLEST_PX)])],
)
def test_hinet_runs_on_the_authors_tiles_where_asked(height: int, width: int, seen: list[tuple[int, int]]) -> None:
    """Frames of a tile's size and more are not padded; the whole image is the rule without the switch."""
    module, frame = Recorder(), noise(3, height, width)
    method = Restorer(MODELS["hinet"], module, CPU, ["authors-tiles"], fuse=False)
    (restored,) = method.restore(iter([frame]))
    assert module.sizes == seen and restored.shape == frame.shape
    module.sizes.clear()
    list(Restorer(MODELS["hinet"], module, CPU, fuse=False).restore(iter([frame])))
    assert len(module.sizes) == 1 and all(side % 16 == 0 and side >= SMALLEST_PX for side in module.sizes[0])


def test_a_network_without_tiles_of_its_authors_refuses_them() -> None:
    with pytest.raises(ValueError, match="fftformer-test has no switch authors-tiles"):
        Restorer(MODELS["fftformer-test"], MODELS["fftformer-test"].build(), CPU, ["authors-tiles"])
    assert TILE_PX == 256


def test_local_instance_norm_by_its_definition() -> None:
    norm = nn.InstanceNorm2d(2, affine=True)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0]))
        norm.bias.copy_(torch.tensor([1.0, -1.0]))
    image = noise(1, 2, 9, 11) + 100
    found = LocalInstanceNorm(norm, 4, 5)(image)
    exact = image[0].double().numpy()
    for y, x in ((0, 0), (4, 6), (8, 10), (2, 8)):
        top, left = min(max(y - 1, 0), 5), min(max(x - 2, 0), 6)
        window = exact[:, top : top + 4, left : left + 5].reshape(2, -1)
        normed = (exact[:, y, x] - window.mean(axis=1)) / np.sqrt(window.var(axis=1) + 1e-5)
        np.testing.assert_allclose(found[0, :, y, x].detach(), normed * [0.5, 2.0] + [1.0, -1.0], atol=1e-5)
    whole = LocalInstanceNorm(norm, 20, 20)(image)
    torch.testing.assert_close(whole, norm.double()(image.double()).float(), rtol=0, atol=1e-5)


def test_hinet_windows_follow_its_levels() -> None:
    with torch.device("meta"):
        module = MODELS["hinet"].build()
    assert isinstance(module, HINet) and MODELS["hinet"].localise is not None
    MODELS["hinet"].localise(module, LOCAL_WINDOW_PX, LOCAL_WINDOW_PX)
    windows = {name: (layer.height, layer.width) for name, layer in module.named_modules() if hasattr(layer, "width")}
    assert windows == {
        f"down_path_{stage}.{level}.norm": (side, side) for stage in (1, 2) for level, side in ((3, 48), (4, 24))
    }


def test_hinet_s_stages_are_trained_alike() -> None:
    """And it starts at the blurred image: both stages give it back."""
    from models.nets.adapters import outputs_of
    from models.training.start import start_at_the_blurred_image

    module, spec = MODELS["hinet-test"].build(), MODELS["hinet-test"]
    start_at_the_blurred_image(module, spec)
    blur, sharp = noise(1, 1, 3, 32, 32), noise(1, 1, 3, 32, 32, seed=1)
    pairs = outputs_of(spec)(module, blur, sharp)
    assert len(pairs) == 2
    for restored, target in pairs:
        assert torch.equal(restored, blur[:, 0]) and torch.equal(target, sharp[:, 0])


def test_stripformer_s_range_and_padding() -> None:
    class Seen(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            self.image = image
            return image * 0.5

    module, frame = Seen(), noise(3, 18, 24)
    (restored,) = MODELS["stripformer"].adapt(module).restore(iter([frame]))
    assert module.image.shape == (1, 3, 24, 24)
    assert torch.equal(module.image[0, :, :18], frame - 0.5)
    assert torch.equal(module.image[0, :, 18], frame[:, 16] - 0.5)  # reflected
    torch.testing.assert_close(restored, frame * 0.5 + 0.25)


def test_stripformer_takes_away_a_fifth_of_what_it_adds() -> None:
    """The last convolution's result goes through a LeakyReLU before the image is added."""
    module = MODELS["stripformer-test"].build().eval()
    last = module.get_submodule("decoder.de_layer1_1.0")
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    image = noise(1, 3, 16, 16) - 0.5
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.1, -0.1, 0.0]))
        change = module(image) - image
    for channel, value in enumerate((0.1, -0.02, 0.0)):
        torch.testing.assert_close(change[:, channel], torch.full((1, 16, 16), value))


def test_attention_within_strips_is_that_of_each_row_and_column() -> None:
    torch.manual_seed(0)
    block, rows, columns = IntraStrip(16, 2), noise(2, 8, 5, 7), noise(2, 8, 5, 7, seed=1)
    with torch.no_grad():
        by_rows, by_columns = block.attend(rows, columns)
        for image in range(2):
            for y in range(5):
                tokens = block.qkv_local_h(rows[image, :, y].T)
                torch.testing.assert_close(by_rows[image, :, y].T, plain_attention(tokens, 2))
            for x in range(7):
                tokens = block.qkv_local_v(columns[image, :, :, x].T)
                torch.testing.assert_close(by_columns[image, :, :, x].T, plain_attention(tokens, 2))


def test_attention_among_strips_takes_whole_channels_to_each_head() -> None:
    torch.manual_seed(0)
    block, rows, columns = InterStrip(16, 2), noise(1, 8, 5, 7), noise(1, 8, 5, 7, seed=1)
    with torch.no_grad():
        by_rows, by_columns = block.attend(rows, columns)
        projected = block.conv_h(rows)[0].permute(1, 0, 2).flatten(1)  # [5, 24 * 7]
        expected = plain_attention(projected, 2).unflatten(1, (8, 7)).permute(1, 0, 2)
        torch.testing.assert_close(by_rows[0], expected)
        projected = block.conv_v(columns)[0].permute(2, 0, 1).flatten(1)  # [7, 24 * 5]
        expected = plain_attention(projected, 2).unflatten(1, (8, 5)).permute(1, 2, 0)
        torch.testing.assert_close(by_columns[0], expected)


def plain_attention(projected: Tensor, heads: int) -> Tensor:
    """Shape: [L, 3D] -> [L, D]."""
    results = []
    for query, key, value in zip(*(part.chunk(heads, dim=1) for part in projected.chunk(3, dim=1)), strict=True):
        results.append(torch.softmax(query @ key.T / query.shape[1] ** 0.5, dim=1) @ value)
    return torch.cat(results, dim=1)


def circular(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The circular convolution of two patches of 8 x 8, value by value."""
    result = np.zeros((8, 8))
    for dy in range(8):
        for dx in range(8):
            result += one[dy, dx] * np.roll(other, (dy, dx), axis=(0, 1))
    return result


def test_fftformer_convolves_queries_with_keys() -> None:
    """Not a correlation, as the paper has it, which would be the convolution with the reversed key."""
    torch.manual_seed(0)
    layer = FrequencyAttention(2)
    seen: list[Tensor] = []
    layer.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = noise(1, 2, 16, 24)
    with torch.no_grad():
        layer(image)
        query, key, _ = layer.to_hidden_dw(layer.to_hidden(image)).double().chunk(3, dim=1)
    for channel, top, left in ((0, 0, 8), (3, 8, 16)):
        area = (0, channel, slice(top, top + 8), slice(left, left + 8))
        expected = circular(query[area].numpy(), key[area].numpy())
        np.testing.assert_allclose(seen[0][area], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_fftformer_s_factors_belong_to_frequencies() -> None:
    """Nothing but the mean frequency kept: every patch is even before the depthwise convolution."""
    torch.manual_seed(0)
    layer = FrequencyFeedForward(2, 3)
    seen: list[Tensor] = []
    layer.dwconv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = noise(1, 2, 16, 8)
    with torch.no_grad():
        layer(image)
        projected = layer.project_in(image)
        layer.fft.zero_()[..., 0, 0] = 2
        layer(image)
    torch.testing.assert_close(seen[0], projected)  # factors of one
    means = functional.avg_pool2d(projected, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    torch.testing.assert_close(seen[1], 2 * means)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fftformer_transforms_in_float32_at_least(dtype: torch.dtype) -> None:
    assert _spectra(noise(1, 2, 8, 8).to(dtype)).dtype == torch.complex64
    assert _spectra(noise(1, 2, 8, 8).double()).dtype == torch.complex128
