"""DeblurGAN-v2's restoration set: which images, how many pairs, no image in both halves, the same bytes again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.image_files import read_image, write_image
from synth import make_pairs
from synth.manifest import read_manifest
from synth.restoration_set import RestorationConfig, chosen_sources, planned


def folder(root: Path, names: tuple[str, ...], sides: tuple[str, str], count: int) -> Path:
    for number, name in enumerate(names):
        for frame in range(count):
            rng = np.random.default_rng(100 * number + frame)
            image = np.kron(rng.integers(0, 255, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            for side in sides:
                path = root / name / side / f"{frame:06d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, image)
    return root


def test_official_numbers_of_made_up_sets(tmp_path: Path) -> None:
    """600 of each, 8,000 and 1,200 of them; the test parts of GoPro and DVD are left out."""
    gopro = folder(tmp_path / "GOPRO_Large", ("train/GOPR0001_07_00", "test/GOPR0384_11_00"), ("blur", "sharp"), 7)
    dvd = folder(
        tmp_path / "DVD", ("quantitative_datasets/IMG_0001", "quantitative_datasets/IMG_0030"), ("input", "GT"), 7
    )
    config = RestorationConfig(folders=(gopro, dvd), images=5)
    sources = chosen_sources(config)
    assert len(sources) == 10 and not [one for one in sources if "GOPR0384" in one.name or "IMG_0030" in one.name]
    assert [one.blur.stem for one in sources[:5]] == ["000000", "000002", "000003", "000004", "000006"]
    works = list(planned(config, sources))
    splits = Counter(work.split for work in works)
    assert splits == {"train": 8000, "test": 1200}
    names = {split: {work.source.name for work in works if work.split == split} for split in splits}
    assert not names["train"] & names["test"] and len(names["test"]) == 1  # 13 % of ten
    assert len({(work.source.name, work.version) for work in works}) == 9200
    uses = Counter(work.source.name for work in works if work.split == "train")
    assert max(uses.values()) - min(uses.values()) <= 1


def test_the_command_makes_the_same_bytes_with_any_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "pairs", ("a", "b"), ("blur", "sharp"), 4)
    for workers in ("1", "3"):
        words = ["restoration", str(source), "--images", "6", "--train", "12", "--test", "4", "--workers", workers]
        assert make_pairs.main([*words, "--out", str(tmp_path / workers)]) == 0
    assert "12 training and 4 test pairs of 6 images" in capsys.readouterr().out
    one, three = (tmp_path / "1" / "pairs.jsonl").read_bytes(), (tmp_path / "3" / "pairs.jsonl").read_bytes()
    assert one == three
    records = read_manifest(tmp_path / "1")
    assert Counter(record.split for record in records) == {"train": 12, "test": 4}
    changed = 0
    for record in records:
        assert (tmp_path / "1" / record.blur).read_bytes() == (tmp_path / "3" / record.blur).read_bytes()
        blur, sharp = read_image(record.blur_path(tmp_path / "1")), read_image(record.sharp_path(tmp_path / "1"))
        changed += not np.array_equal(blur, sharp)
    assert changed >= 12  # each of the four degradations comes in half of the cases
    assert make_pairs.main(["verify", str(tmp_path / "1")]) == 0


def test_too_few_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "pairs", ("a",), ("blur", "sharp"), 2)
    assert make_pairs.main(["restoration", str(source), "--out", str(tmp_path / "out")]) == 2
    assert "2 pairs of blurred and sharp images are there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
