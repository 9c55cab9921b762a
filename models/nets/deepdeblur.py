"""DeepDeblur: one plain residual network per scale, each fed with the coarser one's result.

Source: Nah et al., "Deep Multi-scale Convolutional Neural Network for Dynamic Scene Deblurring", CVPR 2017; layer names
follow the checkpoints of its author's PyTorch version (github.com/SeungjunNah/DeepDeblur-PyTorch).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Nah et al., CVPR 2017, arXiv:1612.02177; github.com/SeungjunNah/DeepDeblur-PyTorch"
MIDDLE = 127.5  # of the range [0, 255]


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, padding=2)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels), nn.ReLU(inplace=True), _convolution(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).add_(x)


class ScaleBody(nn.Module):
    """The network of one scale; it predicts the image itself, not a residual."""

    def __init__(self, inputs: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(inputs, channels),
            *[ResidualBlock(channels) for _ in range(blocks)],
            _convolution(channels, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class UpPath(nn.Module):
    """A result brought to the next finer scale. Shape: [B, 3, H, W] -> [B, 3, 2H, 2W]."""

    def __init__(self) -> None:
        super().__init__()
        self.uppath = nn.Sequential(_convolution(3, 12), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.uppath(x)


class MultiScaleResNet(nn.Module):
    """scales: number of images in the pyramid; index 0 of every list is the finest."""

    def __init__(self, channels: int = 64, blocks: int = 19, scales: int = 3) -> None:
        super().__init__()
        self.body_models = nn.ModuleList(
            [ScaleBody(3 if scale == scales - 1 else 6, channels, blocks) for scale in range(scales)]
        )
        self.conv_end_models = nn.ModuleList([nn.Identity(), *[UpPath() for _ in range(scales - 1)]])

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Shape: [B, 3, H, W], [B, 3, H/2, W/2], [B, 3, H/4, W/4] -> three images of the same shapes.

        Range: [0, 255] in; the outputs are not clamped.
        """
        outputs: list[Tensor] = []
        carried: Tensor | None = None
        for scale in reversed(range(len(self.body_models))):
            image = pyramid[scale] - MIDDLE
            predicted = self.body_models[scale](image if carried is None else torch.cat([image, carried], dim=1))
            carried = self.conv_end_models[scale](predicted)
            outputs.insert(0, predicted + MIDDLE)
        return outputs


def gaussian_pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """Smoothed and halved, as scikit-image's `pyramid_gaussian` does with its defaults, finest first.

    Every step: a Gaussian of sigma 2/3 px cut at 4 sigma, edges mirrored with the edge pixel repeated, then the mean of
    2x2 pixels. Shape: [B, C, H, W] with sides that divide by 2 ** (scales - 1).
    """
    offsets = torch.arange(-3, 4, dtype=torch.float64)
    taps = torch.exp(-0.5 * (offsets / (2 / 3)) ** 2)
    taps = (taps / taps.sum()).to(image)
    pyramid = [image]
    for _ in range(scales - 1):
        finer = pyramid[-1]
        channels = finer.shape[1]
        for axis in (2, 3):
            kernel = taps.view(1, 1, -1, 1) if axis == 2 else taps.view(1, 1, 1, -1)
            finer = functional.conv2d(_mirrored(finer, axis), kernel.expand(channels, 1, -1, -1), groups=channels)
        pyramid.append(functional.avg_pool2d(finer, 2))
    return pyramid


def _mirrored(x: Tensor, axis: int) -> Tensor:
    """Three more pixels at both ends of an axis: 2 1 0 | 0 1 2 ... (again and again where the image is too short)."""
    count = x.shape[axis]
    index = torch.arange(-3, count + 3, device=x.device) % (2 * count)
    return x.index_select(axis, torch.where(index < count, index, 2 * count - 1 - index))


def _restored(module: nn.Module, image: Tensor) -> Tensor:
    """The authors keep the pyramid outside the network."""
    return module(gaussian_pyramid(image, 3))[0]


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: a pyramid in [0, 255]; every scale has the sharp image's as its target."""
    outputs = module(gaussian_pyramid(blur[:, 0] * 255, 3))
    return [(output / 255, target) for output, target in zip(outputs, gaussian_pyramid(sharp[:, 0], 3), strict=True)]


def _build_test() -> nn.Module:
    return MultiScaleResNet(channels=8, blocks=1)


DEEPDEBLUR = ModelSpec(
    name="deepdeblur",
    task="deblur",
    build=MultiScaleResNet,
    adapter=partial(Still, run=_restored),
    frames=1,
    multiple_of=4,
    padding="replicate",
    value_range=(0.0, 255.0),
    weights=(
        Weights(file="GOPRO_L1/models/model-1000.pt", source="github.com/SeungjunNah/DeepDeblur-PyTorch (README)"),
    ),
    recipe="deepdeblur",
    training=TrainingForm(outputs=_outputs),
    source=SOURCE,
    published="DeepDeblur",
    parity=("deepdeblur_msresnet",),
).with_tiny("deepdeblur-test", _build_test)
