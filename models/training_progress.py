"""Progress of a training on stderr: a bar with the loss and the time left on a terminal, a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress(title: str, total: int, done: int) -> Iterator[Callable[[str], None]]:
    """Gives a function to call after every step with a note (the loss)."""
    quiet, started, last = not sys.stderr.isatty(), time.monotonic(), ""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    bar = Progress(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total, completed=done, note="")

        def advance(note: str) -> None:
            nonlocal last
            last = note
            bar.update(task, advance=1, note=note)

        yield advance
    words = [f"{title}: {total - done} steps in {time.monotonic() - started:.1f} s", last]
    print(", ".join(word for word in words if word), file=sys.stderr, flush=True)
