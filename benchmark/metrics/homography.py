"""RealBlur's alignment of a restored image with the sharp one: gain, homography, and a mask of what stays inside.

Two cameras behind a beam splitter are never aligned exactly, and networks shift images; without this step the figures
are 2 dB lower. Written from the description of the authors' scoring programs (Rim et al., ECCV 2020 and 2022); the
registration is OpenCV's (Evangelidis, Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization", IEEE TPAMI 30 (10), 2008). They pin OpenCV 4.2; a newer one may differ in the last digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from benchmark.metrics.ssim import RADIUS_PX, ssim_map

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


def masked_mse(pair: MaskedPair) -> float:
    """Mean squared error over the pixels of the mask and the channels."""
    return float(np.square(pair.restored - pair.sharp).sum()) / (len(pair.sharp) * float(pair.mask.sum()))


def masked_ssim(pair: MaskedPair) -> float:
    """Gaussian SSIM of the masked images, averaged over the mask inside a border of 5 px, then over channels.

    The map is that of scikit-image with Gaussian weights; its border of 5 px is cut, so only whole windows count.
    """
    inner = pair.mask[RADIUS_PX:-RADIUS_PX, RADIUS_PX:-RADIUS_PX]
    if not inner.any():
        raise ValueError("SSIM needs pixels at least 5 px from the border, none is left after the alignment")
    planes = zip(pair.restored, pair.sharp, strict=True)
    return float(np.mean([(ssim_map(x, y) * inner).sum() / inner.sum() for x, y in planes]))
