"""Planes and RGB: the matrices and ranges of H.273 on known colours, and the way there and back."""

from __future__ import annotations

import av
import numpy as np
import pytest

from core.video import colour_matrix, open_source
from core.video import to_rgb as video_rgb
from core.video_colour import Coding, coding_of, from_rgb, planes_of, rounded, to_frame, to_rgb
from tests.synth.clips import write_video

# Pure red in 8 bits: luma, blue difference, red difference (H.273, equations 11 to 40, worked out by hand).
RED = {
    (5, False): (81, 90, 240),
    (1, False): (63, 102, 240),
    (9, False): (74, 97, 240),
    (5, True): (76, 85, 255),
    (1, True): (54, 99, 255),
}


@pytest.mark.parametrize(("matrix", "full"), RED)
@pytest.mark.parametrize("bits", [8, 10])
def test_red(matrix: int, full: bool, bits: int) -> None:
    coding = Coding(matrix=matrix, full=full, bits=bits, across=2, down=2)
    red = np.zeros((4, 6, 3), np.float32)
    red[..., 0] = 1
    planes = rounded(from_rgb(red, coding), bits, bits)
    assert [plane.shape for plane in planes] == [(4, 6), (2, 3), (2, 3)]
    found = [int(plane[1, 1]) / 2 ** (bits - 8) for plane in planes]
    assert np.allclose(found, RED[matrix, full], atol=1.0)
    assert np.abs(to_rgb(planes, coding) - red).max() < 0.012


@pytest.mark.parametrize("across_down", [(2, 2), (2, 1), (1, 1)])
@pytest.mark.parametrize("full", [False, True])
def test_there_and_back(across_down: tuple[int, int], full: bool) -> None:
    """Smooth colours survive; grey is exact at any sampling."""
    coding = Coding(matrix=1, full=full, bits=10, across=across_down[0], down=across_down[1])
    across, down = np.meshgrid(np.linspace(0.3, 0.6, 32), np.linspace(0.3, 0.7, 24))
    rgb = np.dstack([across, down, 1 - across]).astype(np.float32)
    assert np.abs(to_rgb(from_rgb(rgb, coding), coding) - rgb)[2:-2, 2:-2].max() < 0.003
    grey = np.repeat(across[..., None], 3, axis=2).astype(np.float32)
    assert np.abs(to_rgb(from_rgb(grey, coding), coding) - grey).max() < 1e-5


def test_a_frame_of_planes_is_read_again() -> None:
    coding = Coding(matrix=9, full=True, bits=10, across=2, down=1)
    values = np.arange(12 * 20).reshape(12, 20).astype(np.uint16)
    frame = to_frame([values, values[:, :10], values[:, 10:]], coding)
    assert coding_of(frame) == coding and frame.format.name == "yuv422p10le"
    assert np.array_equal(planes_of(frame, coding)[2], values[:, 10:])


@pytest.mark.parametrize(("width", "height", "matrix"), [(1280, 64, 1), (1278, 576, 5), (720, 578, 1), (64, 64, 5)])
def test_the_matrix_that_players_take(width: int, height: int, matrix: int) -> None:
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.colorspace = 2
    assert colour_matrix(frame) == matrix
    frame.colorspace = 9
    assert colour_matrix(frame) == 9


def test_untagged_video_of_that_size_is_decoded_with_it(tmp_path) -> None:
    """Green of BT.709 (173, 42, 26) in an untagged file of 1280 px comes out as pure green."""
    green = np.zeros((64, 1280, 3), np.uint8)
    green[..., 1] = 255
    named = write_video(tmp_path / "named.mp4", [green] * 2, bt709=True)
    with av.open(str(named)) as container:
        frame = next(container.decode(video=0))
    assert [int(np.frombuffer(memoryview(plane), np.uint8)[40]) for plane in frame.planes] == [173, 42, 26]
    frame.colorspace = 2
    assert np.abs(video_rgb(frame)[30, 640].astype(int) - (0, 255, 0)).max() <= 3
    frame.colorspace = 5
    assert np.abs(video_rgb(frame)[30, 640].astype(int) - (0, 255, 0)).max() > 10
    with av.open(str(tmp_path / "plain.mp4"), "w") as container:
        made = container.add_stream("libx264", rate=240, options={"crf": "4"})
        made.width, made.height, made.pix_fmt = 1280, 64, "yuv420p"
        picture = av.VideoFrame.from_ndarray(green, format="rgb24").reformat(format="yuv420p", dst_colorspace="itu709")
        picture.colorspace = 2
        container.mux([*made.encode(picture), *made.encode(None)])
    source = open_source(tmp_path / "plain.mp4")
    (found,) = source.frames(lambda index: True, [])
    assert found is not None and np.abs(found[30, 640].astype(int) - (0, 255, 0)).max() <= 4
