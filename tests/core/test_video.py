"""Sources of frames: folders, video files of several kinds, rendered scenes; and what can be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from core.camera_response import response, to_8bit
from core.image_files import write_image
from core.video import VideoSource, every_frame, open_source
from synth.scenes import SceneFrames
from tests.synth.clips import HEIGHT, WIDTH, decoded, moving_frames, write_frames, write_video


def all_frames(source: VideoSource) -> tuple[list[np.ndarray], list[str]]:
    problems: list[str] = []
    frames = [frame for frame in source.frames(every_frame, problems) if frame is not None]
    return frames, problems


def test_folder_of_frames_in_natural_order(tmp_path: Path) -> None:
    frames = moving_frames(12)
    source = open_source(write_frames(tmp_path / "clip", frames), fps=120)
    found, problems = all_frames(source)
    assert not problems and source.frame_count == 12 and source.fps == 120
    assert all(np.array_equal(one, other) for one, other in zip(found, frames, strict=True))
    assert (source.name, source.height, source.width) == ("clip", HEIGHT, WIDTH)
    assert open_source(tmp_path / "clip").fps is None


def test_frames_nobody_wants_are_not_read(tmp_path: Path) -> None:
    source = open_source(write_frames(tmp_path / "clip", moving_frames(5)))
    (tmp_path / "clip" / "frame_2.png").unlink()  # reading it would break the stream
    problems: list[str] = []
    found = list(source.frames(lambda index: index != 2, problems))
    assert [frame is None for frame in found] == [False, False, True, False, False] and not problems


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "libx265"), ("a.avi", "libx264"), ("a.mkv", "libx264"), ("b.mkv", "libx265")],
)
def test_video_files(tmp_path: Path, name: str, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else None
    path = write_video(tmp_path / name, moving_frames(20), codec=codec, options=options)
    source = open_source(path)
    found, problems = all_frames(source)
    expected = decoded(path)
    assert not problems and source.fps == pytest.approx(240) and len(found) == 20
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert (
        np.abs(np.stack(found).astype(float) - np.stack(moving_frames(20))).mean() < 6
    )  # chroma is at half resolution
    assert open_source(path, fps=30).fps == 30


@pytest.mark.parametrize("fps", [24, 30, 60, 120, 240])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_frames_of_a_constant_rate_are_even(tmp_path: Path, fps: int, suffix: str) -> None:
    """Also where times are rounded to whole milliseconds (mkv)."""
    source = open_source(write_video(tmp_path / f"a{suffix}", moving_frames(20), fps=fps))
    all_frames(source)
    assert source.times is not None and source.times.uneven_after(0, 19) == []
    assert source.times.rate(0, 19) == source.fps == fps and source.times.since_start_s(7) == 7 / fps
    assert not open_source(tmp_path / f"a{suffix}", fps).taken_as_even


def test_dropped_frames_are_noticed(tmp_path: Path) -> None:
    ticks = [index + 2 * (index > 8) for index in range(20)]  # two frames are lost
    path = write_video(tmp_path / "a.mkv", moving_frames(20), ticks=ticks, time_base=Fraction(1, 240))
    source = open_source(path)
    all_frames(source)
    assert source.times is not None and source.times.uneven_after(0, 19) == [8]
    assert source.times.uneven_after(0, 8) == source.times.uneven_after(9, 19) == []
    assert source.times.rate(9, 19) == pytest.approx(240, rel=0.02)  # times are rounded to whole milliseconds
    even = open_source(path, 240)  # who says the rate says that it is even
    all_frames(even)
    assert even.taken_as_even and even.times is None and "uneven" in even.notes[0]


def test_a_grey_video_only_where_it_will_do(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving_frames(3), codec="ffv1", pixels="gray", options={})
    with pytest.raises(ValueError, match="this one is grey"):
        open_source(path)
    found, _ = all_frames(open_source(path, grey=True))
    assert len(found) == 3 and np.array_equal(found[0][..., 0], found[0][..., 2])


def test_colour_matrix_of_the_stream_is_used(tmp_path: Path) -> None:
    """A saturated colour comes back whichever matrix the stream names; the wrong one is off by 10 levels and more."""
    frame = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    frame[:] = (20, 200, 60)
    for bt709 in (False, True):
        path = write_video(tmp_path / f"{bt709}.mp4", [frame] * 3, bt709=bt709)
        found, _ = all_frames(open_source(path))
        assert np.abs(found[1].astype(int) - frame).max() <= 4


def test_rotation_in_the_container_is_carried_out(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving_frames(3))
    data = path.read_bytes()
    unit, zero, minus = bytes.fromhex("00010000"), bytes(4), bytes.fromhex("ffff0000")
    identity = unit + zero * 3 + unit + zero * 3 + bytes.fromhex("40000000")
    # The track header's matrix: turn by 90 degrees clockwise to view.
    clockwise = zero + unit + zero + minus + zero * 4 + bytes.fromhex("40000000")
    place = data.index(identity, data.index(b"tkhd"))
    (tmp_path / "turned.mp4").write_bytes(data[:place] + clockwise + data[place + len(identity) :])
    source = open_source(tmp_path / "turned.mp4")
    found, _ = all_frames(source)
    assert (source.height, source.width) == (WIDTH, HEIGHT)
    assert np.array_equal(found[0], np.rot90(decoded(path)[0], -1))


@pytest.mark.parametrize("kind", ["faststart.mp4", "a.mkv", "a.avi"])
def test_truncated_video_gives_its_good_frames_and_one_sentence(tmp_path: Path, kind: str) -> None:
    options = {"g": "10"}
    whole = write_video(
        tmp_path / kind,
        moving_frames(60),
        options=options,
        container_options={"movflags": "faststart"} if kind.endswith("mp4") else None,
    )
    expected = decoded(whole)
    data = whole.read_bytes()
    cut = tmp_path / f"cut-{kind}"
    cut.write_bytes(data[: len(data) * 6 // 10])
    found, problems = all_frames(open_source(cut))
    assert 10 < len(found) < 57
    assert all(np.array_equal(one, other) for one, other in zip(found, expected[: len(found)], strict=True))
    assert len(problems) == 1 and f"cut-{kind}: the video breaks off after {len(found)} frames" in problems[0]


def test_damaged_frame_in_a_folder_ends_the_stream(tmp_path: Path) -> None:
    source = open_source(write_frames(tmp_path / "clip", moving_frames(6)))
    path = tmp_path / "clip" / "frame_4.png"
    path.write_bytes(path.read_bytes()[:-100])
    found, problems = all_frames(source)
    assert len(found) == 4 and len(problems) == 1 and "frame_4.png" in problems[0]


def broken_source(folder: Path, kind: str) -> Path:
    """A source that must be refused, of the given kind."""
    folder.mkdir(exist_ok=True)
    frames = moving_frames(4)
    if kind == "text":
        (folder / "a.mp4").write_text("not a video\n" * 50)
    elif kind == "empty file":
        (folder / "a.mp4").write_bytes(b"")
    elif kind == "cut before its index":
        data = write_video(folder / "a.mp4", frames).read_bytes()
        (folder / "a.mp4").write_bytes(data[: len(data) // 2])
    elif kind == "grey video":
        grey = [np.repeat(frame[..., :1], 3, axis=2) for frame in frames]
        write_video(folder / "a.mkv", grey, codec="ffv1", pixels="gray")
        return folder / "a.mkv"
    elif kind == "sound only":
        with av.open(str(folder / "a.mp4"), "w") as container:
            sound = container.add_stream("aac", rate=48000)
            for _ in range(4):
                samples = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
                )
                samples.sample_rate = 48000
                container.mux(sound.encode(samples))
            container.mux(sound.encode())
    elif kind == "zero frames":
        write_video(folder / "a.mkv", frames[:1], codec="ffv1", pixels="bgr0")
        data = (folder / "a.mkv").read_bytes()
        cluster = data.index(bytes.fromhex("1f43b675"))
        (folder / "a.mkv").write_bytes(data[:cluster])
        return folder / "a.mkv"
    return folder / "a.mp4"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "not a video"),
        ("empty file", "not a video"),
        ("cut before its index", "cut short"),
        ("grey video", "grey"),
        ("sound only", "no video in this file"),
        ("zero frames", "no frames|not a video"),
        ("missing", "no such video file"),
    ],
)
def test_sources_that_are_refused(tmp_path: Path, kind: str, reason: str) -> None:
    path = tmp_path / "nowhere.mp4" if kind == "missing" else broken_source(tmp_path / "sources", kind)
    with pytest.raises(ValueError, match=reason) as caught:
        open_source(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: the folder has no frames"):
        open_source(tmp_path / "empty")
    frames = moving_frames(3)
    write_frames(tmp_path / "mixed", frames)
    write_image(tmp_path / "mixed" / "frame_7.png", frames[0][:-2])
    with pytest.raises(ValueError, match=r"frame_7\.png: the frame is 96x70, but frame_0\.png is 96x72"):
        open_source(tmp_path / "mixed")
    write_frames(tmp_path / "grey", frames)
    cv2.imwrite(str(tmp_path / "grey" / "frame_1.png"), frames[0][..., 0])
    with pytest.raises(ValueError, match=r"frame_1\.png.*grey"):
        open_source(tmp_path / "grey")
    write_frames(tmp_path / "text", frames)
    (tmp_path / "text" / "frame_2.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"frame_2\.png.*not an image"):
        open_source(tmp_path / "text")


@dataclass(frozen=True)
class Ramp:
    """A scene whose frames are flat: light grows with time."""

    name: str = "ramp"
    height: int = 8
    width: int = 6
    virtual_fps: float = 3840.0

    def frame_lin(self, index: float) -> np.ndarray:
        return np.full((self.height, self.width, 3), index / 160, dtype=np.float32)


@dataclass(frozen=True)
class RampClip:
    scene: Ramp = Ramp()
    frame_count: int = 11
    fps: float = 240.0


def test_rendered_scene_is_sampled_and_its_truth_is_the_trapezoid_sum() -> None:
    source = SceneFrames(RampClip(), response("srgb"))  # type: ignore[arg-type]
    found, problems = all_frames(source)
    assert len(found) == 11 and not problems and source.fps == 240
    levels = [
        to_8bit(response("srgb").to_encoded(np.array([[index / 10]], dtype=np.float32)))[0, 0] for index in range(11)
    ]
    assert [frame[0, 0, 0] for frame in found] == levels
    assert source.truth_weight == 16
    assert source.truth_lin(3) / 16 == pytest.approx(np.full((8, 6, 3), 3.5 / 10), abs=1e-6)
