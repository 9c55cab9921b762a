"""Uformer: a U-Net of transformer blocks whose attention runs within windows of 8 x 8 pixels, every second one shifted.

Source: Wang et al., "Uformer: A General U-Shaped Transformer for Image Restoration", CVPR 2022; layer names follow the
authors' checkpoints (github.com/ZhendongWang6/Uformer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.nets.layers import dense
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Wang et al., CVPR 2022, arXiv:2106.03106; github.com/ZhendongWang6/Uformer"
LEVELS = 4
PART_ELEMENTS = 1 << 22  # of the widest features, in one part of an image


def _rows_at_once(rows: int, elements_of_a_row: int) -> int:
    """How many rows are computed together: all of them where something is learned."""
    return rows if torch.is_grad_enabled() else max(1, PART_ELEMENTS // elements_of_a_row)


def position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of pixels of a window (query, key). Shape: [window^2, window^2]."""
    places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    rows, columns = places[:, :, None] - places[:, None, :] + window - 1  # [window^2, window^2] each
    return rows * (2 * window - 1) + columns


def shift_masks(window: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What keeps pixels apart that a shift has brought into one window from opposite edges of the image.

    Shape: three of [window^2, window^2]: windows of the last row, of the last column, of both.
    """
    after = torch.arange(window, device=device) >= window - window // 2
    rows = after[:, None].expand(window, window).flatten()
    columns = after[None, :].expand(window, window).flatten()
    apart = [zone[:, None] != zone[None, :] for zone in (rows, columns)]
    row, column, both = (each * -100.0 for each in (*apart, apart[0] | apart[1]))
    return row, column, both


class Projections(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(channels, 2 * channels)


class WindowAttention(nn.Module):
    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", position_index(window))
        self.qkv = Projections(channels)
        self.proj = nn.Linear(channels, channels)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def bias(self) -> Tensor:
        """Shape: [heads, P, P]."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)

    def forward(self, windows: Tensor, bias: Tensor, masks: tuple[Tensor, Tensor, Tensor] | None, last: bool) -> Tensor:
        """Shape: windows [B, rows, columns, P, C] -> the same; bias [heads, P, P].

        masks: of a shifted map. last: the last row of windows is that of the map.
        """
        batch, rows, columns, length, channels = windows.shape
        query = dense(windows, self.qkv.to_q.weight, self.qkv.to_q.bias) * (channels // self.heads) ** -0.5
        pair = dense(windows, self.qkv.to_kv.weight, self.qkv.to_kv.bias)
        split = (batch * rows * columns, length, -1, self.heads, channels // self.heads)
        query = query.view(split).permute(2, 0, 3, 1, 4)[0]  # [B * rows * columns, heads, P, c]
        key, value = pair.view(split).permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(-2, -1)).add_(bias)  # [B * rows * columns, heads, P, P]
        if masks is not None:
            row, column, both = masks
            grid = scores.view(batch, rows, columns, self.heads, length, length)
            if last:
                grid[:, -1, :-1] += row
                grid[:, :-1, -1] += column
                grid[:, -1, -1] += both
            else:
                grid[:, :, -1] += column
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(windows.shape)
        return dense(mixed, self.proj.weight, self.proj.bias)


class FeedForward(nn.Module):
    """LeFF (paper, section 3.2): a depthwise convolution between two dense layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.linear1 = nn.Sequential(nn.Linear(channels, hidden), nn.GELU())
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.GELU())
        self.linear2 = nn.Sequential(nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Rows of x with those beside them; the results of an edge that is not the map's are not to be used.

        Shape: [B, H, W, C] -> the same.
        """
        first, last = self.linear1[0], self.linear2[0]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        hidden = dense(x, first.weight, first.bias, gelu="none")
        hidden = self.dwconv(hidden.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # [B, H, W, 4C]
        return dense(hidden, last.weight, last.bias)


class TransformerBlock(nn.Module):
    """drop: share of the samples for which a part is left out in training (stochastic depth)."""

    def __init__(self, channels: int, heads: int, window: int, *, odd: bool, modulated: bool, drop: float) -> None:
        super().__init__()
        self.window = window
        self.odd = odd
        self.drop = drop
        self.modulator = nn.Embedding(window * window, channels) if modulated else None
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = FeedForward(channels)

    def forward(self, x: Tensor, *, shifts: bool) -> Tensor:
        """Shape: [B, H, W, C] -> the same. shifts: blocks of an odd number within their layer are shifted here."""
        x = x + self._kept(self._attended(self.norm1(x), self.window // 2 if shifts and self.odd else 0))
        return self._fed(x)

    def _kept(self, part: Tensor) -> Tensor:
        if not self.training or self.drop == 0:
            return part
        kept = torch.rand(part.shape[0], 1, 1, 1, device=part.device) >= self.drop
        return part * kept / (1 - self.drop)

    def _attended(self, x: Tensor, shift: int) -> Tensor:
        (batch, height, width, channels), window = x.shape, self.window
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
        rows, columns = height // window, width // window
        whole = x.view(batch, rows, window, columns, window, channels)
        bias, masks = self.attn.bias(), shift_masks(window, x.device) if shift else None
        at_once = _rows_at_once(rows, batch * columns * window**2 * (4 * channels + window**2 * self.attn.heads))
        parts = []
        for start in range(0, rows, at_once):
            part = whole[:, start : start + at_once].transpose(2, 3)
            windows = part.reshape(batch, -1, columns, window * window, channels)
            if self.modulator is not None:
                windows = windows + self.modulator.weight
            mixed = self.attn(windows, bias, masks, start + at_once >= rows)
            parts.append(mixed.view(batch, -1, columns, window, window, channels).transpose(2, 3))
        x = torch.cat(parts, dim=1).reshape(batch, height, width, channels)
        return x.roll((shift, shift), (1, 2)) if shift else x

    def _fed(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        at_once = max(4, _rows_at_once(height, batch * width * 4 * channels))
        if at_once >= height:
            return x + self._kept(self.mlp(self.norm2(x)))
        parts = []
        for start in range(0, height, at_once):
            end = min(height, start + at_once)
            above, below = min(start, 1), min(height - end, 1)
            fed = self.mlp(self.norm2(x[:, start - above : end + below]))
            parts.append(x[:, start:end] + fed[:, above : above + end - start])
        return torch.cat(parts, dim=1)


class Layer(nn.Module):
    """Blocks of one size. level: how often the image was halved."""

    def __init__(
        self, channels: int, heads: int, window: int, level: int, drops: Sequence[float], *, modulated: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.level = level
        self.blocks = nn.ModuleList(
            TransformerBlock(channels, heads, window, odd=bool(number % 2), modulated=modulated, drop=drop)
            for number, drop in enumerate(drops)
        )

    def forward(self, x: Tensor, image_px: int) -> Tensor:
        """Shape: [B, C, H, W] -> the same."""
        x = x.permute(0, 2, 3, 1).contiguous()  # [B, H, W, C]
        for block in self.blocks:
            x = block(x, shifts=image_px >> self.level > self.window)
        return x.permute(0, 3, 1, 2)


class InputProjection(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.LeakyReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class OutputProjection(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Down(nn.Module):
    """Shape: [B, C, H, W] -> [B, 2C, H/2, W/2]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Up(nn.Module):
    """Shape: [B, C', H, W] -> [B, C, 2H, 2W]."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.deconv = nn.Sequential(nn.ConvTranspose2d(inputs, channels, 2, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.deconv(x)


class Uformer(nn.Module):
    """depths: blocks of the four encoder layers, of the bottleneck, of the four decoder layers.

    image_px, trained_px: the side that the authors build their network for in their test programs (128) and in training
    (256). A layer whose features would have no more than one window along a side there has no shifted blocks: the
    bottleneck's second block is shifted in training and is not in their tests, whatever the size of the image.
    """

    def __init__(
        self,
        channels: int = 32,
        depths: Sequence[int] = (1, 2, 8, 8, 2, 8, 8, 2, 1),
        *,
        window: int = 8,
        drop: float = 0.1,
    ) -> None:
        super().__init__()
        self.multiple = window << LEVELS  # of both sides: a window at a sixteenth of the size
        self.image_px = self.multiple
        self.trained_px = 2 * self.multiple
        c = channels
        encoder_drops = torch.linspace(0, drop, sum(depths[:LEVELS])).tolist()
        decoder_drops = encoder_drops[::-1]
        self.input_proj = InputProjection(c)
        self.output_proj = OutputProjection(2 * c)
        for level in range(LEVELS):
            drops = encoder_drops[sum(depths[:level]) : sum(depths[: level + 1])]
            self.add_module(
                f"encoderlayer_{level}", Layer(c << level, 1 << level, window, level, drops, modulated=False)
            )
            self.add_module(f"dowsample_{level}", Down(c << level))
        self.conv = Layer(c << LEVELS, 1 << LEVELS, window, LEVELS, [drop] * depths[LEVELS], modulated=False)
        for number in range(LEVELS):
            level = LEVELS - 1 - number
            used = sum(depths[LEVELS + 1 : LEVELS + 1 + number])
            drops = decoder_drops[used : used + depths[LEVELS + 1 + number]]
            self.add_module(f"upsample_{number}", Up(c << (LEVELS if number == 0 else level + 2), c << level))
            layer = Layer(c << (level + 1), 1 << (level + 1), window, level, drops, modulated=True)
            self.add_module(f"decoderlayer_{number}", layer)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 128 (16 windows) -> the same.

        Range: [0, 1] in; the output is not clamped.
        """
        height, width = image.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(f"sides must be multiples of {self.multiple}, got {height} x {width}")
        image_px = self.trained_px if self.training else self.image_px
        x = self.input_proj(image.contiguous(memory_format=torch.channels_last))
        skips = []
        for level in range(LEVELS):
            x = self.get_submodule(f"encoderlayer_{level}")(x, image_px)
            skips.append(x)
            x = self.get_submodule(f"dowsample_{level}")(x)
        x = self.conv(x, image_px)
        for number in range(LEVELS):
            x = torch.cat([self.get_submodule(f"upsample_{number}")(x), skips.pop()], dim=1)
            x = self.get_submodule(f"decoderlayer_{number}")(x, image_px)
        return image + self.output_proj(x)


def in_black_square(images: Tensor, multiple: int, _: int = 1) -> tuple[Tensor, int, int]:
    """Images in the middle of a black square, and the row and column where they begin.

    Its side is the next multiple of 128 that the longer side fits in, as in the authors' test programs.
    Shape: [B, 3, H, W].
    """
    height, width = images.shape[-2:]
    side = -(-max(height, width) // multiple) * multiple
    top, left = (side - height) // 2, (side - width) // 2
    border = (left, side - width - left, top, side - height - top)
    return functional.pad(images, border), top, left


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: in the middle of a black square, too; a crop of 128 or 256 fills it."""
    height, width = sharp.shape[-2:]
    square, top, left = in_black_square(blur[:, 0], cast(Uformer, module).multiple)
    return [(module(square)[..., top : top + height, left : left + width], sharp[:, 0])]


def _build_test() -> nn.Module:
    return Uformer(channels=4, depths=(1, 2, 1, 1, 2, 1, 1, 2, 1), window=2)


UFORMER_B = ModelSpec(
    name="uformer-b",
    task="deblur",
    build=Uformer,
    adapter=Still,
    frames=1,
    multiple_of=128,
    padding=in_black_square,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="Uformer_B.pth",  # that of denoising has the same name
            source="github.com/ZhendongWang6/Uformer (README, GoPro; its links have gone, issue 77)",
            licence="MIT",
        ),
    ),
    recipe="uformer",
    training=TrainingForm(outputs=_outputs, residual=("output_proj.proj.0",)),
    source=SOURCE,
    published="Uformer-B",
    parity=("uformer_b",),
).with_tiny("uformer-test", _build_test, multiple_of=32)
