"""Progress on stderr: on a terminal one kind of bar for all commands, elsewhere lines about what is finished."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

LINES_AFTER_S = 5.0  # a download shorter than that says nothing where there is no terminal


class _Throughput(ProgressColumn):
    """Steps per second over the last ones."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} steps/s" if task.speed else "")


def _made(console: Console, *, shown: bool = True, throughput: bool = False, period_s: float = 30.0) -> Progress:
    """What runs, m of n, a note, the time so far and the time left. period_s: over which the speed is estimated."""
    columns: list[str | ProgressColumn] = ["{task.description}", BarColumn(), MofNCompleteColumn()]
    columns += [TextColumn("{task.fields[note]}"), *([_Throughput()] if throughput else [])]
    columns += [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
    hidden = not shown or not console.is_terminal
    return Progress(*columns, console=console, disable=hidden, transient=True, speed_estimate_period=period_s)


@contextmanager
def bar(
    title: str, total: int | None, *, done: int = 0, shown: bool = True, throughput: bool = False
) -> Iterator[Callable[[int, str], None]]:
    """Gives advance(count, note), to be called after every item; note: what is shown beside the numbers.

    total: None where nobody knows. done: before this run. shown: False in a process that does not speak.
    throughput: show items per second.
    """
    with _made(Console(stderr=True), shown=shown, throughput=throughput) as progress:
        task = progress.add_task(title, total=total, completed=done, note="")
        yield lambda count, note: progress.update(task, advance=count, note=note)


class PairProgress:
    """Shows how many of `total` pairs are there (None: nobody knows) and which clip is at work. Use it as a context."""

    def __init__(self, total: int | None, done: int) -> None:
        self._console = Console(stderr=True)
        self._bar = _made(self._console, period_s=120.0)  # pairs come in bursts, one per window and worker
        self._task = self._bar.add_task("synthesis", total=total, completed=done, note="pairs")
        self._total = total
        self._counts: dict[str, Counter[str]] = {}

    def __enter__(self) -> PairProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def event(self, sequence: str, what: str) -> None:
        """what: "pair" (one was written), "skipped" (a window makes none), "clip" (the clip is done)."""
        counts = self._counts.setdefault(sequence, Counter())
        counts[what] += 1
        if what == "pair":
            self._bar.update(self._task, advance=1, description=f"synthesis {sequence}")
        elif what == "skipped" and self._total is not None:
            self._total -= 1
            self._bar.update(self._task, total=self._total)
        elif what == "clip" and not self._console.is_terminal:
            skipped = f", {counts['skipped']} windows skipped" if counts["skipped"] else ""
            self._console.print(
                f"synthesis {sequence}: {counts['pair']} pairs{skipped}", highlight=False, soft_wrap=True
            )


class TransferProgress:
    """Shows a download: bytes, speed and time left. A context; call it with (bytes, bytes in all or None)."""

    def __init__(self, name: str) -> None:
        self._console, self._name = Console(stderr=True), name
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=None)
        self._started: tuple[float, int] | None = None
        self._told = 0.0

    def __enter__(self) -> TransferProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, loaded: int, total: int | None) -> None:
        self._bar.update(self._task, completed=loaded, total=total)
        now = time.monotonic()
        if self._started is None:
            self._started = (now, loaded)
        began, at = self._started
        quick = now - began < LINES_AFTER_S
        if self._console.is_terminal or quick or not total or loaded < total * (self._told + 0.1):
            return
        self._told = loaded / total
        speed = (loaded - at) / max(now - began, 1e-6)
        left = f", about {(total - loaded) / speed:.0f} s left" if speed > 0 and loaded < total else ""
        line = f"{self._name}: {self._told:.0%} of {total / 1e6:,.1f} MB{left}"
        self._console.print(line, highlight=False, soft_wrap=True)
