"""A set made of some pairs of another, chosen by the figures of the quality gate or any other key of the manifest.

The condition is such as "ghost_score < 0.05 and 2 < blur_extent_px < 40 and not still". The grammar, and nothing else:
a condition is never run as a program.

    condition   = and-part {"or" and-part}
    and-part    = not-part {"and" not-part}
    not-part    = "not" not-part | "(" condition ")" | comparison
    comparison  = operand {("<" | "<=" | ">" | ">=" | "==" | "!=") operand}     chained as in mathematics
                | operand ["not"] "in" ("(" | "[") value {"," value} (")" | "]")
                | text ["not"] "in" key                                         a key that holds a list or a text
                | key                                                           a key that is true or false
    operand     = key | value
    value       = number | "text" | 'text' | true | false

"&", "|" and "~" are read as and, or and not. A key that a pair does not have (null) makes every comparison but !=
false.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from core import files, shards
from core.command_line import did_you_mean
from synth.manifest import PairRecord, read_manifest
from synth.pair_set import Refusal, open_set, run_values

LONGEST = 4000
DEEPEST = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?<![\w.])-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?(?![\w.]))"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<text>\"[^\"\n]*\"|'[^'\n]*')"
    r"|(?P<sign><=|>=|==|!=|<|>|\(|\)|\[|\]|,|&|\||~))"
)
_WORDS = {"&": "and", "|": "or", "~": "not"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, two: one < two,
    "<=": lambda one, two: one <= two,
    ">": lambda one, two: one > two,
    ">=": lambda one, two: one >= two,
    "==": lambda one, two: one == two,
    "!=": lambda one, two: one != two,
}
_CONSTANTS = {"true": True, "false": False, "True": True, "False": False}

Test = Callable[[Mapping[str, Any]], bool]


def select(folder: Path, where: str, out: Path) -> str:
    """Make the set `out` of the pairs in `folder` for which `where` holds; returns one sentence about it.

    where: a condition on the manifest's keys, such as
    "ghost_score < 0.05 and 2 < blur_extent_px < 40 and not still". Images in folders become hard links where the file
    system can, else copies; those in shards are laid out in folders.
    Errors: Refusal for a condition that cannot be evaluated, that no pair meets, or an output folder that is taken;
    ValueError if there is no set; OSError.
    """
    folder, out = Path(folder), Path(out)
    records = read_manifest(folder)
    chosen = [record for record, kept in zip(records, _mask(records, where), strict=True) if kept]
    if not chosen:
        raise Refusal(f"no pair of the {len(records)} in {folder} meets {where!r}; nothing was written")
    values = run_values(folder)
    configuration = values["configuration"] | {"selected_from": folder.resolve().as_posix(), "selected_where": where}
    if configuration.get("layout") == "webdataset":
        configuration["layout"] = "flat"  # what is left of shards lies in folders
    selected = open_set(out, configuration, resume=True)
    if not selected.finished:
        for record in chosen[len(selected.records) :]:
            selected.take(_loose(folder, record, out))
        selected.finish()
    return f"{out}: {len(chosen)} of {len(records)} pairs, those with {where}"


def _mask(records: list[PairRecord], where: str) -> list[bool]:
    try:
        meets = condition(where, KEYS)
    except ValueError as error:
        raise Refusal(
            f"--where {where[:200]!r} cannot be evaluated ({error}); it is a condition such as "
            f'"ghost_score < 0.05 and not still" on {", ".join(KEYS)}'
        ) from None
    return [meets(asdict(record)) for record in records]


def _kind(hint: object) -> type:
    """bool, float, str, list or dict: what a key of the manifest holds, told from its annotation."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) in (Union, UnionType) and len(inner) == 1:
        return _kind(inner[0])
    if get_origin(hint) is Literal:
        return _kind(type(inner[0]))
    kind = get_origin(hint) or hint
    return float if kind in (int, float) else kind if isinstance(kind, type) else str


KEYS = {item.name: _kind(get_type_hints(PairRecord)[item.name]) for item in fields(PairRecord)}


def _loose(folder: Path, record: PairRecord, out: Path) -> PairRecord:
    """Bring a pair's images to `out`; returns its record there."""
    names = [record.blur, record.sharp, *([record.blur_gamma] if record.blur_gamma else [])]
    for name in names:
        source, target = folder / name, out / shards.member_of(name)
        if shards.inside_shard(source):
            files.write_bytes(target, shards.read_bytes(source))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
        os.replace(part, target)
        part.unlink(missing_ok=True)  # replacing a link by another one to the same file leaves it
    return replace(
        record,
        blur=shards.member_of(record.blur),
        sharp=shards.member_of(record.sharp),
        blur_gamma=shards.member_of(record.blur_gamma),
    )


@dataclass(frozen=True, kw_only=True)
class _Token:
    kind: str  # "number", "name", "text", "sign", "end"
    text: str


@dataclass(frozen=True, kw_only=True)
class _Operand:
    """A key of the manifest (name) or a value."""

    name: str = ""
    value: Any = None

    def of(self, record: Mapping[str, Any]) -> Any:
        return record.get(self.name) if self.name else self.value


def condition(text: str, keys: Mapping[str, type]) -> Test:
    """What tells whether a record, a mapping of `keys` to values, meets the condition `text`.

    keys: name -> bool, float (any number), str, list or dict; a record may have None for any of them.
    Errors: ValueError, the reason: a word that is no part of the grammar, an unknown key, unlike things compared.
    """
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text)} characters, a condition has {LONGEST} at most")
    return _Reader(_tokens(text), keys).whole()


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"{text[place:].strip()[:20]!r} is no part of a condition")
        kind = str(match.lastgroup)
        word = match[kind]
        found.append(_Token(kind="name" if word in _WORDS else kind, text=_WORDS.get(word, word)))
        place = match.end()
    return [*found, _Token(kind="end", text="")]


class _Reader:
    def __init__(self, tokens: list[_Token], keys: Mapping[str, type]) -> None:
        self._tokens, self._keys, self._place, self._depth = tokens, keys, 0, 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *texts: str) -> str:
        """The next token if it is one of these signs or words, else ""."""
        token = self._next
        if token.kind in ("name", "sign") and token.text in texts:
            self._place += 1
            return token.text
        return ""

    def whole(self) -> Test:
        found = self._any()
        if self._next.kind != "end":
            raise ValueError(f"{self._next.text!r} stands where and, or or the end is expected")
        return found

    def _any(self) -> Test:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda record: any(part(record) for part in parts)

    def _all(self) -> Test:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda record: all(part(record) for part in parts)

    def _not(self) -> Test:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} times")
        try:
            if self._take("not"):
                inner = self._not()
                return lambda record: not inner(record)
            if self._take("("):
                inner = self._any()
                if not self._take(")"):
                    raise ValueError("a ) is missing")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Test:
        operands, signs = [self._operand()], []
        denied = bool(self._take("not"))
        if self._take("in"):
            return self._membership(operands[0], denied)
        if denied:
            raise ValueError("after a value, not is followed by in")
        while sign := self._take(*_COMPARE):
            signs.append(sign)
            operands.append(self._operand())
        first = operands[0]
        if not signs:
            if first.name and self._keys[first.name] is bool:
                return lambda record: bool(first.of(record))
            raise ValueError(f"{_shown(first)} alone is no condition; compare it, as in ghost_score < 0.05")
        for one, two, sign in zip(operands, operands[1:], signs, strict=False):
            self._require_alike(one, two, sign)

        def test(record: Mapping[str, Any]) -> bool:
            values = [operand.of(record) for operand in operands]
            for one, two, sign in zip(values, values[1:], signs, strict=False):
                known = one is not None and two is not None
                if not (_COMPARE[sign](one, two) if known else sign == "!="):
                    return False
            return True

        return test

    def _membership(self, operand: _Operand, denied: bool) -> Test:
        if opening := self._take("(", "["):
            values = [self._operand()]
            while self._take(","):
                values.append(self._operand())
            if not self._take(")" if opening == "(" else "]"):
                raise ValueError(f"the list after in does not end with {')' if opening == '(' else ']'}")
            for value in values:
                self._require_alike(operand, value, "==")
            return lambda record: any(operand.of(record) == value.of(record) for value in values) != denied
        place = self._operand()
        if not place.name or self._keys[place.name] not in (list, str) or self._kind(operand) is not str:
            raise ValueError('after in stands a list, or a key with a list or text before which a "text" stands')
        return lambda record: (operand.of(record) in (place.of(record) or ())) != denied

    def _operand(self) -> _Operand:
        token = self._next
        self._place += 1
        if token.kind == "number":
            return _Operand(value=float(token.text) if not re.fullmatch(r"-?\d{1,18}", token.text) else int(token.text))
        if token.kind == "text":
            return _Operand(value=token.text[1:-1])
        if token.kind == "name" and token.text in _CONSTANTS:
            return _Operand(value=_CONSTANTS[token.text])
        if token.kind == "name" and token.text in self._keys:
            return _Operand(name=token.text)
        self._place -= 1
        if token.kind == "name" and token.text not in ("and", "or", "not", "in"):
            raise ValueError(f"there is no key {token.text!r}{did_you_mean(token.text, self._keys)}")
        raise ValueError(f"a key or a value is missing before {token.text!r}" if token.text else "it ends too early")

    def _kind(self, operand: _Operand) -> type:
        if operand.name:
            return self._keys[operand.name]
        kind = type(operand.value)
        return float if kind is int else kind

    def _require_alike(self, one: _Operand, two: _Operand, sign: str) -> None:
        kinds = {self._kind(one), self._kind(two)}
        if len(kinds) > 1 or kinds & {list, dict}:
            raise ValueError(f"{_shown(one)} and {_shown(two)} cannot be compared with {sign}")
        if bool in kinds and sign not in ("==", "!="):
            raise ValueError(f"{_shown(one)} and {_shown(two)} are true or false and cannot be compared with {sign}")


def _shown(operand: _Operand) -> str:
    return operand.name or repr(operand.value)[:40]
