"""Windows by the times of their own frames: ramps, lost frames, doubles, folders with holes, slow capture."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import pytest

from core.video import open_source
from synth import make_pairs
from synth.doubled_frames import WithoutDoubles, find_doubles, regular_distance
from tests.synth.clips import decoded, moving_frames, write_frames, write_video

COMMON = ["--interpolator", "crossfade", "--window", "5", "--workers", "1"]


def make(source: Path, out: Path, *more: str) -> tuple[int, list[dict], dict]:
    code = make_pairs.main(["--video", str(source), *COMMON, "--out", str(out), *more])
    lines = (out / "pairs.jsonl").read_text().splitlines() if (out / "pairs.jsonl").is_file() else []
    return code, [json.loads(line) for line in lines], json.loads((out / "run.json").read_text())


def test_a_ramp_of_the_frame_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """30 fps for 12 frames, 240 fps (in ticks of 1/600 s) for 16, and 30 again."""
    steps = [640] * 12 + [64, 96] * 8 + [640] * 11
    ticks = list(accumulate(steps, initial=0))
    path = write_video(tmp_path / "ramp.mov", moving_frames(40), ticks=ticks, time_base=Fraction(1, 19200))
    code, pairs, run = make(path, tmp_path / "out")
    assert code == 0
    rates = {pair["first_frame"]: (round(pair["source_fps"], 3), round(pair["span_s"], 6)) for pair in pairs}
    slow, fast = (30.0, round(4 / 30, 6)), (240.0, round(4 / 240, 6))
    assert rates == {0: slow, 5: slow, 15: fast, 20: fast, 30: slow, 35: slow}
    assert [(skip["first_frame"], skip["reason"]) for skip in run["skipped"]] == [(10, "uneven"), (25, "uneven")]
    centres = {pair["first_frame"]: pair["centre_s"] for pair in pairs}
    assert centres[15] == pytest.approx((12 * 640 + 2 * (64 + 96) + 64) / 19200)
    printed = capsys.readouterr().out
    assert "ramp: 2 windows skipped because of frames that are unevenly spaced in time" in printed
    assert "warning: ramp: 4 pairs are of frames captured at 30 fps; under 100 fps" in printed
    # Who says the rate says that it is even; the set can be made again either way.
    code, pairs, run = make(path, tmp_path / "even", "--fps", "120")
    assert code == 0 and {pair["source_fps"] for pair in pairs} == {120.0} and not run["skipped"]
    for folder, key in (("out", "ramp_000015"), ("even", "ramp_000010")):
        words = ["rebuild", key, "--in", str(tmp_path / folder), "--out", str(tmp_path / f"{folder}-again")]
        assert make_pairs.main(words) == 0


def test_a_lost_frame_skips_the_windows_across_it_only(tmp_path: Path) -> None:
    ticks = [index + (index > 12) for index in range(25)]
    path = write_video(tmp_path / "a.mp4", moving_frames(25), ticks=ticks, time_base=Fraction(1, 240))
    _, pairs, run = make(path, tmp_path / "out")
    assert [pair["first_frame"] for pair in pairs] == [0, 5, 15, 20]
    assert run["skipped"][0]["frames"] == [12] and {pair["span_s"] for pair in pairs} == {4 / 240}
    assert pairs[-1]["centre_s"] == pytest.approx(23 / 240)


def test_a_fast_capture_is_not_warned_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for fps, factor, warned in ((120, "16x", False), (99, "16x", True), (30, "8x", False)):
        path = write_video(tmp_path / f"{fps}.mp4", moving_frames(5), fps=fps)
        make(path, tmp_path / f"{fps}-out", "--interp", factor)
        assert ("warning" in capsys.readouterr().out) is warned


def doubled(count: int, every: int, *, lost: bool) -> list:
    """Every n-th frame repeats the one before it; lost: in place of a frame, so that motion is twice as long then."""
    frames, moment = [], 0
    moving = moving_frames(2 * count)
    for index in range(count):
        repeats = index % every == every - 1
        frames.append(frames[-1] if repeats else moving[moment])
        moment += 1 if lost or not repeats else 0
    return frames


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_regular_doubles(tmp_path: Path, codec: str, capsys: pytest.CaptureFixture[str]) -> None:
    # x264 codes alike every time only without threads that look ahead and the weights that come from them.
    lossy = {"crf": "23", "g": "12", "threads": "1", "x264-params": "lookahead-threads=1:sync-lookahead=0:mbtree=0"}
    pixels, options = ("bgr0", {}) if codec == "ffv1" else ("yuv420p", lossy)
    frames = doubled(40, 5, lost=False)
    path = write_video(tmp_path / "a.mkv", frames, codec=codec, pixels=pixels, options=options)
    found = find_doubles(open_source(path))
    assert found.frames == frozenset(range(4, 40, 5)) and found.every == 5 and found.even is True
    code, pairs, _ = make(path, tmp_path / "without", "--drop-duplicates")
    assert code == 0 and len(pairs) == 6
    assert {(pair["source_fps"], pair["span_s"]) for pair in pairs} == {(192.0, 4 / 192)}
    assert pairs[1]["centre_s"] == 7 / 192
    assert "8 of 40 frames repeat the one before them and are left out (one in 5)" in capsys.readouterr().out
    again = ["rebuild", "a_000005", "--in", str(tmp_path / "without"), "--out", str(tmp_path / "again")]
    assert make_pairs.main(again) == 0
    capsys.readouterr()
    code, pairs, _ = make(path, tmp_path / "with")
    assert (code, len(pairs)) == ((1, 0) if codec == "ffv1" else (0, 1))  # coding hides the double at a key frame
    assert "a: one frame in 5 repeats the one before it; --drop-duplicates" in capsys.readouterr().out


def test_doubles_in_place_of_lost_frames_leave_holes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "a.mkv", doubled(40, 8, lost=True), codec="ffv1", pixels="bgr0", options={})
    assert find_doubles(open_source(path)).even is False
    source = WithoutDoubles(open_source(path))
    kept = [frame for frame in source.frames(lambda index: True, []) if frame is not None]
    stored = decoded(path)
    assert len(kept) == source.frame_count == 35 and (kept[7] == stored[8]).all()
    assert source.times is not None and source.times.uneven_after(0, 34) == [6, 13, 20, 27]
    _, pairs, run = make(path, tmp_path / "out", "--drop-duplicates", "--stride", "1")
    assert [pair["first_frame"] for pair in pairs][:4] == [0, 1, 2, 7]
    assert {pair["source_fps"] for pair in pairs} == {240.0}
    assert {skip["reason"] for skip in run["skipped"]} == {"uneven"}
    assert "a frame was lost at each" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("frames", "every"),
    [([3, 8, 13, 18, 28, 38, 43], 5), ([1, 3, 5, 7], 2), ([4, 5, 9, 30, 31], None), ([4], None), ([7, 29, 55], None)],
)
def test_regular_distance(frames: list[int], every: int | None) -> None:
    assert regular_distance(frames) == every


def test_numbers_that_are_missing_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(25))
    (folder / "frame_12.png").unlink()
    code, pairs, run = make(folder, tmp_path / "out", "--fps", "240")
    assert code == 0 and [pair["first_frame"] for pair in pairs] == [0, 5, 15]
    assert [(skip["first_frame"], skip["frames"]) for skip in run["skipped"]] == [(10, [11])]
    assert pairs[-1]["centre_s"] == pytest.approx(18 / 240) and pairs[-1]["span_s"] == pytest.approx(4 / 240)
    assert "clip: frame numbers are missing after frame_11.png" in capsys.readouterr().out
    for path in folder.iterdir():  # one in three is not a hole but a slower capture
        if int(path.stem.removeprefix("frame_")) % 3 != 1:
            path.unlink()
    assert open_source(folder, 80).times is None


def test_two_files_of_one_frame_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(6))
    write_frames(folder, moving_frames(1), suffix=".jpg")
    assert make_pairs.main(["--video", str(folder), "--fps", "240", *COMMON, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "frame_0.jpg and frame_0.png are two files of one frame" in error and error.count("\n") == 1
