"""Files of torch.save that were forged or damaged: one sentence each, before time or memory is spent; nothing runs."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from core.torch_files import NotATorchFile, TorchFile, named_tensors
from core.weights_files import load_state_dict, open_weights


def archive(path: Path, instructions: bytes, storages: dict[str, bytes], **more: bytes) -> Path:
    """A zip archive as torch.save writes one, with a pickle of our choice."""
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("net/data.pkl", instructions)
        target.writestr("net/byteorder", more.pop("byteorder", b"little"))
        for key, values in storages.items():
            target.writestr(f"net/data/{key}", values)
    return path


def tensor(shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, count: int = 4) -> bytes:
    """The instructions for {"weight": a float tensor over `count` values}, written by hand."""
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu"
    storage += b"\x8a\x08" + struct.pack("<q", count) + b"tQ"
    numbers = [b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in group) + b"t" for group in (shape, stride)]
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"\x8a\x08" + struct.pack("<q", offset)
    rebuilt += numbers[0] + numbers[1] + b"\x89}tR"
    return b"\x80\x02}X\x06\0\0\0weight" + rebuilt + b"s."


FOUR = np.arange(4, dtype="<f4").tobytes()


def test_a_tensor_written_by_hand(tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pth", tensor((2, 2), (1, 2)), {"0": FOUR})
    assert load_state_dict(path)["weight"].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    big = np.arange(4, dtype=">f4").tobytes()
    path = archive(tmp_path / "big.pth", tensor((4,), (1,)), {"0": big}, byteorder=b"big")
    assert load_state_dict(path)["weight"].tolist() == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "count"),
    [
        ((2, 2), (1, 3), 0, 4),  # beyond the end
        ((4,), (1,), 1, 4),
        ((4,), (-1,), 3, 4),
        ((-4,), (1,), 0, 4),
        ((4,), (1,), -1, 4),
        ((4,), (1,), 0, 5),  # more values than the archive holds
        ((4,), (1,), 0, 1 << 60),
        ((4,), (1, 1), 0, 4),
        ((1,) * 100, (1,) * 100, 0, 4),
        ((1 << 40,), (0,), 0, 4),  # four values told to be terabytes
    ],
)
def test_forged_shapes(tmp_path: Path, shape, stride, offset, count) -> None:
    path = archive(tmp_path / "net.pth", tensor(shape, stride, offset, count), {"0": FOUR})
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"net\.pth: .*forged"):
        load_state_dict(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["meta", "sparse", "quantised"])
def test_tensors_without_ordinary_values(tmp_path: Path, kind: str) -> None:
    tensors = {
        "meta": lambda: torch.empty(1 << 40, device="meta"),
        "sparse": lambda: torch.eye(3).to_sparse(),
        "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    }
    torch.save({"state_dict": {"weight": tensors[kind]()}}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=rf"'weight' is .*{kind}.*save its weights alone") as error:
        load_state_dict(tmp_path / "net.pth")
    assert "\n" not in str(error.value)


def test_self_references_and_deep_pickles(tmp_path: Path) -> None:
    own: dict = {"weight": torch.ones(2)}
    own["self"] = own
    own["list"] = [own]
    torch.save(own, tmp_path / "self.pth")
    assert list(load_state_dict(tmp_path / "self.pth")) == ["weight"]
    for name, instructions in {
        "lists": b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
        "tuples": b"\x80\x02)" + b"\x85" * 300_000 + b".",
        "key": b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
        "objects": b"\x80\x02)" + b"cx\ny\n" * 50_000 + b"q\x00" + b"0" * 49_999 + b"(h\x00tR.",
        "dicts": b"\x80\x02" + b"}K\x01" * 100_000 + b"K\x02" + b"s" * 100_000 + b".",
    }.items():
        started = time.monotonic()
        with pytest.raises(ValueError, match=r"net\.pth"):
            load_state_dict(archive(tmp_path / "net.pth", instructions, {}))
        assert time.monotonic() - started < 20, name


def test_too_many_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.torch_files.MOST_INSTRUCTIONS", 1000)
    with pytest.raises(ValueError, match="more than 1000 instructions"):
        load_state_dict(archive(tmp_path / "net.pth", b"\x80\x02" + b"N0" * 1000 + b"N.", {}))


def test_zip_bombs(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("net/data.pkl", b"\x80\x02" + b"N0" * 5_000_000 + b"N.")
    assert path.stat().st_size < 50_000
    with pytest.raises(ValueError, match="zip bomb"):
        load_state_dict(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("net/data.pkl", tensor((1 << 22,), (1,), 0, 1 << 22))
        target.writestr("net/data/0", bytes(4 << 22))
    with pytest.raises(ValueError, match="zip bomb"):
        load_state_dict(path)


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "touch {}"),
        (os.mkdir, "{}"),
        (eval, "open({!r}, 'w')"),
        (exec, "open({!r}, 'w')"),
        (__import__, "os"),
        (getattr, "x"),
        (io.open, "{}"),
        (np.load, "{}"),
        (torch.load, "{}"),
        (pickle.loads, "x"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "old", "plain"])
def test_payloads_never_run(tmp_path: Path, call, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, text = call
    target = tmp_path / "broken-in"

    class Evil:
        def __reduce__(self):
            return (function, (text.format(str(target)),))

    class Stateful:
        def __reduce__(self):
            return (dict, (), {"x": 1}, iter([Evil()]), iter([("k", Evil())]))

    for evil in (Evil(), [Evil()], {"args": Evil()}, Stateful()):
        content = {"state_dict": {"weight": torch.ones(2)}, "x": evil} if form != "plain" else {"x": evil}
        if form == "plain":
            (tmp_path / "net.pth").write_bytes(pickle.dumps(content))
        else:
            torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=form == "zip")
        try:
            found = load_state_dict(tmp_path / "net.pth")
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert found["weight"].tolist() == [1.0, 1.0]
        assert not target.exists()


def test_a_payload_is_named(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (os.system, ("true",))

    torch.save({"weight": torch.ones(1), "x": Evil()}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"(posix|nt)\.system.*nothing of it was run"):
        load_state_dict(tmp_path / "net.pth")


def test_every_cut_and_every_changed_byte_ends_in_a_sentence(tmp_path: Path) -> None:
    """A seeded sample of damages: the same values, or one sentence."""
    rng = np.random.default_rng(0)
    torch.save({"state_dict": {"a": torch.arange(6.0).view(2, 3)}}, tmp_path / "zip.pth")
    torch.save({"a": torch.arange(6.0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("zip.pth", "old.pth"):
        data = (tmp_path / name).read_bytes()
        for number in range(400):
            if number % 4 == 0:
                damaged = data[: int(rng.integers(len(data)))]
            else:
                place = int(rng.integers(len(data)))
                damaged = data[:place] + bytes([int(rng.integers(256))]) + data[place + 1 :]
            (tmp_path / "net.pth").write_bytes(damaged)
            try:
                state = load_state_dict(tmp_path / "net.pth")
            except ValueError as error:
                assert str(error).startswith(str(tmp_path)) and "\n" not in str(error)
            else:
                assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_pipes_and_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.pth")
    for path in (tmp_path / "net.pth", Path("/dev/zero")):
        with pytest.raises(ValueError, match="a pipe or a device"):
            open_weights(path)


def test_scripts_get_the_line_that_converts_them(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "net.pt"))
    with pytest.raises(ValueError, match=r"TorchScript.*torch\.jit\.load\('net\.pt'"):
        load_state_dict(tmp_path / "net.pt")


def test_the_tree_of_a_file(tmp_path: Path) -> None:
    torch.save({"a": {"b": {"w": torch.ones(1)}}, "c": torch.ones(2)}, tmp_path / "net.pth")
    found = {names: list(tensors) for names, tensors in named_tensors(TorchFile(tmp_path / "net.pth").content)}
    assert found == {(): ["c"], ("a", "b"): ["w"]}
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(NotATorchFile, match="empty"):
        TorchFile(tmp_path / "empty")
