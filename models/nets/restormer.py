"""Restormer: a U-Net of transformer blocks whose attention runs over channels instead of pixels.

Source: Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022; layer names
follow the authors' checkpoints (github.com/swz30/Restormer). Attention over windows at test time: Chu et al., ECCV
2022, arXiv:2112.04491.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.nets.layers import channel_norm
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Zamir et al., CVPR 2022, arXiv:2111.09881; github.com/swz30/Restormer"


class _ScaleAndShift(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))


class LayerNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = _ScaleAndShift(channels)

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.body.weight, self.body.bias, 1e-5)


class FeedForward(nn.Module):
    """GDFN (paper, section 3.2): one half of the channels, through a GELU, gates the other."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(functional.gelu(gate) * value)


class ChannelSelfAttention(nn.Module):
    """MDTA (section 3.1): cosine similarities of channels over all pixels, or over each of a set of windows.

    window: (height, width) in pixels of this layer's features; None: the whole image.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)
        self.window: tuple[int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        projected = self.qkv_dwconv(self.qkv(x))
        rows, columns = x.shape[-2:]
        if self.window is None or (self.window[0] >= rows and self.window[1] >= columns):
            return self.project_out(self._attend(projected))
        return self.project_out(self._attend_in_windows(projected, *self.window))

    def _attend(self, projected: Tensor) -> Tensor:
        """Shape: [B, 3C, h, w] -> [B, C, h, w]."""
        batch, channels, rows, columns = projected.shape
        heads = self.temperature.shape[0]
        query, key, value = projected.reshape(batch, 3, heads, channels // (3 * heads), -1).unbind(1)  # [B, n, c, hw]
        # Dividing the small matrix of products by the lengths saves two passes over all pixels.
        lengths = [vectors.norm(dim=-1).clamp_min(1e-12) for vectors in (query, key)]  # [B, n, c]
        similarity = query @ key.transpose(-2, -1) / (lengths[0].unsqueeze(-1) * lengths[1].unsqueeze(-2))
        weights = (similarity * self.temperature).softmax(dim=-1)  # [B, n, c, c]
        return (weights @ value).reshape(batch, channels // 3, rows, columns)

    def _attend_in_windows(self, projected: Tensor, height: int, width: int) -> Tensor:
        """Attention within windows that are spread evenly over the image; the mean where they overlap."""
        batch, channels, rows, columns = projected.shape
        height, width = min(height, rows), min(width, columns)
        total = projected.new_zeros(batch, channels // 3, rows, columns)
        count = projected.new_zeros(1, 1, rows, columns)
        for top in window_starts(rows, height):
            for left in window_starts(columns, width):
                area = (..., slice(top, top + height), slice(left, left + width))
                total[area] += self._attend(projected[area])
                count[area] += 1
        return total / count


def window_starts(length: int, window: int) -> list[int]:
    """First pixels of the fewest windows that cover an axis: equal steps, rounded up, the last ends with the axis."""
    windows = -(-length // window)
    if windows == 1:
        return [0]
    step = -(-(length - window) // (windows - 1))
    return [min(index * step, length - window) for index in range(windows)]


class TransformerBlock(nn.Module):
    def __init__(self, channels: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.attn = ChannelSelfAttention(channels, heads)
        self.norm2 = LayerNorm(channels)
        self.ffn = FeedForward(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class PatchEmbedding(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Down(nn.Module):
    """Shape: [B, C, H, W] -> [B, 2C, H/2, W/2]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Up(nn.Module):
    """Shape: [B, C, H, W] -> [B, C/2, 2H, 2W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels * 2, 3, padding=1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Restormer(nn.Module):
    """blocks, heads: per level, full resolution first. refinement: blocks after the decoder."""

    def __init__(
        self,
        channels: int = 48,
        blocks: Sequence[int] = (4, 6, 6, 8),
        refinement: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        expansion: float = 2.66,
    ) -> None:
        super().__init__()
        c = channels

        def stage(level: int, count: int, width: int) -> nn.Sequential:
            return nn.Sequential(*[TransformerBlock(width, heads[level], expansion) for _ in range(count)])

        self.patch_embed = PatchEmbedding(c)
        self.encoder_level1 = stage(0, blocks[0], c)
        self.down1_2 = Down(c)
        self.encoder_level2 = stage(1, blocks[1], 2 * c)
        self.down2_3 = Down(2 * c)
        self.encoder_level3 = stage(2, blocks[2], 4 * c)
        self.down3_4 = Down(4 * c)
        self.latent = stage(3, blocks[3], 8 * c)
        self.up4_3 = Up(8 * c)
        self.reduce_chan_level3 = nn.Conv2d(8 * c, 4 * c, 1, bias=False)
        self.decoder_level3 = stage(2, blocks[2], 4 * c)
        self.up3_2 = Up(4 * c)
        self.reduce_chan_level2 = nn.Conv2d(4 * c, 2 * c, 1, bias=False)
        self.decoder_level2 = stage(1, blocks[1], 2 * c)
        self.up2_1 = Up(2 * c)
        self.decoder_level1 = stage(0, blocks[0], 2 * c)  # keeps the concatenated channels
        self.refinement = stage(0, refinement, 2 * c)
        self.output = nn.Conv2d(2 * c, 3, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 8 -> the same. Range: [0, 1] in; the output is not clamped."""
        first = self.encoder_level1(self.patch_embed(image))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        x = self.up4_3(self.latent(self.down3_4(third)))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([x, third], dim=1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), second], dim=1)))
        x = self.decoder_level1(torch.cat([self.up2_1(x), first], dim=1))
        return self.output(self.refinement(x)) + image


def localise(module: nn.Module, height: int, width: int) -> None:
    """Attention within windows of height x width image pixels instead of the whole image, in place."""
    assert isinstance(module, Restormer)
    for name, layer in module.named_modules():
        if isinstance(layer, ChannelSelfAttention):
            level = 3 if name.startswith("latent") else 2 if "level3" in name else 1 if "level2" in name else 0
            if height >> level < 1 or width >> level < 1:
                raise ValueError(f"a window has at least 8 x 8 px of the image, got {height} x {width}")
            layer.window = (height >> level, width >> level)


def _build_test() -> nn.Module:
    return Restormer(channels=8, blocks=(1, 1, 1, 1), refinement=1)


RESTORMER = ModelSpec(
    name="restormer",
    task="deblur",
    build=Restormer,
    adapter=Still,
    frames=1,
    multiple_of=8,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="motion_deblurring.pth",
            source="github.com/swz30/Restormer (README, Motion Deblurring)",
            licence="Academic Public License, non-commercial",
        ),
    ),
    recipe="restormer",
    quick_recipe="charbonnier",
    training=TrainingForm(residual=("output",)),
    source=SOURCE,
    published="Restormer",
    parity=("restormer_deblur",),
    switches=("truncate", "self-ensemble", "local-converter", "half"),
    localise=localise,
).with_tiny("restormer-test", _build_test)
