"""Reading and writing images: what is accepted, what is refused and how, and the natural order of names."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from core.image_files import (
    encode_png,
    image_size,
    list_images,
    natural_sorted,
    read_image,
    read_picture,
    write_image,
    write_picture,
)
from core.random_streams import stream


def picture(height: int = 23, width: int = 31) -> np.ndarray:
    return stream(1, "picture").integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_png_comes_back_bit_for_bit_in_rgb_order(tmp_path: Path) -> None:
    image = picture()
    image[..., 0], image[..., 2] = 200, 10  # red, so that a swapped order shows
    digest = write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)
    assert image_size(tmp_path / "a.png") == (23, 31)
    assert write_image(tmp_path / "b.png", image) == digest
    assert (tmp_path / "a.png").read_bytes() == encode_png(image)


def test_jpeg_is_close_and_red_stays_red(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[..., 0] = 220
    write_image(tmp_path / "a.jpg", image)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() <= 4


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path: Path) -> None:
    image = picture()
    alpha = np.full((23, 31, 1), 255, dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "opaque.png"), np.concatenate([image[..., ::-1], alpha], axis=2))
    assert np.array_equal(read_image(tmp_path / "opaque.png"), image)
    alpha[3, 4] = 254
    cv2.imwrite(str(tmp_path / "holes.png"), np.concatenate([image[..., ::-1], alpha], axis=2))
    with pytest.raises(ValueError, match=r"holes\.png.*transparent"):
        read_image(tmp_path / "holes.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"whole{suffix}", picture(64, 48))
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ValueError, match=f"cut{suffix}.*damaged"):
        read_image(tmp_path / f"cut{suffix}")


def test_jpeg_orientation_tag_is_honoured(tmp_path: Path) -> None:
    image = cv2.resize(picture(4, 6), (96, 64), interpolation=cv2.INTER_NEAREST)
    write_image(tmp_path / "plain.jpg", image)
    data = (tmp_path / "plain.jpg").read_bytes()
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # 6: turn by 90 degrees clockwise to view
    segment = b"Exif\0\0" + tiff
    tagged = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    (tmp_path / "tagged.jpg").write_bytes(tagged)
    assert image_size(tmp_path / "tagged.jpg") == (96, 64)
    assert np.array_equal(read_image(tmp_path / "tagged.jpg"), np.rot90(read_image(tmp_path / "plain.jpg"), -1))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.png", b"this is no image", "not an image"),
        ("empty.jpg", b"", "empty"),
        ("grey.png", cv2.imencode(".png", picture()[..., 0])[1].tobytes(), "8-bit grey"),
        ("grey.jpg", cv2.imencode(".jpg", picture()[..., 0])[1].tobytes(), "8-bit grey"),
        ("deep.png", cv2.imencode(".png", picture().astype(np.uint16) * 257)[1].tobytes(), "16-bit rgb"),
    ],
)
def test_what_is_not_an_8_bit_colour_image_is_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.*{reason}"):
        read_image(tmp_path / name)


def test_arrays_that_are_no_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        encode_png(np.zeros((4, 4, 3), dtype=np.float32))
    with pytest.raises(ValueError, match=r"\.png"):
        write_image(tmp_path / "a.gif", picture())


def test_natural_order(tmp_path: Path) -> None:
    names = ["frame_10.png", "frame_2.png", "frame_1.JPG", ".hidden.png", "notes.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in list_images(tmp_path)] == ["frame_1.JPG", "frame_2.png", "frame_10.png"]
    assert [str(path) for path in natural_sorted([Path("b/2"), Path("a10"), Path("a9"), Path("b/1")])] == [
        "a9",
        "a10",
        "b/1",
        "b/2",
    ]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", ["grey", "colour", "transparent", "grey and transparent"])
def test_a_picture_is_written_as_it_was_saved(tmp_path: Path, kind: type, channels: str) -> None:
    values = stream(2, "picture").integers(0, np.iinfo(kind).max + 1, (23, 31, 4), dtype=kind)
    if channels == "grey":
        values = values[..., 0]
    elif channels == "colour":
        values = values[..., :3]
    elif channels == "grey and transparent":
        values[..., 1] = values[..., 2] = values[..., 0]
    cv2.imwrite(str(tmp_path / "a.png"), values)
    if channels == "grey and transparent" and kind is np.uint8:
        PilImage.fromarray(values[..., [0, 3]], mode="LA").save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    assert found.rgb.dtype == kind and found.levels == np.iinfo(kind).max
    assert (found.alpha is None) == ("transparent" not in channels)
    write_picture(tmp_path / "b.png", found.rgb.astype(np.float32) / found.levels, found)
    assert np.array_equal(cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED), values)
    if found.alpha is not None:
        with pytest.raises(ValueError, match=r"c\.jpg: .* a JPEG cannot be transparent"):
            write_picture(tmp_path / "c.jpg", found.rgb / found.levels, found)
        write_picture(tmp_path / "twice.png", np.zeros((46, 62, 3), np.float32), found)
        assert cv2.imread(str(tmp_path / "twice.png"), cv2.IMREAD_UNCHANGED).shape == (46, 62, 4)
    else:
        write_picture(tmp_path / "c.jpg", found.rgb.astype(np.float32) / found.levels, found)
        assert read_picture(tmp_path / "c.jpg").grey == (channels == "grey")


def test_the_header_of_a_very_large_image_warns_of_nothing(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path, data = tmp_path / "large.png", bytearray(encode_png(picture()))
    data[16:24] = struct.pack(">II", 40_000, 40_000)  # width and height in IHDR, and its checksum
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    assert image_size(path) == (40_000, 40_000) and not recwarn.list
    with pytest.raises(ValueError, match="40000 x 40000 px is more than can be decoded"):
        read_image(path)
