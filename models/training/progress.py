"""Progress of a training: on stderr a bar with the loss, the throughput and the time left, and TensorBoard's log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.progress import bar
from models.training import processes
from models.training.stages import PlannedStage

NOT_THE_NETWORKS = ("loss/discriminator", "learning_rate")


@contextmanager
def progress(title: str, total: int, done: int) -> Iterator[Callable[[str], None]]:
    """Gives a function to call after every step with a note (the loss)."""
    started, last = time.monotonic(), ""
    with bar(title, total, done=done, shown=processes.is_writer(), throughput=True) as step:

        def advance(note: str) -> None:
            nonlocal last
            last = note
            step(1, note)

        yield advance
    seconds = time.monotonic() - started
    words = [f"{title}: {total - done} steps in {seconds:.1f} s", f"{(total - done) / seconds:.2f} steps/s", last]
    if processes.is_writer():
        print(", ".join(word for word in words if word), file=sys.stderr, flush=True)


class Rounds:
    """The mean losses, and their terms, of the rounds that a stage makes over the same samples."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []
        self.means: dict[str, list[float]] = {}

    def add(self, stage: PlannedStage, step: int, terms: dict[str, float], log: Any) -> None:
        """After every step; told when the stage ends. A round of which this run has not seen all is left out."""
        if stage.recipe.rounds > 1:
            own = {name: value for name, value in terms.items() if not name.startswith(NOT_THE_NETWORKS)}
            place = (step - stage.first) % stage.round_steps
            self.seen = [*self.seen, own] if place else [own]
            if len(self.seen) == stage.round_steps:
                for name in own:
                    mean = sum(one[name] for one in self.seen) / len(self.seen)
                    self.means.setdefault(name, []).append(mean)
                    log.add_scalar(f"round/{name}", mean, step)
        if step + 1 == stage.last:
            for name, means in self.means.items() if processes.is_writer() else ():
                told = ", ".join(f"{mean:.5g}" for mean in means)
                print(f"{name}, mean of each round over the same samples: {told}", file=sys.stderr, flush=True)
            self.seen, self.means = [], {}


class NoLog:
    """The log of the processes that do not write."""

    def add_scalar(self, name: str, value: float, step: int) -> None: ...

    def add_image(self, name: str, image: object, step: int) -> None: ...

    def close(self) -> None: ...


def open_log(folder: Path, first: int) -> Any:
    """TensorBoard's writer in the checkpoint's folder; entries of a killed run from step `first` on are dropped."""
    if not processes.is_writer():
        return NoLog()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=first)
