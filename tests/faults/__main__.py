"""What the project survives, measured: `python -m tests.faults [PART...]`, the parts are those of PARTS.

Without a word all of them, in their full numbers, which takes hours on two cores; --kills, --cases, --examples and
--only take less. Exit code 1 if anything went wrong; every wrong thing is a line.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from core.command_line import Parser, run
from tests.faults import disturbed, malformed, tasks

PARTS = ("kills", "malformed", "disk", "two", "votes", "report", "fuzz")


def main(argv: list[str] | None = None) -> int:
    parser = Parser(
        prog="tests.faults",
        description="Kill, fill, double and malform what the project works on, and count what it does not survive.",
        examples=("python -m tests.faults", "python -m tests.faults malformed --cases 300 --seed 5"),
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="moments for each kind (default 20)")
    parser.add_argument("--cases", type=int, default=300, metavar="N", help="malformed inputs (default 300)")
    parser.add_argument("--examples", type=int, default=20_000, metavar="N", help="of each reader (default 20000)")
    parser.add_argument("--only", metavar="NAME", help="one kind of work, of malformed inputs, or one reader")
    parser.shared("--seed")
    return run(parser, _work, argv)


def _work(arguments) -> int:  # type: ignore[no-untyped-def]
    if wrong := [part for part in arguments.parts if part not in PARTS]:
        raise ValueError(f"there is no part {wrong[0]!r}; there are {', '.join(PARTS)}")
    failures = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        home = tasks.inputs(Path(folder))
        for part in arguments.parts or PARTS:
            started = time.monotonic()
            wrong_here, count = _part(part, arguments, home)
            for sentence in wrong_here:
                print(f"wrong: {sentence}", flush=True)
            failures += len(wrong_here)
            seconds = time.monotonic() - started
            print(f"{part}: {count - len(wrong_here)} of {count} right, {seconds:.0f} s", flush=True)
    return 1 if failures else 0


def _part(part: str, arguments, home: Path) -> tuple[list[str], int]:  # type: ignore[no-untyped-def]
    found = tasks.tasks(home)
    chosen = [task for task in found.values() if arguments.only in (None, task.name)]
    wrong: list[str] = []
    if part == "kills":
        for task in chosen:
            failed = disturbed.kills(task, home, count=arguments.kills, seed=arguments.seed)
            print(f"  {task.name}: {arguments.kills - len(failed)} of {arguments.kills}", flush=True)
            wrong += failed
        return wrong, arguments.kills * len(chosen)
    if part == "malformed":
        kinds = (arguments.only,) if arguments.only in malformed.Generator.KINDS else malformed.Generator.KINDS
        tally = malformed.run(home, home / "cases", count=arguments.cases, seed=arguments.seed, kinds=kinds)
        print(
            f"  {tally.sentences} sentences, {tally.harmless} harmless, {len(tally.wrong)} wrong, slowest "
            f"{tally.slowest_s:.1f} s",
            flush=True,
        )
        return tally.wrong, tally.count
    if part == "disk":
        said = [disturbed.disk_full(task, home) for task in chosen]
        return [sentence for sentence in said if sentence not in ("", "skipped")], said.count("") + len(
            [sentence for sentence in said if sentence not in ("", "skipped")]
        )
    if part == "two":
        return [said for task in chosen if (said := disturbed.two_at_once(task, home))], len(chosen)
    if part == "votes":
        study = _study(home)
        rng = np.random.default_rng(arguments.seed)
        moments = rng.uniform(0.5, 5.0, arguments.kills)
        return [s for moment in moments if (s := disturbed.votes_survive(study, seconds=float(moment)))], len(moments)
    if part == "report":
        return disturbed.report_is_made_again(found["benchmark"], home), 2
    return _fuzz(arguments)


def _fuzz(arguments) -> tuple[list[str], int]:  # type: ignore[no-untyped-def]
    from tests.faults import readers

    names = [name for name in readers.READERS if arguments.only in (None, name)]
    wrong = []
    for name in names:
        try:
            readers.fuzz(name, examples=arguments.examples)
        except Exception as error:  # whatever it is: that is what is looked for
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
    return wrong, len(names)


def _study(home: Path) -> Path:
    for method in ("one", "two", "three"):
        for path in (home / "photographs").iterdir():
            target = home / "study" / method / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return home / "study"


if __name__ == "__main__":
    sys.exit(main())
