"""The work that is disturbed: small commands of every kind, their output, and what of it must be the same bytes."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.image_files import write_image

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
# What times, hosts and other programs write: not the same twice.
APART = ("run.json", "cost.csv", "cost.json", "checkpoint.json", "report.html", "methods.csv")
APART_FOLDERS = ("tensorboard",)
PAGES = ("index.html", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "contact-gopro.png")  # hold times


@dataclass(frozen=True, kw_only=True)
class Task:
    """words: the command line without --out; again: what it takes to go on. needed: files that a finished one has."""

    name: str
    words: tuple[str, ...]
    again: tuple[str, ...] = ("--resume",)
    needed: tuple[str, ...] = ()

    def command(self, out: Path, *more: str) -> list[str]:
        return [sys.executable, *self.words, "--out", str(out), *more]


def inputs(home: Path) -> Path:
    """Frames, photographs, a GoPro tree and pairs for all tasks, the same for the same code."""
    from tests.benchmark.run_data import make_gopro, make_pairs

    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.random((24, 60, 3)), (300, 96), interpolation=cv2.INTER_CUBIC)
    frames = np.clip(texture * 255, 0, 255).astype(np.uint8)
    for number in range(24):
        write_image(
            home / "frames" / f"{number:04d}.png", np.ascontiguousarray(frames[:, 3 * number : 3 * number + 128])
        )
    for number in range(2):
        write_image(home / "photographs" / f"p{number}.png", rng.integers(0, 255, (160, 200, 3), dtype=np.uint8))
    make_gopro(home / "data")
    make_pairs(home / "pairs")
    (home / "no-weights").mkdir(exist_ok=True)
    return home


def tasks(home: Path) -> dict[str, Task]:
    """All kinds of work that must survive a kill."""
    video = ("synth/make_pairs.py", "--video", str(home / "frames"), "--fps", "240", "--interp", "2x", "--window", "3")
    pairs = (*video, "--workers", "1", "--device", "cpu")
    train = ("models/train.py", "--pairs", str(home / "pairs"), "--device", "cpu", "--threads", "1", "--steps", "6")
    bench = ("benchmark/run.py", "--methods", "identity,richardson-lucy", "--testsets", "gopro", "--device", "cpu")
    bench += ("--data-root", str(home / "data"), "--metrics", "psnr", "--workers", "1")
    bench += ("--weights-dir", str(home / "no-weights"))
    photos = ("synth/make_pairs.py", "photos", str(home / "photographs"), "--blurs", "3", "--workers", "1")
    made = ("pairs.jsonl", "run.json")
    report = ("scores.csv", "leaderboard.csv", "leaderboard.md", "index.html")
    found = (
        Task(name="flat", words=pairs, needed=made),
        Task(name="webdataset", words=(*pairs, "--layout", "webdataset", "--shard-pairs", "3"), needed=made),
        Task(name="photographs", words=photos, needed=made),
        Task(name="training", words=(*train, "--model", "mimo-unet-test"), needed=("checkpoint.safetensors",)),
        Task(name="adversarial", words=(*train, "--model", "deblurgan-test"), needed=("checkpoint.safetensors",)),
        Task(name="benchmark", words=bench, needed=report),
    )
    return {task.name: task for task in found}


def digests(out: Path) -> dict[str, str]:
    """sha256 of every file of an output that must be the same whatever happened."""
    found = {}
    for path in sorted(out.rglob("*")):
        inside = path.relative_to(out)
        if path.is_file() and path.name not in (*APART, *PAGES) and not set(inside.parts) & set(APART_FOLDERS):
            found[inside.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def finished(task: Task, out: Path) -> subprocess.CompletedProcess[str]:
    """Run a task to its end, going on with whatever there is."""
    return subprocess.run(
        task.command(out, *task.again), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )


def killed_at(task: Task, out: Path, seconds: float) -> bool:
    """Start a task and kill it (-9, with its children) after so long; False if it had ended by then."""
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(
            task.command(out, *task.again),
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return True
    return False


def stored_votes(path: Path) -> list[tuple[str, int]]:
    """(participant, position) of the votes in a study's file."""
    with sqlite3.connect(path) as connection:
        return [
            (str(name), int(place)) for name, place in connection.execute("SELECT participant, position FROM votes")
        ]


def timed(function: Callable[[], object]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started
