"""Training sets in the layouts that the archives unpack to: small ones made here, with other names and counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core import bicubic
from core.image_files import write_image
from models import train
from models.training import checkpoint
from models.training.loop import TrainConfig, _Training, plan
from models.training.loop import train as run_training
from models.training.pair_sources import find_mix, layout_pairs, load_pairs, sharp_pairs, smallest_side
from synth.official_sets import REDS4, expanded

SIDE = 48


def picture(seed: int, side: int = SIDE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (-(-side // 8), -(-side // 8), 3))
    return np.kron(cells, np.ones((8, 8, 1))).astype(np.uint8)[:side, :side]


def write(path: Path, seed: int, side: int = SIDE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, picture(seed, side))


def gopro(root: Path, sequences: int = 10, frames: int = 3, inputs: tuple[str, ...] = ("blur", "blur_gamma")) -> Path:
    for number in range(sequences):
        home = root / "train" / f"GOPR{number:04d}_07_00"
        for frame in range(frames):
            for kind, name in enumerate((*inputs, "sharp")):
                write(home / name / f"{frame + 47:06d}.png", 100 * number + 10 * frame + kind)
    write(root / "test" / "GOPR0384_11_00" / "blur" / "000001.png", 1)
    write(root / "test" / "GOPR0384_11_00" / "sharp" / "000001.png", 2)
    return root


def config(model: str, recipe: str, out: Path, **changes: object) -> TrainConfig:
    fixed = {"steps": 2, "batch": 1, "device": "cpu", "threads": 1, "feature_net": "random", "from_scratch": True}
    return TrainConfig(model=model, recipe=recipe, profile="paper", out=out, **{**fixed, **changes})  # type: ignore[arg-type]


def test_all_pairs_of_gopro_train_unless_some_are_held_out(tmp_path: Path) -> None:
    root = gopro(tmp_path / "GOPRO_Large")
    whole = plan(config("mimo-unet-test", "mimo-unet", tmp_path, pairs=(root,)))
    assert len(whole.sets.train) == 30 and not whole.sets.validation
    assert whole.sets.held_out == "nothing (all pairs train)" and whole.configuration["pairs"] == 30
    some = plan(config("mimo-unet-test", "mimo-unet", tmp_path, pairs=(root,), hold_out="0.2"))
    held = sorted({pair.sequence for pair in some.sets.validation})
    assert held == ["GOPR0002_07_00", "GOPR0007_07_00"]  # two of ten, spread over the set
    assert len(some.sets.train) == 24 and not {pair.sequence for pair in some.sets.train} & set(held)
    named = load_pairs([root], hold_out="GOPR0001_07_00,GOPR0009_07_00")
    assert len(named.train) == 24 and {pair.sequence for pair in named.validation} == {
        "GOPR0001_07_00",
        "GOPR0009_07_00",
    }
    with pytest.raises(ValueError, match="--hold-out names the sequence 'GOPR1234', which is not there"):
        load_pairs([root], hold_out="GOPR1234")
    with pytest.raises(ValueError, match=r"a share between 0 and 1, names of sequences or none, got 1\.5"):
        load_pairs([root], hold_out="1.5")


def test_gopros_input_folder_is_asked_for_and_recorded(tmp_path: Path) -> None:
    root = gopro(tmp_path / "GOPRO_Large", sequences=2)
    usual = plan(config("mimo-unet-test", "mimo-unet", tmp_path, pairs=(root,)))
    gamma = plan(config("mimo-unet-test", "mimo-unet", tmp_path, pairs=(root,), gopro_input="blur_gamma"))
    assert {pair.blur.parent.name for pair in usual.sets.train} == {"blur"}
    assert {pair.blur.parent.name for pair in gamma.sets.train} == {"blur_gamma"}
    assert gamma.configuration["gopro_input"] == "blur_gamma" and "gopro_input" not in usual.configuration
    assert usual.folder != gamma.folder
    own = plan(config("deepdeblur-test", "deepdeblur", tmp_path, pairs=(root,)))  # its recipe's own
    assert {pair.blur.parent.name for pair in own.sets.train} == {"blur_gamma"}
    plain = gopro(tmp_path / "plain", sequences=1, inputs=("blur",))
    with pytest.raises(ValueError, match=r"has no folder blur_gamma \(of blur and blur_gamma: blur\)"):
        layout_pairs(plain, "", "blur_gamma")


def test_gopro_as_it_is_repacked_keeps_its_sequences(tmp_path: Path) -> None:
    for number in range(6):
        for side in ("input", "target"):
            write(tmp_path / "train" / side / f"GOPR{number // 2:04d}_11_00-{number:06d}.png", number)
    found = load_pairs([tmp_path], hold_out="0.34")
    assert {pair.sequence for pair in found.validation} == {"GOPR0001_11_00"} and len(found.train) == 4


def test_dvd_without_its_ten_test_sequences(tmp_path: Path) -> None:
    for name in ("IMG_0001", "IMG_0028", "IMG_0030", "720p_240fps_1"):
        for frame in range(2):
            for side in ("input", "GT"):
                write(tmp_path / "quantitative_datasets" / name / side / f"{frame:05d}.jpg", frame)
    found = load_pairs([tmp_path], hold_out="val")
    assert {pair.sequence for pair in found.train} == {"720p_240fps_1", "IMG_0001", "IMG_0028"}


def reds(root: Path, small: bool = False) -> Path:
    for clip in ("000", "001", "002", "011"):
        for frame in range(5):
            name = f"{clip}/{frame:08d}.png"
            write(root / "train" / "train_sharp" / name, frame)
            write(root / "train" / "train_blur" / name, frame + 50)
            if small:
                write(root / "train" / "train_sharp_bicubic" / "X4" / name, frame, SIDE // 4)
    return root


def test_reds4_never_trains(tmp_path: Path) -> None:
    root = reds(tmp_path)
    found = load_pairs([root], hold_out="val")
    assert {pair.sequence for pair in found.train} == {"001", "002"}
    assert {pair.sequence for pair in found.validation} == {"000", "011"} <= set(REDS4)
    assert "split val" in found.held_out
    everything = load_pairs([root], hold_out="none")
    assert {pair.sequence for pair in everything.train} == {"000", "001", "002", "011"}


def test_x4_video_networks_train_on_train_sharp_bicubic(tmp_path: Path) -> None:
    root = reds(tmp_path / "REDS", small=True)
    chosen = config("basicvsr-x4-test", "basicvsr", tmp_path, pairs=(root,), crop_px=32)
    training = _Training(plan(chosen))
    ((small, sharp),) = training.sampler.parts(0, 1)
    assert small.shape[-2:] == (8, 8) and sharp.shape[-2:] == (32, 32)
    assert {pair.blur.parts[-3] for pair in training.plan.sets.train} == {"X4"}
    meta = run_training(chosen, resume=False).meta
    assert meta["finished"] and meta["validation"]["psnr"] > 3


def test_crops_of_small_and_large_frames_are_of_one_place(tmp_path: Path) -> None:
    root = tmp_path / "REDS"
    rng = np.random.default_rng(0)
    for clip in ("001", "002"):
        for frame in range(5):
            large = rng.integers(0, 255, (12, 12, 3)).repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)
            for home, image in (("train_sharp", large), ("train_sharp_bicubic/X4", large[::4, ::4])):
                path = root / "train" / home / clip / f"{frame:08d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, image)
    training = _Training(plan(config("edvr-x4-test", "edvr", tmp_path, pairs=(root,), crop_px=32)))
    for step in range(3):
        ((small, sharp),) = training.sampler.parts(step, 1)
        assert np.array_equal(small.numpy(), sharp[..., ::4, ::4].numpy())
    with pytest.raises(ValueError, match="different sizes"):
        smallest_side(training.plan.sets.train, 2)


def test_vimeo_90k(tmp_path: Path) -> None:
    for clip in ("00001/0001", "00001/0002", "00002/0005"):
        for number in range(1, 8):
            write(tmp_path / "sequences" / clip / f"im{number}.png", number)
    (tmp_path / "sep_trainlist.txt").write_text("00001/0001\n00002/0005\n")
    (tmp_path / "sep_testlist.txt").write_text("00001/0002\n")
    found = load_pairs([tmp_path], hold_out="val", scale=4)
    assert {pair.sequence for pair in found.train} == {"00001/0001", "00002/0005"} and len(found.train) == 14
    for clip in ("00001/0001", "00002/0005"):
        for number in range(1, 8):
            write(tmp_path / "sequences_BI" / clip / f"im{number}.png", number, SIDE // 4)
    small = load_pairs([tmp_path], hold_out="val", scale=4)
    assert {pair.blur.relative_to(tmp_path).parts[0] for pair in small.train} == {"sequences_BI"}
    assert smallest_side(small.train, 4) == SIDE


def test_sharp_folders_of_df2k_and_ffhq(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "DF2K" / "DIV2K_train_HR" / f"{number:04d}.png", number, 64)
        write(tmp_path / "DF2K" / "Flickr2K" / "Flickr2K_HR" / f"{number:06d}.png", number + 9, 72)
    sets = sharp_pairs([tmp_path / "DF2K"])
    assert len(sets.train) == 6 and all(pair.blur == pair.sharp for pair in sets.train)
    chosen = config("rrdbnet-x4-test", "esrgan", tmp_path, sharp=(tmp_path / "DF2K",), crop_px=32, steps=4)
    training = _Training(plan(chosen))
    ((small, sharp),) = training.sampler.parts(0, 1)
    assert small.shape[-1] == 8 and sharp.shape[-1] == 32
    expected = bicubic.reduced(np.moveaxis(sharp[0, 0].numpy(), 0, -1), 4)
    assert np.array_equal(np.moveaxis(small[0, 0].numpy(), 0, -1), expected)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no PNG or JPEG file in this folder or in those inside it"):
        sharp_pairs([tmp_path / "empty"])


def test_ffhq_trains_gfpgan_on_the_faces_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from tests.models.face_data import use_tiny_networks

    use_tiny_networks(monkeypatch)
    for number in range(3):
        write(tmp_path / "ffhq" / "00000" / f"{number:05d}.png", number, 64)
    points = [[20, 24], [44, 24], [32, 36], [24, 46], [40, 46]]
    lines = [json.dumps({"key": f"00000/{number:05d}", "points": points}) for number in (0, 2)]
    (tmp_path / "ffhq" / "landmarks.jsonl").write_text("\n".join(lines) + "\n")
    made = plan(config("gfpgan-test", "gfpgan", tmp_path, sharp=(tmp_path / "ffhq",)))
    assert [pair.key for pair in made.sets.train] == ["00000/00000", "00000/00002"]
    assert run_training(made.config, resume=False).finished


def test_nfs_is_a_list_of_videos_for_the_synthesis(tmp_path: Path) -> None:
    for name in ("airboard_1", "zebra"):
        for frame in range(3):
            write(tmp_path / name / "240" / name / f"{frame + 1:05d}.jpg", frame)
        write(tmp_path / name / "30" / name / "00001.jpg", 1)
    assert [path.relative_to(tmp_path).as_posix() for path in expanded([tmp_path])] == [
        "airboard_1/240/airboard_1",
        "zebra/240/zebra",
    ]
    assert expanded([tmp_path / "zebra" / "240" / "zebra"]) == (tmp_path / "zebra" / "240" / "zebra",)


def test_dvds_videos_without_the_test_videos(tmp_path: Path) -> None:
    home = tmp_path / "original_high_fps_videos"
    home.mkdir()
    for name in ("IMG_0001.mov", "IMG_0030.mov", "720p_240fps_1.mov"):
        (home / name).touch()
    assert [path.name for path in expanded([tmp_path])] == ["720p_240fps_1.mov", "IMG_0001.mov"]


def test_the_mix_of_deblurgan_v2(tmp_path: Path) -> None:
    folders = [gopro(tmp_path / name, sequences=2, frames=10) for name in ("a", "b", "c")]
    mix = find_mix("deblurgan-v2", 3)
    found = load_pairs(folders, every=mix.every, hold_out="val")
    assert [sum(pair.folder == number for pair in found.train) for number in range(3)] == [10, 10, 2]
    with pytest.raises(ValueError, match="is for 3 folders of --pairs in the order GoPro, DVD, NFS, got 1"):
        find_mix("deblurgan-v2", 1)
    words = ["--model", "deblurgan-v2-mobilenet", "--mix", "deblurgan-v2", "--pairs", *map(str, folders)]
    chosen, _ = train.parse(words)
    assert chosen.every == (2, 2, 10) and chosen.mix == ()
    with pytest.raises(ValueError, match="leave --every away"):
        train.parse([*words, "--every", "1,1,1"])
    weighed, _ = train.parse(["--model", "x", "--mix", "1,0.5", "--pairs", "a,b"])
    assert weighed.mix == (1.0, 0.5)


def test_the_command_line_lists_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--list", "--model", "stfan"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("stfan: stfan, adapted (Zhou et al.") and "variants: paper, code" in text
    assert train.main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert "\nmprnet: mprnet, published" in listed and "\n  charbonnier: ours" in listed
    assert train.main(["--pairs", str(tmp_path)]) == 2
    assert "--model is needed" in capsys.readouterr().err
    root = gopro(tmp_path / "GOPRO_Large", sequences=1)
    words = ["--model", "mimo-unet-test", "--profile", "paper", "--variant", "code", "--pairs", str(root)]
    assert train.main(words) == 2
    assert "the recipe mimo-unet has no variant 'code': it has none" in capsys.readouterr().err
    assert not list(tmp_path.rglob(checkpoint.META))
