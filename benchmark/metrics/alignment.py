"""Alignment of a restored image with the sharp one: Kohler's, RealBlur's, and the search for a sub-pixel shift.

Kohler's alignment of a restored image with the frames of a camera trajectory: gain, whole-pixel shift, masked luma.

What can be shared is shared: the restored image is transformed once for all frames, and a frame once for all restored
images. Written from the description of the authors' scoring program (Kohler et al., "Recording and playback of camera
shake", ECCV 2012; registration after Guizar-Sicairos et al., Optics Letters 33 (2), 2008, without upsampling).

RealBlur's alignment of a restored image with the sharp one: gain, homography, and a mask of what stays inside.

Two cameras behind a beam splitter are never aligned exactly, and networks shift images; without this step the figures
are 2 dB lower. Written from the description of the authors' scoring programs (Rim et al., ECCV 2020 and 2022); the
registration is OpenCV's (Evangelidis, Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization", IEEE TPAMI 30 (10), 2008). They pin OpenCV 4.2; a newer one may differ in the last digits.

Search for the sub-pixel shift between a restored image and the sharp one, which blind deblurring leaves open.

The exact least-squares search over the whole grid without trying each shift: a bilinear sample is a weighted sum of
four whole-pixel neighbours, so its squared error is a quadratic form in correlations of whole-pixel shifts, and those
come from one FFT (restored with sharp) and from running sums (restored with its own neighbours).
Source: the shift-tolerant scoring of Levin et al., CVPR 2009; range and step as in SelfDeblur (Ren et al., CVPR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import scipy.fft

from benchmark.metrics.images import luma
from benchmark.metrics.ssim import RADIUS_PX, ssim_map


@dataclass(frozen=True, kw_only=True)
class EightBitImage:
    """An 8-bit RGB image with everything the alignment needs of it.

    Shape: planes [3, H, W] uint8; luma [H, W] float64 in 0..255; spectrum of the channel sum (3 times the channel mean,
    which moves no maximum).
    """

    planes: np.ndarray
    luma: np.ndarray
    spectrum: np.ndarray

    @cached_property
    def energy(self) -> float:
        """Sum of squares over pixels and channels, exact."""
        return cv2.norm(self.planes, cv2.NORM_L2SQR)


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """aligned(y, x) = gain * restored(y - down_px, x - right_px), zero where that lies outside. Units: px."""

    gain: float
    down_px: int
    right_px: int


def eight_bit_image(rgb: np.ndarray) -> EightBitImage:
    """Shape: [3, H, W] uint8. Errors: ValueError for anything else."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[0] != 3:
        raise ValueError(f"Kohler's protocol takes 8-bit RGB images [3, H, W], got {rgb.dtype} {list(rgb.shape)}")
    total = np.add(rgb[0], rgb[1], dtype=np.float64)
    total += rgb[2]
    return EightBitImage(
        planes=np.ascontiguousarray(rgb),
        luma=luma(rgb),
        spectrum=scipy.fft.rfft2(total, overwrite_x=True),
    )


def align(restored: EightBitImage, sharp: EightBitImage) -> Alignment:
    """Gain sum(sharp * restored) / sum(restored^2) over the unshifted images, and the circular correlation's maximum.

    A shift in the upper half of the range is read as negative. A black restored image gets the gain 0.
    Errors: ValueError if the sizes differ.
    """
    height, width = sharp.luma.shape
    if restored.luma.shape != (height, width):
        raise ValueError(
            "Kohler's protocol needs the restored image and the trajectory frames in one size, got "
            f"{restored.luma.shape[1]} x {restored.luma.shape[0]} and {width} x {height} px"
        )
    # 2 <x, z> = |x|^2 + |z|^2 - |x - z|^2, in whole numbers
    inner = (sharp.energy + restored.energy - cv2.norm(sharp.planes, restored.planes, cv2.NORM_L2SQR)) / 2
    gain = inner / restored.energy if restored.energy else 0.0
    correlation = scipy.fft.irfft2(sharp.spectrum * np.conj(restored.spectrum), s=(height, width), overwrite_x=True)
    down, right = divmod(int(np.argmax(correlation)), width)
    return Alignment(
        gain=gain,
        down_px=down if down <= (height - 1) // 2 else down - height,
        right_px=right if right <= (width - 1) // 2 else right - width,
    )


def masked_mse(restored: EightBitImage, sharp: EightBitImage, alignment: Alignment) -> float:
    """Mean squared luma error of the aligned pair in units of full scale squared.

    Where the shift brought zeros in, the sharp image is masked to zero as well: those pixels add nothing to the sum but
    stay in the mean.
    """
    source, target = _overlap(sharp.luma.shape, alignment)
    difference = restored.luma[source] * alignment.gain
    difference -= sharp.luma[target]
    np.square(difference, out=difference)
    return float(difference.sum()) / (sharp.luma.size * 255.0**2)


def aligned_luma(restored: EightBitImage, sharp: EightBitImage, alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """The aligned restored luma and the masked sharp luma. Shape: [1, H, W]. Range: [0, 1] nominal, not clamped."""
    source, target = _overlap(sharp.luma.shape, alignment)
    moved, masked = np.zeros_like(sharp.luma), np.zeros_like(sharp.luma)
    moved[target] = restored.luma[source] * (alignment.gain / 255.0)
    masked[target] = sharp.luma[target] / 255.0
    return moved[None], masked[None]


def _overlap(shape: tuple[int, ...], alignment: Alignment) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the restored image that stay inside after the shift, and where they come to lie."""

    def one_axis(length: int, shift: int) -> tuple[slice, slice]:
        return slice(max(0, -shift), length - max(0, shift)), slice(max(0, shift), length - max(0, -shift))

    rows = one_axis(shape[0], alignment.down_px)
    columns = one_axis(shape[1], alignment.right_px)
    return (rows[0], columns[0]), (rows[1], columns[1])


ITERATIONS = 100
FILTER_PX = 5


@dataclass(frozen=True, kw_only=True)
class MaskedPair:
    """The warped restored image and the sharp one, both zero where the mask is.

    Shape: images [3, H, W] float64, range [0, 1] nominal (gain and cubic warp may pass it); mask [H, W], 0 or 1.
    """

    restored: np.ndarray
    sharp: np.ndarray
    mask: np.ndarray


def registered(restored: np.ndarray, sharp: np.ndarray) -> MaskedPair:
    """Bring `restored` to the brightness and the place of `sharp`. Shape: [3, H, W], equal sizes. Range: [0, 1].

    The gain is sum(sharp * restored) / sum(restored^2) of the images as they come, the homography is found on the grey
    images, the warp is cubic with mirrored border. Errors: ValueError where the registration does not converge.
    """
    moving, fixed = (np.ascontiguousarray(image.transpose(1, 2, 0), dtype=np.float32) for image in (restored, sharp))
    energy = float(np.vdot(restored, restored))
    gain = float(np.vdot(sharp, restored)) / energy if energy else 0.0
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, 0.0)
    target, source = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (fixed, moving))
    start, everywhere = np.eye(3, dtype=np.float32), np.ones(target.shape, dtype=np.uint8)
    try:
        _, warp = cv2.findTransformECC(target, source, start, cv2.MOTION_HOMOGRAPHY, stop, everywhere, FILTER_PX)
    except cv2.error as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"the restored image could not be aligned with the sharp one by ECC ({reason})") from None
    size = (fixed.shape[1], fixed.shape[0])
    scaled = moving * np.float32(gain)
    moved = cv2.warpPerspective(
        scaled, warp, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    inside = cv2.warpPerspective(
        np.ones(scaled.shape[:2], dtype=np.float32), warp, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    if not inside.any():
        raise ValueError("the restored image could not be aligned with the sharp one by ECC (nothing stays inside)")
    mask = inside.astype(np.float64)
    return MaskedPair(restored=moved.transpose(2, 0, 1) * mask, sharp=sharp.astype(np.float64) * mask, mask=mask)


def registered_mse(pair: MaskedPair) -> float:
    """Mean squared error over the pixels of the mask and the channels."""
    return float(np.square(pair.restored - pair.sharp).sum()) / (len(pair.sharp) * float(pair.mask.sum()))


def registered_ssim(pair: MaskedPair) -> float:
    """Gaussian SSIM of the masked images, averaged over the mask inside a border of 5 px, then over channels.

    The map is that of scikit-image with Gaussian weights; its border of 5 px is cut, so only whole windows count.
    """
    inner = pair.mask[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
    if not inner.any():
        raise ValueError("SSIM needs pixels at least 5 px from the border, none is left after the alignment")
    planes = zip(pair.restored, pair.sharp, strict=True)
    return float(np.mean([(ssim_map(x, y) * inner).sum() / inner.sum() for x, y in planes]))


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
