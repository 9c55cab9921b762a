"""Slow motion: the capture rate as phones, GoPro and Sony write it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from core.capture_rate import capture_rate
from core.video import open_source
from tests.synth.clips import moving_frames, write_video


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    ("key", "value", "rate"),
    [
        ("com.android.capture.fps", "240.000000", 240.0),
        ("com.apple.quicktime.capture.fps", "120", 120.0),
        ("com.arri.camera.SensorFps", "200.000", 200.0),
        ("CaptureFrameRate", "120000/1001", 120000 / 1001),
        ("com.android.capture.fps", "none", None),
        ("com.android.capture.fps", "0", None),
        ("com.android.version", "13", None),
    ],
)
def test_metadata(tmp_path: Path, key: str, value: str, rate: float | None) -> None:
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp", b"isom"))
    found = capture_rate(tmp_path / "a.mp4", {}, {key: value})
    assert found == (None if rate is None else (rate, key))


def test_gopro_settings_and_sonys_xml(tmp_path: Path) -> None:
    rate = struct.pack(">4sBBH2I", b"VFPS", ord("L"), 4, 2, 240000, 1001)
    name = struct.pack(">4sBBH", b"DVNM", ord("c"), 1, 5) + b"Hero\0\0\0\0"  # padded to 4
    settings = struct.pack(">4sBBH", b"DEVC", 0, 1, len(name + rate)) + name + rate
    movie = box(b"moov", box(b"mvhd", bytes(100)) + box(b"udta", box(b"GPMF", settings)))
    (tmp_path / "gopro.mp4").write_bytes(box(b"ftyp", b"isom") + movie)
    assert capture_rate(tmp_path / "gopro.mp4") == (pytest.approx(239.76, abs=0.01), "GoPro's VFPS")
    xml = b'<VideoFrame videoCodec="AVC" captureFps="119.88p" formatFps="29.97p"/>'
    (tmp_path / "sony.mp4").write_bytes(box(b"ftyp", b"isom") + movie[:0] + box(b"meta", b"\0" * 20 + xml))
    assert capture_rate(tmp_path / "sony.mp4") == (119.88, "captureFps")
    (tmp_path / "text").write_text("no boxes at all in here")
    assert capture_rate(tmp_path / "text") is None


def test_slow_motion_is_taken_at_its_capture_rate(tmp_path: Path) -> None:
    tags = {"metadata": {"com.android.capture.fps": "240.0"}, "container_options": {"movflags": "use_metadata_tags"}}
    path = write_video(tmp_path / "slow.mp4", moving_frames(12), fps=30, **tags)
    source = open_source(path)
    list(source.frames(lambda index: False, []))
    assert source.fps == 240 and source.times is not None
    assert source.times.rate(0, 10) == 240 and source.times.since_start_s(6) == 6 / 240
    note = "slow: stored at 30 fps and captured at 240 (com.android.capture.fps); taken at 240 fps"
    assert source.notes == [f"{note} (--fps says another rate)"]
    assert open_source(path, 120).fps == 120  # the user knows better
    real_time = open_source(write_video(tmp_path / "real.mp4", moving_frames(12), fps=240, **tags))
    assert real_time.fps == 240 and real_time.notes == []
