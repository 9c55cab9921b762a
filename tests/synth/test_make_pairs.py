"""The command line: what it writes, that it is right, and what it says and returns when something is wrong."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from core import files
from core.camera_response import response, to_8bit
from core.image_files import read_image
from synth import make_pairs
from synth.manifest import PairRecord, read_manifest, sequence_names
from synth.scenes import SceneClip, default_scenes
from tests.synth.clips import decoded, moving_frames, tree, write_frames, write_video

Run = Callable[..., tuple[int, str, str]]
CONTRACT_KEYS = (
    *("key", "split", "sequence", "blur", "sharp", "blur_sha256", "sharp_sha256", "source", "source_fps"),
    *("first_frame", "centre_frame", "last_frame", "window", "factor", "virtual_frames", "span_s", "centre_s"),
    *("response", "interpolator", "recipe", "camera", "sharp_transform", "degradations", "seed"),
)
GATE_KEYS = ("blur_extent_px", "ghost_score", "saturated", "still", "cut", "sharp_blur", "flow_disagreement")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process: (exit code, stdout, stderr)."""

    def run_main(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = make_pairs.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_main


def one_sentence(err: str) -> str:
    """The only line of stderr."""
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("make_pairs.py: "), err
    return lines[0]


def test_pairs_of_a_folder_of_frames(tmp_path: Path, run: Run) -> None:
    frames = moving_frames(17)
    folder = write_frames(tmp_path / "my clip", frames)
    out = tmp_path / "out"
    code, text, _ = run("--interp", "16x", "--video", folder, "--fps", 240, "--window", 5, "--out", out, "--seed", 3)
    assert code == 0 and "3 pairs" in text
    records = read_manifest(out)
    assert tuple(field.name for field in fields(PairRecord))[: len(CONTRACT_KEYS)] == CONTRACT_KEYS
    assert tuple(json.loads((out / "pairs.jsonl").read_text().splitlines()[0])) == CONTRACT_KEYS + GATE_KEYS
    assert [(record.first_frame, record.centre_frame, record.last_frame) for record in records] == [
        (0, 2, 4),
        (5, 7, 9),
        (10, 12, 14),
    ]
    record = records[1]
    assert (record.sequence, record.split, record.window, record.factor, record.virtual_frames) == (
        "my-clip",
        "train",
        5,
        16,
        65,
    )
    assert record.span_s == pytest.approx(4 / 240) and record.centre_s == pytest.approx(7 / 240)
    assert (record.response, record.interpolator, record.recipe, record.seed) == ("srgb", "flow", "trapezoid", 3)
    assert (record.camera, record.sharp_transform, record.degradations) == ("none", "none", [])
    assert Path(record.source) == folder.resolve() and record.source_fps == 240.0
    for record in records:
        assert np.array_equal(read_image(record.sharp_path(out)), frames[record.centre_frame])
        assert files.sha256_of(record.blur_path(out)) == record.blur_sha256
    state = json.loads((out / "run.json").read_text())
    assert state["status"] == "finished" and state["configuration"]["factor"] == 16 and "numpy" in state["versions"]
    assert not any(path.name.endswith(".part") for path in out.rglob("*"))


@pytest.mark.parametrize("name", ["srgb", "gamma2.2", "bt709", "linear"])
def test_plain_and_trapezoid_averages_in_linear_light(tmp_path: Path, run: Run, name: str) -> None:
    """`--interp 1x` is the plain mean of the captured frames, a cross-fade their trapezoid; computed here again."""
    frames = moving_frames(7)
    folder, curve = write_frames(tmp_path / "clip", frames), response(name)
    common = ("--video", folder, "--fps", 240, "--window", 7, "--response", name)
    linear = np.stack([curve.decode(frame / 255.0) for frame in frames])
    for label, options, weights in (
        ("plain", ("--interp", "1x"), np.ones(7) / 7),
        ("trapezoid", ("--interp", "16x", "--interpolator", "crossfade"), np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 6),
    ):
        assert run(*common, *options, "--out", tmp_path / label)[0] == 0
        (record,) = read_manifest(tmp_path / label)
        exact = curve.encode(np.tensordot(weights, linear, axes=1)) * 255
        assert np.abs(read_image(record.blur_path(tmp_path / label)) - exact).max() < 0.502
        assert record.recipe == ("mean" if label == "plain" else "trapezoid")
        assert record.interpolator == ("none" if label == "plain" else "crossfade")


def test_sharp_frames_of_a_video_are_its_frames(tmp_path: Path, run: Run) -> None:
    video = write_video(tmp_path / "clip.mp4", moving_frames(15))
    assert run("--video", video, "--window", 5, "--stride", 3, "--out", tmp_path / "out")[0] == 0
    records, frames = read_manifest(tmp_path / "out"), decoded(video)
    assert [record.first_frame for record in records] == [0, 3, 6, 9]
    for record in records:
        assert np.array_equal(read_image(record.sharp_path(tmp_path / "out")), frames[record.centre_frame])


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("flat", ["blur/clip_000000.png", "sharp/clip_000000.png", "blur/clip-2_000005.png"]),
        ("gopro", ["test/clip/blur/000000.png", "test/clip/sharp/000000.png", "test/clip-2/blur/000005.png"]),
        (
            "dvd",
            [
                "quantitative_datasets/clip/input/00000.png",
                "quantitative_datasets/clip/GT/00000.png",
                "quantitative_datasets/clip-2/input/00005.png",
            ],
        ),
    ],
)
def test_layouts_and_clips_of_the_same_name(tmp_path: Path, run: Run, layout: str, names: list[str]) -> None:
    first = write_frames(tmp_path / "a" / "clip", moving_frames(5))
    second = write_frames(tmp_path / "b" / "clip", moving_frames(10, seed=1))
    out = tmp_path / "out"
    arguments = ("--video", f"{first},{second}", "--fps", 240, "--window", 5, "--interp", "2x")
    assert run(*arguments, "--layout", layout, "--split", "test", "--out", out)[0] == 0
    for name in names:
        assert (out / name).is_file()
    records = read_manifest(out)
    assert len({record.key for record in records}) == 3 and {record.split for record in records} == {"test"}


def test_several_windows_are_drawn_from_the_seed_and_limit_stops(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(40))
    common = ("--video", folder, "--fps", 240, "--interp", "2x", "--stride", 2, "--window", "3,5", "--window", 7)
    for seed in (0, 1):
        assert run(*common, "--seed", seed, "--out", tmp_path / f"seed{seed}")[0] == 0
    sizes = [[record.window for record in read_manifest(tmp_path / f"seed{seed}")] for seed in (0, 1)]
    assert set(sizes[0]) == {3, 5, 7} and sizes[0] != sizes[1]
    assert run(*common, "--limit", 4, "--out", tmp_path / "few")[0] == 0
    assert read_manifest(tmp_path / "few") == read_manifest(tmp_path / "seed0")[:4]


def test_same_bytes_for_any_number_of_workers(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(16, speed_px=4.0))
    for workers in (1, 2, 5):
        arguments = ("--video", folder, "--fps", 240, "--window", "3,5", "--stride", 1, "--workers", workers)
        assert run(*arguments, "--out", tmp_path / str(workers))[0] == 0
    assert tree(tmp_path / "1") == tree(tmp_path / "2") == tree(tmp_path / "5")
    assert len(tree(tmp_path / "1")) > 20


def tiny_scenes(split: str, seed: int) -> tuple[SceneClip, ...]:
    """The first default scene, small and short."""
    clip = default_scenes(split, seed)[0]
    values = {name: getattr(clip.scene, name) for name in clip.scene.__dataclass_fields__}
    small = type(clip.scene)(**{**values, "height": 96, "width": 128, "magnification": 0.3, "extent_px": 30.0})
    return (SceneClip(scene=small, frame_count=10),)


def test_embedded_default_reports_its_error_against_the_truth(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synth.settings.default_scenes", tiny_scenes)
    code, text, _ = run("--interp", "16x", "--window", 5, "--out", tmp_path / "out")
    assert code == 0 and "PSNR" in text and "plain average" in text and "simulated" in text
    truth = json.loads((tmp_path / "out" / "run.json").read_text())["truth"]
    assert truth["pairs"] == 2
    assert truth["synthesis"]["mean_db"] > truth["trapezoid"]["mean_db"] > truth["plain"]["mean_db"] > 15
    assert truth["synthesis"]["worst_db"] <= truth["synthesis"]["mean_db"]
    # The same figure from the written images, which are rounded to 8 bit, and a truth summed here.
    (clip,) = tiny_scenes("train", 0)
    record = read_manifest(tmp_path / "out")[1]
    rendered = [clip.scene.frame_lin(16 * record.first_frame + step) for step in range(65)]
    exact_lin = (sum(rendered) - (rendered[0] + rendered[-1]) / 2) / 64
    exact = response("srgb").to_encoded(exact_lin)
    error = (read_image(record.blur_path(tmp_path / "out")) / 255.0 - exact)[16:-16, 16:-16]
    stored = [json.loads(line) for line in (tmp_path / "out" / "truth.jsonl").read_text().splitlines()]
    rounded = 10 ** (-stored[1]["synthesis"] / 10) + 1 / 12 / 255**2  # the file is 8 bit
    assert -10 * np.log10(np.mean(error**2)) == pytest.approx(-10 * np.log10(rounded), abs=0.3)
    sharp = read_image(record.sharp_path(tmp_path / "out"))
    centre_lin = clip.scene.frame_lin(16 * record.centre_frame)
    assert np.array_equal(sharp, to_8bit(response("srgb").to_encoded(centre_lin)))


def test_cuts_and_frozen_frames_are_skipped_and_reported(tmp_path: Path, run: Run) -> None:
    moving, other = moving_frames(12), moving_frames(12, seed=9)
    frames = [*moving[:7], *other[7:10], other[9], *other[10:], *moving_frames(8, seed=9, start=12)]
    video = write_video(tmp_path / "clip.mkv", frames, options={"g": "60"})
    code, text, _ = run("--video", video, "--window", 3, "--interp", "4x", "--out", tmp_path / "out")
    assert code == 0
    assert "clip: 1 windows skipped because of a scene cut after frame 6" in text
    assert "clip: 1 windows skipped because of repeated frames 10" in text
    skipped = json.loads((tmp_path / "out" / "run.json").read_text())["skipped"]
    assert [(skip["first_frame"], skip["reason"], skip["frames"]) for skip in skipped] == [
        (6, "cut", [6]),
        (9, "frozen", [10]),
    ]
    assert [record.first_frame for record in read_manifest(tmp_path / "out")] == [0, 3, 12, 15, 18]


def test_static_video_gives_blur_equal_to_sharp(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(1) * 5)
    code, text, _ = run("--video", folder, "--fps", 240, "--window", 5, "--out", tmp_path / "out")
    (record,) = read_manifest(tmp_path / "out")
    assert code == 0 and record.blur_sha256 == record.sharp_sha256 and "no motion" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--window", "10"), "odd number"),
        (("--window", "1"), "odd number"),
        (("--window", "eleven"), "--window takes odd numbers"),
        (("--interp", "0x"), "between 1x and"),
        (("--interp", "fast"), "whole factor such as 16x"),
        (("--stride", "0"), "stride"),
        (("--limit", "0"), "limit"),
        (("--fps", "-3"), "frame rate"),
        (("--fps", "nan"), "a finite number"),
        (("--workers", "0"), "--workers"),
        (("--interpolator", "sepconv"), "crossfade, flow"),
        (("--recipe", "gopro"), "trapezoid, mean, gopro_like"),
        (("--layout", "lmdb"), "flat, gopro, dvd, webdataset"),
        (("--shard-pairs", "0"), "at least 1 pair"),
        (("--split", "all"), "train, val, test"),
        (("--response", "nowhere.txt"), "srgb, gamma2.2, bt709, linear"),
        (("--camera", "phone"), "none, shot-read, saturated, raw-isp"),
        (("--bits", "12"), "8 or 16"),
        (("--duty", "0"), "duty cycle"),
        (("--duty", "1.5"), "duty cycle"),
        (("--row-delay", "-1"), "row to row"),
        (("--row-delay", "1e-3", "--window", "3", "--duty", "0.5"), "outside the window of 3"),
        (("--recipe", "gopro_like", "--interp", "16x"), "sets --interp to 1x, got 16x"),
        (("--recipe", "gopro_like", "--window", "7,9"), "sets --window to 7,11,13, got 7,9"),
        (("--recipe", "gopro_like", "--camera", "raw-isp"), "a camera needs light"),
        (("--recipe", "reds_like", "--stride", "3"), "sets --stride to 5, got 3"),
        (("--recipe", "reds_like", "--duty", "0.8"), "open for the whole window"),
        (("--recipe", "rsblur_like", "--response", "linear"), "sets --response to srgb, got linear"),
        (("--degrade", "jpeg"), "real-esrgan, bsrgan"),
        (("--windw", "3"), "unrecognized arguments"),
        (("--video", "nowhere.mp4"), "no such video"),
    ],
)
def test_bad_arguments(tmp_path: Path, run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(3))
    code, _, err = run("--video", folder, "--fps", 240, "--out", tmp_path / "out", *arguments)
    assert code == 2 and sentence in one_sentence(err)
    assert not (tmp_path / "out").exists()


def test_sources_are_checked_before_the_first_is_processed(tmp_path: Path, run: Run) -> None:
    good, short = write_frames(tmp_path / "good", moving_frames(11)), write_frames(tmp_path / "short", moving_frames(5))
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    brief = write_video(tmp_path / "brief.mkv", moving_frames(10))
    too_short = "frames, fewer than the window of 11"
    for bad, sentence in ((text, "not a video"), (short, f"5 {too_short}"), (brief, f"10 {too_short}")):
        code, _, err = run("--video", good, bad, "--fps", 240, "--out", tmp_path / "out")
        assert code == 2 and sentence in one_sentence(err) and bad.name in err
    just_right = write_video(tmp_path / "right.mkv", moving_frames(11))
    assert run("--video", just_right, "--interp", "1x", "--out", tmp_path / "one")[0] == 0
    assert len(read_manifest(tmp_path / "one")) == 1
    code, _, err = run("--video", good, "--out", tmp_path / "out")
    assert code == 2 and "--fps" in one_sentence(err)
    assert not (tmp_path / "out").exists()


def test_truncated_video_keeps_the_windows_before_the_break(tmp_path: Path, run: Run) -> None:
    whole = write_video(tmp_path / "whole.mkv", moving_frames(60), options={"g": "10"})
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    for _ in range(2):  # the second time it is finished already, and still not what was asked for
        code, _, err = run("--video", cut, "--window", 5, "--interp", "4x", "--out", tmp_path / "out")
        assert code == 1 and "breaks off after" in err.splitlines()[-1]
    assert run("--video", whole, "--window", 5, "--interp", "4x", "--out", tmp_path / "full")[0] == 0
    kept, full = read_manifest(tmp_path / "out"), read_manifest(tmp_path / "full")
    assert 2 <= len(kept) < len(full)
    # The last one lacks the frame after its window, which would tell how motion goes on.
    same = len(kept) - 1
    assert [record.blur_sha256 for record in kept[:same]] == [record.blur_sha256 for record in full[:same]]
    assert run("verify", tmp_path / "out")[0] == 0


def test_output_folders_that_are_taken(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(6))
    common = ("--video", folder, "--fps", 240, "--window", 3, "--out", tmp_path / "out")
    assert run(*common)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    code, text, _ = run(*common)
    assert code == 0 and "verified" in text
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    code, _, err = run(*common, "--interp", "8x")
    assert code == 2 and "factor: 16 -> 8" in one_sentence(err)
    code, _, err = run(*common, "--fps", "120", "--resume")
    assert code == 2 and "fps" in one_sentence(err)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "letter.txt").write_text("mine")
    code, _, err = run(*common[:-1], tmp_path / "strange")
    assert code == 2 and "choose another --out" in one_sentence(err)
    code, _, err = run(*common[:-1], folder / "frame_0.png")
    assert code == 2 and "this is a file" in one_sentence(err)


def test_a_changed_image_is_noticed_and_made_again(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(12))
    common = ("--video", folder, "--fps", 240, "--window", 3, "--out", tmp_path / "out")
    assert run(*common)[0] == 0
    right = tree(tmp_path / "out")
    assert run("verify", tmp_path / "out")[0] == 0
    damaged = read_manifest(tmp_path / "out")[2].blur_path(tmp_path / "out")
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    for arguments in (("verify", tmp_path / "out"), common):
        code, _, err = run(*arguments)
        assert code == 1 and damaged.name in one_sentence(err)
    assert run(*common, "--resume")[0] == 0
    assert tree(tmp_path / "out") == right
    damaged.unlink()
    assert run("verify", tmp_path / "out")[0] == 1
    assert run("verify", tmp_path / "nowhere")[0] == 2


def test_rebuild_makes_the_same_bytes_again(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(20))
    out, again = tmp_path / "out", tmp_path / "again"
    assert run("--video", folder, "--fps", 240, "--window", "3,5", "--stride", 2, "--limit", 5, "--out", out)[0] == 0
    record = read_manifest(out)[3]
    code, text, _ = run("rebuild", record.key, "--in", out, "--out", again)
    assert code == 0 and "same bytes" in text and read_manifest(again) == [record]
    assert again.joinpath(record.blur).read_bytes() == out.joinpath(record.blur).read_bytes()
    code, _, err = run("rebuild", "nothing", "--in", out, "--out", again)
    assert code == 2 and "no pair 'nothing'" in one_sentence(err)
    (folder / "frame_0.png").unlink()
    code, _, err = run("rebuild", record.key, "--in", out, "--out", tmp_path / "third")
    assert code == 2 and "not the one that the set was made from" in one_sentence(err)


def test_full_disk_leaves_a_valid_set_that_can_be_resumed(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(15))
    common = ("--video", folder, "--fps", 240, "--window", 3)
    assert run(*common, "--out", tmp_path / "whole")[0] == 0
    write, written = files.write_bytes, []

    def full_after_five(path: Path, data: bytes) -> str:
        if path.suffix == ".png":
            written.append(path)
            if len(written) > 5:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(files, "write_bytes", full_after_five)
    code, _, err = run(*common, "--out", tmp_path / "out")
    assert code == 1 and "the disk is full" in err.splitlines()[-1]
    monkeypatch.setattr(files, "write_bytes", write)
    assert len(read_manifest(tmp_path / "out")) == 2
    code, _, err = run(*common, "--out", tmp_path / "out")
    assert code == 2 and "--resume" in one_sentence(err)
    assert run(*common, "--out", tmp_path / "out", "--resume")[0] == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_sequence_names_are_safe_and_unique() -> None:
    assert sequence_names(["a b", "a-b", "A-B", "..", "größe"]) == ["a-b", "a-b-2", "A-B-3", "clip", "gr-e"]


def test_a_missing_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are no pairs here"):
        read_manifest(tmp_path)


def test_auto_factor_follows_the_motion(tmp_path: Path, run: Run) -> None:
    slow = write_frames(tmp_path / "slow", moving_frames(6, speed_px=2.5))
    fast = write_frames(tmp_path / "fast", moving_frames(6, speed_px=9.0))
    common = ("--interp", "auto", "--fps", 240, "--window", 3)
    factors = {}
    for folder in (slow, fast):
        code, text, _ = run(*common, "--video", folder, "--out", tmp_path / f"out-{folder.name}")
        assert code == 0 and "--interp auto: " in text
        factors[folder.name] = read_manifest(tmp_path / f"out-{folder.name}")[0].factor
    # The texture moves by (speed, 0.3 speed) px a gap.
    assert factors["slow"] in (3, 4) and factors["fast"] in (9, 10, 11, 12)
    code, _, _ = run(*common, "--video", fast, "--max-interp", 4, "--out", tmp_path / "capped")
    assert code == 0 and read_manifest(tmp_path / "capped")[0].factor == 4
    code, _, err = run(*common, "--video", fast, "--max-interp", 1, "--out", tmp_path / "none")
    assert code == 2 and "at least 2" in one_sentence(err) and not (tmp_path / "none").exists()
    assert run(*common, "--video", fast, "--recipe", "reds_like", "--out", tmp_path / "none")[0] == 2


def test_report_page_shows_best_worst_and_rejected(tmp_path: Path, run: Run) -> None:
    frames = [*moving_frames(9, speed_px=4.0), *moving_frames(9, seed=9)]
    folder = write_frames(tmp_path / "clip & more", frames)
    arguments = ("--video", folder, "--fps", 240, "--window", 3, "--interp", "4x", "--out", tmp_path / "out")
    code, text, _ = run(*arguments, "--window", 5, "--report")
    assert code == 0 and "report.html" in text
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    state = json.loads((tmp_path / "out" / "run.json").read_text())
    assert f"<h1>{state['pairs']} pairs</h1>" in page and "clip &amp; more" in page
    assert f"Rejected windows: {len(state['skipped'])}" in page and "scene cut" in page
    pairs_shown = 2 * min(4, state["pairs"])
    assert page.count("data:image/jpeg;base64,") == 2 * pairs_shown + 2 * min(4, len(state["skipped"]))
    assert page.count("<svg") == 5
    # Afterwards it can be written again without making anything, and verifying is not disturbed by it.
    assert run(*arguments, "--window", 5, "--report")[0] == 0 and run("verify", tmp_path / "out")[0] == 0


def test_quality_figures_of_the_manifest(tmp_path: Path, run: Run) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(6, speed_px=4.0))
    run("--video", folder, "--fps", 240, "--window", 5, "--interp", "16x", "--out", tmp_path / "sixteen")
    run("--video", folder, "--fps", 240, "--window", 5, "--interp", "1x", "--out", tmp_path / "one")
    (interpolated,), (plain,) = (read_manifest(tmp_path / name) for name in ("sixteen", "one"))
    expected_px = 4 * np.hypot(4.0, 1.2)
    assert interpolated.blur_extent_px == pytest.approx(expected_px, rel=0.15)
    assert plain.blur_extent_px == pytest.approx(expected_px, rel=0.15)
    assert interpolated.ghost_score == 0 and plain.ghost_score is not None and plain.ghost_score > 0.9
    assert interpolated.still is False and interpolated.cut is False
