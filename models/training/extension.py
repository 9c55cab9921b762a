"""Going on from a finished training with more steps (--extend): which training that is, and taking up its state.

The longer training has the steps, learning rates and checkpoints of its own number of steps from the place on where the
shorter one ended. It is another training than one of that length from its beginning, and its configuration says so:
`extends` holds the steps and the weights' sha256 of the one that it went on from.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.command_line import note
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo

EXTENDS = "extends"
OF_THE_LENGTH = ("steps", "learning_rates", EXTENDS)  # what may differ


def extended(
    configuration: dict[str, Any], places: Iterable[Path], *, stages: int, asked: bool
) -> tuple[dict[str, Any], CheckpointInfo | None]:
    """The configuration of a training that goes on from a shorter one, and that one; both as they are if none does.

    places: folders in which trainings of this network may be. asked: whether --extend was given; without it a note
    says that there is something to go on from. The second is None too where the training went on already, in place.
    Errors: ValueError, one sentence: nothing to go on from, or a recipe of several stages.
    """
    alike = [info for info in map(_read, places) if info is not None and _alike(info, configuration)]
    begun = [info for info in alike if info.meta["steps"] == configuration["steps"]]
    shorter = [info for info in alike if info.finished and info.meta["steps"] < configuration["steps"]]
    base = max(shorter, key=lambda info: info.meta["steps"], default=None)
    if not asked:
        if base is not None and not begun:
            note(
                f"{base.folder} holds a finished training of {base.meta['steps']} steps that is otherwise the same; "
                "--extend goes on from it, without it a new one begins"
            )
        return configuration, None
    before = next((info for info in begun if EXTENDS in info.meta["configuration"]), None)
    if before is not None:
        return configuration | {EXTENDS: before.meta["configuration"][EXTENDS]}, None
    if base is None:
        if begun:
            return configuration, None
        raise ValueError(
            f"--extend: there is no finished training with fewer than {configuration['steps']} steps that is otherwise "
            "the same; leave --extend out, or see what differs without it"
        )
    if stages > 1:
        raise ValueError(
            f"--extend: {base.folder} has {stages} stages, whose lengths depend on the number of steps, so that it "
            "cannot go on; start at its weights with --start"
        )
    checkpoint.verify(base)
    if not (base.folder / checkpoint.STATE).is_file():
        raise ValueError(
            f"--extend: {base.folder / checkpoint.STATE}, which it would go on from, is gone; start at the weights of "
            "that training with --start"
        )
    checkpoint.require_state(base)
    facts = {"steps": base.meta["steps"], "weights_sha256": base.meta["weights_sha256"]}
    return configuration | {EXTENDS: facts}, base


def take_up(base: CheckpointInfo, folder: Path) -> None:
    """Bring the state of the shorter training to the folder of the longer one; nothing where they are the same."""
    if base.folder.resolve() == folder.resolve() or (folder / checkpoint.STATE).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in (checkpoint.BEST, checkpoint.STATE):  # the state last: it says where to go on
        if (base.folder / name).is_file():
            part = folder / f".{name}.part"
            shutil.copyfile(base.folder / name, part)
            part.replace(folder / name)


def _read(folder: Path) -> CheckpointInfo | None:
    try:
        return checkpoint.read(folder)
    except ValueError:
        return None  # said where that training is asked for


def _alike(info: CheckpointInfo, configuration: dict[str, Any]) -> bool:
    kept = {key: value for key, value in configuration.items() if key not in OF_THE_LENGTH}
    there = {key: value for key, value in info.meta["configuration"].items() if key not in OF_THE_LENGTH}
    return not checkpoint.differences(CheckpointInfo(folder=info.folder, meta={"configuration": there}), kept)
