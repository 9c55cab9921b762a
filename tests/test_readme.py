"""The README's leaderboard is the one in docs/leaderboard.csv, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.results import Row, read_rows
from reports.build import BEGIN, END
from reports.leaderboard import readme_block

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_leaderboard_equals_the_csv() -> None:
    shown = README.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == readme_block(read_rows(ROOT / "docs" / "leaderboard.csv", Row)).strip()


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.partition(BEGIN)[0] + README.partition(END)[2]):
        assert (ROOT / target).exists(), target


def test_commands_name_entry_points_that_exist() -> None:
    for script in re.findall(r"python ((?:synth|models|benchmark|reports)/\w+\.py)", README):
        assert (ROOT / script).is_file(), script
