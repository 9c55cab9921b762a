"""The further studies: what each arm changes, BasicVSR's ways to pass on and to align, and a small run of the worth."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.studies import synthesis_worth
from benchmark.studies.arms import STUDIES
from core.image_files import read_image
from models.nets.basicvsr import BasicVSR, BasicVSRStudy
from models.restorer import RESTORERS
from models.zoo import MODELS
from synth.manifest import read_manifest


def test_the_loss_arms_of_the_high_resolution_network() -> None:
    arms = STUDIES["highres"].arms("paper", ("highres-atrous",))
    assert [arm.name for arm in arms] == ["l1", "+ edges", "+ VGG16", "+ GAN", "+ LSGAN"]
    base, edges, vgg, gan, lsgan = (arm.recipe for arm in arms)
    assert replace(edges, losses=base.losses) == base and ("edge-l1", 1.0) in edges.losses
    assert vgg.features and (vgg.features.network, vgg.features.layers) == ("vgg16", ("conv3_3",))
    assert replace(vgg, features=None) == base
    assert gan.adversary and lsgan.adversary and (gan.adversary.loss, lsgan.adversary.loss) == ("gan", "lsgan")
    assert all(arm.against == "l1" for arm in arms[1:])


def test_both_readings_of_the_negatives_are_compared() -> None:
    arms = {arm.name: arm.recipe.contrast for arm in STUDIES["contrastive"].arms("paper", ("mimo-unet",))}
    assert arms["without"] is None
    readings = {name: contrast.reading for name, contrast in arms.items() if contrast}
    assert readings == {"+ contrastive": "mixture", "+ blurred negatives": "mixture", "+ earlier outputs": "average"}


def test_basicvsrs_arms_are_networks_that_all_does_not_mean() -> None:
    arms = STUDIES["basicvsr"].arms("paper", ("basicvsr-deblur",))
    assert all(arm.model in MODELS and arm.recipe == arms[0].recipe for arm in arms)
    assert not [arm.model for arm in arms[1:] if arm.model in RESTORERS]


def _net(**parts: str) -> BasicVSRStudy:
    torch.manual_seed(0)
    return BasicVSRStudy(channels=8, blocks=1, deblur=False, last=8, **parts).eval()


def test_the_usual_parts_give_basicvsr_itself() -> None:
    torch.manual_seed(0)
    usual = BasicVSR(channels=8, blocks=1, deblur=False, last=8).eval()
    study = _net()
    study.load_state_dict(usual.state_dict())
    clip = torch.rand(1, 4, 3, 40, 36)
    with torch.no_grad():
        assert torch.allclose(usual(clip), study(clip), atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "reach"),
    [
        ({"propagation": "forward"}, {0, 1, 2}),  # the frames that the third output depends on
        ({"propagation": "local"}, {1, 2, 3}),
        ({"alignment": "none"}, {0, 1, 2, 3, 4}),
        ({"alignment": "images"}, {0, 1, 2, 3, 4}),
    ],
)
def test_which_frames_an_output_sees(parts: dict[str, str], reach: set[int]) -> None:
    module = _net(**parts)
    clip = torch.rand(1, 5, 3, 36, 36, requires_grad=True)
    module(clip)[0, 2].sum().backward()
    assert clip.grad is not None
    seen = {frame for frame in range(5) if float(clip.grad[0, frame].abs().sum()) > 0}
    assert seen == reach


def test_a_small_run_of_what_the_synthesis_is_worth(tmp_path: Path) -> None:
    words = [
        "--out", str(tmp_path), "--model", "mimo-unet-test", "--steps", "2", "--batch", "1", "--crop", "32", "--seeds",
        "0", "--window", "3", "--limit", "2", "--held-out-crop", "64",
    ]  # fmt: skip
    assert synthesis_worth.main(words) == 0
    sets = {name: read_manifest(tmp_path / "sets" / name) for name in ("plain-mean", "trapezoid", "3840-fps", "truth")}
    windows = {name: [(one.sequence, one.first_frame, one.last_frame) for one in found] for name, found in sets.items()}
    assert len({str(found) for found in windows.values()}) == 1  # the same windows of the same scenes
    sharp = [read_image(found[0].sharp_path(tmp_path / "sets" / name)) for name, found in sets.items()]
    assert all(np.array_equal(sharp[0], image) for image in sharp)
    blurs = {
        name: read_image(found[0].blur_path(tmp_path / "sets" / name)).astype(float) for name, found in sets.items()
    }
    errors = {name: float(np.square(blur - blurs["truth"]).mean()) for name, blur in blurs.items()}
    assert errors["truth"] == 0 < errors["3840-fps"] < errors["plain-mean"]
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "psnr"]
    assert [row["arm"] for row in rows] == ["plain mean", "trapezoid", "3840 fps", "truth"]
    assert [row["against"] for row in rows] == ["", "plain mean", "trapezoid", "3840 fps"]
    value = [float(row["value"]) for row in rows]
    assert float(rows[1]["difference"]) == pytest.approx(value[1] - value[0], abs=1e-6)
    before = (tmp_path / "table.csv").read_bytes()
    assert synthesis_worth.main([*words, "--resume"]) == 0 and (tmp_path / "table.csv").read_bytes() == before
