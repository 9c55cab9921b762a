"""A new thing is one file and one line: made-up ones, each in a file of its own, used from end to end."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from benchmark import cost, run, score
from benchmark.metrics import METRICS
from benchmark.results import Row, ScoreRow, read_rows
from benchmark.testsets import TESTSETS
from core.camera_response import response, to_8bit
from core.image_files import read_image, write_image
from core.random_streams import stream
from models import restore, train
from models.zoo import MODELS
from synth import make_pairs
from synth.degrade import DEGRADATIONS
from synth.interp import INTERPOLATORS
from synth.manifest import read_manifest
from tests.benchmark.run_data import quick_cost
from tests.models.training import training_data
from tests.synth.clips import moving_frames, write_frames

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "adding.md").read_text(encoding="utf-8")


def page_code(title: str) -> str:
    """The Python code under a heading of docs/adding.md."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return section.split("```python\n")[1].split("```")[0]


def new_file(folder: Path, text: str) -> ModuleType:
    """A file of its own, imported."""
    path = folder / "made_up.py"
    path.write_text("from __future__ import annotations\n" + text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("made_up", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texture(name: str, height: int, width: int) -> np.ndarray:
    return stream(0, name).integers(20, 236, (height, width, 3), dtype=np.uint8)


def scored(restored: Path, sharp: Path, metric: str, capsys: pytest.CaptureFixture[str]) -> float:
    """What benchmark/score.py prints."""
    capsys.readouterr()
    assert score.main([str(restored), str(sharp), "--protocol", "gopro-linear", "--metrics", metric, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["metrics"][metric]


NETWORK = page_code("A network")


def test_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(MODELS, "made-up", new_file(tmp_path, NETWORK).MADE_UP)
    pairs, folder = training_data.make_pairs(tmp_path / "pairs"), tmp_path / "trained"
    words = ["--model", "made-up", "--pairs", str(pairs), "--steps", "2", "--device", "cpu", "--threads", "1"]
    assert train.main([*words, "--out", str(folder)]) == 0
    assert "last layer starts at zero" in capsys.readouterr().out
    trained = load_file(folder / "checkpoint.safetensors")
    assert trained["last.weight"].abs().max() > 0  # it has learned something

    # Restored: the command's image is that of the network on the padded image in its own range. Its answer is made
    # larger here, two steps being few.
    weights, blurred, restored = (tmp_path / name for name in ("large.safetensors", "blurred.png", "restored.png"))
    save_file(trained | {"last.weight": trained["last.weight"] + 0.01}, weights)
    write_image(blurred, texture("blurred", 37, 45))
    assert restore.main(["--model", "made-up", "--weights", str(weights), str(blurred), str(restored)]) == 0
    module: nn.Module = MODELS["made-up"].build()
    module.load_state_dict(load_file(weights))
    image = torch.from_numpy(read_image(blurred)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = module(functional.pad(image, (0, 1, 0, 1), mode="reflect") * 2 - 1)[0, :, :37, :45] / 2 + 0.5
    levels = (expected.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(levels - read_image(restored)).max() <= 1  # the copy for CPUs rounds otherwise
    assert np.abs(levels - read_image(blurred)).max() > 5

    # Scored.
    sharp = tmp_path / "sharp.png"
    write_image(sharp, texture("sharp", 37, 45))
    error = ((read_image(restored).astype(float) - read_image(sharp)) / 255) ** 2
    assert scored(restored, sharp, "psnr", capsys) == pytest.approx(-10 * np.log10(error.mean()), abs=1e-4)

    # Costed: weights and biases of both layers; multiplications at 16 x 24 places of half the size.
    measured = cost.measure("made-up", 32, 48, "cpu")
    assert measured.params_m == pytest.approx((200 * (3 * 9 + 1) + 3 * 200 * 4 + 3) / 1e6, abs=5e-5)
    assert measured.macs_g == pytest.approx(16 * 24 * (200 * 3 * 9 + 200 * 3 * 4) / 1e9, abs=5e-5)


METRIC = page_code("A metric")


def test_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(METRICS, "worst", new_file(tmp_path, METRIC).WORST)
    sharp = texture("sharp", 24, 30)
    restored = sharp.copy()
    restored[3, 4, 1] += 17
    for name, picture in (("sharp", sharp), ("restored", restored)):
        write_image(tmp_path / f"{name}.png", picture)
    found = scored(tmp_path / "restored.png", tmp_path / "sharp.png", "worst", capsys)
    assert found == pytest.approx(17, abs=1e-4)


DEGRADATION = page_code("A degradation")


def pairs_of(folder: Path, out: Path, *words: object) -> Path:
    """Pairs of windows of five frames, four virtual frames a gap."""
    asked = ["--video", folder, "--fps", 240, "--interp", "4x", "--window", 5, "--workers", 1, "--out", out, *words]
    assert make_pairs.main([str(word) for word in asked]) == 0
    return out


def test_a_degradation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEGRADATIONS, "negative", new_file(tmp_path, DEGRADATION).NEGATIVE)
    folder = write_frames(tmp_path / "clip", moving_frames(5))
    plain = pairs_of(folder, tmp_path / "plain", "--interpolator", "crossfade")
    negative = pairs_of(folder, tmp_path / "negative", "--interpolator", "crossfade", "--degrade", "negative")
    for one, other in zip(read_manifest(plain), read_manifest(negative), strict=True):
        assert list(other.degradations) == ["negative"]
        total = read_image(one.blur_path(plain)).astype(int) + read_image(other.blur_path(negative))
        assert np.abs(total - 255).max() <= 1
        assert np.array_equal(read_image(one.sharp_path(plain)), read_image(other.sharp_path(negative)))


INTERPOLATOR = page_code("An interpolator")


def test_an_interpolator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INTERPOLATORS, "hold", new_file(tmp_path, INTERPOLATOR).Hold)
    frames = moving_frames(5)
    out = pairs_of(write_frames(tmp_path / "clip", frames), tmp_path / "out", "--interpolator", "hold")
    (record,) = read_manifest(out)
    assert record.interpolator == "hold"
    # Four gaps of four steps; the first frame of a gap counts 3.5 times, the second one half.
    light = [response("srgb").to_linear(frame.astype(np.float32) / 255) for frame in frames]
    expected = sum(3.5 * one + 0.5 * two for one, two in pairwise(light)) / 16
    found = read_image(record.blur_path(out)).astype(int)
    assert np.abs(found - to_8bit(response("srgb").to_encoded(expected))).max() <= 1


TESTSET = page_code("A test set")


def test_a_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run over it, up to the table."""
    monkeypatch.setitem(TESTSETS, "made-up", new_file(tmp_path, TESTSET).ENTRY)
    monkeypatch.setattr("benchmark.run.measure_apart", quick_cost)
    home = tmp_path / "data" / "made-up"
    errors = {}
    for key, levels in (("one", 5), ("two", 10)):
        sharp = texture(key, 24, 32)
        write_image(home / f"{key}-sharp.png", sharp)
        write_image(home / f"{key}-blur.png", sharp + levels)
        errors[key] = 20 * np.log10(255 / levels)
    words = ["--methods", "identity", "--testsets", "made-up", "--data-root", str(tmp_path / "data")]
    words += ["--metrics", "psnr", "--device", "cpu", "--workers", "1", "--out", str(tmp_path / "out")]
    assert run.main(words) == 0
    scores = {row.key: row.value for row in read_rows(tmp_path / "out" / "scores.csv", ScoreRow)}
    assert scores == pytest.approx(errors, abs=1e-4)
    (row,) = [row for row in read_rows(tmp_path / "out" / "leaderboard.csv", Row) if row.metric == "psnr"]
    assert (row.testset, row.count) == ("made-up", 2)
    assert row.value == pytest.approx(sum(errors.values()) / 2, abs=1e-4)
