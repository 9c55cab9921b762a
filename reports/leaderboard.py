"""From per-image scores to leaderboard rows, Markdown tables and the README's block."""

from __future__ import annotations

import csv
import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.results import METRICS, PROTOCOLS, CostRow, MethodRow, Row, ScoreRow, columns

BOOTSTRAP_DRAWS = 2000
PUBLISHED = Path(__file__).with_name("published.csv")
SIMULATED_NOTE = (
    "A set titled *(mini, simulated)* was rendered by this project from photographs, in the official layout of the set "
    "whose place it takes: its figures cannot be compared with published ones. Rows of the profile *quick* come from "
    "networks of full width trained for the few steps stated: they show that the pipeline works, not how good a "
    "network is."
)


def load_published(path: Path = PUBLISHED) -> dict[tuple[str, str, str], float]:
    """(method, protocol, metric) -> the figure its authors published, only where protocol and metric are the same."""
    with open(path, encoding="utf-8", newline="") as stream:
        return {
            (row["method_id"], row["protocol"], row["metric_id"]): float(row["value"])
            for row in csv.DictReader(stream)
            if row["method_id"]
        }


def build_rows(
    scores: Sequence[ScoreRow],
    methods: Sequence[MethodRow],
    costs: Sequence[CostRow],
    published: dict[tuple[str, str, str], float],
) -> list[Row]:
    """One row for every metric of every method under every protocol, in the order of methods.csv.

    Metrics that could not be computed and failed methods keep a row with no value and the reason.
    """
    values: dict[tuple[str, str, str], dict[str, list[ScoreRow]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        values[score.method, score.testset, score.protocol][score.metric].append(score)
    simulated = {(score.testset, score.protocol): score.simulated for score in scores}
    by_method: dict[str, CostRow] = {}
    for cost in costs:
        by_method.setdefault(cost.method, cost)
    rows = []
    for method in methods:
        measured = values.get((method.method, method.testset, method.protocol), {})
        missing = missing_metrics(method)
        for metric in [*measured, *(name for name in missing if name not in measured)] or _main_metric(method.protocol):
            numbers = measured.get(metric, [])
            mean, low, high = mean_and_interval(numbers)
            rows.append(
                Row(
                    metric=metric,
                    value=mean,
                    ci95_low=low,
                    ci95_high=high,
                    count=len(numbers),
                    published=published.get((method.method, method.protocol, metric)),
                    simulated=simulated.get((method.testset, method.protocol), "simulated" in method.title),
                    **{name: getattr(method, name) for name in columns(MethodRow) if name != "missing"},
                    missing=missing.get(metric, ""),
                    **_cost_columns(by_method.get(method.method)),
                )
            )
    return rows


def missing_metrics(method: MethodRow) -> dict[str, str]:
    """Metric -> the sentence that says what it lacks, from the `missing` column."""
    parts = [part.partition(": ") for part in method.missing.split("; ") if part]
    return {name: sentence for name, _, sentence in parts}


def mean_and_interval(scores: Sequence[ScoreRow]) -> tuple[float | None, float | None, float | None]:
    """Mean of the per-image values and its 95 % bootstrap interval, drawn by sequence (the key before its last "/").

    With a single sequence, or an infinite value, there is no interval.
    """
    if not scores:
        return None, None, None
    mean = float(np.mean([score.value for score in scores]))
    clusters: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        clusters[score.key.rpartition("/")[0] or score.key].append(score.value)
    if len(clusters) < 2 or not math.isfinite(mean):
        return mean, None, None
    sums = np.array([sum(cluster) for cluster in clusters.values()])
    counts = np.array([len(cluster) for cluster in clusters.values()])
    first = scores[0]
    seed = zlib.crc32(f"{first.method} {first.testset} {first.protocol} {first.metric}".encode())
    drawn = np.random.default_rng(seed).integers(len(sums), size=(BOOTSTRAP_DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return mean, float(low), float(high)


def markdown(rows: Sequence[Row]) -> str:
    """The whole leaderboard: one table per test set and protocol."""
    parts = ["# Leaderboard\n", f"{SIMULATED_NOTE}\n"]
    for testset, protocol in _tables(rows):
        parts.append(table(rows, testset, protocol))
    return "\n".join(parts)


def table(rows: Sequence[Row], testset: str, protocol: str) -> str:
    """One Markdown table with its title, its protocol in words and its notes; the best of each metric is bold."""
    here = [row for row in rows if (row.testset, row.protocol) == (testset, protocol)]
    metrics = list(dict.fromkeys(row.metric for row in here))
    methods = _ranked(here, metrics[0])
    figures = {(row.method, row.metric): row for row in here}
    where = "real set" if any(row.simulated for row in here) else "same protocol"
    with_published = [m for m in metrics if any(row.published is not None for row in here if row.metric == m)]
    head = ["method", *map(_metric_head, metrics)]
    head += [f"published {METRICS[m].title} ({where})" for m in with_published]
    head += ["images", "trained", "parameters (M)", "MACs (G)", _latency_head(here)]
    lines = [f"## {here[0].title or testset}: {protocol}\n"]
    if protocol in PROTOCOLS:
        lines.append(f"{PROTOCOLS[protocol].title}\n")
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for method in methods:
        some = next(figures[method, metric] for metric in metrics if (method, metric) in figures)
        cells = [method]
        cells += [_cell(figures.get((method, metric)), _best(here, metric)) for metric in metrics]
        cells += [_number(getattr(figures.get((method, m)), "published", None), 2) for m in with_published]
        count = max(figures[method, m].count for m in metrics if (method, m) in figures)
        cells += [
            str(count),
            _training(some),
            _number(some.params_m, 2),
            _number(some.macs_g, 2),
            _number(some.ms_median, 0),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *_notes(here), ""]
    return "\n".join(lines)


def readme_block(rows: Sequence[Row]) -> str:
    """What stands in the README between the leaderboard markers: GoPro in full, the other protocols in short."""
    first = next((pair for pair in _tables(rows) if pair[1] == "gopro-linear"), None) or _tables(rows)[0]
    lines = [
        table(rows, *first).replace("## ", "### ", 1).strip(),
        "",
        "| other test sets | method with the best mean | |",
    ]
    lines.append("| --- | --- | --- |")
    for testset, protocol in _tables(rows):
        here = [row for row in rows if (row.testset, row.protocol) == (testset, protocol)]
        best = [row for row in here if row.value is not None and row.value == _best(here, here[0].metric)]
        if (testset, protocol) == first:
            continue
        if best:
            row = best[0]
            figure = f"{_metric_head(row.metric)} {_number(row.value, _digits(row.metric))}"
            lines.append(f"| {row.title or testset}: {protocol} | {row.method} | {figure} |")
        else:
            lines.append(f"| {here[0].title or testset}: {protocol} | - | {here[0].missing or here[0].status} |")
    return "\n".join([*lines, "", SIMULATED_NOTE])


def _tables(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.testset, row.protocol) for row in rows))


def _main_metric(protocol: str) -> list[str]:
    return [PROTOCOLS[protocol].metrics[0]] if protocol in PROTOCOLS else ["psnr"]


def _cost_columns(cost: CostRow | None) -> dict[str, Any]:
    return {} if cost is None else {name: getattr(cost, name) for name in columns(CostRow) if name != "method"}


def _ranked(rows: Sequence[Row], metric: str) -> list[str]:
    """Methods from best to worst in a metric; those without a value come last, in their own order."""
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    value = {row.method: sign * row.value for row in rows if row.metric == metric and row.value is not None}
    names = list(dict.fromkeys(row.method for row in rows))
    return sorted(names, key=lambda name: value.get(name, math.inf))


def _best(rows: Sequence[Row], metric: str) -> float | None:
    values = [row.value for row in rows if row.metric == metric and row.value is not None]
    if not values:
        return None
    return max(values) if METRICS[metric].higher_is_better else min(values)


def _metric_head(metric: str) -> str:
    entry = METRICS[metric]
    unit = f", {entry.unit}" if entry.unit else ""
    return f"{entry.title}{unit} {'↑' if entry.higher_is_better else '↓'}"


def _latency_head(rows: Sequence[Row]) -> str:
    """ "ms" with the image size and the device that all rows share; other sizes or devices are said in cost.csv."""
    measured = {(row.width, row.height, row.device) for row in rows if row.ms_median is not None}
    if len(measured) != 1:
        return "ms"
    width, height, device = next(iter(measured))
    return f"ms ({width} x {height} px, {device})"


def _digits(metric: str) -> int:
    return 2 if METRICS[metric].unit == "dB" or METRICS[metric].name in ("niqe", "brisque") else 4


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return ""
    return "inf" if math.isinf(value) else f"{value:.{digits}f}"


def _cell(row: Row | None, best: float | None) -> str:
    if row is None or (row.value is None and not row.missing):
        return "failed" if row is not None and row.status != "ok" else ""
    if row.value is None:
        return "missing"
    text = _number(row.value, _digits(row.metric))
    return f"**{text}**" if row.value == best else text


def _training(row: Row) -> str:
    if row.steps is None:
        return row.trained_on or "no training"
    return f"{row.profile}, {row.steps:,} steps" if row.profile else f"{row.steps:,} steps"


def _notes(rows: Sequence[Row]) -> list[str]:
    """Lines below a table: missing metrics, failures and switches, each once."""
    notes = [f"{row.metric} is missing: {row.missing}" for row in rows if row.missing]
    notes += [f"{row.method} failed: {row.status}" for row in rows if row.status != "ok"]
    notes += [f"{row.method}: {row.switches}" for row in rows if row.switches]
    return [f"- {note}" for note in dict.fromkeys(notes)]
