"""What a user asks of benchmark/ablation.py, checked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmark.ablation_studies import STUDIES, Arm, check_networks
from models.feature_nets import FEATURE_NETS
from models.recipes import PROFILES


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """What the user chooses. networks, arms: empty for the study's own and for all. side_px: held-out middle crops."""

    study: str
    pairs: tuple[Path, ...]
    held_out: Path
    out: Path
    networks: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    profile: str = "quick"
    steps: int = 200
    batch: int = 2
    crop_px: int = 64
    seeds: tuple[int, ...] = (0,)
    feature_net: str = "vgg19"
    weights_dir: Path | None = None
    threads: int = 1
    device: str = "cpu"
    side_px: int = 256


def arms_of(config: AblationConfig) -> tuple[Arm, ...]:
    """The arms asked for, in the study's order. Errors: ValueError for an unknown study, arm, profile or network."""
    if config.study not in STUDIES:
        raise ValueError(f"no study is called {config.study!r}; there are {', '.join(STUDIES)}")
    study = STUDIES[config.study]
    networks = config.networks or study.networks
    check_networks(study, networks)
    if not config.seeds or min(config.seeds) < 0 or len(set(config.seeds)) != len(config.seeds):
        raise ValueError(
            f"--seeds takes different numbers from 0 up, got {', '.join(map(str, config.seeds)) or 'none'}"
        )
    found = study.arms(config.profile, networks)
    for name in config.arms:
        if name not in [arm.name for arm in found]:
            raise ValueError(f"no arm is called {name!r}; there are {', '.join(arm.name for arm in found)}")
    return tuple(arm for arm in found if not config.arms or arm.name in config.arms)


def parse(argv: list[str] | None) -> tuple[AblationConfig, bool]:
    """The study that a command line asks for, and whether to resume."""
    parser = argparse.ArgumentParser(prog="benchmark/ablation.py", description="What a recipe's parts are worth.")
    add = parser.add_argument
    add("--study", required=True, help=f"one of {', '.join(STUDIES)}")
    add("--pairs", nargs="+", type=Path, required=True, metavar="DIR", help="folders of training pairs")
    add("--held-out", type=Path, required=True, metavar="DIR", help="a set of pairs to score on, all of it")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--models", type=_words, default=(), metavar="NAME,...", help="other networks than the study's")
    add("--arms", type=_words, default=(), metavar="NAME,...", help="some of the arms (default: all)")
    add("--profile", choices=PROFILES, default="quick", help="whose optimiser, schedule and weights of losses")
    add("--steps", type=int, default=AblationConfig.steps)
    add("--batch", type=int, default=AblationConfig.batch)
    add("--crop", type=int, default=AblationConfig.crop_px, metavar="PX")
    add("--seeds", type=_counts, default=AblationConfig.seeds, metavar="N,...")
    add("--feature-net", choices=FEATURE_NETS, default=AblationConfig.feature_net)
    add("--weights-dir", type=Path, metavar="DIR", help="where the feature network's file is (default: weights)")
    add("--threads", type=int, default=AblationConfig.threads)
    add("--device", default=AblationConfig.device)
    add("--held-out-crop", type=int, default=AblationConfig.side_px, metavar="PX", help="side of the crops scored")
    add("--resume", action="store_true", help="go on with an interrupted study")
    given = parser.parse_args(argv)
    config = AblationConfig(
        study=given.study,
        pairs=tuple(given.pairs),
        held_out=given.held_out,
        out=given.out,
        networks=given.models,
        arms=given.arms,
        profile=given.profile,
        steps=given.steps,
        batch=given.batch,
        crop_px=given.crop,
        seeds=given.seeds,
        feature_net=given.feature_net,
        weights_dir=given.weights_dir,
        threads=given.threads,
        device=given.device,
        side_px=given.held_out_crop,
    )
    return config, given.resume


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _words(text))
