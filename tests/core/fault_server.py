"""A file server on 127.0.0.1 that answers as badly as it is told to."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler"], None]


@dataclass
class Server:
    """url: of its root. answers: what to do for a path, one after the other, the last again and again."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path and headers of each request
    lock: Any = field(default_factory=threading.Lock)

    def serve(self, path: str, *answers: Answer) -> str:
        """Answer a path so; returns its address."""
        self.answers[path] = list(answers)
        return self.url + path

    def ranges(self, path: str) -> list[str | None]:
        """The header Range of every request for a path."""
        return [headers.get("Range") for seen, headers in self.requests if seen == path]


class Handler(BaseHTTPRequestHandler):
    server_state: Server

    def do_GET(self) -> None:
        state = self.server_state
        with state.lock:
            state.requests.append((self.path, dict(self.headers)))
            answers = state.answers.get(self.path)
            answer = None if not answers else answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def fault_server() -> Iterator[Server]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(url=f"http://127.0.0.1:{httpd.server_address[1]}")
    httpd.RequestHandlerClass = type("Bound", (Handler,), {"server_state": state})
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()


def good(content: bytes, etag: str = '"one"', kind: str = "application/octet-stream") -> Answer:
    """As a good server does: parts on request, if they are of this version."""

    def answer(handler: Handler) -> None:
        wanted = handler.headers.get("Range")
        same = not etag or handler.headers.get("If-Range", etag) == etag
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and same else 0
        if start and start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if etag:
            handler.send_header("ETag", etag)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:])

    return answer


def cut(content: bytes, after: int, etag: str = '"one"') -> Answer:
    """Announces all, and hangs up after some bytes."""

    def answer(handler: Handler) -> None:
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if etag:
            handler.send_header("ETag", etag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start : start + after])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def silent(seconds: float) -> Answer:
    """Takes the question and says nothing for a while."""

    def answer(handler: Handler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def dripping(content: bytes, pause: float) -> Answer:
    """A byte, a pause, a byte."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        try:
            for index in range(len(content)):
                handler.wfile.write(content[index : index + 1])
                handler.wfile.flush()
                time.sleep(pause)
        except OSError:
            pass

    return answer


def dripping_head(seconds: float) -> Answer:
    """Header after header, without an end."""

    def answer(handler: Handler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                handler.wfile.write(b"X-A: b\r\n")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass

    return answer


def garbage(content: bytes) -> Answer:
    """No HTTP at all."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def redirect(url: str) -> Answer:
    return status(302, Location=url)


def raw(content: bytes, **headers: str) -> Answer:
    """These headers and bytes, whatever they mean; no length unless it is among them."""

    def answer(handler: Handler) -> None:
        handler.send_response(int(headers.get("status", "200")))
        for name, value in headers.items():
            if name != "status":
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def chunked(content: bytes, *, ended: bool = True) -> Answer:
    """In chunks, without a length; not ended: hangs up before the last one."""

    def answer(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(content), 1000):
            piece = content[start : start + 1000]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if ended:
            handler.wfile.write(b"0\r\n\r\n")
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def packed(content: bytes) -> Answer:
    """Packed although nobody asked for it."""
    body = gzip.compress(content)
    return raw(body, Content_Encoding="gzip", Content_Length=str(len(body)))
