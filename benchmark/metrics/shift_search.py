"""Search for the sub-pixel shift between a restored image and the sharp one, which blind deblurring leaves open.

The exact least-squares search over the whole grid without trying each shift: a bilinear sample is a weighted sum of
four whole-pixel neighbours, so its squared error is a quadratic form in correlations of whole-pixel shifts, and those
come from one FFT (restored with sharp) and from running sums (restored with its own neighbours).
Source: the shift-tolerant scoring of Levin et al., CVPR 2009; range and step as in SelfDeblur (Ren et al., CVPR 2020).
"""

from __future__ import annotations

import numpy as np
import scipy.fft

RANGE_PX = 10
STEPS_PER_PX = 4
TIE = 1e-11  # of the images' energy: squared errors closer than this are equal, the smallest shift wins


def common_region(restored: np.ndarray, sharp: np.ndarray, allowed_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut both [..., H, W] to the size they share, from the top left corner.

    Errors: ValueError if the sizes differ by more than `allowed_px`: those are not two versions of one image.
    """
    heights, widths = (restored.shape[-2], sharp.shape[-2]), (restored.shape[-1], sharp.shape[-1])
    if max(abs(heights[0] - heights[1]), abs(widths[0] - widths[1])) > allowed_px:
        raise ValueError(
            f"restored and sharp sizes may differ by at most {allowed_px} px in this protocol, got "
            f"{widths[0]} x {heights[0]} and {widths[1]} x {heights[1]} px"
        )
    region = (..., slice(min(heights)), slice(min(widths)))
    return restored[region], sharp[region]


def squared_errors(restored: np.ndarray, sharp: np.ndarray, cut_px: int) -> np.ndarray:
    """Sum of squared errors for every shift of the grid, over the sharp image without its border.

    Shape: two planes [H, W] -> [81, 81]; entry [i, j] is for the shift ((i - 40) / 4, (j - 40) / 4) px of `sampled`.
    Errors: ValueError if the border is too thin for the range or leaves nothing.
    """
    height, width = sharp.shape[0] - 2 * cut_px, sharp.shape[1] - 2 * cut_px
    if cut_px < RANGE_PX + 1 or height < 1 or width < 1:
        raise ValueError(
            f"a shift search of {RANGE_PX} px after a cut of {cut_px} px needs images of more than {2 * cut_px} px a "
            f"side, got {sharp.shape[1]} x {sharp.shape[0]} px"
        )
    level = sharp.mean()  # bilinear weights sum to 1, so a common offset changes nothing but the rounding errors
    target = sharp[cut_px:-cut_px, cut_px:-cut_px] - level
    first = cut_px - RANGE_PX
    area = restored[first : first + height + 2 * RANGE_PX + 1, first : first + width + 2 * RANGE_PX + 1] - level

    with_sharp = _valid_correlation(area, target)  # [22, 22]: whole shifts -10 .. 11
    same = _box_sums(area * area, height, width)  # [22, 22]
    below = _box_sums(area[:-1] * area[1:], height, width)  # [21, 22]
    beside = _box_sums(area[:, :-1] * area[:, 1:], height, width)  # [22, 21]
    falling = _box_sums(area[:-1, :-1] * area[1:, 1:], height, width)  # [21, 21]
    rising = _box_sums(area[1:, :-1] * area[:-1, 1:], height, width)  # [21, 21]

    count = 2 * RANGE_PX * STEPS_PER_PX + 1
    errors = np.empty((count, count))
    here, there = slice(0, -1), slice(1, None)
    for row in range(STEPS_PER_PX):
        v = row / STEPS_PER_PX
        for column in range(STEPS_PER_PX):
            u = column / STEPS_PER_PX
            a, b, c, d = (1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u  # top left, top right, below them
            own = a * a * same[here, here] + b * b * same[here, there] + c * c * same[there, here]
            own += d * d * same[there, there]
            own += 2 * (a * b * beside[here] + c * d * beside[there] + a * c * below[:, here] + b * d * below[:, there])
            own += 2 * (a * d * falling + b * c * rising)
            cross = a * with_sharp[here, here] + b * with_sharp[here, there]
            cross += c * with_sharp[there, here] + d * with_sharp[there, there]
            block = own - 2 * cross  # [21, 21]: whole shifts -10 .. 10 plus (v, u)
            rows, columns = errors[row::STEPS_PER_PX], errors[:, column::STEPS_PER_PX]
            errors[row::STEPS_PER_PX, column::STEPS_PER_PX] = block[: rows.shape[0], : columns.shape[1]]
    return errors + np.sum(target * target)


def best_shift(restored: np.ndarray, sharp: np.ndarray, cut_px: int) -> tuple[float, float]:
    """(down, right) of the smallest squared error; among equal ones the shortest, then the first. Units: px."""
    errors = squared_errors(restored, sharp, cut_px)
    energy = float(np.sum(restored * restored) + np.sum(sharp * sharp))
    offsets = (np.arange(errors.shape[0]) - RANGE_PX * STEPS_PER_PX) / STEPS_PER_PX
    length = offsets[:, None] ** 2 + offsets[None, :] ** 2
    tied = np.where(errors <= errors.min() + TIE * energy, length, np.inf)
    row, column = divmod(int(np.argmin(tied)), errors.shape[1])
    return float(offsets[row]), float(offsets[column])


def sampled(plane: np.ndarray, down_px: float, right_px: float, cut_px: int) -> np.ndarray:
    """plane(y + down_px, x + right_px), bilinear, at the pixels left by the cut. Shape: [H, W] -> [H - 2c, W - 2c]."""
    top, left = int(np.floor(down_px)), int(np.floor(right_px))
    v, u = down_px - top, right_px - left
    height, width = plane.shape[0] - 2 * cut_px, plane.shape[1] - 2 * cut_px

    def neighbour(down: int, right: int) -> np.ndarray:
        row, column = cut_px + top + down, cut_px + left + right
        return plane[row : row + height, column : column + width]

    result = (1 - v) * (1 - u) * neighbour(0, 0)
    for weight, down, right in (((1 - v) * u, 0, 1), (v * (1 - u), 1, 0), (v * u, 1, 1)):
        if weight:
            result += weight * neighbour(down, right)
    return result


def _valid_correlation(area: np.ndarray, target: np.ndarray) -> np.ndarray:
    """sum of target * area over every position of the target inside the area."""
    size = [scipy.fft.next_fast_len(length, real=True) for length in area.shape]
    product = scipy.fft.rfft2(area, s=size) * np.conj(scipy.fft.rfft2(target, s=size))
    correlation = scipy.fft.irfft2(product, s=size)
    return correlation[: area.shape[0] - target.shape[0] + 1, : area.shape[1] - target.shape[1] + 1]


def _box_sums(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums over every height x width box inside `values`."""
    rows = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    bands = rows[height:] - rows[: rows.shape[0] - height]
    columns = np.concatenate([np.zeros((bands.shape[0], 1)), np.cumsum(bands, axis=1)], axis=1)
    return columns[:, width:] - columns[:, : columns.shape[1] - width]
