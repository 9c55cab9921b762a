"""How a family of networks is run in training: what goes in, what every output should be, where the residual leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.basicvsr import KEY_FRAME_STRIDE, SMALLEST_INPUT_PX, BasicVSR, BasicVSRPlusPlus, IconVSR
from models.nets.clips import continued_indices, window_indices
from models.nets.deblurgan import ResNetGenerator
from models.nets.deblurgan_v2 import PyramidGenerator, SeparablePyramidGenerator
from models.nets.deepdeblur import MultiScaleResNet, gaussian_pyramid
from models.nets.deeprft import DeepRFT
from models.nets.dmphn import DMPHN
from models.nets.edvr import EDVR, TwoStageEDVR
from models.nets.estrnn import ESTRNN
from models.nets.fftformer import FFTformer
from models.nets.gfpgan import GFPGANv1Clean
from models.nets.highres import HighResAtrous, HighResMLFA, padded_for_levels
from models.nets.hinet import HINet
from models.nets.layers import pad_to_multiple
from models.nets.maxim import MAXIM, image_layers
from models.nets.mimo_unet import MIMOUNet
from models.nets.motion_unet import MotionUNet
from models.nets.mprnet import MPRNet
from models.nets.nafnet import NAFNet
from models.nets.restormer import Restormer
from models.nets.srn import SRN, image_pyramid
from models.nets.stfan import STFAN
from models.nets.stripformer import Stripformer
from models.nets.uformer import Uformer, in_black_square
from models.spec import ModelSpec

LEAST_FRAMES = 5  # of a clip: what the networks with key frames need

# (network, blur, sharp) -> pairs of what the network gives and what it should give, both in [0, 1], [B, 3, h, w].
# blur and sharp: [B, T, 3, H, W], RGB in [0, 1]; T = 1 for networks that look at one frame.
Outputs = Callable[[nn.Module, Tensor, Tensor], list[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class TrainingForm:
    """outputs: see `Outputs`. residual: names of the convolutions whose result is added to the blurred image, or of
    their weights where another parameter of them must stay. motion: name of a layer that runs in training and tells
    the motion, as LOSSES["motion"] says; "": none does."""

    outputs: Outputs
    residual: tuple[str, ...] = ()
    motion: str = ""


def multi_scale(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """MIMO-UNet: outputs of quarter, half and full size; the sharp image is reduced bilinearly, as the authors do."""
    outputs = module(blur[:, 0])
    target = sharp[:, 0]
    reduced = [functional.interpolate(target, scale_factor=scale, mode="bilinear") for scale in (0.25, 0.5)]
    return list(zip(outputs, (*reduced, target), strict=True))


def gaussian_scales(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """DeepRFT: as `multi_scale`, but the sharp image is reduced by a Gaussian pyramid, as kornia's (the authors')."""
    assert isinstance(module, DeepRFT)
    targets = [sharp[:, 0]]
    for _ in range(2):
        targets.append(_halved(targets[-1]))
    return list(zip(module.scales(blur[:, 0])[::-1], targets[::-1], strict=True))


def _halved(image: Tensor) -> Tensor:
    """Smoothed by 1 4 6 4 1 along both axes, borders mirrored, then the mean of 2x2 pixels. Shape: sides are even."""
    taps = image.new_tensor((1.0, 4.0, 6.0, 4.0, 1.0)) / 16
    channels = image.shape[1]
    padded = functional.pad(image, (2, 2, 2, 2), mode="reflect")
    rows = functional.conv2d(padded, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    smooth = functional.conv2d(rows, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return functional.avg_pool2d(smooth, 2)


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


def by_shape(spec: ModelSpec) -> Outputs:
    """How a network that is not listed is run: what it takes follows from its facts, what it gives from its shape.

    A network for clips gets the clip, five frames at least (a shorter one is lengthened by its ends); one that has a
    number of `frames` gets the middle ones. A network of two parts `stage1` and `stage2` is run up to the first while
    the second is frozen. An enlarging network gets area means of the blurred images. Of a list of outputs each is
    compared with the sharp image reduced bilinearly to its size.
    """
    low, high = spec.value_range
    scale = spec.scale

    def outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
        running = _unfrozen(module)
        if spec.frames > 1:
            given, before = _lengthened(blur, LEAST_FRAMES)
            given, cut = _middle(given, getattr(running, "frames", None))
            before -= cut
        else:
            given, before = blur[:, :1], 0
        if scale > 1:
            given = functional.avg_pool3d(given, (1, scale, scale))
        given = given * (high - low) + low
        results = running(given if spec.frames > 1 else given[:, 0])
        found: list[tuple[Tensor, Tensor]] = []
        for result in results if isinstance(results, list | tuple) else [results]:
            restored = (result - low) / (high - low)
            if restored.ndim == 5:  # a frame for each frame
                found += [(restored[:, before + number], sharp[:, number]) for number in range(sharp.shape[1])]
            else:
                found.append((restored, _reduced(sharp[:, sharp.shape[1] // 2], restored.shape[-1])))
        return sorted(found, key=lambda pair: pair[0].shape[-1])

    return outputs


def _unfrozen(module: nn.Module) -> nn.Module:
    """The first of two stages while the second one is not trained; else the network itself."""
    first, second = getattr(module, "stage1", None), getattr(module, "stage2", None)
    if isinstance(first, nn.Module) and isinstance(second, nn.Module):
        frozen = not any(parameter.requires_grad for parameter in second.parameters())
        return first if frozen else module
    return module


def _lengthened(clip: Tensor, frames: int) -> tuple[Tensor, int]:
    """A clip [B, T, 3, H, W] of at least this many frames, its ends repeated; how many were put before it."""
    missing = max(0, frames - clip.shape[1])
    before, after = missing // 2, missing - missing // 2
    return torch.cat([clip[:, :1]] * before + [clip] + [clip[:, -1:]] * after, dim=1), before


def _middle(clip: Tensor, frames: object) -> tuple[Tensor, int]:
    """The middle frames of a clip, and how many were left out before them; all of it where no number is given."""
    if not isinstance(frames, int) or frames >= clip.shape[1]:
        return clip, 0
    cut = clip.shape[1] // 2 - frames // 2
    return clip[:, cut : cut + frames], cut


def _reduced(image: Tensor, width: int) -> Tensor:
    if image.shape[-1] == width:
        return image
    return functional.interpolate(image, scale_factor=width / image.shape[-1], mode="bilinear")


def windows(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """EDVR: every frame of a clip is the middle of a window; at the ends frames repeat. x4: on area means."""
    return list(zip(_windowed(module, _seen(module, blur)), sharp.unbind(1), strict=True))


def two_stages(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """EDVR's cascade: the second network learns on what the first one gives; both should give the sharp frames.

    A network that is frozen is not compared: while the second one is, it is not run at all.
    """
    learns_first, learns_second = _learns(module.stage1), _learns(module.stage2)
    targets = sharp.unbind(1)
    first = _windowed(module.stage1, blur)  # type: ignore[arg-type]
    pairs = list(zip(first, targets, strict=True)) if learns_first or not learns_second else []
    if learns_second or not learns_first:
        second = _windowed(module.stage2, torch.stack(first, dim=1).clamp(0, 1))  # type: ignore[arg-type]
        pairs += zip(second, targets, strict=True)
    return pairs


def _learns(part: object) -> bool:
    return isinstance(part, nn.Module) and any(parameter.requires_grad for parameter in part.parameters())


def _seen(module: nn.Module, clip: Tensor) -> Tensor:
    """What a network for clips gets: the frames, or their means over 4x4 pixels where it enlarges four times."""
    return functional.avg_pool3d(clip, (1, 4, 4)) if _enlargement(module) == 4 else clip


def _enlargement(module: nn.Module) -> int:
    return 4 if getattr(module, "deblur", True) is False else 1


def _windowed(module: nn.Module, clip: Tensor) -> list[Tensor]:
    batch, count, _, height, width = clip.shape
    factor = _enlargement(module)
    padded = pad_to_multiple(clip.flatten(0, 1), 16 // factor, "reflect")
    padded = padded.view(batch, count, *padded.shape[1:])
    outputs = [module(padded[:, window_indices(index, count, 2, "repeat")]) for index in range(count)]
    return [output[..., : factor * height, : factor * width] for output in outputs]


def whole_clip(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """BasicVSR and its relatives: the clip at once, continued by reflection where it is too short. x4: area means."""
    batch, count, _, height, width = blur.shape
    factor = _enlargement(module)
    clip = _seen(module, blur)[:, continued_indices(count, KEY_FRAME_STRIDE)]
    padded = pad_to_multiple(clip.flatten(0, 1), 4, "reflect", SMALLEST_INPUT_PX // factor)
    output = module(padded.view(batch, -1, *padded.shape[1:]))[..., :height, :width]
    return list(zip(output[:, :count].unbind(1), sharp.unbind(1), strict=True))


def middle_frames(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """ESTRNN in BGR and [-0.5, 0.5]: all frames but two at either end; a clip of fewer than five is reflected."""
    order = continued_indices(blur.shape[1], LEAST_FRAMES)
    outputs = module(blur[:, order].flip(2) - 0.5).flip(2) + 0.5  # [B, T - 4, 3, H, W]
    return list(zip(outputs.unbind(1), sharp[:, order[2:-2]].unbind(1), strict=True))


def still(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """One image in [0, 1] in, one out."""
    return [(module(blur[:, 0]), sharp[:, 0])]


def centred(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Networks on [-0.5, 0.5] (DMPHN, Stripformer)."""
    return [(module(blur[:, 0] - 0.5) + 0.5, sharp[:, 0])]


def restored_stages(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """MPRNet, HINet: the images of all stages have the sharp image as their target."""
    return [(output, sharp[:, 0]) for output in module(blur[:, 0])]


def maxim_stages(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """MAXIM: three sizes of every stage; the sharp image is reduced bilinearly. Padded where a side is no multiple."""
    assert isinstance(module, MAXIM)
    height, width = sharp.shape[-2:]
    stages = module(pad_to_multiple(blur[:, 0], module.multiple, "reflect"))
    found = []
    for images in stages:
        for scale, output in zip((4, 2, 1), images, strict=True):
            output = output[..., : height // scale, : width // scale]
            found.append((output, _resized(sharp[:, 0], output.shape[-2:])))
    return found


def _resized(image: Tensor, size: torch.Size) -> Tensor:
    return image if image.shape[-2:] == size else functional.interpolate(image, size=size, mode="bilinear")


def black_square(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Uformer: in the middle of a black square, as its adapter does; a crop of 128 or 256 fills it."""
    assert isinstance(module, Uformer)
    height, width = sharp.shape[-2:]
    square, top, left = in_black_square(blur[:, 0], module.multiple)
    return [(module(square)[..., top : top + height, left : left + width], sharp[:, 0])]


def deepdeblur_pyramid(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """DeepDeblur: a pyramid in [0, 255]; every scale has the sharp image's as its target."""
    outputs = module(gaussian_pyramid(blur[:, 0] * 255, 3))
    return [(output / 255, target) for output, target in zip(outputs, gaussian_pyramid(sharp[:, 0], 3), strict=True)]


def srn_pyramid(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """SRN: full, half and quarter size, each with its own target."""
    return list(zip(module(image_pyramid(blur[:, 0])), image_pyramid(sharp[:, 0]), strict=True))


def windows_of_five(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Second stage of the high-resolution atrous network: every frame of a clip out of the five around it.

    At the clip's ends frames repeat. Where the first stage is not frozen, its own images have the same targets.
    """
    assert isinstance(module, HighResMLFA)
    count, height, width = blur.shape[1], blur.shape[3], blur.shape[4]
    described = [module.describe(padded_for_levels(frame * 2 - 1)) for frame in blur.unbind(1)]
    outputs = [
        module.aggregate(image, [described[near][1] for near in window_indices(index, count, 2, "repeat")])
        for index, (image, _) in enumerate(described)
    ]
    targets = list(sharp.unbind(1))
    if _learns(module.first_stage):
        outputs = [image for image, _ in described] + outputs
        targets = targets * 2
    restored = [output[..., :height, :width] * 0.5 + 0.5 for output in outputs]
    return list(zip(restored, targets, strict=True))


def face_and_pyramid(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """GFPGAN on [-1, 1]: the U-Net's image at every level, then the restored face; the generator's noise is drawn."""
    restored, levels = module(blur[:, 0] * 2 - 1)
    found = [level * 0.5 + 0.5 for level in (*levels, restored)]
    return [(image, _reduced(sharp[:, 0], image.shape[-1])) for image in found]


FORMS: dict[type[nn.Module], TrainingForm] = {
    MIMOUNet: TrainingForm(
        outputs=multi_scale, residual=("ConvsOut.0.main.0", "ConvsOut.1.main.0", "feat_extract.5.main.0")
    ),
    # Of an over-parametrised convolution W alone: without its D_diag nothing would be learned.
    DeepRFT: TrainingForm(
        outputs=gaussian_scales, residual=("ConvsOut.0.main.0.W", "ConvsOut.1.main.0.W", "feat_extract.5.main.0.W")
    ),
    ResNetGenerator: TrainingForm(outputs=symmetric_range, residual=("model.26",)),
    MultiScaleResNet: TrainingForm(outputs=deepdeblur_pyramid),
    SRN: TrainingForm(outputs=srn_pyramid),
    MPRNet: TrainingForm(outputs=restored_stages, residual=("sam12.conv2", "sam23.conv2", "tail")),
    Restormer: TrainingForm(outputs=still, residual=("output",)),
    GFPGANv1Clean: TrainingForm(outputs=face_and_pyramid),
    HighResAtrous: TrainingForm(outputs=symmetric_range, residual=("output",)),
    HighResMLFA: TrainingForm(outputs=windows_of_five, residual=("output", "first_stage.output")),
    DMPHN: TrainingForm(outputs=centred),
    NAFNet: TrainingForm(outputs=still, residual=("ending",)),
    MotionUNet: TrainingForm(outputs=still, residual=("weigh.4", "head"), motion="motion"),
    HINet: TrainingForm(outputs=restored_stages, residual=("sam12.conv2", "last")),
    Stripformer: TrainingForm(outputs=centred, residual=("decoder.de_layer1_1.0",)),
    FFTformer: TrainingForm(outputs=still, residual=("output",)),
    Uformer: TrainingForm(outputs=black_square, residual=("output_proj.proj.0",)),
    MAXIM: TrainingForm(outputs=maxim_stages, residual=image_layers()),
    PyramidGenerator: TrainingForm(outputs=symmetric_range, residual=("final",)),
    # Its k1 part alone: a product of two zeros has no gradient.
    SeparablePyramidGenerator: TrainingForm(outputs=symmetric_range, residual=("final.pointwise",)),
    ESTRNN: TrainingForm(outputs=middle_frames),
    STFAN: TrainingForm(outputs=recurrent, residual=("img_prd.0",)),
    EDVR: TrainingForm(outputs=windows, residual=("conv_last",)),
    TwoStageEDVR: TrainingForm(outputs=two_stages, residual=("stage1.conv_last", "stage2.conv_last")),
    BasicVSR: TrainingForm(outputs=whole_clip, residual=("conv_last",)),
    IconVSR: TrainingForm(outputs=whole_clip, residual=("conv_last",)),
    BasicVSRPlusPlus: TrainingForm(outputs=whole_clip, residual=("conv_last",)),
}


def form_of(module: nn.Module, spec: ModelSpec) -> TrainingForm:
    """The form of a network; one that is not listed is run as its facts say (`by_shape`)."""
    return FORMS.get(type(module)) or TrainingForm(outputs=by_shape(spec))


def start_at_the_blurred_image(module: nn.Module, spec: ModelSpec, loaded: str = "") -> None:
    """Set the convolutions whose result is added to the blurred image to zero: the network begins as the identity.

    loaded: beginning of the names of layers that stay because they are trained ones (models/training/backbones.py).
    """
    with torch.no_grad():
        for name in form_of(module, spec).residual:
            if loaded and name.startswith(loaded):
                continue
            for parameter in _parameters(module, name):
                parameter.zero_()


def _parameters(module: nn.Module, name: str) -> Iterable[nn.Parameter]:
    """Those of a layer, or the one that is named itself."""
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return [found] if isinstance(found, nn.Parameter) else found.parameters()
