"""REDS, HIDE, RealBlur, RSBlur: their layouts, what is missing in them, and runs without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmark import run, score
from benchmark.methods import expand_methods
from benchmark.plan import RunConfig, folders
from benchmark.protocols import PROTOCOLS
from benchmark.stored_images import find_image
from benchmark.testsets import TESTSETS, sets_at_hand
from core.image_files import write_image
from tests.benchmark.metric_data import noisy, texture
from tests.benchmark.test_testsets_layouts import keys, touch

OFFICIAL = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
WITHOUT = ("reds", "hide", "realblur-j", "realblur-r", "rsblur", "pairs")


def realblur(root: Path, pairs: dict[str, int], listed: dict[str, int], folder: str = OFFICIAL) -> Path:
    """`pairs` images of every scene on disk; the list names those of `listed`, the sharp image first."""
    for scene, count in pairs.items():
        for side in ("blur", "gt"):
            touch(root / folder / scene / side, *(f"{side}_{index}.png" for index in range(1, count + 1)))
    lines = [
        f"{folder}/{scene}/gt/gt_{index}.png {folder}/{scene}/blur/blur_{index}.png"
        for scene, count in listed.items()
        for index in range(1, count + 1)
    ]
    (root / "RealBlur_J_test_list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / folder


def test_which_sets_have_no_stand_in() -> None:
    assert tuple(name for name, entry in TESTSETS.items() if entry.render_mini is None) == WITHOUT
    assert not set(WITHOUT) & set(RunConfig(methods=()).testsets)


@pytest.mark.parametrize("inner", ["val", "."])
def test_reds(inner: str, tmp_path: Path) -> None:
    entry = TESTSETS["reds"]
    touch(tmp_path / "REDS" / "train" / "train_blur" / "000")
    assert entry.find(tmp_path) is None
    for clip in range(30):
        for side in ("val_blur", "val_sharp"):
            touch(tmp_path / "REDS" / inner / side / f"{clip:03d}", *(f"{index:08d}.png" for index in range(100)))
    folder = entry.find(tmp_path)
    assert folder == tmp_path / "REDS"
    assert entry.problems(folder) == []
    testset = entry.open(folder, PROTOCOLS["reds-val"], False)
    clips = testset.clips()
    assert (len(clips), sum(len(clip.scored) for clip in clips)) == (30, 3000)
    sample = clips[1].samples[2]
    assert (sample.key, sample.references[0].parts[-3]) == ("001/00000002", "val_sharp")
    (folder / inner / "val_sharp/003/00000050.png").unlink()
    text = "\n".join(entry.problems(folder))
    assert "00000050 without a sharp image in 003" in text
    assert "003: 99 pairs, 100 expected" in text
    assert "reds" in sets_at_hand(tmp_path)


def test_hide_as_its_authors_packed_it(tmp_path: Path) -> None:
    entry, home = TESTSETS["hide"], tmp_path / "HIDE_dataset"
    touch(home / "test" / "test-close-ups", *(f"{index}fromGOPR1.png" for index in range(1000)))
    touch(home / "test" / "test-long-shot", *(f"{index}fromGOPR2.png" for index in range(1025)))
    touch(home / "GT", *(f"{index}fromGOPR{part}.png" for part in (1, 2) for index in range(1025)))
    assert entry.find(tmp_path) == home
    assert entry.problems(home) == []
    clips = entry.open(home, PROTOCOLS["hide"], False).clips()
    assert len(clips) == 2025
    assert (clips[0].samples[0].key, clips[0].samples[0].references[0].parent.name) == ("0fromGOPR1", "GT")
    (home / "GT" / "7fromGOPR2.png").unlink()
    assert "7fromGOPR2 without a sharp image in GT" in entry.problems(home)[0]
    assert "2024 pairs, 2025 expected" in entry.problems(home)[1]


def test_hide_repacked(tmp_path: Path) -> None:
    entry = TESTSETS["hide"]
    for side in ("input", "target"):
        touch(tmp_path / "test" / "HIDE" / side, "a.png", "b.png")
    folder = entry.find(tmp_path)
    assert folder == tmp_path / "test" / "HIDE"
    assert keys(entry.open(folder, PROTOCOLS["hide"], False).clips()) == ["a", "b"]


def test_realblur_takes_the_listed_scenes(tmp_path: Path) -> None:
    entry = TESTSETS["realblur-j"]
    folder = realblur(tmp_path, {"scene001": 3, "scene230": 4}, {"scene230": 4})
    assert entry.find(tmp_path) == folder
    assert TESTSETS["realblur-r"].find(tmp_path) is None
    clips = entry.open(folder, PROTOCOLS["realblur-j"], False).clips()
    assert keys(clips) == [f"scene230/blur_{index}" for index in (1, 2, 3, 4)]
    assert clips[1].samples[0].references == (folder / "scene230/gt/gt_2.png",)
    assert "4 pairs, 980 expected" in entry.problems(folder)[0]
    (folder / "scene230/gt/gt_2.png").unlink()
    assert any("1 images are missing" in sentence for sentence in entry.problems(folder))
    assert len(entry.open(folder, PROTOCOLS["realblur-j"], False).clips()) == 3
    (tmp_path / "RealBlur_J_test_list.txt").unlink()
    assert "RealBlur_J_test_list.txt: the list that says which scenes are test scenes" in entry.problems(folder)[0]
    with pytest.raises(FileNotFoundError, match="RealBlur_J_test_list"):
        entry.open(folder, PROTOCOLS["realblur-j"], False).clips()


def test_realblur_complete_repacked_and_reissued(tmp_path: Path) -> None:
    entry = TESTSETS["realblur-j"]
    scenes = {f"scene{index:03d}": 20 for index in range(201, 250)}
    folder = realblur(tmp_path / "whole", scenes | {"scene001": 5}, scenes)
    assert entry.problems(folder) == []
    (folder / "scene244").rename(folder / "scene244_reflect")
    assert entry.problems(folder) == []
    assert "scene244_reflect/blur_1" in keys(entry.open(folder, PROTOCOLS["realblur-j"], False).clips())
    repack = tmp_path / "repack" / "RealBlur_J"
    for side in ("input", "target"):
        touch(repack / side, "scene001_blur_1.png")
    assert entry.find(tmp_path / "repack") == repack
    assert keys(entry.open(repack, PROTOCOLS["realblur-j"], False).clips()) == ["scene001_blur_1"]
    assert "1 pairs, 980 expected" in entry.problems(repack)[0]


def test_a_broken_list_is_named(tmp_path: Path) -> None:
    folder = realblur(tmp_path, {"scene001": 1}, {"scene001": 1})
    (tmp_path / "RealBlur_J_test_list.txt").write_text("\nonly/blur/blur_1.png\n", encoding="utf-8")
    sentence = TESTSETS["realblur-j"].problems(folder)[0]
    assert "RealBlur_J_test_list.txt, line 2: a sharp image (in a folder gt)" in sentence


def test_rsblur(tmp_path: Path) -> None:
    entry, home = TESTSETS["rsblur"], tmp_path / "RSBlur"
    lines = []
    for scene in ("0001", "0004"):
        for index in (1, 2):
            pair = f"RSBlur/{scene}/{index:06d}"
            touch(tmp_path / pair / "real_blur", "real_blur.png")
            touch(tmp_path / pair / "gt", "gt_sharp.png")
            if scene == "0004":
                lines.append(f"{pair}/real_blur/real_blur.png {pair}/gt/gt_sharp.png")
    assert entry.find(tmp_path) == home
    assert "RSBlur_real_test.txt: the list" in entry.problems(home)[0]
    with pytest.raises(FileNotFoundError, match=r"RSBlur_real_test\.txt"):
        entry.open(home, PROTOCOLS["rsblur"], False).clips()
    (home / "RSBlur_real_test.txt").write_text("\n".join(lines), encoding="utf-8")
    assert entry.problems(home) == [f"{home / 'RSBlur_real_test.txt'}: 2 pairs, 3360 expected"]
    clips = entry.open(home, PROTOCOLS["rsblur"], False).clips()
    assert keys(clips) == ["0004/000001", "0004/000002"]
    assert clips[0].samples[0].blur == home / "0004/000001/real_blur/real_blur.png"


def test_a_run_without_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for by name: a refusal in one sentence. Otherwise: left out, with a sentence."""
    with pytest.raises(ValueError, match="REDS is not found without --data-root, and it has no rendered stand-in"):
        folders(RunConfig(methods=expand_methods(["identity"]), testsets=("reds",)))
    words = ["--methods", "identity", "--out", str(tmp_path / "out"), "--data-root", str(tmp_path)]
    assert run.main([*words, "--protocols", "hide", "--check"]) == 2
    assert "HIDE is not found under --data-root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "restored", "sharp", "expected"),
    [
        ("realblur-j", "scene001_blur_{}.png", "scene001/gt/gt_{}.png", "scene001/blur_{}"),
        ("realblur-r", "scene001/blur/blur_{}.png", "scene001_reflect/gt/gt_{}.png", "scene001/blur_{}"),
        ("rsblur", "0001_00000{}.png", "RSBlur/0001/00000{}/gt/gt_sharp.png", "0001/00000{}"),
        ("rsblur", "0001/00000{}/real_blur/real_blur.png", "0001/00000{}/gt/gt_sharp.png", "0001/00000{}"),
        ("hide", "{}fromGOPR1.png", "{}fromGOPR1.png", "{}fromGOPR1"),
    ],
)
def test_scoring_folders(
    protocol: str, restored: str, sharp: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results as they are usually called, against the official folder, which also holds blurred images."""
    for index in (1, 2):
        image = texture(f"{protocol} {index}", 72, 80)
        path = tmp_path / "sharp" / sharp.format(index)
        write_image(path, image)
        if path.parent.name == "gt":
            write_image(path.parent.parent / "blur" / f"blur_{index}.png", noisy(image, 30))
        write_image(tmp_path / "restored" / restored.format(index), noisy(image, 4))
    words = [str(tmp_path / "restored"), str(tmp_path / "sharp"), "--protocol", protocol, "--metrics", "psnr", "--json"]
    assert score.main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["images"]) == [expected.format(1), expected.format(2)]
    assert all(values["psnr"] > 30 for values in report["images"].values())
    assert np.isfinite(report["metrics"]["psnr"])


def test_results_as_realblurs_authors_call_them(tmp_path: Path) -> None:
    """`folder:PATH`: the key is scene001/blur_1, results are usually called scene001_blur_1.png."""
    touch(tmp_path, "scene001_blur_1.png")
    touch(tmp_path / "scene002", "blur_1.jpg")
    assert find_image([tmp_path], "scene001/blur_1") == tmp_path / "scene001_blur_1.png"
    assert find_image([tmp_path], "scene002/blur_1") == tmp_path / "scene002" / "blur_1.jpg"
    assert find_image([tmp_path], "scene003/blur_1") is None
