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

from core.command_line import Parser, run
from models.feature_nets import FEATURE_NETS
from models.recipes import PROFILES, RECIPES
from models.training.loop import DEFAULT_OUT, TrainConfig, TrainingFailed, train
from models.training.pair_sources import folder_list
from models.training.plan import PRECISIONS, TRAINING_THREADS

DEFAULT_PAIRS = Path(__file__).resolve().parents[1] / "out" / "pairs"


def parse(argv: list[str] | None) -> tuple[TrainConfig, bool]:
    """The configuration that a command line asks for, and whether to resume."""
    return _configuration(_parser().parse_args(argv))


def _parser() -> Parser:
    parser = Parser(prog="models/train.py", description="Train a network on blurred/sharp pairs.")
    parser.add_argument("--model", required=True, help="a name of models/zoo.py")
    parser.add_argument("--recipe", default="", help=f"default: the network's own; there are {', '.join(RECIPES)}")
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
        "--profile", choices=PROFILES, default="quick", help="quick: about a minute; paper: as published"
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
        "--mix", metavar="W,...", type=_numbers, action="extend", default=[], help="weight of each folder of pairs"
    )
    parser.add_argument(
        "--every",
        metavar="N,...",
        type=_counts,
        action="extend",
        default=[],
        help="only every n-th pair of each folder",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep decoded images that exceed memory here")
    parser.add_argument(
        "--backbone",
        type=Path,
        metavar="FILE",
        help="trained weights to start from: a classifier's for DeblurGAN-v2, a StyleGAN2 for gfpgan, a highres-atrous "
        "for highres-mlfa",
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
        mix=tuple(arguments.mix),
        every=tuple(arguments.every),
        cache=arguments.cache,
        backbone=arguments.backbone,
        start=arguments.start,
        extend=arguments.extend,
    )
    return config, arguments.resume


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"numbers such as 1,0.5 are needed, got {text!r}") from None


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
    info = train(*_configuration(arguments))
    if went_on := info.meta["configuration"].get("extends"):
        print(f"went on from the training of {went_on['steps']} steps")
    print(f"{info.weights}: {info.meta['steps_done']} steps, {', '.join(info.meta['switches'])}")
    scores = info.meta["validation"]
    if scores and scores["psnr"] is not None:
        print(
            f"validation ({info.meta['held_out']}): {scores['psnr']:.2f} dB, blurred input {scores['psnr_blur']:.2f} dB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
