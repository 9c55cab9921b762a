"""Weights files: loading them safely and strictly; `python models/weights.py list|fetch|check|interpolate`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import shutil
from typing import TYPE_CHECKING

from models.nets.dmphn import merge_folder
from models.spec import ModelSpec
from models.zoo import MODELS
from synth import atomic
from synth.state_dicts import SUFFIXES, load_state_dict, load_strictly

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT_WEIGHTS = Path(__file__).resolve().parents[1] / "weights"  # where the authors' files are kept


def load_into(module: nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into a network, strictly: every key, every shape. A folder: DMPHN's six files.

    Errors: ValueError, one sentence with examples, if the checkpoint belongs to another network; as `load_state_dict`.
    """
    load_strictly(module, merge_folder(path) or load_state_dict(path), path, name)


def find_weights(spec: ModelSpec, weights_dir: Path | None) -> Path | None:
    """The authors' weights file of a network somewhere under a folder, by sha256 where it is known, else by name."""
    if weights_dir is None:
        return None
    files = sorted(path for path in Path(weights_dir).rglob("*") if path.is_file() and path.suffix in SUFFIXES)
    for entry in spec.weights:
        for path in files:
            if path.name == entry.file or (entry.sha256 and atomic.sha256_of(path) == entry.sha256):
                return path
    return None


def interpolate(first: Path, second: Path, alpha: float) -> dict[str, Tensor]:
    """Network interpolation: (1 - alpha) * first + alpha * second, key by key.

    Source: Wang et al., ESRGAN, ECCVW 2018, equation 10. Errors: ValueError if the two are not of one network.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is between 0 and 1, got {alpha}")
    one, two = load_state_dict(first), load_state_dict(second)
    if one.keys() != two.keys() or any(one[key].shape != two[key].shape for key in one):
        raise ValueError(f"{first} and {second} are not checkpoints of the same network: their keys or shapes differ")
    return {
        key: value + (two[key] - value) * alpha if value.is_floating_point() else value for key, value in one.items()
    }


def _spec(name: str) -> ModelSpec:
    if name not in MODELS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name]


def _list() -> None:
    for spec in MODELS.values():
        for entry in spec.weights:
            print(f"{spec.name}\t{entry.file}\t{entry.sha256 or 'sha256 not known'}\t{entry.source}")


def _fetch(name: str, source: Path | None, weights_dir: Path) -> None:
    """Put a file that the user has downloaded into the weights folder, after checking that it fits the network."""
    spec = _spec(name)
    if source is None:
        for entry in spec.weights:
            print(f"{spec.name}: get {entry.file} from {entry.source}, then run: fetch {name} --from FILE")
        if not spec.weights:
            print(f"{spec.name}: its authors published no weights that are known here; train it with models/train.py")
        return
    load_into(spec.build(), source, name)
    digest = atomic.sha256_of(source)
    known = [entry.sha256 for entry in spec.weights if entry.sha256]
    if known and digest not in known:
        raise ValueError(f"{source}: sha256 {digest} is not the published {known[0]}; the file was changed or damaged")
    target = weights_dir / (spec.weights[0].file if spec.weights else f"{name}{source.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target.with_suffix(target.suffix + ".part"))
    target.with_suffix(target.suffix + ".part").replace(target)
    print(f"{target}  sha256 {digest}")


def _check(name: str, file: Path) -> None:
    load_into(_spec(name).build(), file, name)
    print(f"{file}: fits {name}, sha256 {atomic.sha256_of(file)}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="models/weights.py", description="List, fetch, check and mix weights files.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the authors' files of every network")
    fetch = commands.add_parser("fetch", help="say where a file is to be had, or take one over into the weights folder")
    fetch.add_argument("name")
    fetch.add_argument("--from", dest="source", type=Path)
    fetch.add_argument("--weights-dir", type=Path, default=DEFAULT_WEIGHTS)
    check = commands.add_parser("check", help="does this file fit this network?")
    check.add_argument("name")
    check.add_argument("file", type=Path)
    mix = commands.add_parser("interpolate", help="(1 - alpha) * FIRST + alpha * SECOND")
    mix.add_argument("first", type=Path)
    mix.add_argument("second", type=Path)
    mix.add_argument("output", type=Path, help="a .safetensors file")
    mix.add_argument("--alpha", type=float, default=0.5)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "list":
            _list()
        elif arguments.command == "fetch":
            _fetch(arguments.name, arguments.source, arguments.weights_dir)
        elif arguments.command == "check":
            _check(arguments.name, arguments.file)
        else:
            from safetensors.torch import save

            mixed = interpolate(arguments.first, arguments.second, arguments.alpha)
            atomic.write_bytes(arguments.output, save({key: value.clone() for key, value in mixed.items()}))
    except (ValueError, OSError) as error:
        print(f"weights.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
