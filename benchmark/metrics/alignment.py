"""Kohler's alignment of a restored image with the frames of a camera trajectory: gain, whole-pixel shift, masked luma.

What can be shared is shared: the restored image is transformed once for all frames, and a frame once for all restored
images. Written from the description of the authors' scoring program (Kohler et al., "Recording and playback of camera
shake", ECCV 2012; registration after Guizar-Sicairos et al., Optics Letters 33 (2), 2008, without upsampling).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import scipy.fft

from benchmark.metrics.images import luma


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
