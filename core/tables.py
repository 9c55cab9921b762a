"""CSV files that people have had in their hands: commas, semicolons or tabs, with a byte order mark, any line ends.

Everything that is read is bounded: a cell of a megabyte or a file of a gigabyte is no table of results.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

LONGEST_CELL = 1 << 20
LARGEST_FILE = 1 << 30
DELIMITERS = (",", ";", "\t")


def read_cells(path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """(line, cells) of every line that is not empty, and the delimiter, told from the first one.

    Errors: ValueError, one sentence: no ordinary file, too large, not UTF-8, a cell that is too long; OSError.
    """
    path = Path(path)
    if not path.is_file() and path.exists():
        raise ValueError(
            f"{path}: a CSV file is needed, this is {'a folder' if path.is_dir() else 'a pipe or a device'}"
        )
    if path.exists() and path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path}: a table has 1 GiB at most, this file is larger")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
                raise ValueError
            text = data.decode("utf-16")  # "Unicode text" of a spreadsheet program
        except ValueError:
            raise ValueError(f"{path}: a CSV file in UTF-8 is needed, this one is not") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        # newline="": the reader sees \r\n, \n and \r alike, and quoted line ends stay.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: this is no CSV file of results ({error})") from None
    finally:
        csv.field_size_limit(before)
    return lines, delimiter


def read_table(path: Path, needed: tuple[str, ...] = ()) -> list[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of every line below the header. In a table with semicolons numbers may have a comma.

    needed: columns that must be there. Errors: as `read_cells`; ValueError for a missing column, a column that is there
    twice, or a line of another length than the header.
    """
    lines, _ = read_cells(path)
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    if missing := [name for name in needed if name not in header]:
        raise ValueError(f"{path}: column {missing[0]!r} is missing; this is not a file of this project")
    if twice := [name for name in header if header.count(name) > 1]:
        raise ValueError(f"{path}: column {twice[0]!r} is there twice; this is not a file of this project")
    found = []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise ValueError(f"{path}, line {number}: {len(header)} cells are expected, got {len(cells)}")
        found.append((number, dict(zip(header, cells, strict=True))))
    return found


def number_text(text: str) -> str:
    """A number as Python reads it, from a cell that may have a decimal comma: "28,42" is 28.42."""
    plain = text.strip()
    return plain.replace(",", ".") if plain.count(",") == 1 and "." not in plain else plain
