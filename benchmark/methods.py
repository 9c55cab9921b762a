"""What a method works with: a network's weights (the user's, the authors', of a training here), or a folder.

A folder holds somebody else's restored images: `folder:PATH` is scored exactly like our own results.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plan import FOREIGN, ROOT, RunConfig, Target, given_files
from benchmark.scoring import record_path, scored_images
from core import files
from core.image_files import IMAGE_SUFFIXES, encode_png, read_image
from models.baselines import BASELINES
from models.kept_weights import kept_weights
from models.network_weights import identity_of, load_into
from models.training.loop import TrainConfig, estimate_seconds, train
from models.training.pair_sources import layout_pairs
from models.zoo import MODELS
from synth import make_pairs as synthesis

if TYPE_CHECKING:
    from models.training.loop import TrainConfig


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

    default = ROOT / "out" / "pairs"
    for folder in folders:
        if folder.resolve() != default:
            if not (folder / "pairs.jsonl").is_file() and layout_pairs(folder, "") is None:
                raise FileNotFoundError(
                    f"--pairs {folder}: there is no pairs.jsonl, and it is no GOPRO_Large, DeepVideoDeblurring_Dataset "
                    "or REDS; make pairs with synth/make_pairs.py"
                )
        elif not _finished(folder):
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

    total = 0.0
    for name in names:
        try:
            total += estimate_seconds(train_config(name, config))
        except (ValueError, RuntimeError, OSError):
            continue
    return total


def weights_of(name: str, config: RunConfig) -> WeightsInUse:
    """The weights of a method; a network without any is trained now (or its finished training is taken).

    Errors: ValueError, FileNotFoundError, models.training.loop.TrainingFailed, OSError.
    """

    if name in BASELINES:
        return WeightsInUse(path=None)
    found = given_weights(name, config)
    if found is not None:
        return found
    if not MODELS[name].recipe:
        raise ValueError(f"{name} has no weights here and cannot be trained: give them with --weights {name}=FILE")

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


def find_image(homes: Sequence[Path], key: str) -> Path | None:
    """The file of a key in the first folder that has it; `scene001/blur_1` may also be called scene001_blur_1."""
    for home in homes:
        for name in dict.fromkeys((key, key.replace("/", "_"))):
            for suffix in IMAGE_SUFFIXES:
                path = home / f"{name}{suffix}"
                if path.is_file():
                    return path
    return None


def homes(folder: Path, target: Target, targets: Sequence[Target]) -> list[Path]:
    """Where the images of a target may lie: `PATH/<test set>`, or PATH itself where one test set is asked for.

    gopro has two kinds of input: where both are scored, the restorations of blur_gamma lie in `PATH/gopro-gamma`.
    """
    testset = target.testset
    same_set = {other.testset.images_folder for other in targets if other.testset.name == testset.name}
    only_set = len({other.testset.name for other in targets}) == 1
    found = [folder / testset.images_folder]
    if len(same_set) == 1 or testset.images_folder == testset.name:
        found.append(folder / testset.name)
        if only_set:
            found.append(folder)
    return list(dict.fromkeys(found))


def has_any(folder: Path, target: Target, targets: Sequence[Target]) -> bool:
    """Whether the folder has at least one image of the target."""
    places = homes(folder, target, targets)
    return any(find_image(places, key) is not None for key in target.keys)


def with_images(folder: Path, targets: Sequence[Target]) -> list[Target]:
    """The targets without the other input variants of a set (gopro-gamma) for which the folder has no image."""
    return [
        target
        for target in targets
        if target.testset.images_folder == target.testset.name or has_any(folder, target, targets) or len(targets) == 1
    ]


def keep(source: Path, target: Path) -> None:
    """Copy an image to images/, where the page and a preference study look for it. What is no PNG becomes one.

    A copy and no link: what was scored stays what is shown. Errors: ValueError for an unreadable image; OSError.
    """
    data = source.read_bytes() if source.suffix.lower() == ".png" else encode_png(read_image(source))
    if not target.is_file() or target.read_bytes() != data:
        files.write_bytes(target, data)


def change(folder: Path, targets: Sequence[Target], out: Path) -> str | None:
    """The first image that is another one than when it was scored, as a sentence; None if all are the same."""
    targets = with_images(folder, targets)
    for target in targets:
        places = homes(folder, target, targets)
        recorded = scored_images(record_path(out, folder.resolve().name, target))
        for key in target.keys:
            path = find_image(places, key)
            if path is None:
                return f"{key} in {folder} is missing"
            if files.sha256_of(path) != recorded.get(key):
                return f"{path} was changed after it was scored"
    return None
