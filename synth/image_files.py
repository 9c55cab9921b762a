"""Image files: the one place that reads and writes them (OpenCV's BGR order stays inside). A path may go through a tar
shard (`synth.shards`).

Only 8-bit colour PNG and JPEG are accepted, and 16-bit colour PNG where the caller says so; everything else is refused
with one sentence that names the file.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from synth import atomic, shards

# Errors only: what OpenCV warns about is said here, in one sentence with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
JPEG_QUALITY = 95

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ORIENTATION_TAG = 0x0112
_MODE_NAMES = {
    "RGB": "rgb",
    "RGBA": "rgb with alpha",
    "P": "palette",
    "L": "grey",
    "1": "grey",
    "LA": "grey with alpha",
    "I;16": "grey",
}


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What an image file says about itself before its pixels are decoded. height and width are as displayed."""

    height: int
    width: int
    bits: int
    mode: str  # "rgb", "rgb with alpha", "palette", "grey", or Pillow's name of anything else

    @property
    def colour(self) -> bool:
        return self.bits == 8 and self.mode in ("rgb", "rgb with alpha", "palette")

    @property
    def deep_colour(self) -> bool:
        """16-bit RGB, which only a PNG can hold."""
        return self.bits == 16 and self.mode == "rgb"


def read_header(path: Path) -> ImageHeader:
    """Size and mode of a PNG or JPEG file from its header; the pixels are not read.

    Errors: ValueError naming the file (not an image, damaged); OSError if it cannot be opened.
    """
    if shards.inside_shard(path):
        return _parse_header(Path(path), io.BytesIO(shards.read_bytes(path)))
    with open(path, "rb") as stream:
        return _parse_header(Path(path), stream)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header. Units: px. Errors: as `read_header`."""
    header = read_header(path)
    return header.height, header.width


def read_image(path: Path, *, deep: bool = False) -> np.ndarray:
    """Read an 8-bit colour image, and with `deep` a 16-bit one too, whose values are then 0..65535.

    Shape: [H, W, 3] uint8 (or uint16), RGB. Range: 0..255, sRGB-encoded as stored. A JPEG's orientation tag is
    honoured; an alpha channel is dropped if it is opaque everywhere.
    Errors: ValueError, one sentence with the file's name, if it is unreadable, grey, not 8-bit or transparent; OSError.
    """
    path = Path(path)
    data = shards.read_bytes(path)
    header = _parse_header(path, io.BytesIO(data))
    wide = deep and header.deep_colour
    if not wide:
        require_colour(path, header)
    # IMREAD_UNCHANGED shows whether there is alpha but ignores JPEG's orientation; IMREAD_COLOR honours it.
    # A JPEG that was cut short decodes to a partly grey picture: its end marker must come after its last scan.
    cut_short = data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    flag = cv2.IMREAD_UNCHANGED if data.startswith(_PNG_SIGNATURE) else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    except cv2.error:
        image = None
    if (
        cut_short
        or image is None
        or image.dtype != (np.uint16 if wide else np.uint8)
        or image.ndim != 3
        or image.shape[:2] != (header.height, header.width)
    ):
        raise ValueError(f"{path}: the image is damaged and cannot be decoded")
    if image.shape[2] == 4:
        if image[..., 3].min() < 255:
            raise ValueError(f"{path}: the image is transparent in places; save it without an alpha channel")
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def require_colour(path: Path, header: ImageHeader) -> None:
    """Errors: ValueError, one sentence, if the header is not that of an 8-bit colour image."""
    if not header.colour:
        raise ValueError(
            f"{path}: an 8-bit RGB image is needed, this one is {header.bits}-bit {header.mode}; convert it first"
        )


def encode_png(rgb: np.ndarray) -> bytes:
    """PNG bytes of an [H, W, 3] uint8 or uint16 RGB image; the same bytes for the same image and OpenCV version.

    OpenCV's default strategy is used on purpose: naming any compression level changes it and costs two to eight times.
    """
    return _encode(rgb, ".png", [])


def encode_jpeg(rgb: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """JPEG bytes of an [H, W, 3] uint8 RGB image; the same bytes for the same image, quality and OpenCV version."""
    return _encode(rgb, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def decode_jpeg(data: bytes) -> np.ndarray:
    """The image in bytes that `encode_jpeg` made. Shape: [H, W, 3] uint8, RGB."""
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("the bytes are no JPEG image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: Path, rgb: np.ndarray) -> str:
    """Write [H, W, 3] uint8 RGB atomically as PNG or JPEG (quality 95), by suffix; returns the file's sha256.

    Errors: ValueError for another suffix or array; OSError (disk full).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{path}: images are written as {', '.join(IMAGE_SUFFIXES)}, not as {suffix or 'no suffix'!r}")
    if suffix == ".png":
        return atomic.write_bytes(path, encode_png(rgb))
    return atomic.write_bytes(path, encode_jpeg(rgb))


def natural_sorted(paths: Iterable[Path]) -> list[Path]:
    """Paths with the numbers in their names compared as numbers: frame_2 before frame_10."""
    return sorted((Path(path) for path in paths), key=natural_key)


def natural_key(path: Path | str) -> tuple[object, ...]:
    """Sorting key of `natural_sorted`; the plain text breaks ties such as 1 and 01."""
    parts = tuple(
        tuple(int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", part))
        for part in Path(path).parts
    )
    return (parts, str(path))


def list_images(folder: Path) -> list[Path]:
    """The PNG and JPEG files directly inside a folder, in natural order; hidden files are left out."""
    return natural_sorted(
        path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
    )


def _encode(rgb: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    types = (np.uint8, np.uint16) if suffix == ".png" else (np.uint8,)
    if rgb.dtype not in types or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an image to write is uint8 [H, W, 3], got {rgb.dtype} {list(rgb.shape)}")
    done, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), parameters)
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {list(rgb.shape)} as {suffix}")
    return data.tobytes()


def _parse_header(path: Path, stream: BinaryIO) -> ImageHeader:
    try:
        with Image.open(stream, formats=("PNG", "JPEG")) as image:  # lazy: reads the header only
            (width, height), mode = image.size, image.mode
            on_its_side = image.format == "JPEG" and image.getexif().get(_ORIENTATION_TAG, 1) >= 5
            deep = mode.startswith("I") or (image.format == "PNG" and _png_bits(stream) == 16)
    except UnidentifiedImageError:
        stream.seek(0)
        kind = "is not a PNG or JPEG image" if stream.read(1) else "is empty"
        raise ValueError(f"{path}: the file {kind}") from None
    except (OSError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: the image file is damaged or cut short ({error})") from None
    if on_its_side:
        height, width = width, height
    return ImageHeader(height=height, width=width, bits=16 if deep else 8, mode=_MODE_NAMES.get(mode, mode))


def _png_bits(stream: BinaryIO) -> int:
    """Bits a sample from a PNG's IHDR chunk; Pillow reports a 16-bit colour PNG as 8-bit RGB."""
    stream.seek(24)
    return stream.read(1)[0]
