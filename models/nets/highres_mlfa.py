"""High-resolution atrous network, stage 2: multi-level feature aggregation over neighbouring frames of a video.

Source: Brehm et al., CVPR Workshops 2020 (NTIRE). Only its three phases are described; what they consist of here is
derived in docs/decisions/007-highres-mlfa.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.highres_atrous import (
    SOURCE,
    AtrousBlock,
    HighResAtrous,
    ScaledConvolution,
    ScaledDeconvolution,
    activated,
    residual_convolution,
)
from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec

FRAMES = 5
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


class _Adapter:
    """A window of five frames slides over the clip; at its ends the last frame there is repeated.

    Every frame is described once, not once per window. Changes the range; pads to a multiple of 16, at least 48.
    """

    def __init__(self, module: nn.Module) -> None:
        assert isinstance(module, HighResMLFA)
        self.module = module

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        middle = FRAMES // 2
        window: deque[tuple[Tensor, Levels]] = deque(maxlen=FRAMES)
        waiting: deque[tuple[int, int]] = deque()  # sizes of the frames that have not come out yet
        for frame in frames:
            described = self.module.describe(padded_for_levels(frame[None] * 2 - 1))
            # The first frame stands for those before it, too.
            window.extend([described] * (1 if window else middle + 1))
            waiting.append((frame.shape[1], frame.shape[2]))
            if len(window) == FRAMES:
                yield self._middle_of(window, waiting.popleft())
        while waiting:
            window.append(window[-1])
            if len(window) == FRAMES:
                yield self._middle_of(window, waiting.popleft())

    def _middle_of(self, window: Sequence[tuple[Tensor, Levels]], size: tuple[int, int]) -> Tensor:
        output = self.module.aggregate(window[FRAMES // 2][0], [levels for _, levels in window])
        return (output[0, :, : size[0], : size[1]] * 0.5 + 0.5).clamp(0, 1)


def padded_for_levels(images: Tensor) -> Tensor:
    """Sides that are multiples of 16 and leave room to reflect 4 px at 1/8 of the size. Shape: [B, 3, H, W]."""
    return pad_to_multiple(images, 16, "reflect", smallest=40)


def _adapt(module: nn.Module) -> Method:
    return _Adapter(module)


def _build_test() -> nn.Module:
    return HighResMLFA(HighResAtrous(channels=16, branch=8, shallow=8, blocks=2), widths=(8, 8, 8), blocks=1)


HIGHRES_MLFA = ModelSpec(
    name="highres-mlfa",
    task="video-deblur",
    build=HighResMLFA,
    adapt=_adapt,
    frames=FRAMES,
    multiple_of=16,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="highres-mlfa",
    source=SOURCE,
    published="",
)
HIGHRES_MLFA_TEST = ModelSpec(
    name="highres-mlfa-test",
    task="video-deblur",
    build=_build_test,
    adapt=_adapt,
    frames=FRAMES,
    multiple_of=16,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="highres-mlfa",
    source=SOURCE + " (tiny variant for tests)",
    published="",
)
