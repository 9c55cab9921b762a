"""Tiny stand-ins for the large networks of GFPGAN's training, and landmarks of made-up faces."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.training import objective
from models.zoo import MODELS


class TinyComponents(nn.Module):
    """Scores and, like the discriminator of eyes and mouth, features of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 2, stride=2)
        self.second = nn.Conv2d(4, 6, 2, stride=2)
        self.score = nn.Conv2d(6, 1, 1)

    def forward(self, images: Tensor, return_feats: bool = False) -> tuple[Tensor, list[Tensor] | None]:
        half = nn.functional.leaky_relu(self.first(images), 0.2)
        quarter = nn.functional.leaky_relu(self.second(half), 0.2)
        return self.score(quarter), [half, quarter] if return_feats else None


class TinyCritic(nn.Module):
    """One score an image, of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).mean(dim=(1, 2, 3))[:, None]


class TinyIdentity(nn.Module):
    """Five numbers about a grey face."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 5, 32, stride=32)

    def forward(self, grey: Tensor) -> Tensor:
        return self.layer(grey).mean(dim=(2, 3))


def use_tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of StyleGAN2's discriminator, that of the components and ArcFace."""
    builds: dict[str, Callable[[], nn.Module]] = {
        "stylegan2-discriminator": TinyCritic,
        "facial-component-discriminator": TinyComponents,
    }
    for name, build in builds.items():
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], build=build, build_for=None))
    tiny = replace(objective.ARCFACE_RESNET18, build=TinyIdentity)
    monkeypatch.setattr(objective, "ARCFACE_RESNET18", tiny)


def write_landmarks(folder: Path, side: int) -> None:
    """Boxes a quarter of the face wide, the left eye a little higher than the right one."""
    lines = []
    for record in (folder / "pairs.jsonl").read_text().splitlines():
        eyes = [[side * 0.1, side * 0.2, side * 0.35, side * 0.45], [side * 0.6, side * 0.25, side * 0.85, side * 0.5]]
        mouth = [side * 0.3, side * 0.6, side * 0.7, side * 0.9]
        boxes = dict(zip(("left_eye", "right_eye", "mouth"), [*eyes, mouth], strict=True))
        lines.append(json.dumps({"key": json.loads(record)["key"], **boxes}) + "\n")
    (folder / "landmarks.jsonl").write_text("".join(lines))


def grams(features: Tensor) -> Tensor:
    """Gram matrices, written out. Shape: [B, C, H, W] -> [B, C, C]."""
    return torch.einsum("bcij,bdij->bcd", features, features) / features[0].numel()
