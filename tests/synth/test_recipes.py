"""Recipes against the published window formulas and ground-truth indices, and whole runs with recipes and cameras."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.camera_response import response
from core.image_files import read_image
from synth import make_pairs
from synth.exposure import Exposure, WindowPlan
from synth.manifest import PairRecord, read_manifest
from synth.recipes import RECIPES
from synth.sensor import CAMERAS
from tests.synth.clips import moving_frames, tree, write_frames
from tests.synth.test_make_pairs import tiny_scenes

DOCS = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def run(*arguments: object) -> int:
    return make_pairs.main([str(argument) for argument in arguments])


# name, capture fps, window, virtual frames, stride, ground truth's offset from the first captured frame
PUBLISHED = [
    ("gopro_like", 240, 7, 7, None, 3),
    ("gopro_like", 240, 11, 11, None, 5),
    ("gopro_like", 240, 13, 13, None, 6),
    ("dvd_like", 240, 7, 6 * 11 + 1, 8, 3),
    ("reds_like", 120, 5, 65, 5, 2),
    ("deblurganv2_3840", 240, 11, 161, None, 5),
    ("rsblur_like", None, 9, 65, None, 4),
    ("hide_like", 240, 11, 11, None, 5),
]


@pytest.mark.parametrize(("name", "fps", "window", "virtual", "stride", "centre"), PUBLISHED)
def test_published_window_formula_and_ground_truth_index(
    name: str, fps: float | None, window: int, virtual: int, stride: int | None, centre: int
) -> None:
    found = RECIPES[name]()
    assert found.name == name and found.source and found.capture_fps == fps and found.stride == stride
    assert window in (found.windows or (window,)) and found.profile == "mean"
    exposure = Exposure(frames=window, factor=found.factor or 1, profile=found.profile)
    assert exposure.virtual_frames == virtual and np.ptp(exposure.weights()) == 0
    plan = WindowPlan(sizes=(window,), stride=found.stride, seed=0, sequence="clip")
    first, second = itertools.islice(plan.windows(), 2)
    assert first.centre - first.first == centre
    assert second.first - first.first == (stride or window)


def test_published_figures_of_single_sets() -> None:
    """GOPRO_Large: the mean of frames 323 to 329 belongs to 326. REDS: 64 of 80 virtual frame times, 24 fps."""
    plan = WindowPlan(sizes=(7,), stride=None, seed=0, sequence="clip")
    window = next(window for window in plan.windows() if window.first == 322)
    assert (window.first + 1, window.centre + 1, window.last + 1) == (323, 326, 329)  # file names count from 1
    reds = RECIPES["reds_like"]()
    assert reds.windows and reds.stride and reds.factor and reds.capture_fps and reds.published_duty
    assert (reds.windows[0] - 1) * reds.factor / (reds.stride * reds.factor) == reds.published_duty == 64 / 80
    assert reds.capture_fps * reds.factor == 1920 and reds.capture_fps / reds.stride == 24
    mixed = RECIPES["deblurganv2_3840"]()
    assert mixed.capture_fps and mixed.factor and mixed.capture_fps * mixed.factor == 3840
    assert RECIPES["gopro_like"]().windows == (7, 11, 13)


def test_gopro_like_writes_both_means(tmp_path: Path) -> None:
    frames = moving_frames(40, speed_px=3.0)
    folder, out = write_frames(tmp_path / "clip", frames), tmp_path / "out"
    arguments = ("--video", folder, "--fps", 240, "--recipe", "gopro_like", "--layout", "gopro", "--out", out)
    assert run(*arguments) == 0
    records = read_manifest(out)
    assert {record.window for record in records} <= {7, 11, 13} and len(records) >= 3
    for record in records:
        averaged = np.stack(frames[record.first_frame : record.last_frame + 1]) / 255.0
        assert np.abs(read_image(out / record.blur) - averaged.mean(axis=0) * 255).max() < 0.502
        gamma = np.mean(averaged**2.2, axis=0) ** (1 / 2.2) * 255
        assert record.blur_gamma == record.blur.replace("/blur/", "/blur_gamma/")
        assert np.abs(read_image(out / record.blur_gamma) - gamma).max() < 0.502
        assert np.array_equal(read_image(record.sharp_path(out)), frames[record.first_frame + record.window // 2])
        assert (record.response, record.factor, record.recipe) == ("linear", 1, "gopro_like")
    assert run("verify", out) == 0
    assert run("rebuild", records[1].key, "--in", out, "--out", tmp_path / "again") == 0
    (out / records[0].blur_gamma).write_bytes(b"changed")
    assert run("verify", out) == 1
    assert run(*arguments, "--resume") == 0 and run("verify", out) == 0


def test_unverified_constants_are_in_run_json_and_in_the_docs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(8))
    out = tmp_path / "out"
    assert run("--video", folder, "--fps", 120, "--recipe", "dvd_like", "--out", out) == 0
    assert "captured at 120 fps" in capsys.readouterr().out
    configuration = json.loads((out / "run.json").read_text())["configuration"]
    assert configuration["unverified"] == list(RECIPES["dvd_like"]().unverified)
    assert (configuration["factor"], configuration["stride"], configuration["windows"]) == (11, 8, [7])
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    for entry in [*(make() for make in RECIPES.values()), *CAMERAS.values()]:
        assert f"`{entry.name}`" in text
        for line in entry.unverified:
            assert line in text, line


def test_recipes_on_the_rendered_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoded frames are averaged there, so no truth is claimed; what recipes of light make is compared with it."""
    monkeypatch.setattr("synth.settings.default_scenes", tiny_scenes)
    for name, window, compared in (("gopro_like", 7, False), ("reds_like", 5, True)):
        arguments = ("--recipe", name, "--window", window, "--out", tmp_path / name)
        assert run(*arguments) == 0
        assert (tmp_path / name / "truth.jsonl").exists() == compared
        assert len(read_manifest(tmp_path / name)) >= 1
        (tmp_path / name / "pairs.jsonl").write_bytes(b"")
        assert (
            run("--recipe", name, "--window", 7 if name == "gopro_like" else 5, "--out", tmp_path / name, "--resume")
            == 0
        )


@pytest.mark.parametrize("name", [name for name in CAMERAS if name != "none"])
def test_cameras_end_to_end(tmp_path: Path, name: str) -> None:
    """The same bytes for any number of workers and after a rebuild; the sharp image says what happened to it."""
    frames = [np.maximum(frame, np.where(frame > 180, 255, 0)).astype(np.uint8) for frame in moving_frames(9)]
    folder = write_frames(tmp_path / "clip", frames)
    common = ("--video", folder, "--fps", 240, "--window", 3, "--interp", "4x", "--camera", name)
    for workers in (1, 3):
        assert run(*common, "--workers", workers, "--out", tmp_path / str(workers)) == 0
    assert tree(tmp_path / "1") == tree(tmp_path / "3")
    assert run(*common[:-2], "--out", tmp_path / "plain") == 0
    records = read_manifest(tmp_path / "1")
    assert len({json.dumps(record.camera_settings) for record in records}) == 3
    for record, plain in zip(records, read_manifest(tmp_path / "plain"), strict=True):
        assert (record.camera, record.key) == (name, plain.key) and record.blur_sha256 != plain.blur_sha256
        same = np.array_equal(read_image(record.sharp_path(tmp_path / "1")), frames[record.centre_frame])
        assert same == (record.sharp_transform == "none") == (not CAMERAS[name].sharp_too)
        assert "camera_settings" not in json.loads((tmp_path / "plain" / "pairs.jsonl").read_text().splitlines()[0])
        difference = read_image(record.blur_path(tmp_path / "1")).astype(float) - read_image(
            plain.blur_path(tmp_path / "plain")
        )
        assert 0 < np.abs(difference).mean() < 30
    assert run("rebuild", records[2].key, "--in", tmp_path / "1", "--out", tmp_path / "again") == 0
    lines = (tmp_path / "3" / "pairs.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "3" / "pairs.jsonl").write_bytes(lines[0])
    assert run(*common, "--out", tmp_path / "3", "--resume") == 0 and tree(tmp_path / "1") == tree(tmp_path / "3")


def test_saturation_brightens_where_frames_were_clipped(tmp_path: Path) -> None:
    """A bar at full scale that moves: its trail gets brighter, the rest stays."""
    frames = []
    for index in range(5):
        frame = moving_frames(1)[0] // 4
        frame[20:40, 20 + 6 * index : 30 + 6 * index] = 255
        frames.append(frame)
    folder = write_frames(tmp_path / "clip", frames)
    images = {}
    for name in ("none", "saturated"):
        out = tmp_path / name
        assert (
            run("--video", folder, "--fps", 240, "--window", 5, "--interp", "1x", "--camera", name, "--out", out) == 0
        )
        (record,) = read_manifest(out)
        images[name] = read_image(record.blur_path(out))
    scale = float(record.camera_settings["highlight_scale"])
    srgb = response("srgb")
    mean = np.mean([srgb.decode(frame / 255.0) for frame in frames], axis=0)
    mask = np.mean([frame == 255 for frame in frames], axis=0)
    assert np.abs(images["saturated"] - srgb.to_encoded(mean + scale * mask) * 255).max() < 0.502
    assert np.array_equal(images["saturated"][:20], images["none"][:20])


def test_16_bit_blur_is_read_back_and_the_sharp_frame_is_untouched(tmp_path: Path) -> None:
    frames = moving_frames(5)
    folder, out = write_frames(tmp_path / "clip", frames), tmp_path / "out"
    common = ("--video", folder, "--fps", 240, "--window", 5, "--interp", "1x", "--bits", 16, "--out", out)
    assert run(*common) == 0 and run("verify", out) == 0
    (record,) = read_manifest(out)
    assert isinstance(record, PairRecord) and record.bits == 16
    srgb = response("srgb")
    exact = srgb.encode(np.mean([srgb.decode(frame / 255.0) for frame in frames], axis=0)) * 65535
    blur = read_image(record.blur_path(out), deep=True)
    assert blur.dtype == np.uint16 and np.abs(blur - exact).max() < 1.5
    assert np.array_equal(cv2.imread(str(record.blur_path(out)), cv2.IMREAD_UNCHANGED)[..., ::-1], blur)
    assert np.array_equal(read_image(record.sharp_path(out), deep=True), frames[2])
    with pytest.raises(ValueError, match="16-bit rgb"):
        read_image(record.blur_path(out))
    assert run("rebuild", record.key, "--in", out, "--out", tmp_path / "again") == 0


@pytest.mark.parametrize(("duty", "row_delay_s"), [(0.25, 0.0), (0.7, 0.0), (0.5, 1e-4)])
def test_duty_cycle_and_rolling_shutter_end_to_end(tmp_path: Path, duty: float, row_delay_s: float) -> None:
    """Cross-fade, trapezoid: the exact integral of the straight lines between captured frames over the open time.

    Rolling: each row is exposed later than the one above it, the middle of the image around the sharp frame.
    """
    frames = moving_frames(11)
    folder = write_frames(tmp_path / "clip", frames)
    common = ("--video", folder, "--fps", 240, "--window", 5, "--interp", "4x", "--interpolator", "crossfade")
    for workers in (1, 3):
        out = tmp_path / str(workers)
        shutter = ("--duty", duty, "--row-delay", row_delay_s)
        assert run(*common, *shutter, "--stride", 2, "--workers", workers, "--out", out) == 0
    assert tree(tmp_path / "1") == tree(tmp_path / "3")
    records = read_manifest(tmp_path / "1")
    assert len(records) == 4
    srgb = response("srgb")
    linear = np.stack([srgb.decode(frame / 255.0) for frame in frames])
    for record in records:
        blur = read_image(record.blur_path(tmp_path / "1"))
        for row in (0, 20, 71):
            late = (row - 35.5) * row_delay_s * 240
            times = record.centre_frame + late + duty * 2 * (np.arange(4000) + 0.5 - 2000) / 2000
            left = np.floor(times).astype(int)
            weights = np.bincount(left, 1 - (times - left), 12) + np.bincount(left + 1, times - left, 12)
            exact = srgb.encode(np.tensordot(weights[:11] / 4000, linear[:, row], axes=1)) * 255
            assert np.abs(blur[row] - exact).max() < 0.51
        assert (record.duty, record.row_delay_s) == (duty, row_delay_s)
        assert record.span_s == pytest.approx(duty * 4 / 240)
    assert run("rebuild", records[1].key, "--in", tmp_path / "1", "--out", tmp_path / "again") == 0
