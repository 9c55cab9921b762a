"""Bicubic reduction as MATLAB defines it: weights by hand, laws, and an independent program's values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from core import bicubic


def test_the_kernels_values() -> None:
    """Keys, a = -0.5: 1 at 0, 0 at whole distances, 9/16 at 1/2, -1/16 at 3/2."""
    assert bicubic.keys_kernel(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])).tolist() == pytest.approx(
        [1, 9 / 16, 0, -1 / 16, 0, 0]
    )


def test_weights_of_a_quarter_by_hand() -> None:
    """An output pixel lies between the input's pixels 4 i + 1 and 4 i + 2: distances are odd eighths."""
    places, shares = bicubic.weights(64, 1 / 4)
    middle = dict(zip(places[8].tolist(), shares[8].tolist(), strict=True))
    assert places.shape[0] == 16
    for offset in range(8):
        distance = (offset + 0.5) / 4
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        value = near if distance <= 1 else far
        expected = value / 4
        assert middle[33 - offset] == pytest.approx(expected, abs=1e-12)
        assert middle[34 + offset] == pytest.approx(expected, abs=1e-12)
    assert sum(middle.values()) == pytest.approx(1)


def test_the_border_is_symmetric() -> None:
    """The first pixel outside is the first one inside, the second the second."""
    row = np.arange(16.0)
    mirrored = np.concatenate([row[::-1], row, row[::-1]])
    whole = bicubic.resized(np.tile(mirrored, (16, 1)), 1 / 4)
    assert np.allclose(bicubic.resized(np.tile(row, (16, 1)), 1 / 4), whole[:, 4:8], atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_flat_images_and_ramps_stay(factor: int) -> None:
    flat = np.full((24, 36, 3), 0.3)
    assert np.allclose(bicubic.resized(flat, 1 / factor), 0.3, atol=1e-12)
    ramp = np.tile(np.arange(48.0), (24, 1))
    inner = bicubic.resized(ramp, 1 / factor)[0, 3:-3]
    assert np.allclose(inner, np.arange(3, 48 // factor - 3) * factor + (factor - 1) / 2, atol=1e-9)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_independent_program_agrees_away_from_the_border(factor: int) -> None:
    """PIL's BICUBIC and torch's with antialiasing have a = -0.5 and the same stretched kernel, and other borders."""
    rng = np.random.default_rng(factor)
    image = rng.random((48, 60))
    ours = bicubic.resized(image, 1 / factor)
    size = (60 // factor, 48 // factor)
    pil = np.asarray(Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    inner = np.s_[2:-2, 2:-2]
    assert ours.shape == pil.shape and np.abs(ours - pil)[inner].max() < 1e-5
    tensor = torch.from_numpy(image)[None, None]
    theirs = functional.interpolate(tensor, size=size[::-1], mode="bicubic", antialias=True)[0, 0].numpy()
    assert np.abs(ours - theirs)[inner].max() < 1e-9
    assert np.abs(ours - pil).max() > 1e-4  # the borders differ


def test_enlarging_does_not_stretch_the_kernel() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((12, 12))
    large = bicubic.resized(image, 2)
    theirs = functional.interpolate(torch.from_numpy(image)[None, None], scale_factor=2, mode="bicubic", antialias=True)
    assert np.abs(large - theirs[0, 0].numpy())[4:-4, 4:-4].max() < 1e-9


def test_a_data_sets_file_has_eight_bits() -> None:
    image = np.random.default_rng(1).random((20, 24, 3)).astype(np.float32)
    small = bicubic.reduced(image, 4)
    assert small.shape == (5, 6, 3) and small.dtype == np.float32
    assert np.array_equal(small, (np.round(small * 255) / 255).astype(np.float32))
    assert small.min() >= 0 and small.max() <= 1
