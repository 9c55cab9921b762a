"""BasicVSR and IconVSR: features carried along the flow through the whole clip, backwards and then forwards.

Source: Chan et al., "BasicVSR: The Search for Essential Components in Video Super-Resolution and Beyond", CVPR 2021,
arXiv:2012.02181. Layer names follow BasicSR's checkpoints (github.com/XPixelGroup/BasicSR), which load strictly.
The variants for deblurring are ours: docs/decisions/008-basicvsr-deblur.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.nets.edvr import AlignedFeatures
from models.nets.padding import pad_to_multiple
from models.nets.video_blocks import (
    Enlargement,
    Trunk,
    conv,
    enlarged_image,
    leaky,
    quarter,
    strided_front,
    warp_features,
)
from synth.interp.nets.spynet import SpyNet

KEY_FRAME_STRIDE = 5
KEY_FRAME_REACH = 2  # the extractor looks at this many frames on either side of a key frame


def key_frames(count: int) -> list[int]:
    """Every fifth frame of a clip and its last one."""
    return sorted({*range(0, count, KEY_FRAME_STRIDE), count - 1})


def key_clips(clip: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(index, five frames around it) of every key frame. Shape: [B, T, 3, H, W], T of 5 or more -> [B, 5, 3, H, W].

    Beyond its ends the clip goes on with frames 4, 3 in front and -4, -5 behind, as the authors extend it.
    """
    count = clip.shape[1]
    order = [4, 3, *range(count), count - 4, count - 5]
    for index in key_frames(count):
        yield index, clip[:, order[index : index + 2 * KEY_FRAME_REACH + 1]]


class Propagation(Enlargement):
    """What both networks share. deblur: output of the input's size instead of four times as large; the passes then run
    on features of a quarter of the size, out of a strided front end."""

    spynet: SpyNet
    feat_extract: nn.Module

    def __init__(self, channels: int, deblur: bool) -> None:
        super().__init__()
        self.channels = channels
        self.deblur = deblur
        self.seen = channels if deblur else 3  # channels that a trunk sees of the current frame

    def _fronts(self, frames: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """What the trunks see of every frame, and the frames that flow is computed between, at the same size."""
        if not self.deblur:
            return list(frames), list(frames)
        return [self.feat_extract(frame) for frame in frames], [quarter(frame) for frame in frames]

    def _carried(self, features: Tensor | None, small: list[Tensor], index: int, came_from: int) -> Tensor:
        """Features of frame `came_from`, moved onto frame `index`; zeros at the first step. Shape: [B, C, h, w]."""
        frame = small[index]
        if features is None:
            return frame.new_zeros(frame.shape[0], self.channels, *frame.shape[-2:])
        return warp_features(features, self.spynet(frame, small[came_from]))

    def _image(self, features: Tensor, frame: Tensor) -> Tensor:
        return self.enlarge(features).add_(frame if self.deblur else enlarged_image(frame))


class BasicVSR(Propagation):
    """channels: width; blocks: residual blocks per trunk; last: width of the last layers, at full size."""

    def __init__(self, channels: int = 64, blocks: int = 30, deblur: bool = False, last: int = 64) -> None:
        super().__init__(channels, deblur)
        self.spynet = SpyNet()
        if deblur:
            self.feat_extract = strided_front(channels)
        self.backward_trunk = Trunk(channels + self.seen, channels, blocks)
        self.forward_trunk = Trunk(channels + self.seen, channels, blocks)
        self.fusion = conv(channels * 2, channels, 1)
        self._add_enlargement(channels, last)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, T, 3, H, W], sides of 33 or more -> [B, T, 3, 4H, 4W]. deblur: sides multiples of 4 and of 132 or
        more -> [B, T, 3, H, W]. Range: RGB [0, 1] in; the output is not clamped.
        """
        return torch.stack(list(self.restored(clip)), dim=1)

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]:
        """The outputs from frame `first` on, frame by frame. Shape: [B, 3, H, W] or [B, 3, 4H, 4W] each."""
        frames = clip.unbind(1)
        seen, small = self._fronts(frames)
        backward: list[Tensor] = []  # from the last frame to the first
        features: Tensor | None = None
        for index in reversed(range(len(frames))):
            carried = self._carried(features, small, index, index + 1)
            features = self.backward_trunk(torch.cat([seen[index], carried], dim=1))
            backward.append(features)
        features = None
        for index, frame in enumerate(frames):
            carried = self._carried(features, small, index, index - 1)
            features = self.forward_trunk(torch.cat([seen[index], carried], dim=1))
            both = torch.cat([backward.pop(), features], dim=1)
            if index >= first:
                yield self._image(leaky(self.fusion(both)), frame)


class IconVSR(Propagation):
    """BasicVSR with features of key frames filled in, and passes that are coupled: the forward one sees the other."""

    def __init__(
        self,
        channels: int = 64,
        blocks: int = 30,
        key_blocks: int = 5,
        groups: int = 8,
        deblur: bool = False,
        last: int = 64,
    ) -> None:
        super().__init__(channels, deblur)
        self.edvr = AlignedFeatures(channels, 2 * KEY_FRAME_REACH + 1, groups, key_blocks, predeblur=deblur)
        self.spynet = SpyNet()
        if deblur:
            self.feat_extract = strided_front(channels)
        self.backward_fusion = conv(channels * 2, channels)
        self.backward_trunk = Trunk(channels + self.seen, channels, blocks)
        self.forward_fusion = conv(channels * 2, channels)
        self.forward_trunk = Trunk(channels * 2 + self.seen, channels, blocks)
        self._add_enlargement(channels, last)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, T, 3, H, W], T of 5 or more, sides of 33 or more -> [B, T, 3, 4H, 4W]. deblur: sides of 132 or
        more -> [B, T, 3, H, W]. Range: RGB [0, 1] in; the output is not clamped. Errors: ValueError for a shorter clip.
        """
        return torch.stack(list(self.restored(clip)), dim=1)

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]:
        """The outputs from frame `first` on, frame by frame. Shape: [B, 3, H, W] or [B, 3, 4H, 4W] each."""
        batch, count, _, height, width = clip.shape
        if count < KEY_FRAME_STRIDE:
            raise ValueError(f"IconVSR takes clips of at least {KEY_FRAME_STRIDE} frames, got {count}")
        padded = pad_to_multiple(clip.flatten(0, 1), 16 if self.deblur else 4, "reflect")
        clip = padded.view(batch, count, *padded.shape[1:])
        frames = clip.unbind(1)
        key = {index: self.edvr(around) for index, around in key_clips(clip)}
        seen, small = self._fronts(frames)
        backward: list[Tensor] = []
        features: Tensor | None = None
        for index in reversed(range(count)):
            carried = self._carried(features, small, index, index + 1)
            if index in key:
                carried = self.backward_fusion(torch.cat([carried, key[index]], dim=1))
            features = self.backward_trunk(torch.cat([seen[index], carried], dim=1))
            backward.append(features)
        factor = 1 if self.deblur else 4
        features = None
        for index, frame in enumerate(frames):
            carried = self._carried(features, small, index, index - 1)
            if index in key:
                carried = self.forward_fusion(torch.cat([carried, key.pop(index)], dim=1))
            features = self.forward_trunk(torch.cat([seen[index], backward.pop(), carried], dim=1))
            if index >= first:
                yield self._image(features, frame)[..., : factor * height, : factor * width]
