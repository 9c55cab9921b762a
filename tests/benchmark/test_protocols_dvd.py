"""The aligned protocols of DVD against plain programs, and which frames of a sequence count."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmark import score
from benchmark.evaluation import score_image
from benchmark.protocols import PROTOCOLS, pooled, scored_positions, su30_indices
from core.image_files import write_image
from tests.benchmark.metric_data import noisy, texture, to_tensor
from tests.benchmark.test_protocols_kohler import aligned_by_hand, displaced, scores_by_hand

LINEAR, PER_SEQUENCE = PROTOCOLS["gopro-linear"], PROTOCOLS["gopro-per-sequence"]


def pair(border: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A sharp image, dark at the border, and a displaced, dimmed, noisy version of it."""
    scene = texture("dvd", 90, 86)
    falloff = np.hanning(90)[:, None, None] * np.hanning(86)[None, :, None]
    scene = np.rint(scene * falloff**3).astype(np.uint8)
    return displaced(scene, 0, 0, 1.0, border), noisy(displaced(scene, 2, -3, 0.9, border), 3)


def test_su30_aligned_is_kohlers_scoring_with_one_frame() -> None:
    sharp, restored = pair()
    protocol = PROTOCOLS["dvd-su30-aligned"]
    assert (protocol.frames, protocol.luma, protocol.crop_px) == ("su30", True, 0)
    found = score_image(to_tensor(restored), [to_tensor(sharp)], protocol, ["psnr", "ssim-gauss-valid"])
    psnr, ssim = scores_by_hand(restored, [sharp])
    assert found == {"psnr": pytest.approx(psnr, abs=1e-9), "ssim-gauss-valid": pytest.approx(ssim, abs=1e-9)}
    plain = score_image(to_tensor(restored), [to_tensor(sharp)], PROTOCOLS["dvd-su30"], ["psnr"])["psnr"]
    assert found["psnr"] > plain + 3
    with pytest.raises(ValueError, match="dvd-su30-aligned compares with one sharp image, got 2"):
        score_image(to_tensor(restored), [to_tensor(sharp)] * 2, protocol, ["psnr"])


def test_pvdnet_cuts_before_it_aligns() -> None:
    sharp, restored = pair()
    protocol = PROTOCOLS["dvd-pvdnet"]
    assert (protocol.frames, protocol.luma, protocol.crop_px) == ("skip-first", True, 16)
    found = score_image(to_tensor(restored), [to_tensor(sharp)], protocol, ["psnr"])["psnr"]
    moved, masked, _ = aligned_by_hand(restored[16:-16, 16:-16], sharp[16:-16, 16:-16])
    assert found == pytest.approx(10 * math.log10(255**2 / ((moved - masked) ** 2).mean()), abs=1e-9)
    turned = [np.rot90(image).copy() for image in (restored, sharp)]
    assert score_image(to_tensor(turned[0]), [to_tensor(turned[1])], protocol, ["psnr"])["psnr"] == pytest.approx(found)
    with pytest.raises(ValueError, match="cuts 16 px on every side"):
        score_image(to_tensor(restored[:32]), [to_tensor(sharp[:32])], protocol, ["psnr"])


def test_scored_positions() -> None:
    assert scored_positions("all", 4) == (0, 1, 2, 3)
    assert scored_positions("skip-first", 4) == (1, 2, 3)
    assert scored_positions("skip-first", 1) == ()
    assert scored_positions("su30", 100) == su30_indices()
    assert scored_positions("su30", 7) == (2, 5)
    with pytest.raises(ValueError, match="su30"):
        scored_positions("some", 4)


def test_pooling() -> None:
    values = {"a/1": 1.0, "a/2": 2.0, "a/3": 6.0, "b/1": 7.0}
    assert pooled(values, "image") == 4.0
    assert pooled(values, "sequence") == 5.0
    assert pooled({"a/1": math.inf, "b/1": 1.0}, "sequence") == math.inf
    for wrong in (({}, "image"), (values, "video")):
        with pytest.raises(ValueError, match="pool is image or sequence"):
            pooled(*wrong)


def test_scoring_of_gopro_per_sequence_and_pvdnet_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """score.py: sequences of 1 and 3 images count alike; dvd-pvdnet leaves the first frame of each out."""
    import json

    for sequence, count in (("s1", 2), ("s2", 4)):
        for frame in range(count):
            sharp = texture(f"{sequence} {frame}", 64, 70)
            write_image(tmp_path / "sharp" / sequence / f"{frame:05d}.png", sharp)
            noise = 3 + 4 * (sequence == "s2") + frame
            write_image(tmp_path / "restored" / sequence / f"{frame:05d}.png", noisy(sharp, noise))
    reports = {}
    for name in ("gopro-linear", "gopro-per-sequence", "dvd-pvdnet"):
        words = [str(tmp_path / "restored"), str(tmp_path / "sharp"), "--protocol", name, "--metrics", "psnr", "--json"]
        assert score.main(words) == 0
        reports[name] = json.loads(capsys.readouterr().out)
    images = {key: values["psnr"] for key, values in reports["gopro-linear"]["images"].items()}
    assert reports["gopro-per-sequence"]["images"] == reports["gopro-linear"]["images"]
    by_sequence = [np.mean([value for key, value in images.items() if key.startswith(name)]) for name in ("s1", "s2")]
    assert reports["gopro-linear"]["metrics"]["psnr"] == pytest.approx(np.mean(list(images.values())))
    assert reports["gopro-per-sequence"]["metrics"]["psnr"] == pytest.approx(np.mean(by_sequence))
    assert list(reports["dvd-pvdnet"]["images"]) == ["s1/00001", "s2/00001", "s2/00002", "s2/00003"]
    assert (PER_SEQUENCE.pool, LINEAR.pool) == ("sequence", "image")


def test_protocols_that_score_alike_share_their_record(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from benchmark.scoring import record_path

    def name(protocol: str) -> str:
        testset = SimpleNamespace(name="set", images_folder="set", protocol=PROTOCOLS[protocol])
        return record_path(tmp_path, "method", SimpleNamespace(testset=testset)).name  # type: ignore[arg-type]

    assert name("gopro-per-sequence") == name("gopro-linear") != name("gopro-gamma")
    assert name("dvd-su30") == name("dvd-all") != name("dvd-su30-aligned")
    assert len({name(protocol) for protocol in PROTOCOLS}) == len(PROTOCOLS) - 2
