"""One process to an output folder: a second one is told who works there, before it reads or writes anything.

The lock is a file of the system's temporary folder, named after the output folder's path, so that nothing lies in the
output; the operating system releases it whenever its holder ends, killed or not. Processes on other machines are not
seen. Where there is no flock (Windows) nothing is locked.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.files import remove_leftovers


class InUse(ValueError):
    """Another process writes into the folder."""


_held: dict[Path, int] = {}  # of this process: lock file -> how often


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold an output folder while the block runs. The same process may hold it several times. What killed writers left
    there (core/files.py, `replacing`) is removed.

    Errors: InUse, one sentence with the other process's number and command.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = _lock_path(folder)
    if _held.get(path):
        _held[path] += 1
        try:
            yield
        finally:
            _held[path] -= 1
        return
    with open(path, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            who = stream.read(500).strip() or "another process"
            raise InUse(f"{folder}: {who} works there; wait for it, end it, or choose another --out") from None
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])[:80]
        stream.truncate(0)
        stream.write(f"process {os.getpid()} ({command}, since {time.strftime('%H:%M:%S')})")
        stream.flush()
        _held[path] = 1
        try:
            remove_leftovers(folder)
            yield
        finally:
            _held[path] = 0
            stream.truncate(0)


def _lock_path(folder: Path) -> Path:
    home = Path(tempfile.gettempdir()) / f"deblur-bench-locks-{os.getuid()}"
    with suppress(FileExistsError):
        home.mkdir(mode=0o700, parents=True)
    return home / f"{hashlib.sha256(os.path.realpath(folder).encode()).hexdigest()[:32]}.lock"
