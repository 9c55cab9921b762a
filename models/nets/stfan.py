"""STFAN: spatio-temporal filter adaptive network for video deblurring.

Source: Zhou et al., "Spatio-Temporal Filter Adaptive Network for Video Deblurring", ICCV 2019, arXiv:1904.12257.
Layer names follow the authors' checkpoints (github.com/sczhou/STFAN) so that these load strictly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import recurrent
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Zhou et al., ICCV 2019, arXiv:1904.12257; github.com/sczhou/STFAN"
FILTER_SIZE = 5
LEAKY_SLOPE = 0.1


def filter_adaptive_convolution(features: Tensor, filters: Tensor, size: int = FILTER_SIZE) -> Tensor:
    """Correlate every pixel of every channel with a filter of its own (paper, equation 2); the edge is repeated.

    Shape: features [B, C, H, W], filters [B, C * size * size, H, W] (channel c * size^2 + i * size + j weighs the
    neighbour i - size // 2 rows down and j - size // 2 columns to the right) -> [B, C, H, W].
    Errors: ValueError if the two do not fit.
    """
    batch, channels, height, width = features.shape
    if filters.shape != (batch, channels * size * size, height, width):
        raise ValueError(
            f"filters of shape {[batch, channels * size * size, height, width]} are needed for features of shape "
            f"{list(features.shape)}, got {list(filters.shape)}"
        )
    reach = size // 2
    padded = functional.pad(features, (reach, reach, reach, reach), mode="replicate")
    # unbind and not an index per tap: the gradients of all taps are then put together once instead of 25 times.
    taps = filters.view(batch, channels, size * size, height, width).unbind(2)
    # One shifted view at a time: an unfolded copy of the features would cost size^2 times their memory.
    total = taps[0] * padded[:, :, :height, :width]
    for tap in range(1, size * size):
        row, column = divmod(tap, size)
        total = torch.addcmul(total, taps[tap], padded[:, :, row : row + height, column : column + width])
    return total


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
    )


def _upconv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(LEAKY_SLOPE, inplace=True)
    )


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(x).add_(x)


class STFAN(nn.Module):
    """One step of the recurrent network. channels: widths of the three scales."""

    def __init__(self, channels: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        c1, c2, c3 = channels
        taps = c3 * FILTER_SIZE**2
        self.fea = _conv(2 * c3, c3)
        # Features of the current blurred frame.
        self.conv1_1, self.conv1_2, self.conv1_3 = _conv(3, c1), ResidualBlock(c1), ResidualBlock(c1)
        self.conv2_1, self.conv2_2, self.conv2_3 = _conv(c1, c2, stride=2), ResidualBlock(c2), ResidualBlock(c2)
        self.conv3_1, self.conv3_2, self.conv3_3 = _conv(c2, c3, stride=2), ResidualBlock(c3), ResidualBlock(c3)
        # Reconstruction.
        self.upconv2_u, self.upconv2_2, self.upconv2_1 = _upconv(2 * c3, c2), ResidualBlock(c2), ResidualBlock(c2)
        self.upconv1_u, self.upconv1_2, self.upconv1_1 = _upconv(c2, c1), ResidualBlock(c1), ResidualBlock(c1)
        self.img_prd = _conv(c1, 3)
        # Features of the three frames that the filters are predicted from.
        self.kconv1_1, self.kconv1_2, self.kconv1_3 = _conv(9, c1), ResidualBlock(c1), ResidualBlock(c1)
        self.kconv2_1, self.kconv2_2, self.kconv2_3 = _conv(c1, c2, stride=2), ResidualBlock(c2), ResidualBlock(c2)
        self.kconv3_1, self.kconv3_2, self.kconv3_3 = _conv(c2, c3, stride=2), ResidualBlock(c3), ResidualBlock(c3)
        self.fac_warp = nn.Sequential(_conv(c3, c3), ResidualBlock(c3), ResidualBlock(c3), _conv(c3, taps, kernel=1))
        self.kconv4 = _conv(taps, c3, kernel=1)
        self.fac_deblur = nn.Sequential(
            _conv(2 * c3, c3), ResidualBlock(c3), ResidualBlock(c3), _conv(c3, taps, kernel=1)
        )

    def forward(
        self, blur: Tensor, previous_blur: Tensor, previous_output: Tensor, previous_features: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Restore one frame from it, its blurred predecessor and the predecessor's restored image and features.

        Shape: images [B, 3, H, W], sides multiples of 4; features [B, 2 * c3, H/4, W/4] or None at the first frame,
        where all three images are the frame itself -> output [B, 3, H, W] and features for the next step.
        Range: [0, 1], channels in the order BGR (the authors read images with OpenCV); the output is not clamped.
        """
        k = self.kconv1_3(self.kconv1_2(self.kconv1_1(torch.cat([blur, previous_blur, previous_output], dim=1))))
        k = self.kconv2_3(self.kconv2_2(self.kconv2_1(k)))  # [B, c2, H/2, W/2]
        k = self.kconv3_3(self.kconv3_2(self.kconv3_1(k)))  # [B, c3, H/4, W/4]
        x = self.conv1_3(self.conv1_2(self.conv1_1(blur)))
        x = self.conv2_3(self.conv2_2(self.conv2_1(x)))
        x = self.conv3_3(self.conv3_2(self.conv3_1(x)))
        previous = torch.cat([x, x], dim=1) if previous_features is None else previous_features

        filters = self.fac_warp(k)  # [B, 25 c3, H/4, W/4], by far the largest tensor: only one is alive at a time
        warped = filter_adaptive_convolution(self.fea(previous), filters)
        k = torch.cat([k, self.kconv4(filters)], dim=1)
        del filters
        deblurred = filter_adaptive_convolution(x, self.fac_deblur(k))
        features = torch.cat([deblurred, warped], dim=1)  # [B, 2 c3, H/4, W/4]

        x = self.upconv2_1(self.upconv2_2(self.upconv2_u(features)))
        x = self.upconv1_1(self.upconv1_2(self.upconv1_u(x)))
        return self.img_prd(x) + blur, features


_State = tuple[Tensor, Tensor, Tensor]  # the blurred frame, the restored one and its features


def _step(module: nn.Module, blur: Tensor, state: _State | None) -> tuple[Tensor, _State]:
    """The first frame is its own predecessor."""
    previous_blur, previous_output, features = state or (blur, blur, None)
    output, features = module(blur, previous_blur, previous_output, features)
    return output, (blur, output, features)


def _shown_step(module: nn.Module, blur: Tensor, state: _State | None) -> tuple[Tensor, _State]:
    """`_step` as the authors' test program takes it: the restored image is clamped before it is handed on."""
    output, (_, _, features) = _step(module, blur, state)
    return output, (blur, output.clamp(0, 1), features)


def _training_step(module: Callable[..., Any], frame: Tensor, state: _State | None) -> tuple[Tensor, _State]:
    """A frame of its own in training: what is handed on is clamped and has no gradient.

    Source: github.com/sczhou/STFAN, core/train.py 70-135.
    """
    output, (blur, _, features) = _step(module, frame.flip(1), state)  # type: ignore[arg-type]
    return output.flip(1), (blur, output.clamp(0, 1).detach(), features.detach())


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: over a clip, in BGR; the gradient runs through all steps."""
    found, state = [], None
    for frame, target in zip(blur.unbind(1), sharp.unbind(1), strict=True):
        output, state = _step(module, frame.flip(1), state)
        found.append((output.flip(1), target))
    return found


def _build() -> nn.Module:
    return STFAN()


def _build_test() -> nn.Module:
    return STFAN(channels=(4, 8, 8))


STFAN_SPEC = ModelSpec(
    name="stfan",
    task="video-deblur",
    build=_build,
    adapter=partial(recurrent, step=_shown_step),
    frames=2,
    multiple_of=4,
    value_range=(0.0, 1.0),
    bgr=True,
    weights=(Weights(file="best-ckpt.pth.tar", source="github.com/sczhou/STFAN (README)", licence="MIT"),),
    recipe="stfan",
    quick_recipe="stfan-plain",
    training=TrainingForm(outputs=_outputs, residual=("img_prd.0",), step=_training_step),
    source=SOURCE,
    published="STFAN",
    parity=("stfan",),
).with_tiny("stfan-test", _build_test)
