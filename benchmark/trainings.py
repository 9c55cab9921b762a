"""What a run does for networks without weights: their pairs, how long their training takes, and the training itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.methods import BaselineMethod, NetworkMethod, networks
from benchmark.plan import ROOT, RunConfig
from core import schema
from models.chosen_weights import ChosenWeights
from models.training.loop import TrainConfig, find, plan, train
from models.training.pair_sources import layout_pairs, lying_in
from synth.gaps_in_torch import choose_device
from synth.make_pairs import make
from synth.settings import SynthesisConfig

if TYPE_CHECKING:
    from benchmark.cost import Cost

TRAINING_FORWARDS = 4  # a step's time over that of restoring its crops: once forward, twice that back, the optimiser
STAGE_S = 5  # of starting a stage, and of writing checkpoints


def make_pairs(folders: Sequence[Path], workers: int) -> None:
    """Make the default pairs where they are missing, exactly as `make_pairs.py --interp 16x` does.

    Only the default folder is made; a folder that the user named must be there. Finished pairs are taken as they are.
    Errors: FileNotFoundError for a missing folder; ValueError if they cannot be made.
    """

    default = ROOT / "out" / "pairs"
    for folder in folders:
        if folder.resolve() != default:
            if not (folder / "pairs.jsonl").is_file() and layout_pairs(folder, "") is None:
                raise FileNotFoundError(
                    f"--pairs {folder}: there is no pairs.jsonl, and it is no GOPRO_Large, DeepVideoDeblurring_Dataset "
                    f"or REDS, nor blur/ beside sharp/; make pairs with synth/make_pairs.py{lying_in(folder)}"
                )
        elif not _finished(folder):
            try:
                code = make(SynthesisConfig(device=choose_device("auto")), folder, workers=workers, resume=True)
            except (ValueError, OSError) as error:
                raise ValueError(f"the pairs in {folder} could not be made: {error}") from None
            if code != 0:
                raise ValueError(f"the pairs in {folder} could not all be made; the reasons are above")


def _finished(folder: Path) -> bool:
    try:
        status = schema.parse((folder / "run.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return status == "finished" and (folder / "pairs.jsonl").is_file()


def untrained(config: RunConfig) -> list[NetworkMethod]:
    """The networks of a decided configuration that are trained first: those without weights that can be."""
    return [
        network
        for network in networks(config.methods)
        if network.weights is None and network.spec.recipe_for(config.profile)
    ]


def training_seconds(config: RunConfig, methods: Sequence[NetworkMethod], costs: Mapping[str, Cost]) -> float:
    """Roughly how long the trainings of these networks take here, from their measured latencies; a finished one counts
    nothing.

    A network whose training cannot start counts nothing either; its row will say why.
    """
    total = 0.0
    for method in methods:
        with suppress(ValueError, OSError):
            if method.name not in costs or find(_train_config(method, config)) is not None:
                continue
            row = costs[method.name].row
            seconds_px = row.ms_median / 1000 / (row.height * row.width)
            for stage in plan(_train_config(method, config)).stages:
                frames = stage.batch * stage.clip_frames * stage.steps
                pixels = (stage.crop_px / method.spec.scale) ** 2  # of what the network takes, as the latency's are
                total += STAGE_S + TRAINING_FORWARDS * seconds_px * frames * pixels
    return total


class NoWeightsError(ValueError):
    """A network has no weights and cannot be trained here."""


def trained(method: NetworkMethod | BaselineMethod, config: RunConfig) -> NetworkMethod | BaselineMethod:
    """The method with its weights; a network without any is trained now (or its finished training is taken).

    Errors: NoWeightsError, ValueError, FileNotFoundError, models.training.loop.TrainingFailed, OSError.
    """

    if isinstance(method, BaselineMethod) or method.weights is not None:
        return method
    if not method.spec.recipe_for(config.profile):
        raise NoWeightsError(
            f"no weights here and no {config.profile} recipe to train it; give --weights {method.name}=FILE"
        )

    info = train(_train_config(method, config), resume=True)
    meta = info.meta
    weights = ChosenWeights(
        path=info.weights,
        origin="trained",
        sha256=meta["weights_sha256"],
        data=f"{meta['pairs']} pairs ({', '.join(path.name for path in config.pairs)})",
        steps=int(meta["steps"]),
        profile=meta["profile"],
        feature_net=meta["feature_net"],
        switches=tuple(meta["switches"]),
    )
    return replace(method, weights=weights)


def _train_config(method: NetworkMethod, config: RunConfig) -> TrainConfig:
    return TrainConfig(
        model=method.name,
        pairs=config.pairs,
        profile=config.profile,
        steps=config.steps,
        out=config.checkpoints,
        seed=config.seed,
        device=config.device,
        feature_net=config.feature_net,
        weights_dir=config.weights_dir,
    )
