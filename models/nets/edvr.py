"""EDVR: video restoration by deformable alignment in a pyramid (PCD) and attention over time and space (TSA).

Source: Wang et al., "EDVR: Video Restoration with Enhanced Deformable Convolutional Networks", CVPRW 2019,
arXiv:1905.02716. Layer names follow BasicSR's checkpoints (github.com/XPixelGroup/BasicSR), which load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.deformable import PredictedOffsets
from models.nets.video_blocks import Enlargement, ResidualBlock, conv, enlarged_image, leaky, residual_blocks

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

    def forward(self, neighbours: list[Pyramid], reference: Pyramid) -> list[Tensor]:
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

    def fused(self, pyramids: list[Pyramid]) -> Tensor:
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

    def reconstructed(self, pyramids: list[Pyramid], centre: Tensor) -> Tensor:
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
