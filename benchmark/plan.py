"""What a benchmark run is asked to do: the configuration, its checks, and the test sets it opens."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.evaluation import missing_metrics
from benchmark.methods import Method, NetworkMethod, networks
from benchmark.metrics import METRICS
from benchmark.protocols import PROTOCOLS
from benchmark.testsets import TESTSETS, sets_at_hand
from benchmark.testsets.base import MARKER, Clip, TestSet
from core.command_line import did_you_mean, unknown
from core.files import sha256_of
from models.chosen_weights import choose
from models.network_weights import identity_of, load_into
from models.restorer import check_switches, choose_device
from models.tiling import check_tile
from models.training.pair_sources import layout_pairs, lying_in

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[1]
# Lai's three sets share a folder; each has its own part of it.
MINI_HOMES = {
    "lai-uniform": "synthetic_dataset/uniform",
    "lai-nonuniform": "synthetic_dataset/nonuniform",
    "lai-real": "real_dataset",
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The resolved command line."""

    methods: tuple[Method, ...]  # see benchmark/methods.py; `decided` completes them
    testsets: tuple[str, ...] = sets_at_hand(None)
    protocols: tuple[str, ...] = ()  # (): those of the test sets
    metrics: tuple[str, ...] = ()  # (): those of the protocols
    pairs: tuple[Path, ...] = (ROOT / "out" / "pairs",)
    profile: str = "quick"
    steps: int | None = None  # None: what the profile says
    weights: tuple[tuple[str, Path], ...] = ()
    weights_dir: Path | None = None
    data_root: Path | None = None
    mini_root: Path = ROOT / "out" / "mini"
    checkpoints: Path = ROOT / "out" / "checkpoints"
    out: Path = ROOT / "reports" / "out"
    seed: int = 0
    device: str = "auto"
    workers: int = 1
    scheduler: str = ""
    limit: int | None = None
    switches: tuple[str, ...] = ()  # of all networks among the methods, see models/restorer.py
    tile: int | None = None  # of all networks, px; never "auto", which depends on the free memory
    feature_net: str = "vgg19"
    retrain: bool = False  # networks are trained even where this project keeps weights of them (models/pretrained)
    all_methods: bool = False  # "all" was asked for, so a network that can take no part gets a row that says why
    named_testsets: bool = False  # the test sets were asked for by name


@dataclass(frozen=True, kw_only=True)
class Target:
    """One test set under one protocol. clips are cut to what --limit leaves; keys are the scored ones, in order."""

    testset: TestSet
    clips: tuple[Clip, ...]
    keys: tuple[str, ...]
    metrics: tuple[str, ...]  # those that can run here
    missing: tuple[tuple[str, str], ...]  # metric, the sentence that says what it lacks


def check(config: RunConfig) -> None:
    """Everything that can be known before work starts. Errors: ValueError, one sentence."""

    for what, names, known in (
        ("test set", config.testsets, TESTSETS),
        ("protocol", config.protocols, PROTOCOLS),
        ("metric", config.metrics, METRICS),
    ):
        for name in names:
            if name not in known:
                raise ValueError(unknown(f"unknown {what}", name, known))
    offered = {name for testset in config.testsets for name in TESTSETS[testset].protocols}
    if useless := [name for name in config.protocols if name not in offered]:
        raise ValueError(
            f"protocol {useless[0]} does not belong to the test sets asked for; they have {', '.join(sorted(offered))}"
        )
    for method in config.methods:
        method.check()
    asked = [network.name for network in networks(config.methods)]
    for name, path in config.weights:
        if name not in asked:
            there, near = ", ".join(asked) or "none", did_you_mean(name, asked)
            raise ValueError(f"--weights {name}=...: {name!r} is not a network of --methods (those are: {there}){near}")
        if not path.exists():
            raise ValueError(f"--weights {name}={path}: the file does not exist")
    if config.out.exists() and not config.out.is_dir():
        raise ValueError(f"--out {config.out}: this is a file; name a folder")
    for flag, directory in (("--weights-dir", config.weights_dir), ("--data-root", config.data_root)):
        if directory is not None and not directory.is_dir():
            raise ValueError(f"{flag} {directory}: the folder does not exist")
    for flag, number in (("--limit", config.limit), ("--workers", config.workers), ("--steps", config.steps)):
        if number is not None and number < 1:
            raise ValueError(f"{flag} is a number from 1 up, got {number}")
    check_networks(config, choose_device(config.device))


def check_networks(config: RunConfig, device: torch.device) -> None:
    """Errors: ValueError if a network among the methods has not every switch, or does not work in such tiles."""

    specs = [network.spec for network in networks(config.methods)]
    if (config.switches or config.tile) and not specs:
        raise ValueError("--switches and --tile are for networks, and there is none among the methods")
    for spec in specs:
        check_switches(spec, config.switches, device)
        if config.tile is not None:
            check_tile(config.tile, spec)


def folders(config: RunConfig, *, only_check: bool = False) -> tuple[dict[str, Path], list[str]]:
    """The real test sets that are under --data-root, and sentences about what is missing in them.

    only_check: a set with a stand-in that is not there is no error; the doctor says so.

    Errors: ValueError for a set that is not there and has no stand-in, or that was asked for by name and does not lie
    under a --data-root that was given; a run that names no set leaves it out, or takes its stand-in, instead, if the
    folder holds any set at all.
    """
    found, problems = {}, []
    for name in config.testsets:
        folder = TESTSETS[name].find(config.data_root) if config.data_root is not None else None
        if folder is not None:
            found[name] = folder
            problems += [f"{TESTSETS[name].title}: {sentence}" for sentence in TESTSETS[name].problems(folder)]
    for name in config.testsets:
        the_doctor_says_so = only_check and TESTSETS[name].render_mini is not None
        if not the_doctor_says_so and (sentence := not_found(config, name, found)):
            raise ValueError(sentence)
    return found, problems


def not_found(config: RunConfig, name: str, found: Collection[str]) -> str:
    """Why a set that is not under --data-root stops a run, "" where its stand-in takes its place or it was found.

    found: the sets that are there.
    """
    entry = TESTSETS[name]
    if name in found:
        return ""
    if config.data_root is None:
        missing = f"{entry.title} is not found without --data-root, and it has no rendered stand-in"
        return missing if entry.render_mini is None else ""
    if not config.named_testsets and found and entry.render_mini is not None:
        return ""
    sought = f" (looked for {', '.join(entry.folders)})" if entry.folders else ""
    own = "" if name == "pairs" or TESTSETS["pairs"].find(config.data_root) is None else OWN_PAIRS
    remedy = own or "; name the folder that holds it" + (
        ", or leave --data-root away for a rendered mini set" if entry.render_mini is not None else ""
    )
    return (
        f"{entry.title} is not found under --data-root {config.data_root}{sought}{lying_in(config.data_root)}{remedy}"
    )


OWN_PAIRS = "; these are pairs of your own: score them with --testsets pairs"


def open_targets(config: RunConfig, real: dict[str, Path]) -> tuple[list[Target], list[str]]:
    """Every test set under every protocol, and sentences about what had to be left out. The mini sets are rendered.

    Errors: ValueError for a protocol that was asked for by name and cannot be had.
    """

    targets, warnings = [], []
    for name in config.testsets:
        entry = TESTSETS[name]
        folder = real.get(name) or entry.find(config.mini_root)
        if folder is None:
            raise ValueError(f"{entry.title}: neither the real nor the mini set was found under {config.mini_root}")
        for protocol_name in entry.protocols:
            if config.protocols and protocol_name not in config.protocols:
                continue
            protocol = PROTOCOLS[protocol_name]
            metrics = config.metrics or protocol.metrics
            if not protocol.reference:
                metrics = tuple(metric for metric in metrics if not METRICS[metric].needs_reference)
            if not metrics:
                warnings.append(f"{protocol_name}: none of the chosen metrics works without a sharp image; left out")
                continue
            testset = entry.open(folder, protocol, name not in real)
            try:
                clips = limited(testset.clips(), config.limit)
            except (FileNotFoundError, ValueError) as error:
                if protocol_name in config.protocols:
                    raise ValueError(f"{protocol_name}: {error}") from None
                warnings.append(f"{protocol_name} is left out: {error}")
                continue
            missing = missing_metrics(metrics, [sample.blur for clip in clips for sample in clip.samples])
            targets.append(
                Target(
                    testset=testset,
                    clips=clips,
                    keys=tuple(sample.key for clip in clips for sample in clip.samples if sample.key in clip.scored),
                    metrics=tuple(metric for metric in metrics if metric not in missing),
                    missing=tuple(missing.items()),
                )
            )
    if not targets:
        raise ValueError("nothing to score: " + ("; ".join(warnings) or "no protocol was chosen"))
    return targets, warnings


def limited(clips: Sequence[Clip], limit: int | None) -> tuple[Clip, ...]:
    """The clips with the first `limit` scored keys; the last clip ends with the last of them."""
    if limit is None:
        return tuple(clips)
    kept: list[Clip] = []
    left = limit
    for clip in clips:
        if left == 0:
            break
        scored = [index for index, sample in enumerate(clip.samples) if sample.key in clip.scored][:left]
        left -= len(scored)
        if scored:
            samples = clip.samples[: scored[-1] + 1]
            keys = frozenset(clip.samples[index].key for index in scored)
            kept.append(replace(clip, samples=samples, scored=keys))
    return tuple(kept)


def by_images_folder(targets: Sequence[Target]) -> dict[str, list[Target]]:
    """Targets that share restored images."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.testset.images_folder, []).append(target)
    return groups


def clips_to_restore(targets: Sequence[Target], whole_clips: bool) -> list[Clip]:
    """What a method must restore for targets that share images: whole clips, or only the scored images as stills."""
    longest: dict[str, Clip] = {}
    for target in targets:
        for clip in target.clips:
            known = longest.get(clip.name)
            samples = clip.samples if known is None or len(clip.samples) > len(known.samples) else known.samples
            scored = clip.scored | (known.scored if known else frozenset())
            longest[clip.name] = Clip(name=clip.name, samples=samples, scored=scored)
    if whole_clips:
        return list(longest.values())
    return [
        Clip(name=sample.key, samples=(sample,), scored=frozenset([sample.key]))
        for clip in longest.values()
        for sample in clip.samples
        if sample.key in clip.scored
    ]


def decided(config: RunConfig, *, only_check: bool = False) -> RunConfig:
    """The configuration with its methods as the run takes them to its end: networks with their weights and switches.

    A network without weights is one to be trained. only_check: what is wrong with weights becomes their `problem`.
    Errors: ValueError if weights are of another network or were changed, or if a network has none and cannot be
    trained; the latter not where all methods were asked for: then its row will say so.
    """
    methods = []
    for method in config.methods:
        if isinstance(method, NetworkMethod):
            method = replace(method, switches=config.switches, tile=config.tile, retrain=config.retrain)
            method = with_weights(method, config, must_fit=not only_check)
            if method.weights is None and not (
                method.spec.recipe_for(config.profile) or config.all_methods or only_check
            ):
                raise ValueError(
                    f"{method.name} cannot be trained here: give its weights with --weights {method.name}=FILE"
                )
        methods.append(method)
    return replace(config, methods=tuple(methods))


def with_weights(network: NetworkMethod, config: RunConfig, *, must_fit: bool) -> NetworkMethod:
    """A network with the weights that the run uses: --weights, else the authors', else the kept ones, else none.

    Those of models/pretrained stand in for a training with the quick profile and its number of steps, no other.
    must_fit: they are loaded to see whether they belong to the network; else what is wrong becomes the `problem`.
    Errors: ValueError with must_fit, if they do not fit, or a published or kept file was changed.
    """
    given = dict(config.weights).get(network.name)
    quick = config.profile == "quick" and config.steps is None and not config.retrain
    try:
        found = choose(network.spec, network.name, given, config.weights_dir, use_kept=quick)
        if found is not None and found.path is not None:
            if must_fit:
                load_into(network.spec.build(), found.path, network.spec)
            found = replace(found, sha256=identity_of(found.path))
    except (ValueError, OSError) as error:
        if must_fit:
            raise
        return replace(network, given=given, problem=str(error))
    return replace(network, given=given, weights=found)


def resolved(config: RunConfig, real: dict[str, Path]) -> dict[str, object]:
    """What decides the numbers, for run.json: two runs that differ in it do not share a folder.

    Methods, test sets and protocols are not in it, since more of them can be added to a folder; nor are the numbers of
    workers and threads. Errors: ValueError if the weights of a method cannot be used.
    """

    sets = {name: str(folder.resolve()) for name, folder in real.items()}
    for name in config.testsets:
        if name not in real and (folder := TESTSETS[name].find(config.mini_root)) is not None:
            home = folder / MINI_HOMES.get(name, "")
            markers = [sha256_of(marker) for marker in sorted(home.rglob(MARKER))]
            sets[name] = "mini " + " ".join(digest[:16] for digest in markers)
    weights = {}
    for network in networks(config.methods):
        if network.problem:
            raise ValueError(network.problem)
        weights[network.name] = network.weights
    found: dict[str, object] = {
        "metrics": list(config.metrics),
        "profile": config.profile,
        "steps": config.steps,
        "seed": config.seed,
        "device": str(choose_device(config.device)),
        "limit": config.limit,
        "pairs": [str(path.resolve()) for path in config.pairs],
        "pairs_sha256": _pair_digests(config.pairs) if None in weights.values() else {},
        "weights": {name: used.sha256 for name, used in weights.items() if used is not None},
        "weights_dir": str(config.weights_dir.resolve()) if config.weights_dir else None,
        "test_sets": sets,
        "switches": list(config.switches),
        "tile": config.tile,
    }
    if config.feature_net != "vgg19":
        found["feature_net"] = config.feature_net
    return found


def _pair_digests(folders: Sequence[Path]) -> dict[str, str]:
    """What the folders of pairs hold, by their names, or by their paths where two have one name."""

    names = [folder.name for folder in folders]
    found = {}
    for folder in folders:
        name = folder.name if names.count(folder.name) == 1 else str(folder.resolve())
        if (folder / "pairs.jsonl").is_file():
            found[name] = sha256_of(folder / "pairs.jsonl")
        elif layout := layout_pairs(folder, ""):
            found[name] = layout[1].hex()
    return found
