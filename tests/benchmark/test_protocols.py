"""The protocols' facts, and the plain ones (no alignment) through the scorer."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from benchmark.evaluation import (
    find_metrics,
    load_image,
    missing_metrics,
    quantised,
    score_files,
    score_image,
    score_restorations,
)
from benchmark.metrics import METRICS
from benchmark.protocols import PROTOCOLS, su30_indices
from core.image_files import write_image
from tests.benchmark.metric_data import HEIGHT, WIDTH, noisy, texture, to_tensor

PLAIN = [
    name
    for name, protocol in PROTOCOLS.items()
    if protocol.align == "none" and protocol.reference and not protocol.luma and not protocol.crop_px
]
COMPARED = [name for name, protocol in PROTOCOLS.items() if protocol.reference]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_facts(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.name == name
    assert protocol.title
    assert protocol.source
    assert protocol.quantise in ("round", "truncate", "none")
    assert protocol.align in ("none", "kohler", "shift", "ecc")
    assert [metric.name for metric in find_metrics(protocol.metrics, protocol)] == list(protocol.metrics)


def test_ids_of_the_contracts() -> None:
    expected = "gopro-linear gopro-gamma gopro-per-sequence kohler dvd-all dvd-su30 dvd-su30-aligned dvd-pvdnet"
    expected += " lai-synthetic lai-real reds-val hide realblur-j realblur-r rsblur"
    expected += " pairs"  # not in the contracts: anybody's own pairs
    # Not in the contracts: the networks' own tasks, and the real set of Levin.
    expected += " restoration-1200 reds4-deblur reds4-bix4 vid4-bi vid4-bd set5-x4 set14-x4 bsd100-x4 urban100-x4"
    expected += " blind-sr faces bsd reds-val-300 levin"
    assert set(PROTOCOLS) == set(expected.split())
    assert PROTOCOLS["kohler"].metrics == ("psnr", "ms-ssim")
    assert (PROTOCOLS["gopro-linear"].blur_variant, PROTOCOLS["gopro-gamma"].blur_variant) == ("blur", "blur_gamma")
    assert (PROTOCOLS["lai-synthetic"].luma, PROTOCOLS["lai-synthetic"].crop_px) == (True, 15)


def test_su30_indices() -> None:
    assert su30_indices() == tuple(int(value) for value in np.floor(np.linspace(2, 97, 30)))
    assert su30_indices()[:5] == (2, 5, 8, 11, 15)
    assert su30_indices("su30-one-based") == tuple(index - 1 for index in su30_indices())
    with pytest.raises(ValueError, match="su30"):
        su30_indices("all")


@pytest.mark.parametrize("name", COMPARED)
def test_equal_images_are_perfect(name: str) -> None:
    protocol = PROTOCOLS[name]
    image = to_tensor(texture("perfect"))
    compared = [METRICS[metric_id] for metric_id in protocol.metrics if METRICS[metric_id].needs_reference]
    metric_ids = [metric.name for metric in compared if metric.missing() is None]
    scores = score_image(image, [image], protocol, metric_ids)
    assert list(scores) == metric_ids
    assert scores.pop("psnr") == math.inf
    perfect = {metric.name: 1.0 if metric.higher_is_better else 0.0 for metric in compared}
    assert scores == pytest.approx({metric_id: perfect[metric_id] for metric_id in scores}, abs=1e-9)


@pytest.mark.parametrize("name", PLAIN)
def test_rounding_to_eight_bits(name: str) -> None:
    """A float result scores exactly as its saved 8-bit file would."""
    sharp = texture("eight bits")
    restored = to_tensor(noisy(sharp, 4)) + 0.4 / 255 * torch.rand(3, HEIGHT, WIDTH)
    restored = restored.clamp(0, 1)
    eight_bit = np.rint(restored.double().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    assert PROTOCOLS[name].quantise == "round"
    found = score_image(restored, [to_tensor(sharp)], PROTOCOLS[name], ["psnr"])["psnr"]
    assert found == pytest.approx(peak_signal_noise_ratio(sharp, eight_bit), abs=1e-6)
    unrounded = replace(PROTOCOLS[name], quantise="none")
    assert score_image(restored, [to_tensor(sharp)], unrounded, ["psnr"])["psnr"] != pytest.approx(found, abs=1e-6)


def test_quantised() -> None:
    levels = torch.arange(256).float() / 255
    image = levels.expand(3, 2, 256)
    assert torch.equal(quantised(image, "round"), image)
    assert torch.equal(quantised(image, "truncate"), image)  # 8-bit values stay, though x / 255 * 255 may fall short
    assert quantised(image, "none") is image
    between = (image + 0.6 / 255).clamp(max=1)
    assert torch.equal(quantised(between, "truncate")[..., :-1], image[..., :-1])
    assert torch.equal(quantised(between, "round")[..., :-1], image[..., 1:])
    with pytest.raises(ValueError, match="round, truncate or none"):
        quantised(image, "floor")


def test_luma_and_border() -> None:
    """crop_px and luma on a plain protocol, by hand."""
    restored, sharp = noisy(texture("border"), 12), texture("border")
    protocol = replace(PROTOCOLS["gopro-linear"], luma=True, crop_px=7)
    weights = np.array([0.299, 0.587, 0.114])
    difference = ((restored.astype(float) - sharp) @ weights)[7:-7, 7:-7] / 255
    expected = -10 * math.log10((difference**2).mean())
    assert score_image(to_tensor(restored), [to_tensor(sharp)], protocol, ["psnr"])["psnr"] == pytest.approx(
        expected, abs=1e-4
    )
    with pytest.raises(ValueError, match="cuts 82 px"):
        score_image(to_tensor(restored), [to_tensor(sharp)], replace(protocol, crop_px=82), ["psnr"])


def test_several_restorations_share_their_references() -> None:
    sharp = texture("shared")
    restorations = [to_tensor(noisy(sharp, sigma, str(sigma))) for sigma in (2, 5, 9)]
    for name in COMPARED:
        reads = []

        def references(reads: list[int] = reads):  # type: ignore[no-untyped-def]
            reads.append(1)
            yield to_tensor(sharp)

        together = score_restorations(restorations, references(), PROTOCOLS[name], ["psnr", "ssim-gauss-valid"])
        alone = [
            score_image(image, [to_tensor(sharp)], PROTOCOLS[name], ["psnr", "ssim-gauss-valid"])
            for image in restorations
        ]
        assert together == alone
        assert len(reads) == 1


def test_files_score_as_their_tensors(tmp_path: Path) -> None:
    restored, sharp = noisy(texture("files"), 8), texture("files")
    write_image(tmp_path / "restored.png", restored)
    write_image(tmp_path / "sharp.png", sharp)
    assert torch.equal(load_image(tmp_path / "restored.png"), to_tensor(restored))
    found = score_files(
        tmp_path / "restored.png", [tmp_path / "sharp.png"], PROTOCOLS["gopro-linear"], ["ssim-gauss-valid", "psnr"]
    )
    assert found == score_image(
        to_tensor(restored), [to_tensor(sharp)], PROTOCOLS["gopro-linear"], ["ssim-gauss-valid", "psnr"]
    )


def test_bad_arguments() -> None:
    image = torch.rand(3, 64, 64)
    linear, real = PROTOCOLS["gopro-linear"], PROTOCOLS["lai-real"]
    with pytest.raises(ValueError, match="unknown metric 'psrn'; there are: psnr"):
        score_image(image, [image], linear, ["psrn"])
    with pytest.raises(ValueError, match="no metric was named"):
        score_image(image, [image], linear, [])
    with pytest.raises(ValueError, match="lai-real has no sharp images"):
        score_image(image, [], real, ["psnr"])
    with pytest.raises(ValueError, match="one sharp image, got 0"):
        score_image(image, [], linear, ["psnr"])
    with pytest.raises(ValueError, match="one sharp image, got 2"):
        score_image(image, [image, image], linear, ["psnr"])
    with pytest.raises(ValueError, match="64 x 64 and 60 x 64 px"):
        score_image(image, [torch.rand(3, 64, 60)], linear, ["psnr"])
    with pytest.raises(ValueError, match=r"values must lie in \[0, 1\]"):
        score_image(image * 255, [image], linear, ["psnr"])
    with pytest.raises(ValueError, match=r"sharp image: values must lie in \[0, 1\]"):
        score_image(image, [image * 255], linear, ["psnr"])
    with pytest.raises(ValueError, match=r"RGB \[3, H, W\]"):
        score_image(image[:1], [image[:1]], linear, ["psnr"])
    assert missing_metrics(["psnr", "not a metric"]) == {}
