"""HLG and PQ video: averaged by its own curve, written in the range of sRGB, never taken as sRGB."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from core.high_dynamic_range import DYNAMIC_RANGES, hlg_to_scene, pq_to_display
from core.image_files import read_image
from synth import make_pairs
from tests.synth.clips import moving_frames, write_video

COMMON = ["--interpolator", "crossfade", "--window", "3", "--workers", "1"]
CURVES = {"hlg": hlg_to_scene, "pq": pq_to_display}


def write_grey(path: Path, levels: list[int], transfer: int) -> Path:
    """10-bit BT.2020 video whose left quarter has a level of its own in every frame; the rest is a still texture."""
    with av.open(str(path), "w") as container:
        made = container.add_stream("libx265", rate=240, options={"crf": "4", "x265-params": "log-level=none"})
        made.width, made.height, made.pix_fmt = 96, 64, "yuv420p10le"
        codec = made.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 9, 9, transfer, 1
        for level in levels:
            frame = av.VideoFrame(96, 64, "yuv420p10le")
            rows = (300 + 400 * (np.add.outer(np.arange(64) // 8, np.arange(96) // 8) % 2)).astype("<u2")
            rows[:, :24] = level
            for plane, values in zip(frame.planes, (rows, None, None), strict=True):
                data = np.full((plane.height, plane.line_size // 2), 512, "<u2")
                if values is not None:
                    data[:, :96] = values
                plane.update(data.tobytes())
            frame.colorspace, frame.color_range = 9, 1
            container.mux(made.encode(frame))
        container.mux(made.encode(None))
    return path


@pytest.mark.parametrize(("name", "transfer"), [("hlg", 18), ("pq", 16)])
def test_light_is_averaged_by_its_own_curve(tmp_path: Path, name: str, transfer: int) -> None:
    levels = [250, 400, 560]  # of 64..940
    path = write_grey(tmp_path / "a.mp4", levels, transfer)
    words = ["--video", str(path), *COMMON, "--interp", "1x", "--out", str(tmp_path / "out"), "--bits", "16"]
    assert make_pairs.main(words) == 0
    (pair,) = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert (pair["response"], pair["sharp_transform"]) == (name, f"{name} to sRGB")
    light = CURVES[name](np.array([(level - 64) / 876 for level in levels]))
    ordinary = DYNAMIC_RANGES[name].to_ordinary_lin(np.array([light.mean(), light[1]]))
    blur_srgb, sharp_srgb = 1.055 * ordinary ** (1 / 2.4) - 0.055
    blur = read_image(tmp_path / "out" / pair["blur"], deep=True)[20:44, 6:18] / 65535
    sharp = read_image(tmp_path / "out" / pair["sharp"])[20:44, 6:18] / 255
    assert np.abs(blur - blur_srgb).max() < 0.02 and np.abs(sharp - sharp_srgb).max() < 0.02
    assert abs(blur_srgb - np.mean([(level - 64) / 876 for level in levels])) > 0.05  # values averaged as they are


def test_never_taken_as_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_grey(tmp_path / "a.mp4", [200, 400, 640], 18)
    plain = write_video(tmp_path / "b.mp4", moving_frames(3))
    for more, sentence in (
        (["--video", str(path), "--response", "srgb"], "the video says that its values are HLG; use --response hlg"),
        (["--video", str(path), "--response", "pq"], "its values are HLG, and the response pq was asked for"),
        (["--video", str(path), "--recipe", "hide_like", "--interp", "1x"], "averages pixel values as they are"),
        (["--video", str(path), str(plain)], "some of the sources are HLG and others are not"),
    ):
        window = ["--window", "11" if "hide_like" in more else "3"]
        assert make_pairs.main([*window, *more, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
    assert make_pairs.main([*COMMON, "--video", str(plain), "--response", "hlg", "--out", str(tmp_path / "out")]) == 0


def test_interlaced_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    path = write_video(tmp_path / "a.mp4", moving_frames(7), options=options)
    words = ["--video", str(path), *COMMON, "--out", str(tmp_path / "out")]
    assert make_pairs.main(words) == 2
    assert "the video is interlaced: its frames mix two moments; add --deinterlace" in capsys.readouterr().err
    assert make_pairs.main([*words, "--deinterlace"]) == 0
    key = json.loads((tmp_path / "out" / "pairs.jsonl").read_text().splitlines()[0])["key"]
    again = ["rebuild", key, "--in", str(tmp_path / "out"), "--out", str(tmp_path / "again")]
    assert make_pairs.main(again) == 0
