"""DeblurGAN-v2's general restoration set: blurred pictures with noise, JPEG and up-scaling artefacts on top.

Source: Kupyn et al., DeblurGAN-v2, ICCV 2019, the section on general restoration: already blurred pictures of GoPro
and DVD get Gaussian and speckle noise, JPEG compression and up-scaling artefacts through the albumentations library.
The paper names the four degradations and nothing else. The JPEG qualities are those of the authors' program, which
trains with another set of corruptions; every other number in RANGES is ours and `unverified`, and so is the order.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np

# Uniform ranges. Noise is relative to full scale 1.0, the scale is the side of the small picture.
RANGES: dict[str, tuple[float, float]] = {
    "scale": (0.25, 0.75),  # unverified
    "gaussian_std": (0.005, 0.05),  # unverified
    "speckle_std": (0.02, 0.15),  # unverified: of the factor on each value, 1 on average
    "jpeg_quality": (70, 90),  # the authors' program; whether the restoration set used them is unverified
}
PROBABILITY = 0.5  # unverified: of each of the four, independently
UPSCALINGS: dict[str, int] = {  # unverified: equally likely; the picture is made small by area averaging
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}
SMALLEST_PX = 8


@dataclass(frozen=True, kw_only=True)
class RestorationDraw:
    """What happens to one picture, in this order; None is a step left out. `seed` rules the noise itself."""

    scale: float | None
    upscaling: str
    gaussian_std: float | None
    speckle_std: float | None
    jpeg_quality: int | None
    seed: int


def draw_restoration(rng: np.random.Generator) -> RestorationDraw:
    """Random parameters: the same numbers are drawn whatever is left out."""
    applied = {name: bool(rng.random() < PROBABILITY) for name in RANGES}
    values = {name: float(rng.uniform(*span)) for name, span in RANGES.items() if name != "jpeg_quality"}
    low, high = RANGES["jpeg_quality"]
    quality = int(rng.integers(int(low), int(high), endpoint=True))
    return RestorationDraw(
        scale=values["scale"] if applied["scale"] else None,
        upscaling=str(rng.choice(list(UPSCALINGS))),
        gaussian_std=values["gaussian_std"] if applied["gaussian_std"] else None,
        speckle_std=values["speckle_std"] if applied["speckle_std"] else None,
        jpeg_quality=quality if applied["jpeg_quality"] else None,
        seed=int(rng.integers(1, 2**31)),
    )


def restoration_mix(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture with the random degradations of the set. See `apply_restoration` for shape, range and errors."""
    return apply_restoration(image, draw_restoration(rng))


def apply_restoration(image: np.ndarray, draw: RestorationDraw) -> np.ndarray:
    """A picture with given degradations; scaling and JPEG round to 8 bits, as the library does them.

    Shape: [H, W, 3] float32 -> [H, W, 3] float32, new. Range: encoded, [0, 1].
    Errors: ValueError for another shape or type, or a side below SMALLEST_PX.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or min(image.shape[:2]) < SMALLEST_PX:
        raise ValueError(
            f"the restoration set takes a float32 picture [H, W, 3] of {SMALLEST_PX} px or more a side in [0, 1], "
            f"got {image.dtype} {image.shape}; divide 8-bit values by 255"
        )
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # the library asks the network for its version otherwise
    import albumentations

    steps: list[albumentations.BasicTransform] = []
    if draw.scale is not None:
        pair = {"downscale": cv2.INTER_AREA, "upscale": UPSCALINGS[draw.upscaling]}
        steps.append(albumentations.Downscale(scale_range=(draw.scale, draw.scale), interpolation_pair=pair, p=1))
    if draw.gaussian_std is not None:
        steps.append(albumentations.GaussNoise(std_range=(draw.gaussian_std, draw.gaussian_std), p=1))
    if draw.speckle_std is not None:
        half = draw.speckle_std * 3**0.5  # the library's factor is uniform
        steps.append(
            albumentations.MultiplicativeNoise(multiplier=(1 - half, 1 + half), per_channel=True, elementwise=True, p=1)
        )
    if draw.jpeg_quality is not None:
        quality = (draw.jpeg_quality, draw.jpeg_quality)
        steps.append(albumentations.ImageCompression(compression_type="jpeg", quality_range=quality, p=1))
    # The library's Gaussian noise comes from OpenCV's generator of this thread, which its own seed does not touch.
    cv2.setRNGSeed(draw.seed)
    # Its JPEG takes the first channel for blue: red and blue change places on the way in and on the way out.
    swapped = np.ascontiguousarray(image[..., ::-1])
    degraded = albumentations.Compose(steps, seed=draw.seed)(image=swapped)["image"]
    return np.clip(degraded[..., ::-1], 0, 1).astype(np.float32)
