"""The networks that this project trained and keeps: models/pretrained/NAME.safetensors with a model card, NAME.json.

Half precision on the disk, float32 once loaded. They take the place of a training where nobody gave weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth import atomic

FOLDER = Path(__file__).resolve().parent / "pretrained"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A kept checkpoint. card: data, recipe, steps, figures, limits (docs in models/pretrained/README.md)."""

    path: Path
    card: dict[str, Any]


def kept_weights(name: str) -> Kept | None:
    """The kept checkpoint of a network, or None. Errors: ValueError if the file is not the one on its card."""
    path, card_path = FOLDER / f"{name}.safetensors", FOLDER / f"{name}.json"
    if not path.is_file():
        return None
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        expected = card["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{card_path}: the card of the kept weights is missing or damaged; check out models/pretrained again"
        ) from None
    if atomic.sha256_of(path) != expected:
        raise ValueError(f"{path}: not the file of its card (its sha256 differs); check out models/pretrained again")
    return Kept(path=path, card=card)


def keep(folder: Path, name: str, facts: dict[str, Any]) -> Kept:
    """Write the averaged weights of a finished training in `folder` as the kept checkpoint of `name`, in half precision.

    facts: what the card says besides what the training's own description does. Errors: ValueError if the training is not
    finished, belongs to another network, or a weight leaves the range of half precision; OSError.
    """
    import torch
    from safetensors.torch import load_file

    from models import checkpoint

    info = checkpoint.read(folder)
    if info is None or not info.finished:
        raise ValueError(f"{folder}: there is no finished training here; finish it with models/train.py --resume")
    if info.meta["model"] != name:
        raise ValueError(f"{folder}: this is a training of {info.meta['model']}, not of {name}")
    checkpoint.verify(info)
    best = folder / checkpoint.BEST
    state = load_file(best if best.is_file() else info.weights)
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    if not all(bool(torch.isfinite(value).all()) for value in halves.values() if value.is_floating_point()):
        raise ValueError(f"{folder}: a weight is too large for half precision; train it again with a lower rate")
    path = FOLDER / f"{name}.safetensors"
    digest = atomic.write_bytes(path, checkpoint.pack(halves))
    card = {"model": name, "weights_sha256": digest, **facts}
    atomic.write_json(FOLDER / f"{name}.json", card)
    return Kept(path=path, card=card)
