"""What phones and editors put around pixels: trailers, further pictures, orientation, colour profiles, EXIF."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from core.image_files import (
    IMAGE_SUFFIXES,
    image_size,
    is_whole,
    left_out,
    list_images,
    read_header,
    read_image,
    read_picture,
    write_image,
    write_picture,
)
from core.image_metadata import in_srgb, is_srgb, jpeg_end, upright

LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "BMP": {}}
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".webp": "WEBP", ".bmp": "BMP", ".avif": "AVIF"}
FORMATS |= {".heic": "HEIF"}
HELD = [suffix for suffix in FORMATS if suffix in IMAGE_SUFFIXES and suffix != ".bmp"]  # these hold a profile and EXIF
PRIMARIES = {  # x and y of red, green, blue
    "display-p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "srgb": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
}
# Pure colours of Display P3 and half-way ones in sRGB, relative colorimetric, cut off: worked out with the matrices.
WHITE = (0.3127, 0.3290)


def matrix(name: str) -> np.ndarray:
    """RGB to XYZ of a set of primaries with white D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in PRIMARIES[name]]).T
    white = np.array([WHITE[0] / WHITE[1], 1, (1 - WHITE[0] - WHITE[1]) / WHITE[1]])
    return columns * np.linalg.solve(columns, white)


def decode(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def display_p3() -> bytes:
    """A minimal matrix profile (ICC.1:2010): Display P3's primaries adapted to D50, sRGB's curve as a table."""
    bradford = np.array([[1.0479, 0.0229, -0.0502], [0.0296, 0.9904, -0.0171], [-0.0092, 0.0151, 0.7519]])
    columns = (bradford @ matrix("display-p3")).T

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(float(value)) for value in values)

    curve = np.rint(decode(np.linspace(0, 1, 1024)) * 65535).astype(">u2").tobytes()
    trc = b"curv\0\0\0\0" + struct.pack(">I", 1024) + curve
    text = b"desc\0\0\0\0" + struct.pack(">I", 11) + b"Display P3\0" + bytes(78) + bytes(1)
    tags = [(b"desc", text), (b"wtpt", xyz(np.array([0.9642, 1.0, 0.8249])))]
    tags += [(name, xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tags += [(name, trc) for name in (b"rTRC", b"gTRC", b"bTRC")]
    table, content, place = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags:
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", place + len(content), len(value))
        content += value
    header = struct.pack(">I4sI4s4s4s", 0, b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header += bytes(28) + xyz(np.array([0.9642, 1.0, 0.8249]))[8:] + bytes(48)
    data = header[:128] + table + content
    return struct.pack(">I", len(data)) + data[4:]


def arrow() -> np.ndarray:
    """A picture whose four corners differ, so that every orientation shows. Shape: [48, 64, 3] uint8."""
    picture = np.full((48, 64, 3), 90, np.uint8)
    picture[:16, :16], picture[:16, -16:], picture[-16:, :16] = (220, 40, 40), (40, 220, 40), (40, 40, 220)
    return picture


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112], made[0x010F], made[0x0132] = orientation, "Maker", "2024:05:06 07:08:09"
    made[0x8769] = {0x829A: 0.004, 0xA002: 64, 0xA003: 48}  # exposure time, width, height
    made[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    return made


def as_displayed(picture: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF's own words (CIPA DC-008, 4.6.4): where row 0 and column 0 are seen."""
    return {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.swapaxes(0, 1),
        6: np.rot90(picture, -1),
        7: np.rot90(picture, -1)[::-1],
        8: np.rot90(picture, 1),
    }[orientation]


@pytest.mark.parametrize("suffix", HELD)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_every_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".heic":
        read_header_of_nothing()
    options = LOSSLESS.get(FORMATS[suffix], {"quality": 95})
    Image.fromarray(arrow()).save(path, FORMATS[suffix], exif=exif(orientation).tobytes(), **options)
    wanted = as_displayed(arrow(), orientation)
    if suffix == ".heic":
        with Image.open(path) as image:  # the plug-in carries it out where the file says it in HEIC's own way
            wanted = as_displayed(np.asarray(image), image.getexif().get(0x0112, 1))
    found = read_image(path)
    assert found.shape == wanted.shape == (*image_size(path), 3)
    assert np.abs(found.astype(int) - wanted).mean() < (1 if FORMATS[suffix] in LOSSLESS else 8)
    picture = read_picture(path)
    assert np.array_equal(picture.rgb, found)
    for target in HELD:
        write_picture(tmp_path / f"out{target}", picture.rgb / np.float32(255), picture)
        with Image.open(tmp_path / f"out{target}") as image:
            kept = image.getexif()
            assert image.size == (found.shape[1], found.shape[0])
            assert kept.get(0x0112, 1) == 1 and kept[0x010F] == "Maker"
            camera = kept.get_ifd(0x8769)
            assert camera[0x829A] == pytest.approx(0.004) and (camera[0xA002], camera[0xA003]) == image.size
            assert kept.get_ifd(0x8825)[1] == "N"
        assert np.abs(read_image(tmp_path / f"out{target}").astype(int) - found).mean() < 8


def read_header_of_nothing() -> None:
    """Makes Pillow's plug-ins known, as reading any such file does."""
    from core.image_files import _pillow_plug_ins

    _pillow_plug_ins()


def test_upright_by_all_numbers() -> None:
    for orientation in range(1, 9):
        assert np.array_equal(upright(arrow(), orientation), as_displayed(arrow(), orientation))
        assert np.array_equal(upright(arrow()[..., 0], orientation), as_displayed(arrow()[..., 0], orientation))


def test_png_with_its_orientation_after_the_pixels(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(arrow()).save(buffer, "PNG")
    data = buffer.getvalue()
    content = exif(6).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content + struct.pack(">I", zlib.crc32(b"eXIf" + content))
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert image_size(tmp_path / "a.png") == (64, 48)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(arrow(), -1))


def jpeg(picture: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    "trailer",
    [
        b"",
        b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
        b"\xff\xda\xff\xc0\xff\xd8 marker bytes without any sense",
        b"\xff\xda" * 50,
        b"SEFT" + bytes(100),
    ],
)
def test_whatever_follows_the_first_picture(tmp_path: Path, progressive: bool, trailer: bytes) -> None:
    plain = jpeg(arrow(), progressive=progressive, exif=exif(6))
    (tmp_path / "plain.jpg").write_bytes(plain)
    (tmp_path / "a.jpg").write_bytes(plain + trailer)
    assert jpeg_end(plain + trailer) == len(plain) and is_whole(tmp_path / "a.jpg")
    assert np.array_equal(read_image(tmp_path / "a.jpg"), read_image(tmp_path / "plain.jpg"))
    assert read_image(tmp_path / "a.jpg").shape == (64, 48, 3)
    (tmp_path / "cut.jpg").write_bytes(plain[: len(plain) * 2 // 3] + trailer)
    assert not is_whole(tmp_path / "cut.jpg") or b"\xff\xd9" in trailer
    with pytest.raises(ValueError, match=r"cut\.jpg.*damaged"):
        read_image(tmp_path / "cut.jpg")


def test_a_small_picture_inside_exif_is_not_the_end(tmp_path: Path) -> None:
    small = jpeg(arrow()[:16, :16])
    segment = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + small
    whole = jpeg(arrow())
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]
    assert jpeg_end(data) == len(data)
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.array_equal(read_image(tmp_path / "a.jpg"), cv2.imdecode(np.frombuffer(whole, np.uint8), 1)[..., ::-1])


def test_multi_picture_jpeg(tmp_path: Path) -> None:
    """The first picture, with its orientation, and no profile of the second."""
    first, second = Image.fromarray(arrow()), Image.fromarray(arrow()[:24, :32] // 2)
    first.save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=[second], exif=exif(6), quality=95)
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    found = read_image(tmp_path / "a.jpg")
    assert found.shape == (64, 48, 3) and np.abs(found.astype(int) - np.rot90(arrow(), -1)).mean() < 8


def test_profiles_are_carried(tmp_path: Path) -> None:
    icc = display_p3()
    for suffix in HELD:
        read_header_of_nothing()
        options = LOSSLESS.get(FORMATS[suffix], {"quality": 95})
        Image.fromarray(arrow()).save(tmp_path / f"a{suffix}", FORMATS[suffix], icc_profile=icc, **options)
        picture = read_picture(tmp_path / f"a{suffix}")
        assert picture.icc == icc
        for target in HELD:
            write_picture(tmp_path / f"b{target}", picture.rgb / np.float32(255), picture)
            with Image.open(tmp_path / f"b{target}") as image:
                assert image.info["icc_profile"] == icc
    write_picture(tmp_path / "b.bmp", picture.rgb / np.float32(255), picture)  # which holds none: as sRGB
    assert np.array_equal(read_image(tmp_path / "b.bmp"), in_srgb(picture.rgb, icc))
    deep = picture.__class__(rgb=picture.rgb.astype(np.uint16) * 257, alpha=None, grey=False, icc=icc)
    for target in (".png", ".tif"):
        write_picture(tmp_path / f"deep{target}", deep.rgb / np.float32(65535), deep)
        again = read_picture(tmp_path / f"deep{target}")
        assert again.icc == icc and np.array_equal(again.rgb, deep.rgb)


def test_a_long_profile_takes_several_segments(tmp_path: Path) -> None:
    icc = display_p3()
    padded = struct.pack(">I", 150_000) + icc[4:] + bytes(150_000 - len(icc))
    picture = read_picture_of(tmp_path, arrow(), padded)
    write_picture(tmp_path / "b.jpg", picture.rgb / np.float32(255), picture)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["icc_profile"] == padded


def read_picture_of(folder: Path, values: np.ndarray, icc: bytes):
    Image.fromarray(values).save(folder / "profile.png", icc_profile=icc)
    return read_picture(folder / "profile.png")


def test_display_p3_becomes_srgb(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [200, 100, 50], [60, 180, 70], [128, 128, 128]]], np.uint8).repeat(8, axis=0)
    to_srgb = np.linalg.solve(matrix("srgb"), matrix("display-p3"))
    wanted = encode(decode(colours / 255) @ to_srgb.T) * 255
    assert np.abs(in_srgb(colours, display_p3()).astype(float) - wanted).max() <= 2.0
    assert np.abs(wanted - colours).max() > 10  # what is wrong by if the profile is overlooked
    Image.fromarray(colours).save(tmp_path / "a.png", icc_profile=display_p3())
    assert np.array_equal(read_image(tmp_path / "a.png"), colours)  # as stored, unless asked
    assert np.abs(read_image(tmp_path / "a.png", convert=True) - wanted).max() <= 2.0
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert is_srgb(own) and not is_srgb(display_p3()) and is_srgb(b"damaged")
    Image.fromarray(colours).save(tmp_path / "b.png", icc_profile=own)
    assert np.array_equal(read_image(tmp_path / "b.png", convert=True), colours)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_announced_format_is_written_and_read(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", arrow())
    assert write_image(tmp_path / f"b{suffix}", arrow()) == write_image(tmp_path / f"a{suffix}", arrow())
    found = read_image(tmp_path / f"a{suffix}")
    assert np.abs(found.astype(int) - arrow()).mean() < 8 and read_header(tmp_path / f"a{suffix}").colour
    assert list_images(tmp_path)[0].name == f"a{suffix}"


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG"), (13, ""), (1, "")])
def test_an_image_of_high_dynamic_range_is_not_taken_for_srgb(tmp_path: Path, curve: int, name: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(arrow()).save(buffer, "PNG")
    content = bytes([9, curve, 0, 1])
    chunk = struct.pack(">I", 4) + b"cICP" + content + struct.pack(">I", zlib.crc32(b"cICP" + content))
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:33] + chunk + buffer.getvalue()[33:])
    paths = [tmp_path / "a.png"]
    if ".avif" in IMAGE_SUFFIXES:
        write_image(tmp_path / "b.avif", arrow())
        data = (tmp_path / "b.avif").read_bytes()
        place = data.index(b"colrnclx") + 10
        (tmp_path / "b.avif").write_bytes(data[:place] + struct.pack(">H", curve) + data[place + 2 :])
        paths.append(tmp_path / "b.avif")
    for path in paths:
        if name:
            with pytest.raises(ValueError, match=f"the values of the image are {name}, of high dynamic range"):
                read_picture(path)
        else:
            assert read_picture(path).rgb.shape == arrow().shape


def test_deep_and_grey_tiff(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.tif"), deep[..., ::-1])
    assert read_header(tmp_path / "deep.tif").deep_colour
    assert np.array_equal(read_image(tmp_path / "deep.tif", deep=True), deep)
    with pytest.raises(ValueError, match=r"16-bit rgb"):
        read_image(tmp_path / "deep.tif")
    cv2.imwrite(str(tmp_path / "grey.tif"), deep[..., 0])
    picture = read_picture(tmp_path / "grey.tif")
    assert picture.grey and np.array_equal(picture.rgb[..., 1], deep[..., 0])
    write_picture(tmp_path / "again.tif", picture.rgb / np.float32(65535), picture)
    assert np.array_equal(cv2.imread(str(tmp_path / "again.tif"), cv2.IMREAD_UNCHANGED), deep[..., 0])


@pytest.mark.parametrize("kind", ["CMYK", "pages", "animated"])
def test_what_is_refused(tmp_path: Path, kind: str) -> None:
    picture = Image.fromarray(arrow())
    if kind == "CMYK":
        path, sentence = tmp_path / "a.jpg", "this one is CMYK; convert it to RGB first"
        picture.convert("CMYK").save(path)
    elif kind == "pages":
        path, sentence = tmp_path / "a.tif", "the file holds 2 pictures"
        picture.save(path, save_all=True, append_images=[picture])
    else:
        path, sentence = tmp_path / "a.webp", "the file holds 2 pictures"
        picture.save(path, save_all=True, append_images=[Image.fromarray(arrow()[::-1])])
    with pytest.raises(ValueError, match=sentence) as caught:
        read_picture(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_folder_leaves_out_is_named(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "notes.txt", "clip.mp4", ".DS_Store", "raw.DNG"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "more").mkdir()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.PNG", "b.jpg"]
    said = left_out(tmp_path)
    assert any(
        "notes.txt" in line and "clip.mp4" in line and "no image of a kind that is read" in line for line in said
    )
    assert any("a folder: folder.png, more" in line for line in said)
    assert any("a raw photograph, to be developed first: raw.DNG" in line for line in said)
    assert any("a hidden file: .DS_Store" in line for line in said)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    whole = jpeg(arrow())
    for number, content in enumerate(
        (b"Exif\0\0garbage!", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    ):
        segment = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(whole[:2] + segment + whole[2:])
        picture = read_picture(path)
        assert picture.rgb.shape == (48, 64, 3)
        write_picture(tmp_path / "out.jpg", picture.rgb / np.float32(255), picture)
        assert read_image(tmp_path / "out.jpg").shape == (48, 64, 3)
