"""Pairs for training: order and crops depend on the seed and the step alone; what is held out is not trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models.pair_dataset import PairSampler, centre_crop, load_pairs
from synth import camera
from synth.image_files import read_image, write_image
from tests.models.training_data import make_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("pairs"))


def test_samples_depend_on_seed_and_step_alone(pairs: Path) -> None:
    sets = load_pairs([pairs])
    options = {"crop_px": 16, "clip_frames": 2, "flips": ("horizontal", "vertical"), "reversal": True}
    one, two = (PairSampler(sets.train, seed=3, **options) for _ in range(2))
    one.batch(0, 2)
    assert torch.equal(one.batch(7, 2)[0], two.batch(7, 2)[0])
    assert not torch.equal(one.batch(8, 2)[0], two.batch(7, 2)[0])
    assert not torch.equal(PairSampler(sets.train, seed=4, **options).batch(7, 2)[0], two.batch(7, 2)[0])
    blur, sharp = two.batch(0, 2)
    assert blur.shape == sharp.shape == (2, 2, 3, 16, 16)


def test_blur_and_sharp_are_cropped_alike(tmp_path: Path) -> None:
    """With blur == sharp on disk, every crop of both is the same."""
    folder = make_pairs(tmp_path / "pairs", count=4)
    for path in (folder / "sharp").iterdir():
        (folder / "blur" / path.name).write_bytes(path.read_bytes())
    sampler = PairSampler(
        load_pairs([folder]).train,
        seed=0,
        crop_px=24,
        clip_frames=1,
        flips=("horizontal", "vertical", "transpose"),
        reversal=False,
        response_share=0.5,
    )
    for step in range(5):
        blur, sharp = sampler.batch(step, 3)
        assert torch.equal(blur, sharp)


def test_another_response_keeps_the_light(pairs: Path) -> None:
    """Both sides, decoded with the drawn exponent, are the light of the pair times one gain, and full scale is used."""
    sets = load_pairs([pairs])
    plain, shown = (
        PairSampler(
            sets.train, seed=0, crop_px=16, clip_frames=2, flips=("transpose",), reversal=False, response_share=share
        )
        for share in (0.0, 1.0)
    )
    exponents = []
    for step in range(8):
        before, after = plain.batch(step, 1), shown.batch(step, 1)
        light = [camera.response("linear").to_linear(side.numpy()) for side in before]
        assert max(float(side.max()) for side in after) == pytest.approx(1.0)
        top = max(side.max() for side in light)
        middle = np.unravel_index(np.argmin(np.abs(light[1] / top - 0.3)), light[1].shape)
        exponent = float(np.log(light[1][middle] / top) / np.log(after[1].numpy()[middle]))
        exponents.append(exponent)
        for seen, there in zip(after, light, strict=True):
            np.testing.assert_allclose(seen.numpy() ** exponent, there / top, atol=2e-5)
    assert 1.0 <= min(exponents) < 1.5 < max(exponents) <= 2.2


def test_a_lost_response_file_leaves_the_pairs_as_they_are(pairs: Path) -> None:
    lost = [dataclasses.replace(pair, response="lost.txt") for pair in load_pairs([pairs]).train]
    options = {"seed": 0, "crop_px": 16, "clip_frames": 1, "flips": (), "reversal": False}
    shown = PairSampler(lost, response_share=1.0, **options).batch(0, 2)
    assert torch.equal(shown[0], PairSampler(lost, **options).batch(0, 2)[0])


def test_an_epoch_sees_every_pair_once(pairs: Path) -> None:
    sets = load_pairs([pairs])
    sampler = PairSampler(sets.train, seed=0, crop_px=48, clip_frames=1, flips=(), reversal=False)
    seen = {sampler.batch(step, 1)[0].numpy().tobytes() for step in range(len(sets.train))}
    assert len(seen) == len(sets.train)


def test_held_out_pairs_are_not_trained_on(pairs: Path, tmp_path: Path) -> None:
    sets = load_pairs([pairs])
    assert {pair.sequence for pair in sets.validation} == {"s1"}
    assert {pair.sequence for pair in sets.train} == {"s0"}
    named = load_pairs([pairs, make_pairs(tmp_path / "val", count=2, split="val")])
    assert len(named.train) == 6 and len(named.validation) == 2


@pytest.mark.parametrize("response_share", [0.0, 1.0])
def test_16_bit_blur_trains_like_8_bit(tmp_path: Path, response_share: float) -> None:
    """The same values at another depth give the same batches; finer values keep their fractions."""
    shallow, deep = make_pairs(tmp_path / "8", count=4), make_pairs(tmp_path / "16", count=4)
    for path in (deep / "blur").iterdir():
        write_image(path, read_image(path).astype(np.uint16) * 257)
    options = {"crop_px": 16, "clip_frames": 1, "flips": ("transpose",), "reversal": False, "seed": 0}
    batches = [
        PairSampler(load_pairs([folder]).train, response_share=response_share, **options).batch(3, 2)
        for folder in (shallow, deep)
    ]
    for eight, sixteen in zip(*batches, strict=True):
        assert torch.allclose(eight, sixteen, atol=1e-6)
    path = next((deep / "blur").iterdir())
    write_image(path, read_image(path, deep=True) + np.uint16(100))
    assert torch.allclose(
        centre_crop(path, 8) - centre_crop(shallow / "blur" / path.name, 8), torch.tensor(100 / 65535)
    )
