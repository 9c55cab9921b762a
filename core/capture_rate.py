"""The rate at which a video was captured, where its file says so: slow motion is stored at the rate of its playback.

Where cameras write it: Android's `com.android.capture.fps` and keys of other makers that name a capture or sensor rate
(the metadata of an MP4 or QuickTime file); Sony's XML in the file's `meta` box (captureFps); GoPro's GPMF settings in
`moov/udta/GPMF` (VFPS, a fraction; form: GoPro's gpmf-parser documentation). Apple's phones store 240 frames a second
with their true times and need nothing; what its editor has slowed down has variable times.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

MOST_HZ = 1_000_000.0
MOST_BOX = 64 << 20  # bytes of a box of metadata that is read
_KEY = re.compile(
    r"(capture|camera|sensor|record(ing|ed)?|shooting|original)[ ._:-]?(frame[ ._-]?)?(fps|rate)$", re.IGNORECASE
)
_SONY = re.compile(rb'captureFps="(\d+(?:\.\d+)?)')
_BEFORE_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)(?:\s*/\s*(\d+(?:\.\d+)?))?")


def capture_rate(path: Path, *metadata: Mapping[str, str]) -> tuple[float, str] | None:
    """(rate in Hz, where it stands) of a video file; None where nothing tells it.

    metadata: of the container and its video stream, as FFmpeg reads them.
    """
    for values in metadata:
        for key, value in values.items():
            rate = _rate(value) if _KEY.search(key) else None
            if rate:
                return rate, key
    with open(path, "rb") as stream:
        for kind, start, size in _boxes(stream, 0, path.stat().st_size):
            if kind == b"meta" and size <= MOST_BOX:
                stream.seek(start)
                found = _SONY.search(stream.read(size))
                if found and (rate := _rate(found[1].decode())):
                    return rate, "captureFps"
            if kind == b"moov":
                for settings in _inside(stream, start, size, (b"udta", b"GPMF")):
                    if rate := _gopro(settings):
                        return rate, "GoPro's VFPS"
    return None


def _rate(text: str) -> float | None:
    found = _BEFORE_NUMBER.match(text)
    if found is None or float(found[2] or 1) == 0:
        return None
    rate = float(found[1]) / float(found[2] or 1)
    return rate if 0 < rate <= MOST_HZ else None


def _boxes(stream: BinaryIO, start: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, size) of the contents of the boxes of an MP4 file or of one box; ends at what is no box."""
    end = start + size
    while start + 8 <= end:
        stream.seek(start)
        head = stream.read(16)
        if len(head) < 8 or not re.fullmatch(rb"[ -~\xa9]{4}", head[4:8]):
            return
        length, header = struct.unpack(">I", head[:4])[0], 8
        if length == 1 and len(head) == 16:
            length, header = struct.unpack(">Q", head[8:])[0], 16
        if length == 0:
            length = end - start
        if length < header or start + length > end:
            return
        yield head[4:8], start + header, length - header
        start += length


def _inside(stream: BinaryIO, start: int, size: int, names: tuple[bytes, ...]) -> Iterator[bytes]:
    """The content of the boxes at a path inside a box."""
    for kind, inner, length in _boxes(stream, start, size):
        if kind == names[0] and len(names) > 1:
            yield from _inside(stream, inner, length, names[1:])
        elif kind == names[0] and length <= MOST_BOX:
            stream.seek(inner)
            yield stream.read(length)


def _gopro(data: bytes) -> float | None:
    """The rate in GPMF data: items of a four-letter key, a type, the size and number of its values, padded to 4."""
    place = 0
    while place + 8 <= len(data):
        key, kind, size, count = struct.unpack(">4sBBH", data[place : place + 8])
        value = data[place + 8 : place + 8 + size * count]
        if kind == 0:  # items inside
            found = _gopro(value)
            if found:
                return found
        elif key == b"VFPS" and chr(kind) in _TYPES and len(value) >= 2:
            code = _TYPES[chr(kind)]
            numbers = struct.unpack(f">{len(value) // struct.calcsize('>' + code)}{code}", value)
            below = numbers[1] if len(numbers) > 1 else 1
            rate = numbers[0] / below if below else 0.0
            return rate if 0 < rate <= MOST_HZ else None
        place += 8 + (size * count + 3) // 4 * 4
    return None


_TYPES = {"L": "I", "S": "H", "l": "i", "s": "h", "f": "f"}
