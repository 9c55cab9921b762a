"""Files of torch.save read without unpickling: a tree of plain values, with a description in place of each tensor.

A checkpoint is a pickle, and unpickling one runs whatever its writer wanted. Here a small machine of our own follows
the pickle's instructions. It knows containers, numbers, texts and torch's tensors, and makes of everything else
(argparse's Namespace, NumPy's numbers and arrays, dates, paths, a training program's own classes) a `StandIn`: its name
and what it was given, and nothing that runs. Tensors are described by `StoredTensor`; their values are read by
`TorchFile.load`, after the caller has compared shapes with those that it needs.

Formats: the zip archives of PyTorch 1.6 and later (ARCHIVE/data.pkl, ARCHIVE/data/KEY), the files before that (five
pickles, then the storages), plain pickles. Source of both: torch/serialization.py. Limits: `MOST_INSTRUCTIONS`,
`MOST_PICKLE_BYTES`; the sizes of storages are compared with those of the file.
"""

from __future__ import annotations

import errno
import io
import math
import os
import pickletools
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_INSTRUCTIONS = 8_000_000  # of a pickle; a network of a thousand tensors with its optimiser needs 100,000
MOST_PICKLE_BYTES = 1 << 30
MOST_DIMENSIONS = 16
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# Storage class -> torch's name of the type, bytes of a value.
STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}
SIZES = dict(STORAGES.values())
# Modules whose calls in a pickle are attacks and no data. Nothing of them would run here; the user should know.
ATTACKS = {
    "os", "posix", "nt", "subprocess", "pty", "sys", "socket", "shutil", "runpy", "importlib", "ctypes", "webbrowser",
    "code", "codeop", "timeit", "commands", "popen2", "pickle", "_pickle", "cPickle", "marshal", "pip", "bdb", "pdb",
    "cProfile", "profile", "trace", "asyncio", "urllib", "urllib2", "http", "requests", "imp", "pydoc",
}  # fmt: skip
ATTACKING_BUILTINS = {"eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint", "apply"}
UNUSABLE = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "without values (of the meta device)",
    "_rebuild_qtensor": "quantised",
    "_rebuild_wrapper_subclass": "of a subclass without values",
    "_rebuild_device_tensor_from_numpy": "of another device, kept as a NumPy array",
}


class NotATorchFile(ValueError):
    """What is wrong with the file, without its name. convert: how to make a readable one of it, in Python, or ""."""

    def __init__(self, sentence: str, convert: str = "") -> None:
        super().__init__(sentence)
        self.convert = convert


PLAIN = "torch.load(FILE, map_location='cpu', weights_only=False)"
SCRIPT = "torch.jit.load(FILE, map_location='cpu').state_dict()"


@dataclass(frozen=True, kw_only=True, eq=False)
class StandIn:
    """What stands for an object of a class, or for the result of a call: its name and what it was given."""

    name: str
    given: tuple[Any, ...] = ()
    state: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:  # never the whole of what it was given: that may be deep
        return f"StandIn({self.name})"


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A block of values in the file. kind: torch's name of their type, "" for one that is not read here."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor as the file describes it. problem: why it cannot be a weight, "" if it can."""

    kind: str
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: Storage | None = None
    problem: str = ""

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class TorchFile:
    """An opened file. content: what was saved, with StandIn and StoredTensor in it. load: the values of tensors.

    Errors: NotATorchFile; OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._places: dict[str, tuple[int, int]] = {}  # of an old file: storage -> position, values
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._swapped = False
        with open(self.path, "rb") as stream:
            start = stream.read(512)
            stream.seek(0)
            try:
                if start.startswith(b"PK\x03\x04"):
                    self.content = self._open_zip(stream)
                elif not start:
                    raise NotATorchFile("the file is empty")
                elif start[257:262] == b"ustar":
                    raise NotATorchFile("it is a tar archive, PyTorch's form before 2017", PLAIN)
                else:
                    self.content = self._open_pickles(stream)
            except NotATorchFile:
                raise
            except zipfile.BadZipFile:
                raise NotATorchFile(
                    "it is a zip archive, but not one that PyTorch has written, or it was cut short"
                ) from None
            except _DAMAGE:
                raise NotATorchFile("the file is cut short, damaged, or no PyTorch file") from None
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise NotATorchFile("the file is damaged") from None  # it led to a place before its beginning

    def load(self, wanted: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        """The values of tensors, which share memory where they share a storage. Only their storages are read."""
        import torch

        buffers: dict[str, torch.Tensor] = {}
        found: dict[str, Tensor] = {}
        with open(self.path, "rb") as stream:
            for key, tensor in wanted.items():
                storage = tensor.storage
                if storage is None:
                    raise NotATorchFile(f"{key!r} is {tensor.problem}; ordinary tensors are needed", PLAIN)
                if tensor.count == 0 and storage.count == 0:
                    found[key] = torch.empty(tensor.shape, dtype=getattr(torch, tensor.kind))
                    continue
                if storage.key not in buffers:
                    try:
                        raw = self._raw(stream, storage)
                    except NotATorchFile:
                        raise
                    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError):
                        raise NotATorchFile(f"the values of {key!r} are damaged") from None
                    buffers[storage.key] = torch.frombuffer(raw, dtype=getattr(torch, storage.kind))
                found[key] = torch.as_strided(buffers[storage.key], tensor.shape, tensor.stride, tensor.offset)
        return found

    # Reading of values.

    def _raw(self, stream: BinaryIO, storage: Storage) -> bytearray:
        size = storage.count * SIZES[storage.kind]
        raw = bytearray(size)
        if self._members:
            with zipfile.ZipFile(stream) as archive, archive.open(self._members[storage.key]) as member:
                got = member.readinto(raw) if size else 0  # type: ignore[attr-defined]
                while got < size and (more := member.readinto(memoryview(raw)[got:])):  # type: ignore[attr-defined]
                    got += more
        else:
            position, _ = self._places[storage.key]
            stream.seek(position)
            got = stream.readinto(raw)  # type: ignore[attr-defined]
        if got != size:
            raise NotATorchFile("the file is cut short")
        if self._swapped and SIZES[storage.kind] > 1:
            import numpy as np

            np.frombuffer(raw, dtype=f"u{SIZES[storage.kind]}").byteswap(inplace=True)
        return raw

    def _open_zip(self, stream: BinaryIO) -> Any:
        with zipfile.ZipFile(stream) as archive:
            members = {info.filename: info for info in archive.infolist()}
            pickled = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
            if not pickled:
                raise NotATorchFile("it is a zip archive, but not one that PyTorch has written, or it was cut short")
            home = min(pickled, key=len).removesuffix("data.pkl")
            if f"{home}constants.pkl" in members:
                raise NotATorchFile("it is a TorchScript program and no file of weights", SCRIPT)
            info = members[f"{home}data.pkl"]
            if info.file_size > MOST_PICKLE_BYTES or info.file_size > 1000 * info.compress_size + 1000:
                raise NotATorchFile("its list of tensors unpacks to more than a list of tensors can have (a zip bomb?)")
            if f"{home}byteorder" in members and members[f"{home}byteorder"].file_size < 16:
                order = archive.read(f"{home}byteorder")
                self._swapped = order == b"big"
            for name, member in members.items():
                if name.startswith(f"{home}data/"):
                    self._members[name.removeprefix(f"{home}data/")] = member
            machine = _Machine(self._storage_of_zip)
            return machine.run(_Limited(io.BytesIO(archive.read(info)), MOST_PICKLE_BYTES))

    def _storage_of_zip(self, identity: tuple[Any, ...]) -> Storage:
        storage = _storage(identity)
        member = self._members.get(storage.key)
        if member is None:
            raise NotATorchFile("a part of it is missing, or it was cut short")
        if storage.kind and storage.count * SIZES[storage.kind] != member.file_size:
            raise NotATorchFile("its tensors have other sizes than the file says; it is damaged or forged")
        if member.file_size > 1000 * member.compress_size + 1000:
            raise NotATorchFile("its tensors are packed more than a thousandfold (a zip bomb?)")
        return storage

    def _open_pickles(self, stream: BinaryIO) -> Any:
        size = os.fstat(stream.fileno()).st_size
        most = min(MOST_PICKLE_BYTES, size)
        first = _Machine(_no_storage).run(_Limited(stream, most))
        if first != LEGACY_MAGIC:
            return first  # a plain pickle: no tensors of torch in it, or inline ones that cannot be read
        if _Machine(_no_storage).run(_Limited(stream, min(most, 1 << 20))) != LEGACY_PROTOCOL:
            raise NotATorchFile("it is of an unknown version of PyTorch's format")
        facts = _Machine(_no_storage).run(_Limited(stream, min(most, 1 << 20)))
        self._swapped = isinstance(facts, dict) and facts.get("little_endian") is False
        named: dict[str, Storage] = {}

        def storage_of(identity: tuple[Any, ...]) -> Storage:
            storage = _storage(identity)
            if storage.kind and storage.count * SIZES[storage.kind] > size:
                raise NotATorchFile("its tensors are larger than the file; it is damaged or forged")
            if len(identity) > 5 and identity[5] is not None:  # a view of another storage
                raise NotATorchFile("it holds views of storages, a form that PyTorch gave up in 2018", PLAIN)
            return named.setdefault(storage.key, storage)

        content = _Machine(storage_of).run(_Limited(stream, most))
        keys = _Machine(_no_storage).run(_Limited(stream, most))
        if not isinstance(keys, list) or len(set(map(str, keys))) != len(keys):
            raise NotATorchFile("the file is cut short or damaged")
        for key in map(str, keys):
            if key not in named or not named[key].kind:
                raise NotATorchFile("it holds values of a type that is not read here, or is damaged", PLAIN)
            count = int.from_bytes(stream.read(8), "big" if self._swapped else "little")
            position = stream.tell()
            if count != named[key].count:
                raise NotATorchFile("its tensors have other sizes than the file says; it is damaged or forged")
            self._places[key] = (position, count)
            end = position + count * SIZES[named[key].kind]
            if end > size:
                raise NotATorchFile("the file is cut short")
            stream.seek(end)
        if missing := [key for key in named if key not in self._places]:
            raise NotATorchFile(f"the values of {len(missing)} tensors are missing; it was cut short")
        return content


def _no_storage(identity: tuple[Any, ...]) -> Storage:
    raise NotATorchFile("it is no PyTorch file")


def _storage(identity: tuple[Any, ...]) -> Storage:
    if len(identity) < 5 or identity[0] != "storage":
        raise NotATorchFile("it refers to something that is no tensor")
    kind, key, count = identity[1], identity[2], identity[4]
    name = kind.name if isinstance(kind, _Global) else str(kind)
    if type(count) is not int or count < 0 or not isinstance(key, str | int):
        raise NotATorchFile("the size of a tensor is no number; it is damaged or forged")
    return Storage(key=str(key), kind=STORAGES.get(name.rpartition(".")[2], ("", 0))[0], count=count)


# What following the instructions of a damaged pickle ends in.
_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError, struct.error,
    RuntimeError, AssertionError, zlib.error,
)  # fmt: skip
_MARK = object()
_CONSTANTS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_FIXED: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True, kw_only=True)
class _Global:
    """A name that the pickle refers to. It is never looked up."""

    name: str


class _Limited:
    """A stream that gives at most so many bytes; without tell(), which pickletools would call for every instruction."""

    def __init__(self, stream: BinaryIO, most: int) -> None:
        self._stream, self._left = stream, most

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise NotATorchFile("its list of tensors is longer than such a list can be")
        self._left -= count
        return self._stream.read(count)

    def readline(self) -> bytes:
        line = self._stream.readline(min(self._left, 1 << 24))
        self._left -= len(line)
        return line


class _Machine:
    """Follows a pickle's instructions. storage_of(identity) says which block of values an identity names."""

    def __init__(self, storage_of: Any) -> None:
        self._storage_of = storage_of
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: _Limited) -> Any:
        for number, (operation, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
            if number > MOST_INSTRUCTIONS:
                raise NotATorchFile(f"it has more than {MOST_INSTRUCTIONS} instructions; no checkpoint needs so many")
            name = operation.name
            if name == "STOP":
                return self._stack.pop()
            self._step(name, argument)
        raise NotATorchFile("the file is cut short")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(argument)
        elif name in _FIXED:
            stack.append(_FIXED[name])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("TUPLE", "FROZENSET"):
            stack.append(tuple(self._since_mark()))
        elif name == "LIST":
            stack.append(self._since_mark())
        elif name == "DICT":
            stack.append(_filled({}, self._since_mark()))
        elif name == "APPEND":
            value = stack.pop()
            _extend(stack[-1], [value])
        elif name in ("APPENDS", "ADDITEMS"):
            values = self._since_mark()
            _extend(stack[-1], values)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _filled(stack[-1], [key, value])
        elif name == "SETITEMS":
            values = self._since_mark()
            _filled(stack[-1], values)
        elif name == "GLOBAL":
            stack.append(_named(argument.replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_named(f"{module}.{attribute}"))
        elif name == "REDUCE":
            given = stack.pop()
            stack.append(_called(stack.pop(), given))
        elif name in ("NEWOBJ", "NEWOBJ_EX"):
            if name == "NEWOBJ_EX":
                stack.pop()
            given = stack.pop()
            stack.append(_called(stack.pop(), given))
        elif name == "OBJ":
            made, *given = self._since_mark()
            stack.append(_called(made, tuple(given)))
        elif name == "INST":
            stack.append(_called(_named(argument.replace(" ", ".", 1)), tuple(self._since_mark())))
        elif name == "BUILD":
            state = stack.pop()
            _built(stack[-1], state)
        elif name == "BINPERSID":
            identity = stack.pop()
            if not isinstance(identity, tuple):
                raise NotATorchFile("it refers to something that is no tensor")
            stack.append(self._storage_of(identity))
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name not in ("PROTO", "FRAME"):
            raise NotATorchFile(f"it holds what no PyTorch file holds (the instruction {name})")

    def _since_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values


def _named(name: str) -> _Global:
    top, _, rest = name.partition(".")
    if top in ATTACKS or (top in ("builtins", "__builtin__") and rest in ATTACKING_BUILTINS):
        raise NotATorchFile(
            f"it calls {name}, which weights never need and which could harm this machine; nothing of it was run. Get "
            "the weights elsewhere"
        )
    return _Global(name=name)


def _extend(target: Any, values: list[Any]) -> None:
    (target if isinstance(target, list) else target.state).extend(values)


def _filled(target: Any, values: list[Any]) -> Any:
    """A dict with keys and values that follow each other; what cannot be a key of a file of weights is left out."""
    pairs = zip(values[::2], values[1::2], strict=True)
    if isinstance(target, dict):
        target.update((key, value) for key, value in pairs if isinstance(key, str | int | float | bool | None))
    else:
        target.state.append(dict((key, value) for key, value in pairs if isinstance(key, str | int)))
    return target


def _built(target: Any, state: Any) -> None:
    if isinstance(target, StandIn):
        target.state.append(state)
    # The state of an OrderedDict (`_metadata`), a tensor or a number says nothing about weights.


def _called(made: Any, given: Any) -> Any:
    """What stands for the result of a call or for a new object."""
    if not isinstance(made, _Global):
        name = made.name if isinstance(made, StandIn) else type(made).__name__
        return StandIn(name=name, given=given if isinstance(given, tuple) else ())
    if not isinstance(given, tuple):
        raise NotATorchFile("the file is damaged")
    module, _, last = made.name.rpartition(".")
    if made.name in ("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"):
        pairs = next((item for item in given if isinstance(item, list)), [])
        return {pair[0]: pair[1] for pair in pairs if isinstance(pair[0], str | int)}
    if made.name == "torch.Size":
        return given[0] if given else ()
    if module in ("torch._utils", "torch._tensor", "torch.nn.parameter", "torch.storage", "torch"):
        tensor = _rebuilt(last, given)
        if tensor is not None:
            return tensor
    return StandIn(name=made.name, given=given)


def _rebuilt(function: str, given: tuple[Any, ...]) -> StoredTensor | None:
    if function in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
        named = given[6].name.rpartition(".")[2] if function == "_rebuild_tensor_v3" else ""
        return _described(given[0], given[1], given[2], given[3], named)
    if function in ("_rebuild_parameter", "_rebuild_parameter_with_state", "Parameter"):
        return given[0] if given and isinstance(given[0], StoredTensor) else None
    if function == "_rebuild_from_type_v2":  # a subclass of Tensor: the function that rebuilds it, and what it is given
        inner = _called(given[0], given[2])
        return inner if isinstance(inner, StoredTensor) else None
    if function == "_rebuild_device_tensor_from_cpu_tensor":
        return given[0] if isinstance(given[0], StoredTensor) else None
    if function in UNUSABLE:
        return StoredTensor(kind="", problem=UNUSABLE[function])
    return None


def _described(storage: Any, offset: Any, shape: Any, stride: Any, named: str) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise NotATorchFile("a tensor has no values; the file is damaged or forged")
    numbers = [offset, *shape, *stride]
    if len(shape) != len(stride) or len(shape) > MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in numbers):
        raise NotATorchFile("the shape of a tensor is none; the file is damaged or forged")
    shape, stride = tuple(shape), tuple(stride)
    kind = named or storage.kind
    if kind not in SIZES or kind != storage.kind:
        what = f"the type {kind}" if kind else "a type that is not read here"
        return StoredTensor(kind=kind, shape=shape, problem=f"of {what}")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if math.prod(shape) and last >= storage.count:
        raise NotATorchFile("a tensor reaches beyond its values; the file is damaged or forged")
    return StoredTensor(kind=kind, shape=shape, stride=stride, offset=offset, storage=storage)


def named_tensors(content: Any) -> Iterator[tuple[tuple[str, ...], dict[str, StoredTensor]]]:
    """Every dict of the tree that holds tensors, with the names that lead to it; a saved module counts as its dict.

    Deep and circular trees are walked once, without recursion.
    """
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), content)])
    seen: set[int] = set()
    while waiting:
        path, value = waiting.popleft()
        if id(value) in seen or len(path) > 8 or len(seen) > 100_000:
            continue
        seen.add(id(value))
        if isinstance(value, StandIn):
            module = _of_module(value)
            if module:
                yield path, module
            waiting += [(path, state) for state in value.state if isinstance(state, dict) and not module]
            continue
        if not isinstance(value, dict):
            continue
        tensors = {str(key): item for key, item in value.items() if isinstance(item, StoredTensor)}
        if tensors:
            yield path, tensors
        inner = ((key, item) for key, item in value.items() if isinstance(item, dict | StandIn))
        waiting += [((*path, str(key)), item) for key, item in inner]


def _of_module(value: StandIn) -> dict[str, StoredTensor]:
    """The state dict of a whole module that was saved in place of one; empty for any other object."""
    found: dict[str, StoredTensor] = {}
    waiting: deque[tuple[str, Any]] = deque([("", value)])
    seen: set[int] = set()
    while waiting:
        prefix, module = waiting.popleft()
        if not isinstance(module, StandIn) or id(module) in seen:
            continue
        seen.add(id(module))
        states = [state for state in module.state if isinstance(state, dict)]
        for state in states:
            for part in ("_parameters", "_buffers"):
                held = state.get(part)
                for key, item in held.items() if isinstance(held, dict) else ():
                    if isinstance(item, StoredTensor):
                        found[f"{prefix}{key}"] = item
            inner = state.get("_modules")
            waiting += [(f"{prefix}{key}.", item) for key, item in inner.items()] if isinstance(inner, dict) else []
    return found
