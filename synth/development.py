"""From the light of an exposure to the images of a pair: camera, encoding, bit depth, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synth.camera import to_8bit, to_16bit
from synth.exposure import BlurWindow
from synth.image_files import encode_png
from synth.rng import stream
from synth.sensor import draw_settings, photograph, sharp_photograph
from synth.settings import SynthesisPlan
from synth.shutter import Exposure


@dataclass(frozen=True, kw_only=True)
class Developed:
    """The files of a pair and what the manifest says about how they were made."""

    blur_png: bytes
    sharp_png: bytes
    blur_gamma_png: bytes | None
    sharp_transform: str
    camera_settings: dict[str, float | int | str]


def develop(
    plan: SynthesisPlan, sequence: str, exposure: Exposure, blur: BlurWindow, blur_lin: np.ndarray
) -> Developed:
    """Take the exposure of a complete window through degradations and the plan's camera and encode both images.

    blur_lin: [H, W, 3] float32, linear light. The sharp image is the captured frame, 8 bit, unless the camera changes
    it. The result depends on the plan's seed, the sequence and the window alone.
    """
    assert blur.sharp is not None and blur.first is not None and blur.last is not None
    also_lin: Sequence[np.ndarray | None] = blur.also_lin
    rng = stream(plan.config.seed, sequence, blur.window.first, "camera", plan.camera.name)
    settings = draw_settings(plan.camera, rng)
    highlights = blur_gamma_png = None
    for curve, total_lin in zip(plan.also, also_lin, strict=True):
        assert total_lin is not None
        light = exposure.blur_lin(total_lin, curve.to_linear(blur.first), curve.to_linear(blur.last))
        if curve is plan.twin:
            blur_gamma_png = _png(curve.to_encoded(light), plan.config.bits)
        else:
            highlights = light
    for degradation in plan.degradations:
        if degradation.domain == "linear":
            blur_lin = degradation(np.clip(blur_lin, 0.0, 1.0), _chance(plan, sequence, blur, degradation.name))
    if plan.camera.name == "none":
        encoded = plan.response.to_encoded(blur_lin)
    else:
        encoded = photograph(plan.camera, settings, blur_lin, highlights, plan.response, rng)
    for degradation in plan.degradations:
        if degradation.domain == "encoded":
            encoded = degradation(np.clip(encoded, 0.0, 1.0), _chance(plan, sequence, blur, degradation.name))
    return Developed(
        blur_png=_png(encoded, plan.config.bits),
        sharp_png=encode_png(sharp_photograph(plan.camera, settings, blur.sharp, plan.response)),
        blur_gamma_png=blur_gamma_png,
        sharp_transform=plan.camera.sharp_transform,
        camera_settings=settings.drawn(),
    )


def _chance(plan: SynthesisPlan, sequence: str, blur: BlurWindow, name: str) -> np.random.Generator:
    return stream(plan.config.seed, sequence, blur.window.first, "degrade", name)


def _png(encoded: np.ndarray, bits: int) -> bytes:
    return encode_png(to_16bit(encoded) if bits == 16 else to_8bit(encoded))
