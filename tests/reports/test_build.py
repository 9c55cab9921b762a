"""Reports from stored files alone: columns, ranking, notes, pictures; without torch; the same bytes every time."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.results import MethodRow, Row, ScoreRow, read_rows, write_rows
from models.zoo import MODELS
from reports import build
from reports.comparison import mean_and_interval
from reports.contact_sheet import detail_box
from reports.leaderboard import best_value, ranked, readme_block, table
from reports.published import load_published, same_protocol
from reports.rows import BLOCKS, build_rows
from tests.reports.result_data import write_results

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_results(tmp_path_factory.mktemp("results"))
    assert build.main(["--in", str(path)]) == 0
    return path


def test_leaderboard_csv(folder: Path) -> None:
    with open(folder / "leaderboard.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    expected = [
        "method",
        "testset",
        "protocol",
        "metric",
        "value",
        "ci95_low",
        "ci95_high",
        "count",
        "published",
        "simulated",
    ]
    assert list(rows[0])[: len(expected)] == expected
    by_name = {(row["method"], row["protocol"], row["metric"]): row for row in rows}
    row = by_name["mimo-unet", "gopro-linear", "psnr"]
    assert float(row["value"]) == pytest.approx(70 / 3)
    assert 22 <= float(row["ci95_low"]) <= float(row["value"]) <= float(row["ci95_high"]) <= 26
    assert (row["count"], row["simulated"], row["published"]) == ("3", "true", "31.73")
    assert (row["ms_median"], row["params_m"]) == ("900.5", "6.81")
    lacking = by_name["mimo-unet", "gopro-linear", "lpips-alex"]
    assert lacking["value"] == "" and lacking["missing"] == "the file alexnet.pth is needed"
    failed = by_name["stfan", "lai-real", "niqe"]
    assert failed["value"] == "" and failed["status"] == "the network gave NaN"


def test_leaderboard_md(folder: Path) -> None:
    text = (folder / "leaderboard.md").read_text(encoding="utf-8")
    assert "## GoPro (mini, simulated): gopro-linear" in text
    gopro, lai = text.split("## Lai real")
    assert [line.split(" | ")[0] for line in gopro.splitlines() if line.startswith("| ")][2:] == [
        "| mimo-unet",
        "| identity",
        "| stfan",
    ]
    assert "**23.33**" in gopro and "| 22.00 ≈ |" in gopro
    assert "published PSNR (real set)" in gopro and "31.73" in gopro
    assert "quick, 110 steps" in gopro and "lpips-alex is missing: the file alexnet.pth is needed" in gopro
    assert "**4.00**" in lai and "| 5.00 ≈ |" in lai, "a lower NIQE is better"
    assert "stfan failed: the network gave NaN" in lai


def test_pictures(folder: Path) -> None:
    sheet = Image.open(folder / "contact-gopro.png")
    assert sheet.width > 4 * 300 and sheet.height > 3 * 300
    strip = np.asarray(Image.open(folder / "strip.png"))
    assert strip.shape[1] > 1200


def test_the_strip_shows_the_most_blurred_image(folder: Path) -> None:
    scored = read_rows(folder / "scores.csv", ScoreRow)
    assert build.most_blurred(folder / "images" / "gopro", scored) == "s1/000001"
    assert build.most_blurred(folder / "images" / "gopro", []) is None


def test_same_bytes_twice(folder: Path, tmp_path: Path) -> None:
    assert build.main(["--in", str(folder), "--out", str(tmp_path)]) == 0
    for name in ("leaderboard.csv", "leaderboard.md", "contact-gopro.png", "strip.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_without_torch(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from reports import build; "
        f"code = build.main(['--in', {str(folder)!r}, '--out', {str(tmp_path)!r}]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_nothing_to_build_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--in", str(tmp_path)]) == 2
    assert "scores.csv does not exist; run benchmark/run.py first" in capsys.readouterr().err
    (tmp_path / "scores.csv").write_text("a,b\n1,2\n")
    (tmp_path / "methods.csv").write_text("method,testset,protocol\n")
    assert build.main(["--in", str(tmp_path)]) == 2
    assert "column 'method' is missing" in capsys.readouterr().err


def test_a_metric_that_is_not_known(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "methods.csv").write_bytes((folder / "methods.csv").read_bytes())
    text = (folder / "scores.csv").read_text(encoding="utf-8")
    (tmp_path / "scores.csv").write_text(text.replace(",niqe,", ",vmaf,"), encoding="utf-8")
    assert build.main(["--in", str(tmp_path)]) == 2
    assert "holds the metric 'vmaf', which is none of psnr, " in capsys.readouterr().err


def test_readme_block_is_replaced(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{build.BEGIN}\noutdated table\n{build.END}\nafter\n")
    assert build.main(["--in", str(folder), "--out", str(tmp_path), "--readme", str(readme)]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "outdated" not in text
    assert readme_block(read_rows(folder / "leaderboard.csv", Row)) in text
    readme.write_text("no markers")
    assert build.main(["--in", str(folder), "--out", str(tmp_path), "--readme", str(readme)]) == 2


def scores(values: dict[str, float]) -> list[ScoreRow]:
    common = {"method": "m", "testset": "gopro", "protocol": "p", "metric": "psnr", "simulated": False}
    return [ScoreRow(key=key, value=value, **common) for key, value in values.items()]


def test_infinite_values_are_said(tmp_path: Path) -> None:
    rows = scores({"a/1": float("inf"), "b/1": 30.0})
    assert mean_and_interval(rows) == (float("inf"), None, None)
    write_rows(tmp_path / "scores.csv", ScoreRow, rows)
    assert ",inf," in (tmp_path / "scores.csv").read_text()
    assert read_rows(tmp_path / "scores.csv", ScoreRow) == rows


def test_published_figures_belong_to_networks_of_the_zoo() -> None:
    published = same_protocol(load_published())
    with open(ROOT / "reports" / "published.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(row["verified"] == "yes" for row in rows)
    for spec in MODELS.values():
        if spec.published:
            names = {row["method"] for row in rows if row["method_id"] == spec.name}
            assert names == {spec.published}
    assert published["mimo-unet", "gopro-linear", "psnr"].value == 31.73
    assert not any(metric.startswith("ssim") for _, _, metric in published), "printed SSIMs are of other kinds"


def test_detail_box_finds_the_detail() -> None:
    image = np.full((60, 80, 3), 128, dtype=np.uint8)
    image[30:40, 50:60] = np.random.default_rng(0).integers(0, 256, (10, 10, 3))
    left, top, right, bottom = detail_box(image, 20)
    assert left <= 50 and right >= 60 and top <= 30 and bottom >= 40


def test_rows_of_a_block_stand_below_a_line_that_says_what_they_are(tmp_path: Path):
    folder = write_results(tmp_path)
    methods = read_rows(folder / "methods.csv", MethodRow)
    quick = next(row for row in methods if row.method == "mimo-unet" and row.protocol == "gopro-linear")
    kept = replace(quick, method="deepdeblur", profile="kept", weights_sha256="cd" * 32)
    enlarging = replace(quick, method="esrgan-x4", task="sr4", profile="")
    scores = read_rows(folder / "scores.csv", ScoreRow)
    of_quick = [row for row in scores if row.method == "mimo-unet" and row.protocol == "gopro-linear"]
    for method, gain in ((kept, -0.5), (enlarging, 5.0)):
        scores += [replace(row, method=method.method, value=row.value + gain) for row in of_quick]
    rows = build_rows(scores, [*methods, kept, enlarging], [], [])
    here = [row for row in rows if row.protocol == "gopro-linear"]
    assert ranked(here, "psnr")[-1] == "esrgan-x4"
    assert best_value(here, "psnr") == next(r.value for r in here if (r.method, r.metric) == ("mimo-unet", "psnr"))
    text = table(rows, "gopro", "gopro-linear")
    place = [text.index(words) for words in ("| deepdeblur |", BLOCKS[1], "| mimo-unet |", BLOCKS[2], "| esrgan-x4 |")]
    assert place == sorted(place)
