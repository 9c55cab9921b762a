"""NIQE: how far an image's local statistics lie from those of undistorted photographs. Needs no sharp image.

Written from Mittal, Soundararajan, Bovik, "Making a completely blind image quality analyzer", IEEE SPL 20 (3), 2013.
The luma is Y = .299 R + .587 G + .114 B rounded to 0..255 (pyiqa's default, "yiq"); nothing is cut but the rows and
columns at the bottom and right that do not fill a block of 96 px.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.special import gammaln

from benchmark.metrics.images import checked_single, luma, to_array
from benchmark.protocols import Metric
from core.weights_files import find_file, weights_folder

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_PX = 96
FEATURES = 36
FILES = ("niqe_pris_params.npz", "niqe_modelparameters.mat")  # BasicSR's and the authors' file of the same model
KEPT = Path(__file__).resolve().parent / "parameters" / FILES[0]
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # horizontal, vertical and the two diagonals
_SHAPES = np.arange(200, 10001) / 1000  # the shape parameters among which the fit chooses


def missing() -> str | None:
    """None: the model is kept beside the metrics, so that nothing is ever missing."""
    return None


def model_file() -> Path:
    """The model in the weights folder, if there is one; else the kept one (parameters/README.md)."""
    return find_file(*FILES) or KEPT


def niqe(restored: Tensor, sharp: Tensor | None = None) -> float:
    """NIQE of an image in [0, 1]; lower is better. Shape: [3, H, W] RGB or [1, H, W] luma.

    Errors: ValueError for an unsuitable model file, or an image without two textured blocks of 96 x 96 px.
    """
    mean, covariance, window = _model(weights_folder())
    return niqe_of_luma(rounded_luma(to_array(restored)), mean, covariance, window)


def rounded_luma(image: np.ndarray) -> np.ndarray:
    """Luma as whole numbers 0..255. Shape: [3, H, W] or [1, H, W] in [0, 1] -> [H, W] float64.

    In single precision, as pyiqa has it: one 8-bit colour in a thousand falls on a half, and which way those are
    rounded moves NIQE by up to 0.005.
    """
    return np.rint(luma(image.astype(np.float32)) * np.float32(255)).astype(np.float64)


def niqe_of_luma(plane: np.ndarray, mean: np.ndarray, covariance: np.ndarray, window: np.ndarray) -> float:
    """Distance between the model (mean [36], covariance [36, 36]) and the Gaussian of this plane's blocks (eq. 10).

    Shape: plane [H, W] float64. Range: 0..255.
    """
    rows, columns = plane.shape[0] // BLOCK_PX, plane.shape[1] // BLOCK_PX
    if rows * columns < 2:
        size = f"{plane.shape[1]} x {plane.shape[0]}"
        raise ValueError(f"niqe needs at least two blocks of {BLOCK_PX} x {BLOCK_PX} px, the image has {size} px")
    whole = np.ascontiguousarray(plane[: rows * BLOCK_PX, : columns * BLOCK_PX])
    scales = ((whole, BLOCK_PX), (halved(whole), BLOCK_PX // 2))
    features = np.concatenate([block_features(normalised(image, window), side) for image, side in scales], axis=1)
    complete = features[~np.isnan(features).any(axis=1)]
    if len(complete) < 2:
        raise ValueError("niqe needs at least two blocks with texture, this image is flat almost everywhere")
    # As in the authors' program: the mean of a feature over the blocks that have it, the covariance over complete ones.
    difference = mean - np.nanmean(features, axis=0)
    pooled = (covariance + np.cov(complete, rowvar=False)) / 2
    inverse = np.linalg.pinv(pooled, rcond=FEATURES * np.finfo(np.float64).eps)
    return float(np.sqrt(difference @ inverse @ difference))


def normalised(plane: np.ndarray, window: np.ndarray) -> np.ndarray:
    """(I - mu) / (sigma + 1) with local mean and deviation under the window, border pixels repeated (eq. 1 to 3)."""
    mean = cv2.filter2D(plane, cv2.CV_64F, window, borderType=cv2.BORDER_REPLICATE)
    square = cv2.filter2D(plane * plane, cv2.CV_64F, window, borderType=cv2.BORDER_REPLICATE)
    return (plane - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)


def halved(plane: np.ndarray) -> np.ndarray:
    """Half size by antialiased bicubic interpolation (a = -0.5), mirrored at the border. Shape: even [H, W].

    Every output pixel lies between two input pixels, so one set of eight taps serves all.
    """
    distance = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = np.where(distance <= 1, near, far)
    taps /= taps.sum()
    whole = cv2.sepFilter2D(plane, cv2.CV_64F, taps, taps, anchor=(3, 3), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(whole[::2, ::2])


def block_features(coefficients: np.ndarray, side: int) -> np.ndarray:
    """18 features of every side x side block. Shape: [H, W] -> [blocks, 18]; NaN where a block has no texture.

    Shape and scale of the coefficients, then shape, mean and both scales of their products with four neighbours
    (table I; neighbours wrap around inside the block, as in the authors' program).
    """
    rows, columns = coefficients.shape[0] // side, coefficients.shape[1] // side
    blocks = coefficients.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(-1, side, side)
    shape, left, right = fit_aggd(blocks)
    features = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = fit_aggd(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * np.exp(gammaln(2 / shape) - gammaln(1 / shape))
        features += [shape, mean, left, right]
    return np.stack(features, axis=1)


def fit_aggd(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, left and right scale of an asymmetric generalised Gaussian by matching moments (eq. 4 to 7).

    Shape: [n, h, w] -> three arrays [n]. A block without values on one side has NaN scales and the smallest shape.
    Source: Lasmar, Stitou, Berthoumieu, ICIP 2009.
    """
    shape, left, right = aggd_deviations(blocks)
    scale = np.exp((gammaln(1 / shape) - gammaln(3 / shape)) / 2)
    return shape, left * scale, right * scale


def aggd_deviations(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`fit_aggd` with the deviations of the values on either side in place of the scales. Shape: [n, h, w]."""
    values = blocks.reshape(len(blocks), -1)
    squares = values * values
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(np.where(values < 0, squares, 0).sum(axis=1) / (values < 0).sum(axis=1))
        right = np.sqrt(np.where(values > 0, squares, 0).sum(axis=1) / (values > 0).sum(axis=1))
        ratio = left / right
        moment = np.abs(values).mean(axis=1) ** 2 / squares.mean(axis=1)
        moment *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    table = _moment_table()
    above = np.clip(np.searchsorted(table, moment), 1, len(table) - 1)
    nearest = np.where(moment - table[above - 1] <= table[above] - moment, above - 1, above)
    return _SHAPES[np.where(np.isnan(moment), 0, nearest)], left, right


@functools.lru_cache(maxsize=1)
def _moment_table() -> np.ndarray:
    """Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)) for every shape a; it rises with a."""
    return np.exp(2 * gammaln(2 / _SHAPES) - gammaln(1 / _SHAPES) - gammaln(3 / _SHAPES))


def gaussian_window() -> np.ndarray:
    """The paper's window: 7 x 7, sigma 7/6 px, sum 1."""
    offsets = np.arange(-3, 4)
    taps = np.exp(-(offsets**2) / (2 * (7 / 6) ** 2))
    window = np.outer(taps, taps)
    return window / window.sum()


def single_precision(window: np.ndarray) -> np.ndarray:
    """The window's taps as float32 numbers, as pyiqa has them.

    Not a detail: they then sum to 1 + 1.1e-8, which gives flat areas one sign and a size. With a sum of 1 their sign is
    left to rounding noise, and NIQE moves by up to 0.03 (photographs with saturated areas), in drawn images by over 2.
    """
    return window.astype(np.float32).astype(np.float64)


@functools.lru_cache(maxsize=2)
def _model(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [36], covariance [36, 36] and window [7, 7] from the file found in `folder`, or the kept one."""
    path = model_file()
    try:
        if path.suffix == ".mat":
            import scipy.io

            stored = scipy.io.loadmat(str(path))
            mean, covariance, window = stored["mu_prisparam"], stored["cov_prisparam"], gaussian_window()
        else:
            with np.load(path) as archive:
                mean, covariance = archive["mu_pris_param"], archive["cov_pris_param"]
                window = archive["gaussian_window"] if "gaussian_window" in archive else gaussian_window()
        mean = np.asarray(mean, dtype=np.float64).reshape(FEATURES)
        covariance = np.asarray(covariance, dtype=np.float64).reshape(FEATURES, FEATURES)
        window = single_precision(np.asarray(window, dtype=np.float64).reshape(7, 7))
    except Exception as error:  # whatever the readers say about a file that is not NIQE's model
        raise ValueError(f"{path}: not a NIQE model file ({error})") from None
    return mean, covariance, window


NIQE = Metric(
    name="niqe",
    title="NIQE",
    unit="",
    higher_is_better=False,
    needs_reference=False,
    source="Mittal et al., IEEE SPL 2013; luma .299/.587/.114 rounded to 8 bits, blocks of 96 px, no border cut",
    fn=checked_single(niqe),
    missing=missing,
    unchecked=niqe,
)
