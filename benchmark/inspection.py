"""What pixels tell about how an image pair was made: domain of the blur, sharpness, displacement, JPEG, likeness.

Images are uint8 [H, W, 3], RGB, as image files hold them; luma planes are float64 [H, W] in 0..255.
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.fft

from benchmark.metrics.images import luma

GAMMA = 2.2  # of GoPro's other input folder
BLOCK_PX = 64  # of the local means that tell the blur's domain
DARKEST = 0.02  # of full scale: the level below which a block counts as that dark
JPEG_BLOCK_PX = 8
# Frequencies (down, right) of the 8 x 8 cosine transform at which JPEG's steps are looked for.
JPEG_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (2, 2), (1, 3), (3, 1), (3, 3), (0, 4), (4, 0))
JPEG_STEPS = range(2, 49)
JPEG_COMB, JPEG_VALUES = 0.3, 300  # untouched photographs stay below 0.1 with that many values
HASH_SIDE = 16
SMALLEST_ENERGY = 1e-6


def luma_of(image: np.ndarray) -> np.ndarray:
    """Luma of an image. Shape: [H, W, 3] uint8 -> [H, W] float64, 0..255."""
    return luma(np.ascontiguousarray(image.transpose(2, 0, 1)))


def gamma_evidence(blur: np.ndarray, sharp: np.ndarray) -> tuple[float, float]:
    """(found, expected): how much brighter the blurred image is, and how much gamma 2.2 would make it, over blocks.

    A mean of encoded values keeps the local mean of what was averaged. A mean under gamma 2.2 is brighter, by
    (2.2 - 1) / 2 times the variance that the blur took away over the level (second order). Both are sums over blocks;
    those summed over several images divide to about 0 for a plain mean and about 1 for gamma 2.2. What moves through a
    block's border adds noise to `found`: the tenth of the blocks that changed most is left out.
    Shape: two images of one size.
    """
    x, y = (image.astype(np.float64) / 255 for image in (blur, sharp))
    side = max(8, min(BLOCK_PX, min(x.shape[:2]) // 4))
    mean_x, mean_y = _block_means(x, side), _block_means(y, side)
    found = mean_x - mean_y
    lost = (_block_means(y * y, side) - mean_y**2) - (_block_means(x * x, side) - mean_x**2)
    expected = (GAMMA - 1) / 2 * lost / np.maximum(mean_y, DARKEST)
    usual = np.abs(found) <= np.quantile(np.abs(found), 0.9)
    return float(found[usual].sum()), float(expected[usual].sum())


def sharpness(plane: np.ndarray) -> float:
    """Mean squared second difference of a luma plane, after a little smoothing against noise."""
    smooth = cv2.GaussianBlur(plane, (0, 0), 1.0)
    return float(np.square(cv2.Laplacian(smooth, cv2.CV_64F)).mean())


def displacement(first: np.ndarray, second: np.ndarray) -> tuple[float, int, int]:
    """(likeness, down, right): the whole-pixel shift of `first` at which two lumas are most alike, and how much.

    Shape: two planes of one size. likeness: normalised correlation there, 1 for the same picture. Units: px.
    """
    height, width = first.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    planes = [(plane - cv2.GaussianBlur(plane, (0, 0), 16)) * window for plane in (first, second)]
    energy = np.sqrt(np.square(planes[0]).sum() * np.square(planes[1]).sum())
    if energy < SMALLEST_ENERGY:  # two flat images
        return 1.0, 0, 0
    product = scipy.fft.rfft2(planes[1]) * np.conj(scipy.fft.rfft2(planes[0]))
    correlation = scipy.fft.irfft2(product, s=(height, width))
    down, right = divmod(int(np.argmax(correlation)), width)
    likeness = float(correlation[down, right] / energy)
    return likeness, (down + height // 2) % height - height // 2, (right + width // 2) % width - width // 2


def jpeg_steps(plane: np.ndarray) -> dict[tuple[int, int], int]:
    """Frequencies at which the values of the 8 x 8 cosine transform are multiples of a step, as JPEG leaves them.

    Shape: a luma plane whose top left corner is that of the JPEG. Returns {(down, right): step}; two or more are a
    sure sign. Qualities up to about 95 leave steps above 1; above that nothing can be told, and little is lost.
    """
    rows, columns = plane.shape[0] // JPEG_BLOCK_PX, plane.shape[1] // JPEG_BLOCK_PX
    whole = plane[: rows * JPEG_BLOCK_PX, : columns * JPEG_BLOCK_PX] - 128.0
    blocks = whole.reshape(rows, JPEG_BLOCK_PX, columns, JPEG_BLOCK_PX).transpose(0, 2, 1, 3)
    values = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")
    found = {}
    for down, right in JPEG_FREQUENCIES:
        magnitudes = np.abs(values[:, :, down, right].ravel())
        for step in JPEG_STEPS:
            large = magnitudes[magnitudes > 1.5 * step]  # values near 0 are multiples of anything
            if len(large) < JPEG_VALUES:
                break
            if np.cos(2 * np.pi / step * large).mean() > JPEG_COMB:
                found[down, right] = step
                break
    return found


def perceptual_hash(image: np.ndarray) -> np.ndarray | None:
    """256 bits that neighbouring frames and re-compressed copies nearly share: which of two neighbours is brighter.

    Shape: [H, W, 3] uint8 -> [256] bool. None for an image with too little in it to be told from others.
    Source: the "difference hash" in common use.
    """
    small = cv2.resize(luma_of(image), (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    if np.abs(np.diff(small, axis=1)).mean() < 1.0:
        return None
    return (small[:, 1:] > small[:, :-1]).ravel()


def _block_means(values: np.ndarray, side: int) -> np.ndarray:
    """Means over whole blocks, those at the image's border left out. Shape: [H, W, 3] -> [rows, columns, 3]."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    whole = values[: rows * side, : columns * side]
    means = whole.reshape(rows, side, columns, side, -1).mean(axis=(1, 3))
    return means[1:-1, 1:-1] if min(rows, columns) > 2 else means
