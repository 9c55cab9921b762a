"""How a family of networks is run in training: what goes in, what every output should be, where the residual leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.deblurgan_v2 import PyramidGenerator
from models.nets.mimo_unet import MIMOUNet
from models.nets.stfan import STFAN
from models.spec import ModelSpec

# (network, blur, sharp) -> pairs of what the network gives and what it should give, both in [0, 1], [B, 3, h, w].
# blur and sharp: [B, T, 3, H, W], RGB in [0, 1]; T = 1 for networks that look at one frame.
Outputs = Callable[[nn.Module, Tensor, Tensor], list[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class TrainingForm:
    """outputs: see `Outputs`. residual: names of the convolutions whose result is added to the blurred image."""

    outputs: Outputs
    residual: tuple[str, ...] = ()


def multi_scale(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """MIMO-UNet: outputs of quarter, half and full size; the sharp image is reduced bilinearly, as the authors do."""
    outputs = module(blur[:, 0])
    target = sharp[:, 0]
    reduced = [functional.interpolate(target, scale_factor=scale, mode="bilinear") for scale in (0.25, 0.5)]
    return list(zip(outputs, (*reduced, target), strict=True))


def symmetric_range(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Networks on [-1, 1] (DeblurGAN and its successor)."""
    return [(module(blur[:, 0] * 2 - 1) * 0.5 + 0.5, sharp[:, 0])]


def recurrent(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """STFAN over a clip, in BGR; the gradient runs through all steps."""
    return list(_recurrent_steps(module, blur, sharp))


def _recurrent_steps(module: nn.Module, blur: Tensor, sharp: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    previous_blur = previous_output = blur[:, 0].flip(1)
    features = None
    for step in range(blur.shape[1]):
        frame = blur[:, step].flip(1)
        output, features = module(frame, previous_blur, previous_output, features)
        previous_blur, previous_output = frame, output
        yield output.flip(1), sharp[:, step]


def enlargement(spec: ModelSpec) -> int:
    """How much larger a network's output is than its input; it gets to see area means of the images."""
    return {"sr2": 2, "sr4": 4, "video-sr4": 4}.get(spec.task, 1)


def by_shape(spec: ModelSpec) -> Outputs:
    """How a network that is not listed is run: what it takes follows from its facts, what it gives from its shape.

    A network that looks at several frames gets the clip, a window network the middle of it; a clip that is too short is
    lengthened by its ends. An enlarging network gets area means of the blurred images. Of a list of outputs each is
    compared with the sharp image reduced bilinearly to its size.
    """
    low, high = spec.value_range
    scale = enlargement(spec)

    def outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
        clip = _lengthened(blur, spec.frames)
        if scale > 1:
            clip = functional.avg_pool3d(clip, (1, scale, scale))
        given = (clip if spec.frames > 1 else clip[:, 0]) * (high - low) + low
        results = module(given)
        found: list[tuple[Tensor, Tensor]] = []
        for result in results if isinstance(results, list | tuple) else [results]:
            result = (result - low) / (high - low)
            if result.ndim == 5:  # a frame for each frame
                found += [(result[:, number], sharp[:, number]) for number in range(sharp.shape[1])]
            else:
                found.append((result, _reduced(sharp[:, sharp.shape[1] // 2], result.shape[-1])))
        return sorted(found, key=lambda pair: pair[0].shape[-1])

    return outputs


def _lengthened(clip: Tensor, frames: int) -> Tensor:
    """A clip [B, T, 3, H, W] of at least this many frames: the first and the last one are repeated in turn."""
    while clip.shape[1] < frames:
        clip = torch.cat([clip, clip[:, -1:]], dim=1)
        clip = torch.cat([clip[:, :1], clip], dim=1) if clip.shape[1] < frames else clip
    return clip


def _reduced(image: Tensor, width: int) -> Tensor:
    if image.shape[-1] == width:
        return image
    return functional.interpolate(image, scale_factor=width / image.shape[-1], mode="bilinear")


FORMS: dict[type[nn.Module], TrainingForm] = {
    MIMOUNet: TrainingForm(
        outputs=multi_scale, residual=("ConvsOut.0.main.0", "ConvsOut.1.main.0", "feat_extract.5.main.0")
    ),
    PyramidGenerator: TrainingForm(outputs=symmetric_range, residual=("final",)),
    STFAN: TrainingForm(outputs=recurrent, residual=("img_prd.0",)),
}


def form_of(module: nn.Module, spec: ModelSpec) -> TrainingForm:
    """The form of a network; one that is not listed is run as its facts say (`by_shape`)."""
    return FORMS.get(type(module)) or TrainingForm(outputs=by_shape(spec))


def start_at_the_blurred_image(module: nn.Module, spec: ModelSpec) -> None:
    """Set the convolutions whose result is added to the blurred image to zero: the network begins as the identity."""
    with torch.no_grad():
        for name in form_of(module, spec).residual:
            for parameter in module.get_submodule(name).parameters():
                parameter.zero_()
