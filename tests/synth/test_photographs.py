"""Pairs of still photographs, and such pairs as a test set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.protocols import PROTOCOLS
from benchmark.testsets import TESTSETS
from core.camera_response import response
from core.image_files import read_image, write_image
from core.random_streams import stream
from synth import make_pairs, photographs
from synth.manifest import read_manifest
from synth.photographs import STEP_PX, PhotographsConfig
from synth.scenes import photograph_lin
from tests.synth.clips import tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of 150x120 and 120x150 px: smooth noise with edges."""
    home = tmp_path_factory.mktemp("photographs")
    for name, (height, width) in (("a", (120, 150)), ("b", (150, 120))):
        rng = np.random.default_rng(len(name) + height)
        coarse = rng.integers(0, 255, (height // 10, width // 10, 3))
        write_image(home / f"{name}.png", np.kron(coarse, np.ones((10, 10, 1))).astype(np.uint8))
    return home


def make(folder: Path, out: Path, *more: object) -> int:
    words = ["photos", folder, "--out", out, "--blurs", 4, "--extent", "3,12", "--scale", "0.8,0.95", *more]
    return make_pairs.main([str(word) for word in words])


def test_pairs_are_what_was_asked_for(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(folder, tmp_path / "out", "--trajectories", 0.5, "--split", "val") == 0
    records = read_manifest(tmp_path / "out")
    assert [record.sequence for record in records[:3]] == ["a-000", "b-000", "a-001"]
    assert {record.split for record in records} == {"val"}
    assert len({record.key for record in records}) == 8
    shaken = [record for record in records if not record.degradations]
    assert not any(record.still for record in shaken)
    assert 0 < len(shaken) < 8  # the others: along random paths
    for record in shaken:
        assert 2.9 < record.blur_extent_px < 12.1
        assert record.virtual_frames == 10 * record.factor + 1
        blur, sharp = (
            read_image(path(tmp_path / "out")).astype(float) for path in (record.blur_path, record.sharp_path)
        )
        assert blur.shape == sharp.shape
        assert np.abs(np.diff(blur, axis=1)).mean() < np.abs(np.diff(sharp, axis=1)).mean()
    assert make_pairs.main(["verify", str(tmp_path / "out")]) == 0
    words = ["rebuild", records[0].key, "--in", str(tmp_path / "out"), "--out", str(tmp_path / "again")]
    capsys.readouterr()
    assert make_pairs.main(words) == 2
    assert "repeat make_pairs.py photos" in capsys.readouterr().err


def test_the_same_bytes_with_any_number_of_workers_and_after_a_stop(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(folder, tmp_path / "one", "--workers", 1) == 0
    real, left = photographs.encode_png, [7]

    def encode_png(image: np.ndarray) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(image)

    monkeypatch.setattr(photographs, "encode_png", encode_png)
    assert make(folder, tmp_path / "two", "--workers", 3) == 130
    monkeypatch.undo()
    assert make(folder, tmp_path / "two") == 2  # unfinished
    assert make(folder, tmp_path / "two", "--workers", 3, "--resume") == 0
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert {name: data for name, data in one.items() if name != "run.json"} == {
        name: data for name, data in two.items() if name != "run.json"
    }


def test_the_blur_is_the_mean_of_light(folder: Path) -> None:
    """Against a mean over four times as many frames; the sharp image is the scene at the middle of the exposure."""
    config = PhotographsConfig(folders=(folder,), blurs=1, trajectories=0.0, foreground=1.0)
    (shot, _) = photographs._shots(config, sorted(folder.iterdir()))
    factor = photographs._factor(shot.scene)
    blur_lin = photographs._blur_lin(shot.scene, factor)
    finer_lin = photographs._blur_lin(shot.scene, 4 * factor)
    curve = response("srgb")
    assert np.abs(curve.to_encoded(blur_lin) - curve.to_encoded(finer_lin)).mean() < 0.4 / 255
    path = shot.scene.path(0, 160, positions=10 * factor + 1)
    corner = path @ np.array([0.0, 0.0, 1.0])
    steps_px = np.linalg.norm(np.diff(corner[:, :2] / corner[:, 2:], axis=0), axis=1)
    assert steps_px.max() <= STEP_PX * 1.05
    record, _, sharp_png = photographs._rendered(config, shot)
    assert record.centre_s == pytest.approx(5 / 240)
    assert len(sharp_png) > 100


def test_a_grey_photograph_is_read_as_colour(tmp_path: Path) -> None:
    import cv2

    values = stream(0, "grey").integers(0, 255, (40, 50)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), values)
    image_lin = photograph_lin(str(tmp_path / "grey.png"))
    assert np.abs(response("srgb").to_encoded(image_lin[..., 0]) - values / 255).max() < 1e-5
    assert np.array_equal(image_lin[..., 0], image_lin[..., 2])


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--blurs", "0"], "at least 1 pair of each photograph, got 0"),
        (["--extent", "5"], "two numbers such as 2,24, got '5'"),
        (["--extent", "9,5"], "LOW,HIGH with 0 < LOW <= HIGH, got 9,5"),
        (["--scale", "0.5,2"], "LOW,HIGH with 0 < LOW <= HIGH <= 1.3, got 0.5,2"),
        (["--trajectories", "2"], "--trajectories is a share of the pairs, between 0 and 1, got 2"),
        (["--scale", "0.1,0.1"], "a side has at least 64 px"),
        (["--split", "exam"], "the split is one of"),
        (["--workers", "0"], "--workers is at least 1"),
    ],
)
def test_bad_arguments(
    folder: Path, tmp_path: Path, more: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(folder, tmp_path / "out", *more) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(tmp_path, tmp_path / "out") == 2
    assert "no PNG or JPEG file" in capsys.readouterr().err
    assert make(tmp_path / "none", tmp_path / "out") == 2
    assert "this is none" in capsys.readouterr().err


def test_pairs_are_a_test_set(folder: Path, tmp_path: Path) -> None:
    """Blurs of one photograph are one cluster; frames of one video one clip in the order of time."""
    out, entry = tmp_path / "data" / "pairs", TESTSETS["pairs"]
    assert make(folder, out, "--split", "test") == 0
    assert entry.find(tmp_path / "data") == out
    assert entry.find(out) == out
    assert entry.find(tmp_path) is None
    assert entry.problems(out) == []
    testset = entry.open(out, PROTOCOLS["pairs"], False)
    assert testset.simulated and testset.title == "Pairs pairs (simulated)"
    keys = [sample.key for clip in testset.clips() for sample in clip.samples]
    assert keys[:2] == ["a/a-000_000000", "b/b-000_000000"]
    assert all(len(clip.samples) == 1 for clip in testset.clips())
    next((out / "sharp").iterdir()).unlink()
    assert "missing" in entry.problems(out)[0]
    (out / "run.json").unlink()
    assert "no run.json" in entry.problems(out)[0]


def test_photographs_that_cannot_be_used_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They do not stop the others."""
    picture = read_image(folder / "a.png")
    folder = tmp_path / "photographs"
    write_image(folder / "good.png", picture)
    write_image(folder / "cut.jpg", picture)
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-400])
    cv2.imwrite(str(folder / "clear.png"), np.dstack([picture, picture[..., 0]]))
    (folder / "notes.txt").write_text("x")
    assert make(folder, tmp_path / "out", "--blurs", "1") == 0
    printed = capsys.readouterr().out
    assert "notes.txt" in printed and "1 pairs of 1 photographs" in printed
    assert "cut.jpg: the image is damaged and cannot be decoded (left out)" in printed
    assert "clear.png: the image is transparent in places" in printed
