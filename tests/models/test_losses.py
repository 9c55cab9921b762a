"""Losses against the same thing written plainly with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.losses import IMAGE_LOSSES, LOSSES


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    one, two = (torch.from_numpy(rng.random((2, 3, 6, 8))) for _ in range(2))
    return one, two


@pytest.mark.parametrize("name", IMAGE_LOSSES)
def test_scalar_with_gradient_and_smallest_where_equal(name: str, images: tuple[torch.Tensor, torch.Tensor]) -> None:
    restored, sharp = images
    restored.requires_grad_()
    loss = LOSSES[name](restored, sharp)
    assert loss.shape == ()
    loss.backward()
    assert torch.isfinite(restored.grad).all() and restored.grad.abs().sum() > 0
    assert LOSSES[name](sharp, sharp) < loss


def test_l1(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = np.mean(np.abs(images[0].numpy() - images[1].numpy()))
    assert float(LOSSES["l1"](*images)) == pytest.approx(expected)


def test_charbonnier(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = np.mean(np.sqrt((images[0].numpy() - images[1].numpy()) ** 2 + 1e-6))
    assert float(LOSSES["charbonnier"](*images)) == pytest.approx(expected)
    assert float(LOSSES["charbonnier"](images[0], images[0])) == pytest.approx(1e-3)


def test_psnr(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    errors = np.mean((images[0].numpy() - images[1].numpy()) ** 2, axis=(1, 2, 3))
    assert float(LOSSES["psnr"](*images)) == pytest.approx(np.mean(10 * np.log10(errors + 1e-8)))
    assert float(LOSSES["psnr"](images[0], images[0])) == pytest.approx(-80)
    assert float(LOSSES["psnr-40"](images[0], images[0])) == pytest.approx(-40)


def test_mse(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    expected = np.mean((images[0].numpy() - images[1].numpy()) ** 2)
    assert float(LOSSES["mse"](*images)) == pytest.approx(expected)


def test_mimo_frequency(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    one, two = (np.fft.fft2(image.numpy(), axes=(-2, -1)) for image in images)
    expected = (np.abs(one.real - two.real) + np.abs(one.imag - two.imag)).mean() / 2
    assert float(LOSSES["mimo-frequency"](*images)) == pytest.approx(expected)


def test_edge(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Of each image the smoothed half-size copy, put between zeros, smoothed and times four, is taken away."""
    taps = np.array([0.05, 0.25, 0.4, 0.25, 0.05])

    def smoothed(plane: np.ndarray) -> np.ndarray:
        padded = np.pad(plane, 2, mode="edge")
        rows, columns = plane.shape
        return sum(
            taps[dy] * taps[dx] * padded[dy : dy + rows, dx : dx + columns] for dy in range(5) for dx in range(5)
        )

    def level(plane: np.ndarray) -> np.ndarray:
        kept = np.zeros_like(plane)
        kept[::2, ::2] = 4 * smoothed(plane)[::2, ::2]
        return plane - smoothed(kept)

    pairs = zip(images[0].numpy().reshape(-1, 6, 8), images[1].numpy().reshape(-1, 6, 8), strict=True)
    expected = np.mean([np.sqrt((level(one) - level(two)) ** 2 + 1e-6) for one, two in pairs])
    assert float(LOSSES["edge"](*images)) == pytest.approx(expected)
    assert float(LOSSES["edge"](images[0], images[0])) == pytest.approx(1e-3)
