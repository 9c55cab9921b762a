"""Rebuild the leaderboard from stored files: `python reports/build.py [--in DIR] [--out DIR] [--readme FILE]`."""

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
import math
from collections.abc import Sequence

from benchmark.results import (
    METRICS,
    ComparisonRow,
    CostRow,
    MethodRow,
    Row,
    ScoreRow,
    read_rows,
    write_bytes,
    write_rows,
    write_text,
)
from core.command_line import Parser, run
from reports.comparison import compare_all
from reports.contact_sheet import sheet, sheet_keys, strip
from reports.latex import latex
from reports.leaderboard import markdown, readme_block
from reports.page import page, page_data, place_images
from reports.preference import load_preference, with_preference
from reports.published import load_published
from reports.rows import build_rows

DEFAULT_FOLDER = Path(__file__).resolve().parent / "out"
BEGIN, END = "<!-- leaderboard:begin -->", "<!-- leaderboard:end -->"


def build(source: Path, target: Path) -> list[Row]:
    """Read the stored files and images/ of `source`; write the report's files to `target`.

    Read: scores.csv, methods.csv; if there, cost.csv and preference.csv. Written: leaderboard.csv, .md and .tex,
    comparisons.csv (every pair of methods), index.html, contact sheets and the strip.

    Errors: FileNotFoundError (no scores.csv or methods.csv); ValueError (a file that is not ours); OSError (disk full).
    """
    for name in ("scores.csv", "methods.csv"):
        if not (source / name).is_file():
            raise FileNotFoundError(
                f"{source / name} does not exist; run benchmark/run.py first, or name its --out folder"
            )
    scores = read_rows(source / "scores.csv", ScoreRow)
    methods = read_rows(source / "methods.csv", MethodRow)
    costs = read_rows(source / "cost.csv", CostRow) if (source / "cost.csv").is_file() else []
    published = load_published()
    unknown = [score.metric for score in scores if score.metric not in METRICS]
    if unknown:
        raise ValueError(
            f"{source / 'scores.csv'} holds the metric {unknown[0]!r}, which is none of {', '.join(METRICS)}; "
            "build the report with the version that scored it"
        )
    higher = {score.metric: METRICS[score.metric].higher_is_better for score in scores}
    order = list(dict.fromkeys(method.method for method in methods))
    comparisons = compare_all(scores, higher, order)
    rows = build_rows(scores, methods, costs, published, comparisons)
    study = load_preference(source)
    if study is not None:
        rows = with_preference(rows, scores, study)
    write_rows(target / "leaderboard.csv", Row, rows)
    write_rows(target / "comparisons.csv", ComparisonRow, comparisons)
    write_text(target / "leaderboard.tex", latex(rows))
    pictures = write_pictures(source, target, scores, methods, rows)
    links = "".join(f"\n![{path.stem}]({path.name})\n" for path in pictures)
    write_text(target / "leaderboard.md", markdown(rows) + "\n# Pictures\n" + links)
    place_images(source / "images", target / "images")
    write_text(target / "index.html", page(page_data(scores, rows, comparisons, published, target / "images")))
    return rows


def write_pictures(
    source: Path, target: Path, scores: Sequence[ScoreRow], methods: Sequence[MethodRow], rows: Sequence[Row]
) -> list[Path]:
    """A contact sheet per folder of images, and the strip. Returns the sheets' paths."""
    order = list(dict.fromkeys(method.method for method in methods))
    written = []
    images = source / "images"
    for folder in sorted(path for path in images.iterdir() if path.is_dir()) if images.is_dir() else []:
        testset, _, variant = (
            folder.name.partition("-gamma") if folder.name.startswith("gopro") else (folder.name, "", "")
        )
        protocol = "gopro-gamma" if folder.name == "gopro-gamma" else None
        here = [row for row in methods if row.testset == testset and (protocol is None or row.protocol == protocol)]
        title = next((row.title for row in here if row.title), testset) + variant
        title += " (input blur_gamma)" if protocol else ""
        data = sheet(folder, order, title, captions(scores, testset, protocol))
        if data is not None:
            written.append(target / f"contact-{folder.name}.png")
            write_bytes(written[-1], data)
    best = best_trained(rows)
    data = None
    if best is not None:
        simulated = " (simulated)" if best.simulated else ""
        steps = f" after {best.steps:,} steps" if best.steps else ""
        labels = (f"blur{simulated}", f"{best.method}{steps}", "sharp")
        data = strip(images / "gopro", best.method, most_blurred(images / "gopro", scores), labels)
    if data is not None:
        write_bytes(target / "strip.png", data)
    return written


def captions(scores: Sequence[ScoreRow], testset: str, protocol: str | None) -> dict[tuple[str, str], str]:
    """(method, key) -> its first score in words, PSNR where there is one."""
    texts: dict[tuple[str, str], str] = {}
    for score in scores:
        if score.testset == testset and protocol in (None, score.protocol) and score.metric in ("psnr", "niqe"):
            unit = " dB" if score.metric == "psnr" else " (NIQE)"
            figure = "inf" if math.isinf(score.value) else f"{score.value:.2f}"
            texts.setdefault((score.method, score.key), f"{figure}{unit}")
    return texts


def most_blurred(folder: Path, scores: Sequence[ScoreRow]) -> str | None:
    """The sheet's image with the lowest PSNR before restoring, so that the choice favours no method; None: unknown."""
    keys = sheet_keys(folder)
    before = {
        score.key: score.value
        for score in scores
        if (score.method, score.protocol, score.metric) == ("identity", "gopro-linear", "psnr") and score.key in keys
    }
    return min(before, key=lambda key: before[key], default=None)


def best_trained(rows: Sequence[Row]) -> Row | None:
    """The row of the network with the best PSNR on gopro-linear."""
    found = [row for row in rows if row.protocol == "gopro-linear" and row.metric == "psnr" and row.weights_sha256]
    found = [row for row in found if row.value is not None]
    return max(found, key=lambda row: row.value or 0.0, default=None)


def update_readme(path: Path, rows: Sequence[Row]) -> None:
    """Replace what stands between the markers of a README. Errors: ValueError if the markers are not there."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: the lines {BEGIN} and {END} are needed, in this order")
    write_text(path, f"{before}{BEGIN}\n{readme_block(rows)}\n{END}{after}")


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _build, argv, out=DEFAULT_FOLDER)


def _parser() -> Parser:
    parser = Parser(prog="reports/build.py", description="Rebuild the leaderboard from stored files.")
    parser.add_argument("--in", dest="source", type=Path, default=DEFAULT_FOLDER, help="folder of scores.csv")
    parser.add_argument("--out", type=Path, help="where to write (default: the folder of --in)")
    parser.add_argument("--readme", type=Path, help="also replace the leaderboard in this README")
    return parser


def _build(arguments: argparse.Namespace) -> int:
    target = arguments.out = arguments.out or arguments.source
    rows = build(arguments.source, target)
    if arguments.readme:
        update_readme(arguments.readme, rows)
    print(f"leaderboard: {target / 'leaderboard.md'}, {target / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
