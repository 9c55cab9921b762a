"""High-resolution atrous network: stage 1 for one image, stage 2 over neighbouring frames of a video.

High-resolution atrous network, stage 1: one strided convolution, then a large view by dilation alone.

Source: Brehm et al., "High-Resolution Dual-Stage Multi-Level Feature Aggregation for Single Image and Video
Deblurring", CVPR Workshops 2020 (NTIRE). No code or weights were published; what the description leaves open is in
docs/decisions/007-highres-mlfa.md. Stage 2, for video: highres_mlfa.py.

High-resolution atrous network, stage 2: multi-level feature aggregation over neighbouring frames of a video.

Source: Brehm et al., CVPR Workshops 2020 (NTIRE). Only its three phases are described; what they consist of here is
derived in docs/decisions/007-highres-mlfa.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still, windows
from models.nets.clips import window_indices
from models.nets.layers import learns, pad_to_multiple
from models.spec import Backbone, ModelSpec, TrainingForm

SOURCE = "Brehm et al., CVPRW 2020 (NTIRE); no published code: docs/decisions/007-highres-mlfa.md"
SLOPE = 0.2  # of LeakyReLU below zero
RATES = (1, 2, 3, 4)


class ScaledConvolution(nn.Module):
    """A convolution whose output maps are scaled by a learned factor each before the bias is added.

    The factor is multiplied into the weights: the same numbers without another pass over the features. It pads by
    reflection, or takes its part of features that the caller has padded by `margin` pixels already.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, rate: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.scale = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.rate = stride, rate
        self.reach = rate * (kernel // 2)
        nn.init.normal_(self.weight, std=sqrt(2 / ((1 + SLOPE**2) * inputs * kernel * kernel)))

    def forward(self, x: Tensor, margin: int = 0) -> Tensor:
        """Shape: [B, C, H + 2 margin, W + 2 margin] -> [B, C', H / stride, W / stride], before the activation."""
        if margin:
            cut = margin - self.reach
            x = x[:, :, cut : x.shape[2] - cut, cut : x.shape[3] - cut]
        elif self.reach:
            x = functional.pad(x, (self.reach,) * 4, mode="reflect")
        return functional.conv2d(
            x, self.weight * self.scale.view(-1, 1, 1, 1), self.bias, stride=self.stride, dilation=self.rate
        )


class ScaledDeconvolution(nn.Module):
    """Twice the size by a transposed convolution (kernel 4, stride 2), scaled and reflected like `ScaledConvolution`.

    The kernel is twice the stride: every pixel of the output gets as many taps, no checkerboard from uneven overlap.
    Shape: [B, C, H, W] -> [B, C', 2H, 2W].
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, 4, 4))
        self.scale = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=sqrt(2 / ((1 + SLOPE**2) * inputs * 4)))  # 4 taps reach a pixel

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale.view(1, -1, 1, 1)
        reflected = functional.pad(x, (1, 1, 1, 1), mode="reflect")  # 2x2 places make a pixel: one beyond the edge
        return functional.conv_transpose2d(reflected, weight, self.bias, stride=2, padding=3)


def activated(x: Tensor) -> Tensor:
    """LeakyReLU, in place: no convolution needs its own output for its gradient."""
    return functional.leaky_relu_(x, SLOPE)


def residual_convolution(inputs: int) -> nn.Conv2d:
    """The last layer, whose three channels are no feature maps: without a factor, so that it can start at zero.

    A factor and weights that are both zero would get no gradient.
    """
    return nn.Conv2d(inputs, 3, 3, padding=1, padding_mode="reflect")


class AtrousBlock(nn.Module):
    """Four dilated convolutions side by side, joined by a fifth, plus input: sees 11 x 11 pixels.

    With 256 channels in and 128 in each branch it has 2.36 M weights.
    """

    def __init__(self, channels: int, branch: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ScaledConvolution(channels, branch, 3, rate=rate) for rate in RATES])
        self.merge = ScaledConvolution(len(RATES) * branch, channels, 3)
        nn.init.constant_(self.merge.scale, 0.1)  # twenty sums in a row start small

    def forward(self, x: Tensor) -> Tensor:
        margin = max(RATES)
        padded = functional.pad(x, (margin,) * 4, mode="reflect")  # once; each branch takes the part it reaches
        wide = activated(torch.cat([branch(padded, margin) for branch in self.branches], dim=1))
        return activated(self.merge(wide)) + x


class HighResAtrous(nn.Module):
    """Stage 1. channels: in the blocks; branch: of each dilated convolution; shallow: at full resolution."""

    def __init__(self, channels: int = 256, branch: int = 128, shallow: int = 64, blocks: int = 20) -> None:
        super().__init__()
        self.channels = channels
        self.first = ScaledConvolution(3, shallow, 9)
        self.down = ScaledConvolution(shallow, channels, 3, stride=2)
        self.blocks = nn.Sequential(*[AtrousBlock(channels, branch) for _ in range(blocks)])
        self.up = ScaledDeconvolution(channels, shallow)
        self.refine = ScaledConvolution(shallow, shallow, 3)
        self.output = residual_convolution(shallow)

    def features(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> [B, channels, H/2, W/2]."""
        return self.blocks(activated(self.down(activated(self.first(image)))))

    def image(self, features: Tensor, blurred: Tensor) -> Tensor:
        """The restored image out of `features`: a residual added to the blurred one."""
        return self.output(activated(self.refine(activated(self.up(features))))) + blurred

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides even and at least 10 -> the same. Range: [-1, 1] in; the output is not clamped."""
        return self.image(self.features(image), image)


def _build_test() -> nn.Module:
    return HighResAtrous(channels=16, branch=8, shallow=8, blocks=2)


HIGHRES_ATROUS = ModelSpec(
    name="highres-atrous",
    task="deblur",
    build=HighResAtrous,
    adapter=Still,
    frames=1,
    multiple_of=16,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="highres-atrous",
    training=TrainingForm(residual=("output",)),
    source=SOURCE,
    published="",
).with_tiny("highres-atrous-test", _build_test)


FRAMES = 5
SMALLEST_PX = 40  # room to reflect 4 px at 1/8 of the size
Levels = list[Tensor]  # features at 1/2, 1/4 and 1/8 of the image's size


class FeatureExtraction(nn.Module):
    """Phase 1, the same for every frame: the first stage's image and features become features of three sizes."""

    def __init__(self, stage_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.from_image = ScaledConvolution(3, widths[0], 3, stride=2)
        self.from_features = ScaledConvolution(stage_channels, widths[0], 1)
        self.join = ScaledConvolution(2 * widths[0], widths[0], 3)
        self.down = nn.ModuleList(
            [ScaledConvolution(finer, coarser, 3, stride=2) for finer, coarser in pairwise(widths)]
        )

    def forward(self, image: Tensor, features: Tensor) -> Levels:
        """Shape: [B, 3, H, W], [B, C, H/2, W/2] -> [B, w0, H/2, W/2], [B, w1, H/4, W/4], [B, w2, H/8, W/8]."""
        both = torch.cat([self.from_image(image), self.from_features(features)], dim=1)
        levels = [activated(self.join(activated(both)))]
        for down in self.down:
            levels.append(activated(down(levels[-1])))
        return levels


class IntraResolution(nn.Module):
    """Phase 2, one per size: the features of all frames side by side become one set, then atrous blocks."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.merge = ScaledConvolution(FRAMES * width, width, 3)
        self.blocks = nn.Sequential(*[AtrousBlock(width, width // 2) for _ in range(blocks)])

    def forward(self, frames: list[Tensor]) -> Tensor:
        return self.blocks(activated(self.merge(torch.cat(frames, dim=1))))


class InterResolution(nn.Module):
    """Phase 3: from the coarsest size up, each is brought to the next finer one, joined with it and refined."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList([ScaledConvolution(coarser, finer, 1) for finer, coarser in pairwise(widths)])
        self.join = nn.ModuleList([ScaledConvolution(2 * width, width, 3) for width in widths[:-1]])
        self.blocks = nn.ModuleList(
            [nn.Sequential(*[AtrousBlock(width, width // 2) for _ in range(blocks)]) for width in widths[:-1]]
        )

    def forward(self, levels: Levels) -> Tensor:
        """Features of the finest size."""
        x = levels[-1]
        for index in reversed(range(len(levels) - 1)):
            coarse = activated(self.reduce[index](x))
            coarse = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.blocks[index](activated(self.join[index](torch.cat([levels[index], coarse], dim=1))))
        return x


class HighResMLFA(nn.Module):
    """Both stages. The first is frozen as built.

    Where a training thaws it (`requires_grad_`; the first part of the recipes `highres-...` does, no other one), it
    learns from its own image alone: no gradient of the second stage reaches it. `models/train.py --backbone FILE` puts
    a trained `highres-atrous` there and leaves it frozen.
    """

    def __init__(
        self, first_stage: HighResAtrous | None = None, widths: Sequence[int] = (64, 96, 128), blocks: int = 2
    ) -> None:
        super().__init__()
        self.first_stage = (first_stage or HighResAtrous()).requires_grad_(False)
        self.extract = FeatureExtraction(self.first_stage.channels, widths)
        self.intra = nn.ModuleList([IntraResolution(width, blocks) for width in widths])
        self.inter = InterResolution(widths, blocks)
        self.up = ScaledDeconvolution(widths[0], widths[0] // 2)
        self.refine = ScaledConvolution(widths[0] // 2, widths[0] // 2, 3)
        self.output = residual_convolution(widths[0] // 2)

    def describe(self, frame: Tensor) -> tuple[Tensor, Levels]:
        """What is needed of one frame: the first stage's image and its features of three sizes. Range: [-1, 1]."""
        features = self.first_stage.features(frame)
        image = self.first_stage.image(features, frame)
        return image, self.extract(image.detach(), features.detach())

    def aggregate(self, image: Tensor, frames: Sequence[Levels]) -> Tensor:
        """The middle frame out of its first-stage image and the features of five frames in order."""
        levels = [intra([frame[level] for frame in frames]) for level, intra in enumerate(self.intra)]
        return self.output(activated(self.refine(activated(self.up(self.inter(levels)))))) + image.detach()

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 5, 3, H, W], sides multiples of 8 and at least 40 -> [B, 3, H, W], the middle frame.

        Range: [-1, 1] in; the output is not clamped.
        """
        if clip.ndim != 5 or clip.shape[1] != FRAMES:
            raise ValueError(f"a clip is a tensor of shape [B, {FRAMES}, 3, H, W], got {list(clip.shape)}")
        described = [self.describe(frame) for frame in clip.unbind(dim=1)]
        return self.aggregate(described[FRAMES // 2][0], [levels for _, levels in described])


def padded_for_levels(images: Tensor) -> Tensor:
    """Sides that are multiples of 16 and leave room to reflect 4 px at 1/8 of the size. Shape: [B, 3, H, W]."""
    return pad_to_multiple(images, 16, "reflect", SMALLEST_PX)


def _described(module: nn.Module, image: Tensor) -> tuple[Tensor, Levels]:
    return cast(HighResMLFA, module).describe(image)


def _middle(module: nn.Module, _: Tensor, frames: Sequence[tuple[Tensor, Levels]]) -> Tensor:
    return cast(HighResMLFA, module).aggregate(frames[FRAMES // 2][0], [levels for _, levels in frames])


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: every frame of a clip out of the five around it; at the clip's ends frames repeat.

    Where the first stage is not frozen, its own images have the same targets.
    """
    net = cast(HighResMLFA, module)
    count, height, width = blur.shape[1], blur.shape[3], blur.shape[4]
    described = [net.describe(padded_for_levels(frame * 2 - 1)) for frame in blur.unbind(1)]
    outputs = [
        net.aggregate(image, [described[near][1] for near in window_indices(index, count, 2, "repeat")])
        for index, (image, _) in enumerate(described)
    ]
    targets = list(sharp.unbind(1))
    if learns(net.first_stage):
        outputs = [image for image, _ in described] + outputs
        targets = targets * 2
    restored = [output[..., :height, :width] * 0.5 + 0.5 for output in outputs]
    return list(zip(restored, targets, strict=True))


def _build_mlfa_test() -> nn.Module:
    return HighResMLFA(HighResAtrous(channels=16, branch=8, shallow=8, blocks=2), widths=(8, 8, 8), blocks=1)


HIGHRES_MLFA = ModelSpec(
    name="highres-mlfa",
    task="video-deblur",
    build=HighResMLFA,
    adapter=partial(windows, describe=_described, restored=_middle),
    frames=FRAMES,
    multiple_of=16,
    smallest_px=SMALLEST_PX,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="highres-mlfa",
    training=TrainingForm(outputs=_outputs, residual=("output", "first_stage.output")),
    backbone=Backbone(part="first_stage", what="highres-atrous, the first stage", stays=True),
    source=SOURCE,
    published="",
).with_tiny("highres-mlfa-test", _build_mlfa_test)
