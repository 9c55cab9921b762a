"""BasicVSR++: four passes through the clip, aligned by deformable convolutions that flows guide.

Source: Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and Alignment", CVPR 2022,
arXiv:2104.13371; the variant for deblurring (output of the input's size): "On the Generalization of BasicVSR++ to
Video Deblurring and Denoising", arXiv:2204.05308. Layer names follow BasicSR (github.com/XPixelGroup/BasicSR).

The authors' code looks whether a clip is its own time reversal and then computes the flows of one direction only. Those
flows are the same numbers, so that this one computes both always. It also leaves the alignment out, with other keys
and other results, where no GPU is found at construction; this one has it always.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.nets.deformable import TAPS, DeformableConvolution
from models.nets.video_blocks import LEAKY_SLOPE, Enlargement, Trunk, conv, quarter, strided_front, warp_features
from synth.interp.nets.spynet import SMALLEST_SIDE_PX, SpyNet

PASSES = ("backward_1", "forward_1", "backward_2", "forward_2")
LARGEST_RESIDUE_PX = 10.0  # by how much offsets may leave the flow
GROUPS = 16
SMALLEST_INPUT_PX = 4 * SMALLEST_SIDE_PX  # flow is computed at a quarter of the size; the authors refuse less than 256


class SecondOrderAlignment(DeformableConvolution):
    """Aligns the features of one and of two steps back at once; offsets are the flows plus a bounded residue."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(2 * channels, channels, groups)
        last = conv(channels, 3 * TAPS * groups)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]  # it has one
        self.conv_offset = nn.Sequential(
            conv(3 * channels + 4, channels),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            conv(channels, channels),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            conv(channels, channels),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            last,
        )

    def forward(self, features: Tensor, guide: Tensor, flows_px: tuple[Tensor, Tensor]) -> Tensor:
        """Shape: features [B, 2C, H, W], guide [B, 3C, H, W], flows [B, 2, H, W] (x, y) -> [B, C, H, W]."""
        answer = self.conv_offset(torch.cat([guide, *flows_px], dim=1))  # [B, 27 G, H, W]
        split = 2 * TAPS * self.groups
        offsets = LARGEST_RESIDUE_PX * torch.tanh(answer[:, :split])
        # The first half of the groups reads the features of one step back, the second those of two; y before x.
        shifts = [flow.flip(1).repeat(1, split // 4, 1, 1) for flow in flows_px]
        return self.convolve(features, offsets.add_(torch.cat(shifts, dim=1)), torch.sigmoid(answer[:, split:]))


class BasicVSRPlusPlus(Enlargement):
    """Output of the input's size. channels: width; blocks: residual blocks per pass; last: width at full size."""

    def __init__(self, channels: int = 64, blocks: int = 15, groups: int = GROUPS, last: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.spynet = SpyNet()
        self.feat_extract = strided_front(channels)
        self.deform_align = nn.ModuleDict({name: SecondOrderAlignment(channels, groups) for name in PASSES})
        self.backbone = nn.ModuleDict(
            {name: Trunk((2 + number) * channels, channels, blocks) for number, name in enumerate(PASSES)}
        )
        self.reconstruction = Trunk(5 * channels, channels, 5)
        self._add_enlargement(channels, last)

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, T, 3, H, W], sides multiples of 4 and of 132 or more -> [B, T, 3, H, W].

        Range: RGB [0, 1] in; the output is not clamped. Errors: ValueError for other sides.
        """
        return torch.stack(list(self.restored(clip)), dim=1)

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]:
        """The outputs from frame `first` on, frame by frame. Shape: [B, 3, H, W] each."""
        height, width = clip.shape[-2:]
        if height % 4 or width % 4 or min(height, width) < SMALLEST_INPUT_PX:
            raise ValueError(
                f"BasicVSR++ takes sides that are multiples of 4, {SMALLEST_INPUT_PX} px or more, got {width}x{height}"
            )
        frames = clip.unbind(1)
        small = [quarter(frame) for frame in frames]
        known = [[self.feat_extract(frame)] for frame in frames]  # the features of the passes follow
        flows = {
            "backward": [self.spynet(one, other) for one, other in itertools.pairwise(small)],
            "forward": [self.spynet(other, one) for one, other in itertools.pairwise(small)],
        }
        for name in PASSES:
            self._pass(name, known, flows[name.split("_")[0]])
        for frame, features in zip(frames[first:], known[first:], strict=True):
            joined = self.reconstruction(torch.cat(features, dim=1))  # [B, C, H/4, W/4]
            features.clear()
            yield self.enlarge(joined).add_(frame)

    def _pass(self, name: str, known: list[list[Tensor]], flows_px: list[Tensor]) -> None:
        """One pass in one direction; its features are appended to what is known of every frame."""
        order = list(range(len(known)))
        if name.startswith("backward"):
            order.reverse()
        one_back = two_back = last_flow = None
        for step, index in enumerate(order):
            current = known[index]
            if one_back is None:
                aligned = torch.zeros_like(current[0])
            else:
                flow = flows_px[min(index, order[step - 1])]
                first = warp_features(one_back, flow)
                if two_back is None or last_flow is None:
                    two_back = second = torch.zeros_like(one_back)
                    far_flow = torch.zeros_like(flow)
                else:
                    far_flow = flow + warp_features(last_flow, flow)
                    second = warp_features(two_back, far_flow)
                guide = torch.cat([first, current[0], second], dim=1)  # [B, 3C, h, w]
                both = torch.cat([one_back, two_back], dim=1)
                aligned = self.deform_align[name](both, guide, (flow, far_flow))
                last_flow = flow
            result = aligned + self.backbone[name](torch.cat([*current, aligned], dim=1))
            current.append(result)
            one_back, two_back = result, one_back
