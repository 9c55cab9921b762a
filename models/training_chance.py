"""What chance depends on in training, and what keeps a training reproducible."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Deterministic kernels, a fixed number of threads, and the same starting weights for the same seed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(seed)
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)


def seed_step(seed: int, rank: int, step: int) -> None:
    """Dropout and noise inside of networks depend on the seed, the process and the step alone."""
    torch.manual_seed((seed << 32) + (rank << 26) + step)
