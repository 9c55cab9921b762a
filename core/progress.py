"""Progress on stderr: a bar with the time left on a terminal, one line per finished clip elsewhere."""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class PairProgress:
    """Shows how many of `total` pairs are there (None: nobody knows) and which clip is at work. Use it as a context."""

    def __init__(self, total: int | None, done: int) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("pairs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            speed_estimate_period=120.0,  # pairs come in bursts, one per window and worker
        )
        self._task = self._bar.add_task("synthesis", total=total, completed=done)
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
