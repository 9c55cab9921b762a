"""Use from Python: arrays in, arrays and numbers out, the same as the commands give."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.image_files import read_image, write_image
from core.python_use import as_float, in_type_of
from core.random_streams import stream

NETWORK = "deblurgan-v2-mobilenet-dsc"  # its weights are kept
ROOT = Path(__file__).resolve().parents[1]


def picture(height: int = 60, width: int = 84) -> np.ndarray:
    return stream(0, "picture").integers(20, 236, (height, width, 3), dtype=np.uint8)


def test_importing_loads_nothing_heavy() -> None:
    code = "import models, benchmark, synth, sys; print({'torch', 'cv2', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


def test_restore_is_the_command(tmp_path: Path) -> None:
    from models import load, restore

    image = picture()
    write_image(tmp_path / "blurred.png", image)
    words = ["--model", NETWORK, str(tmp_path / "blurred.png"), str(tmp_path / "restored.png")]
    assert restore.main(words) == 0
    restored = restore(image, NETWORK)
    assert restored.dtype == np.uint8 and np.array_equal(restored, read_image(tmp_path / "restored.png"))
    assert not np.array_equal(restored, image)
    network = load(NETWORK)
    assert np.array_equal(network(image), restored)
    as_floats = network(image.astype(np.float32) / 255)
    assert as_floats.dtype == np.float32 and np.abs(as_floats * 255 - restored).max() <= 0.501
    assert np.abs(network(image.astype(np.uint16) * 257).astype(float) / 257 - restored).max() <= 0.501
    clip = np.stack([image, image[::-1]])
    assert np.array_equal(network(clip)[0], restored) and network(clip).shape == clip.shape
    assert list(inspect.signature(restore).parameters)[:3] == ["images", "model", "weights"]


def test_whatever_is_imported_first() -> None:
    """The module of the command and the function have one name: what is there can be called, and has the command."""
    import models.restore
    from models import restore

    assert restore is models.restore and callable(restore) and callable(restore.main)


def test_score_is_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmark import score

    sharp = picture()
    restored = sharp.copy()
    restored[10:20, 10:30] //= 2
    for name, image in (("sharp", sharp), ("restored", restored)):
        write_image(tmp_path / f"{name}.png", image)
    for protocol, metrics in (("gopro-linear", ["psnr", "ssim-gauss-valid"]), ("lai-synthetic", ["psnr"])):
        words = ["--protocol", protocol, "--metrics", ",".join(metrics), "--json"]
        assert score.main([str(tmp_path / "restored.png"), str(tmp_path / "sharp.png"), *words]) == 0
        expected = json.loads(capsys.readouterr().out)["metrics"]
        assert score(restored, sharp, protocol, metrics) == pytest.approx(expected, rel=1e-12)
    with pytest.warns(UserWarning, match="left out: lpips-alex needs the file"):
        assert set(score(restored, sharp)) == {"psnr", "ssim-gauss-valid"}
    trajectory = np.stack([np.roll(sharp, 1, axis=1), restored, sharp])
    assert score(restored, trajectory, "kohler", ["psnr"]) == {"psnr": float("inf")}  # the best frame
    large = np.tile(picture(), (4, 4, 1))
    assert score(large, protocol="lai-real")["niqe"] > 0
    for wrong, sentence in (
        ({"protocol": "gopro-linaer"}, "did you mean gopro-linear"),
        ({"metrics": ["psnrr"]}, "did you mean psnr"),
        ({"metrics": ["lpips-alex"]}, "lpips-alex needs the file"),
        ({"sharp": sharp[:20]}, "size|shape"),
        ({"sharp": sharp.astype(float)}, r"divide them by full scale"),
    ):
        with pytest.raises(ValueError, match=sentence):
            score(**{"restored": restored, "sharp": sharp, **wrong})


def test_blur_is_the_command(tmp_path: Path) -> None:
    from synth import blur, make_pairs
    from tests.synth.clips import moving_frames, write_frames

    frames = np.stack(moving_frames(5))
    folder = write_frames(tmp_path / "clip", list(frames))
    for words, settings in (
        (["--interp", "4x", "--interpolator", "crossfade"], {"factor": 4, "interpolator": "crossfade"}),
        (["--interp", "1x"], {"factor": 1, "profile": "mean"}),
        (["--interp", "4x", "--interpolator", "flow-fast", "--duty", "0.5"],
         {"factor": 4, "interpolator": "flow-fast", "duty": 0.5}),
    ):  # fmt: skip
        out = tmp_path / words[1] / str(len(words))
        asked = ["--video", folder, "--fps", 240, "--window", 5, "--workers", 1, "--out", out, *words]
        assert make_pairs.main([str(word) for word in asked]) == 0
        (made,) = out.rglob("*blur*.png") if not (out / "blur").is_dir() else (out / "blur").rglob("*.png")
        image = blur(frames, **settings)
        assert image.dtype == np.float32 and np.abs(np.rint(image * 255) - read_image(made)).max() <= 1


def test_blur_refuses_what_it_cannot_average() -> None:
    from synth import blur

    frames = np.stack([picture()] * 4)
    for wrong, sentence in (
        (frames, "odd number of captured frames"),
        (frames[:3].astype(np.float32), "uint8 RGB of shape"),
        (frames[0], "uint8 RGB of shape"),
        (np.stack([picture(), 255 - picture() // 3, np.zeros_like(picture())]), "scene cut between frames"),
    ):
        with pytest.raises(ValueError, match=sentence):
            blur(wrong, interpolator="crossfade")
    with pytest.raises(ValueError, match="did you mean"):
        blur(frames[:3], interpolator="flow-bets")


def test_arrays_at_the_boundary() -> None:
    for wrong, sentence in (
        (np.zeros((4, 5)), r"RGB of shape \[H, W, 3\] is needed, got \[4, 5\]"),
        (np.zeros((4, 5, 4)), "is needed"),
        (np.zeros((0, 5, 3)), "is needed"),
        (np.zeros((4, 5, 3), dtype=np.int32), "uint8, uint16 or floats"),
        (np.full((4, 5, 3), 1.5), r"these in \[1.5, 1.5\]"),
        (np.full((4, 5, 3), np.nan), "divide them"),
    ):
        with pytest.raises(ValueError, match=sentence):
            as_float(wrong, "image")
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(in_type_of(as_float(levels, "image"), levels), levels)
    deep = np.linspace(0, 65535, 3 * 64, dtype=np.uint16).reshape(8, 8, 3)
    assert np.array_equal(in_type_of(as_float(deep, "image"), deep), deep)
