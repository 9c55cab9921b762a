"""The networks that this project trained and keeps: models/pretrained/NAME.safetensors with its facts, NAME.json.

Half precision on the disk, float32 once loaded. They take the place of a training where nobody gave weights.
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
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core import files
from core.command_line import Parser, run
from models.training import checkpoint
from models.zoo import MODELS

if TYPE_CHECKING:
    from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent / "pretrained"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A kept checkpoint. card: data, recipe, steps, figures, limits (docs in models/pretrained/README.md)."""

    path: Path
    card: dict[str, Any]


def kept_path(name: str) -> Path:
    """Where the kept checkpoint of a network lies, if there is one."""
    return FOLDER / f"{name}.safetensors"


def kept_weights(name: str) -> Kept | None:
    """The kept checkpoint of a network, or None. Errors: ValueError if the file is not the one on its card."""
    path, card_path = kept_path(name), FOLDER / f"{name}.json"
    if not path.is_file():
        return None
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        expected = card["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{card_path}: the card of the kept weights is missing or damaged; check out models/pretrained again"
        ) from None
    if files.sha256_of(path) != expected:
        raise ValueError(f"{path}: not the file of its card (its sha256 differs); check out models/pretrained again")
    return Kept(path=path, card=card)


def keep(folder: Path, trained_on: str, share: float = 1.0) -> Kept:
    """Make the averaged weights of the finished training in `folder` the kept ones of its network.

    In half precision, each tensor once.

    trained_on: the data in a few words, as tables show it. Where the training started at the weights kept so far, its
    steps are added to theirs, and their card stands under "before". share: below 1, the kept weights become the mean
    of the trained ones, so heavy, and of those it started at (network interpolation, as models/weights.py does it).
    Errors: ValueError if the training is not finished, or a weight leaves the range of half precision; for a share
    out of (0, 1], or below 1 where the training did not start at the weights kept so far; OSError.
    """
    from safetensors.torch import load_file

    info = checkpoint.read(folder)
    if info is None or not info.finished:
        raise ValueError(f"{folder}: there is no finished training here; finish it with models/train.py --resume")
    checkpoint.verify(info)
    state = load_file(info.weights)
    meta, name = info.meta, info.meta["model"]
    start = meta["configuration"].get("start")
    earlier = kept_weights(name) if start else None
    if earlier is not None and earlier.card["weights_sha256"] != start:
        earlier = None
    once = _named_once(MODELS[name].build(), state)
    if not 0 < share <= 1:
        raise ValueError(f"the share of the training is above 0 and at most 1, got {share:g}")
    if share < 1:
        if earlier is None:
            raise ValueError(f"{folder}: this training did not start at the weights that are kept; leave --share away")
        old = load_file(earlier.path)
        once = {
            key: old[key].to(value.dtype).lerp(value, share) if value.is_floating_point() else value
            for key, value in once.items()
        }
    halves = {key: value.half() if value.is_floating_point() else value for key, value in once.items()}
    if not all(bool(value.isfinite().all()) for value in halves.values() if value.is_floating_point()):
        raise ValueError(f"{folder}: a weight is too large for half precision; train again with a lower learning rate")
    path = kept_path(name)
    card = {
        "model": name,
        "weights_sha256": files.write_bytes(path, checkpoint.pack(halves)),
        "trained_on": trained_on,
        **{key: meta[key] for key in ("recipe", "profile", "steps", "seed", "loss", "switches", "validation")},
        "training": {"weights_sha256": meta["weights_sha256"], **meta["configuration"]},
    }
    if earlier is not None:
        card |= {"steps": meta["steps"] + earlier.card["steps"], "before": earlier.card}
    if share < 1:
        mixed = f"weights: {share:g} of this training's, {1 - share:g} of those it started at"
        card |= {"switches": [*meta["switches"], mixed], "validation": None, "share": share}
    files.write_json(FOLDER / f"{name}.json", card)
    return Kept(path=path, card=card)


def _named_once(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state less the second names of tensors that the network shares; `load_strictly` finds them again."""
    own = module.state_dict()
    first: dict[int, str] = {}
    for key, value in own.items():
        first.setdefault(value.data_ptr(), key)
    return {key: state[key] for key, value in own.items() if first[value.data_ptr()] == key}


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _keep, argv, out=FOLDER)


def _parser() -> Parser:
    parser = Parser(prog="models/kept_weights.py", description="Keep a finished training's weights.")
    parser.add_argument("folder", type=Path, help="where models/train.py wrote the checkpoint")
    parser.add_argument("--trained-on", required=True, metavar="TEXT", help="the data in a few words, for tables")
    parser.add_argument("--share", type=float, default=1.0, help="of the training, the rest of what it started at")
    return parser


def _keep(arguments: argparse.Namespace) -> int:
    kept = keep(arguments.folder, arguments.trained_on, arguments.share)
    print(f"{kept.path}: {kept.path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
