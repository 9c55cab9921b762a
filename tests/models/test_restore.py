"""restore.py on images, folders and videos of the user's own, and on what is none of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from core.image_files import IMAGE_SUFFIXES, read_image, write_image
from core.video import every_frame, open_source
from models import restore
from models.training import checkpoint
from models.zoo import MODELS
from tests.synth.clips import write_video


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(MODELS["stfan-test"].build().state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def image(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_identity_of_an_image_is_bit_exact(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", image(0))
    assert restore.main(["--model", "identity", str(tmp_path / "a.png"), str(tmp_path / "out" / "b.png")]) == 0
    assert np.array_equal(read_image(tmp_path / "out" / "b.png"), image(0))


def test_grey_deep_and_transparent_images_stay_so(
    tmp_path: Path, upscaler: list[str], weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = image(0).astype(np.uint16) * 257 - 3
    saved = {"grey": image(0)[..., 0], "deep": deep, "clear": np.dstack([image(0), image(1)[..., 0]])}
    (tmp_path / "in").mkdir()
    for name, values in saved.items():
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), values)
    stfan = ["--model", "stfan-test", "--weights", str(weights), "--device", "cpu"]  # its frames are those of a clip
    for number, method in enumerate((["--model", "identity"], upscaler, stfan)):
        assert restore.main([*method, str(tmp_path / "in"), str(tmp_path / str(number))]) == 0
        assert "restored 3 images" in capsys.readouterr().err
        for name, values in saved.items():
            found = cv2.imread(str(tmp_path / str(number) / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            assert found.dtype == values.dtype and found.shape[2:] == values.shape[2:]
            assert number > 0 or np.array_equal(found, values)
    assert restore.main(["--model", "identity", str(tmp_path / "in" / "clear.png"), str(tmp_path / "a.jpg")]) == 2
    assert "the image is transparent in places" in capsys.readouterr().err


def test_a_blurred_image_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", image(0))
    assert restore.main(["--model", "identity", str(tmp_path / "a.png"), str(tmp_path)]) == 2
    assert "input and output are one file" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can make a folder")
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", image(0))
    assert restore.main(["--model", "identity", str(tmp_path / "a.png"), "/proc/none/b.png"]) == 1
    assert capsys.readouterr().err == "restore.py: /proc/none: No such file or directory\n"


def test_an_interruption_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(restore, "restore_path", interrupted)
    assert restore.main(["--model", "identity", "a.png", "b.png"]) == 130
    assert capsys.readouterr().err == "restore.py: interrupted; the images written so far are complete\n"


def test_fast_takes_the_faster_kept_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", image(0))
    for number, options in enumerate((["--fast"], ["--model", restore.FAST], [])):
        target = tmp_path / f"{number}.png"
        assert restore.main([*options, "--device", "cpu", str(tmp_path / "a.png"), str(target)]) == 0
    fast, named, usual = (read_image(tmp_path / f"{number}.png") for number in range(3))
    assert np.array_equal(fast, named) and not np.array_equal(fast, usual)
    capsys.readouterr()
    assert restore.main(["--fast", "--model", "identity", str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 2
    assert "--model" in capsys.readouterr().err and not (tmp_path / "b.png").exists()


def test_folder_as_clip_and_as_stills(tmp_path: Path, weights: Path) -> None:
    for number in (2, 10, 1):
        write_image(tmp_path / "in" / f"{number}.png", image(number))
    common = ["--model", "stfan-test", "--weights", str(weights), "--device", "cpu"]
    assert restore.main([*common, str(tmp_path / "in"), str(tmp_path / "clip")]) == 0
    assert restore.main([*common, "--stills", str(tmp_path / "in"), str(tmp_path / "stills")]) == 0
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == ["1.png", "10.png", "2.png"]
    same = [
        np.array_equal(read_image(tmp_path / "clip" / f"{n}.png"), read_image(tmp_path / "stills" / f"{n}.png"))
        for n in (1, 2, 10)
    ]
    assert same == [True, False, False]  # the first frame of a clip is a still; later ones know the past


def test_video_keeps_its_length_size_and_rate(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(5):
            smooth = np.tile(np.linspace(10 * number, 200, 64, dtype=np.uint8)[None, :, None], (48, 1, 3))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(smooth, format="rgb24")))
        container.mux(stream.encode())
    assert restore.main(["--model", "identity", str(source), str(tmp_path / "out.mp4")]) == 0
    before, after = (open_source(path) for path in (source, tmp_path / "out.mp4"))
    assert (after.height, after.width, after.fps) == (48, 64, 24.0)
    frames = zip(before.frames(every_frame, []), after.frames(every_frame, []), strict=True)
    assert all(np.abs(a.astype(int) - b.astype(int)).max() <= 6 for a, b in frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]  # no half-written file stays


@pytest.fixture
def upscaler(tmp_path: Path) -> list[str]:
    torch.manual_seed(0)
    torch.save(MODELS["srvggnet-test"].build().state_dict(), tmp_path / "upscaler.pth")
    return ["--model", "srvggnet-test", "--weights", str(tmp_path / "upscaler.pth"), "--device", "cpu"]


def test_super_resolution_writes_its_native_size(tmp_path: Path, upscaler: list[str]) -> None:
    write_image(tmp_path / "a.png", image(0))
    assert restore.main([*upscaler, str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 0
    assert read_image(tmp_path / "b.png").shape == (160, 200, 3)
    write_video(tmp_path / "in.mp4", [image(number) for number in range(3)], fps=24)
    assert restore.main([*upscaler, str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4")]) == 0
    video = open_source(tmp_path / "out.mp4")
    assert (video.height, video.width, video.fps) == (160, 200, 24.0)
    assert len(list(video.frames(every_frame, []))) == 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        # By the size of another network's frames players might guess another matrix than for the source: it is named.
        assert (next(container.decode(video=0)).colorspace, container.streams.video[0].width) == (5, 200)


def test_tiles_and_their_difference(tmp_path: Path, upscaler: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", image(0, 140, 200))
    command = [*upscaler, "--tile", "128", "--compare-tiles", "--switches", "truncate"]
    assert restore.main([*command, str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 0
    printed = capsys.readouterr()
    assert "tiles of 128 px" in printed.err
    assert "tiled" in printed.out and "(1 images)" in printed.out
    assert restore.main([*upscaler, "--tile", "none", str(tmp_path / "a.png"), str(tmp_path / "whole.png")]) == 0
    assert read_image(tmp_path / "b.png").shape == read_image(tmp_path / "whole.png").shape == (560, 800, 3)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--switches", "truncate,train-mode"], "srvggnet-test has no switch train-mode; it knows truncate"),
        (["--switches", "half"], "half precision is for a GPU and the device is cpu"),
        (["--tile", "large"], "--tile is auto, none or a number of pixels, got 'large'"),
        (["--tile", "10"], "a number of pixels from 128 up, got 10"),
        (["--tile", "none", "--compare-tiles"], "--compare-tiles needs tiles"),
    ],
)
def test_switches_and_tiles_that_do_not_suit(
    tmp_path: Path, upscaler: list[str], more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png", image(0))
    assert restore.main([*upscaler, *more, str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "b.png").exists()


def test_a_bad_image_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "in" / "good.png", image(1))
    (tmp_path / "in" / "bad.png").write_bytes(b"nothing")
    assert restore.main(["--model", "identity", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert (tmp_path / "out" / "good.png").is_file()
    printed = capsys.readouterr().err
    assert "bad.png" in printed and "restored 1 image\n" in printed


def test_a_clip_ends_at_a_bad_frame(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_image(tmp_path / "in" / f"{number}.png", image(number))
    data = (tmp_path / "in" / "1.png").read_bytes()
    (tmp_path / "in" / "1.png").write_bytes(data[: len(data) // 2])  # a good header, half of the pixels
    command = ["--model", "stfan-test", "--weights", str(weights), str(tmp_path / "in"), str(tmp_path / "out")]
    assert restore.main(command) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]
    error = capsys.readouterr().err
    assert "1.png" in error and "1 of 3 frames are restored" in error and error.count("\n") == 1


def test_images_that_would_overwrite_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "a.jpg"):
        write_image(tmp_path / "in" / name, image(0))
    assert restore.main(["--model", "identity", str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    assert "differ only in their suffix" in capsys.readouterr().err


def test_the_newest_finished_training_is_taken(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    state = MODELS["mimo-unet-test"].build().state_dict()
    for name, finished in (("old", True), ("new", True), ("unfinished", False)):
        folder = tmp_path / "checkpoints" / "mimo-unet-test" / name
        folder.mkdir(parents=True)
        (folder / checkpoint.WEIGHTS).write_bytes(checkpoint.pack(state))
        os.utime(folder / checkpoint.WEIGHTS, ns=(len(name), {"old": 1, "new": 2, "unfinished": 3}[name] * 10**9))
        meta = {"model": "mimo-unet-test", "recipe": "mimo-unet", "profile": "quick", "finished": finished, "steps": 7}
        meta |= {"steps_done": 7, "pairs": 6, "feature_net": "", "seed": 3, "switches": []}
        meta |= {"weights_sha256": "", "configuration": {}}
        (folder / checkpoint.META).write_text(json.dumps(meta))
    monkeypatch.setattr(restore, "DEFAULT_OUT", tmp_path / "checkpoints")
    monkeypatch.setenv("DEBLUR_BENCH_WEIGHTS", str(tmp_path / "weights"))
    assert restore.choose_weights("mimo-unet-test", None).parent.name == "new"
    assert "quick, 7 steps" in capsys.readouterr().err
    with pytest.raises(ValueError, match="there are no weights for mimo-unet: name a file with --weights"):
        restore.choose_weights("mimo-unet", None)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "MIMO-UNet.pkl").write_bytes(b"x")
    assert restore.choose_weights("mimo-unet", None) == tmp_path / "weights" / "MIMO-UNet.pkl"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "nafnat", "a.png", "b.png"], "no method is called 'nafnat'"),
        (["--model", "identity", "none.png", "b.png"], "no such image, folder or video"),
        (["--model", "identity", "a.png", "b.gif"], "an image is written as"),
        (["--model", "identity", "a.tif", "b.png"], "a.tif: the file is not an image"),
        (["--model", "identity", "a.txt", "b.png"], "the input is .png, .jpg, .jpeg, .tif"),
        (["--model", "spynet", "a.png", "b.png"], "spynet is a part of other networks"),
        (["--model", "identity", "a.mp4", "b.mp4"], "not a video that can be decoded"),
        (["--model", "mimo-unet-test", "--weights", "net.pth", "a.png", "b.png"], "checkpoint of another network"),
        (["--model", "mimo-unet-test", "--weights", "none.pth", "a.png", "b.png"], "none.pth does not exist"),
    ],
)
def test_bad_input(
    arguments: list[str], sentence: str, tmp_path: Path, weights: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", image(0))
    for name in ("a.mp4", "a.tif", "a.txt"):
        (tmp_path / name).write_text("this is text")
    assert restore.main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "b.png").exists() and not (tmp_path / "b.mp4").exists()


def test_a_folder_of_everything_people_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file that is left out is named with its reason, and the others are restored."""
    folder = tmp_path / "in"
    folder.mkdir()
    colour = PilImage.fromarray(image(0))
    colour.save(folder / "colour.jpg", quality=95)
    colour.convert("L").save(folder / "grey.jpg")
    colour.convert("CMYK").save(folder / "print.jpg")
    colour.save(folder / "turned.webp", lossless=True, exif=turned_by(6))
    colour.save(folder / "scan.tif")
    colour.save(folder / "old.bmp")
    (folder / "broken.png").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("x")
    (folder / "clip.mp4").write_bytes(b"x")
    assert restore.main(["--model", "identity", str(folder), str(tmp_path / "out")]) == 1
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["colour.png", "grey.png", "old.png", "scan.png", "turned.png"]
    assert np.array_equal(read_image(tmp_path / "out" / "scan.png"), image(0))
    assert np.array_equal(read_image(tmp_path / "out" / "turned.png"), np.rot90(image(0), -1))
    printed = capsys.readouterr().err
    for words in (
        "clip.mp4, notes.txt",
        "restored 5 images",
        "print.jpg: an RGB or grey image is needed, this one is CMYK",
    ):
        assert words in printed
    assert "broken.png: the file is not an image that can be read" in printed


def turned_by(orientation: int) -> bytes:
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_a_clip_goes_on_without_a_file_that_is_no_image(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        write_image(tmp_path / "in" / f"{number}.png", image(number))
    (tmp_path / "in" / "2.png").write_bytes(b"nothing")
    common = ["--model", "stfan-test", "--weights", str(weights), "--device", "cpu"]
    assert restore.main([*common, str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "3.png"]
    assert "2.png: the file is not an image that can be read" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_announced_format_of_images(tmp_path: Path, suffix: str) -> None:
    smooth = cv2.resize(image(3, 5, 6), (96, 80), interpolation=cv2.INTER_CUBIC)
    write_image(tmp_path / "a.png", smooth)
    assert restore.main(["--model", "identity", str(tmp_path / "a.png"), str(tmp_path / f"b{suffix}")]) == 0
    assert restore.main(["--model", "identity", str(tmp_path / f"b{suffix}"), str(tmp_path / "c.png")]) == 0
    assert np.abs(read_image(tmp_path / "c.png").astype(int) - smooth).mean() < 4
