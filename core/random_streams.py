"""Seeded random streams: one integer for a run, an independent generator for every use of chance in it."""

from __future__ import annotations

import hashlib
import json

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Generator that depends only on `seed` and `names`, not on what was drawn before or by which worker.

    `stream(7, "clip.mp4", 12, "noise")` is the same sequence on every machine; any other name gives an
    independent one.

    Errors: TypeError for a name that is neither text nor an integer.
    """
    for name in names:
        if not isinstance(name, str | int):
            raise TypeError(f"stream names are text or integers, got {type(name).__name__}: {name!r}")
    text = json.dumps([int(seed), *names], ensure_ascii=True)
    words = np.frombuffer(hashlib.sha256(text.encode("ascii")).digest(), dtype=np.uint32)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(word) for word in words])))
