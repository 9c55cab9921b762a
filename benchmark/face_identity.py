"""ArcFace's network for the metric `identity`, from the weights folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.metrics import identity
from core.weights_files import weights_folder
from models.losses.gfpgan import grey_faces
from models.nets.arcface import ARCFACE_RESNET18
from models.network_weights import find_weights, load_into

if TYPE_CHECKING:
    from torch import Tensor, nn


def hand_over(weights_dir: Path | None) -> None:
    """Give the metric its network where the weights are there, else the sentence that says how to get them."""

    folder = weights_dir or weights_folder()
    path = find_weights(ARCFACE_RESNET18, folder) if folder.is_dir() else None
    if path is None:
        wanted = ARCFACE_RESNET18.weights[0]
        identity.use(None, f"identity needs {wanted.file} in {folder}: get it from {wanted.source}")
    else:
        identity.use(lambda image: _features(path, image))


def _features(path: Path, image: Tensor) -> Tensor:
    import torch

    with torch.inference_mode():
        return _network(path)(grey_faces(image[None] * 2 - 1))


@cache
def _network(path: Path) -> nn.Module:
    module = ARCFACE_RESNET18.build()
    load_into(module, path, ARCFACE_RESNET18)
    return module.eval().requires_grad_(False)
