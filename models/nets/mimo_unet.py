"""MIMO-UNet and MIMO-UNet+: multi-input multi-output U-Net for single-image deblurring.

Source: Cho et al., "Rethinking Coarse-to-Fine Approach in Single Image Deblurring", ICCV 2021; layer names follow the
authors' checkpoints (github.com/chosj95/MIMO-UNet) so that these load strictly.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still, last
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Cho et al., ICCV 2021, arXiv:2108.05054; github.com/chosj95/MIMO-UNet"


class ConvUnit(nn.Module):
    """A convolution (or transposed convolution) that keeps its padding at kernel // 2, with an optional ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, relu: bool = True, transposed: bool = False
    ) -> None:
        super().__init__()
        layer: nn.Module
        if transposed:
            layer = nn.ConvTranspose2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2 - 1)
        else:
            layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)
        self.main = nn.Sequential(layer, nn.ReLU(inplace=True)) if relu else nn.Sequential(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(ConvUnit(channels, channels, 3), ConvUnit(channels, channels, 3, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x).add_(x)


class BlockStack(nn.Module):
    """A stage of the encoder or the decoder: residual blocks one after the other."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class AsymmetricFusion(nn.Module):
    """AFF (paper, section 3.3): features of all three scales, already at one size, are merged into one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(ConvUnit(inputs, outputs, 1), ConvUnit(outputs, outputs, 3, relu=False))

    def forward(self, full: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        return self.conv(torch.cat([full, half, quarter], dim=1))


class ShallowConvolution(nn.Module):
    """SCM (section 3.1): features of a reduced image, with the image itself among them."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            ConvUnit(3, outputs // 4, 3),
            ConvUnit(outputs // 4, outputs // 2, 1),
            ConvUnit(outputs // 2, outputs // 2, 3),
            ConvUnit(outputs // 2, outputs - 3, 1),
        )
        self.conv = ConvUnit(outputs, outputs, 1, relu=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(torch.cat([image, self.main(image)], dim=1))


class FeatureAttention(nn.Module):
    """FAM (section 3.1): lets features of the reduced image emphasise or suppress those of the encoder."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = ConvUnit(channels, channels, 3, relu=False)

    def forward(self, encoded: Tensor, shallow: Tensor) -> Tensor:
        return self.merge(encoded * shallow).add_(encoded)


def _resized(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor)  # nearest, as the authors do


class MIMOUNet(nn.Module):
    """Three scales in, three restored scales out.

    blocks: residual blocks per stage (8; 20 for MIMO-UNet+). feature_dropout: probability with which MIMO-UNet+ drops a
    channel of the fused features while training.
    """

    def __init__(self, blocks: int = 8, channels: int = 32, feature_dropout: float = 0.0) -> None:
        super().__init__()
        c = channels
        self.Encoder = nn.ModuleList([BlockStack(c * scale, blocks) for scale in (1, 2, 4)])
        self.feat_extract = nn.ModuleList(
            [
                ConvUnit(3, c, 3),
                ConvUnit(c, c * 2, 3, stride=2),
                ConvUnit(c * 2, c * 4, 3, stride=2),
                ConvUnit(c * 4, c * 2, 4, stride=2, transposed=True),
                ConvUnit(c * 2, c, 4, stride=2, transposed=True),
                ConvUnit(c, 3, 3, relu=False),
            ]
        )
        self.Decoder = nn.ModuleList([BlockStack(c * scale, blocks) for scale in (4, 2, 1)])
        self.Convs = nn.ModuleList([ConvUnit(c * 4, c * 2, 1), ConvUnit(c * 2, c, 1)])
        self.ConvsOut = nn.ModuleList([ConvUnit(c * 4, 3, 3, relu=False), ConvUnit(c * 2, 3, 3, relu=False)])
        self.AFFs = nn.ModuleList([AsymmetricFusion(c * 7, c), AsymmetricFusion(c * 7, c * 2)])
        self.FAM1 = FeatureAttention(c * 4)
        self.SCM1 = ShallowConvolution(c * 4)
        self.FAM2 = FeatureAttention(c * 2)
        self.SCM2 = ShallowConvolution(c * 2)
        self.drop_full = nn.Dropout2d(feature_dropout) if feature_dropout else nn.Identity()
        self.drop_half = nn.Dropout2d(feature_dropout) if feature_dropout else nn.Identity()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Shape: [B, 3, H, W], sides multiples of 4 -> [B, 3, H/4, W/4], [B, 3, H/2, W/2], [B, 3, H, W].

        Range: [0, 1] in; the outputs are not clamped.
        """
        half_image = _resized(image, 0.5)
        quarter_image = _resized(half_image, 0.5)

        full = self.Encoder[0](self.feat_extract[0](image))
        half = self.Encoder[1](self.FAM2(self.feat_extract[1](full), self.SCM2(half_image)))
        deep = self.Encoder[2](self.FAM1(self.feat_extract[2](half), self.SCM1(quarter_image)))

        deep_at_half = _resized(deep, 2)
        fused_half = self.drop_half(self.AFFs[1](_resized(full, 0.5), half, deep_at_half))
        fused_full = self.drop_full(self.AFFs[0](full, _resized(half, 2), _resized(deep_at_half, 2)))

        x = self.Decoder[0](deep)
        quarter_output = self.ConvsOut[0](x).add_(quarter_image)
        x = self.Decoder[1](self.Convs[0](torch.cat([self.feat_extract[3](x), fused_half], dim=1)))
        half_output = self.ConvsOut[1](x).add_(half_image)
        x = self.Decoder[2](self.Convs[1](torch.cat([self.feat_extract[4](x), fused_full], dim=1)))
        return [quarter_output, half_output, self.feat_extract[5](x).add_(image)]


def _build() -> nn.Module:
    return MIMOUNet(blocks=8)


def _build_plus() -> nn.Module:
    return MIMOUNet(blocks=20, feature_dropout=0.1)


def _build_test() -> nn.Module:
    return MIMOUNet(blocks=1, channels=8)


MIMO_UNET = ModelSpec(
    name="mimo-unet",
    task="deblur",
    build=_build,
    adapter=partial(Still, run=last),
    frames=1,
    multiple_of=4,
    value_range=(0.0, 1.0),
    weights=(Weights(file="MIMO-UNet.pkl", source="github.com/chosj95/MIMO-UNet (README, GoPro)"),),
    recipe="mimo-unet",
    training=TrainingForm(residual=("ConvsOut.0.main.0", "ConvsOut.1.main.0", "feat_extract.5.main.0")),
    source=SOURCE,
    published="MIMO-UNet",
    parity=("mimounet",),
).with_tiny("mimo-unet-test", _build_test)
MIMO_UNET_PLUS = replace(
    MIMO_UNET,
    name="mimo-unet-plus",
    build=_build_plus,
    weights=(Weights(file="MIMO-UNetPlus.pkl", source="github.com/chosj95/MIMO-UNet (README, GoPro)"),),
    published="MIMO-UNet+",
    parity=("mimounet_plus",),
)
