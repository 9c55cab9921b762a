"""`python benchmark/score.py`: files, folders, layouts, and what happens when something does not fit."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.evaluation import score_files
from benchmark.matching import match
from benchmark.protocols import PROTOCOLS, su30_indices
from benchmark.score import main
from core.image_files import write_image
from core.weights_files import set_weights_dir
from tests.benchmark.metric_data import noisy, texture, write_niqe_model

ROOT = Path(__file__).resolve().parents[2]
LINEAR = PROTOCOLS["gopro-linear"]


@pytest.fixture(autouse=True)
def no_weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DEBLUR_BENCH_WEIGHTS", str(tmp_path_factory.mktemp("empty")))
    yield
    set_weights_dir(None)


@pytest.fixture()
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three pairs in two sequences, suffixes of their own; b/2 is perfect."""
    restored, sharp = tmp_path / "restored", tmp_path / "sharp images"
    for index, key in enumerate(("a/1", "a/10", "b/2")):
        image = texture(key, 40, 48)
        write_image(sharp / f"{key}.png", image)
        write_image(restored / f"{key}.png", image if key == "b/2" else noisy(image, 3 + index))
    return restored, sharp


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main([str(word) for word in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_two_folders_as_json(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys, *folders, "--protocol", "gopro-linear", "--metrics", "psnr", "--metrics", "ssim-gauss-valid", "--json"
    )
    report = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert code == 0
    assert (report["protocol"], report["count"]) == ("gopro-linear", 3)
    assert list(report["images"]) == ["a/1", "a/10", "b/2"]
    for key, values in report["images"].items():
        paths = [folder / f"{key}.png" for folder in folders]
        expected = score_files(paths[0], [paths[1]], LINEAR, ["psnr", "ssim-gauss-valid"])
        assert {name: float(value) for name, value in values.items()} == expected
    assert report["images"]["b/2"]["psnr"] == "inf"
    assert report["metrics"]["psnr"] == "inf"
    similarities = [values["ssim-gauss-valid"] for values in report["images"].values()]
    assert report["metrics"]["ssim-gauss-valid"] == pytest.approx(np.mean(similarities), abs=1e-12)
    assert report["missing"] == report["failed"] == {}
    assert report["unmatched"] == {"restored": [], "sharp": []}
    assert "scored 3 of 3 images" in err


def test_same_result_for_any_number_of_workers(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    outputs = {
        run(
            capsys,
            *folders,
            "--protocol",
            "dvd-all",
            "--metrics",
            "psnr,ssim-wang-downsampled",
            "--json",
            "--workers",
            n,
        )[1]
        for n in (1, 2, 4)
    }
    assert len(outputs) == 1


def test_two_files_as_a_table(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    files = [folder / "a" / "1.png" for folder in folders]
    code, out, err = run(capsys, *files, "--protocol", "gopro-linear")
    expected = score_files(files[0], [files[1]], LINEAR, ["psnr", "ssim-gauss-valid"])
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["gopro-linear", "psnr", "ssim-gauss-valid"]
    assert lines[1].split() == ["1", f"{expected['psnr']:.4f}", f"{expected['ssim-gauss-valid']:.4f}"]
    assert lines[2].split()[:3] == ["mean", "of", "1"]
    assert "alexnet-owt-7be5be79.pth" in err  # the protocol's LPIPS is left out and says why


def test_missing_weights(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = (*folders, "--protocol", "gopro-linear", "--metrics", "lpips-squeeze,psnr", "--json")
    code, out, _ = run(capsys, *arguments)
    report = json.loads(out)
    assert code == 0
    assert list(report["metrics"]) == ["psnr"]
    assert "squeezenet1_1-b8a52dc0.pth" in report["missing"]["lpips-squeeze"]
    code, out, _ = run(capsys, *folders, "--protocol", "gopro-linear", "--metrics", "lpips-squeeze", "--json")
    assert (code, json.loads(out)["metrics"], json.loads(out)["count"]) == (0, {}, 0)


def test_weights_dir_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    write_niqe_model(weights)
    image = tmp_path / "real.png"
    write_image(image, texture("real", 200, 200))
    code, out, _ = run(capsys, image, "--protocol", "lai-real", "--weights-dir", weights, "--json")
    assert code == 0
    assert json.loads(out)["metrics"]["niqe"] > 0


def test_unmatched_and_damaged_images_are_named(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    restored, sharp = folders
    arguments = (restored, sharp, "--protocol", "gopro-linear", "--metrics", "psnr", "--json")
    write_image(sharp / "c" / "5.png", texture("c", 40, 48))
    code, out, err = run(capsys, *arguments)
    assert code == 0  # an incomplete set is a warning
    assert json.loads(out)["unmatched"] == {"restored": [], "sharp": ["c/5"]}
    assert "c/5" in err

    write_image(restored / "d.png", texture("d", 40, 48))
    code, out, err = run(capsys, *arguments)
    assert code == 1
    assert json.loads(out)["unmatched"]["restored"] == ["d"]
    assert json.loads(out)["count"] == 3

    (restored / "d.png").unlink()
    data = (restored / "a" / "1.png").read_bytes()
    (restored / "a" / "1.png").write_bytes(data[: len(data) // 2])
    write_image(restored / "a" / "10.png", texture("size", 40, 50))
    code, out, err = run(capsys, *arguments)
    report = json.loads(out)
    assert code == 1
    assert list(report["images"]) == ["b/2"]
    assert set(report["failed"]) == {"a/1", "a/10"}
    assert "1.png" in report["failed"]["a/1"]
    assert "50 x 40 and 48 x 40 px" in report["failed"]["a/10"]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["{restored}", "{sharp}/nowhere", "--protocol", "gopro-linear"], "nowhere does not exist"),
        (["{restored}", "--protocol", "gopro-linear"], "second argument"),
        (["{restored}/a/1.png", "{sharp}", "--protocol", "gopro-linear"], "two files or two folders"),
        (["{restored}", "{sharp}", "--protocol", "gopro-linear", "--metrics", "psrn"], "unknown metric 'psrn'"),
        (["{restored}", "--protocol", "lai-real", "--metrics", "psnr"], "has no sharp images"),
        (["{restored}", "{sharp}", "--protocol", "kohler"], "no image in"),
        (["{restored}/a", "{sharp}/b", "--protocol", "dvd-all"], "for example 1 beside 2"),
        (["{restored}", "{sharp}", "--protocol", "dvd-su30"], "a has 2 sharp frames"),
        (["{restored}", "{sharp}", "--protocol", "gopro-linear", "--weights-dir", "{sharp}/no"], "does not exist"),
        (["{restored}", "{sharp}", "--protocol", "gopro-linear", "--workers", "0"], "from 1 up"),
    ],
)
def test_bad_arguments(
    argv: list[str], words: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(restored=folders[0], sharp=folders[1]) for word in argv]
    code, out, err = run(capsys, *filled)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_unknown_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a", "b", "--protocol", "gopro"]) == 2
    error = capsys.readouterr().err
    assert "gopro-linear" in error and error.endswith("did you mean gopro-gamma?\n") and error.count("\n") == 1


def test_two_files_of_one_key(folders: tuple[Path, Path]) -> None:
    restored, sharp = folders
    shutil.copy(restored / "a" / "1.png", restored / "a" / "1.jpg")
    with pytest.raises(ValueError, match="would both be the image a/1"):
        match(restored, sharp, LINEAR)


def test_official_layouts(tmp_path: Path) -> None:
    for path in ("s1/sharp/1.png", "s1/blur/1.png", "s1/blur_gamma/1.png", "s2/sharp/1.png", "s2/blur/1.png"):
        write_image(tmp_path / "GoPro" / path, texture("x", 12, 12))
    for path in ("s1/1.png", "s2/1.png"):
        write_image(tmp_path / "ours" / path, texture("x", 12, 12))
    matching = match(tmp_path / "ours", tmp_path / "GoPro", LINEAR)
    assert [(item.key, item.references) for item in matching.items] == [
        (f"{name}/1", (tmp_path / "GoPro" / name / "sharp" / "1.png",)) for name in ("s1", "s2")
    ]
    assert matching.without_restored == matching.without_sharp == ()


@pytest.mark.parametrize("flag", [(), ("--one-based",)])
def test_su30_takes_thirty_frames(flag: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = texture("su30", 12, 12)
    for index in range(100):
        write_image(tmp_path / "sharp" / "clip" / "GT" / f"{index:05d}.jpg", image)
    indices = [index - len(flag) for index in su30_indices()]
    for index in indices[1:]:
        write_image(tmp_path / "restored" / "clip" / f"{index:05d}.png", image)
    code, out, _ = run(
        capsys,
        tmp_path / "restored",
        tmp_path / "sharp",
        "--protocol",
        "dvd-su30",
        "--metrics",
        "psnr",
        "--json",
        *flag,
    )
    report = json.loads(out)
    assert code == 0
    assert list(report["images"]) == [f"clip/{index:05d}" for index in indices[1:]]
    assert report["unmatched"]["sharp"] == [f"clip/{indices[0]:05d}"]


def test_lai_names(tmp_path: Path) -> None:
    image = texture("lai", 12, 12)
    for name in ("manmade_01", "manmade_0", "text_05"):
        write_image(tmp_path / "sharp" / f"{name}.png", image)
    for name in ("manmade_01_kernel_01", "manmade_01_gyro_02", "text_05", "people_01_kernel_01"):
        write_image(tmp_path / "restored" / f"{name}.png", image)
    matching = match(tmp_path / "restored", tmp_path / "sharp", PROTOCOLS["lai-synthetic"])
    assert {item.key: item.references[0].stem for item in matching.items} == {
        "manmade_01_gyro_02": "manmade_01",
        "manmade_01_kernel_01": "manmade_01",
        "text_05": "text_05",
    }
    assert matching.without_sharp == ("people_01_kernel_01",)
    assert matching.without_restored == ("manmade_0",)


def test_kohler_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The official layout with a missing frame and a missing result; names of other people's results."""
    root, restored = tmp_path / "Kohler", tmp_path / "ours"
    for image, kernel in ((1, 1), (1, 2), (2, 11)):
        base = texture(f"{image} {kernel}", 24, 24)
        for frame in (1, 2, 3, 10):
            path = root / f"Image{image}" / f"Kernel{kernel}" / f"GroundTruth{image}_{kernel}_{frame}.png"
            write_image(path, noisy(base, 2 * frame, str(frame)))
        (root / f"Image{image}" / f"Kernel{kernel}" / "notes.txt").write_text("not an image")
    write_image(restored / "mimo2_11.png", noisy(texture("2 11", 24, 24), 5))
    write_image(restored / "Blurry1_1.png", noisy(texture("1 1", 24, 24), 5))
    code, out, err = run(capsys, restored, root, "--protocol", "kohler", "--json")
    report = json.loads(out)
    assert code == 0
    assert list(report["images"]) == ["Blurry1_1", "Blurry2_11"]
    assert report["unmatched"]["sharp"] == ["Image1/Kernel2"]
    frames = [root / "Image2" / "Kernel11" / f"GroundTruth2_11_{frame}.png" for frame in (1, 2, 3, 10)]
    expected = score_files(restored / "mimo2_11.png", frames, PROTOCOLS["kohler"], ["psnr"])
    assert report["images"]["Blurry2_11"] == expected
    assert report["missing"] == {"ms-ssim": "ms-ssim needs images of at least 161 px a side, these have 24 px"}

    one_file = (restored / "mimo2_11.png", "--protocol", "kohler", "--json")
    for sharp, key in ((root, "Blurry2_11"), (frames[0].parent, "mimo2_11")):
        _, out, _ = run(capsys, one_file[0], sharp, *one_file[1:])
        assert json.loads(out)["images"] == {key: expected}
    _, out, _ = run(capsys, one_file[0], frames[0], *one_file[1:])
    assert json.loads(out)["metrics"]["psnr"] <= expected["psnr"]
    code, _, err = run(capsys, restored, frames[0], "--protocol", "kohler")
    assert (code, "is one frame" in err) == (2, True)

    write_image(restored / "other1_1.png", texture("1 1", 24, 24))
    code, _, err = run(capsys, restored, root, "--protocol", "kohler")
    assert (code, "would both be the image Blurry1_1" in err) == (2, True)


@pytest.mark.parametrize("image", [1, 2])
def test_kohler_frames_that_the_official_scorer_leaves_out(
    image: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frame 30 and what follows 198 do not count for image 1, kernel 3; elsewhere they do, up to 199."""
    home, restored = tmp_path / "Kohler" / f"Image{image}" / "Kernel3", tmp_path / f"Blurry{image}_3.png"
    sharp = texture("kohler", 24, 24)
    write_image(restored, sharp)
    for frame in (29, 30, 198, 199, 200):
        equal = frame in (30, 199, 200)
        write_image(home / f"GroundTruth{image}_3_{frame}.png", sharp if equal else noisy(sharp, 9, str(frame)))
    for truth in (tmp_path / "Kohler", home):
        _, out, _ = run(capsys, restored, truth, "--protocol", "kohler", "--metrics", "psnr", "--json")
        (values,) = json.loads(out)["images"].values()
        assert (values["psnr"] == "inf") == (image == 2)


def test_runs_from_anywhere_as_a_script(folders: tuple[Path, Path], tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmark" / "score.py"), *map(str, folders)]
    command += ["--protocol", "gopro-linear", "--metrics", "psnr,ssim-gauss-valid", "--json"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert math.isinf(float(json.loads(finished.stdout)["metrics"]["psnr"]))


def test_deep_and_grey_images_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four levels of 255 apart, whatever the depth: 20 log10(255 / 4) = 36.0896 dB."""
    sharp = np.full((24, 32, 3), 100, np.uint8)
    write_image(tmp_path / "sharp" / "a.png", sharp)
    write_image(tmp_path / "restored" / "a.png", (sharp + 4).astype(np.uint16) * 257)
    write_image(tmp_path / "sharp" / "b.png", sharp.astype(np.uint16) * 257)
    write_image(tmp_path / "restored" / "b.png", sharp + 4)
    for folder, value in (("sharp", 100), ("restored", 104)):
        cv2.imwrite(str(tmp_path / folder / "c.png"), np.full((24, 32), value, np.uint8))
        cv2.imwrite(str(tmp_path / folder / "d.png"), np.full((24, 32), value * 257, np.uint16))
    words = [str(tmp_path / "restored"), str(tmp_path / "sharp"), "--protocol", "gopro-linear", "--metrics", "psnr"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == {key: {"psnr": pytest.approx(36.0896, abs=1e-4)} for key in "abcd"}


def test_an_image_too_small_for_one_metric_loses_that_value_only(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    for name, side in (("small", 24), ("large", 192)):
        sharp = rng.integers(0, 200, (side, side, 3), dtype=np.uint8)
        write_image(tmp_path / "sharp" / f"{name}.png", sharp)
        write_image(tmp_path / "restored" / f"{name}.png", sharp + np.uint8(4))
    words = [str(tmp_path / "restored"), str(tmp_path / "sharp"), "--protocol", "gopro-linear"]
    assert main([*words, "--metrics", "psnr,ms-ssim", "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert set(report["images"]["large"]) == {"psnr", "ms-ssim"} and set(report["images"]["small"]) == {"psnr"}
    assert report["metrics"]["ms-ssim"] == report["images"]["large"]["ms-ssim"]
    assert report["metrics"]["psnr"] == pytest.approx(36.0896, abs=1e-4) and list(report["lost"]) == ["small"]
    assert "small: no ms-ssim: " in printed.err
    assert main([*words, "--metrics", "psnr,ms-ssim"]) == 0 and " -" in capsys.readouterr().out


def test_identical_images_are_named_beside_an_infinite_mean(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    for name, added in (("same", 0), ("other", 4)):
        sharp = rng.integers(0, 200, (24, 24, 3), dtype=np.uint8)
        write_image(tmp_path / "sharp" / f"{name}.png", sharp)
        write_image(tmp_path / "restored" / f"{name}.png", sharp + np.uint8(added))
    words = [str(tmp_path / "restored"), str(tmp_path / "sharp"), "--protocol", "gopro-linear", "--metrics", "psnr"]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["metrics"]["psnr"] == "inf"
    assert "same: identical to the sharp image, so the mean of psnr is infinite" in printed.err
