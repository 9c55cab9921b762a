"""The doctor on made-up data sets that are broken in one way each, on weights, metrics and the machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmark import data_checks, doctor, run
from benchmark.data_checks import Finding, displacement, fail, jpeg_steps, luma_of, ok, perceptual_hash, warn
from benchmark.methods import expand_methods
from benchmark.metrics import METRICS
from benchmark.plan import RunConfig, decided
from benchmark.testsets import TESTSETS
from core.files import sha256_of
from core.image_files import decode_jpeg, encode_jpeg, read_image, write_image
from core.random_streams import stream
from core.weights_files import set_weights_dir
from tests.benchmark.metric_data import write_weights

HEIGHT, WIDTH, FRAMES, STEP_PX = 256, 384, 6, 3
SEQUENCES = ("GOPR9001_11_00", "GOPR9002_11_00")


def scene(name: str) -> np.ndarray:
    """Large flat shapes and fine grain, wider than a frame. Shape: [H, W + 200, 3] float in [0, 1]."""
    rng = stream(3, "doctor", name)
    picture = np.full((HEIGHT, WIDTH + 200, 3), 0.4)
    for _ in range(90):
        top, left = int(rng.integers(HEIGHT)), int(rng.integers(WIDTH + 200))
        height, width = int(rng.integers(6, 60)), int(rng.integers(4, 30))
        picture[top : top + height, left : left + width] = rng.uniform(0.02, 0.98, 3)
    grain = rng.standard_normal(picture.shape) * 0.02
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.7) + grain, 0, 1)


def pair(picture: np.ndarray, frame: int) -> dict[str, np.ndarray]:
    """blur, blur_gamma and sharp of a camera that moves to the right. Shape of each: [H, W, 3] uint8."""
    views = [picture[:, 20 + 12 * frame + STEP_PX * k :][:, :WIDTH] for k in range(-3, 4)]
    made = {
        "blur": np.mean(views, axis=0),
        "blur_gamma": np.mean([view**2.2 for view in views], axis=0) ** (1 / 2.2),
        "sharp": views[3],
    }
    return {kind: np.rint(image * 255).astype(np.uint8) for kind, image in made.items()}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GOPRO_Large/test with two sequences of six pairs."""
    folder = tmp_path_factory.mktemp("healthy") / "GOPRO_Large"
    for sequence in SEQUENCES:
        picture = scene(sequence)
        for frame in range(FRAMES):
            for kind, image in pair(picture, frame).items():
                write_image(folder / "test" / sequence / kind / f"{frame + 1:06d}.png", image)
    return folder


@pytest.fixture
def copy(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "GOPRO_Large"))


def levels(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: finding.level for finding in findings}


def sentences(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: finding.sentence for finding in findings}


def examine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """The findings, with the size of the made-up set in place of GoPro's."""
    entry = replace(TESTSETS["gopro"], sizes=((HEIGHT, WIDTH),))
    monkeypatch.setitem(TESTSETS, "gopro", entry)
    return list(data_checks.examine_set("gopro", folder))


def change(folder: Path, kind: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in sorted(folder.glob(f"test/*/{kind}/*.png")):
        write_image(path, edit(read_image(path)))


def test_a_healthy_set(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = levels(examine(healthy, monkeypatch))
    assert found.pop("gopro: complete") == "fail"  # two sequences are not the eleven of GoPro
    assert list(found) == [
        f"gopro: {check}"
        for check in ("sizes", "JPEG artefacts", "blurred and sharp", "alignment", "blur", "blur_gamma")
    ]
    assert set(found.values()) == {"ok"}


def test_a_missing_frame_is_counted(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.testsets import gopro

    monkeypatch.setattr(gopro, "TEST_LENGTHS", dict.fromkeys(SEQUENCES, FRAMES))
    assert levels(examine(copy, monkeypatch))["gopro: complete"] == "ok"
    (copy / "test" / SEQUENCES[0] / "sharp" / "000003.png").unlink()
    sentence = sentences(found := examine(copy, monkeypatch))["gopro: complete"]
    assert "000003 without a sharp image" in sentence
    assert "more" in sentence
    assert levels(found)["gopro: complete"] == "fail"


def test_linear_and_gamma_folders_exchanged(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence in SEQUENCES:
        home = copy / "test" / sequence
        (home / "blur").rename(home / "other")
        (home / "blur_gamma").rename(home / "blur")
        (home / "other").rename(home / "blur_gamma")
    found = examine(copy, monkeypatch)
    assert (levels(found)["gopro: blur"], levels(found)["gopro: blur_gamma"]) == ("fail", "fail")
    assert "this is a mean under gamma 2.2" in sentences(found)["gopro: blur"]
    assert "this is a plain mean of the frames" in sentences(found)["gopro: blur_gamma"]


def test_a_set_without_blur_cannot_be_told(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in copy.glob("test/*/sharp/*.png"):
        shutil.copyfile(path, path.parent.parent / "blur" / path.name)
    assert levels(examine(copy, monkeypatch))["gopro: blur"] == "warn"


def test_blurred_and_sharp_exchanged(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence in SEQUENCES:
        home = copy / "test" / sequence
        (home / "blur").rename(home / "other")
        (home / "sharp").rename(home / "blur")
        (home / "other").rename(home / "sharp")
    found = examine(copy, monkeypatch)
    assert levels(found)["gopro: blurred and sharp"] == "fail"
    assert "swapped" in sentences(found)["gopro: blurred and sharp"]


def test_displaced_images(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(copy, "sharp", lambda image: np.roll(image, (9, 2), axis=(0, 1)))
    found = examine(copy, monkeypatch)
    assert levels(found)["gopro: alignment"] == "fail"
    assert "by 2 px right, 9 px down" in sentences(found)["gopro: alignment"]


def test_pairs_shifted_by_a_frame(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence in SEQUENCES:
        home = copy / "test" / sequence / "sharp"
        images = [read_image(home / f"{frame:06d}.png") for frame in range(1, FRAMES + 1)]
        for frame in range(2, FRAMES + 1):
            write_image(home / f"{frame:06d}.png", images[frame - 2])
    found = examine(copy, monkeypatch)
    assert levels(found)["gopro: alignment"] == "fail"
    assert "fit the sharp one after theirs" in sentences(found)["gopro: alignment"]


def test_pairs_of_different_pictures(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (copy / "test" / sequence for sequence in SEQUENCES)
    (first / "sharp").rename(copy / "kept")
    (second / "sharp").rename(first / "sharp")
    (copy / "kept").rename(second / "sharp")
    found = examine(copy, monkeypatch)
    assert levels(found)["gopro: alignment"] == "fail"
    assert "show different things" in sentences(found)["gopro: alignment"]


@pytest.mark.parametrize("quality", [75, 90])
def test_jpeg_inside_png(quality: int, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(copy, "sharp", lambda image: decode_jpeg(encode_jpeg(image, quality)))
    found = examine(copy, monkeypatch)
    assert levels(found)["gopro: JPEG artefacts"] == "fail"
    assert "sharp/000001.png" in sentences(found)["gopro: JPEG artefacts"]


def test_sizes(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy / "test" / SEQUENCES[1] / "sharp" / "000002.png"
    image = read_image(path)
    write_image(path, image[:-1])
    found = examine(copy, monkeypatch)
    assert levels(found)["gopro: sizes"] == "fail"
    assert "384 x 256 px and its sharp image 384 x 255 px" in sentences(found)["gopro: sizes"]
    change(copy, "*", lambda image: image[:200])
    assert "images of 384 x 200 px, 384 x 256 px expected" in sentences(examine(copy, monkeypatch))["gopro: sizes"]
    path.write_bytes(b"no image")
    found = examine(copy, monkeypatch)
    assert (levels(found)["gopro: sizes"], levels(found)["gopro: images"]) == ("fail", "fail")
    assert str(path) in sentences(found)["gopro: sizes"]


def test_leaks(healthy: Path, tmp_path: Path) -> None:
    """A training pair that is a re-compressed neighbour of a test image is found; other pictures are not."""
    from tests.models.training.training_data import make_pairs

    make_pairs(tmp_path / "pairs", count=2)
    for index, image in enumerate((np.rint(scene("elsewhere")[:, 40 : 40 + WIDTH] * 255).astype(np.uint8), None)):
        if image is None:
            leaked = read_image(healthy / "test" / SEQUENCES[1] / "sharp" / "000004.png")
            image = decode_jpeg(encode_jpeg(np.roll(leaked, 1, axis=1), 85))
        write_image(tmp_path / "pairs" / "sharp" / f"00{index}.png", image)
    manifest = tmp_path / "pairs" / "pairs.jsonl"
    sets = [("gopro", healthy)]
    (found,) = data_checks.leaks([tmp_path / "pairs"], sets)
    assert (found.level, found.check) == ("fail", "gopro: leaks")
    assert f"{SEQUENCES[1]}/000004 = 001" in found.sentence
    assert "= 000" not in found.sentence
    manifest.write_text(manifest.read_text(encoding="utf-8").partition("\n")[0] + "\n", encoding="utf-8")
    assert [finding.level for finding in data_checks.leaks([tmp_path / "pairs"], sets)] == ["ok"]
    (found,) = data_checks.leaks([tmp_path / "nothing"], sets)
    assert (found.level, "no training pairs there yet" in found.sentence) == ("ok", True)


def weights_of(config: RunConfig) -> list[Finding]:
    return list(doctor.weights(decided(config, only_check=True)))


def test_weights_belong_to_the_network(tmp_path: Path) -> None:
    from models.zoo import MODELS

    torch.save(MODELS["mimo-unet-test"].build().state_dict(), tmp_path / "right.pth")
    torch.save({"other": torch.zeros(3)}, tmp_path / "wrong.pth")
    config = RunConfig(
        methods=expand_methods(["mimo-unet-test"]), weights=(("mimo-unet-test", tmp_path / "right.pth"),)
    )
    assert [finding.level for finding in weights_of(config)] == ["ok"]
    (found,) = weights_of(replace(config, weights=(("mimo-unet-test", tmp_path / "wrong.pth"),)))
    assert (found.level, "wrong.pth" in found.sentence) == ("fail", True)
    (found,) = weights_of(replace(config, weights=()))
    assert (found.level, "trained first" in found.sentence) == ("ok", True)
    (tmp_path / "GFPGANv1.4.pth").write_bytes(b"half of it")
    (found,) = weights_of(replace(config, methods=expand_methods(["gfpgan"]), weights=(), weights_dir=tmp_path))
    assert (found.level, "is not the published" in found.sentence) == ("fail", True)


def test_metrics_reproduce_the_stored_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_weights_dir(tmp_path)
    free = [name for name, metric in METRICS.items() if metric.missing() is None]
    assert {"psnr", "ssim-gauss-valid", "ssim-cw", "ms-ssim", "ssim-matlab-3d"} <= set(free)
    found = list(doctor.metrics())
    assert found[-1].level == "ok"
    assert all(name in found[-1].sentence for name in free)
    assert {finding.level for finding in found[:-1]} == {"warn"}  # those without weights here
    monkeypatch.setitem(doctor.STORED, "psnr", (doctor.STORED["psnr"][0] + 1e-3, ""))
    assert levels(doctor.metrics())["metric psnr"] == "fail"
    set_weights_dir(None)


def test_lpips_reproduces_the_value_of_its_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(tmp_path)
    set_weights_dir(tmp_path)
    name = "lpips-squeeze"
    try:
        found = {finding.check: finding for finding in doctor.metrics()}
        assert "no value is stored" in found[f"metric {name}"].sentence, "random weights are no published file"
        assert name not in found["metrics"].sentence
        restored, sharp = (torch.from_numpy(image).float() / 255 for image in doctor.reference_pair())
        value = METRICS[name].fn(restored, sharp)
        digest = sha256_of(next(tmp_path.rglob("squeezenet1_1*.pth")))
        for moved, level in ((0.0, "ok"), (5e-5, "ok"), (2e-4, "fail")):
            monkeypatch.setitem(doctor.STORED, name, (value + moved, digest))
            found = {finding.check: finding for finding in doctor.metrics()}
            assert (found[f"metric {name}"].level == "fail") if level == "fail" else (name in found["metrics"].sentence)
    finally:
        set_weights_dir(None)


def test_reference_pair_is_the_same_everywhere() -> None:
    restored, sharp = doctor.reference_pair()
    assert (restored.dtype, restored.shape) == (np.uint8, (3, 192, 256))
    assert (int(restored.sum()), int(sharp.sum())) == (13155628, 13218985)


def test_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, healthy: Path) -> None:
    config = RunConfig(methods=expand_methods(["identity"]), out=tmp_path / "not" / "there")
    assert doctor.disk(config, {"gopro": healthy}).level in ("ok", "fail")
    full = shutil._ntuple_diskusage(10**12, 10**12, 1000)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    assert doctor.disk(config, {"gopro": healthy}).level == "fail"
    assert doctor.memory().level in ("ok", "warn", "fail")


def test_report_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.report([ok("a", "fine"), warn("b", "a\n remark")]) == 0
    assert capsys.readouterr().out == "ok    a: fine\nwarn  b: a remark\ncheck: 1 ok, 1 with a remark, 0 failed\n"
    assert doctor.report([fail("c", "broken")]) == 1


def test_from_the_command_line(healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--check", "--testsets", "gopro", "--data-root", str(healthy.parent), "--pairs", str(tmp_path)]
    assert run.main([*words, "--weights-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fail  gopro: complete: ")
    assert any(line.startswith("ok    gopro: blur: a plain mean") for line in lines)
    assert any(line.startswith("ok    metrics: ") for line in lines)
    assert lines[-1].startswith("check: ")
    assert not (tmp_path / "out").exists()
    assert run.main(["--out", str(tmp_path / "out")]) == 2
    assert "--methods names no method" in capsys.readouterr().err


def test_untouched_pixels_show_no_jpeg() -> None:
    assert jpeg_steps(luma_of(pair(scene("plain"), 1)["sharp"])) == {}
    flat = np.full((64, 64, 3), 90, dtype=np.uint8)
    assert jpeg_steps(luma_of(flat)) == {}
    assert perceptual_hash(flat) is None
    assert displacement(*[luma_of(flat)] * 2) == (1.0, 0, 0)
