"""Tar shards: what is in them, that kills do not change their bytes, that training reads them. And selections."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from core import shards
from core.image_files import image_size, read_image
from models.training.pair_sources import load_pairs
from models.training.samples import PairSampler
from synth import make_pairs
from synth.manifest import read_manifest
from tests.synth.clips import moving_frames, tree, write_frames
from tests.synth.test_resume import start, wait_for_pairs

OPTIONS = ("--fps", 240, "--window", "3", "--stride", 2, "--layout", "webdataset", "--shard-pairs", 4)


def make(folder: Path, out: Path, *more: object) -> int:
    arguments = ("--video", folder, *OPTIONS, *more, "--out", out)
    return make_pairs.main([str(argument) for argument in arguments])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "run.1", moving_frames(24, speed_px=3.0))  # a dot in a sequence's name


def test_a_shard_holds_whole_samples(tmp_path: Path, clip: Path) -> None:
    import webdataset

    assert make(clip, tmp_path / "out") == 0
    flat = ["--video", str(clip), "--fps", "240", "--window", "3", "--stride", "2", "--out", str(tmp_path / "flat")]
    assert make_pairs.main(flat) == 0
    records, loose = read_manifest(tmp_path / "out"), read_manifest(tmp_path / "flat")
    assert len(records) == 11 and [record.blur_sha256 for record in records] == [one.blur_sha256 for one in loose]
    names = [f"train-{index:06d}.tar" for index in range(3)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pairs.jsonl", "run.json", *names]
    samples = list(webdataset.WebDataset([str(tmp_path / "out" / name) for name in names], shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [record.key for record in records]
    for sample, record, other in zip(samples, records, loose, strict=True):
        assert sample["blur.png"] == other.blur_path(tmp_path / "flat").read_bytes()
        assert sample["sharp.png"] == other.sharp_path(tmp_path / "flat").read_bytes()
        assert json.loads(sample["json"])["blur_sha256"] == record.blur_sha256
    path = records[5].sharp_path(tmp_path / "out")
    assert np.array_equal(read_image(path), read_image(loose[5].sharp_path(tmp_path / "flat")))
    assert image_size(path) == read_image(path).shape[:2]
    assert make_pairs.main(["verify", str(tmp_path / "out")]) == 0


def test_killed_and_resumed_and_any_number_of_workers(tmp_path: Path, clip: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert make(clip, whole, "--workers", 1) == 0
    for pairs in (2, 6):
        process = start("--video", clip, *OPTIONS, "--workers", 2, "--out", out, "--resume")
        wait_for_pairs(process, out, pairs)
        process.kill()
        process.communicate()
    assert make(clip, out, "--resume") == 0
    assert tree(out) == tree(whole)


@pytest.mark.parametrize("kept", [0, 3, 4, 5, 8, 10])
def test_a_set_that_lost_its_last_pairs_is_filled_up(tmp_path: Path, clip: Path, kept: int) -> None:
    out = tmp_path / "out"
    assert make(clip, out) == 0
    right = tree(out)
    lines = (out / "pairs.jsonl").read_bytes().splitlines(keepends=True)
    (out / "pairs.jsonl").write_bytes(b"".join(lines[:kept]))
    assert make(clip, out, "--resume") == 0
    assert tree(out) == right


def test_killed_between_packing_and_tidying_up(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"

    def dies(shard: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards, "remove_loose", dies)
        assert make(clip, out) == 130
    assert (out / "train-000000.tar.open").is_dir() and (out / "train-000000.tar").is_file()
    assert make(clip, out, "--resume") == 0
    assert make(clip, tmp_path / "whole") == 0
    assert tree(out) == tree(tmp_path / "whole")


def test_a_damaged_shard_is_noticed_and_made_again(
    tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert make(clip, out) == 0
    right = tree(out)
    shard = out / "train-000001.tar"
    with tarfile.open(shard) as archive:
        offset = archive.getmember("run.1/000008.blur.png").offset_data
    data = bytearray(shard.read_bytes())
    data[offset + 40] ^= 1
    shard.write_bytes(bytes(data))
    assert make_pairs.main(["verify", str(out)]) == 1
    assert "run.1/000008" in capsys.readouterr().err
    assert make(clip, out, "--resume") == 0
    assert tree(out) == right


def test_rebuild_out_of_a_shard(tmp_path: Path, clip: Path) -> None:
    assert make(clip, tmp_path / "out") == 0
    key = read_manifest(tmp_path / "out")[9].key
    assert make_pairs.main(["rebuild", key, "--in", str(tmp_path / "out"), "--out", str(tmp_path / "again")]) == 0


def test_training_reads_shards(tmp_path: Path, clip: Path) -> None:
    assert make(clip, tmp_path / "out") == 0
    pairs = load_pairs([tmp_path / "out"]).train
    sampler = PairSampler(pairs, seed=0, crop_px=16, clip_frames=1, flips=(), reversal=False)
    blur, sharp = sampler.batch(0, 2)
    assert blur.shape == sharp.shape == (2, 1, 3, 16, 16) and not bool((blur == sharp).all())


def test_folders_are_written_without_the_library(tmp_path: Path) -> None:
    """webdataset loads torch, which synthesis into folders does without."""
    folder = write_frames(tmp_path / "clip", moving_frames(5))
    arguments = ["--video", str(folder), "--fps", "240", "--window", "3", "--out", str(tmp_path / "out")]
    code = (
        "import sys; from synth import make_pairs\n"
        f"make_pairs.main({arguments!r})\n"
        "assert 'webdataset' not in sys.modules and 'torch' not in sys.modules\n"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], cwd=Path(make_pairs.ROOT), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layout", ["flat", "webdataset"])
def test_select_keeps_what_meets_the_condition(
    tmp_path: Path, clip: Path, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    assert make(clip, source, "--layout", layout) == 0
    records = read_manifest(source)
    extents = sorted(record.blur_extent_px or 0 for record in records)
    where = f"blur_extent_px >= {extents[5]} and not still"
    for _ in range(2):  # again: verified, nothing is rewritten
        assert make_pairs.main(["select", str(source), "--where", where, "--out", str(out)]) == 0
        kept = read_manifest(out)
        expected = [record.key for record in records if (record.blur_extent_px or 0) >= extents[5]]
        assert [record.key for record in kept] == expected and 0 < len(kept) < len(records)
        assert make_pairs.main(["verify", str(out)]) == 0
    assert len(load_pairs([out]).train) + len(load_pairs([out]).validation) == len(kept)
    capsys.readouterr()
    for bad in ("blur_extent_px >", "no_such_key > 1", "blur_extent_px + 1", "blur_extent_px > 1e9"):
        assert make_pairs.main(["select", str(source), "--where", bad, "--out", str(tmp_path / "bad")]) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1 and not (tmp_path / "bad").exists(), err
    other = ["select", str(source), "--where", "window == 3", "--out", str(out)]
    assert make_pairs.main(other) == 2 and "another configuration" in capsys.readouterr().err
