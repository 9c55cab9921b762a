"""GFPGAN, clean architecture: a U-Net removes the degradation and steers a StyleGAN2 that knows what faces look like.

Source: Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021. Layer names
follow the authors' checkpoints (github.com/TencentARC/GFPGAN, versions 1.2 to 1.4).
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from models.faces import FaceRestorer
from models.nets.layers import reduced
from models.nets.stylegan2 import SLOPE, StyleGAN2WithSFT, resized
from models.spec import Backbone, Method, ModelSpec, TrainingForm, Weights

SOURCE = "Wang et al., CVPR 2021, arXiv:2101.04061; github.com/TencentARC/GFPGAN"


class ResizingBlock(nn.Module):
    """A residual block that resizes between its two convolutions: factor 0.5 or 2."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = resized(functional.leaky_relu_(self.conv1(x), SLOPE), self.factor)
        out = functional.leaky_relu_(self.conv2(out), SLOPE)
        # A 1x1 convolution and resizing may change places: it runs where there are fewer pixels.
        return out + (resized(self.skip(x), 2) if self.factor == 2 else self.skip(resized(x, self.factor)))


def _condition(channels: int) -> nn.Sequential:
    """From U-Net features to the scale or the shift of one level."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


class GFPGANv1Clean(nn.Module):
    """Degraded face -> restored face and, of the U-Net, an image per level (the pyramid loss looks at them).

    size: side of the square faces, a power of two. style_features: length of a latent. width: features of the prior
    at 4x4 to 32x32; above, they are channel_multiplier * width * 32 / side. The U-Net has half of each.
    """

    def __init__(
        self, size: int = 512, style_features: int = 512, channel_multiplier: int = 2, width: int = 512
    ) -> None:
        super().__init__()
        sides = [2**level for level in range(2, int(math.log2(size)) + 1)]  # 4, 8, ..., size
        prior = {side: width if side <= 32 else width * 32 * channel_multiplier // side for side in sides}
        unet = {side: features // 2 for side, features in prior.items()}
        self.size = size
        self.style_features = style_features
        self.conv_body_first = nn.Conv2d(3, unet[size], 1)
        down = sides[::-1]
        self.conv_body_down = nn.ModuleList(
            [ResizingBlock(unet[side], unet[side // 2], 0.5) for side in down[:-1]]  # size, ..., 8
        )
        self.final_conv = nn.Conv2d(unet[4], unet[4], 3, padding=1)
        self.conv_body_up = nn.ModuleList([ResizingBlock(unet[side // 2], unet[side], 2) for side in sides[1:]])
        self.toRGB = nn.ModuleList([nn.Conv2d(unet[side], 3, 1) for side in sides[1:]])
        latents = 2 * len(sides)
        self.final_linear = nn.Linear(unet[4] * 16, latents * style_features)
        self.stylegan_decoder = StyleGAN2WithSFT(size, prior, style_features)
        self.condition_scale = nn.ModuleList([_condition(unet[side]) for side in sides[1:]])
        self.condition_shift = nn.ModuleList([_condition(unet[side]) for side in sides[1:]])

    def forward(
        self, face: Tensor, return_rgb: bool = True, randomize_noise: bool = True
    ) -> tuple[Tensor, list[Tensor]]:
        """Shape: [B, 3, size, size] -> [B, 3, size, size] and, with return_rgb, [B, 3, 8, 8] ... [B, 3, size, size].

        Range: [-1, 1] in; the outputs are not clamped. randomize_noise (the authors' default) draws the generator's
        noise anew at every call; without it the stored noise is used and the result is always the same.
        """
        x = functional.leaky_relu_(self.conv_body_first(face), SLOPE)
        skips: list[Tensor] = []
        for block in self.conv_body_down:
            x = block(x)
            skips.append(x)
        x = functional.leaky_relu_(self.final_conv(x), SLOPE)
        latents = self.final_linear(x.flatten(1)).view(x.shape[0], -1, self.style_features)  # [B, latents, S]
        scales, shifts, images = [], [], []
        for level, block in enumerate(self.conv_body_up):
            x = block(x + skips.pop())
            scales.append(self.condition_scale[level](x))
            shifts.append(self.condition_shift[level](x))
            if return_rgb:
                images.append(self.toRGB[level](x))
        return self.stylegan_decoder(latents, scales, shifts, randomize_noise=randomize_noise), images


class _OneFace:
    """An aligned face in [0, 1] through the network, with the stored noise: the same face gives the same result."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, face: Tensor) -> Tensor:
        restored, _ = self.module(face[None] * 2 - 1, return_rgb=False, randomize_noise=False)
        return restored[0].add_(1).div_(2).clamp_(0, 1)


def _restorer(spec: ModelSpec, module: nn.Module) -> Method:
    return FaceRestorer(_OneFace(module), size=spec.side_px)


def _restorer_of_aligned(spec: ModelSpec, module: nn.Module) -> Method:
    """Every frame counts as an aligned face."""
    return FaceRestorer(_OneFace(module), size=spec.side_px, aligned=True)


def _outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: the U-Net's image at every level, then the restored face; the generator's noise is drawn."""
    restored, levels = module(blur[:, 0] * 2 - 1)
    found = [level * 0.5 + 0.5 for level in (*levels, restored)]
    return [(image, reduced(sharp[:, 0], image.shape[-1])) for image in found]


def _build() -> nn.Module:
    return GFPGANv1Clean()


def _build_test() -> nn.Module:
    return GFPGANv1Clean(size=32, style_features=16, width=16)


GFPGAN = ModelSpec(
    name="gfpgan",
    task="face",
    build=_build,
    adapter=_restorer,
    frames=1,
    multiple_of=1,
    side_px=512,
    value_range=(-1.0, 1.0),
    weights=(
        Weights(
            file="GFPGANv1.4.pth",
            sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
            source="github.com/TencentARC/GFPGAN (releases, v1.3.0)",
            licence="Apache-2.0 with third-party parts",
        ),
        Weights(
            file="GFPGANv1.3.pth",
            sha256="c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
            source="github.com/TencentARC/GFPGAN (releases, v1.3.0)",
            licence="Apache-2.0 with third-party parts",
        ),
    ),
    recipe="gfpgan",
    quick_recipe=None,
    training=TrainingForm(outputs=_outputs),
    backbone=Backbone(part="stylegan_decoder", what="the backbone"),
    source=SOURCE,
    published="",
    parity=("gfpgan_clean",),
    switches=("truncate",),  # the authors' last step casts the picture with its pasted faces to 8 bit
).with_tiny("gfpgan-test", _build_test, side_px=32, adapter=_restorer_of_aligned)
