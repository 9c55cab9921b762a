"""What surrounds the pixels of an image file: where a JPEG ends, orientation, colour profile (ICC) and EXIF.

A phone's file may hold more after its first picture (further pictures, a short video, a maker's trailer); only the
first picture is meant here, and its end is found by its own markers, whatever bytes follow.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

ORIENTATION_TAG = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ALIKE_LEVELS = 2  # a profile that moves no colour by more is sRGB's
_EXIF_IFD, _WIDTH_TAG, _HEIGHT_TAG, _MAKER_NOTE = 0x8769, 0xA002, 0xA003, 0x927C
# Description, make, model, orientation, resolution, software, date, artist, copyright, and the two further directories:
# what does not describe how the pixels of the old file were stored.
_KEPT_TAGS = (0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298, 0x8769, 0x8825)
_HEAD_BYTES = 1 << 16  # of an AVIF or HEIC file, in which its description lies
_MOST_SEGMENT = 65_533  # bytes of a JPEG segment without its length
_ICC_NAME, _EXIF_NAME = b"ICC_PROFILE\0", b"Exif\0\0"
_NEXT_MARKER = re.compile(rb"\xff+([^\xff\x00\xd0-\xd7])", re.DOTALL)  # between scans: neither stuffing nor restarts


def jpeg_end(data: bytes) -> int | None:
    """Where the first picture of a JPEG file ends, its end marker included; None if it is cut short or damaged.

    Source: ITU-T T.81, annex B.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    place, scanned = 2, False
    while True:
        found = _NEXT_MARKER.search(data, place)
        if found is None:
            return None
        marker, place = found[1][0], found.end()
        if marker == 0xD9:
            return place if scanned else None
        if marker in (0x01, 0xD8):
            continue
        if place + 2 > len(data):
            return None
        place += struct.unpack_from(">H", data, place)[0]
        scanned = marker == 0xDA or scanned


def png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of its data, bytes) of every chunk of a PNG file, up to its end or to where it is cut short."""
    place = len(PNG_SIGNATURE)
    while True:
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        yield kind, place + 8, size
        if kind == b"IEND":
            return
        place += 12 + size


def png_remarks(stream: BinaryIO) -> tuple[bytes, bytes]:
    """(EXIF, the numbers of H.273) of a PNG file, its chunks eXIf and cICP, wherever they stand; b"" for none."""
    found = {b"eXIf": b"", b"cICP": b""}
    for kind, start, size in png_chunks(stream):
        if kind in found:
            stream.seek(start)
            found[kind] = stream.read(size)
    return found[b"eXIf"], found[b"cICP"]


def box_transfer(stream: BinaryIO) -> int:
    """The transfer curve (a number of H.273) that an AVIF or HEIC file names, 0 for none (ISO/IEC 14496-12, 12.1.5)."""
    stream.seek(0)
    found = re.search(rb"colrnclx..(..)", stream.read(_HEAD_BYTES), re.DOTALL)
    return struct.unpack(">H", found[1])[0] if found else 0


def orientation_of(exif: Image.Exif) -> int:
    """1 to 8; 1 where nothing sensible is said."""
    value = exif.get(ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def loaded_exif(data: bytes) -> Image.Exif:
    """EXIF from its bytes; empty where they are damaged."""
    exif = Image.Exif()
    try:
        exif.load(data)
    except (SyntaxError, struct.error, OSError, ValueError, TypeError, KeyError, IndexError):
        return Image.Exif()
    return exif


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image as it is displayed. Shape: [H, W] or [H, W, C]. orientation: EXIF's number, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def upright_exif(exif: Image.Exif, height: int, width: int) -> bytes:
    """EXIF for an upright image of a given size, b"" if there is none: without a small picture, which would be the old
    one. Starts with "Exif" and two zeros.
    """
    kept = Image.Exif()
    try:
        for tag in _KEPT_TAGS:
            if tag in exif:
                kept[tag] = dict(exif.get_ifd(tag)) if tag in (0x8769, 0x8825) else exif[tag]
        if not kept:
            return b""
        kept[ORIENTATION_TAG] = 1
        camera = kept.get(_EXIF_IFD)
        if isinstance(camera, dict):
            for tag, value in ((_WIDTH_TAG, width), (_HEIGHT_TAG, height)):
                if tag in camera:
                    camera[tag] = value
        data = kept.tobytes()
        if len(data) > _MOST_SEGMENT and isinstance(camera, dict):
            camera.pop(_MAKER_NOTE, None)
            data = kept.tobytes()
    except (SyntaxError, struct.error, OSError, ValueError, TypeError, KeyError, IndexError, OverflowError):
        return b""
    return data if len(data) <= _MOST_SEGMENT else b""


def into_png(data: bytes, icc: bytes, exif: bytes) -> bytes:
    """PNG bytes with a colour profile and EXIF, either of them empty for none."""
    added = b""
    if icc:
        added += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9))
    if exif:
        added += _chunk(b"eXIf", exif.removeprefix(_EXIF_NAME))
    end = len(PNG_SIGNATURE) + 25  # of IHDR
    return data[:end] + added + data[end:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def into_jpeg(data: bytes, icc: bytes, exif: bytes) -> bytes:
    """JPEG bytes with a colour profile and EXIF, either of them empty for none."""
    added = _segment(0xE1, exif) if exif else b""
    step = _MOST_SEGMENT - len(_ICC_NAME) - 2
    parts = [icc[start : start + step] for start in range(0, len(icc), step)]
    for number, part in enumerate(parts, start=1):
        added += _segment(0xE2, _ICC_NAME + bytes([number, len(parts)]) + part)
    place = 2
    if data[2:4] == b"\xff\xe0":  # JFIF's own segment comes first
        place += 2 + struct.unpack_from(">H", data, 4)[0]
    return data[:place] + added + data[place:]


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


@lru_cache(maxsize=64)
def is_srgb(icc: bytes) -> bool:
    """Does a colour profile describe sRGB, but for ALIKE_LEVELS of 255? Damaged profiles count as it."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, 81, 3)
    return bool(np.abs(in_srgb(grid, icc).astype(int) - grid).max() <= ALIKE_LEVELS)


def in_srgb(rgb: np.ndarray, icc: bytes) -> np.ndarray:
    """Colours of a profile as those of sRGB, relative colorimetric. Shape: [H, W, 3] uint8, kept.

    What the profile is not for (grey, print) or what is damaged in it leaves the values as they are.
    """
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != "RGB":
            return rgb
        relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
        image = ImageCms.profileToProfile(
            Image.fromarray(rgb), profile, ImageCms.createProfile("sRGB"), renderingIntent=relative
        )
    except (ImageCms.PyCMSError, OSError):
        return rgb
    return rgb if image is None else np.asarray(image)
