"""The page as a file: one file without requests, packed values, text that stays text, images beside it, size."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmark.results import MethodRow, Row, ScoreRow, read_rows, write_rows
from reports import build
from reports.latex import escaped, latex
from reports.page import INFINITE, UNKNOWN, images_folder, packed
from reports.published import elsewhere, elsewhere_text, load_published
from reports.rows import train_test_matrix
from tests.reports.result_data import KEYS, VALUES, write_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_results(tmp_path_factory.mktemp("results"))
    assert build.main(["--in", str(path)]) == 0
    return path


def data_of(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_one_file_without_requests(folder: Path) -> None:
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert "@@" not in html
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)",
        re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.DOTALL),
    )
    assert not re.search(r"<script[^>]*\ssrc=|<link[^>]*stylesheet|@import|fetch\(|XMLHttpRequest", html)


def test_data_of_the_page(folder: Path) -> None:
    data = data_of((folder / "index.html").read_text(encoding="utf-8"))
    table = data["tables"][0]
    assert (table["protocol"], table["simulated"], table["title"]) == ("gopro-linear", True, "GoPro (mini, simulated)")
    keys = [f"{place}/{name}" for place, names in table["keys"] for name in names]
    assert keys == sorted(KEYS)
    values = table["values"]["psnr"]
    codes = np.frombuffer(base64.b64decode(values["data"]), dtype="<u2").reshape(3, 3)
    restored = values["low"] + values["step"] * codes[values["methods"].index("mimo-unet")]
    assert restored == pytest.approx([dict(zip(KEYS, VALUES["mimo-unet"], strict=True))[key] for key in keys], abs=1e-4)
    row = next(row for row in table["rows"] if row["method"] == "mimo-unet")
    assert row["weights_sha256"] == "ab" * 32 and row["trained_on"] == "30 pairs" and row["device"] == "cpu"
    assert row["figures"]["psnr"]["value"] == pytest.approx(70 / 3, abs=1e-5)
    assert row["figures"]["lpips-alex"]["missing"] == "the file alexnet.pth is needed"
    assert table["images"] == {
        "folder": "images/gopro",
        "have": dict.fromkeys(("_blur", "_sharp", "identity", "mimo-unet", "stfan"), True),
    }
    published = next(
        entry for entry in table["published"] if entry["method"] == "mimo-unet" and entry["metric"] == "psnr"
    )
    assert published["value"] == 31.73
    assert published["reasons"][:2] == [
        "measured on a rendered stand-in, not on the real set",
        "trained here, profile quick, 110 steps, on 30 pairs",
    ]


def test_packed_values_keep_what_is_special() -> None:
    found = packed([20.0, None, float("inf"), 85.0])
    codes = np.frombuffer(base64.b64decode(found["data"]), dtype="<u2")
    assert list(codes) == [0, UNKNOWN, INFINITE, 65000]
    assert found["low"] + codes[3] * found["step"] == pytest.approx(85.0)
    values = np.random.default_rng(0).uniform(20, 85, 1000)
    found = packed(values)
    codes = np.frombuffer(base64.b64decode(found["data"]), dtype="<u2")
    assert np.abs(found["low"] + codes * found["step"] - values).max() <= 0.00051
    assert packed([]) == {"low": 0.0, "step": 1.0, "data": ""}


def test_names_of_users_stay_text(tmp_path: Path) -> None:
    """A folder of foreign outputs may have any name; it must not end the script element."""
    evil = "</script><img src=x>"
    common = {"method": evil, "testset": "gopro", "protocol": "gopro-linear"}
    write_rows(
        tmp_path / "scores.csv", ScoreRow, [ScoreRow(metric="psnr", key="a/1", value=1.0, simulated=False, **common)]
    )
    write_rows(tmp_path / "methods.csv", MethodRow, [MethodRow(**common)])
    build.build(tmp_path, tmp_path)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert evil not in html and data_of(html)["tables"][0]["rows"][0]["method"] == evil


def test_images_stand_beside_a_page_elsewhere(folder: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second time they are there already
        assert build.main(["--in", str(folder), "--out", str(tmp_path)]) == 0
    for key in KEYS:
        name = Path("images") / "gopro" / "mimo-unet" / f"{key}.png"
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    (folder / "images" / "gopro" / "mimo-unet" / f"{KEYS[0]}.png").touch()
    assert build.main(["--in", str(folder), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "index.html").read_bytes() == (folder / "index.html").read_bytes()


def test_images_of_blur_gamma_lie_apart() -> None:
    assert images_folder("gopro", "gopro-gamma") == "gopro-gamma"
    assert images_folder("gopro", "gopro-linear") == "gopro"
    assert images_folder("kohler", "kohler") == "kohler"


def test_comparisons_and_latex(folder: Path) -> None:
    header, *lines = (folder / "comparisons.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("testset,protocol,metric,method,other,images,wins,ties,losses,difference,ci95_low")
    assert len(lines) == 3 + 3 + 1, "three pairs for two metrics, one pair for NIQE"
    assert "gopro,gopro-linear,psnr,identity,mimo-unet,3,0,0,3," in lines[0]
    text = (folder / "leaderboard.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert (
        "GoPro (mini, simulated), protocol gopro-linear" in text
        and r"\textbf{23.33} {\scriptsize [22.00, 26.00]}" in text
    )
    assert escaped("a_b & 50% {x}") == r"a\_b \& 50\% \{x\}"
    assert latex([]) == "% needs \\usepackage{booktabs,graphicx}"


def test_simulated_is_said_even_where_a_title_does_not() -> None:
    row = Row(
        method="m", testset="gopro", protocol="gopro-linear", metric="psnr", value=1.0, ci95_low=None, ci95_high=None,
        count=1, published=None, simulated=True, title="GoPro",
    )  # fmt: skip
    assert "GoPro (simulated)" in latex([row])


def test_figures_of_other_protocols_stand_apart() -> None:
    published = load_published()
    apart = elsewhere(published, "mimo-unet", "gopro", "gopro-gamma", "psnr", main=True)
    assert elsewhere_text(apart) == "PSNR 31.73 (scored under gopro-linear)"
    assert elsewhere(published, "mimo-unet", "gopro", "gopro-linear", "psnr", main=True) == []
    apart = elsewhere(published, "mimo-unet", "gopro", "gopro-linear", "ssim-gauss-valid", main=False)
    assert elsewhere_text(apart) == "SSIM 0.951 (kind of SSIM not stated)"
    apart = elsewhere(published, "deblurgan-v2-mobilenet", "lai-real", "lai-real", "niqe", main=True)
    assert "on a scale where the blurred input is 1" in elsewhere_text(apart)
    assert len(published) > 30
    for entry in published:
        assert bool(entry.protocol and entry.metric_id) != bool(entry.difference), entry


def test_train_test_matrix(folder: Path) -> None:
    tables, lines = train_test_matrix(read_rows(folder / "leaderboard.csv", Row))
    assert tables == [("gopro", "gopro-linear"), ("lai-real", "lai-real")]
    by_name = {(trained, method): cells for trained, method, cells in lines}
    cells = by_name["30 pairs", "mimo-unet"]
    assert cells[0] is not None and cells[0].metric == "psnr" and cells[1] is None
    assert [trained for trained, _, _ in lines][-1] == "no training"
