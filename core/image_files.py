"""Image files: the one place that reads and writes them (OpenCV's BGR order stays inside). A path may go through a tar
shard (`core.shards`).

`read_image` accepts 8-bit colour only, and 16-bit colour where the caller says so; everything else is refused with one
sentence that names the file. `read_picture` takes what else a person has: grey, deep and transparent images, with their
colour profile and EXIF. One list of suffixes says what is read and written: IMAGE_SUFFIXES.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError, features

from core import files, shards
from core.high_dynamic_range import TRANSFERS
from core.image_metadata import (
    PNG_SIGNATURE,
    box_transfer,
    in_srgb,
    into_jpeg,
    into_png,
    is_srgb,
    jpeg_end,
    loaded_exif,
    orientation_of,
    png_chunks,
    png_remarks,
    upright,
    upright_exif,
)
from core.memory import cpu_bytes as memory_free

# Errors only: what OpenCV warns about is said here, in one sentence with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
# Pillow reads headers here and no pixels, so that its warning about large images protects nobody.
Image.MAX_IMAGE_PIXELS = None
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged EXIF, which is left out

# HEIC needs Pillow's plug-in pillow-heif; AVIF a Pillow that was built with it, as its wheels are.
_AVIF = (".avif",) if features.check("avif") else ()
_HEIC = (".heic", ".heif") if find_spec("pillow_heif") else ()
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", *_AVIF, *_HEIC)
JPEG_QUALITY = 95
MOST_PX = 1 << 30  # of an image that OpenCV decodes
SMALL_PX = 1 << 24  # up to which nobody asks for the free memory
COPIES = 3  # of an image while it is read: decoded, in another order of channels, handed on
MOST_DEFLATED = 1040  # bytes that one byte of a PNG's deflate stream can stand for

_FORMATS = {".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}  # Pillow's names
_FORMATS |= {".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF"}
_PLAIN_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_OPAQUE = {".jpg": "a JPEG", ".jpeg": "a JPEG", ".bmp": "a BMP"}
_BROKEN = (OSError, SyntaxError, struct.error, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError)
_PAGED = ("TIFF", "WEBP", "AVIF")
_MODE_NAMES = {
    "RGB": "rgb",
    "RGBA": "rgb with alpha",
    "P": "palette",
    "L": "grey",
    "1": "grey",
    "I;16B": "grey",
    "F": "floating-point grey",
    "LA": "grey with alpha",
    "I;16": "grey",
    "I": "grey",
}


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What an image file says about itself before its pixels are decoded. height and width are as displayed.

    kind: Pillow's name of the format. orientation: EXIF's number that is still to be carried out. icc: colour profile.
    """

    height: int
    width: int
    bits: int
    mode: str  # "rgb", "rgb with alpha", "palette", "grey", or Pillow's name of anything else
    kind: str = "PNG"
    orientation: int = 1
    icc: bytes = field(default=b"", repr=False)

    @property
    def colour(self) -> bool:
        return self.bits == 8 and self.mode in ("rgb", "rgb with alpha", "palette")

    @property
    def deep_colour(self) -> bool:
        """16-bit RGB, which a PNG or TIFF can hold."""
        return self.bits == 16 and self.mode == "rgb"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as its owner saved it. rgb: [H, W, 3], grey ones three times the same; alpha: [H, W], None where it is
    opaque everywhere; both uint8, or uint16 of a 16-bit PNG or TIFF. grey: it was saved without colour. icc: its colour
    profile, b"" for none. exif: its EXIF.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    grey: bool
    icc: bytes = field(default=b"", repr=False)
    exif: Image.Exif | None = field(default=None, repr=False)

    @property
    def levels(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)


def read_header(path: Path) -> ImageHeader:
    """Size and mode of an image file from its header; the pixels are not read.

    Errors: ValueError naming the file (not an image, damaged); OSError if it cannot be opened.
    """
    if shards.inside_shard(path):
        return _parse_header(Path(path), io.BytesIO(shards.read_bytes(path)))
    files.require_file(path)
    with open(path, "rb") as stream:
        return _parse_header(Path(path), stream)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header. Units: px. Errors: as `read_header`."""
    header = read_header(path)
    return header.height, header.width


def read_image(path: Path, *, deep: bool = False, convert: bool = False) -> np.ndarray:
    """Read an 8-bit colour image, and with `deep` a 16-bit one too, whose values are then 0..65535.

    Shape: [H, W, 3] uint8 (or uint16), RGB. Range: 0..255, encoded as stored. convert: colours of another profile than
    sRGB (of 8-bit images) become those of sRGB. The orientation tag is honoured; an alpha channel is dropped if it is
    opaque everywhere.
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
        if image[..., 3].min() < np.iinfo(image.dtype).max:
            raise ValueError(f"{path}: the image is transparent in places; save it without an alpha channel")
        rgb = cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    else:
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if convert and header.icc and rgb.dtype == np.uint8 and not is_srgb(header.icc):
        return in_srgb(rgb, header.icc)
    return rgb


def read_picture(path: Path) -> Picture:
    """Read any RGB or grey image: also with transparency, also of 16 bits. The orientation tag is honoured.

    Errors: ValueError, one sentence with the file's name, if it is unreadable; OSError.
    """
    path = Path(path)
    data = shards.read_bytes(path)
    header = _parse_header(path, io.BytesIO(data))
    if not header.mode.startswith(("rgb", "grey", "palette")):
        raise ValueError(f"{path}: an RGB or grey image is needed, this one is {header.mode}; convert it to RGB first")
    image = _decoded(path, header, data)
    grey, exif = header.mode.startswith("grey"), _exif(header, data)
    if image.ndim == 2:
        rgb = np.repeat(image[..., None], 3, axis=2)
        return Picture(rgb=rgb, alpha=None, grey=grey, icc=header.icc, exif=exif)
    alpha = image[..., 3].copy() if image.shape[2] == 4 else None
    if alpha is not None and alpha.min() == np.iinfo(alpha.dtype).max:
        alpha = None
    rgb = cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    return Picture(rgb=rgb, alpha=alpha, grey=grey, icc=header.icc, exif=exif)


def require_room_for_alpha(path: Path, picture: Picture) -> None:
    """Errors: ValueError if the file would lose the picture's transparency."""
    kind = _OPAQUE.get(Path(path).suffix.lower())
    if picture.alpha is not None and kind:
        raise ValueError(
            f"{path}: the image is transparent in places, and {kind} cannot be transparent; name a .png file"
        )


def write_picture(path: Path, rgb: np.ndarray, like: Picture) -> str:
    """Write [H, W, 3] float RGB in [0, 1] as `like` was saved, with its colour profile and its EXIF.

    The EXIF is made that of an upright image; transparency is resized where the size differs. What can only hold 8 bits
    gets 8; a BMP, which holds no profile, gets sRGB. Returns the file's sha256.
    Errors: as `write_image`; ValueError for transparency in a JPEG or BMP.
    """
    path = Path(path)
    suffix = _require_suffix(path)
    require_room_for_alpha(path, like)
    kind = like.rgb.dtype if suffix in (".png", ".tif", ".tiff") else np.dtype(np.uint8)
    levels = np.iinfo(kind).max
    pixels = np.rint(np.clip(rgb, 0, 1) * np.float32(levels)).astype(kind)
    height, width = pixels.shape[:2]
    exif = upright_exif(like.exif, height, width) if like.exif is not None else b""
    if suffix == ".bmp" and like.icc and not like.grey:
        pixels = in_srgb(pixels, like.icc)
    values = _mean(pixels)[..., None] if like.grey else pixels
    if like.alpha is not None:
        alpha = like.alpha if like.alpha.dtype == kind else (like.alpha >> 8).astype(kind)
        if alpha.shape != (height, width):
            alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        values = np.dstack([values, alpha])
    return files.write_bytes(path, _encoded(values, suffix, like.icc, exif))


def _mean(rgb: np.ndarray) -> np.ndarray:
    return np.rint(rgb.mean(axis=2, dtype=np.float32)).astype(rgb.dtype)


def _decoded(path: Path, header: ImageHeader, data: bytes) -> np.ndarray:
    """Shape: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA; uint8, or uint16 where the header says 16 bits. As displayed."""
    if header.height * header.width > MOST_PX:
        raise ValueError(f"{path}: {header.width} x {header.height} px is more than can be decoded ({MOST_PX} px)")
    _require_room(path, header, data)
    image: np.ndarray | None
    if header.kind in ("AVIF", "HEIF"):
        image = _decoded_by_pillow(data)
    else:
        end: int | None = len(data)
        if header.kind in ("JPEG", "MPO"):
            end = jpeg_end(data)  # one that was cut short decodes to a partly grey picture
        # IMREAD_UNCHANGED shows whether there is alpha.
        flag = cv2.IMREAD_UNCHANGED
        if header.kind in ("JPEG", "MPO"):
            flag = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = cv2.imdecode(np.frombuffer(data[:end], dtype=np.uint8), flag) if end else None
        except cv2.error:
            image = None
    if image is not None and header.orientation != 1:
        image = upright(image, header.orientation)
    if (
        image is None
        or image.dtype != (np.uint16 if header.bits == 16 else np.uint8)
        or image.shape[:2] != (header.height, header.width)
    ):
        raise ValueError(f"{path}: the image is damaged and cannot be decoded")
    return image


def _decoded_by_pillow(data: bytes) -> np.ndarray | None:
    """An AVIF or HEIC image as OpenCV gives others: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA; None if it is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            plain = image.mode in ("L", "RGB", "RGBA")
            values = np.asarray(image if plain else image.convert("RGBA" if "A" in image.mode else "RGB"))
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError):
        return None
    if values.ndim == 2:
        return values
    return cv2.cvtColor(values, cv2.COLOR_RGB2BGR if values.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)


def _exif(header: ImageHeader, data: bytes) -> Image.Exif | None:
    """The EXIF of an image file; None where it has none or a damaged one."""
    try:
        if header.kind == "PNG":
            stored, _ = png_remarks(io.BytesIO(data))
            return loaded_exif(stored) if stored else None
        with Image.open(io.BytesIO(data)) as image:
            exif = image.getexif()
            for directory in (0x8769, 0x8825):  # of the camera and of the place; read while the file is open
                exif.get_ifd(directory)
            return exif or None
    except _BROKEN:
        return None


def is_whole(path: Path) -> bool:
    """Does a PNG or JPEG file reach to its end? False for other kinds, which only decoding tells. Errors: OSError."""
    data = shards.read_bytes(path)
    if data.startswith(PNG_SIGNATURE):
        return any(kind == b"IEND" and start + 4 <= len(data) for kind, start, _ in png_chunks(io.BytesIO(data)))
    return jpeg_end(data) is not None


def _require_room(path: Path, header: ImageHeader, data: bytes) -> None:
    """Errors: ValueError for an image that says it is larger than its file can hold, or than the free memory."""
    pixels = header.height * header.width
    if data.startswith(PNG_SIGNATURE) and pixels // 8 > MOST_DEFLATED * len(data):
        raise ValueError(
            f"{path}: it says {header.width} x {header.height} px and has {len(data)} bytes, too few for that; the "
            "image is damaged or forged"
        )
    needed, free = pixels * 4 * header.bits // 8 * COPIES, memory_free()
    if pixels > SMALL_PX and needed > free:
        raise ValueError(
            f"{path}: {header.width} x {header.height} px take {needed / 1e9:.1f} GB of memory to read, and "
            f"{free / 1e9:.1f} GB are free; cut the image into parts"
        )


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
    """Write [H, W, 3] uint8 RGB atomically, by suffix (JPEG, WebP, AVIF and HEIC at quality 95).

    Returns the file's sha256. Errors: ValueError for another suffix or array; OSError (disk full).
    """
    path = Path(path)
    suffix = _require_suffix(path)
    if suffix == ".png":
        return files.write_bytes(path, encode_png(rgb))
    if suffix in (".jpg", ".jpeg"):
        return files.write_bytes(path, encode_jpeg(rgb))
    _require_array(rgb, (np.uint8,))
    return files.write_bytes(path, _encoded(rgb, suffix, b"", b""))


def _require_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{path}: images are written as {', '.join(IMAGE_SUFFIXES)}, not as {suffix or 'no suffix'!r}")
    return suffix


def _encoded(values: np.ndarray, suffix: str, icc: bytes, exif: bytes) -> bytes:
    """The bytes of an image file. Shape: [H, W, C] uint8 or uint16, C: grey, grey and alpha, RGB, RGB and alpha."""
    channels = values.shape[2]
    if suffix in (".png", ".jpg", ".jpeg"):
        order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
        data = _to_bytes(np.ascontiguousarray(values[..., order]), suffix, _parameters(suffix))
        return into_png(data, icc, exif) if suffix == ".png" else into_jpeg(data, icc, exif)
    out = io.BytesIO()
    if values.dtype == np.uint16:
        import tifffile

        shown = values[..., 0] if channels == 1 else values
        colour = "rgb" if channels > 2 else "minisblack"
        alpha: Any = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
        profile = icc or None
        tifffile.imwrite(out, shown, photometric=colour, compression="zlib", iccprofile=profile, metadata=None, **alpha)
        return out.getvalue()
    _pillow_plug_ins()
    if channels == 2 and suffix not in (".tif", ".tiff"):
        values, channels = values[..., [0, 0, 0, 1]], 4
    image = Image.fromarray(np.ascontiguousarray(values[..., 0] if channels == 1 else values))
    options: dict[str, object] = {"quality": JPEG_QUALITY} if suffix not in (".tif", ".tiff", ".bmp") else {}
    if suffix in (".tif", ".tiff"):
        # libtiff, which compresses, cannot write the further directories of EXIF; Pillow alone can.
        options["compression"] = None if exif else "tiff_adobe_deflate"
    if suffix != ".bmp":
        options |= ({"icc_profile": icc} if icc else {}) | ({"exif": exif} if exif else {})
    image.save(out, _FORMATS[suffix], **options)
    return out.getvalue()


def _parameters(suffix: str) -> list[int]:
    return [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]


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
    """The image files directly inside a folder, in natural order (`left_out` names the others)."""
    return natural_sorted(path for path in Path(folder).iterdir() if not _left_out(path))


def left_out(folder: Path) -> list[str]:
    """One sentence for every kind of thing in a folder that `list_images` leaves out: what, and why."""
    reasons: dict[str, list[str]] = {}
    for path in natural_sorted(Path(folder).iterdir()):
        reason = _left_out(path)
        if reason:
            reasons.setdefault(reason, []).append(path.name)
    return [f"{folder}: left out, {reason}: {', '.join(names)}" for reason, names in reasons.items()]


_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")


def _left_out(path: Path) -> str:
    """Why a file is none of a folder's images; "" if it is one."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return "a hidden file"
    if suffix in IMAGE_SUFFIXES:
        return "a folder" if path.is_dir() else ""
    if path.is_dir():
        return "a folder"
    if suffix in (".heic", ".heif"):
        return "HEIC, which needs Pillow's plug-in pillow-heif"
    if suffix in _RAW:
        return "a raw photograph, to be developed first"
    return f"no image of a kind that is read ({', '.join(IMAGE_SUFFIXES)})"


def _encode(rgb: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    _require_array(rgb, (np.uint8, np.uint16) if suffix == ".png" else (np.uint8,))
    return _to_bytes(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), suffix, parameters)


def _require_array(rgb: np.ndarray, types: tuple[type, ...]) -> None:
    if rgb.dtype not in types or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"an image to write is uint8 [H, W, 3], got {rgb.dtype} {list(rgb.shape)}")


def _to_bytes(image: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, image, parameters)
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {list(image.shape)} as {suffix}")
    return data.tobytes()


@cache
def _pillow_plug_ins() -> None:
    """Make those of Pillow's plug-ins known that are installed."""
    if _HEIC:
        import pillow_heif

        pillow_heif.register_heif_opener()


def _parse_header(path: Path, stream: BinaryIO) -> ImageHeader:
    start = stream.read(12)
    stream.seek(0)
    formats = _PLAIN_FORMATS
    if start[4:8] == b"ftyp":  # a box of the family of MP4
        _pillow_plug_ins()
        formats = (*(("AVIF",) if _AVIF else ()), *(("HEIF",) if _HEIC else ()))
    try:
        with Image.open(stream, formats=formats) as image:  # lazy: reads the header only
            (width, height), mode, kind = image.size, image.mode, str(image.format)
            if kind == "PNG":
                stored, numbers = png_remarks(stream)
                bits, exif = _png_bits(stream), loaded_exif(stored)
                curve = TRANSFERS.get(numbers[1], "") if len(numbers) > 1 else ""
            else:
                bits, exif = _bits(image), _header_exif(image)
                curve = TRANSFERS.get(box_transfer(stream), "") if kind in ("AVIF", "HEIF") else ""
            icc = image.info.get("icc_profile") or b""
            pages = _pages(image) if kind in _PAGED else 1
    except UnidentifiedImageError:
        stream.seek(0)
        if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif") and not _HEIC:
            raise ValueError(f"{path}: HEIC images are read where Pillow's plug-in pillow-heif is installed") from None
        kind = "is not an image that can be read (PNG, JPEG, TIFF, WebP, BMP, AVIF)" if start else "is empty"
        raise ValueError(f"{path}: the file {kind}") from None
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: the image file is damaged or cut short ({error})") from None
    if curve:
        raise ValueError(
            f"{path}: the values of the image are {curve.upper()}, of high dynamic range, and would be taken for sRGB; "
            "convert it to an ordinary image first"
        )
    if pages > 1:
        raise ValueError(f"{path}: the file holds {pages} pictures; save the one that is meant as a file of its own")
    orientation = 1 if kind == "TIFF" else orientation_of(exif)  # TIFF's decoders carry it out themselves
    if orientation >= 5:
        height, width = width, height
    return ImageHeader(
        height=height,
        width=width,
        bits=bits,
        mode=_MODE_NAMES.get(mode, mode),
        kind=kind,
        orientation=orientation,
        icc=icc,
    )


def _header_exif(image: Image.Image) -> Image.Exif:
    """EXIF as the header has it; empty where it is damaged, which says nothing about the picture."""
    try:
        return image.getexif()
    except _BROKEN:
        return Image.Exif()


def _png_bits(stream: BinaryIO) -> int:
    """8, or 16 as a PNG's IHDR chunk says; Pillow reports a 16-bit colour PNG as 8-bit RGB."""
    stream.seek(24)
    return 16 if stream.read(1)[0] == 16 else 8


def _bits(image: Image.Image) -> int:
    """8, or what a TIFF says of its deepest sample: Pillow reports 16-bit colour as 8-bit RGB."""
    told = getattr(image, "tag_v2", {}).get(258, 8)  # BitsPerSample
    bits = max(told) if isinstance(told, tuple) else int(told)
    return max(8, bits, 16 if image.mode.startswith("I") else 8)


def _pages(image: Image.Image) -> int:
    """How many pictures a file holds; small copies of the first one (TIFF's NewSubfileType 1) do not count."""
    count = getattr(image, "n_frames", 1)
    if image.format != "TIFF" or count == 1:
        return count
    full = 0
    for number in range(count):
        image.seek(number)
        full += not int(getattr(image, "tag_v2", {}).get(254, 0)) & 1
    image.seek(0)
    return full
