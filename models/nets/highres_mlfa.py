"""Multi-level feature aggregation over neighbouring frames: stage 2 of the dual-stage network.

Source: Brehm et al., "High-Resolution Dual-Stage Multi-Level Feature Aggregation for Single Image and Video
Deblurring", CVPRW 2020 (stage 2). Only its three phases are described: feature extraction, aggregation within each
resolution, aggregation across resolutions. The layers in them are ours: docs/decisions/009-highres-mlfa.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.nets.clips import SlidingWindow
from models.nets.highres_atrous import (
    SMALLEST_LEVEL_PX,
    AtrousBlock,
    HighResAtrous,
    ScaledConv,
    ScaledDeconv,
    active,
)
from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec

SOURCE = "Brehm et al., CVPRW 2020 (stage 2); layers derived in docs/decisions/009-highres-mlfa.md"
FRAMES = 5
LEVELS = 4  # resolutions 1, 1/2, 1/4, 1/8
MULTIPLE = 2 ** (LEVELS - 1)

Pyramid = list[Tensor]  # level l: [B, widths[l], H / 2^l, W / 2^l]


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Atrous blocks of each level in the three phases."""

    extraction: int = 1
    within: int = 3
    across: int = 2


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(AtrousBlock(channels) for _ in range(count)))


class Extraction(nn.Module):
    """Phase 1, for every frame alone: a pyramid from the blurred frame, stage 1's image of it and its features."""

    def __init__(self, widths: tuple[int, ...], first_stage_width: int, blocks: int) -> None:
        super().__init__()
        self.front = ScaledConv(6, widths[0])
        self.downs = nn.ModuleList(ScaledConv(fine, coarse, stride=2) for fine, coarse in pairwise(widths))
        self.reduce = ScaledConv(first_stage_width, widths[1], 1)
        self.join = ScaledConv(2 * widths[1], widths[1])
        self.blocks = nn.ModuleList(_blocks(width, blocks) for width in widths)

    def forward(self, blur: Tensor, restored: Tensor, features: Tensor) -> Pyramid:
        x = self.blocks[0](active(self.front(torch.cat([blur, restored], dim=1))))
        pyramid = [x]
        for level, down in enumerate(self.downs, start=1):
            x = active(down(x))
            if level == 1:  # the resolution of stage 1's features
                x = active(self.join(torch.cat([x, active(self.reduce(features))], dim=1)))
            x = self.blocks[level](x)
            pyramid.append(x)
        return pyramid


class WithinResolution(nn.Module):
    """Phase 2: at each level, the features of all frames become one map, without looking at other levels."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.joins = nn.ModuleList(ScaledConv(FRAMES * width, width) for width in widths)
        self.blocks = nn.ModuleList(_blocks(width, blocks) for width in widths)

    def forward(self, window: list[Pyramid]) -> Pyramid:
        levels = zip(*window, strict=True)  # of each level, the maps of all frames
        return [
            blocks(active(join(torch.cat(maps, dim=1))))
            for join, blocks, maps in zip(self.joins, self.blocks, levels, strict=True)
        ]


class AcrossResolutions(nn.Module):
    """Phase 3: from the coarsest level to the finest, each level joined with what came from below."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.ups = nn.ModuleList(ScaledDeconv(coarse, fine) for fine, coarse in pairwise(widths))
        self.joins = nn.ModuleList(ScaledConv(2 * width, width) for width in widths[:-1])
        self.blocks = nn.ModuleList(_blocks(width, blocks) for width in widths[:-1])

    def forward(self, pyramid: Pyramid) -> Tensor:
        """The pyramid -> [B, widths[0], H, W]."""
        x = pyramid[-1]
        for level in reversed(range(len(pyramid) - 1)):
            x = torch.cat([pyramid[level], active(self.ups[level](x))], dim=1)
            x = self.blocks[level](active(self.joins[level](x)))
        return x


class FeatureAggregation(nn.Module):
    """Stage 2. widths: feature maps at resolutions 1, 1/2, ...; doubled from level to level, a block costs the same."""

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        first_stage_width: int = 256,
        depth: Depth = Depth(),
    ) -> None:
        super().__init__()
        self.extraction = Extraction(widths, first_stage_width, depth.extraction)
        self.within = WithinResolution(widths, depth.within)
        self.across = AcrossResolutions(widths, depth.across)
        self.tail = ScaledConv(widths[0], widths[0])
        self.residual = nn.Conv2d(widths[0], 3, 3, padding=1, padding_mode="reflect")

    def forward(self, window: list[Pyramid], restored: Tensor) -> Tensor:
        """Pyramids of the window's frames, in order, and stage 1's image of the middle one -> the final image of it."""
        return restored + self.residual(active(self.tail(self.across(self.within(window)))))


@dataclass(frozen=True, kw_only=True)
class PreparedFrame:
    """What belongs to one frame alone: stage 1's image and the features that stage 2 extracted."""

    restored: Tensor  # [B, 3, H, W] in [-1, 1]
    pyramid: Pyramid


class HighResMLFA(nn.Module):
    """Both stages. Stage 1 is frozen as built: it is trained on its own, before.

    Where a training unfreezes it (`requires_grad_`), it learns from its own image alone; stage 2's loss never reaches
    it.
    """

    def __init__(self, stage1: HighResAtrous, stage2: FeatureAggregation) -> None:
        super().__init__()
        self.stage1 = stage1.requires_grad_(False)
        self.stage2 = stage2

    def prepared(self, frame: Tensor) -> PreparedFrame:
        """Shape: [B, 3, H, W], sides multiples of 8 and 40 or more. Range: RGB in [-1, 1]."""
        features = self.stage1.features(frame)
        restored = self.stage1.restored(frame, features)
        pyramid = self.stage2.extraction(frame, restored.detach(), features.detach())
        return PreparedFrame(restored=restored, pyramid=pyramid)

    def combined(self, window: list[PreparedFrame]) -> Tensor:
        """The image of the window's middle frame. Shape: [B, 3, H, W]. Range: [-1, 1], not clamped."""
        restored = window[len(window) // 2].restored.detach()
        return self.stage2([frame.pyramid for frame in window], restored)

    def forward(self, frames: Tensor) -> Tensor:
        """Restore the middle one of five frames.

        Shape: [B, 5, 3, H, W] -> [B, 3, H, W]; sides multiples of 8 and 40 or more. Range: RGB in [-1, 1]; the output
        is not clamped. Errors: ValueError for another number of frames.
        """
        if frames.ndim != 5 or frames.shape[1] != FRAMES:
            raise ValueError(f"a window is of shape [B, {FRAMES}, 3, H, W], got {list(frames.shape)}")
        return self.combined([self.prepared(frame) for frame in frames.unbind(1)])


def padded_for_levels(images: Tensor) -> Tensor:
    """Sides that divide by 8, and coarsest maps large enough to be reflected. Shape: [B, C, H, W]."""
    return pad_to_multiple(images, MULTIPLE, "reflect", MULTIPLE * SMALLEST_LEVEL_PX)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    frame: PreparedFrame
    height: int
    width: int


def _windows(module: HighResMLFA) -> Method:
    """Five frames around each one, the clip's ends repeated; a frame goes through stage 1 once."""

    def prepare(frame: Tensor) -> _Kept:
        padded = padded_for_levels(frame[None] * 2 - 1)
        return _Kept(frame=module.prepared(padded), height=frame.shape[1], width=frame.shape[2])

    def restore_centre(window: list[_Kept]) -> Tensor:
        centre = window[len(window) // 2]
        output = module.combined([kept.frame for kept in window])
        return (output[0, :, : centre.height, : centre.width] * 0.5 + 0.5).clamp(0, 1)

    return SlidingWindow(prepare, restore_centre, reach=FRAMES // 2, ends="repeat")


def _adapt(module: nn.Module) -> Method:
    return _windows(module)  # type: ignore[arg-type]


def _build() -> nn.Module:
    return HighResMLFA(HighResAtrous(), FeatureAggregation())


def _build_test() -> nn.Module:
    return HighResMLFA(
        HighResAtrous(blocks=2, width=16, edge=8),
        FeatureAggregation(widths=(4, 8, 8, 8), first_stage_width=16, depth=Depth(extraction=1, within=1, across=1)),
    )


HIGHRES_MLFA = ModelSpec(
    name="highres-mlfa",
    task="video-deblur",
    build=_build,
    adapt=_adapt,
    frames=FRAMES,
    multiple_of=MULTIPLE,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="stfan-plain",
    source=SOURCE,
    published="",
)
HIGHRES_MLFA_TEST = ModelSpec(
    name="highres-mlfa-test",
    task="video-deblur",
    build=_build_test,
    adapt=_adapt,
    frames=FRAMES,
    multiple_of=MULTIPLE,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="stfan-plain",
    source=SOURCE + " (tiny variant for tests, not the described network)",
    published="",
)
