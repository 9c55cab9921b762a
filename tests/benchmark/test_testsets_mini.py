"""The rendered mini sets: official layout, true blur, only test photographs, the same bytes however they are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmark.protocols import PROTOCOLS
from benchmark.testsets import TESTSETS, dvd, gopro, kohler, lai, mini, render_missing, sets_at_hand
from benchmark.testsets.base import MARKER, TestSet
from core.camera_response import response
from core.files import write_bytes
from core.image_files import image_size, read_image
from synth.scenes import PHOTOGRAPHS

SEED = 4
MINIS = sets_at_hand(None)
QUICK = ("gopro", "lai-uniform", "lai-nonuniform", "lai-real")  # rendered more than once here
EXPECTED = {  # images, size of each, references of each
    "gopro": (8, (192, 320), 1),  # of two of its eight sequences
    "kohler": (8, (192, 192), 199),
    "dvd": (100, (128, 224), 1),
    "lai-uniform": (16, (192, 256), 1),
    "lai-nonuniform": (16, (192, 256), 1),
    "lai-real": (8, (288, 384), 0),
}


EVERY_SEQUENCE = gopro.MINI_SCENES  # of which two are rendered here: each depends on nothing but itself


@dataclass(frozen=True)
class Minis:
    root: Path

    def open(self, name: str, protocol: str = "") -> TestSet:
        folder = TESTSETS[name].find(self.root)
        assert folder is not None
        return TESTSETS[name].open(folder, PROTOCOLS[protocol or TESTSETS[name].protocols[0]], True)


@pytest.fixture(scope="module")
def minis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minis]:
    root = tmp_path_factory.mktemp("minis")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gopro, "MINI_SCENES", EVERY_SEQUENCE[:2])
        render_missing(root, MINIS, SEED, 2)
        yield Minis(root)


def psnr(one: np.ndarray, two: np.ndarray) -> float:
    return float(10 * np.log10(1 / np.mean((one.astype(np.float64) - two) ** 2)))


def image(path: Path) -> np.ndarray:
    return read_image(path).astype(np.float32) / 255


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_sequence_of_gopro_can_be_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gopro, "MINI_SCENES", EVERY_SEQUENCE)
    scenes = gopro.mini_scenes(SEED)
    assert [scene.name for scene in scenes] == [f"GOPR{9001 + number}_11_00" for number in range(8)]
    for scene in scenes:
        frame = scene.frame_lin(0)
        assert frame.shape == (192, 320, 3) and frame.min() >= 0 and frame.max() <= 1 and frame.std() > 0.01


def test_only_test_photographs_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gopro, "MINI_SCENES", EVERY_SEQUENCE)
    scenes = [
        *gopro.mini_scenes(0),
        *kohler.mini_scenes(0).values(),
        dvd.mini_scene(0),
        *(lai.sharp_scene(name) for name in lai.SHARP),
        *lai.real_scenes(0),
    ]
    used = {name for scene in scenes for name in scene.photographs if name}
    assert used <= set(PHOTOGRAPHS["test"])


@pytest.mark.parametrize("name", MINIS)
def test_mini_sets_are_read_back_and_labelled(name: str, minis: Minis) -> None:
    testset = minis.open(name)
    assert testset.simulated
    assert testset.title == f"{TESTSETS[name].title} (mini, simulated)"
    folder = TESTSETS[name].find(minis.root)
    assert folder is not None
    assert TESTSETS[name].problems(folder) == []
    # The label does not depend on who opens the set: a mini set given as a real one stays simulated.
    assert TESTSETS[name].open(folder, testset.protocol, False).simulated
    samples = [sample for clip in testset.clips() for sample in clip.samples]
    count, size, references = EXPECTED[name]
    assert len(samples) == count
    for sample in samples:
        assert len(sample.references) == references
        assert {image_size(path) for path in (sample.blur, *sample.references)} == {size}


@pytest.mark.parametrize("name", MINIS)
def test_a_finished_mini_set_is_verified_and_not_rewritten(name: str, minis: Minis) -> None:
    before = {path: path.stat().st_mtime_ns for path in minis.root.rglob("*") if path.is_file()}
    render_missing(minis.root, [name], SEED, 1)
    assert {path: path.stat().st_mtime_ns for path in minis.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", QUICK)
def test_one_worker_writes_the_same_bytes(
    name: str, minis: Minis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gopro, "MINI_SCENES", EVERY_SEQUENCE[:1])
    render_missing(tmp_path, [name], SEED, 1)
    rendered = files(tmp_path)
    if name == "gopro":
        del rendered[f"GOPRO_Large/{MARKER}"]  # it names the sequences
    assert len(rendered) > 4
    everything = files(minis.root)
    assert {path: everything[path] for path in rendered} == rendered


@pytest.mark.filterwarnings("ignore:.*tasks:UserWarning")  # joblib counts what the interruption threw away
def test_an_interrupted_rendering_is_noticed_and_redone(
    minis: Minis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, written = TESTSETS["lai-uniform"], []

    def write_some(path: Path, data: bytes) -> str:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path)
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(mini, "write_bytes", write_some)
        with pytest.raises(KeyboardInterrupt):
            render_missing(tmp_path, ["lai-uniform"], SEED, 2)
    folder = entry.find(tmp_path)
    assert folder is not None
    assert "interrupted" in entry.problems(folder)[0]
    render_missing(tmp_path, ["lai-uniform"], SEED, 1)
    assert entry.problems(folder) == []
    everything = files(minis.root)
    assert files(tmp_path) == {path: everything[path] for path in files(tmp_path)}


def test_a_damaged_file_and_another_seed_are_rendered_again(tmp_path: Path) -> None:
    name = "lai-nonuniform"
    render_missing(tmp_path, [name], SEED, 1)
    first = files(tmp_path)
    damaged = tmp_path / "Lai/synthetic_dataset/nonuniform/manmade_01_gyro_01.png"
    damaged.write_bytes(b"damaged")
    render_missing(tmp_path, [name], SEED, 1)
    assert files(tmp_path) == first
    render_missing(tmp_path, [name], SEED + 1, 1)
    second = files(tmp_path)
    marker = f"Lai/synthetic_dataset/nonuniform/{MARKER}"
    assert json.loads(second[marker])["seed"] == SEED + 1
    name = "Lai/synthetic_dataset/ground_truth/manmade_01.png"
    assert second[name] == first[name]
    changed = [path for path in first if second[path] != first[path]]
    assert len(changed) == 17  # sixteen blurred images and the marker


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "GOPRO_Large/test/GOPR0384_11_00/sharp/000001.png"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(ValueError, match="not a rendered mini set"):
        render_missing(tmp_path, ["gopro"], SEED, 1)
    assert precious.exists()
    with pytest.raises(ValueError, match="unknown test set nothing"):
        render_missing(tmp_path, ["nothing"], SEED, 1)
    with pytest.raises(ValueError, match="REDS has no rendered stand-in"):
        render_missing(tmp_path, ["reds"], SEED, 1)


def test_gopro_blur_is_the_mean_that_its_folder_says(minis: Minis) -> None:
    scene = gopro.mini_scenes(SEED)[0]
    first = 11 * 16  # the second window
    frames = np.stack(
        [response("srgb").to_encoded(scene.frame_lin(index)) for index in range(first, first + 161)]
    ).astype(np.float64)
    truth = {
        "gopro-linear": np.trapezoid(frames, axis=0) / 160,
        "gopro-gamma": (np.trapezoid(frames**2.2, axis=0) / 160) ** (1 / 2.2),
    }
    for protocol, expected in truth.items():
        sample = minis.open("gopro", protocol).clips()[0].samples[1]
        assert sample.key == "GOPR9001_11_00/000002"
        assert np.abs(image(sample.blur) - expected).max() < 0.51 / 255 + 1e-4
    assert np.abs(image(sample.references[0]) - frames[80]).max() < 0.51 / 255 + 1e-4
    assert psnr(truth["gopro-linear"], truth["gopro-gamma"]) < 45  # two different tasks


def test_kohler_blur_is_the_mean_of_its_trajectory(minis: Minis) -> None:
    sample = minis.open("kohler").clips()[-1].samples[0]
    assert sample.key == "Blurry8_4"
    frames_lin = np.stack([response("srgb").to_linear(read_image(path)) for path in sample.references])
    mean = response("srgb").to_encoded(np.trapezoid(frames_lin, axis=0) / (len(frames_lin) - 1))
    blur = image(sample.blur)
    gain = float((blur * mean).sum() / (mean * mean).sum())
    assert gain == pytest.approx(kohler.MINI_GAIN, abs=0.003)
    assert psnr(blur, gain * mean) > 45
    assert psnr(blur, image(sample.references[99])) < 30


def test_dvd_is_a_video_with_blur_that_comes_and_goes(minis: Minis) -> None:
    (clip,) = minis.open("dvd", "dvd-su30").clips()
    assert len(clip.scored) == 30
    losses = [psnr(image(sample.blur), image(sample.references[0])) for sample in clip.samples]
    assert 15 < min(losses) < 25 < 30 < max(losses) < 45


@pytest.mark.parametrize("name", ["lai-uniform", "lai-nonuniform"])
def test_lai_ground_truth_lies_within_the_blur(name: str, minis: Minis) -> None:
    for clip in minis.open(name).clips():
        (sample,) = clip.samples
        blur, sharp = image(sample.blur), image(sample.references[0])
        inner = (slice(16, -16), slice(16, -16))
        shifts = [(y, x) for y in (-8, -4, 0, 4, 8) for x in (-8, -4, 0, 4, 8)]
        best = max(shifts, key=lambda shift: psnr(np.roll(blur, shift, (0, 1))[inner], sharp[inner]))
        assert max(abs(best[0]), abs(best[1])) <= 4
        assert 12 < psnr(blur, sharp) < 35


@pytest.mark.parametrize("number", lai.KERNEL_EXTENTS_PX)
def test_lai_kernels(number: int, minis: Minis) -> None:
    kernel = lai.shake_kernel(number, SEED)
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert 11 <= kernel.shape[0] <= 29
    assert kernel.sum() == pytest.approx(1.0, abs=1e-5)
    assert kernel.min() >= 0
    stored = image(minis.root / f"Lai/synthetic_dataset/kernel/kernel_{number:02d}.png")[..., 0]
    np.testing.assert_allclose(stored, kernel / kernel.max(), atol=0.51 / 255)
