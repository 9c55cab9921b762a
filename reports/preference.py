"""A preference study's table (preference.csv of benchmark/preference/fit.py) as rows of the leaderboard.

The scores stand in the table of the study's test set, in columns of their own, where the study's images are images of
that table. Otherwise they are a table of their own: votes on one set never stand beside figures of another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.results import Row, ScoreRow
from core.tables import read_table
from reports.rows import BT_LOG_ODDS, BT_ODDS, PREFERENCE

FILE, IMAGES_FILE = "preference.csv", "preference_images.csv"
TESTSET = "lai-real"  # where the file does not say it
BLURRED = ("Blur", "_blur")  # names of the blurred input in studies; here it is the method identity
NEEDED = ("method", "score", "ci95_low", "ci95_high", "images", "votes", "BT odds", "not_apart_from")


@dataclass(frozen=True, kw_only=True)
class Preference:
    """A method's line of preference.csv. odds: None without a blurred input. together: methods not told from it."""

    method: str
    score: float
    low: float | None
    high: float | None
    images: int
    votes: int
    odds: float | None
    together: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PreferenceStudy:
    """What a study says. images: their names; empty where preference_images.csv is not there."""

    testset: str
    lines: tuple[Preference, ...]
    images: frozenset[str]


def load_preference(source: Path) -> PreferenceStudy | None:
    """The study stored beside scores.csv; None: there is none.

    Errors: ValueError naming the file, the line and the column.
    """
    path = source / FILE
    if not path.is_file():
        return None
    rows = _table(path, NEEDED)
    lines = tuple(_line(path, number, row) for number, row in enumerate(rows, start=2))
    if not lines or len({line.method for line in lines}) < len(lines):
        raise ValueError(f"{path}: expected one line a method, got {len(lines)} lines; write it with fit.py --out")
    others = source / IMAGES_FILE
    images = {row["image"] for row in _table(others, ("image",))} if others.is_file() else set()
    return PreferenceStudy(testset=rows[0].get("testset") or TESTSET, lines=lines, images=frozenset(images))


def with_preference(rows: Sequence[Row], scores: Sequence[ScoreRow], study: PreferenceStudy) -> list[Row]:
    """The rows and, behind those of their table, the study's: one for each score of each method."""
    table = next(((row.testset, row.protocol) for row in rows if row.testset == study.testset), None)
    keys = {score.key for score in scores if (score.testset, score.protocol) == table}
    if table is None or not same_images(study.images, keys):
        title = f"Preference study, images of its own ({study.testset})"
        some = Row(
            method="", testset=study.testset, protocol=PREFERENCE, metric=BT_LOG_ODDS, value=None, ci95_low=None,
            ci95_high=None, count=0, published=None, simulated=False, title=title,
        )  # fmt: skip
        return [*rows, *_rows(study, some, {})]
    here = {row.method: row for row in reversed(rows) if (row.testset, row.protocol) == table}
    last = max(place for place, row in enumerate(rows) if (row.testset, row.protocol) == table)
    added = _rows(study, next(iter(here.values())), here)
    return [*rows[: last + 1], *added, *rows[last + 1 :]]


def same_images(study: Collection[str], keys: Collection[str]) -> bool:
    """Whether the study's images are images of a table; where one of the two is not known, its name decided."""
    return not study or not keys or set(study) <= set(keys)


def _rows(study: PreferenceStudy, some: Row, known: dict[str, Row]) -> list[Row]:
    """known: a row of each method of the table. some: a row of the table, of any method."""
    found = []
    best = max(study.lines, key=lambda line: line.score)
    for line in study.lines:
        name = "identity" if line.method in BLURRED and "identity" in known else line.method
        stranger = Row(
            method=name, testset=some.testset, protocol=some.protocol, metric=BT_LOG_ODDS, value=None, ci95_low=None,
            ci95_high=None, count=0, published=None, simulated=some.simulated, title=some.title,
            trained_on="not known: only in the preference study",
        )  # fmt: skip
        row = replace(
            known.get(name, stranger),
            metric=BT_LOG_ODDS,
            value=line.score,
            ci95_low=line.low,
            ci95_high=line.high,
            count=line.images,
            votes=line.votes,
            published=None,
            published_elsewhere="",
            missing="",
            shares_first_place=line is best or best.method in line.together,
        )
        found.append(row)
        if line.odds is not None:
            found.append(
                replace(row, metric=BT_ODDS, value=line.odds, ci95_low=None, ci95_high=None, shares_first_place=None)
            )
    return found


def _table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    try:
        return [row for _, row in read_table(path, tuple(needed))]
    except ValueError as error:
        raise ValueError(f"{error}; write it with fit.py --out") from None


def _line(path: Path, number: int, row: dict[str, str]) -> Preference:
    def numeric(column: str, kind: type[int] | type[float]) -> float:
        try:
            return kind(row[column])
        except (ValueError, TypeError):
            raise ValueError(f"{path}, line {number}: {column} holds {row[column]!r}, expected a number") from None

    def optional(column: str) -> float | None:
        return numeric(column, float) if row[column] else None

    return Preference(
        method=row["method"],
        score=numeric("score", float),
        low=optional("ci95_low"),
        high=optional("ci95_high"),
        images=int(numeric("images", int)),
        votes=int(numeric("votes", int)),
        odds=optional("BT odds"),
        together=tuple(name for name in row["not_apart_from"].split("; ") if name),
    )
