"""Files: written so that a reader never sees half of one, whatever kills the writer; JSON lines; digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LEFTOVER = re.compile(r"\..+\.\d+\.part", re.DOTALL)  # .NAME.PROCESS.part


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file `path` in one step when the block ends (temporary neighbour, fsync,
    rename). The parent folder is created. A file of that name is replaced only when the new one is complete.

    Errors: OSError (disk full, no permission); whatever breaks the block, the temporary file is removed and what was at
    `path` stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def is_leftover(path: Path) -> bool:
    """Whether this is the temporary neighbour of `replacing`, left by a writer that was killed."""
    return LEFTOVER.fullmatch(path.name) is not None and path.is_file()


def remove_leftovers(folder: Path) -> None:
    """Delete what killed writers left in a folder. The caller holds it (core/locks.py), so that nobody writes there."""
    for path in Path(folder).rglob(".*.part"):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> str:
    """Write `data` to `path` in one step (`replacing`) and return its sha256. Errors: OSError; what was there stays."""
    with replacing(path) as stream:
        stream.write(data)
    return hashlib.sha256(data).hexdigest()


def write_text(path: Path, text: str) -> str:
    """Write `text` as UTF-8 with `write_bytes`; returns its sha256."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> str:
    """Write `value` as indented JSON with a final newline; returns its sha256."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def require_file(path: Path) -> None:
    """Errors: ValueError, one sentence, for a pipe or a device: it may have no end, and whoever opens it may wait for
    ever. A path that does not exist, or is a folder, is left to who opens it."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: a file is needed, this is a pipe or a device")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def append_line(path: Path, values: dict[str, object]) -> None:
    """Append a JSON object as one line, flushed to the disk. Errors: OSError; the file is then as long as it was."""
    data = _line(values)
    with open(path, "ab", buffering=0) as stream:
        start = stream.tell()
        try:
            if stream.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(stream.fileno())
        except OSError:
            os.truncate(path, start)
            raise


def rewrite_lines(path: Path, lines: list[dict[str, object]]) -> None:
    """Make the file hold exactly these JSON objects; an equal file is left alone."""
    data = b"".join(_line(values) for values in lines)
    if (path.read_bytes() if path.is_file() else b"") != data:
        write_bytes(path, data)


def _line(values: dict[str, object]) -> bytes:
    return (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8")
