"""A small study on disk and a server of it in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from core.image_files import write_image

ROOT = Path(__file__).resolve().parents[3]
SERVE = str(ROOT / "benchmark/preference/serve.py")
METHODS = ("blur", "middle", "sharp")


def small_study(folder: Path, images: int = 4, height: int = 32, width: int = 48) -> Path:
    """METHODS x images of noise, the later method the more of it."""
    for number, method in enumerate(METHODS):
        for image in range(images):
            rng = np.random.default_rng(image)
            pixels = 0.5 + 0.1 * number * rng.standard_normal((height, width, 3))
            path = folder / method / "scene" / f"{image:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    return folder


@contextmanager
def server(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running serve.py on a free port and its address. It is killed at the end (SIGKILL)."""
    command = [sys.executable, "-u", SERVE, "--images", str(folder), "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        yield process, address.rstrip("/")
    finally:
        process.kill()
        process.wait()


def asked(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return dict(json.load(answer))


def voted(address: str, participant: str, body: object) -> tuple[int, dict[str, Any]]:
    """Status and answer of a vote."""
    request = urllib.request.Request(f"{address}/vote/{participant}", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return error.code, dict(json.load(error))
