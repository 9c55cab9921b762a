"""`benchmark/testsets.py`: data sets from a server on 127.0.0.1, unpacked to where the test sets look for them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.testsets import TESTSETS, command, fetching
from benchmark.testsets.fetching import names_of, sources
from core import archives, downloads
from core.sources import COLUMNS
from tests.core.fault_server import Server, cut, fault_server, good, status

ROOT = Path(__file__).resolve().parents[2]


def picture(seed: int, blurred: bool) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3 if blurred else 1)
    return cv2.imencode(".png", image)[1].tobytes()


def gopro_zip() -> bytes:
    """Two pairs in the layout of GOPRO_Large."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for frame in (1, 2):
            for kind in ("blur", "sharp"):
                archive.writestr(f"test/GOPR0384_11_00/{kind}/{frame:06d}.png", picture(frame, kind == "blur"))
    return stream.getvalue()


def evil_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ("fine.txt", "../outside.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"x"))
    return stream.getvalue()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    monkeypatch.setattr(downloads, "TRIES", 2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("DEBLUR_BENCH_MIRROR", raising=False)
    with fault_server() as state:
        rows = [
            ["gopro", "GOPRO_Large.zip", f"{state.url}/gopro.zip", "", "", "CC BY 4.0", "GOPRO_Large", "", "read", ""],
            ["evil", "evil.tar.gz", f"{state.url}/evil.tar.gz", "", "", "none stated", "", "", "read", ""],
            ["lai", "data", "https://example.org/lai", "", "", "none stated", "Lai", "", "page", ""],
            ["plain", "deep/list.json", f"{state.url}/list.json", "2", "", "none stated", "Plain", "", "read", ""],
            ["plain", "old.rar", f"{state.url}/old.rar", "", "", "none stated", "Plain", "", "read", ""],
        ]
        path = tmp_path / "sources.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        monkeypatch.setattr(fetching, "SOURCES", path)
        sources.cache_clear()
        yield state
    sources.cache_clear()


def run(*words: str, root: Path) -> int:
    return command.main([*words, "--data-root", str(root)])


def test_a_set_lands_where_the_benchmark_looks(server: Server, tmp_path: Path, capsys) -> None:
    content, root = gopro_zip(), tmp_path / "data"
    server.serve("/gopro.zip", cut(content, 5000), good(content))
    assert run("fetch", "gopro", "--agree", root=root) == 0
    out = capsys.readouterr().out
    assert (
        "gopro: licence: CC BY 4.0" in out and "4 files of GOPRO_Large.zip" in out and "no digest is published" in out
    )
    assert TESTSETS["gopro"].find(root) == root / "GOPRO_Large"
    sharp = root / "GOPRO_Large/test/GOPR0384_11_00/sharp/000002.png"
    assert sharp.read_bytes() == picture(2, False)
    assert sorted(path.name for path in root.iterdir()) == ["GOPRO_Large", "fetched.json"]
    facts = json.loads((root / "fetched.json").read_text())["files"]["gopro/GOPRO_Large.zip"]
    assert facts["sha256"] == hashlib.sha256(content).hexdigest() and facts["unpacked"] == 4

    asked = len(server.requests)
    assert run("fetch", "gopro", root=root) == 0 and len(server.requests) == asked
    assert "was fetched and unpacked before" in capsys.readouterr().out
    assert run("list", root=root) == 0
    assert "gopro\t1 files, 1 of unknown size\tCC BY 4.0\ttest sets gopro\there" in capsys.readouterr().out
    assert run("check", root=root) == 1  # two pairs are not the whole set
    out = capsys.readouterr().out
    assert "fail  gopro: complete" in out and "ok    gopro: blurred and sharp" in out


def test_an_interrupted_unpacking_goes_on(server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    root, copy, count = tmp_path / "data", archives._copy, [0]
    server.serve("/gopro.zip", good(gopro_zip()))

    def stop(*arguments) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        copy(*arguments)

    monkeypatch.setattr(archives, "_copy", stop)
    assert run("fetch", "gopro", "--agree", root=root) == 130
    assert "what was loaded is kept, and the same command goes on" in capsys.readouterr().err
    assert len(list((root / "GOPRO_Large").rglob("*.png"))) == 2
    monkeypatch.setattr(archives, "_copy", copy)
    asked = len(server.requests)
    assert run("fetch", "gopro", "--keep-archives", root=root) == 0 and len(server.requests) == asked
    assert len(list((root / "GOPRO_Large").rglob("*.png"))) == 4
    assert (root / ".archives/gopro/GOPRO_Large.zip").is_file()


def test_a_damaged_archive_is_fetched_anew(server: Server, tmp_path: Path, capsys) -> None:
    root = tmp_path / "data"
    server.serve("/gopro.zip", good(b"PK no zip"), good(gopro_zip(), '"two"'))
    assert run("fetch", "gopro", "--agree", root=root) == 2
    error = capsys.readouterr().err
    assert "GOPRO_Large.zip is damaged" in error and "the same command fetches it again" in error
    assert run("fetch", "gopro", root=root) == 0


def test_a_file_that_changed_behind_its_address(server: Server, tmp_path: Path, capsys) -> None:
    """Pinned at the first time: another content later is refused."""
    root = tmp_path / "data"
    server.serve("/gopro.zip", good(gopro_zip()))
    assert run("fetch", "gopro", "--agree", root=root) == 0
    record = json.loads((root / "fetched.json").read_text())
    del record["files"]["gopro/GOPRO_Large.zip"]["unpacked"]  # as if it had to be unpacked again
    (root / "fetched.json").write_text(json.dumps(record))
    server.serve("/gopro.zip", good(gopro_zip() + b"more"))
    assert run("fetch", "gopro", root=root) == 2
    error = capsys.readouterr().err
    assert "the file behind the address was changed" in error and "fetched.json" in error


def test_nothing_lands_outside(server: Server, tmp_path: Path, capsys) -> None:
    server.serve("/evil.tar.gz", good(evil_tar()))
    assert run("fetch", "evil", "--agree", root=tmp_path / "data") == 2
    assert "leads out of the folder; nothing was unpacked" in capsys.readouterr().err
    assert not list(tmp_path.rglob("outside.txt")) and not list(tmp_path.rglob("fine.txt"))


def test_files_that_are_no_archives(server: Server, tmp_path: Path, capsys) -> None:
    server.serve("/list.json", good(b"{}"))
    server.serve("/old.rar", good(b"Rar!"))
    assert run("fetch", "plain", "--agree", root=tmp_path / "data") == 0
    out = capsys.readouterr().out
    assert (tmp_path / "data/Plain/deep/list.json").read_bytes() == b"{}"
    assert (tmp_path / "data/Plain/old.rar").is_file() and "unpack it there with another program" in out


def test_some_files_and_failures(server: Server, tmp_path: Path, capsys) -> None:
    server.serve("/list.json", status(404))
    server.serve("/old.rar", good(b"Rar!"))
    assert run("fetch", "plain", "--files", "old.rar", "--agree", root=tmp_path / "data") == 0
    assert run("fetch", "plain,gopro", "--agree", root=tmp_path / "data") == 1
    printed = capsys.readouterr()
    assert "2 of 3 files could not be had: plain/deep/list.json, gopro/GOPRO_Large.zip" in printed.out
    assert printed.err.count("there is no such file") == 2
    assert run("fetch", "plain", "--files", "nonsense", root=tmp_path / "data") == 2
    assert "plain has no file 'nonsense'; there are deep/list.json, old.rar" in capsys.readouterr().err


def test_licences_mirrors_and_dry_runs(server: Server, tmp_path: Path, capsys) -> None:
    root = tmp_path / "data"
    assert run("fetch", "gopro", root=root) == 2
    assert "agree to the licence of gopro with --agree (once)" in capsys.readouterr().err
    assert run("fetch", "gopro,lai-real", "--dry-run", "--mirror", f"{server.url}/m", root=root) == 0
    out = capsys.readouterr().out
    assert f"from {server.url}/m/gopro/GOPRO_Large.zip" in out and "page https://example.org/lai" in out
    assert not server.requests and not root.exists()
    server.serve("/m/gopro/GOPRO_Large.zip", good(gopro_zip()))
    assert run("fetch", "gopro", "--agree", "--mirror", f"{server.url}/m", "--quiet", root=root) == 0
    assert [path for path, _ in server.requests] == ["/m/gopro/GOPRO_Large.zip"]
    assert run("fetch", "lai-real", root=root) == 0
    assert "a browser is needed for https://example.org/lai" in capsys.readouterr().out


def test_names(capsys, tmp_path: Path) -> None:
    sources.cache_clear()
    assert names_of("realblur-j,realblur-r,gopro") == ["realblur", "gopro"]
    for test in TESTSETS:
        if test not in fetching.OWN:
            assert names_of(test), test
    assert command.main(["fetch", "gopr"]) == 2
    assert "did you mean gopro" in capsys.readouterr().err
    assert command.main(["check", "nonsense"]) == 2
    assert command.main(["check", "kohler", "--data-root", str(tmp_path)]) == 0
    assert "get it with benchmark/testsets.py fetch kohler" in capsys.readouterr().out


def test_the_script_beside_the_package_of_its_name() -> None:
    script = [sys.executable, str(ROOT / "benchmark" / "testsets.py"), "fetch", "kohler", "--dry-run"]
    done = subprocess.run(script, cwd=ROOT.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "md5:61ffb1434d93fca6c508976a7216d723" in done.stdout, done.stderr
