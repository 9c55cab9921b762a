"""A U-Net that tells how every place moved during the exposure, and restores it along that motion: `motion-unet-small`.

This project's own network. Two facts about motion blur are built in. A straight motion leaves dark stripes in the local
power spectrum, across the motion and 1 / length apart, so that length and direction can be read there. And once the
image is sampled along the motion, in units of its length, the same weights undo the blur everywhere. So the network is
a plain residual U-Net behind a pixel-unshuffle, which also sees local spectra; it tells the motion at every fourth
pixel, and for every pixel the weights of samples along it. The derivation: docs/decisions/019-motion-unet.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.nets.layers import ResidualBlock
from models.spec import ModelSpec, TrainingForm

BLOCK_PX = 4  # side of the blocks of pixels that become channels
BLOCK_START = 0.1  # of a residual block's usual start, so that many of them add up to a small change
GATE_START = 0.3
# Where a pixel is sampled, on either side of it: (lengths of the motion, px along it). Undoing a box of length L takes
# differences of neighbouring pixels half a length away, one and a half lengths, and so on.
ALONG = ((0, 1), (0, 2), (0.5, 0.5), (0.5, -0.5), (0.5, 1.5), (1, 0), (1.5, 0.5), (1.5, -0.5), (2, 0))
ACROSS_PX = 1.0
LEAST_LOG, MOST_LOG = -3.0, 6.0  # of a variance in px^2
LONGEST_PX = 48.0
GREY_GAIN = 4.0
WINDOW_PX, STRIDE_PX = 64, 16  # of the local spectra
SPECTRUM_FLOOR = 4e-3  # of the power of a window in [0, 1]: about that of noise of half an 8-bit step
DETAIL = 16  # channels of the features at full resolution
HIDDEN = 32


class GatedUp(nn.Module):
    """Joins a level with the coarser one: skip * 2 sigmoid(gate) + added, both from the coarser features."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.joined = nn.Conv2d(coarse, 2 * fine, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Shape: [B, coarse, H, W], [B, fine, 2H, 2W] -> [B, fine, 2H, 2W]."""
        gate, added = functional.interpolate(self.joined(x), scale_factor=2.0, mode="nearest").chunk(2, dim=1)
        return torch.addcmul(added, skip, 2 * torch.sigmoid(gate))


class MotionUNet(nn.Module):
    """widths: channels per level, the finest first. encoder, decoder: blocks per level but the coarsest, the finest
    first. middle: blocks of the coarsest level."""

    offsets: Tensor
    window: Tensor
    slope: Tensor

    def __init__(self, widths: Sequence[int], encoder: Sequence[int], middle: int, decoder: Sequence[int]) -> None:
        super().__init__()
        pixels = 3 * BLOCK_PX**2
        steps = list(pairwise(widths))
        self.stem = nn.Conv2d(pixels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList([_blocks(*pair) for pair in zip(widths[:-1], encoder, strict=True)])
        self.downs = nn.ModuleList([nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps])
        self.middle = _blocks(widths[-1], middle)
        self.ups = nn.ModuleList([GatedUp(coarse, fine) for fine, coarse in steps])
        self.decoder = nn.ModuleList([_blocks(*pair) for pair in zip(widths[:-1], decoder, strict=True)])
        self.spectrum = nn.Sequential(
            nn.LayerNorm(WINDOW_PX * (WINDOW_PX // 2 + 1), elementwise_affine=False),
            nn.Linear(WINDOW_PX * (WINDOW_PX // 2 + 1), 96),
            nn.ReLU(),
            nn.Linear(96, 64),
            nn.ReLU(),
        )
        self.spectrum_features = nn.Conv2d(64, widths[-1], 1)
        self.spectrum_motion = nn.Conv2d(64, 3, 1)
        self.middle_motion = nn.Conv2d(widths[-1], 3, 1)
        self.motion = nn.Identity()  # the motion at the coarsest level; see `_axis` for the three numbers
        self.motion_detail = nn.Conv2d(widths[0], 3, 1)
        self.detail = nn.Conv2d(widths[0], DETAIL * BLOCK_PX**2, 1)
        samples = len(ALONG) + 1
        seen = samples + 3 + 1 + DETAIL
        self.zeros = -seen % 32  # channels more: such numbers are computed fastest
        self.weigh = nn.Sequential(
            nn.Conv2d(seen + self.zeros, HIDDEN, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, HIDDEN, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, samples, 1),
        )
        self.head = nn.Conv2d(widths[0], pixels, 1)
        window = torch.hann_window(WINDOW_PX, periodic=False)
        self.register_buffer("window", window[:, None] * window, persistent=False)
        rows, columns = torch.fft.fftfreq(WINDOW_PX)[:, None], torch.fft.rfftfreq(WINDOW_PX)
        frequency = (rows.square() + columns.square()).sqrt()
        # The power of photographs falls with the square of the frequency.
        self.register_buffer("slope", 2 * (frequency + 0.5 / WINDOW_PX).log(), persistent=False)
        # (lengths along, px along, px across) of each sample, once on either side.
        one_side = torch.tensor([[*along, 0.0] for along in ALONG] + [[0.0, 0.0, ACROSS_PX]])
        self.register_buffer("offsets", torch.stack([one_side, -one_side], dim=1).reshape(-1, 3), persistent=False)
        self._start()

    def _start(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.motion_detail.weight.zero_()
            self.spectrum_features.weight.mul_(GATE_START)
            self.spectrum_motion.weight.mul_(GATE_START)
            for layer in self.modules():
                if isinstance(layer, ResidualBlock):
                    layer.conv2.weight.mul_(BLOCK_START)
                elif isinstance(layer, GatedUp):
                    layer.joined.weight.mul_(GATE_START)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W] -> the same, sides multiples of 16 px.

        Range: [0, 1] in; the output is not clamped.
        """
        x = self.stem(functional.pixel_unshuffle(image - 0.5, BLOCK_PX))
        skips = []
        for blocks, down in zip(self.encoder, self.downs, strict=True):
            x = blocks(x)
            skips.append(x)
            x = down(x)
        spectra = self._spectra(image)
        x = self.middle(x + self.spectrum_features(spectra))
        # Whoever trains the network listens to this layer (models/training/running.py).
        precise = torch.promote_types(image.dtype, torch.float32)  # places and sums need more than half precision
        motion = self.motion((self.middle_motion(x) + self.spectrum_motion(spectra)).to(precise))
        for up, blocks in zip(reversed(self.ups), reversed(self.decoder), strict=True):
            x = blocks(up(x, skips.pop()))
        finer = float(2 ** len(self.downs))
        motion = functional.interpolate(motion, scale_factor=finer, mode="bilinear", align_corners=False)
        motion = motion + self.motion_detail(x).to(precise)
        with torch.autocast(image.device.type, enabled=False):
            seen, length = self._sampled(image.to(precise), motion)
        detail = functional.pixel_shuffle(self.detail(x), BLOCK_PX)
        parts = [part.to(detail.dtype) for part in (seen.mean(1) * GREY_GAIN, image - 0.5, length.log() / 3)]
        zeros = detail.new_zeros(len(image), self.zeros, *image.shape[-2:])
        known = torch.cat([*parts, detail, zeros], dim=1).contiguous(memory_format=torch.channels_last)
        weights = self.weigh(known).to(precise)
        restored = image + (seen * weights[:, None]).sum(2)
        return restored + functional.pixel_shuffle(self.head(x), BLOCK_PX).to(precise)

    def _spectra(self, image: Tensor) -> Tensor:
        """Features of the power spectra of windows around every place of the coarsest level.

        Shape: [B, 3, H, W] -> [B, 64, H / 16, W / 16]. Beyond the outermost windows theirs are repeated.
        """
        height, width = image.shape[-2:]
        rows, columns = height // STRIDE_PX, width // STRIDE_PX
        least = WINDOW_PX + STRIDE_PX
        with torch.autocast(image.device.type, enabled=False), torch.no_grad():
            grey = image.to(torch.promote_types(image.dtype, torch.float32)).mean(1, keepdim=True)
            beyond = (0, max(0, least - width), 0, max(0, least - height))
            grey = functional.pad(grey, beyond, mode="replicate")[:, 0]
            windows = grey.unfold(1, WINDOW_PX, STRIDE_PX).unfold(2, WINDOW_PX, STRIDE_PX)
            windows = (windows - windows.mean(dim=(-1, -2), keepdim=True)) * self.window
            power = torch.fft.rfft2(windows).abs().square()
            power = (power + SPECTRUM_FLOOR).log() + self.slope  # [B, rows, columns, window, window / 2 + 1]
            power = (power[:, 1:] + power[:, :-1]) / 2  # neighbours together say more than one
            power = (power[:, :, 1:] + power[:, :, :-1]) / 2
        features = self.spectrum(power.flatten(3)).permute(0, 3, 1, 2)
        return functional.pad(features, (2, 2, 2, 2), mode="replicate")[:, :, :rows, :columns]

    def _sampled(self, image: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """What lies along and across the motion, less the pixel itself, both sides together; and the motion's length.

        Shape: [B, 3, H, W], [B, 3, H / 4, W / 4] -> [B, 3, samples, H, W], [B, 1, H, W] (px).
        """
        batch, _, height, width = image.shape
        length, across, down = _axis(motion)
        # Offsets in px: lengths along, px along, px across. [B, h, w, samples]
        x = torch.stack([length * across, across, -down], dim=-1) @ self.offsets.T
        y = torch.stack([length * down, down, across], dim=-1) @ self.offsets.T
        shifts = torch.stack([x * (2 / width), y * (2 / height)], dim=-1).permute(0, 3, 1, 2, 4)
        rows, columns = (
            (torch.arange(size, dtype=image.dtype, device=image.device) + 0.5) * (2 / size) - 1
            for size in (height, width)
        )
        here = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        here = here.view(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX, 2)
        count = len(self.offsets)
        grid = (shifts[:, :, :, None, :, None] + here).reshape(batch, count * height, width, 2)
        centred = (image - 0.5).contiguous()
        seen = functional.grid_sample(centred, grid, mode="bilinear", padding_mode="border", align_corners=False)
        sides = seen.reshape(batch, 3, count // 2, 2, height, width)
        both = sides[:, :, :, 0] + sides[:, :, :, 1] - 2 * centred[:, :, None]
        return both, functional.interpolate(length[:, None], scale_factor=float(BLOCK_PX), mode="nearest")


def _axis(motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Length and direction of the straight motion with the told variances of the positions that a point passes.

    Shape: [B, 3, h, w] (log variance along x, along y, in px^2; correlation before tanh) -> three [B, h, w]: length in
    px, and the unit vector along it, which points to the right. A box of length L has the variance L^2 / 12.
    """
    along_x, along_y = motion[:, :2].clamp(LEAST_LOG, MOST_LOG).exp().unbind(1)
    together = torch.tanh(motion[:, 2]) * (along_x * along_y).sqrt()
    half = (along_x - along_y) / 2
    spread = (half.square() + together.square() + 1e-4).sqrt()
    length = (12 * ((along_x + along_y) / 2 + spread)).sqrt().clamp(max=LONGEST_PX)
    angle = 0.5 * torch.atan2(together, half + 1e-6)
    return length, angle.cos(), angle.sin()


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(count)])


def _build_small() -> nn.Module:
    return MotionUNet((64, 96, 120), (2, 2), 2, (2, 2))


def _build_test() -> nn.Module:
    return MotionUNet((16, 24, 32), (1, 1), 1, (1, 1))


MOTION_UNET_SMALL = ModelSpec(
    name="motion-unet-small",
    task="deblur",
    build=_build_small,
    adapter=Still,
    frames=1,
    multiple_of=16,
    padding="replicate",
    value_range=(0.0, 1.0),
    weights=(),
    recipe="motion-unet",
    training=TrainingForm(residual=("weigh.4", "head"), motion="motion"),
    source="this project, docs/decisions/019-motion-unet.md",
    published="",
    switches=("truncate", "self-ensemble"),
).with_tiny("motion-unet-test", _build_test)
