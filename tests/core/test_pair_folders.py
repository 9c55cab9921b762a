"""Pairs of one's own: every usual arrangement of folders, names that differ a little, and what has no partner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.image_files import write_image
from core.pair_folders import by_plain_name, find_pairs, plain_name


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        write_image(folder / name, np.full((8, 12, 3), len(name), np.uint8))
    return folder


def found(folder: Path) -> dict[str, tuple[str, ...]]:
    own = find_pairs(folder)
    assert own is not None
    return {
        f"{pair.split}:{pair.key}": (
            pair.blur.relative_to(folder).as_posix(),
            pair.sharp.relative_to(folder).as_posix(),
        )
        for pair in own.pairs
    }


@pytest.mark.parametrize("blur", ["blur", "Blurred", "input", "INPUT", "lq"])
@pytest.mark.parametrize("sharp", ["sharp", "GT", "target", "groundtruth"])
def test_two_folders(tmp_path: Path, blur: str, sharp: str) -> None:
    lay(tmp_path, f"{blur}/clip_01.png", f"{blur}/clip_02.png", f"{sharp}/clip_01.png", f"{sharp}/clip_02.png")
    assert found(tmp_path) == {
        ":clip/clip_01": (f"{blur}/clip_01.png", f"{sharp}/clip_01.png"),
        ":clip/clip_02": (f"{blur}/clip_02.png", f"{sharp}/clip_02.png"),
    }


def test_a_folder_for_every_clip(tmp_path: Path) -> None:
    lay(
        tmp_path / "a", "blur/S1/1.png", "blur/S1/2.png", "blur/s-2/1.png", "gt/S1/1.png", "gt/S1/2.png", "gt/S_2/1.png"
    )
    assert found(tmp_path / "a") == {
        ":S1/1": ("blur/S1/1.png", "gt/S1/1.png"),
        ":S1/2": ("blur/S1/2.png", "gt/S1/2.png"),
        ":s-2/1": ("blur/s-2/1.png", "gt/S_2/1.png"),
    }
    lay(tmp_path / "b", "s1/blur/1.png", "s1/sharp/1.png", "s2/input/1.png", "s2/target/1.jpg")
    assert found(tmp_path / "b") == {
        ":s1/1": ("s1/blur/1.png", "s1/sharp/1.png"),
        ":s2/1": ("s2/input/1.png", "s2/target/1.jpg"),
    }


def test_halves(tmp_path: Path) -> None:
    lay(tmp_path, "train/blur/1.png", "train/sharp/1.png", "Test/s/blur/1.png", "Test/s/sharp/1.png")
    assert list(found(tmp_path)) == ["test:s/1", "train:images/1"]
    own = find_pairs(tmp_path)
    assert own is not None and [pair.split for pair in own.of("val", "test", "")] == ["test"]


def test_beside_each_other(tmp_path: Path) -> None:
    lay(tmp_path, "0001_blur.png", "0001_sharp.png", "0002-Blur.png", "0002-GT.jpg")
    assert set(found(tmp_path).values()) == {("0001_blur.png", "0001_sharp.png"), ("0002-Blur.png", "0002-GT.jpg")}


def test_names_that_differ_a_little(tmp_path: Path) -> None:
    lay(tmp_path, "blur/Scene-01_0001_blur.png", "blur/b.JPG", "blur/gt-3.png", "blur/same.png")
    lay(tmp_path, "sharp/scene_01-0001_GT.png", "sharp/B.png", "sharp/sharp_3.png", "sharp/same.png")
    assert set(found(tmp_path).values()) == {
        ("blur/Scene-01_0001_blur.png", "sharp/scene_01-0001_GT.png"),
        ("blur/b.JPG", "sharp/B.png"),
        ("blur/gt-3.png", "sharp/sharp_3.png"),
        ("blur/same.png", "sharp/same.png"),
    }


@pytest.mark.parametrize(
    ("stem", "plain"),
    [
        ("Scene-01.0003_Blur", "scene_01_0003"), ("0001_restored", "0001"), ("gt_12", "12"), ("blur12", "12"),
        ("blur", "blur"),
        ("a_blur_restored", "a"), ("img_001", "001"), ("Kinput", "kinput"), ("sharpness", "sharpness"),
        ("GOPR_1-2", "gopr_1_2"),
    ],
)  # fmt: skip
def test_plain_names(stem: str, plain: str) -> None:
    assert plain_name(stem) == plain


def test_images_of_different_sizes_are_sequences_of_their_own(tmp_path: Path) -> None:
    for name, side in (("1", 8), ("2", 9)):
        for part in ("blur", "sharp"):
            write_image(tmp_path / part / f"photo_{name}.png", np.zeros((side, 8, 3), np.uint8))
    assert list(found(tmp_path)) == [":photo_1/photo_1", ":photo_2/photo_2"]


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    lay(tmp_path / "some", "blur/1.png", "blur/2.png", "sharp/1.png", "sharp/3.png")
    own = find_pairs(tmp_path / "some")
    assert own is not None and len(own.pairs) == 1
    assert {path.relative_to(tmp_path / "some").as_posix() for path in own.lonely} == {"blur/2.png", "sharp/3.png"}
    lay(tmp_path / "none", "blur/1.png", "sharp/2.png")
    with pytest.raises(ValueError, match="no blurred image has its sharp one"):
        find_pairs(tmp_path / "none")


def test_doubles_are_refused(tmp_path: Path) -> None:
    lay(tmp_path / "a", "blur/1.png", "blur/1.jpg", "sharp/1.png")
    lay(tmp_path / "b", "blur/x-1.png", "blur/X_1.png", "sharp/x.1.png")
    for folder in ("a", "b"):
        with pytest.raises(ValueError, match="would both be the image"):
            find_pairs(tmp_path / folder)
    with pytest.raises(ValueError, match="A-1 and a_1 would both be the image a_1"):
        by_plain_name({"A-1": 1, "a_1": 2})


def test_other_folders_are_none(tmp_path: Path) -> None:
    lay(tmp_path, "a.png", "blur/1.png")
    assert find_pairs(tmp_path) is None and find_pairs(tmp_path / "nowhere") is None
    assert find_pairs(tmp_path / "a.png") is None
