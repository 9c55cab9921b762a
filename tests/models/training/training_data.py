"""A tiny set of blurred/sharp pairs on disk, in the layout of synth/make_pairs.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from torch import Tensor, nn

from core.image_files import write_image
from models import feature_nets
from models.spec import ModelSpec
from models.zoo import MODELS

NARROW_BLOCKS = ((2, 6), (2, 8), (4, 8), (4, 8), (4, 8))  # VGG19's depth, so that its layers have their names


def narrow_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--feature-net random` with a few channels: its features mean little anyway, and VGG19 takes most of a step."""
    monkeypatch.setattr(feature_nets, "VGG19_BLOCKS", NARROW_BLOCKS)
    monkeypatch.setattr(feature_nets, "VGG16_BLOCKS", tuple((min(count, 3), width) for count, width in NARROW_BLOCKS))


def make_pairs(folder: Path, *, count: int = 6, side: int = 48, split: str = "train") -> Path:
    """Smooth random colour fields with sharp edges, blurred along the rows. Two sequences."""
    lines = []
    for number in range(count):
        rng = np.random.default_rng(number)
        smooth = ndimage.gaussian_filter(rng.random((side, side, 3)), (4, 4, 0))
        sharp = ((smooth > np.median(smooth)) * 180 + 30).astype(np.uint8)
        blur = ndimage.uniform_filter1d(sharp.astype(float), 5, axis=1).round().astype(np.uint8)
        key = f"{number:03d}"
        write_image(folder / "blur" / f"{key}.png", blur)
        write_image(folder / "sharp" / f"{key}.png", sharp)
        record = {
            "key": key,
            "split": split,
            "sequence": f"s{number * 2 // count}",
            "centre_s": number / 10,
            "response": "linear",
        }
        lines.append(json.dumps({**record, "blur": f"blur/{key}.png", "sharp": f"sharp/{key}.png"}))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return folder


DISCRIMINATORS = (
    "deblurgan-v2-discriminator",
    "deblurgan-discriminator",
    "vgg-style-discriminator-128",
    "unet-discriminator-sn",
)


class TinyDiscriminator(nn.Module):
    """Two outputs, local scores and one global score."""

    def __init__(self) -> None:
        super().__init__()
        self.local = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.local(images)
        return scores, scores.square().mean(dim=(1, 2, 3))


def tiny_opponents(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the zoo's discriminators of whole images."""
    for name in DISCRIMINATORS:
        spec = ModelSpec(
            name=name,
            task="discriminator",
            build=TinyDiscriminator,
            adapter=None,
            frames=1,
            multiple_of=4,
            value_range=(-1.0, 1.0),
            weights=(),
            recipe="",
            source="a tiny one for tests",
            published="",
        )
        monkeypatch.setitem(MODELS, name, spec)
