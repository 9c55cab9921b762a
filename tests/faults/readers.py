"""Fuzzing of the readers with hypothesis: whatever the bytes, a value or a ValueError, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmark.preference.votes_file import read_votes
from benchmark.results import ScoreRow, read_rows
from core.command_line import listed
from core.image_files import read_header, read_picture
from core.pair_folders import plain_name
from core.schema import checked
from core.tables import read_cells
from core.weights_files import load_state_dict
from synth.manifest import PairRecord, whole_lines
from synth.pair_set import verify
from synth.selection import KEYS, condition

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    [*KEYS, "and", "or", "not", "in", "(", ")", "[", "]", "<", ">=", "==", "1", "0.5", "'x'", ",", "&"]
)
PICKLES = st.lists(
    st.sampled_from([bytes([n]) for n in b"().0NIJKMLGXUVT}]l]teaduscibRQPpqrhgj\x80\x85\x86\x87\x88\x8a\x93\x94"])
    | st.binary(max_size=5)
    | st.sampled_from([b"cos\nsystem\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\x07\0\0\0storage", b"\x80\x02"]),
    max_size=40,
).map(b"".join)  # fmt: skip


def of_file(read: Callable[[Path], Any], name: str) -> Callable[[bytes], Any]:
    """A reader of files as one of bytes."""

    def call(data: bytes) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            return read(path if name != "pairs.jsonl" else Path(folder))

    return call


def of_run_file(data: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run.json").write_bytes(data)
        return verify(Path(folder))


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
READERS: dict[str, tuple[Callable[[Any], Any], st.SearchStrategy[Any]]] = {
    "checkpoint": (of_file(load_state_dict, "net.pth"), PICKLES | st.binary(max_size=300)),
    "safetensors": (
        of_file(load_state_dict, "net.safetensors"),
        st.binary(max_size=200) | JSON.map(lambda value: _safetensors(value)),
    ),
    "record": (
        lambda data: checked(PairRecord, data),
        JSON.map(lambda value: _dumped(value)) | st.binary(max_size=200),
    ),
    "manifest": (of_file(whole_lines, "pairs.jsonl"), st.lists(JSON.map(lambda value: _dumped(value))).map(b"\n".join)),
    "run.json": (of_run_file, JSON.map(lambda value: _dumped(value)) | st.binary(max_size=200)),
    "condition": (
        lambda text: condition(text, KEYS),
        st.text(max_size=60) | st.lists(WORDS, max_size=25).map(" ".join),
    ),
    "table": (of_file(read_cells, "a.csv"), st.binary(max_size=300) | st.text(max_size=200).map(str.encode)),
    "scores": (
        of_file(lambda path: read_rows(path, ScoreRow), "scores.csv"),
        st.text(max_size=200).map(lambda text: b"method,testset,protocol,metric,key,value,simulated\n" + text.encode()),
    ),
    "votes": (of_file(read_votes, "votes.csv"), st.text("12ABC,;\n\t\"'0 ", max_size=200).map(str.encode)),
    "image header": (
        of_file(read_header, "a.png"),
        st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: PNG + b),
    ),
    "picture": (
        of_file(read_picture, "a.png"),
        st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: PNG + b),
    ),
    "name": (plain_name, st.text(max_size=60)),
    "list": (lambda text: listed([text]), st.text(max_size=60)),
}


def _dumped(value: Any) -> bytes:
    import json

    return json.dumps(value).encode("utf-8", "replace")


def _safetensors(value: Any) -> bytes:
    head = _dumped(value)
    return len(head).to_bytes(8, "little") + head + bytes(64)


def fuzz(name: str, *, examples: int, seconds: float | None = None) -> None:
    """So many examples for one reader. Errors: the first exception that is no ValueError."""
    read, strategy = READERS[name]

    @settings(
        max_examples=examples,
        deadline=None if seconds is None else timedelta(seconds=seconds),
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def check(data: Any) -> None:
        try:
            read(data)
        except ValueError as error:
            assert "\n" not in str(error) or len(str(error)) < 2000

    check()
