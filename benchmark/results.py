"""The stored results: per-image scores, methods, costs, and the leaderboard made of them. Never loads torch.

Files are CSV with a header, UTF-8, "\\n" at line ends. Numbers are written so that reading gives the same number again;
an infinite value is "inf", an unknown one is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TypeVar, get_type_hints

from benchmark.metrics import METRICS
from benchmark.protocols import PROTOCOLS, pooled
from core.files import write_bytes, write_text
from core.tables import number_text, read_table

# reports/ may import this module only, so it hands on what a report needs of the ground floor.
__all__ = [
    "COST_COLUMNS", "METHODS_COLUMNS", "METRICS", "PROTOCOLS", "SCORES_COLUMNS", "ComparisonRow", "CostRow",
    "MethodRow", "Row", "ScoreRow", "columns", "pooled", "read_rows", "write_bytes", "write_rows", "write_text",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """A line of scores.csv: one metric of one image."""

    method: str
    testset: str
    protocol: str
    metric: str
    key: str
    value: float
    simulated: bool


NOT_RUN = "not run: "  # so begins the status of a network that has no weights and cannot be trained


def in_place_of_figures(status: str) -> str:
    """What a table shows where a method has no figures: "", "not run" or "failed"."""
    if status == "ok":
        return ""
    return "not run" if status.startswith(NOT_RUN) else "failed"


@dataclass(frozen=True, kw_only=True)
class _MethodNames:
    method: str
    testset: str
    protocol: str


@dataclass(frozen=True, kw_only=True)
class _MethodFacts:
    """What a method was when a protocol scored it: the columns that a leaderboard's row shares with methods.csv.

    status: "ok", NOT_RUN and why, or the reason why it failed. switches: what was done beside the plain thing
    ("repeated still").
    missing: "metric: sentence" for metrics that could not be computed, "; " between them. title: of the test set.
    """

    task: str = ""
    params_m: float | None = None
    macs_g: float | None = None
    trained_on: str = ""
    steps: int | None = None
    feature_net: str = ""
    switches: str = ""
    weights_sha256: str = ""
    status: str = "ok"
    commit: str = ""
    command: str = ""
    profile: str = ""
    title: str = ""
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class MethodRow(_MethodFacts, _MethodNames):
    """A line of methods.csv. Columns stand in the order of the bases from right to left."""


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """A line of cost.csv. Latency is synchronised, after warm-up; macs of methods.csv are for this size, too."""

    method: str
    height: int
    width: int
    device: str
    threads: int
    ms_median: float
    ms_iqr: float
    peak_mb: float | None


@dataclass(frozen=True, kw_only=True)
class _Figure(_MethodNames):
    """One metric of one method under one protocol. value is None where it is missing.

    published: the authors' figure under the same protocol.
    """

    metric: str
    value: float | None
    ci95_low: float | None
    ci95_high: float | None
    count: int
    published: float | None
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class Row(_MethodFacts, _Figure):
    """A line of leaderboard.csv: a figure, the facts of its method, its cost, and how it compares."""

    # The cost's columns, down to peak_mb, are those of a CostRow, all of them None or "" for a method that was not
    # measured.
    height: int | None = None
    width: int | None = None
    device: str = ""
    threads: int | None = None
    ms_median: float | None = None
    ms_iqr: float | None = None
    peak_mb: float | None = None
    shares_first_place: bool | None = None  # whether the data cannot tell the method from the best one of its table
    published_elsewhere: str = ""  # figures under other protocols, each with the difference in words
    votes: int | None = None  # those that a score of a preference study rests on


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """A line of comparisons.csv: `method` against `other` on the images that both have."""

    testset: str
    protocol: str
    metric: str
    method: str
    other: str
    images: int
    wins: int  # images on which `method` is better
    ties: int  # equal
    losses: int  # worse
    difference: float  # mean of method - other, in the metric's own direction
    ci95_low: float | None  # bootstrap interval of the difference by sequence; None with a single sequence
    ci95_high: float | None
    wilcoxon_p: float  # two-sided signed-rank test over images
    holm_p: float  # the same, corrected for all pairs of methods of the table
    # holm_p below 0.05 and the interval without 0; None where there is no interval, so that nothing can be said
    differs: bool | None


Line = TypeVar("Line")  # a frozen dataclass of plain values


def columns(kind: type) -> tuple[str, ...]:
    """Column names of a file, in order."""
    return tuple(field.name for field in fields(kind))


SCORES_COLUMNS = columns(ScoreRow)
METHODS_COLUMNS = columns(MethodRow)
COST_COLUMNS = columns(CostRow)


def write_rows(path: Path, kind: type[Line], rows: Iterable[Line]) -> str:
    """Write a CSV file in one step; returns its sha256. Errors: OSError (disk full)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = columns(kind)
    writer.writerow(names)
    writer.writerows([_to_text(getattr(row, name)) for name in names] for row in rows)
    return write_text(path, text.getvalue())


def read_rows(path: Path, kind: type[Line]) -> list[Line]:
    """Read a CSV file; unknown columns are ignored, so that older programs read newer files.

    Errors: FileNotFoundError; ValueError naming the file, the line and the column.
    """
    hints = {name: str(hint) for name, hint in get_type_hints(kind).items()}
    return [_from_text(path, number, kind, hints, row) for number, row in read_table(path, tuple(_required(kind)))]


def _required(kind: type) -> Sequence[str]:
    """Columns that the file must have: those without a default."""
    return [item.name for item in fields(kind) if item.default is MISSING]


def _to_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)


def _from_text(path: Path, number: int, kind: type[Line], hints: Mapping[str, str], row: Mapping[str, str]) -> Line:
    values: dict[str, object] = {}
    for name, hint in hints.items():
        if name not in row:
            continue
        text = row[name]
        try:
            if "bool" in hint:
                values[name] = {"true": True, "false": False, **({"": None} if "None" in hint else {})}[text]
            elif "float" in hint or "int" in hint:
                number_type = float if "float" in hint else int
                values[name] = None if text == "" and "None" in hint else number_type(number_text(text))
            else:
                values[name] = text
        except (ValueError, KeyError):
            raise ValueError(f"{path}, line {number}: column {name!r} holds {text[:60]!r}, expected {hint}") from None
    return kind(**values)  # type: ignore[arg-type]
