"""pyiqa's metrics by name: what is known without the package, and its values where it is installed."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from benchmark.evaluation import find_metrics
from benchmark.metrics import METRICS, pyiqa_metrics
from benchmark.protocols import PROTOCOLS
from core.torchvision_shim import ensure_torchvision
from tests.benchmark.metric_data import noisy, texture, to_tensor

needs_pyiqa = pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None, reason="pyiqa (extra [iqa]) is not installed"
)


def test_facts_are_known_without_the_package() -> None:
    musiq, dists = METRICS["pyiqa:musiq"], METRICS["pyiqa:dists"]
    assert (musiq.higher_is_better, musiq.needs_reference) == (True, False)
    assert (dists.higher_is_better, dists.needs_reference) == (False, True)
    assert "non-commercial" in musiq.source
    assert METRICS["pyiqa:psnry"].unit == "dB"
    assert METRICS["pyiqa:musiq"] is musiq
    assert not any(name.startswith("pyiqa:") for name in METRICS)  # lists stay short


@pytest.mark.parametrize("name", ["pyiqa:", "pyiqa:nothing", "pyiqa:fid", "pyiqa", "musiq"])
def test_unknown_names(name: str) -> None:
    assert name not in METRICS
    with pytest.raises(KeyError):
        METRICS[name]
    with pytest.raises(ValueError, match="unknown metric"):
        find_metrics([name], PROTOCOLS["gopro-linear"])
    if name == "pyiqa:fid":
        with pytest.raises(KeyError, match="whole sets"):
            pyiqa_metrics.pyiqa_metric(name)


def test_each_name_is_listed_once() -> None:
    groups = (
        pyiqa_metrics.WITH_REFERENCE_HIGHER,
        pyiqa_metrics.WITH_REFERENCE_LOWER,
        pyiqa_metrics.ALONE_HIGHER,
        pyiqa_metrics.ALONE_LOWER,
        pyiqa_metrics.OF_WHOLE_SETS,
    )
    names = [name for group in groups for name in group]
    assert len(names) == len(set(names))


@needs_pyiqa
def test_the_table_is_that_of_the_package() -> None:
    ensure_torchvision()
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    single = {name for name in DEFAULT_CONFIGS if name not in pyiqa_metrics.OF_WHOLE_SETS}
    assert {name for name in single if f"pyiqa:{name}" not in METRICS} == set()
    for name in single:
        entry, facts = METRICS[f"pyiqa:{name}"], DEFAULT_CONFIGS[name]
        assert entry.needs_reference == (facts["metric_mode"] == "FR"), name
        assert entry.higher_is_better != bool(facts.get("lower_better")), name


@needs_pyiqa
def test_values(capsys: pytest.CaptureFixture[str]) -> None:
    pyiqa_metrics._say_licence.cache_clear()
    pyiqa_metrics._built.cache_clear()
    pyiqa_metrics.missing.cache_clear()
    sharp = texture("pyiqa")
    pair = to_tensor(noisy(sharp, 9)), to_tensor(sharp)
    assert METRICS["pyiqa:ssim"].missing() is None
    assert METRICS["pyiqa:ssim"].fn(*pair) == pytest.approx(METRICS["ssim-luma"].fn(*pair), abs=1e-4)
    assert METRICS["pyiqa:psnr"].fn(*pair) == pytest.approx(METRICS["psnr"].fn(*pair), abs=1e-2)
    assert capsys.readouterr().err.count("non-commercial use only (PolyForm-Noncommercial-1.0.0)") == 1
    with pytest.raises(ValueError, match="one size"):
        METRICS["pyiqa:ssim"].fn(torch.rand(3, 64, 64), torch.rand(3, 64, 65))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        METRICS["pyiqa:ssim"].fn(pair[0] * 255, pair[1])


@needs_pyiqa
def test_weights_are_named_and_never_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    import pyiqa.utils.download_util as download

    ensure_torchvision()
    monkeypatch.setattr(download, "DEFAULT_CACHE_DIR", str(tmp_path))
    pyiqa_metrics._built.cache_clear()
    pyiqa_metrics.missing.cache_clear()
    before = torch.hub.download_url_to_file
    sentence = METRICS["pyiqa:musiq"].missing()
    assert sentence is not None
    assert "musiq_koniq_ckpt" in sentence
    assert "\n" not in sentence
    with pytest.raises(ValueError, match="musiq_koniq_ckpt"):
        METRICS["pyiqa:musiq"].fn(torch.rand(3, 64, 64), None)
    assert torch.hub.download_url_to_file is before
    pyiqa_metrics.missing.cache_clear()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    pyiqa_metrics.missing.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = METRICS["pyiqa:musiq"].missing()
    assert sentence is not None
    assert "pip install" in sentence
    assert "non-commercial" in sentence
    pyiqa_metrics.missing.cache_clear()
