"""SRN: one encoder-decoder with a convolutional LSTM, run over three scales with the same weights.

Source: Tao et al., "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018. Its authors published TensorFlow
code only: layer names and details follow a third party's PyTorch port (github.com/ljzycmd/SimDeblur), which passes the
LSTM's cell state, not its hidden state, to the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.spec import ModelSpec, TrainingForm

SOURCE = "Tao et al., CVPR 2018, arXiv:1802.01770; third-party port github.com/ljzycmd/SimDeblur, not the authors' code"


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, stride=stride, padding=2)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, channels)
        self.conv2 = _convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x).relu_()).add_(x)


def _blocks(channels: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(3)])


class InBlock(nn.Module):
    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.in_conv = _convolution(inputs, channels)
        self.resblocks = _blocks(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(self.in_conv(x).relu_())


class EncoderBlock(nn.Module):
    """Shape: [B, C, H, W] -> [B, 2C, H/2, W/2]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down_conv = _convolution(channels, 2 * channels, stride=2)
        self.resblocks = _blocks(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(self.down_conv(x).relu_())


class DecoderBlock(nn.Module):
    """Shape: [B, C, H, W] -> [B, C/2, 2H, 2W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resblocks = _blocks(channels)
        self.up_conv = nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up_conv(self.resblocks(x)).relu_()


class OutBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resblocks = _blocks(channels)
        self.out_conv = _convolution(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(self.resblocks(x))


class ConvLSTM(nn.Module):
    """Gates in the order input, forget, output, candidate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _convolution(2 * channels, 4 * channels)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: all [B, C, h, w] -> the new hidden and cell state."""
        entry, forget, output, candidate = self.conv(torch.cat([x, hidden], dim=1)).chunk(4, dim=1)
        cell = forget.sigmoid() * cell + entry.sigmoid() * candidate.tanh()
        return output.sigmoid() * cell.tanh(), cell


class SRN(nn.Module):
    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.in_block = InBlock(6, channels)
        self.eblock1 = EncoderBlock(channels)
        self.eblock2 = EncoderBlock(2 * channels)
        self.conv_lstm = ConvLSTM(4 * channels)
        self.dblock1 = DecoderBlock(4 * channels)
        self.dblock2 = DecoderBlock(2 * channels)
        self.out_block = OutBlock(channels)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Shape: [B, 3, H, W], [B, 3, H/2, W/2], [B, 3, H/4, W/4], H and W multiples of 16 -> images of these shapes.

        Range: [0, 1] in; the outputs are not clamped.
        """
        outputs: list[Tensor] = []
        previous = pyramid[-1]
        hidden = cell = None
        for image in reversed(pyramid):
            if outputs:
                previous = functional.interpolate(outputs[0], scale_factor=2, mode="nearest")
            full = self.in_block(torch.cat([image, previous], dim=1))
            half = self.eblock1(full)
            deep = self.eblock2(half)
            if hidden is None or cell is None:
                hidden = cell = torch.zeros_like(deep)
            else:
                hidden, cell = (
                    functional.interpolate(state, scale_factor=2, mode="bilinear", align_corners=False)
                    for state in (hidden, cell)
                )
            hidden, cell = self.conv_lstm(deep, hidden, cell)
            outputs.insert(0, self.out_block(self.dblock2(self.dblock1(cell) + half) + full))
        return outputs


def image_pyramid(image: Tensor) -> list[Tensor]:
    """Full, half and quarter size (bilinear, half-pixel centres). Shape: [B, C, H, W]."""
    return [image] + [
        functional.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False) for scale in (0.5, 0.25)
    ]


def _restored(module: nn.Module, image: Tensor) -> Tensor:
    """The authors keep the pyramid outside the network."""
    return module(image_pyramid(image))[0]


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: full, half and quarter size, each with its own target."""
    return list(zip(module(image_pyramid(blur[:, 0])), image_pyramid(sharp[:, 0]), strict=True))


def _build_test() -> nn.Module:
    return SRN(channels=8)


SRN_SPEC = ModelSpec(
    name="srn",
    task="deblur",
    build=SRN,
    adapter=partial(Still, run=_restored),
    frames=1,
    multiple_of=16,
    value_range=(0.0, 1.0),
    weights=(),  # the authors' are TensorFlow checkpoints with other keys
    recipe="srn",
    quick_recipe="charbonnier",
    training=TrainingForm(outputs=_outputs),
    source=SOURCE,
    published="SRN",
    parity=("srn_simdeblur",),
).with_tiny("srn-test", _build_test)
