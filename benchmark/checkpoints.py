"""Which weights a network takes part with: the user's file, the authors', or those of a training on our pairs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plan import FOREIGN, RunConfig, given_files

if TYPE_CHECKING:
    from models.trainer import TrainConfig


@dataclass(frozen=True, kw_only=True)
class WeightsInUse:
    """A weights file and what the tables say about it. path is None for a method without weights.

    sha256: of the file; of DMPHN's six files together, see models/weights.py.
    """

    path: Path | None
    sha256: str = ""
    trained_on: str = ""
    steps: int | None = None
    profile: str = ""
    feature_net: str = ""
    switches: tuple[str, ...] = ()


def given_weights(name: str, config: RunConfig) -> WeightsInUse | None:
    """The file of --weights, the authors' file in --weights-dir, or the kept one; None if it must be trained.

    Errors: ValueError if the file is no checkpoint of this network.
    """
    from models.kept import kept_weights
    from models.weights import identity_of, load_into
    from models.zoo import MODELS

    path = given_files(config).get(name)
    if path is None:
        return None
    load_into(MODELS[name].build(), path, name)
    sha256 = identity_of(path)
    kept = kept_weights(name)
    if kept is not None and path == kept.path:
        card = kept.card
        return WeightsInUse(
            path=path,
            sha256=sha256,
            trained_on=f"{card['trained_on']} (kept in models/pretrained)",
            steps=card["steps"],
            profile="kept",
            switches=tuple(card["switches"]),
        )
    named = name in dict(config.weights)
    trained_on = f"weights file {path.name}" if named else f"the authors' weights ({path.name})"
    return WeightsInUse(path=path, sha256=sha256, trained_on=trained_on)


def to_train(config: RunConfig) -> tuple[str, ...]:
    """The networks among the methods that have no weights yet and can be trained.

    Errors: ValueError if one of them cannot, unless all methods were asked for: then its row will say so.
    """
    from models.zoo import MODELS

    names = []
    for name in config.methods:
        if name.startswith(FOREIGN) or name not in MODELS or given_weights(name, config) is not None:
            continue
        if MODELS[name].recipe:
            names.append(name)
        elif not config.all_methods:
            raise ValueError(f"{name} cannot be trained here: give its weights with --weights {name}=FILE")
    return tuple(names)


def make_pairs(folders: Sequence[Path], workers: int) -> None:
    """Make the default pairs where they are missing, exactly as `make_pairs.py --interp 16x` does.

    Only the default folder is made; a folder that the user named must be there. Finished pairs are taken as they are.
    Errors: FileNotFoundError for a missing folder; ValueError if make_pairs.py refuses.
    """
    from benchmark.plan import ROOT
    from models.pair_layouts import layout_pairs

    default = ROOT / "out" / "pairs"
    for folder in folders:
        if folder.resolve() != default:
            if not (folder / "pairs.jsonl").is_file() and layout_pairs(folder, "") is None:
                raise FileNotFoundError(
                    f"--pairs {folder}: there is no pairs.jsonl, and it is no GOPRO_Large, DeepVideoDeblurring_Dataset "
                    "or REDS; make pairs with synth/make_pairs.py"
                )
        elif not _finished(folder):
            from synth import make_pairs as synthesis

            code = synthesis.main(["--interp", "16x", "--out", str(folder), "--workers", str(workers), "--resume"])
            if code != 0:
                raise ValueError(
                    f"synth/make_pairs.py could not make {folder} (exit code {code}); its message is above"
                )


def _finished(folder: Path) -> bool:
    try:
        status = json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return status == "finished" and (folder / "pairs.jsonl").is_file()


def training_seconds(config: RunConfig, names: Sequence[str]) -> float:
    """How long the trainings of these networks take here, from one timed step of each; finished ones count nothing.

    A network whose training cannot start counts nothing either; its row will say why.
    """
    from models.trainer import estimate_seconds

    total = 0.0
    for name in names:
        try:
            total += estimate_seconds(train_config(name, config))
        except (ValueError, RuntimeError, OSError):
            continue
    return total


def weights_of(name: str, config: RunConfig) -> WeightsInUse:
    """The weights of a method; a network without any is trained now (or its finished training is taken).

    Errors: ValueError, FileNotFoundError, models.trainer.TrainingFailed, OSError.
    """
    from models.baselines import BASELINES
    from models.zoo import MODELS

    if name in BASELINES:
        return WeightsInUse(path=None)
    found = given_weights(name, config)
    if found is not None:
        return found
    if not MODELS[name].recipe:
        raise ValueError(f"{name} has no weights here and cannot be trained: give them with --weights {name}=FILE")
    from models.trainer import train

    info = train(train_config(name, config), resume=True)
    meta = info.meta
    return WeightsInUse(
        path=info.weights,
        sha256=meta["weights_sha256"],
        trained_on=f"{meta['pairs']} pairs ({', '.join(path.name for path in config.pairs)})",
        steps=int(meta["steps"]),
        profile=meta["profile"],
        feature_net=meta["feature_net"],
        switches=tuple(meta["switches"]),
    )


def train_config(name: str, config: RunConfig) -> TrainConfig:
    """The TrainConfig of a method's training."""
    from models.trainer import TrainConfig

    return TrainConfig(
        model=name,
        pairs=config.pairs,
        profile=config.profile,
        steps=config.steps,
        out=config.checkpoints,
        seed=config.seed,
        device=config.device,
        feature_net=config.feature_net,
        weights_dir=config.weights_dir,
    )
