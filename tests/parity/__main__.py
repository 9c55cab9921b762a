"""`python -m tests.parity [--fixtures DIR] [--weights DIR]`: a line a case, then the count.

Exit codes: 0 no case is different (skipped ones are no failure), 1 one is, or its files are missing or damaged, 2 bad
arguments.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

from core.command_line import Parser, run
from tests.parity import cases

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "parity"


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _compare, argv, name="parity", refusals=(FileNotFoundError,))


def _parser() -> Parser:
    parser = Parser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--fixtures", type=Path, default=FIXTURES, help="folder of NAME.json and NAME.npz")
    parser.add_argument("--weights", type=Path, help="folder with published weights, searched through its sub-folders")
    return parser


def _compare(arguments: argparse.Namespace) -> int:
    counts = {"equal": 0, "different": 0, "skipped": 0}
    for result in cases.run(arguments.fixtures, arguments.weights):
        counts[result.state] += 1
        print(f"{result.fixture} {result.case}: {result.state} ({result.detail})", flush=True)
    compared = counts["equal"] + counts["different"]
    print(f"parity: {counts['equal']} of {compared} cases equal, {counts['skipped']} skipped")
    return 1 if counts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
