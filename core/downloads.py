"""Downloads that go on where they stopped and believe nothing: size, kind and digest of an answer are checked.

One file may have several addresses; they are tried in turn. Half a file stays as `.NAME.part` beside its place, with
`.NAME.part.json` that says which answer it is a part of, and a later call goes on there. A file gets its name when
it is complete and its digest is right. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY and so on).
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from core import files
from core.sources import Address, RemoteFile, digests_of, fits

if TYPE_CHECKING:
    import requests

MIRROR_VARIABLE = "DEBLUR_BENCH_MIRROR"
TRIES = 5  # of one address, each going on where the one before stopped
PAUSE_S = 1.0  # before the second try; doubled for every further one
LONGEST_PAUSE_S = 60.0
TIMEOUT_S = 30.0  # for an answer, and for the next bytes of one
MOST_REDIRECTS = 10
HEADS = 3  # timeouts that the head of an answer may take, redirects included
SLOWEST_BYTES_S = 1000.0  # on average over a timeout; slower counts as standing still
BLOCK_BYTES = 1 << 18
AGENT = "deblur-bench"
PAGE_BEGINNINGS = (b"<!doctype html", b"<html")
PAGE_SUFFIXES = (".html", ".htm")

Report = Callable[[int, int | None], None]  # bytes so far, bytes in all (None: nobody says)


class Refused(ValueError):
    """An address does not give the file, and asking again would not help."""


class _Broken(Exception):
    """An answer ended early or could not be had; asking again may help."""


def mirror_address(mirror: str, file: RemoteFile) -> Address:
    """Where a mirror has a file: MIRROR/NAME/FILE. The digest is the file's own.

    Errors: ValueError if the mirror is not an address that begins with http:// or https://.
    """
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"a mirror is an address that begins with http:// or https://, got {mirror!r}")
    url = f"{mirror.rstrip('/')}/{quote(file.name)}/{quote(file.file)}"
    return Address(name=file.name, file=file.file, url=url, size_bytes=file.size_bytes, digest=file.digest)


def download(
    addresses: Sequence[Address], target: Path, report: Report | None = None
) -> tuple[dict[str, str], Address]:
    """Get a file from the first address that gives it, to `target`; returns its digests and that address.

    A target that is there is replaced. Errors: Refused, one sentence with the reason of every address; OSError (disk
    full); KeyboardInterrupt, and what was loaded so far stays.
    """
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    try:
        with FileLock(lock, timeout=0):
            try:
                return _first_that_gives(addresses, target, report)
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise Refused(f"{target.name} is being fetched by another command") from None


def _first_that_gives(
    addresses: Sequence[Address], target: Path, report: Report | None
) -> tuple[dict[str, str], Address]:
    reasons: list[str] = []
    for address in addresses:
        part = target.with_name(f".{target.name}.part")
        went_on = part.is_file()
        try:
            if is_drive(address.url):
                part = _from_drive(address, target, report)
            else:
                _from_server(address, part, report)
            try:
                digests = _checked(address, part)
            except Refused:
                if not went_on:
                    raise
                _from_server(address, part, report)  # the first half may have been of another file
                digests = _checked(address, part)
        except Refused as error:
            reasons.append(f"{address.url}: {error}")
            continue
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(part, target)
        facts_path(part).unlink(missing_ok=True)
        return digests, address
    raise Refused(f"{target.name} could not be had: {'; '.join(reasons) or 'no address is known'}")


def facts_path(part: Path) -> Path:
    """The small file beside half a file that says which answer it is a part of."""
    return part.with_name(f"{part.name}.json")


def _checked(address: Address, part: Path) -> dict[str, str]:
    """The digests of a complete file. Errors: Refused for a wrong size, a web page or another digest; it is removed."""
    size = part.stat().st_size
    fault = ""
    if address.size_bytes is not None and size != address.size_bytes:
        fault = f"it gives {size:,} bytes, {address.size_bytes:,} are the file"
    elif not size:
        fault = "the answer is empty"
    elif not part.name.removesuffix(".part").endswith(PAGE_SUFFIXES) and _is_page(part):
        fault = "it gives a web page in place of the file (a log-in, a question, or an error)"
    digests = {} if fault else digests_of(part)
    if digests and not fits(digests, address.digest):
        kind, _, wanted = address.digest.removeprefix("archive-").partition(":")
        got = digests["md5" if kind == "md5" else "sha256"]
        kind = kind.replace("prefix", "sha256")
        fault = f"its {kind} is {got}, {wanted} is the published one: another file, or one that was changed"
    if fault:
        part.unlink()
        facts_path(part).unlink(missing_ok=True)
        raise Refused(fault)
    return digests


def _is_page(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(512).lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(PAGE_BEGINNINGS)


def is_drive(url: str) -> bool:
    """Whether an address is a file in Google Drive, which asks back before it gives a large one."""
    parts = urlsplit(url)
    return parts.hostname in ("drive.google.com", "docs.google.com") and "id" in parse_qs(parts.query)


def _from_drive(address: Address, target: Path, report: Report | None) -> Path:
    """Google Drive through gdown, which answers its questions. Returns the complete file's temporary place."""
    import gdown
    import requests

    part = target.with_name(f".{target.name}.drive.part")
    try:
        gdown.download(
            url=address.url,
            output=str(part),
            quiet=True,
            resume=True,
            use_cookies=False,
            timeout=TIMEOUT_S,
            retries=TRIES - 1,
            progress=report,
        )
    except (requests.RequestException, gdown.exceptions.DownloadError, ValueError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise Refused(f"Google Drive does not give it ({' '.join(lines[:3])[:200] or type(error).__name__})") from None
    return part


def _from_server(address: Address, part: Path, report: Report | None) -> None:
    """An http or https server, in several tries. Errors: Refused, OSError."""
    import requests
    import urllib3

    if urlsplit(address.url).scheme not in ("http", "https"):
        raise Refused("only http and https addresses are downloaded")
    reason = ""
    with requests.Session() as session:
        session.max_redirects = MOST_REDIRECTS
        session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        for number in range(TRIES):
            pause = PAUSE_S * 2 ** (number - 1) if number else 0.0
            try:
                time.sleep(min(pause, LONGEST_PAUSE_S))
                _one_try(session, address, part, report)
                return
            except _Broken as error:
                reason = str(error)
            except requests.exceptions.TooManyRedirects:
                raise Refused("it leads in circles") from None
            except requests.exceptions.SSLError as error:
                raise Refused(f"its certificate is not valid ({_short(error)})") from None
            except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
                raise Refused(f"it leads to an address that is none ({_short(error)})") from None
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if isinstance(error, OSError) and error.errno in (
                    errno.ENOSPC,
                    errno.EDQUOT,
                    errno.EACCES,
                    errno.EROFS,
                ):
                    raise
                reason = _short(error)
    kept = part.stat().st_size if part.is_file() else 0
    rest = f", {kept:,} bytes are kept; the same command goes on there" if kept else ""
    raise Refused(f"{reason} ({TRIES} tries{rest})")


def _short(error: Exception) -> str:
    """A library's message in a few words: connection refused, timed out, name not known."""
    text = str(error)
    for pattern, words in (
        (r"[Tt]imed? ?out", "it does not answer in time"),
        (
            r"NameResolution|Name or service|getaddrinfo|Temporary failure in name",
            "there is no such host, or no network",
        ),
        (r"Connection refused", "it refuses the connection"),
        (r"ProxyError|Tunnel connection", "the proxy does not let it through"),
        (r"IncompleteRead|Connection broken|reset by peer|without response|Connection aborted", "the connection broke"),
    ):
        if re.search(pattern, text):
            return words
    return f"{type(error).__name__}: {' '.join(text.split())[:120]}"


def _one_try(session: requests.Session, address: Address, part: Path, report: Report | None) -> None:
    """Ask once, from where half a file ends. Errors: Refused, _Broken, what requests raises, OSError."""
    started, validator = _half(part, address)
    headers = {"Range": f"bytes={started}-"} if started else {}
    if started and validator:
        headers["If-Range"] = validator
    with _answered(session, address.url, headers) as answer:
        if any(step.url.startswith("https:") for step in answer.history) and answer.url.startswith("http:"):
            raise Refused(f"it leads from a secure address to one that is not ({answer.url})")
        total = _total(answer, started)
        if answer.status_code == 416:
            if total is not None and total == started:
                return
            part.unlink(missing_ok=True)
            raise _Broken("what was loaded so far is no part of the file any more")
        if answer.status_code not in (200, 206):
            _refuse_status(answer)
        if answer.status_code == 200:
            started = 0
        kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind == "text/html" and not address.file.endswith(PAGE_SUFFIXES):
            raise Refused("it gives a web page in place of the file (a log-in, a question, or an error)")
        if total is not None and address.size_bytes is not None and total != address.size_bytes:
            raise Refused(f"it announces {total:,} bytes, {address.size_bytes:,} are the file")
        expected = total if total is not None else address.size_bytes
        _need_room(part, None if expected is None else expected - started)
        etag = answer.headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
        files.write_json(facts_path(part), {"url": address.url, "validator": validator})
        loaded = _store(answer, part, started, expected, report)
    if expected is not None and loaded < expected:
        raise _Broken(f"the answer ends after {loaded:,} of {expected:,} bytes")


def _answered(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """The answer's head, after redirects. A server that drips its head would keep the library's own limits from acting.

    Errors: _Broken, what requests raises.
    """
    found: list[requests.Response | BaseException] = []

    def ask() -> None:
        try:
            found.append(session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HEADS * TIMEOUT_S)
    if not found:
        raise _Broken("it does not answer in time")
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _half(part: Path, address: Address) -> tuple[int, str]:
    """(bytes, validator) of half a file that this address can go on with; (0, "") if there is none.

    Where the server gave nothing to tell two versions of the file apart, the digest must be able to.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(facts_path(part).read_text(encoding="utf-8"))
        size, validator = part.stat().st_size, str(facts["validator"])
        if facts["url"] == address.url and size and (validator or address.digest):
            return size, validator
    return 0, ""


def _total(answer: requests.Response, started: int) -> int | None:
    """How many bytes the whole file has, as the answer says it. Errors: _Broken for a part that was not asked for."""
    if answer.status_code in (206, 416):
        stated = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if answer.status_code == 206 and (stated is None or stated[1] is None or int(stated[1]) != started):
            raise _Broken("it gives another part of the file than was asked for")
        return int(stated[3]) if stated and stated[3].isdecimal() else None
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        return None  # the length is that of the packed answer
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _refuse_status(answer: requests.Response) -> None:
    """Errors: _Broken for an answer that may be another one later, Refused for the others."""
    code = answer.status_code
    words = {401: "it asks for a log-in", 403: "it forbids the access", 404: "there is no such file", 410: "it is gone"}
    if code in (408, 425, 429) or code >= 500:
        wait = answer.headers.get("Retry-After", "")
        if wait.isdecimal():
            time.sleep(min(float(wait), LONGEST_PAUSE_S))
        raise _Broken(f"it answers with the error {code}")
    raise Refused(f"{words.get(code, 'it does not give the file')} (status {code})")


def _need_room(part: Path, needed: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed is not None and needed > free:
        sentence = f"No space left on device: {needed:,} bytes are needed, {free:,} are free"
        raise OSError(errno.ENOSPC, sentence, str(part.parent))


def _store(answer: requests.Response, part: Path, started: int, expected: int | None, report: Report | None) -> int:
    """Write an answer's body from `started` on; returns the size then. Errors: Refused, _Broken, OSError."""
    loaded = started
    with part.open("rb+" if started else "wb") as stream:
        stream.seek(started)
        stream.truncate()
        since, before = time.monotonic(), loaded
        # Not in whole blocks: a server that drips would keep one waiting for hours.
        while block := answer.raw.read1(BLOCK_BYTES, decode_content=True):
            stream.write(block)
            loaded += len(block)
            if expected is not None and loaded > expected:
                raise Refused(f"it gives more than the {expected:,} bytes of the file")
            if report is not None:
                report(loaded, expected)
            now = time.monotonic()
            if now - since > TIMEOUT_S:
                if loaded - before < SLOWEST_BYTES_S * (now - since):
                    raise _Broken("it gives the file more slowly than a thousand bytes a second")
                since, before = now, loaded
    return loaded
