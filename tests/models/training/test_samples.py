"""Pairs for training: order and crops depend on the seed and the step alone; what is held out is not trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from core import camera_response
from core.image_files import read_image, write_image
from models.recipes import Augmentation
from models.training.augmentation import _recoloured, augmented
from models.training.pair_sources import PairSets, folder_list, load_pairs
from models.training.samples import PairSampler, centre_crop
from tests.models.training.training_data import make_pairs


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
        light = [camera_response.response("linear").to_linear(side.numpy()) for side in before]
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


def sampler(sets: PairSets, **changes: object) -> PairSampler:
    common = {"seed": 0, "crop_px": 16, "clip_frames": 1, "flips": (), "reversal": False, "shares": sets.shares}
    return PairSampler(sets.train, **(common | changes))


def test_folders_are_mixed_by_weight_and_thinned(pairs: Path, tmp_path: Path) -> None:
    other = make_pairs(tmp_path / "other", count=40)
    sets = load_pairs([pairs, other], mix=(1.0, 3.0), every=(1, 2))
    assert sum(pair.folder == 1 for pair in load_pairs([other, other], every=(1, 2)).train) < 21
    assert [pair.key for pair in sets.train if pair.folder == 1][:3] == ["000", "002", "004"]
    drawn = [sampler(sets)._clip(position)[0].folder for position in range(2000)]
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.03)


def test_every_process_and_part_has_its_own_share(pairs: Path) -> None:
    sets = load_pairs([pairs])
    whole = sampler(sets).batch(5, 8)
    shares = [sampler(sets).parts(5, 8, processes=2, rank=rank, parts=2) for rank in (0, 1)]
    for side in (0, 1):
        assert torch.equal(torch.cat([part[side] for share in shares for part in share]), whole[side])


def test_a_pool_mixes_what_was_drawn_before(pairs: Path) -> None:
    pooled = sampler(load_pairs([pairs]), augmentation=Augmentation(pool=10))
    positions = [pooled._from_pool(position) for position in range(300)]
    assert all(0 <= position - there < 10 for position, there in enumerate(positions))
    assert len({position - there for position, there in enumerate(positions)}) == 10


@pytest.mark.parametrize("cached", [False, True])
def test_images_beyond_memory_are_the_same(
    cached: bool, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = load_pairs([pairs])
    expected = sampler(sets).batch(3, 2)
    monkeypatch.setattr("models.training.samples.MEMORY_BYTES", 0)
    for _ in range(2):  # written, then mapped
        batch = sampler(sets, cache=tmp_path if cached else None).batch(3, 2)
        assert torch.equal(batch[0], expected[0]) and torch.equal(batch[1], expected[1])
    assert len(list(tmp_path.glob("*.npy"))) == (4 if cached else 0)


def test_official_layouts(tmp_path: Path) -> None:
    """GOPRO_Large: train only. DVD: without the test sequences, JPEG."""
    image = np.full((32, 32, 3), 90, np.uint8)
    for split in ("train", "test"):
        for side in ("blur", "sharp"):
            for frame in (1, 2, 10):
                write_image(tmp_path / "GOPRO_Large" / split / "GOPR1" / side / f"{frame}.png", image)
    for sequence in ("IMG_0001", "IMG_0030"):
        for side in ("input", "GT"):
            write_image(tmp_path / "DVD" / "quantitative_datasets" / sequence / side / "00000.png", image)
            write_image(tmp_path / "DVD" / "quantitative_datasets" / sequence / side / "00001.png", image)
    sets = load_pairs([tmp_path / "GOPRO_Large", tmp_path / "DVD"])
    keys = [pair.key for pair in sets.train + sets.validation]
    assert keys == ["0:GOPR1/1", "0:GOPR1/2", "0:GOPR1/10", "1:IMG_0001/00000", "1:IMG_0001/00001"]
    (tmp_path / "GOPRO_Large" / "train" / "GOPR1" / "sharp" / "2.png").unlink()
    with pytest.raises(ValueError, match=r"2\.png has no sharp image"):
        load_pairs([tmp_path / "GOPRO_Large"])


@pytest.mark.parametrize(("track", "suffix"), [("train_blur", "png"), ("train_blur_jpeg", "jpg")])
def test_reds_trains_on_its_training_half_alone(tmp_path: Path, track: str, suffix: str) -> None:
    image = np.full((32, 32, 3), 90, np.uint8)
    for split in ("train", "val"):
        for clip in ("000", "001"):
            blur = track.replace("train", split)
            write_image(tmp_path / "REDS" / split / blur / clip / f"00000000.{suffix}", image)
            write_image(tmp_path / "REDS" / split / f"{split}_sharp" / clip / "00000000.png", image)
    sets = load_pairs([tmp_path / "REDS"])
    pairs = sets.train + sets.validation
    assert [pair.key for pair in sets.train] == ["001/00000000"]
    assert [pair.key for pair in sets.validation] == ["000/00000000"]  # REDS4, which the benchmark scores
    assert all("/train/" in pair.blur.as_posix() and pair.sharp.suffix == ".png" for pair in pairs)
    assert {pair.response for pair in pairs} == {"srgb"}


def test_colour_changes() -> None:
    """Brightness and contrast by hand; hue keeps the sum of the channels; both sides and all frames alike."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0.4, 0.6, (2, 8, 8, 3)).astype(np.float32)
    blur, sharp = augmented(image, image, Augmentation(brightness=0.2, contrast=0.2, hue=0.05), rng)
    np.testing.assert_array_equal(blur, sharp)
    np.testing.assert_allclose(
        _recoloured(image, 0.9, 1.1, 1.0, 0.0), (image * 0.9 - 0.5) * 1.1 + 0.5, rtol=1e-5, atol=1e-6
    )
    turned = _recoloured(image, 1.0, 1.0, 1.0, 1 / 3)  # a third of the circle: R to G to B
    np.testing.assert_allclose(turned, np.roll(image, 1, axis=-1), atol=1e-5)
    grey = _recoloured(image, 1.0, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(grey[..., 0], image @ np.array([0.299, 0.587, 0.114]), atol=1e-5)


def test_noise_degradation_and_sharpening() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((1, 64, 64, 3), 0.5, np.float32)
    blur, sharp = augmented(flat, flat, Augmentation(noise=0.01), rng)
    assert float((blur - flat).std()) == pytest.approx(0.01, rel=0.05) and np.array_equal(sharp, flat)
    step = flat.copy()
    step[:, :, 32:] = 0.9
    degraded, target = augmented(flat, step, Augmentation(degrade="real-esrgan", from_sharp=True, sharpen=True), rng)
    assert abs(float(degraded[0, :, 40:].mean() - degraded[0, :, :24].mean()) - 0.4) < 0.15  # made from the sharp side
    assert float(target[0, 20, 33, 0]) > 0.9 and float(target[0, 20, 30, 0]) < 0.5  # the edge is steeper
    np.testing.assert_array_equal(augmented(flat, flat, Augmentation(sharpen=True), rng)[1], flat)


def test_folders_of_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "with, comma").mkdir()
    assert folder_list(["a,b", "c", str(tmp_path / "with, comma")]) == (
        Path("a"),
        Path("b"),
        Path("c"),
        tmp_path / "with, comma",
    )
    assert folder_list(None) == ()
