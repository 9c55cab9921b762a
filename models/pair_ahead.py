"""The next step's samples are made while the network works on this step's: for GPUs, which would wait otherwise."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Batches = list[tuple[Tensor, ...]]


class Ahead:
    """Calls `make(step)` for the step after the one that is asked for, in a thread; what it gives is the same.

    On a CPU nothing runs ahead: the network uses the cores already, and its batches take a hundredth of its time.
    """

    def __init__(self, make: Callable[[int], Batches], device: torch.device, last: int) -> None:
        self.make, self.device, self.last = make, device, last
        self._thread = ThreadPoolExecutor(1) if device.type == "cuda" else None
        self._next: tuple[int, Future[Batches]] | None = None

    def get(self, step: int) -> Batches:
        """The batches of a step on the device. Errors: those of `make`."""
        if self._thread is None:
            return [tuple(part.to(self.device) for part in batch) for batch in self.make(step)]
        batches = self._next[1].result() if self._next and self._next[0] == step else self.make(step)
        if step + 1 < self.last:
            self._next = (step + 1, self._thread.submit(self.make, step + 1))
        return [tuple(self._moved(part) for part in batch) for batch in batches]

    def _moved(self, part: Tensor) -> Tensor:
        return part.pin_memory().to(self.device, non_blocking=True)
