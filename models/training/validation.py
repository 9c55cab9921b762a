"""Validation while training: the benchmark's PSNR on the middle of held-out images, and a strip to look at."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.metrics import METRICS
from models.faces import skip_detection
from models.restorer import Restorer
from models.training.live_samples import validation_samples
from models.training.pair_sources import Pair
from models.training.plan import Plan
from models.training.samples import centre_crop, validation_face

VALIDATION_CROP_PX = 256
STRIPS = 3  # image strips in the log


def validate(chosen: Plan, weights: dict[str, Tensor], log: Any, steps_done: int) -> dict[str, float | None]:
    """PSNR of the network with these weights and of its input: middle crops, rounded to 8 bits; None without pairs.

    Strips blur | restored | sharp go into the log. Errors: FloatingPointError if the network gives NaN.
    """
    clips = _clips(chosen)
    if not clips:
        return {"psnr": None, "psnr_blur": None}
    module = chosen.spec.build()
    module.load_state_dict(weights)
    restorer = Restorer(chosen.spec, module, chosen.device)
    if chosen.boxes and chosen.spec.task == "face":
        skip_detection(restorer)
    restored, blurred, strips = [], [], []
    for clip in clips:
        blur, sharp = zip(*clip, strict=True)
        scale = chosen.spec.scale  # an enlarging network gets to see area means
        outputs = list(restorer.restore(iter(functional.avg_pool2d(image, scale) for image in blur)))
        for output, source, target in zip(outputs, blur, sharp, strict=True):
            height, width = output.shape[-2:]
            source, target = source[:, :height, :width], target[:, :height, :width]
            restored.append(METRICS["psnr"].fn((output * 255).round() / 255, target))
            blurred.append(METRICS["psnr"].fn(source, target))
        strips.append(torch.cat([source, output, target], dim=2))
    for number, strip in enumerate(strips[:STRIPS]):
        log.add_image(f"validation/blur restored sharp {number}", strip, steps_done)
    result = {"psnr": sum(restored) / len(restored), "psnr_blur": sum(blurred) / len(blurred)}
    for key, value in result.items():
        log.add_scalar(f"validation/{key}", value, steps_done)
    return {key: value if math.isfinite(value) else None for key, value in result.items()}


def _clips(chosen: Plan) -> list[list[tuple[Tensor, Tensor]]]:
    """Blurred and sharp frames of every held-out sequence; live exposures are single pictures."""
    if chosen.live:
        return [[pair] for pair in validation_samples(chosen.live, chosen.recipe.live)]
    return [[_shown(chosen, pair) for pair in clip] for clip in _by_sequence(chosen.sets.validation)]


def _shown(chosen: Plan, pair: Pair) -> tuple[Tensor, Tensor]:
    """What goes in and what should come out: middle crops, or whole faces, degraded as in training."""
    if chosen.boxes:
        return validation_face(pair, chosen.crop_px, chosen.recipe.augmentation)
    return centre_crop(pair.blur, VALIDATION_CROP_PX), centre_crop(pair.sharp, VALIDATION_CROP_PX)


def _by_sequence(pairs: tuple[Pair, ...]) -> list[list[Pair]]:
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    return [sorted((pair for pair in pairs if pair.sequence == name), key=lambda pair: pair.order) for name in names]
