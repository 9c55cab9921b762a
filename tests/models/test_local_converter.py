"""The test-time local converter (Chu et al., ECCV 2022) by its definition, without this project's window tables.

Definition: the size of the features at every pooling is measured on a training crop; at test time each mean is taken
over 1.5 times that size around every pixel, and where the window covers the whole features over these. Restormer's
attention is computed in windows of that size, as few as cover the features, and averaged where they overlap.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.layers import LocalMean
from models.nets.mprnet import ChannelAttention
from models.nets.nafnet import NAFBlock
from models.nets.restormer import ChannelSelfAttention
from models.restorer import LOCAL_WINDOW_PX
from models.zoo import MODELS

CROP_PX = 256  # of all three trainings


def places(module: nn.Module) -> dict[str, nn.Module]:
    """The layers that look at the whole image: global means, or Restormer's attention."""
    found: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        if isinstance(layer, NAFBlock):
            found[f"{name}.sca.0"] = layer.sca[0]
        elif isinstance(layer, ChannelAttention):
            found[f"{name}.avg_pool"] = layer.avg_pool
        elif isinstance(layer, ChannelSelfAttention):
            found[name] = layer
    return found


def measured(module: nn.Module, crop_px: int, device: str) -> dict[str, tuple[int, int]]:
    """1.5 times the size of what every such layer sees of a training crop."""
    seen: dict[str, tuple[int, int]] = {}

    def note(name: str) -> object:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows, columns = inputs[0].shape[-2:]
            assert seen.setdefault(name, (rows * 3 // 2, columns * 3 // 2)) == (rows * 3 // 2, columns * 3 // 2)

        return hook

    handles = [layer.register_forward_pre_hook(note(name)) for name, layer in places(module).items()]
    with torch.no_grad():
        module(torch.zeros(1, 3, crop_px, crop_px, device=device, dtype=next(module.parameters()).dtype))
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", ["nafnet-32", "nafnet-64", "mprnet", "restormer"])
def test_windows_are_one_and_a_half_training_crops(name: str) -> None:
    """Of the published networks, run without memory on the crop of 256."""
    assert LOCAL_WINDOW_PX == CROP_PX * 3 // 2
    with torch.device("meta"):
        module = MODELS[name].build().eval()
    expected = measured(module, CROP_PX, "meta")
    assert len(expected) == len(places(module)) > 20
    localise = MODELS[name].localise
    assert localise is not None
    localise(module, LOCAL_WINDOW_PX, LOCAL_WINDOW_PX)
    for place, layer in places(module).items():
        window = (layer.height, layer.width) if isinstance(layer, LocalMean) else layer.window
        assert window == expected[place], place


def plain_mean(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Box means by summing shifted copies; the missing border repeats the outermost, its smaller half in front."""
    rows, columns = x.shape[-2:]
    height, width = min(window[0], rows), min(window[1], columns)
    total = torch.zeros(*x.shape[:2], rows - height + 1, columns - width + 1, dtype=torch.float64)
    for dy in range(height):
        for dx in range(width):
            total += x[:, :, dy : dy + total.shape[2], dx : dx + total.shape[3]]
    inside = (total / (height * width)).numpy()
    above, left = (height - 1) // 2, (width - 1) // 2
    border = ((0, 0), (0, 0), (above, height - 1 - above), (left, width - 1 - left))
    return torch.from_numpy(np.pad(inside, border, mode="edge")).to(x.dtype)


def plain_attention(layer: ChannelSelfAttention, x: Tensor, window: tuple[int, int]) -> Tensor:
    """Channel attention window by window and head by head."""
    projected = layer.qkv_dwconv(layer.qkv(x))
    channels, (rows, columns), heads = x.shape[1], x.shape[-2:], len(layer.temperature)
    height, width = min(window[0], rows), min(window[1], columns)
    total, count = torch.zeros_like(x), torch.zeros(rows, columns)
    for top in plain_starts(rows, height):
        for left in plain_starts(columns, width):
            part = projected[0, :, top : top + height, left : left + width].flatten(1)  # [3C, hw]
            query, key, value = part.split(channels)
            for head in range(heads):
                own = slice(head * channels // heads, (head + 1) * channels // heads)
                products = functional.normalize(query[own], dim=-1) @ functional.normalize(key[own], dim=-1).T
                result = torch.softmax(products * layer.temperature[head], dim=-1) @ value[own]
                total[0, own, top : top + height, left : left + width] += result.view(-1, height, width)
            count[top : top + height, left : left + width] += 1
    return layer.project_out(total / count)


def plain_starts(length: int, window: int) -> list[int]:
    """Where windows begin: steps rounded up, the last one moved back to end with the axis."""
    number = math.ceil(length / window)
    starts = []
    for index in range(number):
        start = index * math.ceil((length - window) / max(1, number - 1))
        starts.append(length - window if start + window >= length else start)
    return starts


def seeded(name: str) -> nn.Module:
    """In which every parameter takes part: some start at zero."""
    torch.manual_seed(3)
    module = MODELS[name].build().double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return module


@pytest.mark.parametrize("name", ["nafnet-test", "mprnet-test", "restormer-test"])
@pytest.mark.parametrize(("height", "width"), [(72, 104), (48, 88), (96, 40)])
def test_numbers_against_the_plain_definition(name: str, height: int, width: int) -> None:
    """A training crop of 32; in some layers the window covers the features along one axis or both."""
    plain, ours = seeded(name), seeded(name)
    windows = measured(plain, 32, "cpu")

    def instead(place: str) -> object:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
            if isinstance(layer, ChannelSelfAttention):
                return plain_attention(layer, inputs[0], windows[place])
            return plain_mean(inputs[0], windows[place])

        return hook

    for place, layer in places(plain).items():
        layer.register_forward_hook(instead(place))
    localise = MODELS[name].localise
    assert localise is not None
    localise(ours, 48, 48)
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height), dtype=torch.float64)
    image *= torch.linspace(0, 1, height)[:, None] * torch.linspace(1, 0, width)  # means differ from place to place
    with torch.no_grad():
        expected, found, whole = plain(image), ours(image), seeded(name)(image)
    outputs = zip(*[[x] if isinstance(x, Tensor) else x for x in (expected, found, whole)], strict=True)
    for wanted, got, without in outputs:
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
        assert float((without - wanted).abs().max()) > 1e-6  # the converter does make a difference
