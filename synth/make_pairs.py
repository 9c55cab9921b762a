"""Make blurred and sharp pairs from high-frame-rate video.

    python synth/make_pairs.py --interp 16x [--video PATH ...] [...]
    python synth/make_pairs.py verify DIR
    python synth/make_pairs.py rebuild KEY --in DIR --out DIR
    python synth/make_pairs.py select DIR --where "ghost_score < 0.05 and not still" --out DIR
    python synth/make_pairs.py photos DIR [...] --out DIR
    python synth/make_pairs.py restoration DIR [...] --out DIR

Exit codes: 0 done (or verified), 1 a source broke or a finished set is damaged, 2 bad arguments or a refusal to start,
130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import json
from collections import Counter
from dataclasses import replace
from typing import Any

from core.command_line import LARGEST, SMALLEST, Parser, complain, run, unknown
from core.locks import only_one
from core.pool import cluster
from core.progress import PairProgress
from synth.degrade import DEGRADATIONS
from synth.doubled_frames import regular_distance
from synth.exposure import WindowPlan
from synth.gaps import count_windows
from synth.gaps_in_torch import DEVICES, choose_device
from synth.interp import INTERPOLATORS
from synth.manifest import LAYOUTS, SPLITS
from synth.official_sets import expanded
from synth.pair_set import RUN_FILE, Damage, PairSet, Refusal, open_set, verify
from synth.photographs import PhotographsConfig
from synth.photographs import make as make_of_photographs
from synth.rebuild import rebuild
from synth.recipes import RECIPES, recipe
from synth.report_page import write_page
from synth.restoration_set import RestorationConfig
from synth.restoration_set import make as make_restoration
from synth.selection import select
from synth.sensor import CAMERAS
from synth.settings import (
    DEFAULT_MOST,
    DEFAULT_SHARD_PAIRS,
    DEFAULT_WINDOW,
    SynthesisConfig,
    SynthesisPlan,
    auto_factor,
    make_plan,
    parse_factor,
    parse_list,
    parse_paths,
)
from synth.synthesis import synthesise
from synth.truth import summary_lines

NAME = "make_pairs.py"
COMMANDS = ("verify", "rebuild", "select", "photos", "restoration")
DEFAULT_FACTOR = 16
SLOW_FPS, MANY = 100, 16  # captured frames a second from which so many virtual frames a gap can be trusted
DEFAULT_OUT = ROOT / "out" / "pairs"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code and prints one sentence on stderr for every expected error."""
    return run(
        _parser(),
        lambda arguments: arguments.work(arguments),
        argv,
        failures=(Damage,),
        interrupted="interrupted; the pairs written so far are complete, go on with --resume",
        out=DEFAULT_OUT,
        resume=True,
    )


def _make(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise Refusal(f"--workers is at least 1, got {arguments.workers}")
    config = _config(arguments)
    if arguments.scheduler and config.device != "cpu":
        raise Refusal("--scheduler sends gaps to CPU workers; leave --device out, or leave --scheduler out")
    out = Path(arguments.out) if arguments.out else DEFAULT_OUT
    plan = make_plan(config)
    if arguments.response and plan.config.response != arguments.response:
        told = plan.config.response
        raise Refusal(f"the video says that its values are {told.upper()}; use --response {told} or leave it out")
    if _is_auto(arguments):
        powers = plan.interpolator is not None and not plan.interpolator.any_factor
        factor = auto_factor(plan.clips, arguments.max_interp, power_of_two=powers)
        print(f"--interp auto: {factor}x, from the fastest motion found")
        plan = make_plan(replace(config, factor=factor))
    if arguments.scheduler and not (out / RUN_FILE).exists():
        with cluster(arguments.scheduler):
            pass  # it answers and has workers: asked before a set is begun
    with only_one(out):
        pair_set = _open(plan, out, workers=arguments.workers, resume=arguments.resume)
        code = _synthesise(plan, pair_set, scheduler=arguments.scheduler)
        if arguments.report:
            print(f"report: {write_page(plan, pair_set)}")
    return code


def make(config: SynthesisConfig, out: Path, *, workers: int, resume: bool) -> int:
    """Make a set of pairs in a folder, or go on with it; says what was done.

    Returns 0, or 1 if a source broke. Errors: ValueError (Refusal, Damage); OSError (disk full).
    """
    plan = make_plan(config)
    with only_one(out):
        return _synthesise(plan, _open(plan, out, workers=workers, resume=resume))


def _open(plan: SynthesisPlan, out: Path, *, workers: int, resume: bool) -> PairSet:
    # Through JSON, so that what is compared is what a file can hold.
    pair_set = open_set(out, json.loads(json.dumps(plan.identity())), resume=resume)
    pair_set.workers = workers
    return pair_set


def _synthesise(plan: SynthesisPlan, pair_set: PairSet, scheduler: str = "") -> int:
    if not pair_set.finished:
        with PairProgress(_expected_pairs(plan), done=len(pair_set.records)) as progress:
            synthesise(plan, pair_set, pair_set.workers, progress=progress.event, scheduler=scheduler)
        pair_set.finish()
        print(f"{len(pair_set.records)} pairs in {pair_set.folder}")
    else:
        print(f"{len(pair_set.records)} pairs in {pair_set.folder}, finished before and verified; nothing was written")
    return _conclude(plan, pair_set)


def _conclude(plan: SynthesisPlan, pair_set: PairSet) -> int:
    """Say what was skipped, what is wrong and how true the blur is; returns the exit code."""
    for line in [*_skip_lines(pair_set), *plan.notes(), *_slow_lines(plan, pair_set)]:
        print(line)
    if pair_set.still:
        print(f"{pair_set.still} pairs show no motion at all: blur and sharp are the same image")
    if pair_set.truths:
        print("\n".join(summary_lines(pair_set.truths, plan.config.interpolator, plan.config.factor)))
    problems = list(pair_set.problems)
    if not pair_set.records and not problems:
        problems = ["no pair could be made: every window was skipped"]
    for problem in problems:
        complain(NAME, problem)
    return 1 if problems else 0


def _skip_lines(pair_set: PairSet) -> list[str]:
    """One line per clip and reason: how many windows were skipped, and the captured frames that are to blame."""
    why = {
        "cut": "a scene cut after frame",
        "frozen": "repeated frames",
        "uneven": "frames that are unevenly spaced in time, after frame",
        "rate": "a frame rate unlike the clip's, by which the rolling shutter is placed, from frame",
    }
    frames: dict[tuple[str, str], set[int]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for skip in pair_set.skipped:
        case = (str(skip["sequence"]), str(skip["reason"]))
        counts[case] += 1
        found = skip["frames"]
        frames.setdefault(case, set()).update(found if isinstance(found, list) else [])
    lines = []
    for (sequence, reason), count in counts.items():
        numbers = sorted(frames[sequence, reason])
        text = ", ".join(map(str, numbers[:12])) + (f" and {len(numbers) - 12} more" if len(numbers) > 12 else "")
        lines.append(f"{sequence}: {count} windows skipped because of {why[reason]} {text}")
        every = regular_distance(numbers) if reason == "frozen" else None
        if every:
            lines.append(
                f"{sequence}: one frame in {every} repeats the one before it; --drop-duplicates leaves the doubles out"
            )
    return lines


def _slow_lines(plan: SynthesisPlan, pair_set: PairSet) -> list[str]:
    """One line per clip with pairs whose captured frames lie too far apart for many virtual frames between them."""
    if plan.config.factor < MANY:
        return []
    slow: dict[str, list[float]] = {}
    for record in pair_set.records:
        if record.source_fps < SLOW_FPS:
            slow.setdefault(record.sequence, []).append(record.source_fps)
    return [
        f"warning: {sequence}: {len(rates)} pairs are of frames captured at {min(rates):.4g} fps; under {SLOW_FPS} fps "
        f"the motion between two frames is too long for {plan.config.factor}x, the blur may be wrong"
        for sequence, rates in slow.items()
    ]


def _verify(arguments: argparse.Namespace) -> int:
    print(verify(arguments.folder))
    return 0


def _rebuild(arguments: argparse.Namespace) -> int:
    with only_one(arguments.out):
        print(rebuild(arguments.key, arguments.source_set, arguments.out))
    return 0


def _select(arguments: argparse.Namespace) -> int:
    with only_one(arguments.out):
        print(select(arguments.folder, arguments.where, arguments.out))
    return 0


def _photos(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise Refusal(f"--workers is at least 1, got {arguments.workers}")
    config = PhotographsConfig(
        folders=tuple(arguments.folders),
        blurs=arguments.blurs,
        extent_px=_span("--extent", arguments.extent),
        scale=_span("--scale", arguments.scale),
        foreground=arguments.foreground,
        trajectories=arguments.trajectories,
        split=arguments.split,
        seed=arguments.seed,
    )
    with only_one(arguments.out):
        print(make_of_photographs(config, arguments.out, workers=arguments.workers, resume=arguments.resume))
    return 0


def _restoration(arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise Refusal(f"--workers is at least 1, got {arguments.workers}")
    config = RestorationConfig(
        folders=tuple(arguments.folders),
        images=arguments.images,
        train=arguments.train,
        test=arguments.test,
        seed=arguments.seed,
    )
    print(make_restoration(config, arguments.out, workers=arguments.workers, resume=arguments.resume))
    return 0


def _span(flag: str, text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise Refusal(f"{flag} takes two numbers such as 2,24, got {text[:60]!r}") from None
    if not all(SMALLEST <= abs(number) <= LARGEST for number in (low, high)):
        raise Refusal(f"{flag} takes two numbers between {SMALLEST:g} and {LARGEST:g}, got {text[:60]!r}")
    return low, high


def _parser() -> Parser:
    """Of the whole command line: without a command it makes pairs, with one it takes that command's flags alone."""
    parser = _Parser(
        prog=NAME,
        usage=f"{NAME} [--interp Nx] [--video PATH ...] [...]\n       {NAME} COMMAND [...]",
        description="Make blurred and sharp pairs from high-frame-rate video.",
        examples=(
            "python synth/make_pairs.py --interp 16x",
            "python synth/make_pairs.py --video clip.mp4 --window 7,11 --recipe gopro_like --out out/pairs",
            "python synth/make_pairs.py verify --help",
        ),
    )
    parser.set_defaults(work=_make)
    _add_flags(parser)
    commands = parser.add_subparsers(
        title="commands (each has a --help)", prog=NAME, metavar="COMMAND", parser_class=Parser
    )
    _add_verify(commands)
    _add_rebuild(commands)
    _add_select(commands)
    _add_photos(commands)
    _add_restoration(commands)
    return parser


class _Parser(Parser):
    """A command comes first: flags before it would be those of making pairs, and do nothing."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        words = [str(word) for word in (sys.argv[1:] if args is None else args)]
        found, rest = super().parse_known_args(words, namespace)
        if found.work is not _make and words[0] not in COMMANDS:
            self.error(f"a command comes before its flags, as in {NAME} {found.work.__name__[1:]} ...")
        return found, rest


def _add_verify(commands: Any) -> None:
    text = "hash every image of a set again and compare"
    parser = commands.add_parser(
        "verify",
        help=text,
        description=f"{text.capitalize()}. Exit code 1 if one is missing or changed.",
        examples=("python synth/make_pairs.py verify out/pairs", "python synth/make_pairs.py verify /data/gopro-like"),
    )
    parser.set_defaults(work=_verify)
    parser.add_argument("folder", metavar="DIR", type=Path)


def _add_rebuild(commands: Any) -> None:
    text = "make one pair of a set again from its source"
    parser = commands.add_parser(
        "rebuild",
        help=text,
        description=f"{text.capitalize()} and compare its bytes. KEY stands in pairs.jsonl.",
        examples=(
            "python synth/make_pairs.py rebuild scene0/000000 --in out/pairs --out out/again",
            "python synth/make_pairs.py rebuild clip/000022 --in /data/gopro-like --out out/again",
        ),
    )
    parser.set_defaults(work=_rebuild)
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--in", dest="source_set", metavar="DIR", type=Path, required=True, help="the set")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the pair is written")


def _add_select(commands: Any) -> None:
    text = "make a set of those pairs that meet a condition"
    parser = commands.add_parser(
        "select",
        help=text,
        description=f"{text.capitalize()} on the keys of pairs.jsonl.",
        examples=(
            'python synth/make_pairs.py select out/pairs --where "ghost_score < 0.05 and not still" --out out/good',
            'python synth/make_pairs.py select out/pairs --where "blur_extent_px > 8" --out out/strong',
        ),
    )
    parser.set_defaults(work=_select)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--where", metavar="CONDITION", required=True, help="on the keys of pairs.jsonl")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="output folder")


def _add_photos(commands: Any) -> None:
    text = "make pairs of still photographs under camera shake"
    usual = PhotographsConfig(folders=())
    parser = commands.add_parser(
        "photos",
        help=text,
        description=f"{text.capitalize()}.",
        examples=(
            "python synth/make_pairs.py photos ~/photographs --out out/shaken",
            "python synth/make_pairs.py photos a b --blurs 4 --extent 8,32 --split val --out out/shaken-val",
        ),
    )
    parser.set_defaults(work=_photos)
    add = parser.add_argument
    add("folders", metavar="DIR", type=Path, nargs="+", help="folders of PNG or JPEG files")
    add("--out", metavar="DIR", type=Path, required=True, help="output folder")
    add("--blurs", type=int, default=usual.blurs, metavar="N", help="pairs of each (default %(default)s)")
    add("--extent", default="2,24", metavar="LOW,HIGH", help="blur extent in px (default %(default)s)")
    add("--scale", default="0.6,0.95", metavar="LOW,HIGH", help="frame px per photograph px (default %(default)s)")
    add("--foreground", type=float, default=usual.foreground, metavar="SHARE", help="with something moving in front")
    add("--trajectories", type=float, default=usual.trajectories, metavar="SHARE", help="along random paths instead")
    _add_shared_flags(parser)


def _add_restoration(commands: Any) -> None:
    text = "make DeblurGAN-v2's restoration set of blurred images"
    usual = RestorationConfig(folders=())
    parser = commands.add_parser(
        "restoration",
        help=text,
        description=f"{text.capitalize()}: noise, speckle, JPEG and up-scaling on top of their blur; a fixed set.",
        examples=(
            "python synth/make_pairs.py restoration GOPRO_Large DeepVideoDeblurring_Dataset --out restoration",
            "python synth/make_pairs.py restoration my-pairs --images 20 --train 100 --test 20 --out out/restoration",
        ),
    )
    parser.set_defaults(work=_restoration)
    add = parser.add_argument
    add("folders", metavar="DIR", type=Path, nargs="+", help="GOPRO_Large, DeepVideoDeblurring_Dataset, blur + sharp")
    add("--out", metavar="DIR", type=Path, required=True, help="output folder")
    add("--images", type=int, default=usual.images, metavar="N", help="of each folder (default %(default)s)")
    add("--train", type=int, default=usual.train, metavar="N", help="training pairs (default %(default)s)")
    add("--test", type=int, default=usual.test, metavar="N", help="test pairs (default %(default)s)")
    parser.shared("--seed", "--workers", "--resume")


def _add_shared_flags(parser: Parser) -> None:
    """The flags of whatever makes pairs."""
    parser.add_argument("--split", default="train", metavar="NAME", help=f"{', '.join(SPLITS)} (default train)")
    parser.shared("--seed", "--workers", "--resume")


def _add_flags(parser: Parser) -> None:
    parser.add_argument(
        "--interp", metavar="Nx", help="virtual frames per captured gap, or auto (default 16x, or the recipe's)"
    )
    parser.add_argument(
        "--max-interp", type=int, default=DEFAULT_MOST, metavar="N", help=f"most that auto may choose ({DEFAULT_MOST})"
    )
    parser.add_argument(
        "--video",
        action="extend",
        nargs="+",
        metavar="PATH",
        help="video files or folders of frames; without it, the rendered default scenes",
    )
    parser.add_argument(
        "--fps", type=float, metavar="F", help="captured frames a second, evenly spaced; overrides what the source says"
    )
    parser.add_argument("--drop-duplicates", action="store_true", help="leave out frames that repeat the one before")
    parser.add_argument("--deinterlace", action="store_true", help="make whole frames of interlaced ones (bwdif)")
    parser.add_argument("--interpolator", metavar="NAME", help=f"{', '.join(INTERPOLATORS)} (default flow)")
    parser.add_argument(
        "--window", action="append", metavar="N[,N...]", help=f"captured frames, odd (default {DEFAULT_WINDOW})"
    )
    parser.add_argument("--stride", type=int, metavar="N", help="captured frames between windows (default: the window)")
    parser.add_argument(
        "--response",
        metavar="NAME|FILE",
        help="srgb (default, or the recipe's), gamma2.2, bt709, linear, hlg, pq or a file; hlg and pq are found by the "
        "video's tags",
    )
    parser.add_argument("--recipe", metavar="NAME", help=f"{', '.join(RECIPES)} (default trapezoid; mean with 1x)")
    parser.add_argument("--duty", type=float, metavar="SHARE", help="open share of the window's time (default 1)")
    parser.add_argument("--row-delay", type=float, default=0.0, metavar="S", help="rolling shutter: s from row to row")
    parser.add_argument("--camera", default="none", metavar="NAME", help=f"{', '.join(CAMERAS)} (default none)")
    parser.add_argument("--bits", type=int, default=8, metavar="N", help="of the blurred images: 8 or 16 (default 8)")
    parser.add_argument("--layout", default="flat", metavar="NAME", help=f"{', '.join(LAYOUTS)} (default flat)")
    parser.add_argument(
        "--shard-pairs",
        type=int,
        default=DEFAULT_SHARD_PAIRS,
        metavar="N",
        help=f"pairs in a tar of --layout webdataset (default {DEFAULT_SHARD_PAIRS})",
    )
    parser.add_argument("--limit", type=int, metavar="PAIRS", help="stop after so many pairs")
    parser.add_argument("--out", metavar="DIR", help="output folder (default out/pairs of this checkout)")
    parser.shared("--device", help=f"{', '.join(DEVICES)} (default auto)")
    parser.add_argument(
        "--degrade", action="append", metavar="NAME[,NAME...]", help=f"of the blurred image: {', '.join(DEGRADATIONS)}"
    )
    parser.add_argument("--scheduler", metavar="tcp://...", help="a Dask scheduler whose workers compute the gaps")
    parser.add_argument("--report", action="store_true", help="write report.html: pictures and histograms")
    _add_shared_flags(parser)


def _is_auto(arguments: argparse.Namespace) -> bool:
    return (arguments.interp or "").strip().lower() == "auto"


def _config(arguments: argparse.Namespace) -> SynthesisConfig:
    """What is asked for: a flag, else what the recipe sets, else the default; contradictions are errors."""
    asked = parse_factor(arguments.interp) if arguments.interp and not _is_auto(arguments) else None
    chosen = recipe(arguments.recipe, asked)
    if _is_auto(arguments) and chosen.factor is not None:
        raise Refusal(f"the recipe {chosen.name} has its own factor; leave --interp auto out")
    factor = asked if asked is not None else chosen.factor or DEFAULT_FACTOR
    windows = parse_list(arguments.window) or [str(window) for window in chosen.windows or (DEFAULT_WINDOW,)]
    if not all(window.lstrip("-").isdecimal() and len(window) < 7 for window in windows):
        raise Refusal(f"--window takes odd numbers of captured frames such as 7,11,13, got {','.join(windows)[:60]}")
    interpolator = arguments.interpolator or "flow"
    if interpolator not in INTERPOLATORS:
        raise Refusal(unknown("there is no interpolator", interpolator, INTERPOLATORS))
    return SynthesisConfig(
        videos=expanded(parse_paths(arguments.video)),
        fps=arguments.fps,
        factor=factor,
        windows=tuple(dict.fromkeys(int(window) for window in windows)),
        stride=arguments.stride if arguments.stride is not None else chosen.stride,
        response=arguments.response or chosen.response or "srgb",
        recipe=chosen.name,
        interpolator=interpolator if factor > 1 else "none",
        layout=arguments.layout,
        shard_pairs=arguments.shard_pairs,
        split=arguments.split,
        limit=arguments.limit,
        seed=arguments.seed,
        duty=arguments.duty if arguments.duty is not None else chosen.duty or 1.0,
        camera=arguments.camera,
        bits=arguments.bits,
        degradations=tuple(parse_list(arguments.degrade)),
        row_delay_s=arguments.row_delay,
        drop_duplicates=arguments.drop_duplicates,
        deinterlace=arguments.deinterlace,
        device=choose_device("cpu" if arguments.scheduler and arguments.device == "auto" else arguments.device),
    )


def _expected_pairs(plan: SynthesisPlan) -> int | None:
    """How many pairs there will be if no window is skipped; None if no container says how long its clip is."""
    config, total = plan.config, 0
    for clip in plan.clips:
        frames = clip.source.frame_count or clip.source.frames_promised
        if frames is None:
            return config.limit
        windows = WindowPlan(sizes=config.windows, stride=config.stride, seed=config.seed, sequence=clip.sequence)
        total += count_windows(windows, frames)
    return total if config.limit is None else min(total, config.limit)


if __name__ == "__main__":
    sys.exit(main())
