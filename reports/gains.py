"""What methods gain over the blurred input: `python reports/gains.py FOLDER [FOLDER ...] [--against METHOD]`.

Markdown, a table for every test set of the folders that benchmark/run.py wrote. The differences and their 95 %
intervals are those of comparisons.csv: of the same images, drawn by sequence.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchmark.results import METRICS, ComparisonRow, CostRow, MethodRow, ScoreRow, read_rows, write_text
from core.command_line import Parser, run
from reports.comparison import compare_all, mean_and_interval
from reports.leaderboard import metric_head, number_text
from reports.rows import measure

EPILOG = """\
Folders are --out folders of benchmark/run.py. Those of one test set (same title and protocol) share a table; a method
that several of them hold is taken from the last. So your own network's run stands beside one made before:

  python benchmark/run.py --methods identity,motion-unet-small --testsets pairs --data-root out/kodak --out out/a
  python benchmark/run.py --methods nafnet-32 --weights nafnet-32=mine.pth --testsets pairs --data-root out/kodak \\
    --out out/b
  python reports/gains.py out/a out/b
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A test set under a protocol: per-image scores by method, in the order in which the folders name the methods."""

    title: str
    protocol: str
    scores: dict[str, list[ScoreRow]] = field(default_factory=dict)
    costs: dict[str, CostRow] = field(default_factory=dict)


def collect(folders: Sequence[Path]) -> list[Table]:
    """The tables of run folders that have a score, in their order.

    Errors: FileNotFoundError (a folder without scores.csv or methods.csv); ValueError (a file that is not ours).
    """
    tables: dict[tuple[str, str], Table] = {}
    for folder in folders:
        for name in ("scores.csv", "methods.csv"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder / name} does not exist; name the --out folder of a benchmark/run.py")
        costs = read_rows(folder / "cost.csv", CostRow) if (folder / "cost.csv").is_file() else []
        by_method: dict[tuple[str, str, str], list[ScoreRow]] = defaultdict(list)
        for score in read_rows(folder / "scores.csv", ScoreRow):
            if score.metric not in METRICS:
                raise ValueError(f"{folder / 'scores.csv'} holds the metric {score.metric!r}, which this version lacks")
            by_method[score.method, score.testset, score.protocol].append(score)
        for row in read_rows(folder / "methods.csv", MethodRow):
            title = row.title or row.testset
            table = tables.setdefault((title, row.protocol), Table(title=title, protocol=row.protocol))
            if scores := by_method.get((row.method, row.testset, row.protocol)):
                table.scores[row.method] = scores
                table.costs.update({cost.method: cost for cost in costs if cost.method == row.method})
    return [table for table in tables.values() if table.scores]


def gains(table: Table, against: str) -> dict[tuple[str, str], ComparisonRow]:
    """By (method, metric): the method minus `against` on the images that both have, with its interval."""
    order = [against, *(name for name in table.scores if name != against)]
    scores = [score for name in order for score in table.scores.get(name, [])]
    higher = {score.metric: METRICS[score.metric].higher_is_better for score in scores}
    found = {}
    for line in compare_all(scores, higher, order):
        if line.method == against:
            low, high = line.ci95_low, line.ci95_high
            turned = replace(
                line,
                method=line.other,
                other=against,
                wins=line.losses,
                losses=line.wins,
                difference=0.0 - line.difference,  # not -x: there is a -0.0
                ci95_low=None if high is None else 0.0 - high,
                ci95_high=None if low is None else 0.0 - low,
            )
            found[line.other, line.metric] = turned
    return found


def markdown(table: Table, against: str) -> str:
    """The table as Markdown, best method first. Errors: ValueError where `against` was not scored on the set."""
    if against not in table.scores:
        raise ValueError(
            f"{table.title}, {table.protocol}: {against} was not scored there, only "
            f"{', '.join(table.scores)}; add it to --methods of benchmark/run.py"
        )
    metrics = list(dict.fromkeys(score.metric for scores in table.scores.values() for score in scores))
    compared = gains(table, against)
    means = {
        (name, metric): mean_and_interval([score for score in scores if score.metric == metric])[0]
        for name, scores in table.scores.items()
        for metric in metrics
    }
    sizes = sorted({(cost.width, cost.height, cost.device, cost.threads) for cost in table.costs.values()})
    size = "; ".join(f"{width} x {height} px, {device}, threads: {threads}" for width, height, device, threads in sizes)
    head = ["method", "images"]
    for metric in metrics:
        head += [metric_head(metric), "change (95 %)"]
    head += [f"ms ({size})", "MB"] if sizes else []
    lines = [f"## {table.title}: {table.protocol}\n", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name in _best_first(table, metrics[0], means):
        count = max(sum(score.metric == metric for score in table.scores[name]) for metric in metrics)
        cells = [name, str(count)]
        for metric in metrics:
            cells.append(number_text(means[name, metric], measure(metric).digits))
            cells.append(_gain(compared.get((name, metric)), measure(metric).digits))
        if sizes:
            cost = table.costs.get(name)
            cells += [number_text(cost.ms_median, 0), number_text(cost.peak_mb, 0)] if cost else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _best_first(table: Table, metric: str, means: dict[tuple[str, str], float | None]) -> list[str]:
    sign = -1.0 if measure(metric).higher_is_better else 1.0

    def place(name: str) -> float:
        value = means[name, metric]
        return float("inf") if value is None else sign * value

    return sorted(table.scores, key=place)


def _gain(row: ComparisonRow | None, digits: int) -> str:
    """ "+0.61 (+0.45 to +0.75)"; without brackets where a single sequence gives no interval."""
    if row is None:
        return ""
    text = f"{row.difference:+.{digits}f}"
    if row.ci95_low is None or row.ci95_high is None:
        return text
    return f"{text} ({row.ci95_low:+.{digits}f} to {row.ci95_high:+.{digits}f})"


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _print, argv)


def _parser() -> Parser:
    parser = Parser(prog="reports/gains.py", description="Gains over the blurred input, as Markdown.", epilog=EPILOG)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="what benchmark/run.py wrote")
    parser.add_argument("--against", default="identity", metavar="METHOD", help="default: identity, the blurred input")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there too")
    return parser


def _print(arguments: argparse.Namespace) -> int:
    text = "\n".join(markdown(table, arguments.against) for table in collect(arguments.folders))
    print(text, end="")
    if arguments.out:
        write_text(arguments.out, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
