"""The leaderboard as LaTeX: one table per test set and protocol, for \\input into a paper."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.results import METRICS, PROTOCOLS, Row
from reports.leaderboard import best_value, digits_of, number_text, ranked, table_title, training
from reports.rows import tables_of

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≈": r"$\approx$", "±": r"$\pm$",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text for LaTeX: its special characters written out."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def latex(rows: Sequence[Row]) -> str:
    """All tables; they need the package booktabs. The best of a metric is bold, those it cannot be told from have ≈."""
    return "\n".join(["% needs \\usepackage{booktabs}", *(latex_table(rows, *table) for table in tables_of(rows))])


def latex_table(rows: Sequence[Row], testset: str, protocol: str) -> str:
    """One table environment; its caption holds the protocol and says where a set is simulated."""
    here = [row for row in rows if (row.testset, row.protocol) == (testset, protocol)]
    metrics = list(dict.fromkeys(row.metric for row in here))
    figures = {(row.method, row.metric): row for row in here}
    with_published = [m for m in metrics if any(row.published is not None for row in here if row.metric == m)]
    heads = ["method"]
    for metric in metrics:
        entry = METRICS[metric]
        unit = f" ({escaped(entry.unit)})" if entry.unit else ""
        arrow = r"\uparrow" if entry.higher_is_better else r"\downarrow"
        heads.append(f"{escaped(entry.title)}{unit} ${arrow}$")
    heads += [f"published {escaped(METRICS[m].title)}" for m in with_published]
    heads += ["trained", "M", "GMACs", "ms"]
    words = PROTOCOLS[protocol].title if protocol in PROTOCOLS else ""
    lines = [
        r"\begin{table}",
        rf"\caption{{{escaped(table_title(here[0]))}, protocol {escaped(protocol)}: {escaped(words)}. Brackets: 95\,\% "
        r"bootstrap interval by sequence. $\approx$: not distinguishable from the best (Wilcoxon, Holm).}",
        rf"\begin{{tabular}}{{l{'r' * (len(metrics) + len(with_published))}lrrr}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for method in ranked(here, metrics[0]):
        some = next(figures[method, metric] for metric in metrics if (method, metric) in figures)
        cells = [escaped(method)]
        cells += [_cell(figures.get((method, metric)), best_value(here, metric)) for metric in metrics]
        cells += [number_text(getattr(figures.get((method, m)), "published", None), 2) for m in with_published]
        cells += [escaped(training(some)), number_text(some.params_m, 2), number_text(some.macs_g, 2)]
        lines.append(" & ".join([*cells, number_text(some.ms_median, 0)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _cell(row: Row | None, best: float | None) -> str:
    if row is None or row.value is None:
        return "--"
    digits = digits_of(row.metric)
    text = number_text(row.value, digits)
    if row.value == best:
        text = rf"\textbf{{{text}}}"
    elif row.shares_first_place:
        text += r" $\approx$"
    if row.ci95_low is not None:
        text += rf" {{\scriptsize [{number_text(row.ci95_low, digits)}, {number_text(row.ci95_high, digits)}]}}"
    return text
