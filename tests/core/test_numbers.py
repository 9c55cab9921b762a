"""Numbers on the command line that nobody means, pipes, and images larger than their files: one sentence."""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark import cost, score
from benchmark import run as benchmark_run
from benchmark.preference import fit, serve
from core import image_files
from core.camera_response import response
from core.command_line import Failure, Parser, run, shown
from core.image_files import read_header, read_image, read_picture
from models import train
from synth import make_pairs

Command = Callable[[Path, str], int]
FLOATS: dict[str, Command] = {
    "fps": lambda out, number: make_pairs.main(["--video", "a.mp4", "--fps", number, "--out", str(out)]),
    "duty": lambda out, number: make_pairs.main(["--duty", number, "--out", str(out)]),
    "row delay": lambda out, number: make_pairs.main(["--row-delay", number, "--out", str(out)]),
    "extent": lambda out, number: make_pairs.main(["photos", str(out), "--extent", f"2,{number}", "--out", str(out)]),
    "foreground": lambda out, number: make_pairs.main(["photos", "x", "--foreground", number, "--out", str(out)]),
    "mix": lambda out, number: train.main(["--model", "mimo-unet-test", "--pairs", str(out), "--mix", number]),
    "prior": lambda out, number: fit.main(["--votes", str(out), "--prior", number]),
    "seconds": lambda out, number: serve.main(["--images", str(out), "--least-seconds", number]),
}
COUNTS: dict[str, Command] = {
    "seed": lambda out, number: make_pairs.main(["--seed", number, "--out", str(out)]),
    "workers": lambda out, number: make_pairs.main(["--workers", number, "--out", str(out)]),
    "blurs": lambda out, number: make_pairs.main(["photos", "x", "--blurs", number, "--out", str(out)]),
    "window": lambda out, number: make_pairs.main(["--window", number, "--out", str(out)]),
    "stride": lambda out, number: make_pairs.main(["--stride", number, "--out", str(out)]),
    "steps": lambda out, number: train.main(["--model", "mimo-unet-test", "--pairs", str(out), "--steps", number]),
    "batch": lambda out, number: train.main(["--model", "mimo-unet-test", "--pairs", str(out), "--batch", number]),
    "threads": lambda out, number: train.main(["--model", "mimo-unet-test", "--threads", number]),
    "limit": lambda out, number: benchmark_run.main(["--methods", "identity", "--limit", number, "--out", str(out)]),
    "height": lambda out, number: cost.main(["--methods", "identity", "--height", number]),
    "score": lambda out, number: score.main([str(out), str(out), "--protocol", "pairs", "--workers", number]),
}


@pytest.mark.parametrize("flag", FLOATS)
@pytest.mark.parametrize("number", ["1e300", "inf", "nan", "1e-300", "1e20", "-inf", "1e999", "9" * 400])
def test_numbers_with_a_fraction(tmp_path: Path, flag: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    one_sentence(FLOATS[flag], tmp_path, number, capsys)


@pytest.mark.parametrize("flag", COUNTS)
@pytest.mark.parametrize("number", ["100000000000000000000", "1e20", "inf", "1.5", "9" * 5000, "-1" * 30])
def test_whole_numbers(tmp_path: Path, flag: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    one_sentence(COUNTS[flag], tmp_path, number, capsys)


def one_sentence(command: Command, tmp_path: Path, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert command(tmp_path / "out", number) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and len(err) < 6000 and not (tmp_path / "out").exists(), err
    assert time.monotonic() - started < 20


def test_numbers_that_people_mean(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="x")
    parser.add_argument("--share", type=float)
    parser.add_argument("--seed", type=int)
    for share in ("0", "-1.5", "1e-6", "29.97", "0.00025"):
        assert parser.parse_args(["--share", share]).share == float(share)
    assert parser.parse_args(["--seed", str(2**62)]).seed == 2**62
    assert [shown(number) for number in (12, 10**30, 10**400)] == ["12", "1e+30", "one of 401 digits"]


def test_what_opencv_says_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: object) -> int:
        cv2.remap(np.zeros((1, 40_000), np.uint8), np.zeros((1, 40_000, 2), np.float32), None, cv2.INTER_LINEAR)
        raise Failure("OpenCV took it")

    assert run(Parser(prog="x"), work, []) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("x: OpenCV")


def test_pipes_and_devices_as_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/zero")):
        for read in (read_header, read_image, read_picture):
            with pytest.raises(ValueError, match="this is a pipe or a device"):
                read(path)
        with pytest.raises(ValueError, match=r"srgb|pipe"):
            response(str(path))
    os.mkfifo(tmp_path / "votes.csv")
    assert fit.main(["--votes", str(tmp_path / "votes.csv")]) == 2
    assert "a pipe or a device" in capsys.readouterr().err
    (tmp_path / "good.csv").write_text("1,A,B,1\n1,A,B,2\n")
    assert fit.main(["--votes", str(tmp_path / "good.csv"), "--names", "/dev/zero"]) == 2
    assert "a pipe or a device" in capsys.readouterr().err


def forged(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes that says it is larger."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(3 * 64 + 1)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    return path


def test_images_that_say_more_than_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = forged(tmp_path / "a.png", 30_000, 30_000)
    assert (read_header(path).width, read_header(path).height) == (30_000, 30_000)
    for read in (read_image, read_picture):
        with pytest.raises(ValueError, match=r"it says 30000 x 30000 px and has \d+ bytes, too few"):
            read(path)
    large = np.zeros((5000, 5000, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "b.png"), large)
    assert read_image(tmp_path / "b.png").shape == large.shape
    monkeypatch.setattr(image_files, "memory_free", lambda: 100_000_000)
    with pytest.raises(ValueError, match=r"5000 x 5000 px take 0\.3 GB of memory to read, and 0\.1 GB are free"):
        read_image(tmp_path / "b.png")


def test_a_cost_that_no_memory_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cost.main(["--methods", "identity", "--height", "60000", "--width", "60000"]) == 2
    assert "px takes 130 GB at least" in capsys.readouterr().err


def test_frames_beyond_opencvs_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("0", "1", "2"):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), np.zeros((16, 33_000, 3), np.uint8))
    words = ["--video", str(tmp_path / "in"), "--fps", "240", "--window", "3", "--out", str(tmp_path / "out")]
    assert make_pairs.main([*words, "--workers", "1"]) == 2
    assert "33000 x 16 px; a side has 32767 px at most" in capsys.readouterr().err
    assert make_pairs.main(["photos", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert "a side has 32767 px at most" in capsys.readouterr().err
