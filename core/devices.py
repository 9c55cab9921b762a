"""Devices by their names on a command line: whether they exist here is said in one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NAMES = ("auto", "cpu", "cuda", "mps")


def require_name(name: str) -> None:
    """Errors: ValueError for what is no device's name; torch is not loaded to find out."""
    if name not in NAMES and not re.fullmatch(r"cuda:\d{1,3}", name):
        raise ValueError(f"the device is auto, cpu, cuda, cuda:N or mps, got {name[:40]!r}")


def choose(name: str) -> torch.device:
    """The device of a name; "auto" takes the GPU where torch sees one (CUDA), else the CPU.

    mps: Apple's GPU, only by its name, because not every operation exists there.
    Errors: ValueError for an unknown name or a device that is not there.
    """
    require_name(name)
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            why = "this torch was built without it" if not torch.backends.mps.is_built() else "there is none here"
            raise ValueError(f"device 'mps' (Apple's GPU) was asked for, but {why}; use --device cpu")
    elif name != "cpu":
        if not torch.cuda.is_available():
            raise ValueError(f"device {name!r} was asked for, but torch sees no GPU here; use --device cpu")
        number = int(name.partition(":")[2] or 0)
        if number >= torch.cuda.device_count():
            there = ", ".join(f"cuda:{index}" for index in range(torch.cuda.device_count()))
            raise ValueError(f"device {name!r} was asked for, but torch sees only {there} here")
    return torch.device(name)


def has_driver() -> bool:
    """Whether there can be a CUDA GPU, without loading torch."""
    return Path("/proc/driver/nvidia/version").is_file()
