"""What a recipe's parts are worth: `benchmark/studies/ablation.py --study NAME --pairs DIR --held-out DIR --out DIR`.

Every arm of a study (benchmark/studies/arms.py) is trained with the same budget and the same seeds by
models/training/loop.py and scored on held-out pairs. Written to --out: scores.csv (every image), table.csv, and where a
term has negatives negatives.csv, negatives.svg, anchors.csv: the same bytes for the same command; cost.csv, ablation.md
(which shows the times) and run.json; the checkpoints in runs/. An interrupted study goes on with --resume.

Exit codes: 0 done, 1 a training failed (the others are in the table) or the disk did, 2 bad arguments or a refusal to
start, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmark.results import write_rows
from benchmark.studies.arm_scores import (
    BLURRED,
    METRIC_IDS,
    ArmRow,
    ArmScore,
    markdown,
    mean_of,
    score,
    table,
    use_one_thread,
)
from benchmark.studies.arms import STUDIES, Arm, check_networks, contrast_of, shortened
from benchmark.studies.negatives import AnchorLoss, Sharpness, anchor_losses, plot, sharpness
from core import command_line, files, provenance
from core.command_line import Parser, unknown
from core.weights_files import weights_folder
from models.feature_nets import FEATURE_NETS, feature_net
from models.recipes import PROFILES, Recipe
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo
from models.training.loop import TrainConfig, TrainingFailed, plan, train
from models.training.pair_sources import Pair, folder_list, manifest_pairs
from models.training.samples import PairSampler


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
        raise ValueError(unknown("no study is called", config.study, STUDIES))
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
            raise ValueError(unknown("no arm is called", name, [arm.name for arm in found]))
    return tuple(arm for arm in found if not config.arms or arm.name in config.arms)


def parse(argv: list[str] | None) -> tuple[AblationConfig, bool]:
    """The study that a command line asks for, and whether to resume."""
    return _configuration(_parser().parse_args(argv))


def _parser() -> Parser:
    parser = Parser(prog="benchmark/studies/ablation.py", description="What a recipe's parts are worth.")
    add = parser.add_argument
    add("--study", required=True, help=f"one of {', '.join(STUDIES)}")
    parser.shared("--pairs", required=True, help="folders of training pairs")
    add("--held-out", type=Path, required=True, metavar="DIR", help="a set of pairs to score on, all of it")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--models", type=_words, default=(), metavar="NAME,...", help="other networks than the study's")
    add("--arms", type=_words, default=(), metavar="NAME,...", help="some of the arms (default: all)")
    add("--profile", choices=PROFILES, default="quick", help="whose optimiser, schedule and weights of losses")
    parser.shared("--steps", default=AblationConfig.steps, help="of each arm (default %(default)s)")
    parser.shared("--batch", default=AblationConfig.batch)
    parser.shared("--crop", default=AblationConfig.crop_px)
    add("--seeds", type=_counts, default=AblationConfig.seeds, metavar="N,...")
    add("--feature-net", choices=FEATURE_NETS, default=AblationConfig.feature_net)
    parser.shared("--weights-dir", "--resume")
    parser.shared("--threads", default=AblationConfig.threads)
    parser.shared("--device", default=AblationConfig.device)
    add("--held-out-crop", type=int, default=AblationConfig.side_px, metavar="PX", help="side of the crops scored")
    return parser


def _configuration(given: argparse.Namespace) -> tuple[AblationConfig, bool]:
    config = AblationConfig(
        study=given.study,
        pairs=folder_list(given.pairs),
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


ANCHORS = 16  # crops for anchors.csv
SCORES, SECONDS = "scores.json", "seconds.json"


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """A line of cost.csv: CPU seconds of one training."""

    arm: str
    seed: int
    seconds: float


def run(config: AblationConfig, resume: bool) -> list[str]:
    """Train and score what is missing, write the tables after every training; returns what failed, in words.

    The seeds come one after the other, so that an unfinished study has whole tables of the first ones.
    Errors: ValueError, FileNotFoundError before the first step; OSError.
    """
    arms = arms_of(config)
    held_out, manifest = manifest_pairs(config.held_out)
    identity = hashlib.sha256(manifest).hexdigest() + f" {config.side_px}"
    planned = {(arm.name, seed): _training(config, arm, seed) for seed in config.seeds for arm in arms}
    for arm in arms:  # all arms are checked before the first one trains
        plan(planned[arm.name, config.seeds[0]], _recipe(config, arm))
    use_one_thread()
    blurred = score("", None, held_out, config.side_px)
    # A crop that the blur did not reach has nothing to restore, and no finite PSNR.
    shown = [pair for pair in held_out if math.isfinite(blurred["psnr"][pair.key])]
    if not shown:
        raise ValueError(f"{config.held_out}: no middle crop of {config.side_px} px is blurred; give larger crops")
    scores = _lines(BLURRED, None, blurred, shown)
    costs: list[CostLine] = []
    failures: list[str] = []
    config.out.mkdir(parents=True, exist_ok=True)
    for seed in config.seeds:
        for arm in arms:
            training = planned[arm.name, seed]
            try:
                info, seconds = _trained(training, config, arm, resume)
            except TrainingFailed as error:
                failures.append(f"{arm.name}, seed {seed}: {error}")
                continue
            values = _scored(info, arm, held_out, identity, config.side_px)
            scores += _lines(arm.name, seed, values, shown)
            costs += [CostLine(arm=arm.name, seed=seed, seconds=seconds)] if seconds is not None else []
            _write(config, arms, scores, costs, left_out=len(held_out) - len(shown))
    _write_negatives(config, arms, planned)
    _write_facts(config)
    return failures


def _recipe(config: AblationConfig, arm: Arm) -> Recipe:
    return shortened(arm, steps=config.steps, batch=config.batch, crop_px=config.crop_px)


def _training(config: AblationConfig, arm: Arm, seed: int) -> TrainConfig:
    return TrainConfig(
        model=arm.model,
        pairs=config.pairs,
        profile=config.profile,
        folder=config.out / "runs" / _slug(arm.name) / f"seed-{seed}",
        seed=seed,
        device=config.device,
        threads=config.threads,
        feature_net=config.feature_net,
        weights_dir=config.weights_dir,
        from_scratch=True,  # arms differ in one thing, and not in which of them has a part that was trained before
    )


def _slug(name: str) -> str:
    return "-".join(name.replace("+", "with").lower().split())


def _trained(
    training: TrainConfig, config: AblationConfig, arm: Arm, resume: bool
) -> tuple[CheckpointInfo, float | None]:
    """Train (or take what is there); CPU seconds for the whole, those of a part that was cut off at the same rate."""
    assert training.folder is not None
    place = training.folder / SECONDS
    before = checkpoint.read(training.folder)
    done = int(before.meta["steps_done"]) if before else 0
    started = time.process_time()
    info = train(training, resume, _recipe(config, arm))
    if done < config.steps:
        seconds = (time.process_time() - started) * config.steps / (config.steps - done)
        files.write_json(place, {"seconds": round(seconds, 1)})
    return info, json.loads(place.read_text())["seconds"] if place.is_file() else None


def _scored(
    info: CheckpointInfo, arm: Arm, held_out: Sequence[Pair], identity: str, side_px: int
) -> dict[str, dict[str, float]]:
    """The scores of a checkpoint; taken from its folder where they are of these weights and these images."""
    place = info.folder / SCORES
    facts = {"weights_sha256": info.meta["weights_sha256"], "held_out": identity, "metrics": list(METRIC_IDS)}
    if place.is_file():
        kept = json.loads(place.read_text(encoding="utf-8"))
        if {key: kept.get(key) for key in facts} == facts:
            return kept["values"]
    values = score(arm.model, info.weights, held_out, side_px)
    files.write_json(place, {**facts, "values": values})
    return values


def _lines(arm: str, seed: int | None, values: dict[str, dict[str, float]], held_out: Sequence[Pair]) -> list[ArmScore]:
    return [
        ArmScore(arm=arm, seed=seed, key=pair.key, sequence=pair.sequence, metric=name, value=values[name][pair.key])
        for name in METRIC_IDS
        for pair in held_out
    ]


def _write(
    config: AblationConfig,
    arms: Sequence[Arm],
    scores: Sequence[ArmScore],
    costs: Sequence[CostLine],
    left_out: int,
) -> None:
    """The tables. left_out: held-out pairs whose crop is not blurred."""
    rows = table(
        arms,
        scores,
        steps=config.steps,
        batch=config.batch,
        crop_px=config.crop_px,
        feature_net=config.feature_net,
    )
    write_rows(config.out / "scores.csv", ArmScore, scores)
    write_rows(config.out / "table.csv", ArmRow, rows)
    write_rows(config.out / "cost.csv", CostLine, costs)
    seconds: dict[str, float] = {}
    for arm in arms:
        found = [cost.seconds for cost in costs if cost.arm == arm.name]
        seconds |= {arm.name: sum(found) / len(found)} if found else {}
    title = f"Ablation {config.study}: {STUDIES[config.study].source}"
    blurred = {
        name: mean_of([row.value for row in scores if row.arm == BLURRED and row.metric == name]) for name in METRIC_IDS
    }
    files.write_text(config.out / "ablation.md", markdown(title, rows, blurred, seconds, left_out))


def _write_negatives(config: AblationConfig, arms: Sequence[Arm], planned: dict[tuple[str, int], TrainConfig]) -> None:
    """negatives.csv, negatives.svg, anchors.csv: of the crops of the first seed's training."""
    contrast = contrast_of(arms)
    if contrast is None:
        return
    arm = next(arm for arm in arms if arm.recipe.contrast == contrast)
    chosen = plan(planned[arm.name, config.seeds[0]], _recipe(config, arm))
    stage = chosen.stages[0]
    sampler = PairSampler(
        chosen.sets.train,
        seed=config.seeds[0],
        crop_px=stage.crop_px,
        clip_frames=stage.clip_frames,
        flips=stage.recipe.flips,
        reversal=stage.recipe.reversal,
        response_share=stage.recipe.response_share,
        augmentation=stage.recipe.augmentation,
    )
    rows = sharpness(sampler, contrast, steps=config.steps, batch=stage.batch)
    write_rows(config.out / "negatives.csv", Sharpness, rows)
    title = f"Negatives of {arm.name}: {stage.batch} crops of {stage.crop_px} px a step; dashed: the blurred crops"
    files.write_text(config.out / "negatives.svg", plot(rows, title))
    blur, sharp = (images.flatten(0, 1) for images in sampler.batch(0, ANCHORS))
    net = feature_net(config.feature_net, contrast.layers, config.weights_dir or weights_folder())
    write_rows(config.out / "anchors.csv", AnchorLoss, anchor_losses(blur, sharp, net, contrast.layer_weights))


def _write_facts(config: AblationConfig) -> None:
    facts = {
        "configuration": json.loads(json.dumps(asdict(config), default=str)),
        "commit": provenance.commit(),
        "versions": provenance.versions(("torch", "numpy", "opencv-python")),
        "host": provenance.host(),
    }
    files.write_json(config.out / "run.json", facts)


def main(argv: list[str] | None = None) -> int:
    return command_line.run(
        _parser(),
        _study,
        argv,
        refusals=(FileNotFoundError,),
        interrupted="interrupted; --resume goes on from the last checkpoint",
        resume=True,
    )


def _study(arguments: argparse.Namespace) -> int:
    config, resume = _configuration(arguments)
    failures = run(config, resume)
    print((config.out / "ablation.md").read_text(encoding="utf-8") if not failures else "\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
