"""Files of trained weights: the one folder where they are looked for, and their tensors.

Nothing in a file is executed, and nothing is downloaded unless a user asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.torch_files import PLAIN, SIZES, NotATorchFile, Storage, StoredTensor, TorchFile, named_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn


ENVIRONMENT_VARIABLE = "DEBLUR_BENCH_WEIGHTS"
_DEFAULT = Path(__file__).resolve().parents[1] / "weights"
_chosen: Path | None = None


def set_weights_dir(folder: Path | str | None) -> None:
    """Choose the folder for this process; None returns to the default. Worker processes must be told again.

    Errors: ValueError if it is not a folder.
    """
    global _chosen
    if folder is not None and not Path(folder).is_dir():
        raise ValueError(f"the weights folder {folder} does not exist")
    _chosen = None if folder is None else Path(folder)


def weights_folder() -> Path:
    """The chosen folder, else the one in $DEBLUR_BENCH_WEIGHTS, else `weights/` in the repository."""
    if _chosen is not None:
        return _chosen
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named) if named else _DEFAULT


def find_file(*patterns: str) -> Path | None:
    """First file below `weights_folder()` whose name matches the first pattern that matches any; sorted by path."""
    folder = weights_folder()
    if not folder.is_dir():
        return None
    for pattern in patterns:
        found = sorted(path for path in folder.rglob(pattern) if path.is_file())
        if found:
            return found[0]
    return None


def missing_sentence(metric: str, name: str, where: str) -> str:
    """The sentence for a table's cell: which file the metric lacks and where to get it. The same on every machine."""
    return f"{metric} needs the file {name} ({where}); put it into weights/ or name its folder with --weights-dir"


SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", ".h5", ".tar", ".ckpt")
# Authors wrap the state dict in one of these; the first one present counts.
WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "deblurnet_state_dict", "model", "G")
PARALLEL = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every key
COUNTER = "num_batches_tracked"  # of a norm layer, since PyTorch 0.4; nothing is computed from it here
MOST_SHARED = 1000  # times the file's size; tensors may share their values


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """An opened file of tensors: what it describes, before any value is read.

    sets: every dict of tensors in it, with the names that lead to it. load: the values of some of them.
    """

    path: Path
    sets: tuple[tuple[tuple[str, ...], dict[str, StoredTensor]], ...]
    load_raw: Callable[[Mapping[str, StoredTensor]], dict[str, Tensor]]

    def load(self, wanted: Mapping[str, StoredTensor], *, compared: bool = False) -> dict[str, Tensor]:
        """compared: their shapes are known to be those of a network; else together they must not be much larger than
        the file, which a tensor without strides could be. Errors: ValueError: tensors that are none of ordinary numbers
        or too large; NaN or infinity (names the key)."""
        import torch

        for key, tensor in wanted.items():
            if tensor.problem:
                raise ValueError(_sentence(self.path, f"{key!r} is {tensor.problem}", PLAIN))
        needed = sum(tensor.count * SIZES[tensor.kind] for tensor in wanted.values())
        if not compared and needed > MOST_SHARED * self.path.stat().st_size:
            raise ValueError(f"{self.path}: its tensors are many times larger than the file; it is forged")
        try:
            state = self.load_raw(wanted)
        except NotATorchFile as error:
            raise ValueError(_sentence(self.path, str(error), error.convert)) from None
        for key, values in state.items():
            if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                raise ValueError(
                    f"{self.path}: the weights hold NaN or infinity (first in {key!r}); the checkpoint is broken"
                )
        return state


def open_weights(path: Path) -> WeightsFile:
    """Read what a checkpoint describes; nothing in it is executed, and none of its values is read yet.

    Errors: FileNotFoundError; ValueError, one sentence: not a checkpoint, no tensors in it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"weights file {path} does not exist")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no ordinary file (a pipe or a device)"
        raise ValueError(f"{path}: a weights file is needed, this is {kind}")
    opened = _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch(path)
    if not opened.sets:
        raise ValueError(f"{path}: no tensors in this file; a state dict of a network is needed")
    return opened


def _open_torch(path: Path) -> WeightsFile:
    try:
        file = TorchFile(path)
    except NotATorchFile as error:
        raise ValueError(_sentence(path, str(error), error.convert)) from None
    return WeightsFile(path=path, sets=tuple(named_tensors(file.content)), load_raw=file.load)


def _sentence(path: Path, reason: str, convert: str) -> str:
    line = (
        '; if you trust it, save its weights alone where it was made, and use that file: python -c "import torch; '
        f"torch.save({convert.replace('FILE', repr(path.name))}, 'weights.pth')\""
    )
    return f"{path}: not a checkpoint that can be loaded safely ({reason}){line if convert else ''}"


_SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def _open_safetensors(path: Path) -> WeightsFile:
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, StoredTensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (it is no dict)
                part = file.get_slice(key)
                kind, shape = _SAFETENSORS.get(part.get_dtype(), ""), tuple(part.get_shape())
                problem = "" if kind else f"of the type {part.get_dtype()}"
                storage = Storage(key=key, kind=kind, count=0)
                tensors[key] = StoredTensor(kind=kind, shape=shape, storage=storage, problem=problem)
    except (SafetensorError, ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{path}: not a safetensors file, or cut short ({error})") from None

    def load(wanted: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(tensor.storage.key) for key, tensor in wanted.items() if tensor.storage}

    return WeightsFile(path=path, sets=(((), tensors),) if tensors else (), load_raw=load)


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU, with wrappers and the prefixes of DataParallel and torch.compile off.

    Where the network is known, `core.fitting.load_fitting` does more. Nothing in the file is executed.
    Errors: FileNotFoundError; ValueError, one sentence: not a checkpoint, no tensors in it, NaN or infinity (names
    the key).
    """
    opened = open_weights(path)
    state = _unwrapped(opened)
    if not state:
        inside = ", ".join(sorted({".".join(names) for names, _ in opened.sets})[:5])
        raise ValueError(f"{path}: no tensors in this file where they are looked for, only in {inside}")
    return opened.load(state)


def _unwrapped(opened: WeightsFile) -> dict[str, StoredTensor]:
    found = dict(reversed(opened.sets))  # of two of one name the first
    place: tuple[str, ...] = ()
    while True:
        wrappers = (name for name in WRAPPERS if any(names[: len(place) + 1] == (*place, name) for names in found))
        inner = next(wrappers, None)
        if inner is None:
            break
        place = (*place, inner)
    state = found.get(place) or (next(iter(found.values())) if len(found) == 1 else {})
    while prefix := next((start for start in PARALLEL if state and all(key.startswith(start) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How the tensors of a file differ from what a network needs. reshaped: key, shape in the file, shape needed."""

    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    reshaped: tuple[tuple[str, list[int], list[int]], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.left_over or self.reshaped)

    def lines(self) -> list[str]:
        """Every key, one a line."""
        return [
            *(f"missing: {key}" for key in self.missing),
            *(f"left over: {key}" for key in self.left_over),
            *(f"another shape: {key}, {found} instead of {needed}" for key, found, needed in self.reshaped),
        ]

    def summary(self) -> str:
        """Counts and the first key of every kind."""
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} keys are missing, such as {self.missing[0]!r}")
        if self.left_over:
            parts.append(f"{len(self.left_over)} are left over, such as {self.left_over[0]!r}")
        if self.reshaped:
            key, found, needed = self.reshaped[0]
            parts.append(f"{len(self.reshaped)} have another shape, such as {key!r}: {found} instead of {needed}")
        return "; ".join(parts)


def differences(needed: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Differences:
    """Compare keys and shapes; no values."""
    return Differences(
        missing=tuple(key for key in needed if key not in found),
        left_over=tuple(key for key in found if key not in needed),
        reshaped=tuple(
            (key, list(found[key].shape), list(value.shape))
            for key, value in needed.items()
            if key in found and found[key].shape != value.shape
        ),
    )


def load_strictly(module: nn.Module, state: dict[str, Tensor], path: Path, name: str) -> None:
    """Give a network the tensors that were read from a file, strictly: every key, every shape.

    A tensor that the network knows under several names may stand in the file under one of them.
    Errors: ValueError, one sentence with examples, if they belong to another network.
    """
    own = module.state_dict()
    state = as_own(module, own, state)
    found = differences(own, state)
    if found:
        raise AnotherNetwork(path, name, found)
    module.load_state_dict(state, strict=True)


class AnotherNetwork(ValueError):
    """A checkpoint of another network. found: how its tensors differ from what the network needs."""

    def __init__(self, path: Path, name: str, found: Differences, note: str = "") -> None:
        super().__init__(f"{path}: this is a checkpoint of another network than {name} ({found.summary()}){note}")
        self.found = found


def as_own(module: nn.Module, own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors in the form and under the names of a network, with the counters of batches that it lacks."""
    state = with_other_names(own, in_own_form(module, state))
    return state | {key: value for key, value in own.items() if key.endswith(COUNTER) and key not in state}


def in_own_form(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors in the form that a network holds, where it knows another one too (a method `own_form`)."""
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = getattr(module, "own_form", None)
    return state if convert is None else convert(state)


def with_other_names(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors, and under their other names those that the network shares. own: the network's state dict."""
    places = {_place(own[key]): value for key, value in state.items() if key in own and own[key].numel()}
    found = {key: places[_place(own[key])] for key in own if key not in state and _place(own[key]) in places}
    return state | found


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()
