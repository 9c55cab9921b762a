"""Archives of strangers: what is in them lands in the folder, and nothing anywhere else."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.archives import extract, unpack

FILES = {"set/blur/1.png": b"a" * 3000, "set/sharp/1.png": b"b" * 10, "readme": b""}


def make(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("set/", b"")
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:" + path.suffix.removeprefix(".").replace("tgz", "gz").replace("tar", "")) as tar:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tgz", "set.tar.bz2", "set.tar.xz"])
def test_unpacking(tmp_path: Path, name: str) -> None:
    told = []
    archive = make(tmp_path / name, FILES)
    assert unpack(archive, tmp_path / "out", lambda *seen: told.append(seen)) == 3
    assert everything(tmp_path / "out") == FILES and told[-1] == (3010, 3010)
    extract(archive, "sharp/1.png", tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes() == b"b" * 10
    for ending, sentence in (("1.png", "has 2 files that end with 1.png"), ("p/1.png", "has 1 files|has 0 files")):
        with pytest.raises(ValueError, match=sentence):
            extract(archive, ending, tmp_path / "two.png")
    assert not (tmp_path / "two.png").exists()


def test_a_second_call_goes_on(tmp_path: Path) -> None:
    archive = make(tmp_path / "set.zip", FILES)
    unpack(archive, tmp_path / "out")
    before = (tmp_path / "out/set/blur/1.png").stat().st_mtime_ns
    (tmp_path / "out/set/sharp/1.png").unlink()
    unpack(archive, tmp_path / "out")
    assert everything(tmp_path / "out") == FILES
    assert (tmp_path / "out/set/blur/1.png").stat().st_mtime_ns == before
    (tmp_path / "out/readme").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"readme is there and is another file than the one in set\.zip"):
        unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/readme").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["set.zip", "set.tar"])
@pytest.mark.parametrize("evil", ["../out.txt", "/etc/x", "a/../../x", "C:\\x", "a\\..\\..\\x", "C:/x", "x" * 5000])
def test_names_that_lead_out(tmp_path: Path, name: str, evil: str) -> None:
    archive = make(tmp_path / name, {"fine.txt": b"1", evil: b"2"})
    with pytest.raises(ValueError, match="leads out of the folder; nothing was unpacked") as error:
        unpack(archive, tmp_path / "in" / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "in").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(ValueError, match="link is no plain file"):
        unpack(tmp_path / "set.tar", tmp_path / "out")


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc")
    with pytest.raises(ValueError, match="link is no plain file"):
        unpack(tmp_path / "set.zip", tmp_path / "out")


def test_a_link_that_lay_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "out" / "set")
    with pytest.raises(ValueError, match="because of a link there"):
        unpack(make(tmp_path / "set.zip", FILES), tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tar.xz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_damaged_archives(tmp_path: Path, name: str, damage: str) -> None:
    content = bytes(os.urandom(20_000))
    archive = make(tmp_path / name, {"set/a.png": content})
    data = bytearray(archive.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 2 : len(data) // 2 + 30] = b"x" * 30
    else:
        data = bytearray(b"" if damage == "empty" else b"no archive at all")
    archive.write_bytes(data)
    if name == "set.tar" and damage == "flipped":  # a plain tar has no check of its contents; the digest has
        return
    with pytest.raises(ValueError) as error:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(error.value) and not list(tmp_path.glob("out/set/*.png"))


def test_other_kinds_and_protected_ones(tmp_path: Path) -> None:
    (tmp_path / "set.rar").write_bytes(b"Rar!")
    with pytest.raises(ValueError, match="unpack it with another program"):
        unpack(tmp_path / "set.rar", tmp_path / "out")
    archive = make(tmp_path / "set.zip", FILES)
    data = archive.read_bytes()
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of a password
        start = data.index(signature)
        start = data.index(signature, start + 1)
        data = data[: start + place] + b"\x01" + data[start + place + 1 :]
    archive.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged, or of a kind that is not read here"):
        unpack(archive, tmp_path / "out")


def test_a_file_that_holds_more_than_it_states(tmp_path: Path) -> None:
    """A small size in the directory of a zip must not fill the disk."""
    archive = make(tmp_path / "set.zip", {"a": b"x" * 100_000})
    data = archive.read_bytes()
    stated = (100_000).to_bytes(4, "little")
    archive.write_bytes(data.replace(stated, (100).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"damaged|more than"):
        unpack(archive, tmp_path / "out")


def test_a_full_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(tmp_path / "set.zip", FILES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match="3,010 bytes are needed, 1,000 are free"):
        unpack(archive, tmp_path / "out")
    assert not everything(tmp_path / "out")
