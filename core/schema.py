"""What is read back from JSON, checked at the door: types, ranges, required keys, names that stay inside their folder.

A schema is a dataclass whose annotations say what a value may be (pydantic checks them, strictly: no text for a
number, no infinity, no deep nesting). What is handed on are the values as they stand in the file, so that a file that
is written again has the same bytes.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le, MaxLen, MinLen, Predicate

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# Of every schema: set it as __pydantic_config__.
STRICT = {"strict": True, "extra": "ignore", "allow_inf_nan": False}
MOST_COUNT = 1 << 53  # the whole numbers that JSON readers agree on
LONGEST_NAME = 4096


def is_inside(name: str) -> bool:
    """Whether a relative path of a file stays inside its folder whatever it is joined to: no "..", nothing absolute."""
    path = PurePosixPath(name)
    return (
        0 < len(name) <= LONGEST_NAME
        and not path.is_absolute()
        and ".." not in path.parts
        and path.parts != ()
        and "\\" not in name
        and not re.match(r"[A-Za-z]:", name)
        and name.isprintable()
    )


def is_inside_or_empty(name: str) -> bool:
    return name == "" or is_inside(name)


def is_digest(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def is_digest_or_empty(text: str) -> bool:
    return text == "" or is_digest(text)


MEANINGS = {
    "is_inside": "expected a relative path that stays inside the folder (no .., not absolute)",
    "is_inside_or_empty": "expected a relative path that stays inside the folder (no .., not absolute)",
    "is_digest": "expected a sha256 of 64 hexadecimal digits",
    "is_digest_or_empty": "expected a sha256 of 64 hexadecimal digits",
}

Count = Annotated[int, Ge(0), Le(MOST_COUNT)]
Positive = Annotated[int, Ge(1), Le(MOST_COUNT)]
Whole = Annotated[int, Ge(-(1 << 63)), Le(1 << 63)]
Rate = Annotated[float, Ge(0), Le(1e6)]
Share = Annotated[float, Gt(0), Le(1)]
Text = Annotated[str, MaxLen(LONGEST_NAME)]
Name = Annotated[str, MinLen(1), MaxLen(LONGEST_NAME)]
Inside = Annotated[str, Predicate(is_inside)]
InsideOrEmpty = Annotated[str, Predicate(is_inside_or_empty)]
Digest = Annotated[str, Predicate(is_digest)]
DigestOrEmpty = Annotated[str, Predicate(is_digest_or_empty)]


def parse(data: bytes | str) -> Any:
    """The value of a JSON text. Errors: ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def checked(kind: type, data: bytes | str) -> dict[str, Any]:
    """The object in a JSON text if it fits the schema `kind`, with all of its keys.

    Errors: ValueError, the reason without the file's name: "key 'window': ..., got 'x'".
    """
    from pydantic import ValidationError

    try:
        _adapter(kind).validate_json(data)
    except ValidationError as error:
        raise ValueError(_reason(error.errors(include_url=False)[0])) from None
    return dict(parse(data))


def read(kind: type, path: Path, remedy: str) -> dict[str, Any]:
    """`checked` of a file. Errors: ValueError, one sentence that names the file and ends in `remedy`; OSError."""
    try:
        return checked(kind, Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {remedy}") from None


@lru_cache(maxsize=64)
def _adapter(kind: type) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _reason(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function-", "constrained-")))
    subject = f"key {_short(place)}: " if place else ""
    if error["type"] == "json_invalid":
        return "this is no JSON, or it was cut short"
    if error["type"] == "missing":
        return f"key {_short(place)} is missing"
    if error["type"] == "predicate_failed":
        name = next((name for name in MEANINGS if name in error["msg"]), "")
        expected = MEANINGS.get(name, "expected another value")
    else:
        text = error["msg"].removeprefix("Input ").replace("should be", "expected")
        expected = text[:1].lower() + text[1:]
    return f"{subject}{expected}, got {_short(error['input'])}"


def _short(value: object) -> str:
    """A value for a sentence: never long, never deep."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value) if not isinstance(value, str) else repr(value[:60])
    return text if len(text) <= 70 else f"{text[:60]}..."


class Links:
    """Whether files of a folder really lie in it. Parents are looked at once each."""

    def __init__(self, folder: Path) -> None:
        self._home = os.path.realpath(folder)
        self._parents: dict[str, bool] = {}

    def leads_out(self, name: str) -> bool:
        """Whether a relative path, all of its links followed, ends outside of the folder."""
        parent, _, file = name.rpartition("/")
        if parent not in self._parents:
            self._parents[parent] = self._is_inside(os.path.realpath(os.path.join(self._home, parent)))
        if not self._parents[parent]:
            return True
        path = os.path.join(self._home, parent, file)
        return os.path.islink(path) and not self._is_inside(os.path.realpath(path))

    def _is_inside(self, path: str) -> bool:
        return path == self._home or path.startswith(self._home.rstrip(os.sep) + os.sep)
