"""BRISQUE's features against a plain program, its regression against the formula, and its model file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch

from benchmark.metrics import METRICS
from benchmark.metrics.brisque import GREATEST, LEAST, _shifted, brisque_features, read_regression
from core.weights_files import set_weights_dir
from tests.benchmark.metric_data import noisy, texture, to_tensor, write_brisque_model

LUMA = np.array([0.299, 0.587, 0.114])


def cubic_half(plane: np.ndarray) -> np.ndarray:
    """Half size (rounded down) by cubic convolution with a = -0.75, no low-pass, border repeated."""
    for axis in (0, 1):
        length = plane.shape[axis]
        count = length // 2
        place = (np.arange(count) + 0.5) * length / count - 0.5
        total = 0.0
        for offset in (-1, 0, 1, 2):
            index = np.floor(place).astype(int) + offset
            t = np.abs(place - index)
            weight = np.where(t > 1, -0.75 * t**3 + 3.75 * t**2 - 6 * t + 3, 1.25 * t**3 - 2.25 * t**2 + 1)
            shape = (-1, 1) if axis == 0 else (1, -1)
            total = total + weight.reshape(shape) * plane.take(np.clip(index, 0, length - 1), axis=axis)
        plane = np.asarray(total)
    return plane


def fit_by_search(values: np.ndarray) -> tuple[float, float, float]:
    """Shape, left and right variance: every shape from 0.2 to 10 in steps of 0.001 is tried."""
    left, right = (values[values < 0] ** 2).mean(), (values[values > 0] ** 2).mean()
    g = math.sqrt(left / right)
    wanted = np.abs(values).mean() ** 2 / (values**2).mean() * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    shapes = np.arange(200, 10001) / 1000
    ratio = [math.gamma(2 / a) ** 2 / (math.gamma(1 / a) * math.gamma(3 / a)) for a in shapes]
    return float(shapes[np.argmin(np.abs(np.array(ratio) - wanted))]), left, right


def features_by_hand(plane: np.ndarray) -> list[float]:
    """The 36 features of a plane in [0, 1], with scipy's filters and loops."""
    features = []
    for scale in (plane, cubic_half(plane)):
        window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
        window = np.outer(window, window) / window.sum() ** 2
        mean = scipy.ndimage.correlate(scale, window, mode="nearest")
        square = scipy.ndimage.correlate(scale**2, window, mode="nearest")
        normal = (scale - mean) / (np.sqrt(np.abs(square - mean**2)) + 1 / 255)
        shape, left, right = fit_by_search(normal)
        features += [shape, (left + right) / 2]
        padded = np.pad(normal, 1)
        height, width = normal.shape
        for down, across in ((0, 1), (1, 0), (1, 1), (-1, 1)):
            neighbour = padded[1 - down : 1 - down + height, 1 - across : 1 - across + width]
            shape, left, right = fit_by_search(normal * neighbour)
            ratio = math.gamma(2 / shape) / math.sqrt(math.gamma(1 / shape) * math.gamma(3 / shape))
            features += [shape, (math.sqrt(right) - math.sqrt(left)) * ratio, left, right]
    return features


@pytest.mark.parametrize("size", [(64, 80), (61, 47)])
def test_features_and_score_by_hand(size: tuple[int, int], tmp_path: Path) -> None:
    image = noisy(texture("brisque", *size), 5)
    luma = np.rint(image @ LUMA) / 255
    expected = np.array(features_by_hand(luma))
    found = brisque_features(luma)
    assert found == pytest.approx(expected, abs=2e-3)  # a shape may fall on the other side of a step of its grid
    assert np.abs(found - expected)[[1, 4, 5, 19, 22, 23]] == pytest.approx(0, abs=1e-7)

    write_brisque_model(tmp_path / "brisque" / "svm.txt")
    set_weights_dir(tmp_path)
    model = read_regression(tmp_path / "brisque" / "svm.txt")
    scaled = [2 * (f - low) / (high - low) - 1 for f, low, high in zip(found, LEAST, GREATEST, strict=True)]
    total = 55.5
    for coefficient, vector in zip(model.coefficients, model.vectors, strict=True):
        total += coefficient * math.exp(-0.05 * sum((a - b) ** 2 for a, b in zip(scaled, vector, strict=True)))
    assert METRICS["brisque"].fn(to_tensor(image), None) == pytest.approx(total, abs=0.01)  # a luma at a half
    set_weights_dir(None)


def test_ranges() -> None:
    assert len(LEAST) == len(GREATEST) == 36
    assert all(low < high for low, high in zip(LEAST, GREATEST, strict=True))


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (1, 1), (-1, 1)])
def test_neighbours(shift: tuple[int, int]) -> None:
    plane = np.arange(1.0, 21.0).reshape(4, 5)
    expected = scipy.ndimage.shift(plane, shift, order=0, mode="constant", cval=0)
    assert _shifted(plane, *shift) == pytest.approx(expected)


def test_model_file(tmp_path: Path) -> None:
    path = write_brisque_model(tmp_path / "svm.txt", vectors=7, lines=7)
    model = read_regression(path)
    assert (model.vectors.shape, model.gamma, model.rho) == ((7, 36), 0.05, -55.5)
    assert (model.vectors == 0).any()  # left out in the file
    with pytest.raises(ValueError, match=r"svm\.txt: a regression with the kernel rbf is needed, .* linear"):
        read_regression(write_brisque_model(path, kernel="linear"))
    with pytest.raises(ValueError, match="39 support vectors, its head says 40; it is cut off"):
        read_regression(write_brisque_model(path, lines=39))
    path.write_text("no model", encoding="utf-8")
    with pytest.raises(ValueError, match=r"svm\.txt: not a BRISQUE model"):
        read_regression(path)


def test_refused_images(tmp_path: Path) -> None:
    write_brisque_model(tmp_path / "svm.txt")
    set_weights_dir(tmp_path)
    with pytest.raises(ValueError, match="flat"):
        METRICS["brisque"].fn(torch.full((3, 64, 64), 0.5), None)
    with pytest.raises(ValueError, match="at least 16 px a side, got 40 x 15 px"):
        METRICS["brisque"].fn(torch.rand(3, 15, 40), None)
    set_weights_dir(None)
