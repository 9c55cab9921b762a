"""Checkpoints on disk: a folder per configuration, its weights, the state to go on from, and what they are.

checkpoint.safetensors      the weights to use (the moving average)
training_state.safetensors  weights, moments, average, step (and the discriminator's): enough to resume
best.safetensors            the weights with the best validation so far, where a recipe validates on its way
stage-N.safetensors         the weights after stage N of a recipe with several
failed_batch.safetensors    the images of the step whose loss was not finite
checkpoint.json             the configuration from the start on; written last; says whether training is finished
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from core import files, schema
from core.schema import Count, DigestOrEmpty, Name, Text

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, STATE, META = "checkpoint.safetensors", "training_state.safetensors", "checkpoint.json"
BEST, FAILED_BATCH = "best.safetensors", "failed_batch.safetensors"


@dataclass(frozen=True, kw_only=True)
class _Validation:
    """None: there are no pairs, or an image is identical to its sharp one."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    psnr: float | None
    psnr_blur: float | None


@dataclass(frozen=True, kw_only=True)
class _Extends:
    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    steps: Count
    weights_sha256: DigestOrEmpty


@dataclass(frozen=True, kw_only=True)
class _Meta:
    """What checkpoint.json must hold; the rest is for people."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    model: Name
    profile: Text
    finished: bool
    steps: Count
    steps_done: Count
    pairs: Count
    feature_net: Text
    switches: list[Text]
    weights_sha256: DigestOrEmpty
    configuration: dict[str, Any]
    held_out: Text = ""
    validation: _Validation | None = None
    state_sha256: DigestOrEmpty = ""  # trainings from before it was written have none


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint's folder and what its checkpoint.json says."""

    folder: Path
    meta: dict[str, Any]

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def finished(self) -> bool:
        return bool(self.meta.get("finished"))


def digest_of(configuration: dict[str, Any]) -> str:
    """Eight hexadecimal digits that change with any value of the configuration."""
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:8]


def read(folder: Path) -> CheckpointInfo | None:
    """What is in a checkpoint folder, None where nothing is. Errors: ValueError if checkpoint.json is broken."""
    path = folder / META
    if not path.is_file():
        return None
    try:
        meta = schema.checked(_Meta, path.read_bytes())
        if (extends := meta["configuration"].get("extends")) is not None:
            schema.checked(_Extends, json.dumps(extends).encode())
    except ValueError as error:
        raise ValueError(f"{path} is not that of a training ({error}); remove {folder} and train again") from None
    return CheckpointInfo(folder=folder, meta=meta)


def differences(info: CheckpointInfo, configuration: dict[str, Any]) -> list[str]:
    """How a checkpoint's configuration differs from another: "steps is 6, not 8"; empty if it does not."""
    there = _flat(info.meta.get("configuration", {}))
    asked = _flat(json.loads(json.dumps(configuration)))
    return [
        f"{key} is {there.get(key)}, not {asked.get(key)}"
        for key in {**asked, **there}
        if there.get(key) != asked.get(key)
    ]


def _flat(configuration: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in configuration.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def verify(info: CheckpointInfo) -> None:
    """Errors: ValueError if the weights of a finished checkpoint are missing or were changed."""
    if not info.weights.is_file() or files.sha256_of(info.weights) != info.meta.get("weights_sha256"):
        raise ValueError(
            f"{info.weights} is missing or was changed after training; remove {info.folder} and train again"
        )


def require_state(info: CheckpointInfo, *, steps_ahead: int = 0) -> None:
    """Errors: ValueError if the state was changed after it was written; one that is gone is none of that.

    steps_ahead: by how many steps the state is further than checkpoint.json, which a kill between the two leaves.
    """
    path, digest = info.folder / STATE, info.meta.get("state_sha256")
    if digest and steps_ahead <= 0 and path.is_file() and files.sha256_of(path) != digest:
        way = (
            "the weights beside it are whole: remove this file alone, which only --extend needs"
            if info.finished
            else f"remove {info.folder} and train again"
        )
        raise ValueError(f"{path} was changed after it was written; {way}")


def newest_finished(root: Path, model: str) -> CheckpointInfo | None:
    """The finished checkpoint of a network that was written last, under `<root>/<model>/`."""
    found = [read(path.parent) for path in (root / model).glob(f"*/{META}")]
    finished = [info for info in found if info is not None and info.finished]
    return max(finished, key=lambda info: info.weights.stat().st_mtime_ns, default=None)


def pack(tensors: dict[str, Tensor]) -> bytes:
    """safetensors bytes, the same for the same tensors: no metadata, because the library writes it in random order."""
    from safetensors.torch import save

    # clone(): safetensors refuses tensors that share memory, as the twice-named layers of some networks do.
    return save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
