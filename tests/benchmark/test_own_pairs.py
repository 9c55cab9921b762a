"""Blurred and sharp images in a user's own folders: a training and a test set for train, run, score, doctor."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import run, score
from benchmark.protocols import PROTOCOLS
from benchmark.stored_images import find_image
from benchmark.testsets import TESTSETS
from core.image_files import write_image
from models.training.pair_sources import load_pairs

DIFFERENCE = 4  # levels, so that the PSNR is 20 log10(255 / 4)
PSNR = 36.0896


def lay(root: Path, blur: str, sharp: str, count: int = 3) -> Path:
    """Pairs whose blurred image is everywhere 4 levels brighter. blur, sharp: names with a {} for the number."""
    rng = np.random.default_rng(3)
    for number in range(count):
        image = rng.integers(0, 200, (32, 40, 3), dtype=np.uint8)
        write_image(root / sharp.format(f"{number:04d}"), image)
        write_image(root / blur.format(f"{number:04d}"), image + np.uint8(DIFFERENCE))
    return root


ARRANGEMENTS = {
    "usual": ("blur/{}.png", "sharp/{}.png"),
    "input": ("input/{}.png", "target/{}.png"),
    "clips in gt": ("blur/walk/{}.png", "gt/walk/{}.png"),
    "in clips": ("walk/blur/{}.png", "walk/sharp/{}.png"),
    "other names": ("blur/Walk-{}_blur.png", "sharp/walk_{}.png"),
    "halves": ("test/input/{}.png", "test/GT/{}.png"),
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_test_set_and_a_training_set(tmp_path: Path, arrangement: str) -> None:
    lay(tmp_path / "mine", *ARRANGEMENTS[arrangement])
    entry = TESTSETS["pairs"]
    folder = entry.find(tmp_path / "mine")
    assert folder == tmp_path / "mine" and entry.problems(folder) == []
    testset = entry.open(folder, PROTOCOLS["pairs"], False)
    samples = [sample for clip in testset.clips() for sample in clip.samples]
    assert len({sample.key for sample in samples}) == len(samples) == 3 and not testset.simulated
    if arrangement != "halves":
        sets = load_pairs([tmp_path / "mine"])
        assert len(sets.train) + len(sets.validation) == 3
        assert {(pair.blur, pair.sharp) for pair in (*sets.train, *sets.validation)} == {
            (sample.blur, sample.references[0]) for sample in samples
        }
    else:
        with pytest.raises((ValueError, FileNotFoundError), match="make"):
            load_pairs([tmp_path / "mine"])  # the test half is never trained on


def test_validation_has_a_folder(tmp_path: Path) -> None:
    lay(tmp_path, "train/blur/{}.png", "train/sharp/{}.png", count=4)
    lay(tmp_path, "val/blur/{}.png", "val/sharp/{}.png", count=2)
    sets = load_pairs([tmp_path])
    assert len(sets.train) == 4 and len(sets.validation) == 2 and "split val" in sets.held_out


def test_run_scores_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(tmp_path / "mine", "blur/{}.png", "sharp/{}.png")
    words = ["--methods", "identity", "--testsets", "pairs", "--data-root", str(tmp_path / "mine"), "--metrics", "psnr"]
    assert run.main([*words, "--out", str(tmp_path / "out"), "--device", "cpu", "--workers", "1"]) == 0
    with (tmp_path / "out" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(row["simulated"] == "false" for row in rows)
    assert all(float(row["value"]) == pytest.approx(PSNR, abs=1e-4) for row in rows)


@pytest.mark.parametrize("sharp", ["mine/sharp", "mine"])
@pytest.mark.parametrize("name", ["{}.png", "{}_restored.png", "W-{}.png"])
def test_score_matches_names(tmp_path: Path, sharp: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lay(
        tmp_path / "mine",
        "blur/w_{}.png" if "W" in name else "blur/{}.png",
        "sharp/w_{}.png" if "W" in name else "sharp/{}.png",
    )
    for path in sorted((tmp_path / "mine" / "blur").iterdir()):
        target = tmp_path / "restored" / name.format(path.stem.removeprefix("w_"))
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    words = [str(tmp_path / "restored"), str(tmp_path / sharp), "--protocol", "gopro-linear", "--metrics", "psnr"]
    assert score.main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["count"] == 3 and report["metrics"]["psnr"] == pytest.approx(PSNR, abs=1e-4)
    assert report["unmatched"] == {"restored": [], "sharp": []}


def test_foreign_outputs_match_too(tmp_path: Path) -> None:
    lay(tmp_path, "pairs/walk/{}-Restored.png", "other/{}.png")
    assert find_image([tmp_path / "pairs"], "walk/0001") == tmp_path / "pairs" / "walk" / "0001-Restored.png"
    assert find_image([tmp_path / "pairs"], "walk/0009") is None


@pytest.mark.parametrize("asked", ["gopro", "kohler", "reds", "pairs"])
def test_a_data_root_without_the_set_stops(tmp_path: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    (root / "something").mkdir(parents=True)
    (root / "notes.txt").write_text("x")
    words = ["--methods", "identity", "--testsets", asked, "--data-root", str(root), "--out", str(tmp_path / "out")]
    assert run.main(words) == 2
    err = capsys.readouterr().err
    assert "is not found under --data-root" in err and "looked for" in err and "notes.txt, something/" in err
    assert not (tmp_path / "out").exists()
    stand_in = TESTSETS[asked].render_mini is not None
    assert run.main([*words[2:], "--check", "--metrics", "psnr"]) == (1 if stand_in else 2)
    printed = capsys.readouterr()
    said = printed.out if stand_in else printed.err
    assert "notes.txt, something/" in said and (not stand_in or f"fail  {asked}: complete: " in said)


def test_own_pairs_are_recognised_where_another_set_was_asked_for(tmp_path: Path, capsys) -> None:
    lay(tmp_path / "mine", "blur/{}.png", "sharp/{}.png")
    words = ["--methods", "identity", "--data-root", str(tmp_path / "mine"), "--out", str(tmp_path / "out")]
    assert run.main([*words, "--testsets", "gopro"]) == 2
    assert "score them with --testsets pairs" in capsys.readouterr().err


def test_a_data_root_without_any_set_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    words = ["--methods", "identity", "--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert run.main(words) == 2
    assert "the folder is empty" in capsys.readouterr().err


def test_images_without_their_other_half_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(tmp_path, "blur/{}.png", "sharp/{}.png")
    (tmp_path / "sharp" / "0001.png").unlink()
    sets = load_pairs([tmp_path])
    assert len(sets.train) + len(sets.validation) == 2
    assert "left out, such as blur/0001.png" in capsys.readouterr().err
    assert "blur/0001.png without the other image" in TESTSETS["pairs"].problems(tmp_path)[0]
