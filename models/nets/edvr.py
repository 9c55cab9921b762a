"""EDVR: video restoration by deformable alignment in a pyramid (PCD) and attention over time and space (TSA).

Source: Wang et al., "EDVR: Video Restoration with Enhanced Deformable Convolutional Networks", CVPRW 2019,
arXiv:1905.02716. Layer names follow BasicSR's checkpoints (github.com/XPixelGroup/BasicSR), which load strictly.

EDVR in the zoo: the image interface and the entries. The networks are in models/nets/edvr.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import windows
from models.nets.clips import window_indices
from models.nets.deformable import PredictedOffsets
from models.nets.layers import (
    Enlargement,
    ResidualBlock,
    conv,
    enlarged_image,
    enlargement,
    leaky,
    learns,
    pad_to_multiple,
    residual_blocks,
    seen_in_training,
)
from models.spec import Method, ModelSpec, TrainingForm, Weights

# Features of one frame at full, half and quarter size of the features.
Pyramid = tuple[Tensor, Tensor, Tensor]


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class PreDeblur(nn.Module):
    """PreDeblur (paper, figure 2): a small pyramid that removes part of the blur before the alignment."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_first = conv(3, channels)
        self.stride_conv_hr1 = conv(channels, channels, stride=2)
        self.stride_conv_hr2 = conv(channels, channels, stride=2)
        self.stride_conv_l2 = conv(channels, channels, stride=2)
        self.stride_conv_l3 = conv(channels, channels, stride=2)
        self.resblock_l3 = ResidualBlock(channels)
        self.resblock_l2_1 = ResidualBlock(channels)
        self.resblock_l2_2 = ResidualBlock(channels)
        self.resblock_l1 = nn.ModuleList([ResidualBlock(channels) for _ in range(5)])

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 16 -> [B, C, H/4, W/4]."""
        x = leaky(self.stride_conv_hr1(leaky(self.conv_first(image))))  # [B, C, H/2, W/2]
        level1 = leaky(self.stride_conv_hr2(x))  # [B, C, H/4, W/4]
        level2 = leaky(self.stride_conv_l2(level1))
        level3 = leaky(self.stride_conv_l3(level2))
        level2 = self.resblock_l2_2(self.resblock_l2_1(level2) + _doubled(self.resblock_l3(level3)))
        level1 = self.resblock_l1[1](self.resblock_l1[0](level1)) + _doubled(level2)
        for block in self.resblock_l1[2:]:
            level1 = block(level1)
        return level1


class _FixedHalf:
    """A convolution over two inputs side by side whose second one, the reference, stays: its share is kept."""

    def __init__(self, layer: nn.Conv2d, fixed: Tensor) -> None:
        moving = layer.in_channels - fixed.shape[1]
        self.weight = layer.weight[:, :moving]
        self.share = functional.conv2d(fixed, layer.weight[:, moving:], layer.bias, padding=layer.padding)  # type: ignore[arg-type]

    def __call__(self, moving: Tensor) -> Tensor:
        return functional.conv2d(moving, self.weight, padding=1).add_(self.share)


class PyramidAlignment(nn.Module):
    """PCD (section 3.2): a neighbour's features are moved onto the centre frame's, from the smallest size up."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        levels, lower = ("l3", "l2", "l1"), ("l2", "l1")
        double = 2 * channels
        self.offset_conv1 = nn.ModuleDict({level: conv(double, channels) for level in levels})
        self.offset_conv2 = nn.ModuleDict(
            {level: conv(channels if level == "l3" else double, channels) for level in levels}
        )
        self.offset_conv3 = nn.ModuleDict({level: conv(channels, channels) for level in lower})
        self.dcn_pack = nn.ModuleDict({level: PredictedOffsets(channels, channels, groups) for level in levels})
        self.feat_conv = nn.ModuleDict({level: conv(double, channels) for level in lower})
        self.cas_offset_conv1 = conv(double, channels)
        self.cas_offset_conv2 = conv(channels, channels)
        self.cas_dcnpack = PredictedOffsets(channels, channels, groups)

    def forward(self, neighbours: Sequence[Pyramid], reference: Pyramid) -> list[Tensor]:
        """Align every neighbour with the reference. Shape: pyramids of [B, C, H, W] -> as many [B, C, H, W]."""
        first = {
            level: _FixedHalf(self.offset_conv1[level], features)  # type: ignore[arg-type]
            for level, features in zip(("l1", "l2", "l3"), reference, strict=True)
        }
        cascade = _FixedHalf(self.cas_offset_conv1, reference[0])
        return [self._aligned(neighbour, first, cascade) for neighbour in neighbours]

    def _aligned(self, neighbour: Pyramid, first: dict[str, _FixedHalf], cascade: _FixedHalf) -> Tensor:
        offset = aligned = None
        for level, features in zip(("l3", "l2", "l1"), reversed(neighbour), strict=True):
            guide = leaky(first[level](features))
            if offset is None or aligned is None:
                offset = leaky(self.offset_conv2[level](guide))
                aligned = leaky(self.dcn_pack[level](features, offset))
                continue
            # Offsets count pixels, so that they double with the size.
            guide = leaky(self.offset_conv2[level](torch.cat([guide, _doubled(offset) * 2], dim=1)))
            offset = leaky(self.offset_conv3[level](guide))
            moved = self.dcn_pack[level](features, offset)
            aligned = self.feat_conv[level](torch.cat([moved, _doubled(aligned)], dim=1))
            if level == "l2":
                aligned = leaky(aligned)
        assert aligned is not None
        guide = leaky(self.cas_offset_conv2(leaky(cascade(aligned))))
        return leaky(self.cas_dcnpack(aligned, guide))


class AttentionFusion(nn.Module):
    """TSA (section 3.3): frames weighted by their likeness to the centre frame, then attention over space."""

    def __init__(self, channels: int, frames: int, centre: int) -> None:
        super().__init__()
        self.centre = centre
        # True: the frames are joined by one convolution, as before this module is trained (models/training/state.py)
        self.passed_over = False
        self.temporal_attn1 = conv(channels, channels)
        self.temporal_attn2 = conv(channels, channels)
        self.feat_fusion = conv(frames * channels, channels, 1)
        self.spatial_attn1 = conv(frames * channels, channels, 1)
        self.spatial_attn2 = conv(channels * 2, channels, 1)
        self.spatial_attn3 = conv(channels, channels)
        self.spatial_attn4 = conv(channels, channels, 1)
        self.spatial_attn5 = conv(channels, channels)
        self.spatial_attn_l1 = conv(channels, channels, 1)
        self.spatial_attn_l2 = conv(channels * 2, channels)
        self.spatial_attn_l3 = conv(channels, channels)
        self.spatial_attn_add1 = conv(channels, channels, 1)
        self.spatial_attn_add2 = conv(channels, channels, 1)

    def forward(self, aligned: list[Tensor]) -> Tensor:
        """Shape: frames in the order of time, each [B, C, H, W], sides multiples of 4 -> [B, C, H, W]."""
        if self.passed_over:
            return self.feat_fusion(torch.cat(aligned, dim=1))
        wanted = self.temporal_attn1(aligned[self.centre])
        weighted = []
        for features in aligned:
            likeness = (self.temporal_attn2(features) * wanted).sum(dim=1, keepdim=True)  # [B, 1, H, W]
            weighted.append(features * torch.sigmoid(likeness))
        frames = torch.cat(weighted, dim=1)  # [B, T C, H, W]
        fused = leaky(self.feat_fusion(frames))

        attention = leaky(self.spatial_attn2(_pooled(leaky(self.spatial_attn1(frames)))))  # [B, C, H/2, W/2]
        level = leaky(self.spatial_attn_l2(_pooled(leaky(self.spatial_attn_l1(attention)))))  # [B, C, H/4, W/4]
        level = _doubled(leaky(self.spatial_attn_l3(level)))
        attention = leaky(self.spatial_attn3(attention)) + level
        attention = self.spatial_attn5(_doubled(leaky(self.spatial_attn4(attention))))  # [B, C, H, W]
        added = self.spatial_attn_add2(leaky(self.spatial_attn_add1(attention)))
        return torch.addcmul(added, fused, torch.sigmoid(attention), value=2)


def _pooled(x: Tensor) -> Tensor:
    """Maximum and mean of 3x3 at every second pixel, side by side. Shape: [B, C, H, W] -> [B, 2C, H/2, W/2]."""
    return torch.cat([functional.max_pool2d(x, 3, 2, 1), functional.avg_pool2d(x, 3, 2, 1)], dim=1)


class AlignedFeatures(Enlargement):
    """From frames to one map of features for their centre; IconVSR uses it alone, EDVR goes on from there.

    predeblur: features of a quarter of the frame's size, out of PreDeblur; without it, of the frame's size.
    """

    def __init__(self, channels: int, frames: int, groups: int, blocks: int, predeblur: bool) -> None:
        super().__init__()
        self.frames, self.centre = frames, frames // 2
        if predeblur:
            self.predeblur = PreDeblur(channels)
            self.conv_1x1 = conv(channels, channels, 1)
        else:
            self.conv_first = conv(3, channels)
        self.feature_extraction = residual_blocks(channels, blocks)
        self.conv_l2_1 = conv(channels, channels, stride=2)
        self.conv_l2_2 = conv(channels, channels)
        self.conv_l3_1 = conv(channels, channels, stride=2)
        self.conv_l3_2 = conv(channels, channels)
        self.pcd_align = PyramidAlignment(channels, groups)
        self.fusion = AttentionFusion(channels, frames, self.centre)

    def pyramid(self, image: Tensor) -> Pyramid:
        """Features of one frame. Shape: [B, 3, H, W], sides multiples of 4 (16 with PreDeblur)."""
        first = self.conv_1x1(self.predeblur(image)) if hasattr(self, "predeblur") else leaky(self.conv_first(image))
        level1 = self.feature_extraction(first)
        level2 = leaky(self.conv_l2_2(leaky(self.conv_l2_1(level1))))
        return level1, level2, leaky(self.conv_l3_2(leaky(self.conv_l3_1(level2))))

    def fused(self, pyramids: Sequence[Pyramid]) -> Tensor:
        """Features for the centre frame. Shape: `frames` pyramids -> [B, C, h, w]."""
        return self.fusion(self.pcd_align(pyramids, pyramids[self.centre]))

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, frames, 3, H, W] -> [B, C, h, w]."""
        return self.fused([self.pyramid(clip[:, index]) for index in range(self.frames)])


class EDVR(AlignedFeatures):
    """blocks: residual blocks before the alignment and before the image. deblur: output of the input's size, or x4.

    last: width of the last layers at full size.
    """

    def __init__(
        self,
        channels: int = 64,
        groups: int = 8,
        blocks: tuple[int, int] = (5, 10),
        deblur: bool = True,
        last: int = 64,
    ) -> None:
        super().__init__(channels, 5, groups, blocks[0], predeblur=deblur)
        self.deblur = deblur
        self.reconstruction = residual_blocks(channels, blocks[1])
        self._add_enlargement(channels, last)

    def reconstructed(self, pyramids: Sequence[Pyramid], centre: Tensor) -> Tensor:
        """The image out of five frames' features. Shape: centre frame [B, 3, H, W] -> [B, 3, H, W] (or 4H, 4W)."""
        image = self.enlarge(self.reconstruction(self.fused(pyramids)))
        return image.add_(centre if self.deblur else enlarged_image(centre))

    def forward(self, clip: Tensor) -> Tensor:
        """Restore the middle of five frames.

        Shape: [B, 5, 3, H, W], sides multiples of 16 (deblur) or 4 -> [B, 3, H, W] or [B, 3, 4H, 4W].
        Range: RGB [0, 1] in; the output is not clamped. Errors: ValueError for other sides or another number of frames.
        """
        multiple = 16 if self.deblur else 4
        if clip.shape[1] != self.frames or clip.shape[-1] % multiple or clip.shape[-2] % multiple:
            raise ValueError(
                f"EDVR takes {self.frames} frames with sides that are multiples of {multiple}, got {list(clip.shape)}"
            )
        pyramids = [self.pyramid(clip[:, index]) for index in range(self.frames)]
        return self.reconstructed(pyramids, clip[:, self.centre])


class TwoStageEDVR(nn.Module):
    """Two networks, one after the other: the second gets five frames that the first has restored.

    The authors' entries to NTIRE 2019 ran this way. Their second network is EDVR-L with 20 instead of 40 residual
    blocks before the image. Its weights and those of the first are two files; `joined_weights` makes them one.
    """

    def __init__(self, first: EDVR, second: EDVR) -> None:
        super().__init__()
        self.stage1 = first
        self.stage2 = second

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, 9, 3, H, W], sides multiples of 16 -> the middle frame [B, 3, H, W]. Range: [0, 1], not clamped.

        Between the stages images are clamped, as they were when they went through files.
        """
        windows = [clip[:, start : start + 5] for start in range(clip.shape[1] - 4)]
        return self.stage2(torch.stack([self.stage1(window).clamp(0, 1) for window in windows], dim=1))


def joined_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a TwoStageEDVR from those of its two networks."""
    return {f"stage{number}.{key}": value for number, part in ((1, first), (2, second)) for key, value in part.items()}


SOURCE = "Wang et al., CVPRW 2019, arXiv:1905.02716; github.com/XPixelGroup/BasicSR"
ZOO = "github.com/XPixelGroup/BasicSR, docs/ModelZoo.md"
REACH = 2
# Offsets and flows are places in the image: half precision would round them to a quarter of a pixel at column 320.
SWITCHES = ("truncate", "self-ensemble")


def _described(module: nn.Module, image: Tensor) -> Pyramid:
    return cast(EDVR, module).pyramid(image)


def _middle(module: nn.Module, image: Tensor, pyramids: Sequence[Pyramid]) -> Tensor:
    return cast(EDVR, module).reconstructed(pyramids, image)


class _TwoStages:
    def __init__(self, first: Method, second: Method) -> None:
        self.first, self.second = first, second

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        return self.second.restore(self.first.restore(frames))


def _adapter(ends: str) -> Callable[[ModelSpec, nn.Module], Method]:
    return partial(windows, describe=_described, restored=_middle, reach=REACH, ends=ends)


def _both_stages(spec: ModelSpec, module: nn.Module) -> Method:
    stages = cast(TwoStageEDVR, module)
    return _TwoStages(_adapter("repeat")(spec, stages.stage1), _adapter("repeat")(spec, stages.stage2))


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: the frames of a clip that are the middle of five; of a shorter one all, with repeated ends.

    x4: on area means, where the input is not small already. A clip of five is one window, as the authors train.
    """
    return _with_targets(_windowed(module, seen_in_training(module, blur, sharp)), sharp)


def _with_targets(outputs: list[Tensor], sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Restored frames and the middle ones of the sharp clip, as many."""
    cut = (sharp.shape[1] - len(outputs)) // 2
    return list(zip(outputs, sharp[:, cut : cut + len(outputs)].unbind(1), strict=True))


def _outputs_of_both(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: the second network learns on what the first one gives; both should give the sharp frames.

    A network that is frozen is not compared: while the second one is, it is not run at all.
    """
    stages = cast(TwoStageEDVR, module)
    learns_first, learns_second = learns(stages.stage1), learns(stages.stage2)
    first = _windowed(stages.stage1, blur)
    pairs = _with_targets(first, sharp) if learns_first or not learns_second else []
    if learns_second or not learns_first:
        second = _windowed(stages.stage2, torch.stack(first, dim=1).clamp(0, 1))
        pairs += _with_targets(second, sharp)
    return pairs


def _windowed(module: nn.Module, clip: Tensor) -> list[Tensor]:
    batch, count, _, height, width = clip.shape
    factor = enlargement(module)
    padded = pad_to_multiple(clip.flatten(0, 1), 16 // factor, "reflect")
    padded = padded.view(batch, count, *padded.shape[1:])
    # Whole windows alone; a clip that is shorter than one has its ends repeated.
    middles = range(REACH, count - REACH) if count > 2 * REACH else range(count)
    outputs = [module(padded[:, window_indices(index, count, REACH, "repeat")]) for index in middles]
    return [output[..., : factor * height, : factor * width] for output in outputs]


def _build_two_stages() -> nn.Module:
    return TwoStageEDVR(EDVR(channels=128, blocks=(5, 40)), EDVR(channels=128, blocks=(5, 20)))


def _build_two_stages_test() -> nn.Module:
    return TwoStageEDVR(_TINY_EDVR(blocks=(1, 2)), _TINY_EDVR())


# The tiny ones train under a recipe of one stage, so that one step of training is enough for a test.
_TINY_RECIPE = "stfan-plain"
_TINY_EDVR = partial(EDVR, channels=8, groups=2, blocks=(1, 1), last=8)
EDVR_M_DEBLUR = ModelSpec(
    name="edvr-m-deblur",
    task="video-deblur",
    build=EDVR,
    adapter=_adapter("repeat"),
    frames=2 * REACH + 1,
    multiple_of=16,
    value_range=(0.0, 1.0),
    weights=(),
    recipe="edvr",
    training=TrainingForm(outputs=_outputs, residual=("conv_last",)),
    source=SOURCE,
    published="",
    parity=("edvr_m_deblur",),
    switches=SWITCHES,
).with_tiny("edvr-test", _TINY_EDVR, recipe=_TINY_RECIPE)
EDVR_L_DEBLUR = replace(
    EDVR_M_DEBLUR,
    name="edvr-l-deblur",
    build=partial(EDVR, channels=128, blocks=(5, 40)),
    weights=(Weights(file="EDVR_L_deblur_REDS_official-ca46bd8c.pth", source=ZOO, licence="Apache-2.0"),),
    recipe="edvr-l",
    published="EDVR",
    parity=("edvr_l_deblur",),
)
EDVR_M_X4 = replace(
    EDVR_M_DEBLUR,
    name="edvr-m-x4",
    task="video-sr4",
    build=partial(EDVR, deblur=False),
    adapter=_adapter("other-side"),
    multiple_of=4,
    weights=(Weights(file="EDVR_M_x4_SR_REDS_official-32075921.pth", source=ZOO, licence="Apache-2.0"),),
    parity=("edvr_m_x4",),
).with_tiny("edvr-x4-test", partial(_TINY_EDVR, deblur=False), recipe=_TINY_RECIPE)
# No file holds both: joined_weights() in models/nets/edvr.py takes the first network's weights and those of the
# authors' EDVR_REDS_deblur_Stage2.pth (github.com/xinntao/EDVR), brought to BasicSR's names by its model_conversion.
EDVR_L_DEBLUR_2STAGE = replace(
    EDVR_L_DEBLUR,
    name="edvr-l-deblur-2stage",
    build=_build_two_stages,
    adapter=_both_stages,
    frames=4 * REACH + 1,
    weights=(
        Weights(
            file="edvr_l_deblur_2stage.safetensors",
            source="joined_weights() of EDVR_L_deblur_REDS_official-ca46bd8c.pth and EDVR_REDS_deblur_Stage2.pth",
            licence="Apache-2.0",
        ),
    ),
    recipe="edvr-two-stage",
    training=TrainingForm(outputs=_outputs_of_both, residual=("stage1.conv_last", "stage2.conv_last")),
    published="",
    parity=(),
).with_tiny("edvr-2stage-test", _build_two_stages_test, recipe=_TINY_RECIPE)
