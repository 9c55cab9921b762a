"""Figures from papers and repositories (published.csv): beside ours where the protocol is the same, else apart."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.results import MethodRow, Row

PUBLISHED = Path(__file__).with_name("published.csv")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure of a method and test set of ours. protocol and metric_id are empty where they are not one of ours.

    metric: as printed ("PSNR", "SSIM"). difference: what keeps it out of our column. known_gap: why who measures again
    gets another figure, with its source.
    """

    method: str
    testset: str
    protocol: str
    metric_id: str
    metric: str
    value: float
    difference: str
    known_gap: str
    source: str


def load_published(path: Path = PUBLISHED) -> list[Published]:
    """The rows of published.csv that belong to a method and a test set of ours.

    Errors: ValueError naming the line whose value is not a number.
    """
    found = []
    with open(path, encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            if not row["method_id"] or not row["testset"]:
                continue
            try:
                value = float(row["value"])
            except ValueError:
                raise ValueError(f"{path}, line {number}: value holds {row['value']!r}, expected a number") from None
            found.append(
                Published(
                    method=row["method_id"],
                    testset=row["testset"],
                    protocol=row["protocol"],
                    metric_id=row["metric_id"],
                    metric=row["metric"],
                    value=value,
                    difference=row["difference"],
                    known_gap=row["known_gap"],
                    source=row["source"],
                )
            )
    return found


def same_protocol(published: Sequence[Published]) -> dict[tuple[str, str, str], Published]:
    """(method, protocol, metric) -> the figure that may stand beside ours; the first where several were published."""
    found: dict[tuple[str, str, str], Published] = {}
    for entry in published:
        if entry.protocol and entry.metric_id:
            found.setdefault((entry.method, entry.protocol, entry.metric_id), entry)
    return found


def elsewhere(
    published: Sequence[Published], method: str, testset: str, protocol: str, metric: str, main: bool
) -> list[tuple[Published, str]]:
    """Figures of the method and set that may not stand beside ours, each with the difference in words.

    main: also those whose metric is none of ours (subjective scores). A figure printed twice is listed once.
    """
    found: dict[float, tuple[Published, str]] = {}
    for entry in published:
        if (entry.method, entry.testset) != (method, testset) or (entry.protocol, entry.metric_id) == (
            protocol,
            metric,
        ):
            continue
        family = entry.metric.lower()
        kin = family in metric.split("-")  # "SSIM" belongs beside ssim-gauss-valid and beside ms-ssim
        if not kin and not (main and family not in ("psnr", "ssim")):
            continue
        words = entry.difference or f"scored under {entry.protocol}"
        found.setdefault(entry.value, (entry, words))
    return list(found.values())


def elsewhere_text(entries: Sequence[tuple[Published, str]]) -> str:
    """For a cell: "SSIM 0.951 (kind of SSIM not stated); SSIM 0.955 (...)"."""
    return "; ".join(f"{entry.metric} {entry.value:g} ({words})" for entry, words in entries)


def gap_reasons(row: Row | MethodRow, simulated: bool, known_gap: str) -> list[str]:
    """Why the measured figure is not the published one, in words; empty where nothing is known."""
    reasons = []
    if simulated:
        reasons.append("measured on a rendered stand-in, not on the real set")
    if row.profile:
        trained = f"trained here, profile {row.profile}"
        trained += f", {row.steps:,} steps" if row.steps else ""
        reasons.append(trained + (f", on {row.trained_on}" if row.trained_on else ""))
    if known_gap:
        reasons.append(known_gap)
    return reasons
