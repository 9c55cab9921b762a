"""A restored video keeps times, sound, rotation, pixel shape, colours and bits; every announced format works."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from core.video import VIDEO_SUFFIXES
from models import restore
from models.restored_video import restore_video
from tests.synth.clips import moving_frames, write_video

HEIGHT, WIDTH = 48, 64
TICKS = list(accumulate([640, 640, 96, 64, 96, 64, 640], initial=0))  # of 1/19200 s: 30 -> 240 -> 30 fps


def planes(number: int, pixels: str) -> list[np.ndarray]:
    """Smooth planes with values in the middle of the range, another brightness in every frame."""
    bits = 10 if "10" in pixels else 8
    across = np.linspace(60, 180, WIDTH)[None, :] + np.linspace(0, 30, HEIGHT)[:, None] + number
    colour = np.linspace(100, 150, WIDTH // 2)[None, :] + np.linspace(-10, 10, HEIGHT // 2)[:, None]
    scale = 2 ** (bits - 8)
    kind = np.uint8 if bits == 8 else np.dtype("<u2")
    return [np.rint(values * scale).astype(kind) for values in (across, colour, 250 - colour)]


def stored(frame: av.VideoFrame) -> list[np.ndarray]:
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        size = 2 if "10" in frame.format.name else 1
        found.append(rows[:, : plane.width * size].copy().view(np.uint8 if size == 1 else "<u2"))
    return found


def write_planes(
    path: Path,
    pixels: str = "yuv420p",
    *,
    codec: str = "libx264",
    tags: tuple[int, int, int, int] = (2, 2, 2, 0),
    shape: Fraction | None = None,
    turned: tuple[int, bool] = (0, False),
    sound: str = "",
    ticks: list[int] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """tags: matrix, primaries, transfer, range. turned: degrees counter-clockwise, then mirrored left to right."""
    with av.open(f"file:{path}", "w") as container:
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        lossy = {} if codec == "ffv1" else {"crf": "4"}
        made = container.add_stream(codec, rate=30, options={**lossy, **quiet, **(options or {})})
        made.width, made.height, made.pix_fmt = WIDTH, HEIGHT, pixels
        made.time_base = made.codec_context.time_base = Fraction(1, 19200)
        context = made.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        if shape:
            context.sample_aspect_ratio = shape
        if any(turned):
            made.set_display_rotation(turned[0], hflip=turned[1])
        if sound:
            tone = container.add_stream(sound, rate=48000, layout="mono")
            for number in range(12):
                wave = np.sin(np.arange(1024 * number, 1024 * (number + 1)) / 20)[None].astype(np.float32)
                samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                if sound.startswith("pcm"):
                    whole = np.rint(8000 * wave).astype(np.int16)
                    samples = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 48000, 1024 * number, Fraction(1, 48000)
                container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
        for number, pts in enumerate(ticks or TICKS):
            frame = av.VideoFrame(WIDTH, HEIGHT, pixels)
            for plane, values in zip(frame.planes, planes(number, pixels), strict=True):
                rows = np.zeros((plane.height, plane.line_size), np.uint8)
                rows[:, : values.nbytes // len(values)] = values.view(np.uint8)
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = pts, Fraction(1, 19200)
            frame.colorspace, frame.color_range = tags[0], tags[3]
            container.mux(made.encode(frame))
        container.mux(made.encode(None))
    return path


class Read:
    """What a video file holds."""

    def __init__(self, path: Path) -> None:
        with av.open(f"file:{path}") as container:
            self.stream = container.streams.video[0]
            self.shape = self.stream.sample_aspect_ratio
            self.codec = self.stream.codec_context.name
            self.metadata = container.metadata
            frames = list(container.decode(self.stream))
        self.times_s = [float(frame.pts * frame.time_base) for frame in frames]
        self.pixels, self.turned = frames[0].format.name, frames[0].rotation
        self.size = (frames[0].height, frames[0].width)
        first = frames[0]
        tags = (first.colorspace, first.color_primaries, first.color_trc, first.color_range)
        self.tags = tuple(int(tag) for tag in tags)
        self.planes = [stored(frame) for frame in frames]
        self.sound: list[bytes] = []
        self.sound_codec, self.sound_s = "", 0.0
        with av.open(f"file:{path}") as container:
            if container.streams.audio:
                tone = container.streams.audio[0]
                self.sound_codec = tone.codec_context.name
                self.sound = [bytes(packet) for packet in container.demux(tone) if packet.size]
        with av.open(f"file:{path}") as container:
            if container.streams.audio:
                self.sound_s = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))

    def difference(self, other: Read) -> float:
        """The largest mean difference of a plane, in 8-bit levels."""
        scale = 4 if "10" in self.pixels else 1
        pairs = zip(self.planes, other.planes, strict=True)
        return max(
            float(np.abs(a.astype(float) - b).mean()) / scale
            for one, two in pairs
            for a, b in zip(one, two, strict=True)
        )


def restored(source: Path, target: Path, *more: str) -> Read:
    assert restore.main(["--model", "identity", *more, str(source), str(target)]) == 0
    return Read(target)


@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_every_announced_format_is_written_and_read(tmp_path: Path, suffix: str) -> None:
    even = list(range(0, 8 * 640, 640))
    before = Read(write_planes(tmp_path / "in.mp4", sound="aac", ticks=even))
    after = restored(tmp_path / "in.mp4", tmp_path / f"out{suffix}")
    steps = np.diff(after.times_s) if suffix != ".avi" else [1 / 30]
    assert len(after.planes) == 8 and np.allclose(steps, 1 / 30, atol=0.0011)
    assert after.difference(before) < 0.7
    assert after.sound_codec == ("opus" if suffix == ".webm" else "aac")
    assert after.sound_s == pytest.approx(before.sound_s, abs=0.05)
    if suffix in (".mp4", ".mov", ".m4v", ".mkv"):
        assert after.sound == before.sound
    again = restored(tmp_path / f"out{suffix}", tmp_path / "again.mp4")
    assert len(again.planes) == 8 and again.difference(before) < 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".mts"])
def test_frames_keep_their_own_times(tmp_path: Path, suffix: str) -> None:
    source = write_planes(tmp_path / "in.mov")
    after = restored(source, tmp_path / f"out{suffix}")
    seconds = [(tick - TICKS[0]) / 19200 for tick in TICKS]
    assert np.allclose(np.array(after.times_s) - after.times_s[0], seconds, atol=0.0006)


def test_an_avi_cannot_hold_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_planes(tmp_path / "in.mov")
    assert restore.main(["--model", "identity", str(source), str(tmp_path / "out.avi")]) == 2
    error = capsys.readouterr().err
    assert "an AVI file has one rate; name an .mp4 file" in error and error.count("\n") == 1
    assert not (tmp_path / "out.avi").exists()


@pytest.mark.parametrize(
    "tags",
    [
        (2, 2, 2, 0),  # nothing is named
        (1, 1, 1, 1),  # BT.709
        (6, 6, 6, 1),  # BT.601
        (5, 5, 6, 2),  # BT.601, full range
        (1, 1, 13, 2),  # BT.709, full range, sRGB's curve
        (9, 9, 14, 1),  # BT.2020
    ],
)
def test_colours_and_their_tags_stay(tmp_path: Path, tags: tuple[int, int, int, int]) -> None:
    before = Read(write_planes(tmp_path / "in.mp4", tags=tags))
    after = restored(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert after.tags == before.tags == tags and after.difference(before) < 0.6


@pytest.mark.parametrize("pixels", ["yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "yuv422p10le"])
def test_sampling_range_and_bits_stay(tmp_path: Path, pixels: str) -> None:
    chroma = {"yuv422p": (HEIGHT, WIDTH // 2), "yuv444p": (HEIGHT, WIDTH)}.get(pixels)
    if chroma or pixels == "yuv422p10le":
        source = tmp_path / "in.mkv"
        with av.open(str(source), "w") as container:
            made = container.add_stream("ffv1", rate=30)
            made.width, made.height, made.pix_fmt = WIDTH, HEIGHT, pixels
            ramp = np.tile(np.linspace(40, 200, WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))
            for number in range(4):
                container.mux(made.encode(av.VideoFrame.from_ndarray(ramp + number, format="rgb24")))
            container.mux(made.encode(None))
    else:
        codec = "ffv1" if "10" in pixels else "libx264"
        source = write_planes(tmp_path / "in.mkv", pixels, codec=codec)
    before, after = Read(source), restored(source, tmp_path / "out.mp4")
    assert after.pixels == before.pixels == pixels or (pixels, after.tags[3]) == ("yuvj420p", 2)
    assert after.codec == ("hevc" if "10" in pixels else "h264") and after.difference(before) < 0.7


@pytest.mark.parametrize("pixels", ["bgr0", "gbrp10le", "gray", "gray10le", "yuv410p", "yuv444p12le", "yuva420p"])
def test_other_kinds_of_pixels(tmp_path: Path, pixels: str) -> None:
    """They look alike afterwards, to FFmpeg's own conversion."""
    ramp = np.tile(np.linspace(40, 200, WIDTH, dtype=np.uint8)[None, :, None], (HEIGHT, 1, 3))
    ramp[..., 1] = 90
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        made = container.add_stream("ffv1", rate=30)
        made.width, made.height, made.pix_fmt = WIDTH, HEIGHT, pixels
        for number in range(3):
            container.mux(made.encode(av.VideoFrame.from_ndarray(ramp + 5 * number, format="rgb24")))
        container.mux(made.encode(None))
    after = restored(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert after.pixels.endswith("10le") == (pixels in ("gbrp10le", "gray10le", "yuv444p12le"))
    with av.open(str(tmp_path / "in.mkv")) as one, av.open(str(tmp_path / "out.mp4")) as other:
        for before, now in zip(one.decode(video=0), other.decode(video=0), strict=True):
            pair = [frame.to_ndarray(format="rgb24").astype(float) for frame in (before, now)]
            assert np.abs(pair[0] - pair[1])[4:-4, 4:-4].mean() < 2.5


@pytest.mark.parametrize(("suffix", "codec"), [(".3gp", "aac"), (".webm", "opus"), (".mov", "pcm_s16le")])
def test_sound_that_a_format_does_not_take(
    tmp_path: Path, suffix: str, codec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Read(write_planes(tmp_path / "in.mkv", sound="pcm_s16le", ticks=list(range(0, 8 * 640, 640))))
    after = restored(tmp_path / "in.mkv", tmp_path / f"out{suffix}")
    assert after.sound_codec == codec and after.sound_s == pytest.approx(before.sound_s, abs=0.05)
    assert ("the sound is encoded again" in capsys.readouterr().err) == (suffix != ".mov")


def test_rotation_and_pixel_shape_stay(tmp_path: Path) -> None:
    before = Read(write_planes(tmp_path / "in.mp4", shape=Fraction(16, 11), turned=(90, False)))
    for suffix in (".mp4", ".mkv"):
        after = restored(tmp_path / "in.mp4", tmp_path / f"out{suffix}")
        assert (after.turned, after.shape, after.size) == (before.turned, Fraction(16, 11), (HEIGHT, WIDTH))
        assert after.difference(before) < 0.6
    upright = restored(tmp_path / "in.mp4", tmp_path / "out.ts")  # which cannot ask for a turn
    assert (upright.turned, upright.shape, upright.size) == (0, Fraction(11, 16), (WIDTH, HEIGHT))
    turned = np.rot90(before.planes[3][0], 1)
    assert np.abs(turned.astype(float) - upright.planes[3][0]).mean() < 1


QUIETLY = {"deinterlace": False, "shown": lambda items, total: items, "say": lambda text: None}


class Corner:
    """Paints a white corner, top left as it is displayed."""

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            painted = frame.clone()
            painted[:, :16, :16] = 1.0
            yield painted


@pytest.mark.parametrize("turned", [(90, False), (180, False), (270, False), (0, True), (90, True)])
def test_the_network_sees_the_picture_as_it_is_displayed(tmp_path: Path, turned: tuple[int, bool]) -> None:
    source = write_planes(tmp_path / "in.mp4", turned=turned)
    assert not restore_video(Corner(), source, tmp_path / "out.mp4", **QUIETLY)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    shown = np.rot90(frame.to_ndarray(format="gray"), turned[0] // 90)  # counter-clockwise
    shown = shown[:, ::-1] if turned[1] else shown
    assert shown[:14, :14].min() > 225 and shown[:14, 18:].max() < 235 and shown[18:, :14].max() < 235


def test_untagged_colours_are_those_that_players_show(tmp_path: Path) -> None:
    """A network that paints pure green: in BT.709, which players take for 1280 px, that is luma 173 of 16..235."""

    class Green:
        def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
            for frame in frames:
                yield torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand_as(frame)

    for width, luma in ((1280, 173), (640, 145)):
        with av.open(str(tmp_path / "in.mp4"), "w") as container:
            made = container.add_stream("libx264", rate=30)
            made.width, made.height, made.pix_fmt = width, 64, "yuv420p"
            grey = np.full((64, width, 3), 128, np.uint8)
            container.mux(made.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(made.encode(None))
        assert not restore_video(Green(), tmp_path / "in.mp4", tmp_path / "out.mp4", **QUIETLY)
        after = Read(tmp_path / "out.mp4")
        assert after.tags[0] == 2 and abs(int(after.planes[0][0][30, 300]) - luma) <= 1


@pytest.mark.parametrize(("transfer", "name"), [(18, "HLG"), (16, "PQ")])
def test_high_dynamic_range_stays(tmp_path: Path, transfer: int, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tags = (9, 9, transfer, 1)
    before = Read(write_planes(tmp_path / "in.mkv", "yuv420p10le", codec="libx265", tags=tags))
    after = restored(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert after.tags == before.tags == tags and after.pixels == "yuv420p10le" and after.difference(before) < 0.7
    assert f"the video is {name}" in capsys.readouterr().err
    assert restore.main(["--model", "identity", str(tmp_path / "in.mkv"), str(tmp_path / "out.webm")]) == 2
    assert f"{name} needs 10 bits" in capsys.readouterr().err


def test_what_webm_cannot_hold_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_planes(tmp_path / "wide.mp4", shape=Fraction(16, 11))
    assert restore.main(["--model", "identity", str(tmp_path / "wide.mp4"), str(tmp_path / "out.webm")]) == 2
    assert "the pixels are not square (16:11), which WebM does not say" in capsys.readouterr().err
    write_planes(tmp_path / "deep.mkv", "yuv420p10le", codec="ffv1")
    assert restored(tmp_path / "deep.mkv", tmp_path / "out.webm").pixels == "yuv420p"
    assert "more than 8 bits, and WebM is written with 8" in capsys.readouterr().err


def test_interlaced_video_is_refused_or_deinterlaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    source = write_planes(tmp_path / "in.mp4", options=options)
    assert restore.main(["--model", "identity", str(source), str(tmp_path / "out.mp4")]) == 2
    assert "the video is interlaced" in capsys.readouterr().err
    after = restored(source, tmp_path / "out.mp4", "--deinterlace")
    assert len(after.planes) == 8 and np.allclose(after.times_s, [tick / 19200 for tick in TICKS], atol=1e-4)


@pytest.mark.parametrize("name", ["10:30 clip.mp4", "100% %d.mp4", "Größe – ü 视频.mov", " space .mkv", "#1?a=b&c.mp4"])
def test_names_that_look_like_something_else(tmp_path: Path, name: str) -> None:
    source = write_planes(tmp_path / name)
    (tmp_path / "out:%03d").mkdir()
    assert len(restored(source, tmp_path / "out:%03d" / name).planes) == 8


def test_tags_of_slow_motion_stay(tmp_path: Path) -> None:

    tags = {"com.android.capture.fps": "240.0"}
    write_video(
        tmp_path / "in.mp4",
        moving_frames(4),
        fps=30,
        metadata=tags,
        container_options={"movflags": "use_metadata_tags"},
    )
    after = restored(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert after.metadata["com.android.capture.fps"] == "240.0"
