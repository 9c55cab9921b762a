"""LPIPS against its definition written out, NIQE against pyiqa's program, and importing torchvision at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.metrics import METRICS
from benchmark.metrics.niqe import block_features, fit_aggd, gaussian_window, halved, normalised, rounded_luma
from core.torchvision_shim import ensure_torchvision
from core.weights_files import find_file, set_weights_dir
from tests.benchmark.metric_data import noisy, texture, to_tensor, write_niqe_model, write_weights

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {  # torchvision's feature layers after which LPIPS compares
    "alex": (1, 4, 7, 9, 11),
    "vgg": (3, 8, 15, 22, 29),
    "squeeze": (1, 4, 7, 9, 10, 11, 12),
}


@pytest.fixture(scope="module")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand-ins") / "weights"
    write_weights(folder)
    return folder


@pytest.fixture(autouse=True)
def weights(weights_folder: Path) -> Iterator[Path]:
    set_weights_dir(weights_folder)
    yield weights_folder
    set_weights_dir(None)


def lpips_by_definition(net: str, restored: torch.Tensor, sharp: torch.Tensor) -> float:
    """Zhang et al., equation 1, with torchvision's network and the linear layers in lpips' package."""
    ensure_torchvision()
    import lpips
    from torchvision import models

    build = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}[net]
    with torch.random.fork_rng():
        features = build(weights=None).features
    path = find_file(*{"alex": ("alexnet*",), "vgg": ("vgg16*",), "squeeze": ("squeezenet*",)}[net])
    assert path is not None
    stored = torch.load(path, weights_only=True, map_location="cpu")
    features.load_state_dict({key.removeprefix("features."): value for key, value in stored.items()})
    linear = torch.load(
        Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth", weights_only=True, map_location="cpu"
    )
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    maps = [(image[None] * 2 - 1 - shift) / scale for image in (restored, sharp)]
    total = 0.0
    with torch.no_grad():
        for index, layer in enumerate(features):
            maps = [layer(image) for image in maps]
            if index in LAYERS[net]:
                unit = [image / image.pow(2).sum(1, keepdim=True).sqrt().clamp_min(1e-10) for image in maps]
                weight = linear[f"lin{LAYERS[net].index(index)}.model.1.weight"]
                total += float(((unit[0] - unit[1]) ** 2 * weight).sum(1).mean())
    return total


@pytest.mark.parametrize("net", LAYERS)
def test_lpips_follows_its_definition(net: str) -> None:
    sharp = texture("lpips", 67, 83)
    restored = noisy(sharp, 20)
    pair = to_tensor(restored), to_tensor(sharp)
    assert METRICS[f"lpips-{net}"].fn(*pair) == pytest.approx(lpips_by_definition(net, *pair), rel=1e-4)


def test_lpips_changes_no_global_state() -> None:
    from benchmark.metrics import perceptual

    perceptual._network.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    METRICS["lpips-squeeze"].fn(torch.full((3, 64, 64), 0.2), torch.full((3, 64, 64), 0.3))
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads


def test_lpips_does_not_depend_on_the_thread_setting() -> None:
    pair = to_tensor(texture("a")), to_tensor(texture("b"))
    threads = torch.get_num_threads()
    values = set()
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        values.add(METRICS["lpips-squeeze"].fn(*pair))
    torch.set_num_threads(threads)
    assert len(values) == 1


@pytest.mark.parametrize("content", ["text", "other network", "not finite"])
def test_unsuitable_lpips_weights_are_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "squeezenet1_1-b8a52dc0.pth"
    source = find_file("squeezenet1_1*.pth" if content == "not finite" else "alexnet*.pth")
    assert source is not None
    state = torch.load(source, weights_only=True)
    state[next(iter(state))].view(-1)[0] = float("nan")
    if content == "text":
        path.write_text("this is no checkpoint")
    else:
        torch.save(state, path)
    words = {"text": "not a readable", "other network": "another network", "not finite": "not finite"}[content]
    set_weights_dir(tmp_path)
    with pytest.raises(ValueError, match=words) as caught:
        METRICS["lpips-squeeze"].fn(torch.rand(3, 64, 64), torch.rand(3, 64, 64))
    assert path.name in str(caught.value)


def niqe_images() -> dict[str, np.ndarray]:
    saturated = texture("saturated", 211, 310)
    saturated[:120, :150] = 255
    saturated[150:, 200:] = 0
    drawn = np.zeros((200, 200, 3), dtype=np.uint8)
    drawn[40:160, 30:170] = (200, 30, 90)
    grey = np.repeat(texture("grey", 100, 200)[..., :1], 3, axis=2)
    return {
        "odd size": noisy(texture("niqe", 301, 415), 3),
        "two blocks": texture("two", 96, 192),
        "tall": texture("tall", 290, 100),
        "saturated": saturated,
        "drawn": noisy(drawn, 0.6),
        "grey": grey,
    }


@pytest.mark.parametrize("content", niqe_images())
def test_niqe_equals_pyiqa(content: str, tmp_path: Path) -> None:
    ensure_torchvision()
    pytest.importorskip("pyiqa", reason="pyiqa (extra [iqa]) is not installed")
    from pyiqa.archs.niqe_arch import NIQE

    image = to_tensor(niqe_images()[content])
    folder = tmp_path / "weights"
    folder.mkdir()
    authors_file = write_niqe_model(folder)
    # Colours whose luma falls on a half are rounded as the processor's matrix product happens to: both see one luma.
    grey = torch.from_numpy(rounded_luma(image.numpy()) / 255).float().expand(1, 3, -1, -1)
    expected = float(NIQE(pretrained_model_path=str(authors_file))(grey))
    for where in (folder, authors_file.parent):
        set_weights_dir(where)
        assert METRICS["niqe"].fn(image, None) == pytest.approx(expected, abs=1e-3)


def test_niqe_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match="at least two blocks of 96 x 96 px"):
        METRICS["niqe"].fn(torch.rand(3, 190, 190), None)
    with pytest.raises(ValueError, match="flat"):
        METRICS["niqe"].fn(torch.full((3, 300, 300), 0.5), None)


def test_unsuitable_niqe_model_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "niqe_pris_params.npz", mu_pris_param=np.zeros(35), cov_pris_param=np.eye(36))
    set_weights_dir(tmp_path)
    with pytest.raises(ValueError, match=r"niqe_pris_params\.npz: not a NIQE model"):
        METRICS["niqe"].fn(torch.rand(3, 200, 200), None)


def test_aggd_fit_recovers_its_parameters() -> None:
    """Samples of a distribution with known shape and scales (two half-sided generalised Gaussians)."""
    rng = np.random.default_rng(11)
    for shape, left, right in ((2.0, 1.0, 1.0), (1.0, 0.5, 1.5), (0.6, 2.0, 1.0)):
        magnitude = rng.gamma(1 / shape, size=(1, 1000, 1000)) ** (1 / shape)
        on_left = rng.random(magnitude.shape) < left / (left + right)
        found = fit_aggd(np.where(on_left, -left * magnitude, right * magnitude))
        assert [float(value[0]) for value in found] == pytest.approx([shape, left, right], rel=0.03)


def test_niqe_parts_by_loops() -> None:
    """Local normalisation and the shape of the features on a small image, written out."""
    rng = np.random.default_rng(3)
    plane = rng.integers(0, 256, (24, 36)).astype(float)
    window = gaussian_window()
    padded = np.pad(plane, 3, mode="edge")
    found = normalised(plane, window)
    for y, x in ((0, 0), (5, 9), (23, 35)):
        patch = padded[y : y + 7, x : x + 7]
        mean = (window * patch).sum()
        deviation = np.sqrt((window * (patch - mean) ** 2).sum())
        assert found[y, x] == pytest.approx((plane[y, x] - mean) / (deviation + 1))
    features = block_features(found, 12)
    assert features.shape == (6, 18)
    shape, left, right = fit_aggd(found[12:24, 24:36][None])
    assert features[5, :2] == pytest.approx([shape[0], (left[0] + right[0]) / 2])
    block = found[:12, 12:24]
    neighbour = np.array([[block[y, (x - 1) % 12] for x in range(12)] for y in range(12)])
    shape, left, right = fit_aggd((block * neighbour)[None])
    assert features[1, [2, 4, 5]] == pytest.approx([shape[0], left[0], right[0]])


def test_halving_keeps_constants_and_ramps() -> None:
    """Cubic interpolation reproduces a plane; an output pixel sits between input pixels 2i and 2i + 1."""
    y, x = np.mgrid[0:40, 0:60].astype(float)
    found = halved(3 * y + 2 * x + 7)
    inside = (slice(3, -3), slice(3, -3))
    expected = 3 * (2 * y[:20, :30] + 0.5) + 2 * (2 * x[:20, :30] + 0.5) + 7
    assert found.shape == (20, 30)
    assert found[inside] == pytest.approx(expected[inside])


def test_torchvision_imports_after_the_shim() -> None:
    """In a fresh process, twice, with lpips behind it: whatever wheels of PyTorch and torchvision are installed."""
    code = (
        "from core.torchvision_shim import ensure_torchvision as shim; shim(); shim(); "
        "import torchvision, lpips; shim(); print(len(torchvision.models.alexnet(weights=None).features))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "13", run.stderr
