"""Modulated deformable convolution (DCNv2): every tap of the kernel reads at a place of its own.

Source: Zhu et al., "Deformable ConvNets v2: More Deformable, Better Results", CVPR 2019, equation 1.

torchvision's compiled operator is used where its binary loads. The form in plain PyTorch is exact and differentiable:
all taps of a strip of rows are sampled by one `grid_sample` and multiplied with the weights by one matrix product,
while the strip is still in the cache (figures: docs/log, 11, `python benchmark/studies/operators.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.torchvision_shim import ensure_torchvision

STRIP_ELEMENTS = 1 << 20  # of sampled values at a time: 4 MB in float32, near the size of a core's cache
KERNEL = 3
TAPS = KERNEL * KERNEL

_compiled: list[bool] = []  # whether torchvision's operator is there; asked once


def modulated_deformable_convolution(
    features: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """3x3 convolution with stride 1 and padding 1 whose taps are shifted by `offsets` and multiplied by `mask`.

    Shape: features [B, C, H, W]; offsets [B, G * 9 * 2, H, W] (per group and tap, taps row by row: y down, x right);
    mask [B, G * 9, H, W]; weight [O, C, 3, 3]; bias [O] -> [B, O, H, W]. Each of the G groups of C / G channels has
    offsets of its own. Units: offsets in px. Values between pixels are bilinear, outside the image zero.
    Errors: ValueError if the shapes do not fit.
    """
    batch, channels, height, width = features.shape
    groups, rest = divmod(mask.shape[1], TAPS)
    if rest or groups < 1 or channels % groups or offsets.shape != (batch, 2 * mask.shape[1], height, width):
        raise ValueError(
            f"features {list(features.shape)} need a mask [B, G * 9, H, W], G a divisor of {channels}, and offsets "
            f"[B, G * 18, H, W]; got {list(mask.shape)} and {list(offsets.shape)}"
        )
    if compiled_operator_loads() and features.dtype != torch.bfloat16:
        plain = (features.contiguous(), weight, offsets.contiguous(), mask.contiguous(), bias)
        # Stride, padding and dilation (y, x), groups of the weight, groups of the offsets, use of the mask.
        return torch.ops.torchvision.deform_conv2d(*plain, 1, 1, 1, 1, 1, 1, 1, groups, True)
    return _by_strips(features, offsets, mask, weight, bias)


def compiled_operator_loads() -> bool:
    """Whether torchvision's compiled deformable convolution can be used here."""
    if not _compiled:
        try:
            ensure_torchvision()
            _compiled.append(hasattr(torch.ops.torchvision, "deform_conv2d"))
        except ImportError:
            _compiled.append(False)
    return _compiled[0]


def _by_strips(features: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The form in plain PyTorch; arguments as above."""
    batch, channels, height, width = features.shape
    outputs, groups = weight.shape[0], mask.shape[1] // TAPS
    # For grid_sample (align_corners=False) the outer edges are at -1 and 1: pixel p is at (2 p + 1) / side - 1.
    rows, columns = (_tap_positions(side, tap, features) for side, tap in ((height, 0), (width, 1)))
    image = features.reshape(batch * groups, channels // groups, height, width)
    offsets = offsets.reshape(batch * groups, TAPS, 2, height, width)
    mask = mask.reshape(batch * groups, 1, TAPS, height, width)
    flat_weight = weight.reshape(1, outputs, channels * TAPS).expand(batch, -1, -1)
    flat_bias = bias.view(1, outputs, 1)
    learning = torch.is_grad_enabled() and any(value.requires_grad for value in (features, offsets, mask, weight))

    strips: list[Tensor] = []
    # With gradients every strip has an image-sized gradient of its own: no more of these than there are taps.
    strip = -(-height // TAPS) if learning else max(1, STRIP_ELEMENTS // (batch * channels * TAPS * width))
    for first in range(0, height, strip):
        last = min(first + strip, height)
        shifts = offsets[:, :, :, first:last]
        x = torch.add(columns, shifts[:, :, 1], alpha=2 / width)  # [BG, 9, strip, W]
        y = torch.add(rows[:, first:last], shifts[:, :, 0], alpha=2 / height)
        grid = torch.stack([x, y], dim=-1).flatten(1, 2)  # [BG, 9 strip, W, 2]
        sampled = functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        sampled = sampled.view(batch * groups, channels // groups, TAPS, last - first, width)
        weights = mask[:, :, :, first:last]
        sampled = sampled * weights if learning else sampled.mul_(weights)
        flat = sampled.view(batch, channels * TAPS, (last - first) * width)
        strips.append(torch.baddbmm(flat_bias, flat_weight, flat).view(batch, outputs, last - first, width))
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


def _tap_positions(side: int, axis: int, like: Tensor) -> Tensor:
    """Where the nine taps of every row (axis 0) or column (1) are. Shape: [9, H, 1] or [9, 1, W]."""
    places = torch.arange(side, device=like.device, dtype=like.dtype)
    taps = torch.arange(TAPS, device=like.device)
    step = (taps // KERNEL if axis == 0 else taps % KERNEL) - KERNEL // 2
    positions = (2 * (places + step.to(like.dtype)[:, None]) + 1) / side - 1  # [9, side]
    return positions[:, :, None] if axis == 0 else positions[:, None, :]


class DeformableConvolution(nn.Module):
    """What deformable layers share: the weights of the convolution itself; how offsets come about is theirs."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        if inputs % groups:
            raise ValueError(f"the number of groups must divide the channels, got {groups} groups of {inputs}")
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(outputs, inputs, KERNEL, KERNEL))
        self.bias = nn.Parameter(torch.zeros(outputs))
        bound = (inputs * TAPS) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def convolve(self, features: Tensor, offsets: Tensor, mask: Tensor) -> Tensor:
        return modulated_deformable_convolution(features, offsets, mask, self.weight, self.bias)


class PredictedOffsets(DeformableConvolution):
    """Offsets and mask come from other features by one convolution (EDVR); it starts with no offset and mask 0.5."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__(inputs, outputs, groups)
        self.conv_offset = nn.Conv2d(inputs, groups * TAPS * 3, KERNEL, padding=1)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        """Shape: two [B, C, H, W] -> [B, O, H, W]; the offsets are read off `guide`."""
        answer = self.conv_offset(guide)  # [B, G * 27, H, W]
        split = self.groups * TAPS * 2
        return self.convolve(features, answer[:, :split], torch.sigmoid(answer[:, split:]))
