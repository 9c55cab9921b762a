"""Leaderboard rows as Markdown: the whole board and the README's block."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.results import NOT_RUN, Row, in_place_of_figures
from reports.rows import (
    BLOCKS,
    PREFERENCE_NOTE,
    blocks_of,
    measure,
    protocol_words,
    tables_of,
    takes_rank,
    train_test_matrix,
)

SIMULATED_NOTE = (
    "A set titled *(mini, simulated)* was rendered by this project from photographs, in the official layout of the set "
    "whose place it takes: its figures cannot be compared with published ones. Rows of the profile *quick* come from "
    "networks of full width trained for the few steps stated: they show that the pipeline works, not how good a "
    "network is."
)
SHARED = "≈"
SHARED_NOTE = (
    "≈: not distinguishable from the best, which is bold. A difference counts where Wilcoxon's signed-rank test over "
    "the images, corrected after Holm for all pairs of methods, is below 0.05 and the 95 % interval of the mean "
    "difference, drawn by sequence, leaves out 0."
)


def markdown(rows: Sequence[Row]) -> str:
    """The whole leaderboard: one table per test set and protocol."""
    parts = ["# Leaderboard\n", f"{SIMULATED_NOTE}\n"]
    for testset, protocol in tables_of(rows):
        parts.append(table(rows, testset, protocol))
    return "\n".join([*parts, _matrix(rows)])


def table_title(row: Row) -> str:
    """Name of a test set for a heading; a rendered stand-in always says so."""
    title = row.title or row.testset
    return title if not row.simulated or "simulated" in title else f"{title} (simulated)"


def _matrix(rows: Sequence[Row]) -> str:
    """Train set x test set, in the main metric of every table."""
    tables, lines = train_test_matrix(rows)
    first = {name: next(row for row in rows if (row.testset, row.protocol) == name) for name in tables}
    heads = [f"{table_title(first[name])}: {name[1]}, {metric_head(first[name].metric)}" for name in tables]
    text = ["## Train set x test set\n", "| trained on | method | " + " | ".join(heads) + " |"]
    text.append("|" + " --- |" * (len(heads) + 2))
    for trained_on, method, cells in lines:
        figures = ["" if row is None else _cell(row, None).replace(f" {SHARED}", "") for row in cells]
        text.append(f"| {trained_on} | {method} | " + " | ".join(figures) + " |")
    return "\n".join([*text, ""])


def table(rows: Sequence[Row], testset: str, protocol: str) -> str:
    """One Markdown table with its title, its protocol in words and its notes; the best of each metric is bold."""
    here = [row for row in rows if (row.testset, row.protocol) == (testset, protocol)]
    metrics = list(dict.fromkeys(row.metric for row in here))
    figures = {(row.method, row.metric): row for row in here}
    where = "real set" if any(row.simulated for row in here) else "same protocol"
    with_published = [m for m in metrics if any(row.published is not None for row in here if row.metric == m)]
    head = ["method", *map(metric_head, metrics)]
    head += [f"published {measure(m).title} ({where})" for m in with_published]
    head += ["images", "trained", "parameters (M)", "MACs (G)", _latency_head(here)]
    elsewhere = any(row.published_elsewhere for row in here)
    head += ["published under another protocol (difference)"] if elsewhere else []
    lines = [f"## {table_title(here[0])}: {protocol}\n"]
    if words := protocol_words(protocol):
        lines.append(f"{words}\n")
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for method, line in _in_blocks(here, len(head)):
        if method is None:
            lines.append(line)
            continue
        some = next(figures[method, metric] for metric in metrics if (method, metric) in figures)
        cells = [method]
        cells += [_cell(figures.get((method, metric)), best_value(here, metric)) for metric in metrics]
        cells += [number_text(getattr(figures.get((method, m)), "published", None), 2) for m in with_published]
        count = max(figures[method, m].count for m in metrics if (method, m) in figures)
        cells += [
            str(count),
            training(some),
            number_text(some.params_m, 2),
            number_text(some.macs_g, 2),
            number_text(some.ms_median, 0),
        ]
        if elsewhere:
            cells.append(_elsewhere([figures[method, metric] for metric in metrics if (method, metric) in figures]))
        lines.append("| " + " | ".join(cells) + " |")
    if any(row.shares_first_place is not None and measure(row.metric).of_images for row in here):
        lines += ["", SHARED_NOTE]
    if not all(measure(metric).of_images for metric in metrics):
        lines += ["", PREFERENCE_NOTE]
    lines += ["", *_notes(here), ""]
    return "\n".join(lines)


def readme_block(rows: Sequence[Row]) -> str:
    """What stands in the README between the leaderboard markers: the main figures of GoPro, and every protocol's means.

    Published figures, intervals, costs and notes are in the whole board.
    """
    first = next((pair for pair in tables_of(rows) if pair[1] == "gopro-linear"), None) or tables_of(rows)[0]
    here = [row for row in rows if (row.testset, row.protocol) == first]
    metrics = list(dict.fromkeys(row.metric for row in here))
    figures = {(row.method, row.metric): row for row in here}
    lines = [f"**{table_title(here[0])}: {first[1]}**", ""]
    head = ["method", *map(metric_head, metrics), "trained", _latency_head(here)]
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for method, line in _in_blocks(here, len(head)):
        if method is None:
            lines.append(line)
            continue
        some = next(row for row in here if row.method == method)
        cells = [method, *(_cell(figures.get((method, m)), best_value(here, m)) for m in metrics)]
        lines.append("| " + " | ".join([*cells, training(some), number_text(some.ms_median, 0)]) + " |")
    lines += ["", *_every_table(rows, [m for m, _ in _in_blocks(here, 0) if m])]
    if any(row.shares_first_place for row in rows):
        lines += ["", f"{SHARED}: cannot be told from the best, which is bold."]
    return "\n".join([*lines, "", SIMULATED_NOTE])


def _every_table(rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
    """One line for each test set and protocol: its leading metric, for every method."""
    lines = ["| all test sets | " + " | ".join(methods) + " |", "|" + " --- |" * (len(methods) + 1)]
    for testset, protocol in tables_of(rows):
        here = [row for row in rows if (row.testset, row.protocol) == (testset, protocol)]
        metric = leading(here)
        found = {row.method: row for row in here if row.metric == metric}
        cells = [_cell(found.get(method), best_value(here, metric)) for method in methods]
        lines.append(f"| {table_title(here[0])}: {protocol}, {metric_head(metric)} | " + " | ".join(cells) + " |")
    return lines


def _in_blocks(rows: Sequence[Row], columns: int) -> list[tuple[str | None, str]]:
    """The methods of a table in order; where another block begins (None, its line)."""
    blocks = blocks_of(rows)
    block = min(blocks.values())
    found: list[tuple[str | None, str]] = []
    for method in ranked(rows, leading(rows)):
        if blocks[method] != block:
            block = blocks[method]
            found.append((None, f"| *{BLOCKS[block]}:*" + " |" * columns))
        found.append((method, ""))
    return found


def leading(rows: Sequence[Row]) -> str:
    """The metric that ranks a table: the first that has a figure, else the first."""
    known = {row.metric for row in rows if row.value is not None}
    return next((row.metric for row in rows if row.metric in known), rows[0].metric)


def ranked(rows: Sequence[Row], metric: str) -> list[str]:
    """Methods from best to worst in a metric, block after block (reports/rows.py).

    Those without a value come last in theirs, in their own order.
    """
    sign = -1.0 if measure(metric).higher_is_better else 1.0
    block = blocks_of(rows)
    value = {row.method: sign * row.value for row in rows if row.metric == metric and row.value is not None}
    names = list(dict.fromkeys(row.method for row in rows))
    return sorted(names, key=lambda name: (block[name], value.get(name, math.inf)))


def best_value(rows: Sequence[Row], metric: str) -> float | None:
    """The best of the rows that take a rank."""
    values = [row.value for row in rows if row.metric == metric and row.value is not None and takes_rank(row)]
    if not values:
        return None
    return max(values) if measure(metric).higher_is_better else min(values)


def metric_head(metric: str) -> str:
    entry = measure(metric)
    unit = f", {entry.unit}" if entry.unit else ""
    return f"{entry.title}{unit} {'↑' if entry.higher_is_better else '↓'}"


def _latency_head(rows: Sequence[Row]) -> str:
    """ "ms" with the image size and the device that all rows share; other sizes or devices are said in cost.csv."""
    measured = {(row.width, row.height, row.device) for row in rows if row.ms_median is not None}
    if len(measured) != 1:
        return "ms"
    width, height, device = next(iter(measured))
    return f"ms ({width} x {height} px, {device})"


def digits_of(metric: str) -> int:
    return measure(metric).digits


def number_text(value: float | None, digits: int) -> str:
    if value is None:
        return ""
    return "inf" if math.isinf(value) else f"{value:.{digits}f}"


def _cell(row: Row | None, best: float | None) -> str:
    if row is None or (row.value is None and not row.missing):
        return in_place_of_figures(row.status) if row is not None else ""
    if row.value is None:
        return "missing"
    text = number_text(row.value, digits_of(row.metric))
    if row.value == best and takes_rank(row):
        return f"**{text}**"
    return f"{text} {SHARED}" if row.shares_first_place else text


def _elsewhere(rows: Sequence[Row]) -> str:
    return "; ".join(dict.fromkeys(row.published_elsewhere for row in rows if row.published_elsewhere))


def training(row: Row) -> str:
    if row.steps is None:
        return row.trained_on or "no training"
    return f"{row.profile}, {row.steps:,} steps" if row.profile else f"{row.steps:,} steps"


def _notes(rows: Sequence[Row]) -> list[str]:
    """Lines below a table: missing metrics, failures and switches, each once."""
    notes = [
        f"{row.metric} is missing{'' if row.value is None else f' in part, {row.method}'}: {row.missing}"
        for row in rows
        if row.missing
    ]
    for row in rows:
        if state := in_place_of_figures(row.status):
            notes.append(f"{row.method} {state}: {row.status.removeprefix(NOT_RUN)}")
    notes += [f"{row.method}: {row.switches}" for row in rows if row.switches]
    return [f"- {note}" for note in dict.fromkeys(notes)]
