"""Where an output comes from: commit, library versions, host. Written beside every output, never into it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The checkout's commit, with "-dirty" if files were changed since; "unknown" outside a git checkout."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Python's version and those of the given packages ("missing" if one is not installed)."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def host() -> dict[str, object]:
    """Machine facts that explain speeds, without names of users or folders."""
    return {"system": platform.system(), "machine": platform.machine(), "cpus": cpu_count(), "platform": sys.platform}


def cpu_count() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
