"""FFTformer: attention and feed-forward parts that work on the Fourier transforms of patches of 8 x 8 features.

Source: Kong et al., "Efficient Frequency Domain-based Transformers for High-Quality Image Deblurring", CVPR 2023; layer
names follow the authors' checkpoints (github.com/kkkls/FFTformer).

A fact that the published weights contain: the transforms of queries and keys are multiplied as they are, without a
conjugate. That is a circular convolution, although the paper (section 3.1) speaks of correlation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.nets.restormer import LayerNorm, PatchEmbedding
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Kong et al., CVPR 2023, arXiv:2211.12250; github.com/kkkls/FFTformer"
PATCH_PX = 8  # of the features


def _patches(x: Tensor) -> Tensor:
    """Shape: [B, C, H, W] -> [B, C, H/8, W/8, 8, 8]. In float32 at least: half precision is too short."""
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    cut = wide.unflatten(3, (-1, PATCH_PX)).unflatten(2, (-1, PATCH_PX))  # [B, C, H/8, 8, W/8, 8]
    return cut.transpose(3, 4)


def _joined(patches: Tensor) -> Tensor:
    """Shape: [B, C, H/8, W/8, 8, 8] -> [B, C, H, W]."""
    return patches.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _spectra(x: Tensor) -> Tensor:
    """The transform of every patch, not normalised. Shape: [B, C, H, W] -> complex [B, C, H/8, W/8, 8, 5]."""
    return torch.fft.rfft2(_patches(x))


def _from_spectra(spectra: Tensor) -> Tensor:
    """The features whose transforms these are. Shape: complex [B, C, H/8, W/8, 8, 5] -> [B, C, H, W]."""
    return _joined(torch.fft.irfft2(spectra, s=(PATCH_PX, PATCH_PX)))


class FrequencyAttention(nn.Module):
    """FSAS (paper, section 3.1): queries and keys convolved within patches, normed, weigh the values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_hidden = nn.Conv2d(channels, 6 * channels, 1, bias=False)
        self.to_hidden_dw = nn.Conv2d(6 * channels, 6 * channels, 3, padding=1, groups=6 * channels, bias=False)
        self.project_out = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.norm = LayerNorm(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W], sides multiples of 8 -> the same."""
        query, key, value = self.to_hidden_dw(self.to_hidden(x)).chunk(3, dim=1)
        weights = self.norm(_from_spectra(_spectra(query) * _spectra(key)))  # [B, 2C, H, W]
        return self.project_out(value * weights)


class FrequencyFeedForward(nn.Module):
    """DFFN (section 3.2): a learned factor for each frequency of each channel, then a gate.

    hidden: channels of the gate and of what it weighs.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fft = nn.Parameter(torch.ones(2 * hidden, 1, 1, PATCH_PX, PATCH_PX // 2 + 1))
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W], sides multiples of 8 -> the same."""
        filtered = _from_spectra(_spectra(self.project_in(x)) * self.fft)  # [B, 2 hidden, H, W]
        gate, value = self.dwconv(filtered).chunk(2, dim=1)
        return self.project_out(functional.gelu(gate) * value)


class TransformerBlock(nn.Module):
    """attention: blocks of the encoder have none (section 3.3: features there are too blurred for it)."""

    def __init__(self, channels: int, expansion: float, *, attention: bool) -> None:
        super().__init__()
        self.attention = attention
        if attention:
            self.norm1 = LayerNorm(channels)
            self.attn = FrequencyAttention(channels)
        self.norm2 = LayerNorm(channels)
        self.ffn = FrequencyFeedForward(channels, int(channels * expansion))

    def forward(self, x: Tensor) -> Tensor:
        if self.attention:
            x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class Fusion(nn.Module):
    """A level's features of both ways, through a block and halved by a sum. Shape: [B, C, H, W] twice -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        both = 2 * channels
        self.att_channel = TransformerBlock(both, 2.66, attention=False)
        self.conv = nn.Conv2d(both, both, 1)
        self.conv2 = nn.Conv2d(both, both, 1)

    def forward(self, decoded: Tensor, encoded: Tensor) -> Tensor:
        first, second = self.conv2(self.att_channel(self.conv(torch.cat([decoded, encoded], dim=1)))).chunk(2, dim=1)
        return first + second


class Resized(nn.Module):
    """Bilinear resizing by `factor`, then a convolution. Shape: [B, C, H, W] -> [B, C / factor, factor H, factor W]."""

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        resize = nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)
        self.body = nn.Sequential(resize, nn.Conv2d(channels, int(channels / factor), 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def _stage(channels: int, count: int, *, attention: bool) -> nn.Sequential:
    return nn.Sequential(*[TransformerBlock(channels, 3, attention=attention) for _ in range(count)])


class FFTformer(nn.Module):
    """blocks: per level on either way, full resolution first. refinement: blocks after the decoder."""

    def __init__(self, channels: int = 48, blocks: tuple[int, int, int] = (6, 6, 12), refinement: int = 4) -> None:
        super().__init__()
        c = channels
        self.patch_embed = PatchEmbedding(c)
        self.encoder_level1 = _stage(c, blocks[0], attention=False)
        self.down1_2 = Resized(c, 0.5)
        self.encoder_level2 = _stage(2 * c, blocks[1], attention=False)
        self.down2_3 = Resized(2 * c, 0.5)
        self.encoder_level3 = _stage(4 * c, blocks[2], attention=False)
        self.decoder_level3 = _stage(4 * c, blocks[2], attention=True)
        self.up3_2 = Resized(4 * c, 2)
        self.reduce_chan_level2 = nn.Conv2d(4 * c, 2 * c, 1, bias=False)  # in the authors' files, never used
        self.decoder_level2 = _stage(2 * c, blocks[1], attention=True)
        self.up2_1 = Resized(2 * c, 2)
        self.decoder_level1 = _stage(c, blocks[0], attention=True)
        self.refinement = _stage(c, refinement, attention=True)
        self.fuse2 = Fusion(2 * c)
        self.fuse1 = Fusion(c)
        self.output = nn.Conv2d(c, 3, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 32 -> the same. Range: [0, 1] in; the output is not clamped."""
        first = self.encoder_level1(self.patch_embed(image))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        x = self.decoder_level3(third)
        x = self.decoder_level2(self.fuse2(self.up3_2(x), second))
        x = self.decoder_level1(self.fuse1(self.up2_1(x), first))
        return self.output(self.refinement(x)) + image


def _build_test() -> nn.Module:
    return FFTformer(channels=8, blocks=(1, 1, 1), refinement=1)


FFTFORMER = ModelSpec(
    name="fftformer",
    task="deblur",
    build=FFTformer,
    adapter=Still,
    frames=1,
    multiple_of=32,
    value_range=(0.0, 1.0),
    weights=(
        Weights(file="fftformer_GoPro.pth", source="github.com/kkkls/FFTformer (folder pretrain_model)", licence="MIT"),
    ),
    recipe="fftformer",
    training=TrainingForm(residual=("output",)),
    source=SOURCE,
    published="FFTformer",
    parity=("fftformer",),
).with_tiny("fftformer-test", _build_test)
