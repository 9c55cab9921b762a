"""From per-image scores to the rows of leaderboard.csv: means, intervals, first place, published figures, cost.

And what the columns of a report show: the metrics of images and, beside them, the scores of a preference study.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.results import METRICS, PROTOCOLS, ComparisonRow, CostRow, MethodRow, Row, ScoreRow, columns
from reports.comparison import mean_and_interval, shares_first_place
from reports.published import Published, elsewhere, elsewhere_text, same_protocol

BT_LOG_ODDS, BT_ODDS = "bt-log-odds", "bt-odds"
PREFERENCE = "preference-study"  # protocol of a study whose images no other table has
PREFERENCE_NOTE = (
    "BT log-odds: Bradley-Terry scores of the votes of a preference study, maximum likelihood over all votes, mean "
    "zero, as benchmark/preference/fit.py gives them with their 95 % interval; there ≈ is the verdict of the range "
    "test of the Lai study at the level 0.01. BT odds: exp(score - score of the blurred input). The scores of "
    "DeblurGAN-v2's Table 4 (blurred = 1) are on another scale: they stand among the published figures and are mixed "
    "with neither."
)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column's title, unit and direction, and how many digits are shown. of_images: computed from image files."""

    title: str
    unit: str
    higher_is_better: bool
    digits: int
    of_images: bool = True


STUDY_MEASURES: dict[str, Measure] = {
    BT_LOG_ODDS: Measure(title="BT log-odds", unit="", higher_is_better=True, digits=2, of_images=False),
    BT_ODDS: Measure(title="BT odds", unit="", higher_is_better=True, digits=2, of_images=False),
}


def measure(name: str) -> Measure:
    """The facts of a metric or of a study's score. Errors: KeyError for an unknown id."""
    if name in STUDY_MEASURES:
        return STUDY_MEASURES[name]
    entry = METRICS[name]
    digits = 2 if entry.unit == "dB" or entry.name in ("niqe", "brisque") else 4
    return Measure(title=entry.title, unit=entry.unit, higher_is_better=entry.higher_is_better, digits=digits)


def protocol_words(protocol: str) -> str:
    """What a protocol is, in a line; "" for one that this version does not know."""
    if protocol == PREFERENCE:
        return "votes on pairs of results of one image; Bradley-Terry scores, images as the study has them"
    return PROTOCOLS[protocol].title if protocol in PROTOCOLS else ""


Table = tuple[str, str]  # test set, protocol


def build_rows(
    scores: Sequence[ScoreRow],
    methods: Sequence[MethodRow],
    costs: Sequence[CostRow],
    published: Sequence[Published],
    comparisons: Sequence[ComparisonRow] = (),
) -> list[Row]:
    """One row for every metric of every method under every protocol, in the order of methods.csv.

    Metrics that could not be computed and failed methods keep a row with no value and the reason.
    """
    values: dict[tuple[str, str, str], dict[str, list[ScoreRow]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        values[score.method, score.testset, score.protocol][score.metric].append(score)
    means = {(*key, metric): mean_and_interval(some) for key, by in values.items() for metric, some in by.items()}
    apart = {(m.method, m.testset, m.protocol) for m in methods if not takes_rank(m)}
    ranked = {key: mean for key, (mean, _, _) in means.items() if mean is not None and key[:3] not in apart}
    first = _first_places(ranked, comparisons)
    simulated = {(score.testset, score.protocol): score.simulated for score in scores}
    same = same_protocol(published)
    by_method: dict[str, CostRow] = {}
    for cost in costs:
        by_method.setdefault(cost.method, cost)
    rows = []
    for method in methods:
        measured = values.get((method.method, method.testset, method.protocol), {})
        missing = missing_metrics(method)
        metrics = list(dict.fromkeys([*(measured or [main_metric(method.protocol)]), *missing]))
        for metric in metrics:
            name = (method.method, method.testset, method.protocol, metric)
            mean, low, high = means.get(name, (None, None, None))
            beside = same.get((method.method, method.protocol, metric))
            other = elsewhere(published, *name, main=metric == metrics[0])
            rows.append(
                Row(
                    metric=metric,
                    value=mean,
                    ci95_low=low,
                    ci95_high=high,
                    count=len(measured.get(metric, [])),
                    published=beside.value if beside else None,
                    simulated=simulated.get((method.testset, method.protocol), "simulated" in method.title),
                    **{column: getattr(method, column) for column in columns(MethodRow) if column != "missing"},
                    missing=missing.get(metric, ""),
                    **_cost_columns(by_method.get(method.method)),
                    shares_first_place=name in first if name in ranked and comparisons else None,
                    published_elsewhere=elsewhere_text(other),
                )
            )
    return rows


def missing_metrics(method: MethodRow) -> dict[str, str]:
    """Metric -> the sentence that says what it lacks, from the `missing` column."""
    parts = [part.partition(": ") for part in method.missing.split("; ") if part]
    return {name: sentence for name, _, sentence in parts}


def main_metric(protocol: str) -> str:
    """The metric that ranks a table where nothing was measured yet."""
    return PROTOCOLS[protocol].metrics[0] if protocol in PROTOCOLS else "psnr"


# What stands below a line in every table, and what the line says. Those of the last block take no rank.
BLOCKS = (
    "",
    "trained here for about a minute, to show that the pipeline works; not what these networks can do",
    "not trained for deblurring; without a rank",
)
_OTHER_TASKS = ("sr2", "sr4", "video-sr4", "face")


def takes_rank(row: Row | MethodRow) -> bool:
    """Whether the row is of a method for what the protocol scores: a network that enlarges, say, deblurs nothing."""
    protocol = PROTOCOLS.get(row.protocol)
    return row.task not in _OTHER_TASKS or (protocol is not None and row.task in protocol.tasks)


def blocks_of(rows: Sequence[Row]) -> dict[str, int]:
    """Which of BLOCKS each method of a table stands in.

    Networks of the profile quick have a block of their own where others are there whose training was more than a try.
    """
    trained = any(row.weights_sha256 and row.profile != "quick" for row in rows if takes_rank(row))
    return {row.method: 2 if not takes_rank(row) else int(trained and row.profile == "quick") for row in rows}


def tables_of(rows: Sequence[Row]) -> list[Table]:
    """(test set, protocol) of every table, in the order of the rows."""
    return list(dict.fromkeys((row.testset, row.protocol) for row in rows))


def train_test_matrix(rows: Sequence[Row]) -> tuple[list[Table], list[tuple[str, str, list[Row | None]]]]:
    """Train set x test set: the tables, and for every (training, method) the main figure under each of them.

    Lines are sorted by what was trained on, so that a network trained on two sets stands in two lines. The main metric
    of a table is the first of its rows; figures of different columns are never averaged. Without a preference study
    that is a table of its own: it knows of no training.
    """
    rows = [row for row in rows if row.protocol != PREFERENCE]
    tables = tables_of(rows)
    main = {table: next(row.metric for row in rows if (row.testset, row.protocol) == table) for table in tables}
    lines: dict[tuple[str, str], dict[Table, Row]] = defaultdict(dict)
    for row in rows:
        table = (row.testset, row.protocol)
        if row.metric == main[table]:
            lines[row.trained_on or "no training", row.method][table] = row
    order = sorted(lines, key=lambda name: name[0] == "no training")
    return tables, [(*name, [lines[name].get(table) for table in tables]) for name in order]


def _first_places(
    means: Mapping[tuple[str, str, str, str], float], comparisons: Sequence[ComparisonRow]
) -> set[tuple[str, str, str, str]]:
    """(method, testset, protocol, metric) of every method that cannot be told from the best of its table."""
    lines: dict[tuple[str, str, str], list[ComparisonRow]] = defaultdict(list)
    for line in comparisons:
        lines[line.testset, line.protocol, line.metric].append(line)
    by_table: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for (method, *names), mean in means.items():
        by_table[names[0], names[1], names[2]][method] = mean
    return {
        (method, *names)
        for names, some in by_table.items()
        for method in shares_first_place(some, lines[names], measure(names[2]).higher_is_better)
    }


def _cost_columns(cost: CostRow | None) -> dict[str, Any]:
    return {} if cost is None else {name: getattr(cost, name) for name in columns(CostRow) if name != "method"}
