"""Stripformer: attention within and between the rows and the columns of the features.

Source: Tsai et al., "Stripformer: Strip Transformer for Fast Image Deblurring", ECCV 2022; layer names follow the
authors' checkpoints (github.com/pp00704831/Stripformer-ECCV-2022-).

Two facts that the published weights contain and the paper's figures do not show: the last convolution is followed by a
LeakyReLU, so that what the network takes away from a pixel counts a fifth of what it adds; and the attention between
strips divides by the root of a length that grows with the image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Tsai et al., ECCV 2022, arXiv:2204.04627; github.com/pp00704831/Stripformer-ECCV-2022-"
SLOPE = 0.2  # of all LeakyReLUs


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE, inplace=True)


def _conv3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _two_convolutions(channels: int) -> nn.Sequential:
    return nn.Sequential(_conv3(channels, channels), _activation(), _conv3(channels, channels))


def _residual(block: nn.Module, x: Tensor) -> Tensor:
    return functional.leaky_relu(block(x) + x, SLOPE, inplace=True)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, on the channels of every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class PositionEncoding(nn.Module):
    """A depthwise convolution plus its input (conditional position encoding). Shape: [B, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.PEG = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.PEG(x) + x


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Softmax attention of tokens, heads on equal pieces of the last axis. Shape: [B, L, D] each -> [B, L, D]."""
    split = [tokens.unflatten(-1, (heads, -1)).transpose(1, 2) for tokens in (query, key, value)]  # [B, heads, L, D/h]
    return functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)  # [B, L, D]


class StripBlock(nn.Module):
    """What both kinds of blocks share: half of the channels for rows and half for columns, then the feed-forward part.

    A kind makes the layers, in the order of the authors' files, and says what `attend` does.
    """

    heads: int
    attention_norm: nn.LayerNorm
    conv_input: nn.Conv2d
    fuse_out: nn.Conv2d
    ffn_norm: nn.LayerNorm
    ffn: FeedForward
    PEG: PositionEncoding

    def attend(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, C/2, H, W] each -> the same."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> the same."""
        normed = self.attention_norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # [B, C, H, W]
        rows, columns = self.conv_input(normed).chunk(2, dim=1)
        x = self.fuse_out(torch.cat(self.attend(rows, columns), dim=1)) + x
        last = x.permute(0, 2, 3, 1)  # [B, H, W, C]
        last = self.ffn(self.ffn_norm(last)) + last
        return self.PEG(last.permute(0, 3, 1, 2))


class IntraStrip(StripBlock):
    """Attention of the pixels of each row, and of the pixels of each column (paper, section 3.2)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        half = channels // 2
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels)
        self.conv_input = nn.Conv2d(channels, channels, 1)
        self.qkv_local_h = nn.Linear(half, 3 * half)
        self.qkv_local_v = nn.Linear(half, 3 * half)
        self.fuse_out = nn.Conv2d(channels, channels, 1)
        self.ffn_norm = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels)
        self.PEG = PositionEncoding(channels)

    def attend(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        along_rows = self._along(rows.permute(0, 2, 3, 1), self.qkv_local_h)  # [B, H, W, C/2]
        along_columns = self._along(columns.permute(0, 3, 2, 1), self.qkv_local_v)  # [B, W, H, C/2]
        return along_rows.permute(0, 3, 1, 2), along_columns.permute(0, 3, 2, 1)

    def _along(self, strips: Tensor, projection: nn.Module) -> Tensor:
        """Shape: [B, strips, pixels, C/2] -> the same."""
        query, key, value = projection(strips.flatten(0, 1)).chunk(3, dim=-1)  # [B strips, pixels, C/2] each
        attended = _attention(query, key, value, self.heads)
        return attended.unflatten(0, strips.shape[:2])


class InterStrip(StripBlock):
    """Attention of whole rows, and of whole columns (paper, section 3.3).

    A head takes some channels of a strip with all of its pixels, so that the length that the products are divided by
    the root of is their number times the side of the image.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        half = channels // 2
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels)
        self.conv_input = nn.Conv2d(channels, channels, 1)
        self.conv_h = nn.Conv2d(half, 3 * half, 1)
        self.conv_v = nn.Conv2d(half, 3 * half, 1)
        self.ffn_norm = nn.LayerNorm(channels)
        self.ffn = FeedForward(channels)
        self.fuse_out = nn.Conv2d(channels, channels, 1)
        self.PEG = PositionEncoding(channels)

    def attend(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        among_rows = self._among(self.conv_h(rows).permute(0, 2, 1, 3))  # [B, H, C/2, W]
        among_columns = self._among(self.conv_v(columns).permute(0, 3, 1, 2))  # [B, W, C/2, H]
        return among_rows.permute(0, 2, 1, 3), among_columns.permute(0, 2, 3, 1)

    def _among(self, projected: Tensor) -> Tensor:
        """Shape: [B, strips, 3C/2, pixels] -> [B, strips, C/2, pixels]."""
        query, key, value = projected.chunk(3, dim=2)
        attended = _attention(query.flatten(2), key.flatten(2), value.flatten(2), self.heads)  # [B, strips, C/2 pixels]
        return attended.unflatten(2, query.shape[2:])


def _add_blocks(module: nn.Module, prefix: str, count: int, channels: int, head_channels: int) -> tuple[str, ...]:
    """Blocks of both kinds in turn, numbered from 1; their names."""
    names = tuple(f"{prefix}{number}" for number in range(1, count + 1))
    for number, name in enumerate(names):
        kind = InterStrip if number % 2 else IntraStrip
        module.add_module(name, kind(channels, channels // (2 * head_channels)))
    return names


class Encoder(nn.Module):
    def __init__(self, first: int, second: int, third: int) -> None:
        super().__init__()
        self.en_layer1_1 = nn.Sequential(_conv3(3, first), _activation())
        self.en_layer1_2, self.en_layer1_3, self.en_layer1_4 = (_two_convolutions(first) for _ in range(3))
        self.en_layer2_1 = nn.Sequential(_conv3(first, second, stride=2), _activation())
        self.en_layer2_2, self.en_layer2_3, self.en_layer2_4 = (_two_convolutions(second) for _ in range(3))
        self.en_layer3_1 = nn.Sequential(_conv3(second, third, stride=2), _activation())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shape: [B, 3, H, W] -> [B, C1, H, W], [B, C2, H/2, W/2], [B, C3, H/4, W/4]."""
        full = self.en_layer1_1(image)
        for block in (self.en_layer1_2, self.en_layer1_3, self.en_layer1_4):
            full = _residual(block, full)
        half = self.en_layer2_1(full)
        for block in (self.en_layer2_2, self.en_layer2_3, self.en_layer2_4):
            half = _residual(block, half)
        return full, half, self.en_layer3_1(half)


class Decoder(nn.Module):
    """channels: of the features that come in. inner: of the blocks at half resolution."""

    def __init__(self, first: int, second: int, channels: int, inner: int, blocks: int, head_channels: int) -> None:
        super().__init__()
        self.de_layer3_1 = nn.Sequential(nn.ConvTranspose2d(channels, inner, 4, stride=2, padding=1), _activation())
        self.de_layer2_2 = nn.Sequential(nn.Conv2d(inner + second, inner, 1), _activation())
        self.blocks = _add_blocks(self, "de_block_", blocks, inner, head_channels)
        self.de_layer2_1 = nn.Sequential(nn.ConvTranspose2d(inner, first, 4, stride=2, padding=1), _activation())
        self.de_layer1_3 = nn.Sequential(nn.Conv2d(2 * first, first, 1), _activation(), _conv3(first, first))
        self.de_layer1_2 = _two_convolutions(first)
        self.de_layer1_1 = nn.Sequential(_conv3(first, 3), _activation())

    def forward(self, x: Tensor, full: Tensor, half: Tensor) -> Tensor:
        """Shape: [B, C3, H/4, W/4], [B, C1, H, W], [B, C2, H/2, W/2] -> [B, 3, H, W]."""
        x = self.de_layer2_2(torch.cat([self.de_layer3_1(x), half], dim=1))
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        x = self.de_layer2_1(x)
        x = functional.leaky_relu(self.de_layer1_3(torch.cat([x, full], dim=1)) + x, SLOPE, inplace=True)
        return self.de_layer1_1(_residual(self.de_layer1_2, x))


class Stripformer(nn.Module):
    """first, second: channels at full and half resolution. channels: of the body, at a quarter. inner: of the
    decoder's blocks. head_channels: of each head, for rows as for columns."""

    def __init__(
        self,
        first: int = 64,
        second: int = 128,
        channels: int = 320,
        inner: int = 192,
        blocks: int = 12,
        decoder_blocks: int = 6,
        head_channels: int = 32,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(first, second, channels)
        self.blocks = _add_blocks(self, "Trans_block_", blocks, channels, head_channels)
        self.decoder = Decoder(first, second, channels, inner, decoder_blocks, head_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 4 -> the same. Range: [-0.5, 0.5]; the output is not clamped."""
        full, half, x = self.encoder(image)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return self.decoder(x, full, half) + image


def _build_test() -> nn.Module:
    return Stripformer(first=8, second=12, channels=24, inner=16, blocks=2, decoder_blocks=2, head_channels=4)


STRIPFORMER = ModelSpec(
    name="stripformer",
    task="deblur",
    build=Stripformer,
    adapter=Still,
    frames=1,
    multiple_of=8,  # the network's own is 4
    value_range=(-0.5, 0.5),
    weights=(
        Weights(
            file="Stripformer_gopro.pth",
            source="github.com/pp00704831/Stripformer-ECCV-2022- (README)",
            licence="MIT-style (file license)",
        ),
    ),
    recipe="stripformer",
    training=TrainingForm(residual=("decoder.de_layer1_1.0",)),
    source=SOURCE,
    published="Stripformer",
    parity=("stripformer",),
).with_tiny("stripformer-test", _build_test)
