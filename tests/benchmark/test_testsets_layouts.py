"""Test sets as their authors and re-packers lay them out: what is found, paired, ordered, and named as missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.protocols import PROTOCOLS, su30_indices
from benchmark.testsets import TESTSETS, dvd, gopro, kohler
from benchmark.testsets.base import Clip
from benchmark.testsets.lai import sharp_stem

GOPRO, KOHLER, DVD = (TESTSETS[name] for name in ("gopro", "kohler", "dvd"))


def touch(folder: Path, *names: str) -> Path:
    """Empty files: test sets are listed by name, and nothing is decoded."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def keys(clips: tuple[Clip, ...]) -> list[str]:
    return [sample.key for clip in clips for sample in clip.samples]


def official_gopro(root: Path, lengths: dict[str, int]) -> Path:
    for sequence, length in lengths.items():
        for kind in ("blur", "blur_gamma", "sharp"):
            touch(
                root / "GOPRO_Large" / "test" / sequence / kind,
                *(f"{index:06d}.png" for index in range(1, length + 1)),
            )
    return root / "GOPRO_Large"


def lai_tree(root: Path) -> Path:
    home = root / "Lai" / "synthetic_dataset"
    subjects = [
        f"{kind}_{n:02d}" for kind in ("manmade", "natural", "people", "saturated", "text") for n in range(1, 6)
    ]
    touch(home / "ground_truth", *(f"{subject}.png" for subject in subjects))
    touch(home / "uniform", *(f"{subject}_kernel_{k:02d}.png" for subject in subjects for k in range(1, 5)))
    touch(home / "nonuniform", *(f"{subject}_gyro_{k:02d}.png" for subject in subjects for k in range(1, 5)))
    touch(root / "Lai" / "real_dataset", *(f"picture{n}.jpg" for n in range(1, 101)))
    return root / "Lai"


@pytest.mark.parametrize("name", TESTSETS)
def test_nothing_is_found_where_nothing_is(name: str, tmp_path: Path) -> None:
    assert TESTSETS[name].find(tmp_path) is None
    assert TESTSETS[name].name == name
    assert set(TESTSETS[name].protocols) <= set(PROTOCOLS)


def test_gopro_as_its_authors_packed_it(tmp_path: Path) -> None:
    folder = official_gopro(tmp_path, gopro.TEST_LENGTHS)
    assert GOPRO.find(tmp_path) == folder
    assert GOPRO.find(folder) == folder  # the set's own folder may be given too
    assert GOPRO.problems(folder) == []
    testset = GOPRO.open(folder, PROTOCOLS["gopro-linear"], False)
    clips = testset.clips()
    assert (testset.title, testset.simulated, testset.images_folder) == ("GoPro", False, "gopro")
    assert [len(clip.samples) for clip in clips] == list(gopro.TEST_LENGTHS.values())
    assert sum(len(clip.scored) for clip in clips) == 1111
    sample = clips[0].samples[0]
    assert sample.key == "GOPR0384_11_00/000001"
    assert sample.blur == folder / "test/GOPR0384_11_00/blur/000001.png"
    assert sample.references == (folder / "test/GOPR0384_11_00/sharp/000001.png",)


def test_gopro_gamma_reads_the_other_folder(tmp_path: Path) -> None:
    folder = official_gopro(tmp_path, {"GOPR0384_11_00": 3})
    testset = GOPRO.open(folder, PROTOCOLS["gopro-gamma"], False)
    assert testset.images_folder == "gopro-gamma"
    assert {sample.blur.parent.name for clip in testset.clips() for sample in clip.samples} == {"blur_gamma"}


@pytest.mark.parametrize("home", ["GoPro/test", "GOPRO/test", "test/GoPro"])
@pytest.mark.parametrize("folders", gopro.FLAT_FOLDERS)
def test_gopro_flat(home: str, folders: tuple[str, str], tmp_path: Path) -> None:
    names = ["GOPR0385_11_01-000010.png", "GOPR0384_11_00-000002.png", "GOPR0384_11_00-000010.png"]
    for name in folders:
        touch(tmp_path / home / name, *names)
    folder = GOPRO.find(tmp_path)
    assert folder is not None
    clips = GOPRO.open(folder, PROTOCOLS["gopro-linear"], False).clips()
    assert [clip.name for clip in clips] == ["GOPR0384_11_00", "GOPR0385_11_01"]
    assert keys(clips) == ["GOPR0384_11_00/000002", "GOPR0384_11_00/000010", "GOPR0385_11_01/000010"]
    assert clips[0].samples[0].references[0].parent.name == folders[1]
    assert any("3 pairs, 1111 expected" in sentence for sentence in GOPRO.problems(folder))
    with pytest.raises(FileNotFoundError, match="blur_gamma needs"):
        GOPRO.open(folder, PROTOCOLS["gopro-gamma"], False).clips()


def test_gopro_flat_without_sequence_names_is_a_set_of_stills(tmp_path: Path) -> None:
    for name in ("blur", "sharp"):
        touch(tmp_path / "GOPRO" / "test" / name, "10.png", "9.png")
    clips = GOPRO.open(tmp_path / "GOPRO", PROTOCOLS["gopro-linear"], False).clips()
    assert keys(clips) == ["test/9", "test/10"]
    assert [len(clip.samples) for clip in clips] == [1, 1]


def test_gopro_names_what_is_missing_and_scores_the_rest(tmp_path: Path) -> None:
    folder = official_gopro(tmp_path, {"GOPR0384_11_00": 100, "GOPR0862_11_00": 77})
    (folder / "test/GOPR0384_11_00/sharp/000007.png").unlink()
    for path in (folder / "test/GOPR0862_11_00/blur_gamma").iterdir():
        path.unlink()
    (folder / "test/GOPR0862_11_00/blur_gamma").rmdir()
    text = "\n".join(problems := GOPRO.problems(folder))
    assert len(problems) == len(set(problems))
    assert "000007 without a sharp image in sharp" in text
    assert "GOPR0384_11_00: 99 pairs, 100 expected" in text
    assert "9 of 11 test sequences are missing: GOPR0384_11_05" in text
    assert "blur_gamma: the folder is missing" in text
    clips = GOPRO.open(folder, PROTOCOLS["gopro-linear"], False).clips()
    assert len(keys(clips)) == 99 + 77
    assert len(keys(GOPRO.open(folder, PROTOCOLS["gopro-gamma"], False).clips())) == 99


def test_gopro_without_sharp_images_or_test_folder(tmp_path: Path) -> None:
    touch(tmp_path / "GOPRO_Large/test/GOPR0384_11_00/blur", "000001.png")
    folder = tmp_path / "GOPRO_Large"
    assert any(sentence.endswith("sharp: the folder is missing") for sentence in GOPRO.problems(folder))
    with pytest.raises(FileNotFoundError, match="no image of GoPro can be scored"):
        GOPRO.open(folder, PROTOCOLS["gopro-linear"], False).clips()
    (tmp_path / "other/GOPRO_Large").mkdir(parents=True)
    assert "test: the folder is missing" in GOPRO.problems(tmp_path / "other/GOPRO_Large")[0]


def kohler_tree(root: Path, blurry: str) -> Path:
    folder = root / "Kohler"
    for image in range(1, 5):
        for kernel in range(1, 13):
            touch(folder / blurry, f"Blurry{image}_{kernel}.png")
            last = kohler.LAST_FRAME.get((image, kernel), 199)
            frames = [f for f in range(1, last + 1) if (image, kernel, f) != (1, 3, 30)]
            touch(
                folder / f"Image{image}" / f"Kernel{kernel}",
                *(f"GroundTruth{image}_{kernel}_{frame}.png" for frame in frames),
            )
    return folder


@pytest.mark.parametrize("blurry", [".", "BlurryImages"])
def test_kohler_complete(blurry: str, tmp_path: Path) -> None:
    folder = kohler_tree(tmp_path, blurry)
    assert KOHLER.find(tmp_path) == folder
    assert KOHLER.problems(folder) == []
    samples = {
        sample.key: sample
        for clip in KOHLER.open(folder, PROTOCOLS["kohler"], False).clips()
        for sample in clip.samples
    }
    assert list(samples)[:4] == ["Blurry1_1", "Blurry1_2", "Blurry1_3", "Blurry1_4"]
    assert len(samples) == 48
    counts = {key: len(sample.references) for key, sample in samples.items()}
    assert (counts["Blurry1_1"], counts["Blurry2_11"], counts["Blurry1_3"], counts["Blurry4_12"]) == (
        199,
        200,
        197,
        198,
    )
    names = [path.stem for path in samples["Blurry1_1"].references]
    assert names == [f"GroundTruth1_1_{frame}" for frame in range(1, 200)]  # natural order, not 1, 10, 100


def test_kohler_frame_that_the_authors_skip_is_never_compared(tmp_path: Path) -> None:
    folder = kohler_tree(tmp_path, ".")
    touch(folder / "Image1/Kernel3", "GroundTruth1_3_30.png", "GroundTruth1_3_199.png")
    clips = KOHLER.open(folder, PROTOCOLS["kohler"], False).clips()
    names = {path.stem for path in next(clip for clip in clips if clip.name == "Blurry1_3").samples[0].references}
    assert not names & {"GroundTruth1_3_30", "GroundTruth1_3_199"}
    assert {"GroundTruth1_3_29", "GroundTruth1_3_31", "GroundTruth1_3_198"} <= names


def test_kohler_names_what_is_missing_and_scores_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "Kohler"
    touch(folder / "BlurryImages", "Blurry1_1.png", "Blurry1_2.png")
    touch(folder / "Image1/Kernel1", "GroundTruth1_1_2.png", "GroundTruth1_1_10.png", "readme.txt")
    text = "\n".join(KOHLER.problems(folder))
    assert "46 of 48 blurred images are missing: Blurry1_3.png" in text
    assert "1 blurred images have no ground-truth frames, missing are Image1/Kernel2" in text
    assert "Kernel1: 2 ground-truth frames, 199 expected" in text
    (clip,) = KOHLER.open(folder, PROTOCOLS["kohler"], False).clips()
    assert [path.stem for path in clip.samples[0].references] == ["GroundTruth1_1_2", "GroundTruth1_1_10"]


def dvd_tree(root: Path, sequences: tuple[str, ...], first: int = 0, count: int = 100) -> Path:
    for sequence in sequences:
        for kind in ("input", "GT"):
            touch(
                root / "DeepVideoDeblurring_Dataset/quantitative_datasets" / sequence / kind,
                *(f"{index:05d}.jpg" for index in range(first, first + count)),
            )
    return root / "DeepVideoDeblurring_Dataset"


def test_dvd_takes_the_ten_test_sequences(tmp_path: Path) -> None:
    folder = dvd_tree(tmp_path, (*dvd.TEST_SEQUENCES, "IMG_0001"))
    assert DVD.find(tmp_path) == folder
    assert DVD.problems(folder) == []
    clips = DVD.open(folder, PROTOCOLS["dvd-all"], False).clips()
    assert {clip.name for clip in clips} == set(dvd.TEST_SEQUENCES)
    assert sum(len(clip.scored) for clip in clips) == 1000
    assert clips[-1].samples[0].key == "IMG_0049/00000"
    assert clips[-1].samples[0].references[0].parent.name == "GT"


@pytest.mark.parametrize(("frames", "shift"), [("su30", 0), ("su30-one-based", -1)])
def test_dvd_su30_counts_positions_and_shows_every_frame(frames: str, shift: int, tmp_path: Path) -> None:
    folder = dvd_tree(tmp_path, ("IMG_0009",), first=30)  # starts at 00030, like the real one
    protocol = replace(PROTOCOLS["dvd-su30"], frames=frames)
    (clip,) = DVD.open(folder, protocol, False).clips()
    assert len(clip.samples) == 100
    scored = [index + shift for index in su30_indices()]
    assert (scored[0], scored[-1], len(scored)) == (2 + shift, 97 + shift, 30)
    assert clip.scored == {f"IMG_0009/{index + 30:05d}" for index in scored}


def test_dvd_short_and_partial_sequences(tmp_path: Path) -> None:
    folder = dvd_tree(tmp_path, ("IMG_0030",), count=7)
    (folder / "quantitative_datasets/IMG_0030/GT/00003.jpg").unlink()
    text = "\n".join(DVD.problems(folder))
    assert "9 of 10 test sequences are missing" in text
    assert "00003 without a sharp image in GT" in text
    assert "IMG_0030: 6 pairs, 100 expected" in text
    (clip,) = DVD.open(folder, PROTOCOLS["dvd-su30"], False).clips()
    assert clip.scored == {"IMG_0030/00002", "IMG_0030/00006"}
    assert "quantitative_datasets: the folder is missing" in DVD.problems(tmp_path)[0]
    with pytest.raises(ValueError, match="su30"):
        DVD.open(folder, replace(PROTOCOLS["dvd-su30"], frames="some"), False)


def test_lai_complete(tmp_path: Path) -> None:
    folder = lai_tree(tmp_path)
    for name, title in (("lai-uniform", "Lai uniform"), ("lai-nonuniform", "Lai nonuniform"), ("lai-real", "Lai real")):
        entry = TESTSETS[name]
        assert entry.find(tmp_path) == folder
        assert entry.problems(folder) == []
        testset = entry.open(folder, PROTOCOLS[entry.protocols[0]], False)
        assert (testset.title, testset.images_folder) == (title, name)
        clips = testset.clips()
        assert len(clips) == 100
        assert all(len(clip.samples) == 1 for clip in clips)
        references = {len(clip.samples[0].references) for clip in clips}
        assert references == ({0} if name == "lai-real" else {1})
    (first, *_) = TESTSETS["lai-uniform"].open(folder, PROTOCOLS["lai-synthetic"], False).clips()
    assert first.samples[0].key == "manmade_01_kernel_01"
    assert first.samples[0].references[0].name == "manmade_01.png"


def test_lai_names_what_is_missing(tmp_path: Path) -> None:
    folder = lai_tree(tmp_path)
    (folder / "synthetic_dataset/ground_truth/text_05.png").unlink()
    text = "\n".join(TESTSETS["lai-uniform"].problems(folder))
    assert "24 images, 25 expected" in text
    assert "text_05_kernel_01, text_05_kernel_02, text_05_kernel_03 and 1 more without a sharp image" in text
    assert len(TESTSETS["lai-uniform"].open(folder, PROTOCOLS["lai-synthetic"], False).clips()) == 96
    (folder / "real_dataset/picture7.jpg").unlink()
    assert "99 images, 100 expected" in TESTSETS["lai-real"].problems(folder)[0]


@pytest.mark.parametrize(
    ("blurred", "sharp"),
    [
        ("manmade_01_kernel_01", "manmade_01"),
        ("text_05_gyro_04", "text_05"),
        ("manmade_01", None),
        ("a_kernel_x", None),
    ],
)
def test_lai_ground_truth_name(blurred: str, sharp: str | None) -> None:
    assert sharp_stem(blurred) == sharp
