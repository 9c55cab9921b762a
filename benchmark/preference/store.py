"""Votes on disk: SQLite with a write-ahead log and full synchronisation. A vote that was acknowledged is never lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.preference.study import Study, Trial

SCHEMA = """
CREATE TABLE IF NOT EXISTS votes (
    participant TEXT NOT NULL, position INTEGER NOT NULL, image TEXT NOT NULL, left_method TEXT NOT NULL,
    right_method TEXT NOT NULL, is_check INTEGER NOT NULL, choice TEXT NOT NULL, seconds REAL NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), PRIMARY KEY (participant, position)
);
"""
CHOICES = ("left", "right", "skip")


class VoteStore:
    """The votes of a study in one SQLite file; every call opens its own connection, so threads need no lock."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Errors: sqlite3.DatabaseError, OSError."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.executescript(SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # the log reaches the disk before a commit returns
            with connection:
                yield connection
        finally:
            connection.close()

    def add(self, participant: str, position: int, trial: Trial, study: Study, choice: str, seconds: float) -> bool:
        """Store a vote; when this returns it is on disk. False: this screen has a vote already, which stays."""
        row = (participant, position, study.keys[trial.image], study.methods[trial.left], study.methods[trial.right])
        with self._connection() as connection:
            done = connection.execute(
                "INSERT OR IGNORE INTO votes (participant, position, image, left_method, right_method, is_check, "
                "choice, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, int(trial.check), choice, seconds),
            )
            return done.rowcount == 1

    def next_position(self, participant: str) -> int:
        """The first screen of a participant without a vote: where to go on."""
        with self._connection() as connection:
            found = connection.execute("SELECT COUNT(*) FROM votes WHERE participant = ?", (participant,)).fetchone()
        return int(found[0])

    def all_votes(self) -> list[tuple[str, str, str, str, bool, str]]:
        """(participant, image, left, right, check, choice) of every screen, in the order of arrival."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT participant, image, left_method, right_method, is_check, choice FROM votes ORDER BY rowid"
            ).fetchall()
        return [(p, image, left, right, bool(check), choice) for p, image, left, right, check, choice in rows]


def counted_votes(
    rows: list[tuple[str, str, str, str, bool, str]], least_consistency: float
) -> tuple[list[tuple[str, str, str, str]], dict[str, float]]:
    """Votes (image, left, right, "left"|"right") that count, and the consistency of participants who were left out.

    Skipped screens and repetitions do not count. A participant's consistency is the share of repeated pairs answered
    alike; below `least_consistency`, with four or more of them, none of the participant's votes count.
    """
    first: dict[tuple[str, str, frozenset[str]], str] = {}
    counted = []
    for participant, image, left, right, check, choice in rows:
        pair = (participant, image, frozenset((left, right)))
        if not check and choice != "skip" and pair not in first:  # --pairs changed during a study shows some again
            first[pair] = left if choice == "left" else right
            counted.append((participant, image, left, right, choice))
    alike: dict[str, list[bool]] = {}
    for participant, image, left, right, check, choice in rows:
        before = first.get((participant, image, frozenset((left, right))))
        if check and choice != "skip" and before is not None:
            alike.setdefault(participant, []).append(before == (left if choice == "left" else right))
    shares = {participant: sum(same) / len(same) for participant, same in alike.items() if len(same) >= 4}
    out = {participant: share for participant, share in shares.items() if share < least_consistency}
    return [vote[1:] for vote in counted if vote[0] not in out], out
