"""Images and stand-in weight files for the metric tests; everything is drawn from seeds, nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io
import scipy.ndimage
import torch
from torch import Tensor

from core.random_streams import stream
from core.torchvision_shim import ensure_torchvision

HEIGHT, WIDTH = 163, 197  # odd on purpose, two NIQE blocks wide, five scales of MS-SSIM high


def texture(name: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Smooth random colours with fine grain. Shape: [H, W, 3] uint8."""
    rng = stream(5, "texture", name)
    coarse = scipy.ndimage.gaussian_filter(rng.standard_normal((height, width, 3)), (6, 6, 0), mode="wrap")
    coarse = 0.5 + 0.2 * coarse / coarse.std()
    return np.clip(np.rint(255 * (coarse + 0.03 * rng.standard_normal(coarse.shape))), 0, 255).astype(np.uint8)


def noisy(image: np.ndarray, sigma: float, name: str = "noise") -> np.ndarray:
    """The image with Gaussian noise of `sigma` levels. Shape: [H, W, 3] uint8."""
    noise = sigma * stream(6, name).standard_normal(image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def to_tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] uint8 -> [3, H, W] float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255


def write_weights(folder: Path) -> None:
    """Files named and shaped like the published ones, with random content: LPIPS' backbones, NIQE, BRISQUE."""
    ensure_torchvision()
    from torchvision import models

    builders = {
        "alexnet-owt-7be5be79.pth": models.alexnet,
        "vgg16-397923af.pth": models.vgg16,
        "squeezenet1_1-b8a52dc0.pth": models.squeezenet1_1,
    }
    (folder / "torchvision").mkdir(parents=True)
    for index, (name, build) in enumerate(builders.items()):
        # The classifiers are large and LPIPS does not use them: only shapes are built, then the features are filled.
        with torch.device("meta"):
            shapes = {key: value.shape for key, value in build(weights=None).state_dict().items()}
        generator = torch.Generator().manual_seed(index)
        filled = {}
        for key, shape in shapes.items():
            if key.startswith("features."):
                fan_in = max(1, int(np.prod(shape[1:])))
                filled[key] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        torch.save(filled, folder / "torchvision" / name)
    write_niqe_model(folder)
    write_brisque_model(folder / "brisque" / "svm.txt")


def write_niqe_model(folder: Path) -> Path:
    """A random NIQE model as .npz in `folder`; returns the path of the same as .mat, the authors' format."""
    rng = stream(7, "niqe model")
    mean = 0.5 + 0.3 * rng.random((1, 36))
    factor = rng.standard_normal((36, 60)) * 0.1
    covariance = factor @ factor.T / 6
    offsets = np.arange(-3, 4)
    taps = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * (7 / 6) ** 2))
    np.savez(
        folder / "niqe_pris_params.npz",
        mu_pris_param=mean,
        cov_pris_param=covariance,
        gaussian_window=taps / taps.sum(),
    )
    path = folder.with_name(folder.name + "_authors") / "niqe_modelparameters.mat"
    path.parent.mkdir(exist_ok=True)
    scipy.io.savemat(path, {"mu_prisparam": mean, "cov_prisparam": covariance})
    return path


def write_brisque_model(path: Path, kernel: str = "rbf", vectors: int = 40, lines: int = 40) -> Path:
    """A random regression in libsvm's text form; zeros are left out, as libsvm does."""
    rng = stream(8, "brisque model")
    head = f"svm_type epsilon_svr\nkernel_type {kernel}\ngamma 0.05\nnr_class 2\ntotal_sv {vectors}\nrho -55.5\nSV\n"
    rows = []
    for _ in range(lines):
        values = np.where(rng.random(36) < 0.1, 0, np.round(rng.uniform(-1, 1, 36), 6))
        entries = " ".join(f"{index}:{value:g}" for index, value in enumerate(values, start=1) if value)
        rows.append(f"{rng.uniform(-100, 100):g} {entries} \n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path
