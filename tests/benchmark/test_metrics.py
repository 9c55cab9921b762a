"""Every metric at its boundary, and PSNR and the SSIM kinds against independent computations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmark.metrics import METRICS, identity
from benchmark.metrics.ssim import box_reduced
from core.weights_files import find_file, set_weights_dir
from core.weights_files import weights_folder as folder_in_use
from tests.benchmark.metric_data import noisy, texture, to_tensor, write_weights

ANY_SIZE = ("psnr", "ssim-skimage-uniform7", "ssim-matlab-3d", "ssim-cw", "identity")
LIKENESS = [name for name, metric in METRICS.items() if metric.needs_reference]


@pytest.fixture(scope="module")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand-ins") / "weights"
    write_weights(folder)
    return folder


@pytest.fixture(autouse=True)
def weights(weights_folder: Path) -> Iterator[Path]:
    set_weights_dir(weights_folder)
    identity.use(torch.flatten)  # in place of ArcFace, whose network the runs hand over
    yield weights_folder
    set_weights_dir(None)
    identity.use(None)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    sharp = texture("pair")
    return noisy(sharp, 9), sharp


def skimage_ssim(restored: np.ndarray, sharp: np.ndarray, **options: object) -> float:
    return structural_similarity(
        restored, sharp, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, **options
    )


@pytest.mark.parametrize("name", METRICS)
def test_facts(name: str) -> None:
    metric = METRICS[name]
    assert metric.name == name
    assert metric.title
    assert metric.source
    assert metric.unchecked is not None
    assert metric.missing() is None  # stand-in weights are there


@pytest.mark.parametrize("name", METRICS)
def test_returns_a_float_and_leaves_the_images_alone(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    for dtype in (torch.float32, torch.float64):  # float64 arrays share the tensor's memory
        restored, sharp = (to_tensor(image).to(dtype) for image in pair)
        before = restored.clone(), sharp.clone()
        first = METRICS[name].fn(restored, sharp)
        assert type(first) is float
        assert math.isfinite(first)
        assert METRICS[name].fn(restored, sharp) == first
        assert torch.equal(restored, before[0])
        assert torch.equal(sharp, before[1])


@pytest.mark.parametrize("name", LIKENESS)
def test_equal_images_are_best_and_noise_is_worse(name: str) -> None:
    metric = METRICS[name]
    sharp = texture("order")
    values = [metric.fn(to_tensor(noisy(sharp, sigma)), to_tensor(sharp)) for sigma in (0, 6, 20)]
    best = {"psnr": math.inf}.get(name, 1.0 if metric.higher_is_better else 0.0)
    assert values[0] == pytest.approx(best, abs=1e-12)
    assert values == sorted(values, reverse=metric.higher_is_better)
    assert len(set(values)) == 3


@pytest.mark.parametrize("name", METRICS)
def test_luma_images_are_taken(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A grey image as one channel scores as the same image in three equal channels."""
    grey = [to_tensor(image)[1:2] for image in pair]
    colour = [image.expand(3, -1, -1) for image in grey]
    # a model fitted to nothing in particular makes NIQE steep: luma rounding of three equal channels may move it
    tolerance = 1e-2 if name == "niqe" else 1e-6
    assert METRICS[name].fn(*grey) == pytest.approx(METRICS[name].fn(*colour), rel=tolerance)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.zeros(3, 120, 200, dtype=torch.uint8), "divide 8-bit values by 255"),
        (torch.full((3, 120, 200), 200.0), r"\[0, 1\], found 200 to 200"),
        (torch.full((3, 120, 200), -0.5), r"\[0, 1\], found -0.5"),
        (torch.full((3, 120, 200), float("nan")), "found nan"),
        (torch.zeros(120, 200, 3), r"\[3, H, W\]"),
        (torch.zeros(1, 3, 120, 200), r"\[3, H, W\]"),
        (np.zeros((3, 120, 200), dtype=np.float32), "ndarray"),
    ],
)
def test_wrong_input_is_refused(name: str, wrong: object, words: str) -> None:
    right = torch.full((3, 120, 200), 0.5)
    with pytest.raises(ValueError, match=words):
        METRICS[name].fn(wrong, right)  # type: ignore[arg-type]
    if METRICS[name].needs_reference:
        with pytest.raises(ValueError, match=words):
            METRICS[name].fn(right, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LIKENESS)
def test_sizes_must_agree(name: str) -> None:
    with pytest.raises(ValueError, match="one size"):
        METRICS[name].fn(torch.rand(3, 64, 64), torch.rand(3, 64, 65))
    with pytest.raises(ValueError, match="none was given"):
        METRICS[name].fn(torch.rand(3, 64, 64), None)


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ANY_SIZE])
def test_too_small_images_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"at least|win_size"):
        METRICS[name].fn(torch.rand(3, 10, 10), torch.rand(3, 10, 10))


def test_psnr_known_values(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A difference of 16 levels everywhere is 20 log10(255 / 16) = 24.0485 dB."""
    flat = torch.full((3, 40, 50), 100 / 255)
    assert METRICS["psnr"].fn(flat + 16 / 255, flat) == pytest.approx(24.048404, abs=1e-5)
    restored, sharp = pair
    expected = peak_signal_noise_ratio(sharp, restored)
    assert METRICS["psnr"].fn(to_tensor(restored), to_tensor(sharp)) == pytest.approx(expected, abs=1e-5)


def test_ssim_gauss_valid_by_loops() -> None:
    """Equation 13 of Wang 2004 written out window by window."""
    sharp, restored = texture("loops", 15, 17), noisy(texture("loops", 15, 17), 20)
    weight = np.array([[math.exp(-(y * y + x * x) / 4.5) for x in range(-5, 6)] for y in range(-5, 6)])
    weight /= weight.sum()
    values = []
    for channel in range(3):
        for top in range(15 - 10):
            for left in range(17 - 10):
                x = restored[top : top + 11, left : left + 11, channel].astype(float)
                y = sharp[top : top + 11, left : left + 11, channel].astype(float)
                mx, my = (weight * x).sum(), (weight * y).sum()
                vx, vy = (weight * (x - mx) ** 2).sum(), (weight * (y - my) ** 2).sum()
                cov = (weight * (x - mx) * (y - my)).sum()
                top_part = (2 * mx * my + 2.55**2) * (2 * cov + 7.65**2)
                values.append(top_part / ((mx**2 + my**2 + 2.55**2) * (vx + vy + 7.65**2)))
    found = METRICS["ssim-gauss-valid"].fn(to_tensor(restored), to_tensor(sharp))
    assert found == pytest.approx(np.mean(values), abs=1e-6)


@pytest.mark.parametrize("size", [(11, 11), (12, 31), (163, 197)])
def test_ssim_gauss_valid_equals_scikit_image(size: tuple[int, int]) -> None:
    """Gaussian weights and population covariance over the whole map, then 5 px cut by hand."""
    sharp = texture("skimage", *size)
    restored = noisy(sharp, 14)
    _, ssim_map = skimage_ssim(restored, sharp, channel_axis=2, full=True)
    expected = ssim_map[5:-5, 5:-5].mean()
    assert METRICS["ssim-gauss-valid"].fn(to_tensor(restored), to_tensor(sharp)) == pytest.approx(expected, abs=1e-6)
    assert METRICS["ssim-skimage-gauss"].fn(to_tensor(restored), to_tensor(sharp)) == pytest.approx(expected, abs=1e-6)


def test_ssim_reference_figures() -> None:
    """Two photographs of scikit-image, computed by scikit-image 0.26.0 from the 8-bit files:

    python -c "from skimage import data; from skimage.metrics import structural_similarity as s;
    a, b = data.chelsea(), data.chelsea()[:, ::-1]; print(s(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False), s(a, b, channel_axis=2))"
    """
    from skimage import data

    image = data.chelsea()
    pair = to_tensor(image), to_tensor(image[:, ::-1])
    assert METRICS["ssim-gauss-valid"].fn(*pair) == pytest.approx(0.323265768874716, abs=1e-6)
    assert METRICS["ssim-skimage-gauss"].fn(*pair) == pytest.approx(0.323265768874716, abs=1e-6)
    assert METRICS["ssim-skimage-uniform7"].fn(*pair) == pytest.approx(0.2700081514983082, abs=1e-6)


def test_ssim_luma_equals_pyiqa(pair: tuple[np.ndarray, np.ndarray]) -> None:
    pytest.importorskip("pyiqa", reason="pyiqa (extra [iqa]) is not installed")
    from pyiqa.archs.ssim_arch import SSIM

    for restored, sharp in (pair, (texture("other"), pair[1])):
        tensors = to_tensor(restored), to_tensor(sharp)
        expected = float(SSIM()(tensors[0][None], tensors[1][None]))
        assert METRICS["ssim-luma"].fn(*tensors) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_ssim_wang_downsampled(factor: int) -> None:
    """Box mean and decimation written with scipy, then scikit-image's SSIM; the shorter side decides the factor."""
    height = 256 * factor + 17
    sharp = texture("wang", height, height + 6)
    restored = noisy(sharp, 25)
    first = -((factor - 1) // 2)  # the window of pixel i covers i + first .. i + first + factor - 1
    reduced = []
    for image in (restored, sharp):
        padded = np.pad(image / 255, ((4, 4), (4, 4), (0, 0)), mode="symmetric")
        mean = np.zeros(image.shape)
        for y in range(first, first + factor):
            for x in range(first, first + factor):
                mean += padded[4 + y : 4 + y + image.shape[0], 4 + x : 4 + x + image.shape[1]] / factor**2
        reduced.append(mean[::factor, ::factor])
    expected = skimage_ssim(*reduced, channel_axis=2, data_range=1.0)
    found = METRICS["ssim-wang-downsampled"].fn(to_tensor(restored), to_tensor(sharp))
    assert found == pytest.approx(expected, abs=1e-6)


def test_wang_factor_rounds_up_at_a_half() -> None:
    """round(640 / 256) is 3 in MATLAB and 2 in Python."""
    plane = np.random.default_rng(0).random((640, 640))
    assert box_reduced(plane).shape == (214, 214)
    assert box_reduced(plane)[5, 7] == pytest.approx(scipy.ndimage.uniform_filter(plane, 3)[15, 21])


def test_missing_weights_are_named(tmp_path: Path) -> None:
    set_weights_dir(tmp_path)
    expected = {
        "lpips-alex": "alexnet-owt-7be5be79.pth",
        "lpips-vgg": "vgg16-397923af.pth",
        "lpips-squeeze": "squeezenet1_1-b8a52dc0.pth",
        "brisque": "brisque/svm.txt",
    }
    for name, metric in METRICS.items():
        sentence = metric.missing()
        if name not in expected:
            assert sentence is None
            continue
        assert sentence is not None
        assert expected[name] in sentence
        assert "\n" not in sentence
        with pytest.raises(ValueError, match=expected[name]):
            metric.fn(torch.rand(3, 120, 200), torch.rand(3, 120, 200))


def test_where_weights_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "squeezenet1_1_from-fp16.pth").write_bytes(b"")
    monkeypatch.setenv("DEBLUR_BENCH_WEIGHTS", str(tmp_path))
    set_weights_dir(None)
    assert folder_in_use() == tmp_path
    assert find_file("squeezenet1_1*.pth") == tmp_path / "deep" / "er" / "squeezenet1_1_from-fp16.pth"
    monkeypatch.delenv("DEBLUR_BENCH_WEIGHTS")
    assert folder_in_use().name == "weights"
    with pytest.raises(ValueError, match="does not exist"):
        set_weights_dir(tmp_path / "nowhere")
