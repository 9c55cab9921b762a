"""The leaderboard as LaTeX: one table per test set and protocol, for \\input into a paper."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from benchmark.results import Row
from reports.leaderboard import best_value, digits_of, leading, number_text, ranked, table_title, training
from reports.rows import BLOCKS, blocks_of, measure, protocol_words, tables_of, takes_rank

# "[" and "*" would be read as arguments of the line end before them; <, > and | are other signs in LaTeX's own fonts.
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", "≈": r"$\approx$", "±": r"$\pm$", "×": r"$\times$",
    "−": "$-$", "–": "--", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\rightarrow$", "µ": r"$\mu$", "°": r"$^\circ$",
    "…": r"\ldots{}", "\n": " ",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text for LaTeX in ASCII: special characters written out, accents left off, "?" for what no font would have."""
    return "".join(_SPECIAL.get(letter) or _plain(letter) for letter in text)


def _plain(letter: str) -> str:
    bare = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii")
    return "".join(_SPECIAL.get(part, part) for part in bare) or "?"


def number(value: float | None, digits: int) -> str:
    """A number with a minus sign of its own; "" where it is not known."""
    return number_text(value, digits).replace("inf", r"$\infty$").replace("-", "$-$")


def latex(rows: Sequence[Row]) -> str:
    """All tables; they need the packages booktabs and graphicx. The best of a metric is bold, ≈: not told from it."""
    tables = [latex_table(rows, *table) for table in tables_of(rows)]
    return "\n".join(["% needs \\usepackage{booktabs,graphicx}", *tables])


def latex_table(rows: Sequence[Row], testset: str, protocol: str) -> str:
    """One table environment; its caption holds the protocol and says where a set is simulated."""
    here = [row for row in rows if (row.testset, row.protocol) == (testset, protocol)]
    metrics = list(dict.fromkeys(row.metric for row in here))
    figures = {(row.method, row.metric): row for row in here}
    with_published = [m for m in metrics if any(row.published is not None for row in here if row.metric == m)]
    heads = ["method"]
    for metric in metrics:
        entry = measure(metric)
        unit = f" ({escaped(entry.unit)})" if entry.unit else ""
        arrow = r"\uparrow" if entry.higher_is_better else r"\downarrow"
        heads.append(f"{escaped(entry.title)}{unit} ${arrow}$")
    where = " (real set)" if any(row.simulated for row in here) else ""
    heads += [f"published {escaped(measure(m).title)}{where}" for m in with_published]
    heads += ["trained", "M", "GMACs", "ms"]
    caption = f"{escaped(table_title(here[0]))}, protocol {escaped(protocol)}: {escaped(protocol_words(protocol))}. "
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}{_reading(metrics)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(metrics) + len(with_published))}lrrr}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    blocks = blocks_of(here)
    block = min(blocks.values())
    for method in ranked(here, leading(here)):
        if blocks[method] != block:
            block = blocks[method]
            lines += [r"\midrule", rf"\multicolumn{{{len(heads)}}}{{l}}{{{escaped(BLOCKS[block])}:}} \\"]
        some = next(figures[method, metric] for metric in metrics if (method, metric) in figures)
        cells = [escaped(method)]
        cells += [_cell(figures.get((method, metric)), best_value(here, metric)) for metric in metrics]
        cells += [number(getattr(figures.get((method, m)), "published", None), 2) for m in with_published]
        cells += [escaped(training(some)), number_text(some.params_m, 2), number_text(some.macs_g, 2)]
        lines.append(" & ".join([*cells, number_text(some.ms_median, 0)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}", ""])


def _reading(metrics: Sequence[str]) -> str:
    """The caption's words on intervals and marks."""
    words = ""
    if any(measure(metric).of_images for metric in metrics):
        words += r"Brackets: 95\,\% bootstrap interval by sequence. $\approx$: not distinguishable from the best "
        words += "(Wilcoxon, Holm)."
    if not all(measure(metric).of_images for metric in metrics):
        words += r" BT log-odds and odds: scores of a preference study, with their 95\,\% bootstrap interval; there "
        words += r"$\approx$ is the verdict of the range test (level 0.01)."
    return words.strip()


def _cell(row: Row | None, best: float | None) -> str:
    if row is None or row.value is None:
        return "--"
    digits = digits_of(row.metric)
    text = number(row.value, digits)
    if row.value == best and takes_rank(row):
        text = rf"\textbf{{{text}}}"
    elif row.shares_first_place:
        text += r" $\approx$"
    if row.ci95_low is not None:
        text += rf" {{\scriptsize [{number(row.ci95_low, digits)}, {number(row.ci95_high, digits)}]}}"
    return text
