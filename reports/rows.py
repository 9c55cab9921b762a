"""From per-image scores to the rows of leaderboard.csv: means, intervals, first place, published figures, cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.results import PROTOCOLS, ComparisonRow, CostRow, MethodRow, Row, ScoreRow, columns
from reports.comparison import mean_and_interval, shares_first_place
from reports.measures import PREFERENCE, measure
from reports.published import Published, elsewhere, elsewhere_text, same_protocol

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
    first = _first_places({key: mean for key, (mean, _, _) in means.items() if mean is not None}, comparisons)
    simulated = {(score.testset, score.protocol): score.simulated for score in scores}
    same = same_protocol(published)
    by_method: dict[str, CostRow] = {}
    for cost in costs:
        by_method.setdefault(cost.method, cost)
    rows = []
    for method in methods:
        measured = values.get((method.method, method.testset, method.protocol), {})
        missing = missing_metrics(method)
        metrics = [*measured, *(name for name in missing if name not in measured)] or [main_metric(method.protocol)]
        for metric in metrics:
            name = (method.method, method.testset, method.protocol, metric)
            mean, low, high = means.get(name, (None, None, None))
            beside = same.get((method.method, method.protocol, metric))
            apart = elsewhere(published, *name, main=metric == metrics[0])
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
                    shares_first_place=None if mean is None or not comparisons else name in first,
                    published_elsewhere=elsewhere_text(apart),
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
