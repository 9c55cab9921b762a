"""ESTRNN: a recurrent cell of residual dense blocks, and attention over the features of five frames.

Source: Zhong et al., "Efficient Spatio-Temporal Recurrent Neural Network for Video Deblurring", ECCV 2020, and "Real-
world Video Deblurring", arXiv:2106.16028; layer names follow the authors' checkpoints (github.com/zzh-tech/ESTRNN), so
that these load strictly. C80B15: 80 channels in 15 blocks.

The authors' test program. Frames 2 to T - 3 of a clip have an output, the first two and the last two are not scored.
Clips are cut into runs of 20 frames, the state starts anew in each; a run begins four frames before the last one's end,
and the last run ends with the clip; a frame's first output counts. 8-bit values are cut off (switch "truncate").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from core.key_layouts import KeyLayout
from models.nets.adapters import pieces
from models.nets.clips import continued_indices
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Zhong et al., ECCV 2020, and arXiv:2106.16028; github.com/zzh-tech/ESTRNN"
REACH = 2  # frames before and after the one that is restored
RUN_FRAMES = 20  # of the authors' test program


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, nn.functional.gelu(self.conv(x))], dim=1)


class ResidualDenseBlock(nn.Module):
    """Three convolutions, each of which sees the input and all outputs before it; a 1x1 convolution; plus the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.dense_layers = nn.Sequential(*[DenseLayer(channels + index * growth, growth) for index in range(3)])
        self.conv1x1 = nn.Conv2d(channels + 3 * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(self.dense_layers(x)) + x


class DownsamplingBlock(nn.Module):
    """Shape: [B, C, H, W] -> [B, 2C, H/2, W/2]."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb = ResidualDenseBlock(channels, growth)
        self.down_sampling = nn.Conv2d(channels, 2 * channels, 5, stride=2, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_sampling(self.rdb(x))


class DenseBlocks(nn.Module):
    """Blocks one after the other, the outputs of all of them merged."""

    def __init__(self, channels: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.RDBs = nn.ModuleList([ResidualDenseBlock(channels, growth) for _ in range(blocks)])
        self.conv1x1 = nn.Conv2d(blocks * channels, channels, 1)
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for block in self.RDBs:
            x = block(x)
            outputs.append(x)
        return self.conv3x3(self.conv1x1(torch.cat(outputs, dim=1)))


class RecurrentCell(nn.Module):
    """Features of a frame and the next state, from the frame and the state.

    Shape: [B, 3, H, W], state [B, C, H/4, W/4] -> [B, 5C, H/4, W/4], state.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        c = channels
        self.F_B0 = nn.Conv2d(3, c, 5, padding=2)
        self.F_B1 = DownsamplingBlock(c, c)
        self.F_B2 = DownsamplingBlock(2 * c, 3 * c // 2)
        self.F_R = DenseBlocks(5 * c, 2 * c, blocks)
        self.F_h = nn.Sequential(
            nn.Conv2d(5 * c, c, 3, padding=1), ResidualDenseBlock(c, c), nn.Conv2d(c, c, 3, padding=1)
        )

    def forward(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.F_B2(self.F_B1(self.F_B0(frame)))  # [B, 4C, H/4, W/4]
        features = self.F_R(torch.cat([seen, state], dim=1))
        return features, self.F_h(features)


class Attention(nn.Module):
    """GSA (ECCV paper, section 3.3): the features of the other frames, weighed beside those of the middle one.

    Shape: 2 * REACH + 1 of [B, C, h, w] in the order of time -> [B, (2 * REACH + 1) C, h, w], the middle one last.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        pair, all_frames = 2 * channels, (2 * REACH + 1) * channels
        self.F_f = nn.Sequential(nn.Linear(pair, 2 * pair), nn.GELU(), nn.Linear(2 * pair, pair), nn.Sigmoid())
        self.F_p = nn.Sequential(nn.Conv2d(pair, 2 * pair, 1), nn.Conv2d(2 * pair, pair, 1))
        self.condense = nn.Conv2d(pair, channels, 1)
        self.fusion = nn.Conv2d(all_frames, all_frames, 1)

    def forward(self, window: Sequence[Tensor]) -> Tensor:
        centre = window[REACH]
        merged = []
        for place, other in enumerate(window):
            if place == REACH:
                continue
            both = torch.cat([centre, other], dim=1)
            weights = self.F_f(both.mean(dim=(2, 3)))[:, :, None, None]  # [B, 2C, 1, 1]
            merged.append(self.condense(weights * self.F_p(both)))
        return self.fusion(torch.cat([*merged, centre], dim=1))


class Reconstructor(nn.Module):
    """Shape: [B, inputs, H/4, W/4] -> [B, 3, H, W]."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        c = channels
        self.model = nn.Sequential(
            nn.ConvTranspose2d(inputs, 2 * c, 3, stride=2, padding=1, output_padding=1),
            nn.ConvTranspose2d(2 * c, c, 3, stride=2, padding=1, output_padding=1),
            nn.Conv2d(c, 3, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ESTRNN(nn.Module):
    """channels: of the state; features of a frame have five times as many."""

    def __init__(self, channels: int = 16, blocks: int = 15) -> None:
        super().__init__()
        self.channels = channels
        self.cell = RecurrentCell(channels, blocks)
        self.recons = Reconstructor((2 * REACH + 1) * 5 * channels, channels)
        self.fusion = Attention(5 * channels)

    def features(self, clip: Tensor) -> list[Tensor]:
        """Of every frame, from the first on. Shape: [B, T, 3, H, W] -> T of [B, 5C, H/4, W/4]."""
        batch, _, _, height, width = clip.shape
        state = clip.new_zeros(batch, self.channels, height // 4, width // 4)
        found = []
        for frame in clip.unbind(1):
            features, state = self.cell(frame, state)
            found.append(features)
        return found

    def forward(self, clip: Tensor) -> Tensor:
        """Shape: [B, T, 3, H, W], T of 5 or more, sides multiples of 4 -> [B, T - 4, 3, H, W], frames 2 to T - 3.

        Range: [-0.5, 0.5], channels in the order BGR (the authors read images with OpenCV); the output is not clamped.
        """
        found = self.features(clip)
        middles = range(REACH, len(found) - REACH)
        return torch.stack([self._restored(found[middle - REACH : middle + REACH + 1]) for middle in middles], dim=1)

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]:
        """As `forward`, but every frame from number `first` on, one after the other, [B, 3, H, W].

        The two frames at either end take the features of the frames on their other side for those that are not there.
        """
        found = self.features(clip)
        last = len(found) - 1
        for middle in range(first, len(found)):
            places = [abs(place) for place in range(middle - REACH, middle + REACH + 1)]
            yield self._restored([found[min(place, 2 * last - place)] for place in places])

    def _restored(self, window: Sequence[Tensor]) -> Tensor:
        return self.recons(self.fusion(window))


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: all frames but two at either end; a clip of fewer than five is continued by its reflection."""
    order = continued_indices(blur.shape[1], 2 * REACH + 1)
    outputs = module(blur[:, order].flip(2) - 0.5).flip(2) + 0.5  # [B, T - 4, 3, H, W]
    return list(zip(outputs.unbind(1), sharp[:, order[REACH:-REACH]].unbind(1), strict=True))


def _without_model(key: str) -> str:
    return key.removeprefix("model.")


# Of their training program, which wraps the network.
_LAYOUT = KeyLayout(name="the layout of ESTRNN's authors", marker="model.cell.F_B0.weight", rename=_without_model)


def _build_test() -> nn.Module:
    return ESTRNN(channels=4, blocks=2)


ESTRNN_SPEC = ModelSpec(
    name="estrnn",
    task="video-deblur",
    build=ESTRNN,
    adapter=partial(pieces, shortest=2 * REACH + 1, overlap=REACH),
    frames=RUN_FRAMES,
    multiple_of=4,
    value_range=(-0.5, 0.5),
    bgr=True,
    weights=(Weights(file="model_best.pth.tar", source="github.com/zzh-tech/ESTRNN (README)", licence="MIT"),),
    layouts=(_LAYOUT,),
    recipe="estrnn",
    training=TrainingForm(outputs=_outputs),
    source=SOURCE,
    published="ESTRNN",
    parity=("estrnn_c80b15",),
).with_tiny("estrnn-test", _build_test)
