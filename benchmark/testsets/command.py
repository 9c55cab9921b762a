"""The command line of `benchmark/testsets.py`: official data sets listed, fetched, checked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from benchmark.data_checks import Finding, examine_set, warn
from benchmark.doctor import report
from benchmark.testsets import TESTSETS
from benchmark.testsets.fetching import fetch, files_of, lines, names_of, plan
from core.command_line import Parser, listed, run, unknown
from core.downloads import MIRROR_VARIABLE

DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "data"


def main(argv: list[str] | None = None) -> int:
    return run(
        _parser(),
        _work,
        argv,
        name="testsets.py",
        interrupted="interrupted; what was loaded is kept, and the same command goes on",
        out=DEFAULT_ROOT,
    )


def _parser() -> Parser:
    parser = Parser(prog="benchmark/testsets.py", description="Official data sets: what there is, get it, check it.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser(
        "list",
        help="the data sets, their sizes and licences, and which are here",
        examples=("python benchmark/testsets.py list", "python benchmark/testsets.py list --data-root /data"),
    )
    fetching = commands.add_parser(
        "fetch",
        help="get data sets and unpack them",
        description="Get data sets and unpack them to where the benchmark and the training look for them.",
        epilog="""The licence must be agreed to once (--agree, or y on a terminal). What is half loaded or unpacked is
kept, and the same command goes on. Proxies are those of the environment.""",
        examples=(
            "python benchmark/testsets.py fetch gopro --data-root /data --agree",
            "python benchmark/testsets.py fetch reds,kohler --data-root /data --dry-run",
            "python benchmark/testsets.py fetch kohler --files BlurryImages.zip --agree",
        ),
    )
    fetching.add_argument("name", metavar="NAME[,NAME...]", help="data sets or test sets; `list` shows them")
    fetching.add_argument("--files", action="append", metavar="A,B", help="only these of their files")
    fetching.shared("--agree", "--dry-run")
    fetching.shared("--mirror", default=os.environ.get(MIRROR_VARIABLE, ""))
    fetching.add_argument("--keep-archives", action="store_true", help="keep archives after they are unpacked")
    fetching.add_argument("--quiet", action="store_true", help="no progress, no line for what is here")
    checking = commands.add_parser(
        "check",
        help="are the test sets complete, and what they say they are?",
        description="Look at the test sets under the data root: complete, sizes, plain mean or gamma, displaced.",
        examples=(
            "python benchmark/testsets.py check --data-root /data",
            "python benchmark/testsets.py check gopro,reds",
        ),
    )
    checking.add_argument("name", nargs="?", default="", metavar="NAME[,NAME...]", help="test sets (default: all)")
    for command in (listing, fetching, checking):
        command.add_argument(
            "--data-root", type=Path, default=DEFAULT_ROOT, metavar="DIR", help="where data sets are (default: data/)"
        )
    return parser


def _work(arguments: argparse.Namespace) -> int:
    root: Path = arguments.data_root
    if arguments.command == "list":
        for line in lines(root):
            print(line)
        return 0
    if arguments.command == "check":
        return report(_findings(arguments.name, root))
    remotes = files_of(names_of(arguments.name), listed(arguments.files))
    if arguments.dry_run:
        for line in plan(remotes, root, arguments.mirror):
            print(line)
        return 0
    return fetch(
        remotes,
        root,
        agreed=arguments.agree,
        mirror=arguments.mirror,
        keep_archives=arguments.keep_archives,
        quiet=arguments.quiet,
    )


def _findings(text: str, root: Path) -> Iterator[Finding]:
    """What is found about the test sets under the data root; those that were named and are not there are a warning."""
    names = listed([text])
    for name in names:
        if name not in TESTSETS:
            raise ValueError(unknown("no test set is called", name, TESTSETS))
    any_here = False
    for name in names or TESTSETS:
        folder = TESTSETS[name].find(root)
        if folder is not None:
            any_here = True
            yield from examine_set(name, folder)
        elif names:
            yield warn(name, f"it is not under {root}; get it with benchmark/testsets.py fetch {name}")
    if not any_here and not names:
        yield warn("test sets", f"none is under {root}; see benchmark/testsets.py list")
