"""Run the benchmark: `python benchmark/run.py --methods demo|all|NAME,...|folder:PATH`; writes tables and images."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmark.arguments import configuration, parser
from benchmark.estimates import in_words, restoring_seconds, rough_estimate
from benchmark.plan import DEMO, ROOT, RunConfig, Target, check, folders, method_name, open_targets, resolved
from benchmark.testsets import TESTSETS, render_missing, sets_at_hand

__all__ = ["DEMO", "main", "run"]  # DEMO: what `--methods demo` means


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = parser().parse_args(argv)
    try:
        config = configuration(arguments)
        return run(config, resume=arguments.resume, only_check=arguments.check)
    except ValueError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno is None:  # one of our own sentences: a refusal to start
            print(f"run.py: {error}", file=sys.stderr)
            return 2
        where = error.filename or arguments.out  # a full disk names no file
        print(f"run.py: {where}: {error.strerror or error}; go on with --resume", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("run.py: interrupted; go on with --resume", file=sys.stderr)
        return 130


def run(config: RunConfig, resume: bool, only_check: bool = False) -> int:
    """A whole run: check, test sets, pairs, costs, every method, report. Returns the exit code (0 or 1).

    Errors: ValueError, FileNotFoundError (refusal to start); OSError (disk full).
    """
    from benchmark import checkpoints, ledger, stages
    from benchmark.metrics.weights_dir import set_weights_dir

    check(config)
    set_weights_dir(config.weights_dir)
    untrained = () if only_check else checkpoints.to_train(config)
    real, problems = folders(config)
    names = [method_name(method) for method in config.methods]
    stored = ledger.read_run(config.out) if config.methods else None
    if stored is not None:
        ledger.compare(stored, resolved(config, real), config.out, names)
        if stored["status"] == "unfinished" and not resume:
            raise ValueError(f"{config.out} holds an unfinished run; add --resume to go on with it, or remove it")
    for sentence in [] if only_check else problems:
        warn(sentence)
    minis = [name for name in config.testsets if name not in real]
    print_plan(config, untrained, real, minis)
    if only_check:
        from benchmark import doctor

        return doctor.report(doctor.examine(config, real))
    if minis:
        say(f"test sets rendered here (mini, simulated), in {config.mini_root}: {', '.join(minis)}")
        with stages.progress("rendering or verifying mini sets", minis) as step:
            for name in minis:
                render_missing(config.mini_root, [name], 0, config.workers)
                step(1)
    if config.scheduler:
        from synth.cluster import cluster

        with cluster(config.scheduler) as (_, threads):
            say(f"images are scored by {threads} threads of the cluster at {config.scheduler}")
    targets, left_out = open_targets(config, real)
    for sentence in left_out:
        warn(sentence)
    for sentence in dict.fromkeys(text for target in targets for _, text in target.missing):
        warn(f"left out: {sentence}")
    facts = resolved(config, real)
    if stored is not None:
        ledger.compare(stored, facts, config.out, names)
        if stored["status"] == "finished" and _is_done(stored, names, targets):
            damage = ledger.damage(config.out, stored) or foreign_change(config, targets)
            if damage is None:
                return _verified(config.out)
            if not resume:
                raise ValueError(f"{damage}; add --resume to make it again")
            warn(f"{damage}; it is made again")
    return _work(config, targets, untrained, real, stored)


def _is_done(stored: dict, names: Sequence[str], targets: Sequence[Target]) -> bool:
    done = {tuple(triple) for triple in stored["done"]}
    return set(_triples(names, targets)) <= done


def _triples(names: Sequence[str], targets: Sequence[Target]) -> list[tuple[str, str, str]]:
    return [(name, target.testset.name, target.testset.protocol.name) for name in names for target in targets]


def _verified(out: Path) -> int:
    say(f"finished before with this configuration; verified, nothing to do: {out}")
    if not (out / "leaderboard.md").is_file():
        return report(out)
    print(f"leaderboard: {out / 'leaderboard.md'}")
    return 0


def foreign_change(config: RunConfig, targets: Sequence[Target]) -> str | None:
    """The first stored image of the folder:PATH methods that was changed since it was scored, as a sentence."""
    from benchmark import foreign
    from benchmark.plan import FOREIGN

    folders_asked = [Path(method.removeprefix(FOREIGN)) for method in config.methods if method.startswith(FOREIGN)]
    found = (foreign.change(folder, targets, config.out) for folder in folders_asked)
    return next((sentence for sentence in found if sentence), None)


def _work(
    config: RunConfig,
    targets: Sequence[Target],
    untrained: Sequence[str],
    real: dict[str, Path],
    stored: dict | None,
) -> int:
    from benchmark import checkpoints, ledger, stages
    from synth import atomic

    names = [method_name(method) for method in config.methods]
    if untrained:
        checkpoints.make_pairs(config.pairs, config.workers)
    facts = resolved(config, real)
    if stored is not None:
        ledger.compare(stored, facts, config.out, names)
    threads = int(stored["threads"]) if stored else usable_cores()
    record = ledger.begin(config.out, stored, config, facts, threads)
    costs = measure_costs(config, record)
    training = in_words(checkpoints.training_seconds(config, untrained))
    say(f"estimate for this machine: training {training}, restoring {in_words(restoring_seconds(targets, costs))}")
    stages.keep_sheet_inputs(config.out, targets)
    failed = False
    for number, method in enumerate(config.methods, start=1):
        name, started = method_name(method), time.monotonic()
        say(f"method {number} of {len(names)}: {name}")
        outcome = stages.run_method(method, config, targets, threads, costs.get(name), record["commit"])
        ledger.merge(config.out, record, _triples([name], targets), outcome.scores, outcome.methods)
        done = set(_triples([name], outcome.done))
        asked = set(_triples([name], targets))
        skipped = asked - {(row.method, row.testset, row.protocol) for row in outcome.methods}
        others = [triple for triple in record["done"] if tuple(triple) not in asked]
        record["done"] = others + [list(triple) for triple in sorted(done | skipped)]
        record["seconds"] = {**record["seconds"], name: round(time.monotonic() - started, 1)}
        atomic.write_json(config.out / ledger.RUN, record)
        for row in outcome.methods:
            if row.status != "ok":
                failed = True
                warn(f"{name}, {row.protocol}: {row.status}")
    ledger.finish(config.out, record, failed)
    return max(report(config.out), int(failed))


def measure_costs(config: RunConfig, record: dict) -> dict:
    """The Cost of every method that is not a folder; measured once for an output folder and kept in `parts`."""
    import json

    from benchmark import ledger, stages
    from benchmark.cost import SIDE_PX, Cost, measure_apart
    from benchmark.plan import FOREIGN
    from benchmark.results import CostRow
    from models.zoo import MODELS
    from synth import atomic

    found = {}
    names = [name for name in config.methods if not name.startswith(FOREIGN)]
    with stages.progress(f"parameters, MACs, latency, memory at {SIDE_PX} x {SIDE_PX} px", names) as step:
        for name in names:
            path = config.out / "parts" / name / "cost.json"
            try:
                if not path.is_file():
                    switches = config.switches if name in MODELS else ()
                    cost = measure_apart(name, SIDE_PX, SIDE_PX, config.device, switches)
                    values = {"row": vars(cost.row), "params_m": cost.params_m, "macs_g": cost.macs_g}
                    atomic.write_json(path, values)
                values = json.loads(path.read_text(encoding="utf-8"))
                found[name] = Cost(row=CostRow(**values["row"]), params_m=values["params_m"], macs_g=values["macs_g"])
            except (ValueError, KeyError, TypeError) as error:
                warn(f"no cost of {name}: {error}")
            step(1)
    ledger.merge_costs(config.out, record, [cost.row for cost in found.values()])
    return found


def print_plan(config: RunConfig, untrained: Sequence[str], real: dict[str, Path], minis: Sequence[str]) -> None:
    """What will be done and roughly how long it takes, on stderr, before anything is started."""
    say(f"methods: {', '.join(method_name(method) for method in config.methods) or 'none named'}")
    say(f"test sets: {', '.join([*real, *(f'{name} (mini, simulated)' for name in minis)])}")
    absent = [name for name in TESTSETS if name not in config.testsets]
    if absent and set(sets_at_hand(None)) <= set(config.testsets):
        say(f"left out, not under --data-root and without a stand-in: {', '.join(absent)}")
    if untrained:
        how = f"{config.steps} steps" if config.steps else f"profile {config.profile}"
        say(f"trained first unless it was done before ({how}): {', '.join(untrained)}")
    say(f"rough estimate for two CPU cores: {rough_estimate(config, untrained, real, minis)}")


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(out: Path) -> int:
    """Build the leaderboard and contact sheets in a process of its own: reports/ stands above this package."""
    words = [sys.executable, str(ROOT / "reports" / "build.py"), "--in", str(out), "--out", str(out)]
    code = subprocess.run(words).returncode
    if code != 0:
        warn(f"the report could not be built (exit code {code}); try: python reports/build.py --in {out}")
        return 1
    for path in sorted(out.glob("contact-*.png")):
        print(f"contact sheet: {path}")
    return 0


def say(sentence: str) -> None:
    print(f"run.py: {sentence}", file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    print(f"run.py: warning: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
