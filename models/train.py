"""Train a network on blurred/sharp pairs: `python models/train.py --model mimo-unet --pairs out/pairs`.

Exit codes: 0 trained (or verified), 1 the loss is not finite or the disk failed, 2 bad arguments or a refusal to start,
130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse

from models.recipes import PROFILES, RECIPES
from models.trainer import DEFAULT_OUT, TrainConfig, TrainingFailed, train
from models.training_plan import TRAINING_THREADS

DEFAULT_PAIRS = Path(__file__).resolve().parents[1] / "out" / "pairs"


def parse(argv: list[str] | None) -> tuple[TrainConfig, bool]:
    """The configuration that a command line asks for, and whether to resume."""
    parser = argparse.ArgumentParser(prog="models/train.py", description="Train a network on blurred/sharp pairs.")
    parser.add_argument("--model", required=True, help="a name of models/zoo.py")
    parser.add_argument("--recipe", default="", help=f"default: the network's own; there are {', '.join(RECIPES)}")
    parser.add_argument("--pairs", type=Path, nargs="+", default=[DEFAULT_PAIRS], help="folders with pairs.jsonl")
    parser.add_argument(
        "--profile", choices=PROFILES, default="quick", help="quick: a minute or two; paper: as published"
    )
    parser.add_argument("--steps", type=int, help="another number of optimiser steps than the profile's")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument(
        "--threads", type=int, default=TRAINING_THREADS, help="fixed, because the last bits depend on it"
    )
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished training")
    arguments = vars(parser.parse_args(argv))
    resume = arguments.pop("resume")
    return TrainConfig(**{**arguments, "pairs": tuple(arguments["pairs"])}), resume


def main(argv: list[str] | None = None) -> int:
    config, resume = parse(argv)
    try:
        info = train(config, resume)
    except (ValueError, FileNotFoundError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except TrainingFailed as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train.py: interrupted; --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"train.py: {error.filename or config.out}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"{info.weights}: {info.meta['steps_done']} steps, {', '.join(info.meta['switches'])}")
    scores = info.meta["validation"]
    if scores and scores["psnr"] is not None:
        print(
            f"validation ({info.meta['held_out']}): {scores['psnr']:.2f} dB, blurred input {scores['psnr_blur']:.2f} dB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
