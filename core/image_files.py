"""Image files: the one place that reads and writes them (OpenCV's BGR order stays inside). A path may go through a tar
shard (`core.shards`).

Only 8-bit colour PNG and JPEG are accepted, and 16-bit colour PNG where the caller says so; everything else is refused
with one sentence that names the file. `read_picture` takes what else a person has: grey, deep and transparent images.
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

from core import files, shards

# Errors only: what OpenCV warns about is said here, in one sentence with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
# Pillow reads headers here and no pixels, so that its warning about large images protects nobody.
Image.MAX_IMAGE_PIXELS = None

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
JPEG_QUALITY = 95
MOST_PX = 1 << 30  # of an image that OpenCV decodes

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
    "I": "grey",
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


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as its owner saved it. rgb: [H, W, 3], grey ones three times the same; alpha: [H, W], None where it is
    opaque everywhere; both uint8, or uint16 of a 16-bit PNG. grey: it was saved without colour.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    grey: bool

    @property
    def levels(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)


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
    if not (deep and header.deep_colour):
        require_colour(path, header)
    image = _decoded(path, header, data)
    if image.ndim != 3:
        raise ValueError(f"{path}: the image is damaged and cannot be decoded")
    if image.shape[2] == 4:
        if image[..., 3].min() < 255:
            raise ValueError(f"{path}: the image is transparent in places; save it without an alpha channel")
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_picture(path: Path) -> Picture:
    """Read any PNG or JPEG: grey, with transparency, 16-bit. A JPEG's orientation tag is honoured.

    Errors: ValueError, one sentence with the file's name, if it is unreadable; OSError.
    """
    path = Path(path)
    data = shards.read_bytes(path)
    header = _parse_header(path, io.BytesIO(data))
    image = _decoded(path, header, data)
    grey = header.mode.startswith("grey")
    if image.ndim == 2:
        return Picture(rgb=np.repeat(image[..., None], 3, axis=2), alpha=None, grey=grey)
    alpha = image[..., 3].copy() if image.shape[2] == 4 else None
    if alpha is not None and alpha.min() == np.iinfo(alpha.dtype).max:
        alpha = None
    return Picture(rgb=cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB), alpha=alpha, grey=grey)


def write_picture(path: Path, rgb: np.ndarray, like: Picture) -> str:
    """Write [H, W, 3] float RGB in [0, 1] as `like` was saved; its transparency is resized where the size differs.

    A JPEG gets 8 bits. Returns the file's sha256. Errors: as `write_image`; ValueError for transparency in a JPEG.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix != ".png" and like.alpha is not None:
        raise ValueError(f"{path}: a JPEG cannot be transparent and the image is; name a .png file")
    kind = np.dtype(np.uint8) if suffix != ".png" else like.rgb.dtype
    levels = np.iinfo(kind).max
    pixels = np.rint(np.clip(rgb, 0, 1) * np.float32(levels)).astype(kind)
    if not like.grey and like.alpha is None:
        return write_image(path, pixels)
    if like.alpha is None:
        return files.write_bytes(path, _to_bytes(_mean(pixels), suffix, []))
    height, width = pixels.shape[:2]
    alpha = like.alpha
    if alpha.shape != (height, width):
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
    colour = np.repeat(_mean(pixels)[..., None], 3, axis=2) if like.grey else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return files.write_bytes(path, _to_bytes(np.dstack([colour, alpha]), suffix, []))


def _mean(rgb: np.ndarray) -> np.ndarray:
    return np.rint(rgb.mean(axis=2, dtype=np.float32)).astype(rgb.dtype)


def _decoded(path: Path, header: ImageHeader, data: bytes) -> np.ndarray:
    """Shape: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA; uint8, or uint16 where the header says 16 bits."""
    if header.height * header.width > MOST_PX:
        raise ValueError(f"{path}: {header.width} x {header.height} px is more than can be decoded ({MOST_PX} px)")
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
        or image.dtype != (np.uint16 if header.bits == 16 else np.uint8)
        or image.shape[:2] != (header.height, header.width)
    ):
        raise ValueError(f"{path}: the image is damaged and cannot be decoded")
    return image


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
        return files.write_bytes(path, encode_png(rgb))
    return files.write_bytes(path, encode_jpeg(rgb))


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
    return _to_bytes(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), suffix, parameters)


def _to_bytes(image: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, image, parameters)
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {list(image.shape)} as {suffix}")
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
