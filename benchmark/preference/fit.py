"""Bradley-Terry scores of a votes file: `python benchmark/preference/fit.py --votes FILE.csv [--names FILE] --json`."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run as a file: the repository's root in place of this folder
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import numpy as np

from benchmark.preference.bradley_terry import (
    RangeTest,
    agreement_u,
    bootstrap_intervals,
    global_scores,
    mean_over_images,
    range_test,
    scores_per_image,
    separated,
)
from benchmark.preference.votes_file import Votes, read_votes
from core.command_line import Parser, did_you_mean, run
from core.files import write_text

DRAWS = 1000
IMAGES_FOR_CLUSTERS = 20  # fewer clusters make intervals too narrow
BLURRED = ("Blur", "identity")
TESTSET = "lai-real"
EPILOG = """\
FILE.csv: a vote a line, "Image ID,Method 1,Method 2,Result"; Result is 1 or 2, the better one, or 0 for a tie, which
counts half for each; the header may be missing, and semicolons may stand for the commas. --names, --image-names: names
of methods and images, a line each, in the order of their numbers, which start at 1; without them FILE.methods.txt and
FILE.images.txt beside the votes, where `serve.py --export` wrote them.

global: maximum likelihood over all votes. per_image_mean: the Lai study's scheme: a fit per image, values that are not
finite dropped, mean over images. ci95: bootstrap of the global score, by images from 20 images up, else by votes.
agreement_u: Kendall's coefficient. BT odds: exp(score - score of the blurred input), 1 for the blurred input. The
scale of DeblurGAN-v2's Table 4 (blurred = 1) is another one; the two never share a column.

--out DIR writes preference.csv (the table) and preference_images.csv (scores of each image). In the folder of
scores.csv, reports/build.py takes them into the leaderboard: beside the figures of --testset where the study's images
are its images, else as a table of their own.
Exit code: 0; 2 for bad arguments or votes.
"""


@dataclass(frozen=True, kw_only=True)
class PreferenceFit:
    """What a votes file says. Shapes: scores, mean, images [M]; ci95 [M, 2]; per_image [images, M], NaN: no score."""

    votes: Votes
    scores: np.ndarray
    ci95: np.ndarray
    per_image: np.ndarray
    mean: np.ndarray
    images: np.ndarray
    agreement: float
    test: RangeTest | None
    unit: str

    def report(self) -> dict[str, object]:
        """What --json prints (JSON has no NaN: what is unknown is null)."""
        names = self.votes.names
        return {
            "global": dict(zip(names, map(float, self.scores), strict=True)),
            "per_image_mean": {n: _known(value) for n, value in zip(names, self.mean, strict=True)},
            "ci95": {n: [float(low), float(high)] for n, (low, high) in zip(names, self.ci95, strict=True)},
            "votes": self.votes.count,
            "agreement_u": _known(self.agreement),
        }


def fit(votes: Votes, unit: str = "auto", draws: int = DRAWS, seed: int = 0, prior: float = 0.0) -> PreferenceFit:
    """Everything that is computed from votes. Errors: ValueError where the votes give no finite scores."""
    total = votes.wins.sum(axis=0)
    ahead = separated(total)
    if ahead is not None and prior == 0:
        listed = ", ".join(name for name, first in zip(votes.names, ahead, strict=True) if first)
        raise ValueError(
            f"the votes give no finite scores: expected a chain of wins from every method to every other one, but "
            f"{listed} never lost to the rest; collect more votes, or give --prior 0.1"
        )
    if unit == "auto":
        unit = "images" if len(votes.images) >= IMAGES_FOR_CLUSTERS else "votes"
    per_image = scores_per_image(votes.wins)
    mean, images = mean_over_images(per_image)
    return PreferenceFit(
        votes=votes,
        scores=global_scores(total, prior),
        ci95=bootstrap_intervals(votes.wins, unit, draws, seed, ridge=prior or None),
        per_image=per_image,
        mean=mean,
        images=images,
        agreement=agreement_u(total if votes.ties is None else total - votes.ties),
        test=range_test(total),
        unit=unit,
    )


def table_rows(result: PreferenceFit, blurred: str | None, testset: str = TESTSET) -> list[list[str]]:
    """Head and rows of preference.csv, best method first. "BT odds" is empty without a blurred input."""
    names = result.votes.names
    order = np.argsort(-result.scores, kind="stable")
    reference = result.scores[names.index(blurred)] if blurred is not None else None
    head = ["method", "score", "ci95_low", "ci95_high", "per_image_mean", "images", "wins", "votes", "BT odds"]
    rows = [[*head, "not_apart_from", "testset", "intervals_by", "agreement_u"]]
    common = [testset, result.unit, repr(float(result.agreement)) if np.isfinite(result.agreement) else ""]
    won, met = (
        result.votes.wins.sum(axis=(0, 2)),
        result.votes.wins.sum(axis=(0, 1)) + result.votes.wins.sum(axis=(0, 2)),
    )
    apart = result.test.apart() if result.test is not None else None
    for i in order:
        numbers = [result.scores[i], *result.ci95[i], result.mean[i]]
        odds = "" if reference is None else repr(float(np.exp(result.scores[i] - reference)))
        together = [] if apart is None else [names[j] for j in order if j != i and not apart[i, j]]
        rows.append(
            [
                names[i],
                *(repr(float(value)) if np.isfinite(value) else "" for value in numbers),
                *(str(round(float(value))) for value in (result.images[i], won[i], met[i])),
                odds,
                "; ".join(together),
                *common,
            ]
        )
    return rows


def table(result: PreferenceFit, blurred: str | None) -> str:
    """The fit as text for reading."""
    rows = table_rows(result, blurred)
    cells = [["method", "score", "95 % interval", "mean over images", "images", "wins of votes", "BT odds"]]
    for name, score, low, high, mean, images, won, met, odds, *_ in rows[1:]:
        short = [f"{float(text):+.2f}" if text else "-" for text in (score, low, high, mean)]
        interval = f"{short[1]} to {short[2]}"
        cells.append(
            [name, short[0], interval, short[3], images, f"{won}/{met}", f"{float(odds):.2f}" if odds else "-"]
        )
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))])
        for first, *rest in cells
    ]
    votes = result.votes
    lines.append(f"{votes.count} votes, {len(votes.images)} images; intervals by {result.unit}")
    lines.append(f"Kendall's agreement u = {result.agreement:.4f} (1: all agree, 0: as if by chance)")
    if result.test is None:
        lines.append("range test: left out, some methods were never compared with each other")
    else:
        per_pair, least = result.test.votes_per_pair, result.test.least_difference
        lines.append(
            f"range test, level {result.test.alpha}: of {per_pair} votes a pair, methods are apart from {least} wins on"
        )
        together = rows[1][rows[0].index("not_apart_from")]
        lines.append(f"not apart from {rows[1][0]}: {together or 'none'}")
    return "\n".join(lines)


def write_tables(folder: Path, result: PreferenceFit, blurred: str | None, testset: str) -> None:
    """preference.csv and preference_images.csv (image, method, score; only finite ones)."""
    write_text(folder / "preference.csv", _csv(table_rows(result, blurred, testset)))
    rows = [["image", "method", "score"]]
    for image, scores in zip(result.votes.images, result.per_image, strict=True):
        pairs = zip(result.votes.names, scores, strict=True)
        rows += [[image, name, repr(float(score))] for name, score in pairs if np.isfinite(score)]
    write_text(folder / "preference_images.csv", _csv(rows))


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), _fit, argv, refusals=(OSError,))


def _fit(arguments: argparse.Namespace) -> int:
    if arguments.draws < 100 or arguments.prior < 0 or arguments.seed < 0:
        raise ValueError("expected --draws of 100 or more, --prior and --seed of 0 or more")
    names = arguments.names or _beside(arguments.votes, ".methods.txt")
    votes = read_votes(arguments.votes, names, arguments.image_names or _beside(arguments.votes, ".images.txt"))
    blurred = arguments.blurred or next((name for name in BLURRED if name in votes.names), None)
    if blurred is not None and blurred not in votes.names:
        near = did_you_mean(blurred, votes.names)
        raise ValueError(f"--blurred expects one of {', '.join(votes.names)}, got {blurred!r}{near}")
    result = fit(votes, arguments.bootstrap, arguments.draws, arguments.seed, arguments.prior)
    if arguments.out is not None:
        write_tables(arguments.out, result, blurred, arguments.testset)
    print(json.dumps(result.report(), indent=2, ensure_ascii=False) if arguments.json else table(result, blurred))
    return 0


def _beside(votes: Path, ending: str) -> Path | None:
    """The list of names that serve.py --export wrote beside the votes, or None."""
    path = votes.with_suffix(ending)
    return path if path.is_file() else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _parser() -> Parser:
    parser = Parser(prog="fit.py", description="Fit Bradley-Terry scores to votes on pairs of results.", epilog=EPILOG)
    add = parser.add_argument
    add("--votes", type=Path, required=True, metavar="FILE.csv")
    add("--names", type=Path, metavar="FILE", help="names of the methods, a line each")
    add("--image-names", type=Path, metavar="FILE", help="names (keys) of the images, a line each")
    add("--testset", default=TESTSET, metavar="ID", help=f"whose images were voted on (default: {TESTSET})")
    parser.shared("--json", "--seed")
    add("--out", type=Path, metavar="DIR", help="write preference.csv and preference_images.csv")
    add("--blurred", metavar="NAME", help=f"the blurred input, for BT odds (default: {' or '.join(BLURRED)} if there)")
    add("--bootstrap", choices=("auto", "images", "votes"), default="auto", help="what is drawn for the intervals")
    add("--draws", type=int, default=DRAWS, metavar="N", help=f"bootstrap draws (default: {DRAWS})")
    add("--prior", type=float, default=0.0, metavar="A", help="pull towards zero for few votes (default: none)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
