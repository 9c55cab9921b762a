"""Scores of one image under a protocol: rounding, alignment, luma, border, metrics. Used by all entry points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics import METRICS, alignment
from benchmark.metrics.alignment import (
    MaskedPair,
    best_shift,
    common_region,
    registered,
    registered_mse,
    registered_ssim,
    sampled,
)
from benchmark.metrics.images import check_image, luma, studio_luma, to_array
from benchmark.metrics.psnr import from_mse
from benchmark.protocols import EvalProtocol, Metric
from core.command_line import did_you_mean
from core.image_files import image_size, read_header, read_image, read_picture

if TYPE_CHECKING:
    from torch import Tensor

SHIFT_SIZE_SLACK_PX = 2  # Lai's sharp and blurred images differ by about 1 px in size


def load_image(path: Path) -> Tensor:
    """Read an image file, grey ones as three equal channels, 16-bit ones with all their levels.

    Shape: [3, H, W] float32. Range: [0, 1], sRGB-encoded. Errors: ValueError, one sentence with the file's name, if it
    is unreadable or transparent in places; OSError.
    """
    import cv2
    import torch

    if read_header(path).colour:
        return torch.from_numpy(np.stack(cv2.split(read_image(path)))).float().div_(255)
    picture = read_picture(path)
    if picture.alpha is not None:
        raise ValueError(f"{path}: the image is transparent in places; save it without an alpha channel")
    planes = np.stack(cv2.split(picture.rgb)).astype(np.float32)
    return torch.from_numpy(planes).div_(picture.levels)


def find_metrics(metric_ids: Sequence[str], protocol: EvalProtocol) -> list[Metric]:
    """The metrics of these ids. Errors: ValueError for an unknown id, or one that needs a sharp image and has none."""
    found = []
    for name in metric_ids:
        if name not in METRICS:
            near = did_you_mean(name, METRICS)
            raise ValueError(f"unknown metric {name!r}; there are: {', '.join(METRICS)} and pyiqa:NAME{near}")
        if METRICS[name].needs_reference and not protocol.reference:
            usable = ", ".join(metric.name for metric in METRICS.values() if not metric.needs_reference)
            raise ValueError(f"{protocol.name} has no sharp images, so {name} cannot be computed; usable: {usable}")
        found.append(METRICS[name])
    if not found:
        raise ValueError(f"no metric was named; {protocol.name} usually takes {', '.join(protocol.metrics)}")
    return found


def missing_metrics(metric_ids: Sequence[str], images: Sequence[Path] = ()) -> dict[str, str]:
    """The metrics among `metric_ids` that cannot run here, each with the sentence that says what it lacks.

    images: those to be scored; a metric for which all of them are too small is missing. Unreadable ones tell nothing.
    """
    sentences = {name: METRICS[name].missing() for name in metric_ids if name in METRICS}
    side = _largest_side(images, max((METRICS[name].smallest_px for name in sentences), default=1))
    for name in sentences:
        least = METRICS[name].smallest_px
        if side is not None and side < least:
            sentences[name] = f"{name} needs images of at least {least} px a side, these have {side} px"
    return {name: sentence for name, sentence in sentences.items() if sentence is not None}


def _largest_side(images: Sequence[Path], enough: int) -> int | None:
    """The largest of the images' shorter sides, as far as it is below `enough`; None if none can be read. Units: px."""
    largest: int | None = None
    for path in images:
        try:
            largest = max(largest or 0, min(image_size(path)))
        except (ValueError, OSError):
            continue
        if largest >= enough:
            break
    return largest


def score_image(
    restored: Tensor, references: Iterable[Tensor], protocol: EvalProtocol, metric_ids: Sequence[str]
) -> dict[str, float]:
    """Score one restored image under a protocol: what benchmark/score.py does to each.

    Parameters
    ----------
    restored : torch.Tensor
        [3, H, W] float RGB, sRGB-encoded, in [0, 1]. It is rounded to 8 bit as the protocol says.
    references : iterable of torch.Tensor
        The sharp image, of the same shape and range; for Kohler all frames of the trajectory, read once and one at a
        time; empty where there is no truth.
    protocol : EvalProtocol
        An entry of `benchmark.protocols.PROTOCOLS`: rounding, alignment, cut, kind of SSIM.
    metric_ids : sequence of str
        Of `benchmark.metrics.METRICS`.

    Returns
    -------
    dict of str to float
        The value of every id in the metric's unit; the PSNR of equal images is infinite.

    Raises
    ------
    ValueError
        For another range or size, an unknown id, or a wrong number of references.

    Examples
    --------
    >>> import torch
    >>> from benchmark.protocols import PROTOCOLS
    >>> sharp = torch.full((3, 40, 60), 100 / 255)
    >>> values = score_image(sharp + 5 / 255, [sharp], PROTOCOLS["gopro-linear"], ["psnr"])
    >>> print(f"{values['psnr']:.3f} dB")  # 20 log10(255 / 5)
    34.151 dB
    """
    return score_restorations([restored], references, protocol, metric_ids)[0]


def score_files(
    restored: Path, references: Sequence[Path], protocol: EvalProtocol, metric_ids: Sequence[str]
) -> dict[str, float]:
    """`score_image` for files; every file is decoded once for all metrics. Errors: ValueError, OSError."""
    return score_image(load_image(restored), map(load_image, references), protocol, metric_ids)


def score_files_apart(
    restored: Path, references: Sequence[Path], protocol: EvalProtocol, metric_ids: Sequence[str]
) -> tuple[dict[str, float], dict[str, str]]:
    """`score_files`, and if that fails metric by metric: an image that is too small for one loses that value only.

    Returns the values, and for every metric without one the sentence that says why.
    Errors: ValueError, OSError if no metric has a value.
    """
    try:
        return score_files(restored, references, protocol, metric_ids), {}
    except ValueError as error:
        if len(metric_ids) < 2:
            raise
        first = error
    values: dict[str, float] = {}
    lost: dict[str, str] = {}
    for name in metric_ids:
        try:
            values |= score_files(restored, references, protocol, [name])
        except ValueError as error:
            lost[name] = str(error)
    if not values:
        raise first
    return values, lost


def score_restorations(
    restored: Sequence[Tensor], references: Iterable[Tensor], protocol: EvalProtocol, metric_ids: Sequence[str]
) -> list[dict[str, float]]:
    """`score_image` for several restorations of one image, with every reference read (and transformed) only once."""
    metrics = find_metrics(metric_ids, protocol)
    for image in restored:
        check_image(image, "restored image")
        if image.shape[0] != 3:
            raise ValueError(f"restored image: RGB [3, H, W] is needed, got {list(image.shape)}")
    rounded = [quantised(image, protocol.quantise) for image in restored]
    compared = [metric for metric in metrics if metric.needs_reference]
    scores: list[dict[str, float]] = [{} for _ in rounded]
    for image, values in zip(rounded, scores, strict=True):
        values.update({metric.name: metric.fn(image, None) for metric in metrics if not metric.needs_reference})
    if compared and protocol.align == "kohler":
        frames = references if protocol.testset == "kohler" else [_only_reference(references, protocol)]
        _score_trajectory(rounded, frames, protocol, compared, scores)
    elif compared:
        sharp = _only_reference(references, protocol)
        for image, values in zip(rounded, scores, strict=True):
            values.update(_score_pair(image, sharp, protocol, compared))
    return [{name: values[name] for name in metric_ids} for values in scores]


def quantised(image: Tensor, how: str) -> Tensor:
    """The image as 8-bit values, still float32 in [0, 1]: "round" to the nearest, "truncate", or "none" to leave it.

    The result is what `load_image` gives for the saved file, bit for bit. Errors: ValueError for another word.
    """
    if how == "none":
        return image
    if how not in ("round", "truncate"):
        raise ValueError(f"quantise is round, truncate or none, not {how!r}")
    levels = image.detach().float().clamp(0, 1) * 255
    # 8-bit values times 255 may come out a hair below the whole number; truncation must not take a level off them.
    levels = levels.round() if how == "round" else (levels + 1e-4).floor()
    return levels.div(255)


def _only_reference(references: Iterable[Tensor], protocol: EvalProtocol) -> Tensor:
    found = list(references)
    if len(found) != 1:
        raise ValueError(f"{protocol.name} compares with one sharp image, got {len(found)}")
    check_image(found[0], "sharp image")
    return found[0]


def _score_pair(restored: Tensor, sharp: Tensor, protocol: EvalProtocol, metrics: Sequence[Metric]) -> dict[str, float]:
    import torch

    if protocol.align == "shift":
        planes = luma(to_array(restored)), luma(to_array(sharp))
        moved, target = common_region(planes[0], planes[1], allowed_px=SHIFT_SIZE_SLACK_PX)
        cut = protocol.crop_px
        down, right = best_shift(moved, target, cut)
        aligned = sampled(moved, down, right, cut)[None]
        fixed = np.ascontiguousarray(target[cut:-cut, cut:-cut])[None]
        return _apply(metrics, torch.from_numpy(aligned), torch.from_numpy(fixed))
    if protocol.align not in ("none", "ecc"):
        raise ValueError(f"{protocol.name}: alignment {protocol.align!r} is not known; none, kohler, shift and ecc are")
    if protocol.scale > 1:
        sharp = _cut_to(sharp, restored, protocol.scale)
    if restored.shape != sharp.shape:
        raise ValueError(
            f"restored and sharp images must have one size, got {restored.shape[2]} x {restored.shape[1]} and "
            f"{sharp.shape[2]} x {sharp.shape[1]} px"
        )
    if protocol.align == "ecc":
        return _score_registered(registered(to_array(restored), to_array(sharp)), metrics)
    if protocol.luma:
        weigh = studio_luma if protocol.studio_luma else luma
        restored, sharp = (torch.from_numpy(weigh(to_array(image)))[None] for image in (restored, sharp))
    return _apply(metrics, _cut(restored, protocol), _cut(sharp, protocol))


def _cut_to(sharp: Tensor, restored: Tensor, scale: int) -> Tensor:
    """The sharp image without the rows and columns that its reduced one has no pixel for."""
    height, width = restored.shape[1:]
    fits = 0 <= sharp.shape[1] - height < scale and 0 <= sharp.shape[2] - width < scale
    return sharp[:, :height, :width] if fits else sharp


def _cut(image: Tensor, protocol: EvalProtocol) -> Tensor:
    """The image without the protocol's border."""
    cut = protocol.crop_px
    if 2 * cut >= min(image.shape[1:]):
        raise ValueError(f"{protocol.name} cuts {cut} px on every side and the image has {list(image.shape[1:])} px")
    return image[:, cut : image.shape[1] - cut, cut : image.shape[2] - cut]


def _score_registered(pair: MaskedPair, metrics: Sequence[Metric]) -> dict[str, float]:
    """PSNR and Gaussian SSIM over the mask, as the authors have them; other metrics see the masked images whole."""
    import torch

    masked = {
        "psnr": lambda: from_mse(registered_mse(pair)),
        "ssim-skimage-gauss": lambda: registered_ssim(pair),
        "ssim-gauss-valid": lambda: registered_ssim(pair),
    }
    images = [torch.from_numpy(np.ascontiguousarray(image)) for image in (pair.restored, pair.sharp)]
    return {
        metric.name: masked[metric.name]() if metric.name in masked else _apply([metric], *images)[metric.name]
        for metric in metrics
    }


def _score_trajectory(
    restored: Sequence[Tensor],
    references: Iterable[Tensor],
    protocol: EvalProtocol,
    metrics: Sequence[Metric],
    scores: list[dict[str, float]],
) -> None:
    """Kohler: every metric keeps the best value over all trajectory frames, each on its own."""
    images = [alignment.eight_bit_image(_levels(_cut(image, protocol))) for image in restored]
    frames = 0
    for reference in references:
        frames += 1
        check_image(reference, "trajectory frame")
        sharp = alignment.eight_bit_image(_levels(_cut(reference, protocol)))
        for image, values in zip(images, scores, strict=True):
            for name, value in _score_aligned(image, sharp, metrics).items():
                best = max if METRICS[name].higher_is_better else min
                values[name] = best(values.get(name, value), value)
    if not frames:
        raise ValueError("Kohler's protocol needs at least one trajectory frame, got none")


def _score_aligned(
    restored: alignment.EightBitImage, sharp: alignment.EightBitImage, metrics: Sequence[Metric]
) -> dict[str, float]:
    import torch

    found = alignment.align(restored, sharp)
    values = {}
    if any(metric.name == "psnr" for metric in metrics):  # without writing the aligned images
        values["psnr"] = from_mse(alignment.masked_mse(restored, sharp, found))
    others = [metric for metric in metrics if metric.name != "psnr"]
    if others:
        pair = (torch.from_numpy(plane) for plane in alignment.aligned_luma(restored, sharp, found))
        values.update(_apply(others, *pair))
    return values


def _apply(metrics: Sequence[Metric], restored: Tensor, sharp: Tensor) -> dict[str, float]:
    return {metric.name: (metric.unchecked or metric.fn)(restored, sharp) for metric in metrics}


def _levels(image: Tensor) -> np.ndarray:
    """[3, H, W] uint8 of an image in [0, 1]."""
    return np.ascontiguousarray((image.detach().cpu().clamp(0, 1) * 255).round().byte().numpy())
