"""The networks' own tasks: layouts of the official sets, what a method is given, what is scored, and the stand-ins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark import restoring
from benchmark.evaluation import score_image
from benchmark.methods import method_called
from benchmark.metrics import METRICS, identity
from benchmark.metrics.images import studio_luma
from benchmark.protocols import PROTOCOLS
from benchmark.restoring import restore_clips
from benchmark.testsets import TESTSETS, sets_at_hand
from benchmark.testsets.base import Sample
from core import bicubic
from core.image_files import read_image, write_image

LEVIN = Path(__file__).resolve().parents[3] / "shared" / "data" / "levin"
NEW = ("reds4", "reds-val-300", "bsd", "levin", "restoration", "vid4", "set5", "set14", "bsd100", "urban100",
       "blind-sr", "faces")  # fmt: skip


def picture(seed: int, height: int = 48, width: int = 56) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1))).astype(np.uint8)[
        :height, :width
    ]


def write(path: Path, seed: int, height: int = 48, width: int = 56) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, picture(seed, height, width))


def clips(name: str, protocol: str, root: Path) -> tuple:
    entry = TESTSETS[name]
    folder = entry.find(root)
    assert folder is not None
    return entry.open(folder, PROTOCOLS[protocol], False).clips()


def test_they_take_part_where_they_are_asked_for_or_there(tmp_path: Path) -> None:
    assert not set(NEW) & set(sets_at_hand(None))
    assert all(TESTSETS[name].by_name and TESTSETS[name].render_mini for name in NEW)
    write(tmp_path / "Set5" / "HR" / "baby.png", 0)
    assert "set5" in sets_at_hand(tmp_path) and "set14" not in sets_at_hand(tmp_path)
    offered = {protocol for name in NEW for protocol in TESTSETS[name].protocols}
    assert offered == {
        "reds4-deblur", "reds4-bix4", "vid4-bi", "vid4-bd", "set5-x4", "set14-x4", "bsd100-x4", "urban100-x4",
        "blind-sr", "faces", "bsd", "reds-val-300", "levin", "restoration-1200",
    }  # fmt: skip


def test_set5_with_and_without_low_resolution_images(tmp_path: Path) -> None:
    write(tmp_path / "Set5" / "HR" / "bird.png", 1, 50, 57)
    (clip,) = clips("set5", "set5-x4", tmp_path)
    given = restoring.input_of(clip.samples[0])
    assert given.shape == (3, 12, 14)  # 48 x 56 of 50 x 57 px
    sharp = read_image(tmp_path / "Set5" / "HR" / "bird.png")[:48, :56] / np.float32(255)
    assert np.array_equal(np.moveaxis(given.numpy(), 0, -1), bicubic.reduced(sharp, 4))
    write(tmp_path / "Set5" / "LRbicx4" / "birdx4.png", 2, 12, 14)
    (clip,) = clips("set5", "set5-x4", tmp_path)
    assert clip.samples[0].made == "" and clip.samples[0].blur.name == "birdx4.png"
    assert TESTSETS["set5"].problems(tmp_path / "Set5") == [f"{tmp_path / 'Set5'}: 1 sharp images, 5 expected"]


def test_urban100_as_one_folder_of_marked_names(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / "Urban100" / f"img_00{number}_SRF_4_HR.png", number)
        write(tmp_path / "Urban100" / f"img_00{number}_SRF_4_LR.png", number, 12, 14)
    found = clips("urban100", "urban100-x4", tmp_path)
    assert [clip.samples[0].key for clip in found] == ["img_001_SRF_4", "img_002_SRF_4"]
    assert found[0].samples[0].blur.name == "img_001_SRF_4_LR.png"


def test_reds4_of_the_training_half_and_vid4(tmp_path: Path) -> None:
    for name in ("000", "001", "011"):
        for frame in range(3):
            for home in ("train_sharp", "train_blur"):
                write(tmp_path / "REDS" / "train" / home / name / f"{frame:08d}.png", frame)
    found = clips("reds4", "reds4-deblur", tmp_path)
    assert [clip.name for clip in found] == ["000", "011"] and len(found[0].samples) == 3
    small = clips("reds4", "reds4-bix4", tmp_path)
    assert small[0].samples[0].made == "bicubic"
    for frame in range(3):
        write(tmp_path / "Vid4" / "GT" / "city" / f"{frame:04d}.png", frame)
        write(tmp_path / "Vid4" / "BIx4" / "city" / f"{frame:04d}.png", frame, 12, 14)
    assert clips("vid4", "vid4-bi", tmp_path)[0].samples[0].made == ""
    assert clips("vid4", "vid4-bd", tmp_path)[0].samples[0].made == "gaussian"


def test_the_gaussian_reduction_by_hand() -> None:
    image = np.zeros((40, 40, 3))
    image[20, 20] = 1
    small = bicubic.sampled_after_gaussian(image, 4)
    taps = np.exp(-0.5 * (np.arange(-6, 7) / 1.6) ** 2)
    taps /= taps.sum()
    assert small.shape == (10, 10, 3)
    assert small[5, 5, 0] == pytest.approx(taps[6] ** 2, abs=1 / 510)
    assert small[5, 6, 0] == pytest.approx(taps[6] * taps[10], abs=1 / 510)


def test_y_of_bt601() -> None:
    """MATLAB's rgb2ycbcr: black 16, white 235, red 81.481 of 255."""
    colours = np.array([[[0.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]]])
    assert studio_luma(colours)[0] * 255 == pytest.approx([16.0, 235.0, 81.481], abs=1e-3)


def test_x4_scores_by_hand() -> None:
    """A sharp image that is 3 px larger is cut to the restored one; 4 px of border go; Y counts."""
    sharp = torch.zeros(3, 43, 41)
    restored = torch.full((3, 40, 40), 5 / 255)
    restored[:, :4] = 1.0  # in the border
    values = score_image(restored, [sharp], PROTOCOLS["set5-x4"], ["psnr"])
    error = 5 / 255 * (65.481 + 128.553 + 24.966) / 255
    assert values["psnr"] == pytest.approx(-20 * np.log10(error), abs=1e-4)
    with pytest.raises(ValueError, match="must have one size"):
        score_image(restored, [torch.zeros(3, 44, 41)], PROTOCOLS["set5-x4"], ["psnr"])


def test_a_method_of_the_inputs_size_restores_the_enlarged_image(tmp_path: Path) -> None:
    write(tmp_path / "Set5" / "HR" / "bird.png", 1)
    found = clips("set5", "set5-x4", tmp_path)
    method = method_called("identity")
    assert method is not None and method.notes(4)[1] == ["bicubically enlarged first"]  # type: ignore[union-attr]
    record = restore_clips(
        method.open("cpu", 4),
        found,
        tmp_path / "out",
        tmp_path / "record.json",
        "identity",
        lambda count: None,
        4,  # type: ignore[union-attr]
    )
    assert not record.failed
    image = read_image(tmp_path / "out" / "bird.png")
    small = np.moveaxis(restoring.input_of(found[0].samples[0]).numpy(), 0, -1)
    assert np.array_equal(image, np.round(np.clip(bicubic.resized(small, 4), 0, 1) * 255).astype(np.uint8))
    x4 = method_called("esrgan-x4")
    assert x4 is not None and x4.notes(4)[1] == [] and x4.notes(1)[1] == ["x4, area-reduced"]  # type: ignore[union-attr]


def test_bsd_reds_300_and_restoration(tmp_path: Path) -> None:
    for side in ("Blur", "Sharp"):
        write(tmp_path / "BSD" / "BSD_2ms16ms" / "test" / "007" / side / "RGB" / "00000000.png", 1)
    (clip,) = clips("bsd", "bsd", tmp_path)
    assert clip.samples[0].key == "BSD_2ms16ms/007/00000000"
    for frame in (8, 9):
        write(tmp_path / "REDS" / "val" / "val_blur_jpeg" / "000" / f"{frame:08d}.jpg", frame)
        write(tmp_path / "REDS" / "val" / "val_sharp" / "000" / f"{frame:08d}.png", frame)
    (clip,) = clips("reds-val-300", "reds-val-300", tmp_path)
    assert len(clip.samples) == 2 and clip.scored == {"000/00000009"}


def test_identity_is_an_angle() -> None:
    try:
        identity.use(lambda image: image.mean(dim=(1, 2)))
        one, two = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
        one[0], two[0], two[1] = 1.0, 1.0, 1.0
        assert METRICS["identity"].fn(one, two) == pytest.approx(45.0)
        assert METRICS["identity"].fn(one, one) == pytest.approx(0.0, abs=1e-3)
        identity.use(None, "identity needs a file")
        assert METRICS["identity"].missing() == "identity needs a file"
    finally:
        identity.use(None, "not handed over")


@pytest.mark.parametrize("name", NEW)
def test_the_stand_in_is_in_the_sets_own_layout(name: str, tmp_path: Path) -> None:
    entry = TESTSETS[name]
    assert entry.render_mini is not None
    entry.render_mini(tmp_path, 0, 1)
    folder = entry.find(tmp_path)
    assert folder is not None and entry.problems(folder) == []
    for protocol in entry.protocols:
        testset = entry.open(folder, PROTOCOLS[protocol], True)
        assert testset.simulated and "(mini, simulated)" in testset.title
        found = testset.clips()
        assert sum(len(clip.scored) for clip in found) >= 4
        sample = found[0].samples[0]
        given, scale = restoring.input_of(sample), PROTOCOLS[protocol].scale
        if not sample.references:
            continue
        sharp = restoring.input_of(
            Sample(key="", blur=sample.references[0], references=(), made=sample.made and "grey")
        )
        assert (scale * given.shape[1], scale * given.shape[2]) == tuple(sharp.shape[1:])
        again = restoring.enlarged(given, scale) if scale > 1 else given
        value = score_image(again, [sharp], PROTOCOLS[protocol], ["psnr"])["psnr"]
        assert 15 < value < 45, protocol


@pytest.mark.skipif(not LEVIN.is_dir(), reason="Levin's images are not at hand")
def test_levins_own_images() -> None:
    found = clips("levin", "levin", LEVIN.parent)
    assert len(found) == 32 and TESTSETS["levin"].problems(LEVIN) == []
    keys = {clip.samples[0].key for clip in found}
    assert keys == {f"im{image}_kernel{kernel}" for image in range(1, 5) for kernel in range(1, 9)}
