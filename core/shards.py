"""Images inside tar shards (WebDataset's form): a path such as `train-000003.tar/scene/000120.blur.png` names one.

A shard holds a fixed number of pairs. While it fills up, its images lie loose in `train-000003.tar.open/`; when it is
full, or the set is finished, it is packed in one step and the loose ones are deleted. Whoever reads a path through this
module does not see the difference. Source of the form: the WebDataset library's documentation: the members of one
sample share the name up to the first dot.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from core import files

SUFFIX = ".tar"
OPEN_SUFFIX = ".tar.open"


def shard_name(split: str, index: int) -> str:
    """Name of a shard by its number."""
    return f"{split}-{index:06d}{SUFFIX}"


def inside_shard(path: Path) -> tuple[Path, str] | None:
    """(shard, member) of a path that goes through a tar; None for any other path."""
    path = Path(path)
    for parent in path.parents:
        if parent.suffix == SUFFIX and not parent.is_dir():
            return parent, path.relative_to(parent).as_posix()
    return None


def exists(path: Path) -> bool:
    """Is there such a file, loose or inside a shard?"""
    found = inside_shard(path)
    if found is None:
        return Path(path).is_file()
    shard, member = found
    return member in _members(shard) if shard.is_file() else _loose(shard, member).is_file()


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, loose or inside a shard. Errors: OSError; ValueError for a shard that is no tar file."""
    found = inside_shard(path)
    if found is None:
        files.require_file(path)
        return Path(path).read_bytes()
    shard, member = found
    if not shard.is_file():
        return _loose(shard, member).read_bytes()
    place = _members(shard).get(member)
    if place is None:
        raise FileNotFoundError(2, f"no member {member} in the shard", str(shard))
    offset, size = place
    with open(shard, "rb") as stream:
        stream.seek(offset)
        return stream.read(size)


def sha256_of(path: Path) -> str:
    """Hex sha256 of such a file. Errors: as `read_bytes`."""
    if inside_shard(path) is None:
        return files.sha256_of(path)
    return hashlib.sha256(read_bytes(path)).hexdigest()


def member_of(name: str) -> str:
    """A path relative to the set, without the shard that it goes through, if any."""
    head, _, rest = name.partition("/")
    return rest if head.endswith(SUFFIX) else name


def write_loose(path: Path, data: bytes) -> None:
    """Put an image where its shard will take it from, atomically. Errors: OSError."""
    found = inside_shard(path)
    assert found is not None, f"{path} goes through no shard"
    files.write_bytes(_loose(*found), data)


def pack(shard: Path, samples: Sequence[tuple[str, dict[str, Path], dict[str, object]]]) -> None:
    """Make a shard of (key, {extension: path inside the shard}, values for the .json member); same input, same bytes.

    The shard appears in one step; then the loose files go. Errors: OSError; what was there before stays.
    """
    from webdataset import TarWriter

    # Neither times nor owners: the same pairs give the same bytes.
    with files.replacing(shard) as stream, TarWriter(stream, encoder=False, mtime=0, user="", group="") as writer:
        for key, images, values in samples:
            sample: dict[str, object] = {extension: read_bytes(path) for extension, path in images.items()}
            sample["json"] = json.dumps(values, ensure_ascii=False).encode("utf-8")
            writer.write({"__key__": key, **sample})
    remove_loose(shard)


def unpack(shard: Path, keep: Sequence[Path]) -> None:
    """Lay the given images of a shard loose again and delete the shard, to fill it up anew. Errors: OSError."""
    if shard.is_file():
        for path in keep:
            write_loose(path, read_bytes(path))
        shard.unlink()


def remove_loose(shard: Path) -> None:
    """Delete what lies loose for a shard that is packed."""
    shutil.rmtree(_open_folder(shard), ignore_errors=True)


def _open_folder(shard: Path) -> Path:
    return shard.with_name(shard.name.removesuffix(SUFFIX) + OPEN_SUFFIX)


def _loose(shard: Path, member: str) -> Path:
    return _open_folder(shard) / member


def _members(shard: Path) -> dict[str, tuple[int, int]]:
    state = shard.stat()
    return _index(shard, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _index(shard: Path, mtime_ns: int, size: int) -> dict[str, tuple[int, int]]:
    """Where the members of a shard lie: name -> (offset, bytes). mtime_ns and size only tell a changed file."""
    try:
        with tarfile.open(shard, "r:") as archive:
            return {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
    except tarfile.TarError as error:
        raise ValueError(f"{shard}: not a tar file, or a damaged one ({error}); make the set again") from None
