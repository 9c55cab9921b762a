"""Downloads from a server on 127.0.0.1 that cuts, drips, redirects and lies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import downloads
from core.downloads import Refused, download, facts_path, mirror_address
from core.sources import Address, RemoteFile
from tests.core.fault_server import (
    Server,
    chunked,
    cut,
    dripping,
    dripping_head,
    fault_server,
    garbage,
    good,
    packed,
    raw,
    redirect,
    silent,
    status,
)

CONTENT = bytes(range(256)) * 500  # 128,000 bytes
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "PAUSE_S", 0.0)
    monkeypatch.setattr(downloads, "TIMEOUT_S", 0.4)
    monkeypatch.setattr(downloads, "TRIES", 3)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fault_server() as state:
        yield state


def address(url: str, digest: str = SHA256, size: int | None = None, file: str = "net.pth") -> Address:
    return Address(name="net", file=file, url=url, digest=digest, size_bytes=size)


def test_a_good_answer(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    for digest in (SHA256, MD5, f"prefix:{SHA256[7:15]}", ""):
        source = address(server.serve("/net.pth", good(CONTENT)), digest, len(CONTENT))
        digests, used = download([source], tmp_path / "deep" / "net.pth", lambda *seen: told.append(seen))
        assert (tmp_path / "deep" / "net.pth").read_bytes() == CONTENT
        assert digests == {"sha256": SHA256[7:], "md5": MD5[4:]} and used is source
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert os.listdir(tmp_path / "deep") == ["net.pth"]


def test_cut_off_answers_are_continued(server: Server, tmp_path: Path) -> None:
    source = address(server.serve("/net.pth", cut(CONTENT, 50_000), cut(CONTENT, 30_000), good(CONTENT)))
    download([source], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert server.ranges("/net.pth") == [None, "bytes=50000-", "bytes=80000-"]
    assert server.requests[1][1]["If-Range"] == '"one"'


def test_a_second_call_goes_on(server: Server, tmp_path: Path) -> None:
    source = address(server.serve("/net.pth", *[cut(CONTENT, 10_000)] * 3, good(CONTENT)))
    with pytest.raises(Refused, match=r"30,000 bytes are kept; the same command goes on there"):
        download([source], tmp_path / "net.pth")
    part = tmp_path / ".net.pth.part"
    assert part.read_bytes() == CONTENT[:30_000] and not (tmp_path / "net.pth").exists()
    download([source], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT and server.ranges("/net.pth")[-1] == "bytes=30000-"
    assert os.listdir(tmp_path) == ["net.pth"]


def test_a_file_that_changed_in_between_is_loaded_anew(server: Server, tmp_path: Path) -> None:
    old = b"old" * 50_000
    source = address(server.serve("/net.pth", cut(old, 60_000, '"old"'), good(CONTENT, '"new"')))
    download([source], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_half_of_another_file_is_found_out_by_the_digest(server: Server, tmp_path: Path) -> None:
    """A server without validators, whose file changed between two calls."""
    source = address(server.serve("/net.pth", good(CONTENT, etag="")))
    part = tmp_path / ".net.pth.part"
    part.write_bytes(b"x" * 5000)
    facts_path(part).write_text(json.dumps({"url": source.url, "validator": ""}))
    download([source], tmp_path / "net.pth")
    assert server.ranges("/net.pth") == ["bytes=5000-", None]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_without_validator_and_digest_half_a_file_is_not_trusted(server: Server, tmp_path: Path) -> None:
    source = address(server.serve("/net.pth", cut(CONTENT, 40_000, etag=""), good(CONTENT, etag="")), digest="")
    download([source], tmp_path / "net.pth")
    assert server.ranges("/net.pth") == [None, None] and (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_complete_half_is_not_loaded_again(server: Server, tmp_path: Path) -> None:
    """Killed between the last byte and the rename."""
    source = address(server.serve("/net.pth", good(CONTENT)))
    part = tmp_path / ".net.pth.part"
    part.write_bytes(CONTENT)
    facts_path(part).write_text(json.dumps({"url": source.url, "validator": '"one"'}))
    download([source], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT and len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (good(b"something else" * 100), r"its sha256 is \w{64}, \w{64} is the published one"),
        (good(b""), "the answer is empty"),
        (good(b"<!DOCTYPE html><p>log in", kind="text/html; charset=utf-8"), "a web page in place of the file"),
        (good(b"\n  <HTML><p>quota"), "a web page in place of the file"),
        (status(404), r"there is no such file \(status 404\)"),
        (status(403), "it forbids the access"),
        (status(401), "it asks for a log-in"),
        (status(410), "it is gone"),
        (status(204), r"it does not give the file \(status 204\)"),
        (status(500), r"the error 500 \(3 tries\)"),
        (status(503, Retry_After="0"), r"the error 503 \(3 tries\)"),
        (silent(1.0), r"it does not answer in time \(3 tries\)"),
        (dripping_head(3.0), r"it does not answer in time \(3 tries\)"),
        (garbage(b"\x00\x01 no http\r\n\r\n"), "the connection broke"),
        (garbage(b""), "the connection broke"),
        (dripping(CONTENT, 0.1), "more slowly than a thousand bytes a second"),
        (raw(b"", Content_Length="-5"), "the answer is empty"),
        (raw(CONTENT[:100], status="206", Content_Range="bytes 50-149/150"), "another part of the file"),
        (raw(CONTENT[:100], status="206"), "another part of the file"),
        (raw(b"garbage", Content_Encoding="gzip"), "3 tries"),
    ],
)
def test_bad_answers_end_in_one_sentence(server: Server, tmp_path: Path, answer, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as error:
        download([address(server.serve("/net.pth", answer))], tmp_path / "net.pth")
    assert "\n" not in str(error.value) and not (tmp_path / "net.pth").exists()


def test_wrong_sizes_are_seen_before_the_download(server: Server, tmp_path: Path) -> None:
    source = address(server.serve("/net.pth", good(CONTENT)), size=len(CONTENT) + 1)
    with pytest.raises(Refused, match="it announces 128,000 bytes, 128,001 are the file"):
        download([source], tmp_path / "net.pth")
    assert not list(tmp_path.iterdir())


def test_an_answer_without_end_is_stopped(server: Server, tmp_path: Path) -> None:
    source = address(server.serve("/net.pth", raw(CONTENT * 3)), size=len(CONTENT))
    with pytest.raises(Refused, match="more than the 128,000 bytes"):
        download([source], tmp_path / "net.pth")


def test_answers_in_chunks_and_packed_ones(server: Server, tmp_path: Path) -> None:
    for answer in (chunked(CONTENT), packed(CONTENT), raw(CONTENT)):
        download([address(server.serve("/net.pth", answer))], tmp_path / "net.pth")
        assert (tmp_path / "net.pth").read_bytes() == CONTENT
        (tmp_path / "net.pth").unlink()
    with pytest.raises(Refused, match=r"\(3 tries"):
        download([address(server.serve("/net.pth", chunked(CONTENT[:3000], ended=False)))], tmp_path / "net.pth")


def test_redirects(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT_S", 10.0)
    last = server.serve("/last", good(CONTENT))
    download([address(server.serve("/first", redirect(last)))], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    circle = server.serve("/circle", redirect(f"{server.url}/circle"))
    with pytest.raises(Refused, match="leads in circles"):
        download([address(circle)], tmp_path / "other.pth")
    for outside in ("file:///etc/passwd", "ftp://127.0.0.1/net.pth"):
        with pytest.raises(Refused, match="leads to an address that is none"):
            download([address(server.serve("/out", redirect(outside)))], tmp_path / "other.pth")
    with pytest.raises(Refused, match="only http and https"):
        download([address("file:///etc/passwd")], tmp_path / "other.pth")


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    first = address(server.serve("/gone", status(404)))
    second = address(server.serve("/wrong", good(b"other")))
    third = address(server.serve("/right", good(CONTENT)))
    _, used = download([first, second, third], tmp_path / "net.pth")
    assert used is third and (tmp_path / "net.pth").read_bytes() == CONTENT
    with pytest.raises(Refused, match=r"/gone: there is no such file .*; http.*/wrong: its sha256"):
        download([first, second], tmp_path / "other.pth")


def test_nobody_answers(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"it refuses the connection \(3 tries\)"):
        download([address("http://127.0.0.1:9/net.pth")], tmp_path / "net.pth")


def test_proxies_of_the_environment(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is asked for the whole address."""
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", server.url)
    server.serve("http://somewhere.example/net.pth", good(CONTENT))
    download([address("http://somewhere.example/net.pth")], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_full_disk_is_said_before(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match="128,000 bytes are needed, 1,000 are free"):
        download([address(server.serve("/net.pth", good(CONTENT)))], tmp_path / "net.pth")


def test_an_interruption_keeps_what_is_there(server: Server, tmp_path: Path) -> None:
    def stop(loaded: int, _: int | None) -> None:
        if loaded > 20_000:
            raise KeyboardInterrupt

    source = address(server.serve("/net.pth", good(CONTENT)))
    with pytest.raises(KeyboardInterrupt):
        download([source], tmp_path / "net.pth", stop)
    kept = (tmp_path / ".net.pth.part").stat().st_size
    assert 0 < kept <= len(CONTENT)
    download([source], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_mirror_has_files_by_name(server: Server, tmp_path: Path) -> None:
    file = RemoteFile(name="net", file="a b.pth", addresses=(address("https://example.org/x", file="a b.pth"),))
    source = mirror_address(server.url + "/", file)
    assert source.url == f"{server.url}/net/a%20b.pth" and source.digest == SHA256
    for wrong in ("mirror.example", "file:///tmp", "http://"):
        with pytest.raises(ValueError, match="begins with http:// or https://"):
            mirror_address(wrong, file)


def test_google_drive_is_asked_through_its_question(server: Server, tmp_path: Path, monkeypatch) -> None:
    """A large file: first a page that asks, then, at the address in its form, the file. Both hosts lead to ours."""
    import requests

    send = requests.adapters.HTTPAdapter.send

    def to_server(self, request, **settings):
        for host in ("https://drive.google.com", "https://drive.usercontent.google.com"):
            request.url = request.url.replace(host, server.url)
        return send(self, request, **settings)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", to_server)
    page = (
        b'<html><form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
        b'<input type="hidden" name="id" value="abc"><input type="hidden" name="confirm" value="t"></form></html>'
    )
    server.serve("/uc?id=abc", good(page, kind="text/html"))
    body = raw(CONTENT, Content_Disposition='attachment; filename="x.bin"', Content_Type="application/octet-stream")
    server.serve("/download?id=abc&confirm=t", body)
    url = "https://drive.google.com/uc?id=abc"
    download([address(url)], tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT and os.listdir(tmp_path) == ["net.pth"]
    server.serve("/uc?id=abc", good(b"<html><p class='uc-error-subcaption'>Too many users</p>", kind="text/html"))
    with pytest.raises(Refused, match="Google Drive does not give it") as error:
        download([address(url)], tmp_path / "other.pth")
    assert "\n" not in str(error.value)


def test_two_at_once_end_with_a_whole_file(server: Server, tmp_path: Path) -> None:
    source = address(server.serve("/net.pth", good(CONTENT)))
    errors: list[Exception] = []

    def work() -> None:
        try:
            download([source], tmp_path / "net.pth")
        except (Refused, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "net.pth").read_bytes() == CONTENT and os.listdir(tmp_path) == ["net.pth"]
    assert all("is being fetched by another command" in str(error) for error in errors)
