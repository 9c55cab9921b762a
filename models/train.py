"""Train a network on blurred/sharp pairs: `python models/train.py --model mimo-unet --pairs out/pairs`.

Several processes: `torchrun --nproc-per-node 2 models/train.py ...`; every one takes the recipe's batch.

Exit codes: 0 trained (or verified), 1 the loss is not finite or the disk failed, 2 bad arguments or a refusal to start,
130 interrupted.
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

from core.command_line import Parser, run, unknown
from models.feature_nets import FEATURE_NETS
from models.recipes import PROFILES, RECIPES, Recipe, find_recipe, variants_of
from models.restorer import RESTORERS
from models.training.loop import DEFAULT_OUT, TrainConfig, TrainingFailed, train
from models.training.pair_sources import GOPRO_INPUTS, find_mix, folder_list
from models.training.plan import PRECISIONS, TRAINING_THREADS
from models.zoo import MODELS

DEFAULT_PAIRS = Path(__file__).resolve().parents[1] / "out" / "pairs"


def parse(argv: list[str] | None) -> tuple[TrainConfig, bool]:
    """The configuration that a command line asks for, and whether to resume."""
    return _configuration(_parser().parse_args(argv))


def _parser() -> Parser:
    parser = Parser(prog="models/train.py", description="Train a network on blurred/sharp pairs.")
    parser.add_argument("--model", default="", help="a name of models/zoo.py")
    parser.add_argument("--recipe", default="", help=f"default: the network's own; there are {', '.join(RECIPES)}")
    parser.add_argument(
        "--variant",
        choices=("paper", "code"),
        default="",
        help="of a recipe whose paper and whose authors' program differ; --list says which has both",
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="every network with its recipe: published, adapted (and in what) or ours; trains nothing",
    )
    parser.shared("--pairs")
    parser.add_argument(
        "--sharp",
        nargs="+",
        action="extend",
        metavar="DIR",
        help="folders of sharp photographs: their blur is drawn while training, in place of --pairs",
    )
    parser.add_argument(
        "--frames",
        nargs="+",
        action="extend",
        metavar="DIR",
        help="the same from consecutive sharp frames: folders of frames, or of folders of them",
    )
    parser.shared("--workers", default=0, help="threads that draw the blur of --sharp and --frames (default 0)")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="quick",
        help="quick: about a minute; paper: the recipe's own constants, as published where it says so",
    )
    parser.shared("--steps")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="the checkpoint's folder (default: out/checkpoints/<model>/<recipe>-<profile>-<digest>)",
    )
    parser.shared("--seed", "--device", "--batch", "--crop")
    parser.shared("--threads", default=TRAINING_THREADS)
    parser.add_argument("--accumulate", type=int, default=1, metavar="N", help="a step's batch goes through in N parts")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="bfloat16: mixed precision")
    parser.add_argument("--compile", action="store_true", help="compile the network with torch.compile")
    parser.add_argument(
        "--feature-net",
        choices=FEATURE_NETS,
        default="vgg19",
        help="where losses compare features; vgg19 and squeezenet need torchvision's file in --weights-dir",
    )
    parser.shared("--weights-dir")
    parser.add_argument(
        "--mix",
        metavar="W,...|NAME",
        action="append",
        default=[],
        help="weight of each folder of pairs; or a published mix, deblurgan-v2: every 2nd pair of GoPro and DVD and "
        "every 10th of NFS, in this order",
    )
    parser.add_argument(
        "--every",
        metavar="N,...",
        type=_counts,
        action="extend",
        default=[],
        help="only every n-th pair of each folder",
    )
    parser.add_argument(
        "--hold-out",
        default="",
        metavar="SHARE|NAME,...|none",
        help="pairs that validate in place of training: a share of the sequences, spread over the set, or their names "
        "(default: those of a split val, REDS4 of REDS; in the profile quick also the last sequence)",
    )
    parser.add_argument(
        "--gopro-input",
        choices=GOPRO_INPUTS,
        default="",
        help="the blurred images of GOPRO_Large (default: the recipe's, blur of all but deepdeblur)",
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="go on without the trained weights that the recipe starts from, which every row will say",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep decoded images that exceed memory here")
    parser.add_argument(
        "--backbone",
        type=_backbone,
        action="append",
        default=[],
        metavar="FILE|PART=FILE",
        help="trained weights to start from: a classifier's for DeblurGAN-v2, a StyleGAN2 for gfpgan, a highres-atrous "
        "for highres-mlfa; spynet=FILE for BasicVSR and its relatives, edvr=FILE for IconVSR as well",
    )
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="a whole network's weights to start from: kept ones, an own checkpoint or an authors' file, by path or by "
        "name in the weights folder; rates and the schedule begin anew",
    )
    parser.add_argument(
        "--extend",
        action="store_true",
        help="go on from a finished training that is the same but for its fewer --steps",
    )
    parser.shared("--resume")
    return parser


def _configuration(arguments: argparse.Namespace) -> tuple[TrainConfig, bool]:
    live = arguments.sharp or arguments.frames
    mix, every = _mix(arguments)
    config = TrainConfig(
        model=arguments.model,
        recipe=arguments.recipe,
        pairs=folder_list(arguments.pairs) or (() if live else (DEFAULT_PAIRS,)),
        sharp=folder_list(arguments.sharp),
        frames=folder_list(arguments.frames),
        workers=arguments.workers,
        profile=arguments.profile,
        steps=arguments.steps,
        folder=arguments.out,
        seed=arguments.seed,
        device=arguments.device,
        threads=arguments.threads,
        batch=arguments.batch,
        crop_px=arguments.crop,
        accumulate=arguments.accumulate,
        precision=arguments.precision,
        compile=arguments.compile,
        feature_net=arguments.feature_net,
        weights_dir=arguments.weights_dir,
        mix=mix,
        every=every,
        cache=arguments.cache,
        backbone=next((path for part, path in reversed(arguments.backbone) if not part), None),
        start=arguments.start,
        extend=arguments.extend,
        variant=arguments.variant,
        parts=tuple((part, path) for part, path in arguments.backbone if part),
        from_scratch=arguments.from_scratch,
        hold_out=arguments.hold_out,
        gopro_input=arguments.gopro_input,
    )
    return config, arguments.resume


def _mix(arguments: argparse.Namespace) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Weights of the folders, and that only every n-th pair is taken. Errors: ValueError: one sentence."""
    every = tuple(arguments.every)
    words = [word for text in arguments.mix for word in text.split(",")]
    if len(words) == 1 and not words[0].replace(".", "", 1).isdigit():
        if every:
            raise ValueError(f"--mix {words[0]} says itself which pairs are taken; leave --every away")
        return (), find_mix(words[0], len(folder_list(arguments.pairs))).every
    try:
        return tuple(float(word) for word in words), every
    except ValueError:
        raise ValueError(f"--mix takes numbers such as 1,0.5 or a name, got {','.join(words)!r}") from None


def _backbone(text: str) -> tuple[str, Path]:
    """FILE, or PART=FILE: the part's name, "" without one, and the file."""
    part, equals, file = text.partition("=")
    known = {inner.part for spec in MODELS.values() for inner in spec.parts}
    return (part, Path(file)) if equals and part in known else ("", Path(text))


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers such as 2,10 are needed, got {text!r}") from None


def main(argv: list[str] | None = None) -> int:
    return run(
        _parser(),
        _train,
        argv,
        failures=(TrainingFailed,),
        interrupted="interrupted; --resume goes on from the last checkpoint",
        out=DEFAULT_OUT,
        resume=True,
    )


def _train(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(recipe_table(arguments.model))
        return 0
    if not arguments.model:
        raise ValueError("--model is needed: a name of models/zoo.py; --list says how each is trained")
    info = train(*_configuration(arguments))
    if went_on := info.meta["configuration"].get("extends"):
        print(f"went on from the training of {went_on['steps']} steps")
    print(f"{info.weights}: {info.meta['steps_done']} steps, {', '.join(info.meta['switches'])}")
    scores = info.meta["validation"]
    if scores and scores["psnr"] is not None:
        blurred = scores["psnr_blur"]
        told = "as sharp as its target" if blurred is None else f"{blurred:.2f} dB"
        print(f"validation ({info.meta['held_out']}): {scores['psnr']:.2f} dB, blurred input {told}")
    return 0


def recipe_table(model: str = "") -> str:
    """Every network and how it is trained, or one of them: published, adapted (and in what) or ours.

    Errors: ValueError for an unknown name.
    """
    if model and model not in MODELS:
        raise ValueError(unknown("no network is called", model, RESTORERS))
    lines = []
    for name in [model] if model else RESTORERS:
        lines += _lines_of(name)
    if not model:
        used = {MODELS[name].recipe for name in RESTORERS}
        lines.append("further recipes, for --recipe:")
        lines += [f"  {name}: {find_recipe(name, 'paper').kind()}" for name in RECIPES if name not in used]
    return "\n".join(lines)


def _lines_of(name: str) -> list[str]:
    spec = MODELS[name]
    if not spec.recipe:
        return [f"{name}: not trained here unless a recipe is named"]
    recipe = find_recipe(spec.recipe, "paper")
    lines = [f"{name}: {recipe.name}, {recipe.kind(name)} ({recipe.source})"]
    lines += [f"  differs: {sentence}" for sentence in recipe.differences(name)]
    lines += [f"  starts from: {sentence}" for sentence in _starts(name, recipe)]
    if variants := variants_of(spec.recipe):
        lines.append(f"  variants: {', '.join(variants)}")
    quick = spec.recipe_for("quick")
    if quick != spec.recipe:
        lines.append(f"  in the profile quick: {quick or 'not trained'}")
    return lines


def _starts(name: str, recipe: Recipe) -> list[str]:
    """The trained weights that it starts from, of those that its network has a part for."""
    if not recipe.starts:
        return []
    import torch

    with torch.device("meta"):
        names = [key for key, _ in MODELS[name].build().named_parameters()]
    return [
        f"{start.name} ({start.file}, {start.source}): {start.flag}, or --from-scratch"
        for start in recipe.starts
        if any(key.startswith(start.part) for key in names)
    ]


if __name__ == "__main__":
    sys.exit(main())
