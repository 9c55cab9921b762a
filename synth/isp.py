"""A small image signal processor and its inverse: colour matrices, white balance, Bayer mosaic, demosaicing.

All images are linear light, float32, full scale 1.0. Sources: Brooks et al., Unprocessing Images for Learned Raw
Denoising, CVPR 2019 (the order of the steps and the ranges of the gains); Malvar, He and Cutler, High-quality Linear
Interpolation for Demosaicing of Bayer-patterned Color Images, ICASSP 2004 (the filters).
"""

from __future__ import annotations

import cv2
import numpy as np

BAYER_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")  # colours of the first two px of the first two rows
RED_GAINS = (1.9, 2.4)
BLUE_GAINS = (1.5, 1.9)

# XYZ (D65) to camera, times 10000: facts about cameras that Adobe's DNG converter publishes in its profiles.
CAMERA_MATRICES: dict[str, tuple[int, ...]] = {
    "Sony ILCE-7": (5271, -712, -347, -6153, 13653, 2763, -1601, 2366, 7242),
    "Sony ILCE-7R": (4913, -541, -202, -6130, 13513, 2906, -1564, 2151, 7183),
    "Sony ILCE-7RM2": (6629, -1900, -483, -4618, 12349, 2550, -622, 1381, 6514),
    "Sony ILCE-7S": (5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
}
# Linear sRGB to XYZ (IEC 61966-2-1).
_SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

# Malvar's filters, times 8. Rows and columns from -2 to 2; the missing colour at a pixel of another one.
_GREEN = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_ALONG_ROW = ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0))
_DIAGONAL = ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0))


def camera_matrix(name: str) -> np.ndarray:
    """Linear sRGB to a camera's own colours; white stays white. Shape: [3, 3] float32, rows sum to 1.

    Errors: ValueError for a camera that is not in CAMERA_MATRICES.
    """
    if name not in CAMERA_MATRICES:
        raise ValueError(f"there is no colour matrix of {name!r}; there are {', '.join(CAMERA_MATRICES)}")
    matrix = np.array(CAMERA_MATRICES[name], dtype=np.float64).reshape(3, 3) @ _SRGB_TO_XYZ
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def through_matrix(image_lin: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Every pixel's colour multiplied by a matrix. Shape: [H, W, 3] and [3, 3] -> [H, W, 3] float32, new."""
    return cv2.transform(np.ascontiguousarray(image_lin, dtype=np.float32), matrix)


def gain_map(height: int, width: int, bayer: str, red_gain: float, blue_gain: float) -> np.ndarray:
    """White-balance gain of every pixel of a mosaic. Shape: [H, W] float32."""
    gains = {"R": red_gain, "G": 1.0, "B": blue_gain}
    tile = np.array([gains[colour] for colour in bayer], dtype=np.float32).reshape(2, 2)
    return np.tile(tile, ((height + 1) // 2, (width + 1) // 2))[:height, :width]


def mosaic(image_lin: np.ndarray, bayer: str) -> np.ndarray:
    """The one colour of each pixel that a Bayer sensor sees. Shape: [H, W, 3] -> [H, W], a new array."""
    raw = np.empty(image_lin.shape[:2], dtype=np.float32)
    for index, colour in enumerate(bayer):
        place = np.s_[index // 2 :: 2, index % 2 :: 2]
        raw[place] = image_lin[..., "RGB".index(colour)][place]
    return raw


def demosaic(raw: np.ndarray, bayer: str) -> np.ndarray:
    """Colours from a mosaic by Malvar's linear filters; the border is mirrored, which keeps the pattern.

    Shape: [H, W] float32 -> [H, W, 3] float32. Range: as given; edges may overshoot a little.
    Errors: ValueError for a mosaic smaller than 3 px on a side.
    """
    height, width = raw.shape
    if min(height, width) < 3:
        raise ValueError(f"a mosaic is at least 3 px high and wide, got {width}x{height}")
    green, along_row, diagonal = (_filtered(raw, kernel) for kernel in (_GREEN, _ALONG_ROW, _DIAGONAL))
    along_column = _filtered(raw, tuple(zip(*_ALONG_ROW, strict=True)))
    image = np.empty((height, width, 3), dtype=np.float32)
    for index, colour in enumerate(bayer):
        place = np.s_[index // 2 :: 2, index % 2 :: 2]
        if colour == "G":
            neighbour = "RGB".index(bayer[index ^ 1])  # the other colour of this row
            image[..., neighbour][place] = along_row[place]
            image[..., 2 - neighbour][place] = along_column[place]
            image[..., 1][place] = raw[place]
        else:
            own = "RGB".index(colour)
            image[..., own][place] = raw[place]
            image[..., 1][place] = green[place]
            image[..., 2 - own][place] = diagonal[place]
    return image


def _filtered(raw: np.ndarray, kernel: tuple[tuple[float, ...], ...]) -> np.ndarray:
    return cv2.filter2D(raw, cv2.CV_32F, np.array(kernel, dtype=np.float32) / 8, borderType=cv2.BORDER_REFLECT_101)
