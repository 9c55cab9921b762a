"""The discriminators of DeblurGAN (it judges patches) and of DeblurGAN-v2 (a second one sees nearly the whole image).

Sources: Kupyn et al., CVPR 2018, arXiv:1711.07064, section 3.3; Kupyn et al., ICCV 2019, arXiv:1908.03826, section 3.2;
PatchGAN: Isola et al., CVPR 2017, arXiv:1611.07004.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.nets.pyramids import norm
from models.spec import ModelSpec

WIDEST = 8  # widths double up to this many times the first


class PatchDiscriminator(nn.Module):
    """k4 convolutions, `strided` of them with stride 2; more of them see a larger patch. No sigmoid at the end."""

    def __init__(self, strided: int, channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=2), nn.LeakyReLU(0.2, inplace=True)]
        width = channels
        for index in range(1, strided + 1):
            wider = channels * min(2**index, WIDEST)
            stride = 2 if index < strided else 1
            layers += [nn.Conv2d(width, wider, 4, stride=stride, padding=2), norm(wider)]
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            width = wider
        layers.append(nn.Conv2d(width, 1, 4, padding=2))
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> [B, 1, h, w], a score per patch. Range of the image: [-1, 1]."""
        return self.model(image)


class DoubleScaleDiscriminator(nn.Module):
    """The pair; the authors keep it as two networks in a dict."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(3, channels)
        self.full = PatchDiscriminator(5, channels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of patches of 70 px and of the far larger ones (286 px)."""
        return self.patch(image), self.full(image)


def _build_patch() -> nn.Module:
    return PatchDiscriminator(3)


DEBLURGAN_DISCRIMINATOR = ModelSpec(
    name="deblurgan-discriminator",
    task="discriminator",
    build=_build_patch,
    adapt=None,
    frames=1,
    multiple_of=1,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="",
    source="Kupyn et al., CVPR 2018, arXiv:1711.07064; the local half of DeblurGAN-v2's, which the fixtures cover",
    published="",
    switches=(),
)
DEBLURGAN_V2_DISCRIMINATOR = ModelSpec(
    name="deblurgan-v2-discriminator",
    task="discriminator",
    build=DoubleScaleDiscriminator,
    adapt=None,
    frames=1,
    multiple_of=1,
    value_range=(-1.0, 1.0),
    weights=(),
    recipe="",
    source="Kupyn et al., ICCV 2019, arXiv:1908.03826; github.com/VITA-Group/DeblurGANv2",
    published="",
    parity=("deblurganv2_discriminator",),
    switches=(),
)
