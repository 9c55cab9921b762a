"""A study of preferences in the browser: `python benchmark/preference/serve.py --images DIR`."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: the repository's root in place of this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

from benchmark.preference.study import Study, VoteStore, counted_votes, find_study
from benchmark.preference.votes_file import write_votes
from benchmark.preference.web import study_app
from core.command_line import Parser, run
from core.files import write_text
from core.locks import only_one

EPILOG = """\
DIR holds the results: DIR/<method>/<key>.png, as the benchmark writes reports/out/images/lai-real. Two results of an
image are shown side by side; keys: left and right arrow for the better one, space to skip. A participant is a name in
the address (/p/NAME); without one a name is drawn. Coming back to the address goes on where it stopped.

Votes are in DIR/votes.sqlite (or --votes FILE). --export FILE.csv writes those that count for fit.py, with
FILE.methods.txt and FILE.images.txt (names by number), and ends. Not counted: skipped pairs, repetitions (one pair in
12 comes twice), and participants who answered fewer than --consistency of their repetitions alike (of four or more).
Exit code: 0; 2 for bad arguments.
"""


def export(study: Study, store: VoteStore, target: Path, least_consistency: float) -> str:
    """Write the votes that count as a CSV file that fit.py reads, and the names; returns a sentence for the terminal.

    Errors: ValueError (no vote counts; votes for methods that are no longer there); OSError.
    """
    votes, left_out = counted_votes(store.all_votes(), least_consistency)
    methods = {name: number for number, name in enumerate(study.methods, 1)}
    keys = {key: number for number, key in enumerate(study.keys, 1)}
    gone = {name for _, left, right, _ in votes for name in (left, right)} - set(methods)
    gone |= {image for image, _, _, _ in votes} - set(keys)
    if gone:
        raise ValueError(f"{store.path} holds votes on {sorted(gone)[0]!r}, which is not in {study.root}; put it back")
    if not votes:
        raise ValueError(f"{store.path} holds no vote that counts; nothing was written")
    rows = [(keys[k], methods[left], methods[right], 1 if c == "left" else 2) for k, left, right, c in votes]
    names = target.with_suffix(".methods.txt")
    write_votes(target, rows)
    write_text(names, "\n".join(study.methods) + "\n")
    write_text(target.with_suffix(".images.txt"), "\n".join(study.keys) + "\n")
    lines = [f"{p} left out: {share:.0%} of the repeated pairs answered alike" for p, share in left_out.items()]
    lines.append(f"{len(rows)} votes in {target}; next: fit.py --votes {target} --names {names}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), _work, argv, refusals=(OSError, sqlite3.Error), out="the study")


def _work(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.port <= 65535 or arguments.comparisons < 1 or arguments.least_seconds < 0:
        raise ValueError("expected --port of 0 to 65535, --comparisons of 1 or more, --least-seconds of 0 or more")
    if arguments.per_minute < 1 or not 0 <= arguments.consistency <= 1:
        raise ValueError("expected --per-minute of 1 or more and --consistency of 0 to 1")
    study = find_study(arguments.images)
    store = VoteStore(arguments.votes or arguments.images / "votes.sqlite")
    if arguments.export is not None:
        print(export(study, store, arguments.export, arguments.consistency))
        return 0
    with only_one(store.path):
        serve(study, store, arguments)
    return 0


def serve(study: Study, store: VoteStore, arguments: argparse.Namespace) -> None:
    """Answer requests until interrupted. Errors: OSError (the port is taken)."""
    from waitress.server import create_server

    app = study_app(study, store, arguments.comparisons, arguments.least_seconds, arguments.per_minute)
    server = create_server(app, host=arguments.host, port=arguments.port, threads=8)
    print(f"{len(study.methods)} methods, {len(study.keys)} images, {study.pairs} pairs; votes in {store.path}")
    print(f"http://{arguments.host}:{server.effective_port}/", flush=True)  # type: ignore[union-attr]
    try:
        server.run()
    except KeyboardInterrupt:
        print("stopped; every vote is stored")


def _parser() -> Parser:
    parser = Parser(
        prog="serve.py", description="Show two results of an image side by side and collect votes.", epilog=EPILOG
    )
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR")
    add("--votes", type=Path, metavar="FILE", help="SQLite file of the votes (default: DIR/votes.sqlite)")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)")
    add("--port", type=int, default=8000, help="0: any free one")
    add("--comparisons", type=int, default=100, metavar="N", help="pairs a participant is asked (default: 100)")
    add("--pairs", dest="comparisons", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # its older name
    add("--least-seconds", type=float, default=1.0, metavar="S", help="shortest look before a vote (default: 1)")
    add("--per-minute", type=int, default=40, metavar="N", help="most votes of a participant a minute (default: 40)")
    add("--export", type=Path, metavar="FILE.csv", help="write the votes that count, and end")
    add("--consistency", type=float, default=0.5, metavar="SHARE", help="see below (default: 0.5)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
