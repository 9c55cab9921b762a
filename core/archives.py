"""Archives of strangers (zip, tar): unpacked so that nothing lands outside the folder and nothing there is lost."""

from __future__ import annotations

import errno
import gzip
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from core import files

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_DRIVE = re.compile(r"^[A-Za-z]:")
LONGEST_NAME = 4096


class Damaged(ValueError):
    """An archive that cannot be read to its end."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A plain file in an archive. size: of its content in bytes, as the archive states it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file of this name can be unpacked here."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, report: Callable[[int, int | None], None] | None = None) -> int:
    """Unpack all plain files of an archive under `folder`; returns their count.

    All names are looked at before anything is written. A file that is there with the same size stays, so that a second
    call goes on where the first was stopped. report: called with bytes done and in all.
    Errors: ValueError, one sentence: not an archive that is known here, damaged, a name that leads out of the folder, a
    link or device, a file there that differs. OSError: the disk is full.
    """
    with _opened(archive) as entries:
        plan = [(entry, folder / _place(entry.name, archive)) for entry in entries]
        total = sum(entry.size for entry, _ in plan)
        for entry, path in plan:
            if path.exists() and (path.is_dir() or path.stat().st_size != entry.size):
                raise ValueError(f"{path} is there and is another file than the one in {archive.name}; move it away")
        wanted = sum(entry.size for entry, path in plan if not path.exists())
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if wanted > free:
            needed = f"No space left on device: {wanted:,} bytes are needed, {free:,} are free"
            raise OSError(errno.ENOSPC, needed, str(folder))
        done = 0
        for entry, path in plan:
            if not path.exists():
                if not path.resolve().is_relative_to(folder.resolve()):  # through a link that lay there before
                    raise ValueError(f"{path} lies outside {folder} because of a link there; nothing is written there")
                with _reading(archive):
                    _copy(entry, path, archive)
            done += entry.size
            if report is not None:
                report(done, total)
        return len(plan)


def extract(archive: Path, ending: str, target: Path) -> None:
    """Write the one file of an archive whose path ends with `ending` to `target`.

    Errors: ValueError if there is none or more than one, or as `unpack`.
    """
    with _opened(archive) as entries:
        found = [entry for entry in entries if f"/{entry.name}".endswith(f"/{ending}")]
        if len(found) != 1:
            names = ", ".join(entry.name for entry in (found or entries)[:5])
            raise ValueError(
                f"{archive.name} has {len(found)} files that end with {ending}, one is needed; it has {names}"
            )
        with _reading(archive):
            _copy(found[0], target, archive)


def _copy(entry: Entry, target: Path, archive: Path) -> None:
    with files.replacing(target) as stream, entry.open() as content:
        left = entry.size
        while block := content.read(1 << 20):
            left -= len(block)
            if left < 0:
                raise ValueError(f"{archive.name}: {entry.name} holds more than the {entry.size:,} bytes it states")
            stream.write(block)
        if left:
            raise Damaged(f"{archive.name} is damaged: {entry.name} is cut short")


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, RuntimeError, NotImplementedError) as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise Damaged(f"{archive.name} is damaged, or of a kind that is not read here ({said})") from None


@contextmanager
def _opened(archive: Path) -> Iterator[list[Entry]]:
    """The plain files of an archive. Errors: ValueError."""
    if not is_archive(archive.name):
        kinds = ", ".join(SUFFIXES)
        raise ValueError(f"{archive.name}: only {kinds} are unpacked here; unpack it with another program")
    with _reading(archive):
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                yield [_of_zip(packed, info, archive) for info in packed.infolist() if not info.is_dir()]
        else:
            with tarfile.open(archive) as tar:
                entries = [_of_tar(tar, info, archive) for info in tar if not info.isdir()]
                while tar.fileobj is not None and tar.fileobj.read(1 << 20):  # the packing's checksum is at the end
                    pass
                yield entries


def _of_zip(packed: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Path) -> Entry:
    kind = info.external_attr >> 28
    if kind not in (0, 8):  # 8: a plain file of Unix; 0: nothing is said
        raise ValueError(f"{archive.name}: {info.filename} is no plain file (a link, a device); it is not unpacked")
    return Entry(name=info.filename, size=info.file_size, open=lambda: packed.open(info))


def _of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo, archive: Path) -> Entry:
    if not info.isreg():
        raise ValueError(f"{archive.name}: {info.name} is no plain file (a link, a device); it is not unpacked")

    def content() -> IO[bytes]:
        stream = tar.extractfile(info)
        assert stream is not None  # of a plain file
        return stream

    return Entry(name=info.name, size=info.size, open=content)


def _place(name: str, archive: Path) -> PurePosixPath:
    """A name in an archive as a path below a folder. Errors: ValueError if it leads out of it."""
    path = PurePosixPath(name)
    strange = "\\" in name or "\0" in name or _DRIVE.match(name) or len(name) > LONGEST_NAME
    if strange or path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{archive.name}: the name {name!r} leads out of the folder; nothing was unpacked")
    return path
