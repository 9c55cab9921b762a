"""Reading PyTorch weights files safely: nothing in a file is executed."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

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


def load_strictly(module: nn.Module, state: dict[str, Tensor], path: Path, name: str) -> None:
    """Give a network the tensors that were read from a file, strictly: every key, every shape.

    Errors: ValueError, one sentence with examples, if they belong to another network.
    """
    expected = module.state_dict()
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    reshaped = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    if missing or unexpected or reshaped:
        parts = []
        if missing:
            parts.append(f"{len(missing)} keys are missing, such as {missing[0]!r}")
        if unexpected:
            parts.append(f"{len(unexpected)} are unknown, such as {unexpected[0]!r}")
        if reshaped:
            key = reshaped[0]
            parts.append(
                f"{len(reshaped)} have another shape, such as {key!r}: {list(state[key].shape)} instead of "
                f"{list(expected[key].shape)}"
            )
        raise ValueError(f"{path}: this is a checkpoint of another network than {name} ({'; '.join(parts)})")
    module.load_state_dict(state, strict=True)
