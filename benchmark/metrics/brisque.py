"""BRISQUE: a regression on local statistics of the luma that was fitted to people's ratings. Needs no sharp image.

Written from Mittal, Moorthy, Bovik, "No-reference image quality assessment in the spatial domain", IEEE TIP 21 (12),
2012. The model is a support vector regression in libsvm's text form, evaluated here; it belongs to the authors' C++
release, whose conventions are followed: luma rounded to 8 bits, border pixels repeated under the window, the second
scale by cubic interpolation without a low-pass, products with neighbours outside the image zero. That release states
the range of every feature, below; undoing it on the support vectors gives shapes on the fit's grid of 0.001 and means
that fit their shapes, which shows that model and ranges belong together.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.special import gammaln

from benchmark.metrics.images import checked_single, to_array
from benchmark.metrics.niqe import aggd_deviations, rounded_luma
from benchmark.protocols import Metric
from core.weights_files import find_file, missing_sentence, weights_folder

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = 36
FILES = ("brisque/svm.txt", "brisque*svm*.txt", "svm.txt")
SMALLEST_PX = 16
SIGMA_PX = 7 / 6
SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))  # neighbours: (down, right)
# The least and the greatest value of every feature, by which the model's inputs are brought to -1 .. 1.
LEAST = (
    *(0.336999, 0.019667, 0.230000, -0.125959, 0.000167, 0.000616, 0.231000, -0.125873, 0.000165, 0.000600, 0.241000),
    *(-0.128814, 0.000179, 0.000386, 0.243000, -0.133080, 0.000182, 0.000421, 0.436998, 0.016929, 0.247000, -0.200231),
    *(0.000104, 0.000834, 0.257000, -0.200017, 0.000112, 0.000876, 0.257000, -0.155072, 0.000112, 0.000356, 0.258000),
    *(-0.154374, 0.000117, 0.000351),
)
GREATEST = (
    *(9.999411, 0.807472, 1.644021, 0.202917, 0.712384, 0.468672, 1.644021, 0.169548, 0.713132, 0.467896, 1.553016),
    *(0.101368, 0.687324, 0.533087, 1.554016, 0.101000, 0.689177, 0.533133, 3.639918, 0.800955, 1.096995, 0.175286),
    *(0.755547, 0.399270, 1.095995, 0.155928, 0.751488, 0.402398, 1.041992, 0.093209, 0.623516, 0.532925, 1.042992),
    *(0.093714, 0.621958, 0.534484),
)


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A support vector regression with a Gaussian kernel: f(x) = sum_i c_i exp(-gamma |x - v_i|^2) - rho.

    Shape: coefficients [n], vectors [n, 36].
    """

    coefficients: np.ndarray
    vectors: np.ndarray
    gamma: float
    rho: float

    def __call__(self, scaled: np.ndarray) -> float:
        """Shape: [36], features brought to -1 .. 1."""
        distances = np.square(self.vectors - scaled).sum(axis=1)
        return float(self.coefficients @ np.exp(-self.gamma * distances)) - self.rho


def missing() -> str | None:
    """The sentence that names BRISQUE's model file, or None where it is there."""
    if find_file(*FILES) is not None:
        return None
    return missing_sentence("brisque", FILES[0], "of the package brisque; run python models/weights.py fetch brisque")


def brisque(restored: Tensor, sharp: Tensor | None = None) -> float:
    """BRISQUE of an image in [0, 1], about 0 (good) to 100. Shape: [3, H, W] RGB or [1, H, W] luma.

    Errors: ValueError for a missing or unsuitable model file, or an image that is too small or flat.
    """
    model = _model(weights_folder())
    features = brisque_features(rounded_luma(to_array(restored)) / 255)
    least, greatest = np.array(LEAST), np.array(GREATEST)
    return model(2 * (features - least) / (greatest - least) - 1)


def brisque_features(plane: np.ndarray) -> np.ndarray:
    """18 features at full and 18 at half size. Shape: [H, W] float64 -> [36]. Range: [0, 1]. Errors: ValueError."""
    height, width = plane.shape
    if min(height, width) < SMALLEST_PX:
        raise ValueError(f"brisque needs images of at least {SMALLEST_PX} px a side, got {width} x {height} px")
    half = cv2.resize(plane, (width // 2, height // 2), interpolation=cv2.INTER_CUBIC)
    features = np.concatenate([scale_features(plane), scale_features(half)])
    if not np.isfinite(features).all():
        raise ValueError("brisque needs an image with texture, this one is flat")
    return features


def scale_features(plane: np.ndarray) -> np.ndarray:
    """Shape and variance of the normalised luma; shape, mean and both variances of its products with four neighbours.

    Shape: [H, W] -> [18]. The order of the paper's table I.
    """

    def smooth(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (7, 7), SIGMA_PX, borderType=cv2.BORDER_REPLICATE)

    mean = smooth(plane)
    deviation = np.sqrt(np.maximum(smooth(plane * plane) - mean * mean, 0))
    coefficients = (plane - mean) / (deviation + 1 / 255)
    products = np.stack([coefficients * _shifted(coefficients, down, across) for down, across in SHIFTS])
    shapes, lefts, rights = aggd_deviations(np.concatenate([coefficients[None], products]))
    features = [shapes[0], (lefts[0] ** 2 + rights[0] ** 2) / 2]
    for shape, left, right in zip(shapes[1:], lefts[1:], rights[1:], strict=True):
        mean_ratio = np.exp(gammaln(2 / shape) - (gammaln(1 / shape) + gammaln(3 / shape)) / 2)
        features += [shape, (right - left) * mean_ratio, left * left, right * right]
    return np.array(features)


def _shifted(plane: np.ndarray, down: int, right: int) -> np.ndarray:
    """plane(y - down, x - right), zero outside."""
    height, width = plane.shape
    result = np.zeros_like(plane)
    to_rows, to_columns = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    rows, columns = slice(max(-down, 0), height - max(down, 0)), slice(max(-right, 0), width - max(right, 0))
    result[to_rows, to_columns] = plane[rows, columns]
    return result


@functools.lru_cache(maxsize=2)
def _model(folder: Path) -> Regression:
    path = find_file(*FILES)
    if path is None:
        raise ValueError(missing())
    return read_regression(path)


def read_regression(path: Path) -> Regression:
    """A model file of libsvm. Errors: ValueError that names the file and what it holds instead."""
    try:
        head, vectors = path.read_text(encoding="utf-8").split("\nSV\n", 1)
        facts = dict(line.split(" ", 1) for line in head.splitlines())
        kind = (facts["svm_type"].strip(), facts["kernel_type"].strip())
        rows = [line.split() for line in vectors.splitlines() if line.strip()]
        matrix = np.zeros((len(rows), FEATURES))
        for index, row in enumerate(rows):
            for entry in row[1:]:
                feature, value = entry.split(":")
                matrix[index, int(feature) - 1] = float(value)
        regression = Regression(
            coefficients=np.array([float(row[0]) for row in rows]),
            vectors=matrix,
            gamma=float(facts["gamma"]),
            rho=float(facts["rho"]),
        )
        count = int(facts["total_sv"])
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: not a BRISQUE model in libsvm's text form ({type(error).__name__}: {error})"
        ) from None
    if kind not in (("epsilon_svr", "rbf"), ("nu_svr", "rbf")):
        raise ValueError(f"{path}: a regression with the kernel rbf is needed, this is {' with '.join(kind)}")
    if count != len(regression.coefficients):
        raise ValueError(
            f"{path}: {len(regression.coefficients)} support vectors, its head says {count}; it is cut off"
        )
    return regression


BRISQUE = Metric(
    name="brisque",
    title="BRISQUE",
    unit="",
    higher_is_better=False,
    needs_reference=False,
    source="Mittal et al., IEEE TIP 2012; luma .299/.587/.114 rounded to 8 bits, the authors' regression",
    fn=checked_single(brisque),
    missing=missing,
    unchecked=brisque,
    smallest_px=SMALLEST_PX,
)
