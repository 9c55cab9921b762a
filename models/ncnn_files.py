"""Real-ESRGAN's networks in ncnn's format, NAME.param beside NAME.bin, under the keys of models/nets/esrgan.py.

The format (github.com/Tencent/ncnn): NAME.param is text, a magic number, the counts of layers and values, then a line a
layer: kind, name, counts of inputs and outputs, their names, parameters as number=value. NAME.bin holds the weights in
the order of the layers: for a convolution a tag, its weight (float16 filled up to four bytes, or float32) and its bias
(float32), for a PReLU its slopes (float32).

Read are RRDBNet and SRVGGNet with an enlargement of 4, and nothing else: every layer must be the one that the network
has at this place, with the same inputs and parameters, and the bytes must be as many as that network needs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".param", ".bin")
MAGIC = "7767517"
HALF, SINGLE = 0x01306B47, 0  # tags of a convolution's weight
MOST_TEXT = 4 << 20  # bytes of a .param; Real-ESRGAN's largest has 116 kB
SCALE = 4
SLOPE = 0.2  # of RRDBNet's activations
RESIDUAL = 0.2


@dataclass(frozen=True, kw_only=True)
class Layer:
    """inputs: numbers of the layers that they come from, -1 for the image. facts: what was read of its parameters.

    weights, biases: how many it has.
    """

    kind: str
    inputs: tuple[int, ...]
    facts: tuple[float, ...] = ()
    weights: int = 0
    biases: int = 0


class _Network:
    """The layers that a network should have, put down one by one, and the keys of their weights."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.keys: list[tuple[str, tuple[int, ...]]] = []  # of every layer with weights: name, shape

    def add(self, kind: str, inputs: Sequence[int], facts: Sequence[float] = ()) -> int:
        self.layers.append(Layer(kind=kind, inputs=tuple(inputs), facts=tuple(facts)))
        return len(self.layers) - 1

    def conv(self, source: int, key: str, inputs: int, outputs: int, *, leaky: bool = False) -> int:
        """3x3, the size stays. facts: outputs, and the slope of the activation, 1 for none."""
        shape = (outputs, inputs, 3, 3)
        facts = (outputs, SLOPE if leaky else 1.0)
        layer = Layer(kind="Convolution", inputs=(source,), facts=facts, weights=outputs * inputs * 9, biases=outputs)
        self.layers.append(layer)
        self.keys.append((key, shape))
        return len(self.layers) - 1

    def prelu(self, source: int, key: str, channels: int) -> int:
        self.layers.append(Layer(kind="PReLU", inputs=(source,), facts=(channels,), biases=channels))
        self.keys.append((key, (channels,)))
        return len(self.layers) - 1


def _rrdbnet(blocks: int, channels: int, growth: int) -> _Network:
    net = _Network()
    x = first = net.conv(-1, "conv_first", 3, channels)
    for block in range(blocks):
        before = x
        for dense in (1, 2, 3):
            start, seen = x, [x]
            for place in (1, 2, 3, 4):
                source = seen[0] if place == 1 else net.add("Concat", seen)
                key = f"body.{block}.rdb{dense}.conv{place}"
                seen.append(net.conv(source, key, channels + (place - 1) * growth, growth, leaky=True))
            key = f"body.{block}.rdb{dense}.conv5"
            last = net.conv(net.add("Concat", seen), key, channels + 4 * growth, channels)
            x = net.add("Eltwise", (last, start), (RESIDUAL, 1.0))
        x = net.add("Eltwise", (x, before), (RESIDUAL, 1.0))
    x = net.add("BinaryOp", (first, net.conv(x, "conv_body", channels, channels)))
    for key in ("conv_up1", "conv_up2"):
        x = net.conv(net.add("Interp", (x,), (2.0,)), key, channels, channels, leaky=True)
    net.conv(net.conv(x, "conv_hr", channels, channels, leaky=True), "conv_last", channels, 3)
    return net


def _srvggnet(convs: int, channels: int) -> _Network:
    net = _Network()
    x = -1
    for place in range(convs + 1):
        x = net.conv(x, f"body.{2 * place}", channels if place else 3, channels)
        x = net.prelu(x, f"body.{2 * place + 1}", channels)
    x = net.add("PixelShuffle", (net.conv(x, f"body.{2 * convs + 2}", channels, 3 * SCALE**2),), (SCALE,))
    net.add("BinaryOp", (x, net.add("Interp", (-1,), (SCALE,))))
    return net


def read(path: Path) -> dict[str, Tensor] | None:
    """The weights of NAME.param with NAME.bin, given as either, as float32; None for a file of another format.

    Errors: ValueError, one sentence: not both files, not one of the two networks, not as many bytes as it needs, NaN.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        return None
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    for needed in (param, weights):
        if not needed.is_file():
            raise ValueError(f"{path}: a network of ncnn is two files, and {needed.name} is not beside it")
    if param.stat().st_size > MOST_TEXT:
        raise ValueError(f"{param}: a list of layers has {MOST_TEXT >> 20} MB at most, this is none")
    network = _recognised(_layers(param), param)
    size = weights.stat().st_size
    least, most = _bytes_needed(network, half=True), _bytes_needed(network, half=False)
    if not least <= size <= most:  # before anything is read or made room for
        raise ValueError(
            f"{weights}: it has {size} bytes, and the layers in {param.name} need {least} (float16) to {most} (float32)"
        )
    return _tensors(network, weights)


def _bytes_needed(network: _Network, *, half: bool) -> int:
    convolutions = [layer for layer in network.layers if layer.weights]
    tags_and_weights = sum(4 + (_filled(2 * layer.weights) if half else 4 * layer.weights) for layer in convolutions)
    return tags_and_weights + sum(4 * layer.biases for layer in network.layers)


def _filled(count: int) -> int:
    """Up to a multiple of four bytes."""
    return -(-count // 4) * 4


def _layers(param: Path) -> list[Layer]:
    """The layers of a .param but for its input and its splits, which hand a value on to several layers."""
    try:
        lines = param.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{param}: it is no text; a .param of ncnn's is, unless it was made binary") from None
    if len(lines) < 2 or lines[0].strip() != MAGIC:
        raise ValueError(f"{param}: it does not begin with {MAGIC}, as a .param of ncnn's does")
    described = [line for line in lines[2:] if line.strip()]
    if lines[1].split()[:1] != [str(len(described))]:
        raise ValueError(f"{param}: line 2 does not say that there are {len(described)} layers; it was cut or changed")
    origin: dict[str, int] = {}  # of every value: the layer that it comes from
    layers: list[Layer] = []
    for number, line in enumerate(described, start=3):
        try:
            kind, _, counts_in, counts_out, *words = line.split()
            taken, given = int(counts_in), int(counts_out)
            if min(taken, given) < 0 or taken + given > len(words):
                raise ValueError
            inputs = tuple(origin[name] for name in words[:taken])
            values = dict(word.split("=", 1) for word in words[taken + given :])
            if kind == "Input":
                source = -1
            elif kind == "Split":
                (source,) = inputs
            else:
                source = len(layers)
                layers.append(_layer(kind, inputs, values))
        except (ValueError, KeyError, IndexError):
            raise ValueError(
                f"{param}: line {number} is no layer of RRDBNet or SRVGGNet: {' '.join(line.split())[:80]}"
            ) from None
        origin.update(dict.fromkeys(words[taken : taken + given], source))
    return layers


def _layer(kind: str, inputs: tuple[int, ...], values: dict[str, str]) -> Layer:
    """A line's parameters, those that are not written taken at ncnn's default. Errors: ValueError, KeyError."""
    if kind == "Convolution":
        outputs, kernel, activation = _count(values.pop("0")), values.pop("1"), values.pop("9", "0")
        padding, bias, weights = values.pop("4", "0"), values.pop("5", "0"), _count(values.pop("6"))
        slope = _array(values.pop("-23310"))[0] if activation == "2" else 1.0
        if values or (kernel, padding, bias) != ("3", "1", "1") or activation not in ("0", "2"):
            raise ValueError
        return Layer(kind=kind, inputs=inputs, facts=(outputs, slope), weights=weights, biases=outputs)
    facts: tuple[float, ...] = ()
    biases = 0
    if kind == "PReLU":
        biases = _count(values.pop("0"))
        facts = (biases,)
    elif kind == "Eltwise":
        if values.pop("0") != "1":  # a sum
            raise ValueError
        facts = _array(values.pop("-23301"))
    elif kind == "Interp":
        if values.pop("0") != "1" or values["1"] != values.pop("2"):  # nearest, both sides alike
            raise ValueError
        facts = (float(values.pop("1")),)
    elif kind == "PixelShuffle":
        facts = (float(values.pop("0")),)
    elif kind in ("Concat", "BinaryOp"):  # along the channels; a sum
        if values.pop("0", "0") != "0":
            raise ValueError
    else:
        raise ValueError
    if values:
        raise ValueError
    return Layer(kind=kind, inputs=inputs, facts=facts, biases=biases)


def _count(text: str) -> int:
    """Errors: ValueError for what is no number of things."""
    count = int(text)
    if not 0 < count < 1 << 31:
        raise ValueError
    return count


def _array(text: str) -> tuple[float, ...]:
    """Count, then the values, between commas."""
    count, *values = text.split(",")
    if int(count) != len(values):
        raise ValueError
    return tuple(float(value) for value in values)


def _recognised(layers: list[Layer], param: Path) -> _Network:
    """The network that the layers are. Errors: ValueError naming the first one that is not as it should be."""
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    if len(convolutions) < 3:
        raise ValueError(f"{param}: with {len(convolutions)} convolutions it is neither RRDBNet nor SRVGGNet")
    channels, growth = (int(layer.facts[0]) for layer in convolutions[:2])
    if any(layer.kind == "PReLU" for layer in layers):
        name, network = "SRVGGNet", _srvggnet(len(convolutions) - 2, channels)
    else:
        name, network = "RRDBNet", _rrdbnet(max(1, (len(convolutions) - 6) // 15), channels, growth)
    for place, (found, needed) in enumerate(zip(layers, network.layers, strict=False), start=1):
        if not _alike(found, needed):
            raise ValueError(
                f"{param}: it is no {name} that enlarges by {SCALE}: without input and splits its layer {place} is "
                f"{_words(found)}, where that has {_words(needed)}"
            )
    if len(layers) != len(network.layers):
        raise ValueError(
            f"{param}: it is no {name} that enlarges by {SCALE}: without input and splits it has {len(layers)} layers, "
            f"that has {len(network.layers)}"
        )
    return network


def _alike(found: Layer, needed: Layer) -> bool:
    same_inputs = found.inputs == needed.inputs
    if needed.kind == "BinaryOp":  # a sum
        same_inputs = sorted(found.inputs) == sorted(needed.inputs)
    facts = len(found.facts) == len(needed.facts) and all(
        abs(one - other) < 1e-6 for one, other in zip(found.facts, needed.facts, strict=True)
    )
    same_weights = (found.weights, found.biases) == (needed.weights, needed.biases)
    return found.kind == needed.kind and same_inputs and facts and same_weights


def _words(layer: Layer) -> str:
    facts = ", ".join(f"{fact:g}" for fact in layer.facts)
    return f"{layer.kind} ({facts}; {layer.weights} weights) of layers {[place + 1 for place in layer.inputs]}"


def _tensors(network: _Network, path: Path) -> dict[str, Tensor]:
    import numpy as np
    import torch

    content, place = path.read_bytes(), 0
    state: dict[str, Tensor] = {}

    def taken(count: int, kind: str) -> Tensor:
        nonlocal place
        size = count * np.dtype(kind).itemsize
        if place + size > len(content):
            raise ValueError(f"{path}: it ends at byte {len(content)}, inside the weights of a layer; get it again")
        values = np.frombuffer(content, kind, count, place)
        place += _filled(size)
        return torch.from_numpy(values.astype(np.float32))

    for key, shape in network.keys:
        if len(shape) == 1:
            state[f"{key}.weight"] = taken(shape[0], "<f4")
            continue
        tag = struct.unpack_from("<I", content, place)[0] if place + 4 <= len(content) else -1
        if tag not in (HALF, SINGLE):
            raise ValueError(
                f"{path}: the weights of {key} are neither float16 nor float32 (tag {tag:#x}); those are read alone"
            )
        place += 4
        outputs, inputs, height, width = shape
        weights = taken(outputs * inputs * height * width, "<f2" if tag == HALF else "<f4")
        state[f"{key}.weight"] = weights.view(shape)  # [outputs, inputs, 3, 3]
        state[f"{key}.bias"] = taken(outputs, "<f4")
    if place != len(content):
        raise ValueError(f"{path}: {len(content) - place} bytes are left over behind the last layer's weights")
    for key, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path}: the weights hold NaN or infinity (first in {key!r}); the file is broken")
    return state
