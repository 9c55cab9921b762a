"""Work that is disturbed from outside: kills at random moments, a full disk, a second process, votes while killed."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

from tests.faults.tasks import ENVIRONMENT, ROOT, Task, digests, finished, killed_at, stored_votes


def reference(task: Task, home: Path) -> tuple[dict[str, str], float]:
    """The undisturbed output's digests, and how long it took."""
    out = home / f"{task.name}-whole"
    shutil.rmtree(out, ignore_errors=True)
    started = time.monotonic()
    run = finished(task, out)
    if run.returncode:
        raise RuntimeError(f"{task.name} does not work undisturbed: {run.stderr[-500:]}")
    return digests(out), time.monotonic() - started


def survives_a_kill(task: Task, home: Path, expected: dict[str, str], seconds: float) -> str:
    """Kill once after so long, go on, and compare; "" or what is wrong."""
    out = home / f"{task.name}-killed"
    shutil.rmtree(out, ignore_errors=True)
    was_killed = killed_at(task, out, seconds)
    run = finished(task, out)
    what = f"{task.name}, killed after {seconds:.2f} s" + ("" if was_killed else " (it had ended)")
    if run.returncode:
        return f"{what}: {run.stderr.strip()[-300:]}"
    if digests(out) != expected:
        different = {name for name in expected.keys() ^ digests(out).keys()}
        different |= {name for name, digest in digests(out).items() if expected.get(name) not in (None, digest)}
        return f"{what}: other bytes in {', '.join(sorted(different)[:5])}"
    missing = [name for name in task.needed if not (out / name).is_file()]
    return f"{what}: {missing[0]} is missing" if missing else ""


def kills(task: Task, home: Path, *, count: int, seed: int) -> list[str]:
    """What went wrong in so many kills at random moments."""
    rng = np.random.default_rng([seed, *task.name.encode()])
    expected, seconds = reference(task, home)
    moments = rng.uniform(0.05, 1.0, count) * seconds
    return [wrong for moment in moments if (wrong := survives_a_kill(task, home, expected, float(moment)))]


def report_is_made_again(task: Task, home: Path) -> list[str]:
    """A benchmark whose report was kept away by a kill makes it with the same command."""
    out = home / "report-again"
    shutil.rmtree(out, ignore_errors=True)
    wrong = []
    finished(task, out)
    for name in ("index.html", "leaderboard.csv"):
        (out / name).unlink()
        run = finished(task, out)
        if run.returncode or not (out / name).is_file():
            wrong.append(f"{name} was not made again")
    return wrong


def disk_full(task: Task, home: Path, size: str = "200k") -> str:
    """Run on a disk of that size, a tmpfs in a mount namespace; "" or what is wrong, "skipped" where that is forbidden
    or everything fitted.
    """
    out = home / f"{task.name}-full"
    out.mkdir(parents=True, exist_ok=True)
    command = " ".join(f"'{word}'" for word in task.command(out / "set", *task.again))
    script = f"mount -t tmpfs -o size={size} tmpfs '{out}' && {command}"
    run = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if "unshare" in run.stderr or "mount:" in run.stderr:
        return "skipped"
    if run.returncode == 0:
        return "skipped"  # it fitted
    if run.returncode != 1 or "Traceback" in run.stderr or "disk is full" not in run.stderr:
        return f"{task.name}, disk full: exit code {run.returncode}, {run.stderr.strip()[-300:]}"
    return ""


def two_at_once(task: Task, home: Path) -> str:
    """Two processes on one output folder: one works, the other says who does; "" or what is wrong."""
    expected, _ = reference(task, home)
    out = home / f"{task.name}-twice"
    shutil.rmtree(out, ignore_errors=True)
    both = [
        subprocess.Popen(
            task.command(out, *task.again),
            cwd=ROOT,
            env=ENVIRONMENT,
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=600)[1] for process in both]
    codes = sorted(process.returncode for process in both)
    if digests(out) != expected:
        return f"{task.name}: two processes left other bytes"
    if codes == [0, 2]:
        said = errors[[process.returncode for process in both].index(2)]
        return "" if re.search(r"process \d+ .*works there", said) else f"{task.name}: the second said {said[-200:]}"
    return "" if codes == [0, 0] else f"{task.name}: exit codes {codes}: {errors[0][-200:]} {errors[1][-200:]}"


def votes_survive(study: Path, *, seconds: float) -> str:
    """Vote until the server is killed; every acknowledged vote must be stored. "" or what is wrong."""
    votes = study / "votes.sqlite"
    for path in study.glob("votes.sqlite*"):
        path.unlink()
    words = ["benchmark/preference/serve.py", "--images", str(study), "--port", "0", "--least-seconds", "0"]
    words += ["--per-minute", "100000"]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    address = ""
    for line in process.stdout:
        if line.startswith("http://"):
            address = line.strip().rstrip("/")
            break
    acknowledged: list[tuple[str, int]] = []
    end = time.monotonic() + seconds
    killer = subprocess.Popen(["sh", "-c", f"sleep {seconds:.3f}; kill -9 {process.pid}"])
    try:
        number = 0
        while time.monotonic() < end + 5:
            participant = f"p{number // 5}"
            state = _ask(f"{address}/next/{participant}", None)
            if state.get("done"):
                number += 5
                continue
            body = {"position": state["position"], "choice": "left"}
            _ask(f"{address}/vote/{participant}", body)
            acknowledged.append((participant, state["position"]))
            number += 1
    except (http.client.HTTPException, OSError, ValueError, KeyError):  # it is gone, perhaps in the middle of an answer
        pass
    killer.wait()
    process.wait()
    lost = set(acknowledged) - set(stored_votes(votes))
    if not acknowledged:
        return "no vote was acknowledged before the kill"
    return f"{len(lost)} of {len(acknowledged)} acknowledged votes are lost" if lost else ""


def _ask(address: str, body: dict | None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.loads(answer.read()))
