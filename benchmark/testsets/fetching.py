"""Official data sets, got from the addresses of sources.csv and unpacked to where the test sets look for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmark.testsets import TESTSETS
from core import archives, downloads
from core.command_line import complain, listed, unknown
from core.progress import TransferProgress
from core.sources import Address, Record, RemoteFile, ask, digests_of, fits, read_sources

SOURCES = Path(__file__).resolve().parent / "sources.csv"
WORK = ".archives"  # folder of archives that are not unpacked yet, in the data root
# Test sets that come out of one data set of another name.
WITHIN = {
    "realblur-j": "realblur",
    "realblur-r": "realblur",
    "lai-uniform": "lai",
    "lai-nonuniform": "lai",
    "lai-real": "lai",
    "reds-val-300": "reds-jpeg",
    "bsd100": "sr-benchmark",
    "faces": "celeba-test-gfpgan",
    "restoration": "deblurgan-v2-training-pairs",
}
# Test sets that nobody publishes as a set: any folder of images.
OWN = ("pairs", "blind-sr")


@cache
def sources() -> dict[str, list[RemoteFile]]:
    """The table of addresses by name. Errors: ValueError."""
    return read_sources(SOURCES)


def names_of(text: str) -> list[str]:
    """Names of the table behind comma-separated names of data sets or test sets. Errors: ValueError."""
    found = []
    for name in listed([text]):
        inner = WITHIN.get(name, name)
        if inner not in sources():
            known = [*sources(), *(other for other in WITHIN if WITHIN[other] in sources())]
            raise ValueError(unknown("no data set is called", name, known))
        found.append(inner)
    return list(dict.fromkeys(found))


def files_of(names: Sequence[str], only: Sequence[str] = ()) -> list[RemoteFile]:
    """The files of data sets, or those of them called so. Errors: ValueError for a file that none of them has."""
    found = [remote for name in names for remote in sources()[name]]
    if strange := [file for file in only if file not in {remote.file for remote in found}]:
        raise ValueError(unknown(f"{', '.join(names)} has no file", strange[0], [remote.file for remote in found]))
    return [remote for remote in found if not only or remote.file in only]


def fetch(
    remotes: Sequence[RemoteFile],
    data_root: Path,
    *,
    agreed: bool = False,
    mirror: str = "",
    keep_archives: bool = False,
    quiet: bool = False,
) -> int:
    """Get files and unpack them under the data root; returns an exit code, 1 if some could not be had.

    agreed: the user agrees to the licences. mirror: an address that is tried first, MIRROR/NAME/FILE.
    Errors: BadArguments for a licence that nobody agreed to; ValueError where the one file that was asked for cannot be
    had; OSError.
    """
    record = Record(data_root)
    wanted = []
    for remote in remotes:
        facts = record.facts(remote.name, remote.file) or {}
        if "unpacked" in facts:
            if not quiet:
                print(f"{remote.name}/{remote.file}: was fetched and unpacked before ({facts['unpacked']:,} files)")
        elif remote.downloads:
            wanted.append(remote)
        else:
            place = data_root / remote.addresses[0].folder
            print(f"{remote.name}: a browser is needed for {remote.addresses[0].url}; unpack what it gives to {place}")
    ask(record, {name: _licences(wanted, name) for name in dict.fromkeys(each.name for each in wanted)}, agreed=agreed)
    failures = []
    for remote in wanted:
        try:
            _get(remote, data_root, record, mirror, keep_archives, quiet)
        except ValueError as error:
            if len(remotes) == 1:
                raise
            failures.append(f"{remote.name}/{remote.file}")
            complain("testsets.py", error)
    if failures:
        print(f"{len(failures)} of {len(remotes)} files could not be had: {', '.join(failures)}")
    return 1 if failures else 0


def _licences(remotes: Sequence[RemoteFile], name: str) -> list[str]:
    return sorted({remote.licence for remote in remotes if remote.name == name})


def addresses_of(remote: RemoteFile, mirror: str) -> tuple[Address, ...]:
    """What is tried for a file, in this order. Errors: ValueError for a mirror that is no address."""
    first = (downloads.mirror_address(mirror, remote),) if mirror else ()
    own = (address if address.digest else replace(address, digest=remote.digest) for address in remote.downloads)
    return (*first, *own)


def _get(remote: RemoteFile, data_root: Path, record: Record, mirror: str, keep_archives: bool, quiet: bool) -> None:
    """One file: loaded, checked, remembered, unpacked. Errors: ValueError, OSError."""
    archive = data_root / WORK / remote.name / Path(remote.file).name
    facts = record.facts(remote.name, remote.file) or {}
    if archive.is_file():  # loaded before, and not unpacked
        digests, origin = digests_of(archive), str(facts.get("from", ""))
        wanted = f"sha256:{facts['sha256']}" if "sha256" in facts else remote.digest
        if not fits(digests, wanted):
            raise ValueError(f"{archive} is another file than the one that was fetched; remove it to fetch it again")
    else:
        with TransferProgress(archive.name) as progress:
            report = None if quiet else progress
            digests, used = downloads.download(addresses_of(remote, mirror), archive, report)
        origin = used.url
        if "sha256" in facts and facts["sha256"] != digests["sha256"]:
            archive.unlink()
            raise ValueError(
                f"{remote.file}: its sha256 is {digests['sha256']}, the first time it was {facts['sha256']}: the file "
                f"behind the address was changed. To take the new one, remove its entry from {record.path}"
            )
    facts = {"sha256": digests["sha256"], "bytes": archive.stat().st_size, "from": origin}
    folder = data_root / remote.addresses[0].folder
    if archives.is_archive(archive.name):
        with TransferProgress(f"unpacking {archive.name}") as progress:
            try:
                count = archives.unpack(archive, folder, None if quiet else progress)
            except archives.Damaged as error:
                archive.unlink()  # nothing of it is remembered: the same command gets it anew
                raise ValueError(f"{error}; it was removed, the same command fetches it again") from None
        print(f"{folder}: {count:,} files of {archive.name}")
    else:
        count, place = 1, folder / remote.file
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(archive, place)
        by_hand = "; unpack it there with another program" if place.suffix in (".rar", ".7z") else ""
        print(f"{place}{by_hand}")
    record.remember(remote.name, remote.file, **{**facts, "unpacked": count})
    if not remote.digest:
        print(f"{remote.file}: no digest is published; sha256 {digests['sha256']} is kept in {record.path}")
    if archive.is_file() and not keep_archives:
        archive.unlink()
    for empty in (archive.parent, archive.parent.parent):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def lines(data_root: Path) -> list[str]:
    """A line a data set: name, its files and their sizes, licence, whether its test set is under the data root."""
    found = []
    for name, remotes in sources().items():
        sizes = [remote.size_bytes for remote in remotes if remote.downloads]
        known = sum(size or 0 for size in sizes) / 1e9
        unknown_count = sum(size is None for size in sizes)
        size = f"{known:,.1f} GB" if known else ""
        size += f"{' and ' if size else ''}{unknown_count} of unknown size" if unknown_count else ""
        tests = [test for test in TESTSETS if WITHIN.get(test, test) == name]
        here = (
            "here" if tests and all(TESTSETS[test].find(data_root) for test in tests) else "not here" if tests else ""
        )
        how = f"{len(sizes)} files, {size}" if sizes else "by browser"
        licences = "; ".join(sorted({remote.licence for remote in remotes}))
        found.append(
            "\t".join([name, how, licences, f"test sets {', '.join(tests)}" if tests else "", here]).rstrip("\t")
        )
    return found


def plan(remotes: Sequence[RemoteFile], data_root: Path, mirror: str) -> list[str]:
    """What would be fetched, in lines; nothing is asked for or written. Errors: ValueError."""
    found = []
    for remote in remotes:
        size = f"{remote.size_bytes / 1e9:,.2f} GB" if remote.size_bytes else "size not known"
        digest = remote.digest or "no digest is published: it will be kept after the first time"
        place = data_root / remote.addresses[0].folder
        found.append(f"{remote.name}\t{remote.file}\tto {place}\t{size}\t{digest}\t{remote.licence}")
        found += [f"\tfrom {address.url}" for address in addresses_of(remote, mirror)]
        found += [f"\tpage {address.url}" for address in remote.addresses if address.state == "page"]
    return found
