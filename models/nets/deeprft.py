"""DeepRFT: MIMO-UNet whose residual blocks also look at the whole map, through its Fourier transform.

Source: Mao et al., "Deep Residual Fourier Transformation for Single Image Deblurring", arXiv:2111.11745; layer names
follow the authors' checkpoints (github.com/INVOKERer/DeepRFT) so that these load strictly. The authors train with
over-parametrised convolutions (Cao et al., DO-Conv, arXiv:2006.12030) and publish their weights in that form; for use
it is folded into plain convolutions, which compute the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import StillInTiles
from models.nets.mimo_unet import BlockStack, ConvUnit, MIMOUNet
from models.spec import ModelSpec, TrainingForm, Weights

SOURCE = "Mao et al., arXiv:2111.11745; github.com/INVOKERer/DeepRFT"
TILE_PX = 256  # of the authors' test program: the size that the network was trained on


class PlainConv(nn.Module):
    """A convolution without bias whose weight is called W, as in the authors' folded networks."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.W = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_uniform_(self.W, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.W, stride=self.stride, padding=self.W.shape[-1] // 2)

    def plain(self) -> nn.Conv2d:
        """The same as an ordinary layer, which models/fused.py knows; the weight is shared."""
        return _ordinary(self.W, self.stride)


class OverParametrisedConv(nn.Module):
    """DO-Conv: the weight is W, its taps mixed for every input channel by D + D_diag (the identity, not trained).

    A kernel of 1x1 has W alone. Training starts at D = 0, which is a plain convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        taps = kernel**2
        self.W = nn.Parameter(torch.empty(outputs, inputs, taps))
        nn.init.kaiming_uniform_(self.W, a=math.sqrt(5))
        if taps > 1:
            self.D = nn.Parameter(torch.zeros(inputs, taps, taps))
            self.D_diag = nn.Parameter(torch.eye(taps).repeat(inputs, 1, 1), requires_grad=False)

    def weight(self) -> Tensor:
        """Shape: [outputs, inputs, k, k]."""
        return mixed_taps(self.W, self.D + self.D_diag) if self.W.shape[2] > 1 else self.W[..., None]

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight()
        return functional.conv2d(x, weight, stride=self.stride, padding=weight.shape[-1] // 2)

    def plain(self) -> nn.Conv2d:
        """The same as an ordinary layer, folded."""
        return _ordinary(self.weight().detach(), self.stride)


def _ordinary(weight: Tensor, stride: int) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer


def mixed_taps(weight: Tensor, mixing: Tensor) -> Tensor:
    """The plain weight of a DO-Conv.

    Shape: weight [outputs, inputs, k * k], mixing [inputs, k * k, k * k] (tap of the result, tap of the weight)
    -> [outputs, inputs, k, k].
    """
    side = math.isqrt(weight.shape[2])
    mixed = torch.einsum("ims,ois->oim", mixing, weight)
    return mixed.reshape(*weight.shape[:2], side, side)  # [outputs, inputs, k, k]


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the training form as those of plain convolutions; others stay as they are.

    The sums run in float64. What does not fit together (no D, another shape) stays, and is then found to be left over.
    """
    found = dict(state)
    for key, weight in state.items():
        if not key.endswith(".W") or weight.ndim != 3:
            continue
        inputs, taps = weight.shape[1:]
        if taps == 1:
            found[key] = weight[..., None]  # [outputs, inputs, 1, 1]
            continue
        names = [key[:-1] + name for name in ("D", "D_diag")]
        parts = [state[name] for name in names if name in state and state[name].shape == (inputs, taps, taps)]
        if len(parts) < len(names) or math.isqrt(taps) ** 2 != taps:
            continue
        found[key] = mixed_taps(weight.double(), parts[0].double() + parts[1].double()).to(weight.dtype)
        for name in names:
            del found[name]
    return found


class FourierBlock(nn.Module):
    """Res FFT-Conv block (paper, section 3.2): two 3x3 convolutions, and two 1x1 ones on the spectrum of the whole map.

    Real and imaginary parts are channels there.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(ConvUnit(channels, channels, 3), ConvUnit(channels, channels, 3, relu=False))
        wide = 2 * channels
        self.main_fft = nn.Sequential(ConvUnit(wide, wide, 1), ConvUnit(wide, wide, 1, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(_no_half(x))  # [B, C, H, W / 2 + 1]
        real, imaginary = self.main_fft(torch.cat([spectrum.real, spectrum.imag], dim=1)).chunk(2, dim=1)
        everywhere = torch.fft.irfft2(torch.complex(_no_half(real), _no_half(imaginary)), s=x.shape[-2:])
        return self.main(x) + x + everywhere


def _no_half(x: Tensor) -> Tensor:
    """Transforms in float32: spectra are sums over all pixels, too large for float16."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class DeepRFT(MIMOUNet):
    """MIMO-UNet with Fourier blocks and without biases. unfolded: the form that the authors train and publish."""

    def __init__(self, blocks: int = 8, channels: int = 32, *, unfolded: bool = False) -> None:
        super().__init__(blocks, channels)
        self.unfolded = unfolded
        for stage in self.modules():
            if isinstance(stage, BlockStack):
                width = stage.layers[0].main[0].main[0].in_channels  # type: ignore[union-attr, index]
                stage.layers = nn.Sequential(*[FourierBlock(int(width)) for _ in range(blocks)])
        for unit in list(self.modules()):
            if isinstance(unit, ConvUnit):
                unit.main[0] = _without_bias(unit.main[0], unfolded)

    def own_form(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors in this network's form: published ones are folded where it is the folded one."""
        return state if self.unfolded else folded(state)

    def scales(self, image: Tensor) -> list[Tensor]:
        """Shape: [B, 3, H, W], sides multiples of 4 -> [B, 3, H, W], [B, 3, H/2, W/2], [B, 3, H/4, W/4].

        Range: [0, 1] in; the outputs are not clamped.
        """
        return super().forward(image)[::-1]

    def forward(self, image: Tensor) -> list[Tensor] | Tensor:  # type: ignore[override]
        """As `scales`; the folded form, which is for use, returns the image of full size alone (so does theirs)."""
        outputs = self.scales(image)
        return outputs if self.unfolded else outputs[0]


def _without_bias(layer: nn.Module, unfolded: bool) -> nn.Module:
    """A layer of MIMO-UNet as this network has it; transposed convolutions are ordinary ones."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    inputs, outputs, kernel, stride = layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]
    if isinstance(layer, nn.ConvTranspose2d):
        return nn.ConvTranspose2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2 - 1, bias=False)
    return (OverParametrisedConv if unfolded else PlainConv)(inputs, outputs, kernel, stride)


def in_tiles(module: Callable[[Tensor], Tensor], image: Tensor, side: int) -> Tensor:
    """The result for tiles of this side, each on its own and without overlap: the authors' way through an image.

    A grid from the top left; what it leaves at the right and at the bottom comes from tiles that end with the image, of
    which the pixels of the grid are not used. Shape: [1, 3, H, W], sides of `side` or more -> the same.
    """
    output = torch.empty_like(image)
    rows, columns = (_places(length, side) for length in image.shape[-2:])
    for top, first_row in rows:
        for left, first_column in columns:
            tile = module(image[..., top : top + side, left : left + side])
            kept = tile[..., first_row - top :, first_column - left :]
            output[..., first_row : top + side, first_column : left + side] = kept
    return output


def _places(length: int, side: int) -> list[tuple[int, int]]:
    """Along an axis: where a tile starts, and the first of its pixels that is used."""
    whole = length // side * side
    places = [(start, start) for start in range(0, whole, side)]
    return [*places, (length - side, whole)] if whole < length else places


def _full_size(module: nn.Module, image: Tensor) -> Tensor:
    """The image of full size, whichever form the network has."""
    output = module(image)
    return output[0] if isinstance(output, list) else output


def _in_tiles(module: nn.Module, image: Tensor) -> Tensor:
    """So that spectra are those of a tile. An image that is smaller than a tile stays whole."""
    if min(image.shape[-2:]) < TILE_PX:
        return _full_size(module, image)
    return in_tiles(partial(_full_size, module), image, TILE_PX)


def gaussian_scales(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Training: outputs of quarter, half and full size; the sharp image is reduced by a Gaussian pyramid, as kornia's
    (the authors')."""
    targets = [sharp[:, 0]]
    for _ in range(2):
        targets.append(_halved(targets[-1]))
    return list(zip(cast(DeepRFT, module).scales(blur[:, 0])[::-1], targets[::-1], strict=True))


def _halved(image: Tensor) -> Tensor:
    """Smoothed by 1 4 6 4 1 along both axes, borders mirrored, then the mean of 2x2 pixels. Shape: sides are even."""
    taps = image.new_tensor((1.0, 4.0, 6.0, 4.0, 1.0)) / 16
    channels = image.shape[1]
    padded = functional.pad(image, (2, 2, 2, 2), mode="reflect")
    rows = functional.conv2d(padded, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    smooth = functional.conv2d(rows, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return functional.avg_pool2d(smooth, 2)


def _build_unfolded() -> nn.Module:
    return DeepRFT(unfolded=True)


def _build_test() -> nn.Module:
    return DeepRFT(blocks=1, channels=8)


def _build_unfolded_test() -> nn.Module:
    return DeepRFT(blocks=1, channels=8, unfolded=True)


_SWITCHES = ("truncate", "self-ensemble", "half", "authors-tiles")
DEEPRFT = ModelSpec(
    name="deeprft",
    task="deblur",
    build=DeepRFT,
    adapter=partial(StillInTiles, run=_full_size, tiles=_in_tiles, side_px=TILE_PX),
    frames=1,
    multiple_of=4,
    value_range=(0.0, 1.0),
    weights=(
        Weights(
            file="model_GoPro.pth",  # the authors' folder has a file of this name for every size
            source="github.com/INVOKERer/DeepRFT (README: folder of checkpoints, DeepRFT)",
            licence="Academic Public License (non-commercial)",
        ),
    ),
    recipe="deeprft",
    # Of an over-parametrised convolution W alone: without its D_diag nothing would be learned.
    training=TrainingForm(
        outputs=gaussian_scales,
        residual=("ConvsOut.0.main.0.W", "ConvsOut.1.main.0.W", "feat_extract.5.main.0.W"),
    ),
    source=SOURCE,
    published="DeepRFT-MIMO",
    parity=("deeprft",),
    switches=_SWITCHES,
).with_tiny("deeprft-test", _build_test)
DEEPRFT_DOCONV = replace(
    DEEPRFT,
    name="deeprft-doconv",
    build=_build_unfolded,
    weights=(),
    source=SOURCE + " (the form that its authors train; its checkpoints are weights of deeprft, too)",
    published="",
    parity=("deeprft_doconv",),
    in_all=False,  # folded it is deeprft, whose row would stand twice
).with_tiny("deeprft-doconv-test", _build_unfolded_test)
