"""Manifests and run.json are checked at the door: one sentence in every command that reads one, and nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark import run as benchmark_run
from core.image_files import write_image
from models import train
from synth import make_pairs
from synth.manifest import PairRecord, read_manifest, whole_lines
from synth.photographs import PhotographsConfig, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished set of two pairs, of photographs: the quickest to make."""
    home = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        write_image(home / "photographs" / f"{name}.png", rng.integers(0, 255, (160, 200, 3), dtype=np.uint8))
    make(PhotographsConfig(folders=(home / "photographs",), blurs=1, trajectories=1.0), home / "out", workers=1)
    return home / "out"


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    for path in sorted(made.rglob("*")):
        if path.is_file():
            target = tmp_path / "out" / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "out"


def change(folder: Path, **values: Any) -> None:
    """Other values in the first record; None takes the key out."""
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    record = json.loads(lines[0]) | values
    lines[0] = json.dumps({key: value for key, value in record.items() if value is not ...})
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")


COMMANDS: dict[str, Callable[[Path], int]] = {
    "verify": lambda out: make_pairs.main(["verify", str(out)]),
    "select": lambda out: make_pairs.main(
        ["select", str(out), "--where", "bits > 0", "--out", str(out.parent / "chosen")]
    ),
    "rebuild": lambda out: make_pairs.main(
        ["rebuild", "one-000_000000", "--in", str(out), "--out", str(out.parent / "again")]
    ),
    "train": lambda out: train.main(
        ["--model", "mimo-unet-test", "--pairs", str(out), "--steps", "1", "--out", str(out.parent / "checkpoints")]
    ),
    "run": lambda out: benchmark_run.main(
        ["--methods", "identity", "--testsets", "pairs", "--data-root", str(out), "--out", str(out.parent / "report")]
    ),
}
DAMAGED: dict[str, dict[str, Any]] = {
    "text for a number": {"centre_s": "soon"},
    "list": {"blur": ["blur/a.png"]},
    "object": {"key": {"a": 1}},
    "null": {"sharp": None},
    "infinite": {"centre_s": float("inf")},
    "not a number": {"centre_s": float("nan")},
    "huge": {"centre_s": 10**400},
    "missing": {"sequence": ...},
    "parents": {"blur": "../../secret.png"},
    "absolute": {"sharp": "/etc/hostname"},
    "inner parents": {"blur": "blur/../../x.png"},
    "windows": {"blur": "C:\\x.png"},
    "name": {"sequence": "../../../x"},
    "key": {"key": "/absolute"},
    "split": {"split": "everything"},
    "true": {"response": True},
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_records(copied: Path, command: str, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(copied.parent.rglob("*"))
    change(copied, **DAMAGED[damage])
    code = COMMANDS[command](copied)
    err = capsys.readouterr().err
    assert code in (1, 2), err
    assert len(err.strip().splitlines()) <= 12 and "Traceback" not in err
    assert "line 1 is damaged" in err or (command == "run" and "Traceback" not in err)
    assert not (copied.parent / "x.png").exists() and not (copied.parent / "chosen").exists()
    assert set(before) <= set(copied.parent.rglob("*"))


WHOLE_LINES = {
    "deep": "[" * 100_000,
    "deep inside": '{"key": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "list": "[1, 2]",
    "number": "7",
    "null": "null",
    "empty": "",
    "binary": "\x00\x01",
    "long number": '{"key": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("line", WHOLE_LINES)
def test_damaged_lines(copied: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = (copied / "pairs.jsonl").read_text()
    (copied / "pairs.jsonl").write_text(WHOLE_LINES[line] + "\n" + good)
    for command in COMMANDS.values():
        assert command(copied) in (1, 2)
        assert "line 1 is damaged" in capsys.readouterr().err


def test_a_pair_twice_and_links_that_lead_out(copied: Path, tmp_path: Path) -> None:
    lines = (copied / "pairs.jsonl").read_text()
    (copied / "pairs.jsonl").write_text(lines + lines)
    with pytest.raises(ValueError, match=r"line 3 is damaged \(the pair 'one-000_000000' stands there twice\)"):
        read_manifest(copied)
    (copied / "pairs.jsonl").write_text(lines)
    first = copied / read_manifest(copied)[0].blur
    first.rename(tmp_path / "elsewhere.png")
    os.symlink(tmp_path / "elsewhere.png", first)
    with pytest.raises(ValueError, match="is a link that leads out of the folder"):
        read_manifest(copied)
    first.unlink()
    (tmp_path / "elsewhere.png").rename(copied / "blur" / "other.png")
    os.symlink("other.png", first)  # a link inside the folder
    assert len(read_manifest(copied)) == 2
    (copied / "blur").rename(tmp_path / "blur")
    os.symlink(tmp_path / "blur", copied / "blur")
    with pytest.raises(ValueError, match="is a link that leads out of the folder"):
        read_manifest(copied)


def test_what_is_read_is_what_was_written(copied: Path) -> None:
    records, problem = whole_lines(copied)
    assert problem == "" and [record.split for record in records] == ["train", "train"]
    assert all(isinstance(record, PairRecord) for record in records)
    change(copied, source_fps=240, later_key=[1])  # a whole number stays one, so that the line stays the same
    assert read_manifest(copied)[0].source_fps == 240 and isinstance(read_manifest(copied)[0].source_fps, int)


def test_resume_makes_a_damaged_record_again(made: Path, copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(copied, blur="../../x.png")
    config = PhotographsConfig(folders=(made.parent / "photographs",), blurs=1, trajectories=1.0)
    with pytest.raises(ValueError, match="line 1 is damaged"):
        make(config, copied, workers=1)
    make(config, copied, workers=1, resume=True)
    assert (copied / "pairs.jsonl").read_bytes() == (made / "pairs.jsonl").read_bytes()


RUN_FILES: dict[str, Any] = {
    "status": 3,
    "pairs": -1,
    "pairs ": "many",
    "skipped": [{"sequence": "a"}],
    "skipped ": "none",
    "moving_since": [1],
    "complete": {"a": {"frames": 1}},
    "configuration": None,
    "configuration ": [1],
    "seconds": float("nan"),
    "seconds ": "long",
}


@pytest.mark.parametrize("key", RUN_FILES)
def test_damaged_run_files(copied: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads((copied / "run.json").read_text()) | {key.strip(): RUN_FILES[key]}
    (copied / "run.json").write_text(json.dumps(values))
    for name in ("verify", "select", "rebuild"):
        assert COMMANDS[name](copied) == 2
        assert f"not the run.json of a set of pairs (key '{key.strip()}" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "null", "[" * 100_000, '{"status": "finished"}'])
def test_other_run_files(copied: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "run.json").write_text(content)
    for name in ("verify", "select", "rebuild"):
        assert COMMANDS[name](copied) == 2
        assert "not the run.json of a set of pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sources", "x"),
        ("sources", []),
        ("sources", [{"source": 3}]),
        ("factor", "16"),
        ("windows", []),
        ("seed", 1e99),
    ],
)
def test_rebuild_checks_the_configuration(copied: Path, key: str, value: Any, capsys) -> None:
    values = json.loads((copied / "run.json").read_text())
    source = {"sequence": "a", "source": "a.mp4", "fps": 240.0}
    values["configuration"] |= {"sources": [source], "factor": 16, "stride": None, "response": "srgb"}
    values["configuration"] |= {"recipe": "trapezoid", "interpolator": "flow", "windows": [11], key: value}
    (copied / "run.json").write_text(json.dumps(values))
    assert COMMANDS["rebuild"](copied) == 2
    assert f"(key '{key}" in capsys.readouterr().err
