"""Votes on pairs of results as a CSV file, in the layout of the Lai study.

A line a vote: image ID, method 1, method 2, result; result is 1 or 2, the better one of the two. Methods are numbered
from 1 in the order of a list of names, a line each. A tie (result 0, "tie" or "draw") counts half for each of the two.
The header may be missing: the first line is a vote where its result is one, so that no vote is lost and none is made of
a header. Cells may be divided by semicolons or tabs.

Source of the layout: Lai et al., "A Comparative Study for Single Image Blind Deblurring", CVPR 2016, the votes files.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.files import require_file, write_text
from core.tables import read_cells

NAME_AND_SIZE = re.compile(r"(\S+)\s+\d+")
TIES = ("0", "0.5", "tie", "tied", "draw", "equal", "same", "both", "=")
MOST_METHODS = 200  # a bootstrap solves a thousand systems of so many equations, some ten times
MOST_CELLS = 1 << 27  # of wins: 1 GiB
HEADER = ("Image ID", "Method 1", "Method 2", "Result")


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Votes as win counts. wins: [images, methods, methods] float64, wins[k, i, j] = times i was better than j on k.

    A tie counts half for each of the two. ties: [methods, methods], those halves alone, over all images.
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    wins: np.ndarray
    ties: np.ndarray | None = None

    @property
    def count(self) -> int:
        return round(float(self.wins.sum()))


def read_votes(path: Path, names_file: Path | None = None, image_names_file: Path | None = None) -> Votes:
    """Read a votes file. Methods without a single vote are left out.

    Without `names_file` a method's name is what stands in the file (a number, or a name), and so with an image's.
    Errors: OSError; ValueError naming the file, the line, what was expected and what came.
    """
    rows = _rows(Path(path))
    names = read_names(names_file) if names_file is not None else None
    if names is None:
        labels = {label for _, _, first, second, _ in rows for label in (first, second)}
        names = tuple(sorted(labels, key=_natural))
    place = {str(number): number - 1 for number in range(1, len(names) + 1)} if names_file is not None else {}
    place |= {name: index for index, name in enumerate(names) if name not in place}
    found = sorted({image for _, image, _, _, _ in rows}, key=_natural)
    image_place = {image: index for index, image in enumerate(found)}
    images = tuple(found) if image_names_file is None else _image_names(path, rows, found, image_names_file)
    _require_few(path, len(images), len(names))
    wins, ties = np.zeros((len(images), len(names), len(names))), np.zeros((len(names), len(names)))
    for line, image, first, second, result in rows:
        for label in (first, second):
            if label not in place:
                raise ValueError(
                    f"{path}, line {line}: method {label!r} is neither a number from 1 to {len(names)} nor a name of "
                    f"{names_file}; give the list of names that belongs to these votes"
                )
        if place[first] == place[second]:
            raise ValueError(f"{path}, line {line}: two different methods are expected, got {first!r} twice")
        if result == "0":
            for better, worse in ((first, second), (second, first)):
                wins[image_place[image], place[better], place[worse]] += 0.5
                ties[place[better], place[worse]] += 0.5
            continue
        better, worse = (first, second) if result == "1" else (second, first)
        wins[image_place[image], place[better], place[worse]] += 1
    voted = (wins.sum(axis=(0, 1)) + wins.sum(axis=(0, 2))) > 0
    kept = tuple(name for name, there in zip(names, voted, strict=True) if there)
    return Votes(names=kept, images=images, wins=wins[:, voted][:, :, voted], ties=ties[voted][:, voted])


def _require_few(path: Path, images: int, methods: int) -> None:
    """Errors: ValueError for more methods or images than tables of all pairs of methods can be kept for."""
    if methods > MOST_METHODS or images * methods**2 > MOST_CELLS:
        most = min(MOST_METHODS, int((MOST_CELLS / images) ** 0.5))
        raise ValueError(
            f"{path}: votes on {methods} methods and {images} images; every method is compared with every other one on "
            f"every image, which is done for {most} methods here at most. Give --names with fewer, or split the file"
        )


def _image_names(
    path: Path, rows: Sequence[tuple[int, str, str, str, str]], found: Sequence[str], names_file: Path
) -> tuple[str, ...]:
    """The names of the images that stand as numbers from 1, or as names, in the votes file.

    The Lai study's lists have a number behind every name, the size of a kernel; it is no part of the name.
    """
    names = read_names(names_file)
    sized = [NAME_AND_SIZE.fullmatch(name) for name in names]
    if all(sized):
        names = tuple(found[1] for found in sized if found)
    place = {name: name for name in names} | {str(number): name for number, name in enumerate(names, 1)}
    unknown = next((image for image in found if image not in place), None)
    if unknown is not None:
        line = next(number for number, image, *_ in rows if image == unknown)
        raise ValueError(
            f"{path}, line {line}: image {unknown!r} is neither a number from 1 to {len(names)} nor a name of "
            f"{names_file}; give the list of names that belongs to these votes"
        )
    return tuple(place[image] for image in found)


def read_names(path: Path) -> tuple[str, ...]:
    """Names of methods or images, a line each. Errors: OSError; ValueError (an empty list, a name twice)."""
    require_file(path)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a text file with one name a line, got bytes that are not UTF-8") from None
    names = tuple(line.strip() for line in lines if line.strip())
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        got = f"{twice[0]!r} twice" if twice else "none"
        raise ValueError(f"{path}: expected different names, one a line, got {got}")
    return names


def write_votes(path: Path, votes: Sequence[tuple[int, int, int, int]]) -> None:
    """Write votes (image, method 1, method 2, result; all counted from 1) with a header, in one step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *votes])
    write_text(path, text.getvalue())


def _rows(path: Path) -> list[tuple[int, str, str, str, str]]:
    """(line, image, method 1, method 2, result) of every vote, the result "1" or "2"."""
    cells_of, _ = read_cells(path)
    lines = [(number, [cell.strip() for cell in row]) for number, row in cells_of]
    columns: list[int] = [0, 1, 2, 3]
    # A first line that ends in 0 may be anything: of ties in numbers there must be a header, or a vote before.
    if lines and not (len(lines[0][1]) >= 4 and lines[0][1][3] != "0" and _result(lines[0][1][3])):
        head = [cell.casefold() for cell in lines[0][1]]
        if set(cell.casefold() for cell in HEADER) <= set(head):
            columns = [head.index(cell.casefold()) for cell in HEADER]
            lines = lines[1:]
        elif any(cell.isdigit() for cell in head):
            raise ValueError(
                f"{path}, line {lines[0][0]}: expected image, method 1, method 2 and the better one (1 or 2), "
                f"got {','.join(lines[0][1])!r}"
            )
        else:
            lines = lines[1:]  # a header in other words: the columns are in their usual order
    if not lines:
        raise ValueError(f"{path}: expected votes, one a line ({', '.join(HEADER)}), got none")
    rows = []
    for number, row in lines:
        cells = [row[column] for column in columns if column < len(row)]
        if len(cells) < 4 or not all(cells) or not _result(cells[3]):
            raise ValueError(
                f"{path}, line {number}: expected image, method 1, method 2 and the better one (1 or 2, 0 for a tie), "
                f"got {','.join(row)[:200]!r}"
            )
        rows.append((number, cells[0], cells[1], cells[2], _result(cells[3])))
    return rows


def _result(text: str) -> str:
    """ "1", "2", or "0" for a tie; "" for anything else."""
    plain = text.strip().casefold()
    plain = plain.removesuffix(".0")
    return "0" if plain in TIES else plain if plain in ("1", "2") else ""


def _natural(label: str) -> tuple[int, int, str]:
    """Numbers by value before texts by alphabet."""
    return (0, int(label), "") if label.isdigit() else (1, 0, label)
