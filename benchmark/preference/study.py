"""A study: which images and pairs participants see, and their votes on disk.

What a study shows: images with the results of several methods, and each participant's order of pairs.

Votes on disk: SQLite with a write-ahead log and full synchronisation. A vote that was acknowledged is never lost.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPEAT_EVERY = 12  # one pair in so many comes again, sides swapped, to see whether a participant pays attention
INPUTS = ("_blur", "_sharp")  # the benchmark's copies for contact sheets, a few images each: no results
REPEAT_DISTANCE = 6  # pairs between the two showings, where there are as many


@dataclass(frozen=True, kw_only=True)
class Study:
    """The images of a study. root: DIR/<method>/<key>.png. methods, keys: sorted; keys have all methods' results."""

    root: Path
    methods: tuple[str, ...]
    keys: tuple[str, ...]

    def file(self, method: int, image: int) -> Path:
        return self.root / self.methods[method] / f"{self.keys[image]}.png"

    @property
    def pairs(self) -> int:
        return len(self.keys) * len(self.methods) * (len(self.methods) - 1) // 2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One screen: an image and the methods on the left and on the right (all counted from 0)."""

    image: int
    left: int
    right: int
    check: bool = False


def find_study(root: Path) -> Study:
    """The study of a folder DIR/<method>/<key>.png, as the benchmark writes images/<testset>.

    Images that some method lacks are left out; so are the folders _blur and _sharp (the blurred input takes part as the
    method identity). Errors: ValueError.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"--images expects a folder DIR/<method>/<key>.png, {root} is none")
    found = {
        folder.name: {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.png")}
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in INPUTS
    }
    found = {name: keys for name, keys in found.items() if keys}
    if len(found) < 2:
        raise ValueError(
            f"--images expects a folder with the results of two methods or more, {root}/<method>/<key>.png; got "
            f"{', '.join(found) or 'none'}"
        )
    common = set.intersection(*found.values())
    if not common:
        raise ValueError(
            f"--images expects images that all of {', '.join(found)} restored; no <key>.png is in all folders of "
            f"{root}: restore the same images with all of them"
        )
    return Study(root=root, methods=tuple(found), keys=tuple(sorted(common)))


def trials(study: Study, participant: str, limit: int) -> list[Trial]:
    """A participant's pairs in order, the same whenever it is called: that is what resuming needs.

    Every pair of every image at most once, in an order drawn from the participant's name; of `limit` pairs the methods
    come about equally often, and a method is as often left as right but for chance. One in REPEAT_EVERY is shown again
    later with its sides swapped, as a check of attention.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(participant.encode()).digest()[:8], "big"))
    couples = list(itertools.combinations(range(len(study.methods)), 2))
    chosen: list[Trial] = []
    # Rounds with every couple of methods once, each on another image: any beginning of the list is balanced.
    orders = {couple: rng.permutation(len(study.keys)) for couple in couples}
    on_left = {couple: int(rng.integers(2)) for couple in couples}
    for round_number in range(len(study.keys)):
        for index in rng.permutation(len(couples)):
            first, second = couple = couples[index]
            swap = (round_number + on_left[couple]) % 2
            left, right = (second, first) if swap else (first, second)
            chosen.append(Trial(image=int(orders[couple][round_number]), left=left, right=right))
    chosen = chosen[:limit]
    shown: list[Trial] = []
    waiting: list[tuple[int, Trial]] = []  # position from which the repetition may come
    for index, trial in enumerate(chosen):
        shown.append(trial)
        if index % REPEAT_EVERY == REPEAT_EVERY // 2:
            again = Trial(image=trial.image, left=trial.right, right=trial.left, check=True)
            waiting.append((index + REPEAT_DISTANCE, again))
        if waiting and waiting[0][0] <= index:
            shown.append(waiting.pop(0)[1])
    return [*shown, *(again for _, again in waiting)]


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
