"""`make demo`: the whole pipeline with the commands that a user would give, its progress, and one screen at the end."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.command_line import loading

    loading()

import argparse
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.results import Row, read_rows
from core.command_line import Failure, Parser, run

ROOT = Path(__file__).resolve().parents[1]
PAIRS, REPORT = ROOT / "out" / "pairs", ROOT / "reports" / "out"
SHOWN = ("gopro", "gopro-linear")  # the table that the last screen quotes
KEPT = "motion-unet-small"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the demo. seconds: on two idle CPU cores."""

    what: str
    words: tuple[str, ...]
    seconds: float


STAGES = (
    Stage(
        what="blurred and sharp pairs out of 240 fps video, interpolated to 3840 fps",
        words=("synth/make_pairs.py", "--interp", "16x", "--resume"),
        seconds=60,
    ),
    Stage(
        what="test sets, one training of a minute, restoring, scoring, tables",
        words=("benchmark/run.py", "--methods", "demo", "--resume"),
        seconds=300,
    ),
)


def time_left(stages: Sequence[Stage], done: int, spent_s: float) -> float:
    """Seconds that stages number `done` and later take, on a machine as fast as it was in those before.

    >>> stages = [Stage(what="", words=(), seconds=60), Stage(what="", words=(), seconds=300)]
    >>> time_left(stages, 1, 120.0)  # twice as slow as expected
    600.0
    """
    expected = sum(stage.seconds for stage in stages[:done])
    pace = max(1.0, spent_s / expected) if expected else 1.0
    return pace * sum(stage.seconds for stage in stages[done:])


def minutes(seconds: float) -> str:
    """ "under a minute", "about 4 minutes"."""
    return "under a minute" if seconds < 60 else f"about {round(seconds / 60)} minute{'s' if seconds >= 90 else ''}"


def work() -> None:
    """Run the stages. Errors: Failure if one of them failed."""
    started = time.monotonic()
    # Threads that wait do not spin: a machine that is busy with other work slows the demo down in proportion only.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    for number, stage in enumerate(STAGES):
        left = minutes(time_left(STAGES, number, time.monotonic() - started))
        print(f"\n== stage {number + 1} of {len(STAGES)}, {left} left: {stage.what}")
        print(f"== python {' '.join(stage.words)}", flush=True)
        code = subprocess.run([sys.executable, *stage.words], cwd=ROOT, env=environment).returncode
        if code:
            raise Failure(f"stage {number + 1} ended with exit code {code}; its last lines say why, make demo goes on")


def summary(rows: Sequence[Row], pairs: Sequence[dict]) -> str:
    """The last screen. rows: of leaderboard.csv. pairs: of pairs.jsonl."""
    lines = ["", "What was made", f"  {len(pairs)} pairs of a blurred and a sharp frame in out/pairs"]
    methods = list(dict.fromkeys(row.method for row in rows))
    tables = list(dict.fromkeys((row.testset, row.protocol) for row in rows))
    lines.append(f"  {len(methods)} methods scored under {len(tables)} protocols, on small test sets rendered here")
    figures = {row.metric: row for row in rows if (row.testset, row.protocol) == SHOWN and row.method == KEPT}
    blurred = {row.metric: row for row in rows if (row.testset, row.protocol) == SHOWN and row.method == "identity"}
    lines += ["", f"What {KEPT}, trained by this project, does to {title(rows)}"]
    for metric, digits, unit in (("psnr", 2, " dB"), ("lpips-alex", 3, "")):
        before, after = blurred.get(metric), figures.get(metric)
        if before and after and before.value is not None and after.value is not None:
            name, better = ("PSNR", "higher") if metric == "psnr" else ("LPIPS", "lower")
            lines.append(
                f"  {name} {before.value:.{digits}f}{unit} blurred, {after.value:.{digits}f}{unit} restored "
                f"({after.value - before.value:+.{digits}f}; {better} is better)"
            )
    some = next(iter(figures.values()), None)
    if some is not None and some.ms_median is not None:
        lines.append(f"  {some.ms_median:.0f} ms for {some.width}x{some.height} px on this machine ({some.device})")
    lines += [
        "",
        "Where to look",
        "  reports/out/index.html       every table and every image, in a browser",
        "  reports/out/leaderboard.md   the tables as text",
        "",
        "What next",
        "  .venv/bin/python models/restore.py blurred.jpg restored.png          your own photo",
        "  .venv/bin/python synth/make_pairs.py --interp 16x --video clip.mp4    your own slow motion",
    ]
    return "\n".join(lines)


def title(rows: Sequence[Row]) -> str:
    """Name of the test set that the last screen quotes, as the tables have it."""
    return next((row.title for row in rows if (row.testset, row.protocol) == SHOWN), SHOWN[0])


def main(argv: list[str] | None = None) -> int:
    return run(
        _parser(),
        _demo,
        argv,
        interrupted="interrupted; make demo goes on where it stopped",
    )


def _parser() -> Parser:
    return Parser(prog="benchmark/demo.py", description="The whole pipeline on what ships with the project.")


def _demo(arguments: argparse.Namespace) -> int:
    work()
    pairs = [json.loads(line) for line in (PAIRS / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    print(summary(read_rows(REPORT / "leaderboard.csv", Row), pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
