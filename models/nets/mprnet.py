"""MPRNet: multi-stage progressive restoration; quadrants, then halves, then the whole image at full resolution.

Source: Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021; layer names follow the authors'
checkpoints (github.com/swz30/MPRNet). Local means at test time: see local_mean.py.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still, first
from models.nets.layers import LocalMean
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Zamir et al., CVPR 2021, arXiv:2102.02808; github.com/swz30/MPRNet"


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _conv1(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


class ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avg_pool: nn.Module = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            _conv1(channels, channels // 4), nn.ReLU(inplace=True), _conv1(channels // 4, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(self.avg_pool(x))


class AttentionBlock(nn.Module):
    """CAB: convolution, PReLU, convolution, channel attention, plus input. All blocks share one PReLU."""

    def __init__(self, channels: int, activation: nn.PReLU) -> None:
        super().__init__()
        self.CA = ChannelAttention(channels)
        self.body = nn.Sequential(_conv3(channels, channels), activation, _conv3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.CA(self.body(x)).add_(x)


def _blocks(channels: int, count: int, activation: nn.PReLU) -> nn.Sequential:
    return nn.Sequential(*[AttentionBlock(channels, activation) for _ in range(count)])


def _resized(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Down(nn.Module):
    """Shape: [B, C, H, W] -> [B, C', H/2, W/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Identity(), _conv1(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(_resized(x, 0.5))


class Up(nn.Module):
    """Shape: [B, C, H, W] -> [B, C', 2H, 2W]. A 1x1 convolution and resizing commute: it runs on the smaller image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Identity(), _conv1(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return _resized(self.up(x), 2)


Widths = tuple[int, int, int]  # channels of the three levels
Levels = list[Tensor]  # features of the three levels, full resolution first


class Encoder(nn.Module):
    """fused: adds features of the stage before (cross-stage feature fusion, paper section 3.3)."""

    def __init__(self, widths: Widths, activation: nn.PReLU, *, fused: bool) -> None:
        super().__init__()
        first, second, third = widths
        self.fused = fused
        self.encoder_level1 = _blocks(first, 2, activation)
        self.encoder_level2 = _blocks(second, 2, activation)
        self.encoder_level3 = _blocks(third, 2, activation)
        self.down12 = Down(first, second)
        self.down23 = Down(second, third)
        if fused:
            self.csff_enc1, self.csff_enc2, self.csff_enc3 = (_conv1(width, width) for width in widths)
            self.csff_dec1, self.csff_dec2, self.csff_dec3 = (_conv1(width, width) for width in widths)

    def forward(self, x: Tensor, encoded: Levels | None = None, decoded: Levels | None = None) -> Levels:
        first = self.encoder_level1(x)
        if self.fused and encoded and decoded:
            first = first + self.csff_enc1(encoded[0]) + self.csff_dec1(decoded[0])
        second = self.encoder_level2(self.down12(first))
        if self.fused and encoded and decoded:
            second = second + self.csff_enc2(encoded[1]) + self.csff_dec2(decoded[1])
        third = self.encoder_level3(self.down23(second))
        if self.fused and encoded and decoded:
            third = third + self.csff_enc3(encoded[2]) + self.csff_dec3(decoded[2])
        return [first, second, third]


class Decoder(nn.Module):
    def __init__(self, widths: Widths, activation: nn.PReLU) -> None:
        super().__init__()
        first, second, third = widths
        self.decoder_level1 = _blocks(first, 2, activation)
        self.decoder_level2 = _blocks(second, 2, activation)
        self.decoder_level3 = _blocks(third, 2, activation)
        self.skip_attn1 = AttentionBlock(first, activation)
        self.skip_attn2 = AttentionBlock(second, activation)
        self.up21 = Up(second, first)
        self.up32 = Up(third, second)

    def forward(self, levels: Levels) -> Levels:
        third = self.decoder_level3(levels[2])
        second = self.decoder_level2(self.up32(third) + self.skip_attn2(levels[1]))
        first = self.decoder_level1(self.up21(second) + self.skip_attn1(levels[0]))
        return [first, second, third]


class ResolutionBlock(nn.Module):
    """ORB: attention blocks and a convolution, plus input."""

    def __init__(self, channels: int, blocks: int, activation: nn.PReLU) -> None:
        super().__init__()
        self.body = nn.Sequential(*_blocks(channels, blocks, activation), _conv3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).add_(x)


class FullResolution(nn.Module):
    """ORSNet (section 3.2): never leaves full resolution; features of stage 2 are brought up to it and added."""

    def __init__(self, channels: int, widths: Widths, blocks: int, activation: nn.PReLU) -> None:
        super().__init__()
        first, second, third = widths
        self.orb1 = ResolutionBlock(channels, blocks, activation)
        self.orb2 = ResolutionBlock(channels, blocks, activation)
        self.orb3 = ResolutionBlock(channels, blocks, activation)
        self.up_enc1 = Up(second, first)
        self.up_dec1 = Up(second, first)
        self.up_enc2 = nn.Sequential(Up(third, second), Up(second, first))
        self.up_dec2 = nn.Sequential(Up(third, second), Up(second, first))
        self.conv_enc1, self.conv_enc2, self.conv_enc3 = (_conv1(first, channels) for _ in range(3))
        self.conv_dec1, self.conv_dec2, self.conv_dec3 = (_conv1(first, channels) for _ in range(3))

    def forward(self, x: Tensor, encoded: Levels, decoded: Levels) -> Tensor:
        x = self.orb1(x) + self.conv_enc1(encoded[0]) + self.conv_dec1(decoded[0])
        x = self.orb2(x) + self.conv_enc2(self.up_enc1(encoded[1])) + self.conv_dec2(self.up_dec1(decoded[1]))
        return self.orb3(x) + self.conv_enc3(self.up_enc2(encoded[2])) + self.conv_dec3(self.up_dec2(decoded[2]))


class SupervisedAttention(nn.Module):
    """SAM (section 3.1): an image of this stage, and features weighted by it for the next."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv1(channels, channels)
        self.conv2 = _conv1(channels, 3)
        self.conv3 = _conv1(3, channels)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        restored = self.conv2(x) + image
        return torch.addcmul(x, self.conv1(x), self.conv3(restored).sigmoid()), restored


def _joined(x: Tensor, axis: int) -> Tensor:
    """The first and the second half of a batch, side by side along an axis."""
    return torch.cat(x.chunk(2), dim=axis)


class MPRNet(nn.Module):
    """channels: of the first level; each further level has `step` more, stage 3 has `extra` more. Patches of a stage
    run as one batch."""

    def __init__(self, channels: int = 96, step: int = 48, extra: int = 32, blocks: int = 8) -> None:
        super().__init__()
        activation = nn.PReLU()
        widths = (channels, channels + step, channels + 2 * step)
        self.shallow_feat1 = nn.Sequential(_conv3(3, channels), AttentionBlock(channels, activation))
        self.shallow_feat2 = nn.Sequential(_conv3(3, channels), AttentionBlock(channels, activation))
        self.shallow_feat3 = nn.Sequential(_conv3(3, channels), AttentionBlock(channels, activation))
        self.stage1_encoder = Encoder(widths, activation, fused=False)
        self.stage1_decoder = Decoder(widths, activation)
        self.stage2_encoder = Encoder(widths, activation, fused=True)
        self.stage2_decoder = Decoder(widths, activation)
        self.stage3_orsnet = FullResolution(channels + extra, widths, blocks, activation)
        self.sam12 = SupervisedAttention(channels)
        self.sam23 = SupervisedAttention(channels)
        self.concat12 = _conv3(2 * channels, channels)
        self.concat23 = _conv3(2 * channels, channels + extra)
        self.tail = _conv3(channels + extra, 3)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Shape: [B, 3, H, W], sides multiples of 8 -> the images of stages 3 (the result), 2 and 1, same shape.

        Range: [0, 1] in; the outputs are not clamped.
        """
        halves = torch.cat(image.chunk(2, dim=2))  # [2B, 3, H/2, W]
        quadrants = torch.cat(halves.chunk(2, dim=3))  # [4B, 3, H/2, W/2], left ones first

        encoded = [_joined(level, 3) for level in self.stage1_encoder(self.shallow_feat1(quadrants))]  # [2B, C, H/2, W]
        decoded = self.stage1_decoder(encoded)
        attended, stage1 = self.sam12(decoded[0], halves)

        x = self.concat12(torch.cat([self.shallow_feat2(halves), attended], dim=1))
        encoded = [_joined(level, 2) for level in self.stage2_encoder(x, encoded, decoded)]  # [B, C, H, W]
        decoded = self.stage2_decoder(encoded)
        attended, stage2 = self.sam23(decoded[0], image)

        x = self.concat23(torch.cat([self.shallow_feat3(image), attended], dim=1))
        x = self.tail(self.stage3_orsnet(x, encoded, decoded))
        return [x + image, stage2, _joined(stage1, 2)]


def localise(module: nn.Module, height: int, width: int) -> None:
    """Channel attention over windows of height x width image pixels, in place.

    Stage 1 sees quadrants and stage 2 halves of an image: their windows are halves of it, too.
    """
    assert isinstance(module, MPRNet)
    for name, layer in module.named_modules():
        if isinstance(layer, ChannelAttention):
            rows = height >> (
                1 if name.startswith(("stage1_", "stage2_encoder", "shallow_feat1", "shallow_feat2")) else 0
            )
            columns = width >> (1 if name.startswith(("stage1_encoder", "shallow_feat1")) else 0)
            level = 1 if "level2" in name or "skip_attn2" in name else 2 if "level3" in name else 0
            layer.avg_pool = LocalMean(rows >> level, columns >> level)


def _build_test() -> nn.Module:
    return MPRNet(channels=8, step=4, extra=4, blocks=1)


MPRNET = ModelSpec(
    name="mprnet",
    task="deblur",
    build=MPRNet,
    adapter=partial(Still, run=first),
    frames=1,
    multiple_of=8,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="model_deblurring.pth",
            source="github.com/swz30/MPRNet (README, Deblurring)",
            licence="Academic Public License, non-commercial",
        ),
    ),
    recipe="mprnet",
    quick_recipe="charbonnier",
    training=TrainingForm(residual=("sam12.conv2", "sam23.conv2", "tail")),
    source=SOURCE,
    published="MPRNet",
    parity=("mprnet_deblur",),
    switches=("truncate", "self-ensemble", "local-converter", "half"),
    localise=localise,
).with_tiny("mprnet-test", _build_test)
