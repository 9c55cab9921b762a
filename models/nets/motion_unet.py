"""A U-Net that tells how every place moved during the exposure, and restores it along that motion: `motion-unet-small`.

This project's own network. What is known of motion blur is built in. A straight motion leaves dark stripes in the
local power spectrum, across the motion and 1 / length apart, so that length and direction can be read there. Once the
image is sampled along the motion, in units of its length, the same weights undo the blur everywhere. A restored image
that is blurred again should be the blurred one, and what differs tells what is left to do. Long blur is short blur in
a smaller image. And the sharp image is the middle of the exposure, not the mean of its path: how far the two are apart
is told as well (models/nets/path_offset.py). So the network is a plain residual U-Net behind a pixel-unshuffle, which
also sees local spectra; it tells the motion at every fourth pixel, and for every pixel the weights of samples along it;
first in the image of a quarter of the size, then of half, then of the whole. The derivation:
docs/decisions/019-motion-unet.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import Still
from models.nets.along_motion import samples, weighted_samples
from models.nets.layers import ResidualBlock
from models.nets.path_offset import CELL_PX, TENTHS, Axes, PathOffset
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
LEAST_WIDTH_PX2 = 0.01
COARSEST_STRIDE_PX, FINER_STRIDE_PX = 2, 4  # between lines that are read for the offset
NEIGHBOURHOOD = 29  # cells of 16 px whose mean motion the lines follow
LEAST_CELL_CONTRAST = 3e-3
GREY_GAIN = 4.0
WINDOW_PX, STRIDE_PX = 64, 16  # of the local spectra
SPECTRUM_FLOOR = 4e-3  # of the power of a window in [0, 1]: about that of noise of half an 8-bit step
EXPOSED = 6  # places on either side of a pixel that make the exposure when an image is blurred again
MULTIPLE_PX = 16  # sides that all levels divide
TWICE_AS_LONG = (math.log(4.0), math.log(4.0), 0.0)  # what a motion gains in the px of the next finer scale
# Share of the change that is made to an image: full, it sharpens what was never sharp too much (log, 25 and 32).
CAUTION = 0.85
DETAIL = 16  # channels of the features at full resolution
HIDDEN = 32
STRIP_PX = 16384  # that many go through the layers that weigh samples at a time, outside of training


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
    first. middle: blocks of the coarsest level. scales: sizes of the image, each half of the one before. passes: how
    often the restored image is blurred again and compared with the blurred one, at each of them."""

    sides: Tensor
    window: Tensor
    slope: Tensor

    def __init__(
        self,
        widths: Sequence[int],
        encoder: Sequence[int],
        middle: int,
        decoder: Sequence[int],
        *,
        scales: int = 3,
        passes: int = 1,
    ) -> None:
        super().__init__()
        self.scales = scales
        pixels = 3 * BLOCK_PX**2
        steps = list(pairwise(widths))
        self.stem = nn.Conv2d(2 * pixels, widths[0], 3, padding=1)
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
        self.coarser_features = nn.Conv2d(3, widths[-1], 1)  # of the motion that the coarser scale told
        self.coarser_motion = nn.Conv2d(3, 3, 1)
        self.motion = nn.Identity()  # the motion of all scales, in training; see `_axis` for the first three numbers
        self.motion_detail = nn.Conv2d(widths[0], 3, 1)
        self.detail = nn.Conv2d(widths[0], DETAIL * BLOCK_PX**2, 1)
        self.offset = PathOffset()
        count = 2 * (len(ALONG) + 1)
        known = 1 + 2 + DETAIL  # log length, offset along and across
        self.weigh = _weights(count + 3 + known, count)
        self.weigh_again = nn.ModuleList([_weights(count + 5 + known, count + 5) for _ in range(passes)])
        self.head = nn.Conv2d(widths[0], pixels, 1)
        window = torch.hann_window(WINDOW_PX, periodic=False)
        self.register_buffer("window", window[:, None] * window, persistent=False)
        rows, columns = torch.fft.fftfreq(WINDOW_PX)[:, None], torch.fft.rfftfreq(WINDOW_PX)
        frequency = (rows.square() + columns.square()).sqrt()
        # The power of photographs falls with the square of the frequency.
        self.register_buffer("slope", 2 * (frequency + 0.5 / WINDOW_PX).log(), persistent=False)
        # (lengths along, px along, px across) of the samples: those that are weighed, ahead and then behind, and those
        # of the exposure.
        ahead = torch.tensor([[*along, 0.0] for along in ALONG] + [[0.0, 0.0, ACROSS_PX]])
        exposed = torch.tensor([[0.5 * (number + 1) / EXPOSED, 0.0, 0.0] for number in range(EXPOSED)])
        self.register_buffer("sides", torch.cat([ahead, -ahead, exposed, -exposed]), persistent=False)
        self._start()

    def _start(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            for layer in (self.motion_detail, self.coarser_features, self.coarser_motion):
                layer.weight.zero_()
            self.stem.weight[:, self.stem.in_channels // 2 :] = 0
            self.spectrum_features.weight.mul_(GATE_START)
            self.spectrum_motion.weight.mul_(GATE_START)
            for weights in (self.weigh, *self.weigh_again, *self.offset.heads):
                weights[-1].weight.mul_(BLOCK_START)  # type: ignore[index, operator]
            for layer in self.modules():
                if isinstance(layer, ResidualBlock):
                    layer.conv2.weight.mul_(BLOCK_START)
                elif isinstance(layer, GatedUp):
                    layer.joined.weight.mul_(GATE_START)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Shape: [B, 3, H, W] -> the same, sides multiples of 16 px. In training the restored images of all scales, the
        coarsest first.

        Range: [0, 1] in; the output is not clamped. Outside of training, CAUTION of the change is made.
        """
        pyramid = [image.to(torch.promote_types(image.dtype, torch.float32))]  # places and sums need that precision
        for _ in range(self.scales - 1):
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2, ceil_mode=True, count_include_pad=False))
        found: list[Tensor] = []
        told: list[Tensor] = []
        difference = coarser = None
        for blurred in reversed(pyramid):
            height, width = blurred.shape[-2:]
            beyond = (0, -width % MULTIPLE_PX, 0, -height % MULTIPLE_PX)
            whole = functional.pad(blurred, beyond, mode="replicate") if any(beyond) else blurred
            if difference is None:
                guess = whole
            else:
                finer = _enlarged(difference, 2)
                guess = whole + _fitted(finer, whole)
            restored, motion = self._restored(whole, guess, coarser)
            difference, coarser = restored - whole, motion
            found.append(restored[..., :height, :width])
            told.append(motion)
        if not self.training:
            return image + CAUTION * (found[-1] - image)
        self.motion(self._in_px_of_the_finest(told))  # whoever trains listens (models/training/running.py)
        return found

    def _restored(self, blurred: Tensor, guess: Tensor, coarser: Tensor | None) -> tuple[Tensor, Tensor]:
        """One scale: its restored image, and the motion and the offset at its coarsest level.

        guess: what the coarser scale makes of the image. coarser: the motion and the offset that it told.
        Shape: [B, 3, H, W] -> [B, 3, H, W], [B, 5, H / 16, W / 16].
        """
        known = [functional.pixel_unshuffle(part, BLOCK_PX) for part in (blurred - 0.5, guess - blurred)]
        x = self.stem(torch.cat(known, dim=1))
        skips = []
        for blocks, down in zip(self.encoder, self.downs, strict=True):
            x = blocks(x)
            skips.append(x)
            x = down(x)
        spectra = self._spectra(blurred)
        x = x + self.spectrum_features(spectra)
        offset_before = None
        if coarser is not None:
            finer = _fitted(_enlarged(coarser, 2), x)
            coarser, offset_before = finer[:, :3] + finer.new_tensor(TWICE_AS_LONG)[:, None, None], 2 * finer[:, 3:]
            x = x + self.coarser_features(coarser)
        x = self.middle(x)
        motion = (self.middle_motion(x) + self.spectrum_motion(spectra)).to(blurred.dtype)
        if coarser is not None:
            motion = motion + self.coarser_motion(coarser).to(blurred.dtype)
        for up, blocks in zip(reversed(self.ups), reversed(self.decoder), strict=True):
            x = blocks(up(x, skips.pop()))
        times = 2 ** len(self.downs)
        axes = _axis(_enlarged(motion, times) + self.motion_detail(x).to(blurred.dtype))
        stride_px = COARSEST_STRIDE_PX if offset_before is None else FINER_STRIDE_PX
        # The detail answers to the restored image alone and makes the motion shorter than it was (log, 31). A line
        # has to reach over the whole profile of an edge, and what single places tell is too uncertain (log, 32).
        offset = self.offset(blurred, _shared_axis(motion, blurred), offset_before, stride_px)
        restored = self._along(blurred, guess, axes, _enlarged(offset, times), x)
        return restored, torch.cat([motion, offset], dim=1)

    def _along(self, blurred: Tensor, guess: Tensor, axes: Axes, offset: Tensor, features: Tensor) -> Tensor:
        """The guess sharpened along the motion, blurred again, and corrected by what that leaves unexplained.

        Shape: [B, 3, H, W] twice, four of [B, H / 4, W / 4], [B, 2, H / 4, W / 4] (px along x and y), [B, widths[0],
        H / 4, W / 4] -> [B, 3, H, W].
        """
        length, _, right, down = axes
        with torch.autocast(blurred.device.type, enabled=False):
            shifts = self._shifts(length, right, down)
        one_side = len(ALONG) + 1
        weighed = shifts[:, : 2 * one_side].contiguous()
        near = shifts[:, [0, one_side - 1, one_side, 2 * one_side - 1]].contiguous()
        # The blurred image is the mean of the sharp one around the mean of the path.
        middle = offset.permute(0, 2, 3, 1)[:, None]
        exposed = torch.cat([shifts[:, 2 * one_side :] + middle, middle], dim=1).contiguous()
        shares = exposed.new_full((1, 2 * EXPOSED + 1, 1, 1), 0.5 / EXPOSED)
        shares[:, [EXPOSED - 1, 2 * EXPOSED - 1]] /= 2  # the ends of a trapezoid
        shares = shares.expand(len(blurred), -1, *blurred.shape[-2:]).contiguous()
        along = (offset[:, 0] * right + offset[:, 1] * down) / length * TENTHS
        across = offset[:, 1] * right - offset[:, 0] * down
        told = torch.stack([length.log() / 3, along.clamp(-5, 5), across.clamp(-5, 5)], dim=1)
        told = functional.interpolate(told, scale_factor=float(BLOCK_PX), mode="nearest")
        detail = functional.pixel_shuffle(self.detail(features), BLOCK_PX)
        with torch.autocast(blurred.device.type, enabled=False):
            grey = guess.mean(1)
            seen = samples(grey, weighed) - grey[:, None]
        weights = _weighed(self.weigh, [seen * GREY_GAIN, guess - 0.5, told, detail])
        with torch.autocast(blurred.device.type, enabled=False):
            centred = guess - 0.5
            added = weighted_samples(centred, weighed, weights) - centred * weights.sum(1, keepdim=True)
        restored = guess + added + functional.pixel_shuffle(self.head(features), BLOCK_PX).to(guess.dtype)
        true = blurred.mean(1)
        for weigh in self.weigh_again:
            with torch.autocast(blurred.device.type, enabled=False):
                grey = restored.mean(1)
                left = true - weighted_samples(grey[:, None], exposed, shares)[:, 0]
                close = samples(grey, near) - grey[:, None]
                seen = torch.cat([samples(left, weighed), left[:, None], close], dim=1)
            weights = _weighed(weigh, [seen * GREY_GAIN, told, detail])
            restored = restored + (seen * weights).sum(1, keepdim=True)
        return restored

    def _shifts(self, length: Tensor, right: Tensor, down: Tensor) -> Tensor:
        """Where `sides` are, in px along x and y. Shape: three [B, h, w] -> [B, sides, h, w, 2]."""
        x = torch.stack([length * right, right, -down], dim=-1) @ self.sides.T
        y = torch.stack([length * down, down, right], dim=-1) @ self.sides.T
        return torch.stack([x, y], dim=-1).permute(0, 3, 1, 2, 4)

    def _in_px_of_the_finest(self, told: list[Tensor]) -> Tensor:
        """The motion of all scales, one below the other, as large as the finest. Shape: -> [B, 5, scales * h, w]."""
        size = told[-1].shape[-2:]
        found = []
        for finer, motion in enumerate(reversed(told)):
            longer = finer * motion.new_tensor(TWICE_AS_LONG)[:, None, None]
            in_px = torch.cat([motion[:, :3] + longer, 2**finer * motion[:, 3:]], dim=1)
            found.append(functional.interpolate(in_px, size=size, mode="nearest"))
        return torch.cat(found, dim=2)

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


def _enlarged(image: Tensor, times: int) -> Tensor:
    """Shape: [B, C, h, w] -> [B, C, times * h, times * w]."""
    return functional.interpolate(image, scale_factor=float(times), mode="bilinear", align_corners=False)


def _fitted(image: Tensor, to: Tensor) -> Tensor:
    """Cut to the height and width of another one, or its border repeated. Shape: [B, C, h, w] -> [B, C, H, W]."""
    height, width = to.shape[-2:]
    image = image[..., :height, :width]
    beyond = (0, width - image.shape[-1], 0, height - image.shape[-2])
    return functional.pad(image, beyond, mode="replicate") if any(beyond) else image


def _weighed(weigh: nn.Module, known: list[Tensor]) -> Tensor:
    """Weights of the samples from what is known of a pixel. Shape: [B, _, H, W] each -> [B, samples, H, W].

    Without gradients some rows at a time, which stay in the processor's cache.
    """
    if torch.is_grad_enabled():
        return _weighed_rows(weigh, known)
    batch, _, height, width = known[0].shape
    rows = max(1, STRIP_PX // (batch * width))
    first = _weighed_rows(weigh, [each[:, :, :rows] for each in known])
    found = first.new_empty(batch, first.shape[1], height, width)
    found[:, :, :rows] = first
    for row in range(rows, height, rows):
        found[:, :, row : row + rows] = _weighed_rows(weigh, [each[:, :, row : row + rows] for each in known])
    return found


def _weighed_rows(weigh: nn.Module, known: list[Tensor]) -> Tensor:
    detail = known[-1]
    zeros = detail.new_zeros(len(detail), -sum(part.shape[1] for part in known) % 16, *detail.shape[-2:])
    seen = torch.cat([part.to(detail.dtype) for part in (*known, zeros)], dim=1)
    found = weigh(seen.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return found.to(torch.promote_types(found.dtype, torch.float32)).contiguous()


class PerPixel(nn.Conv2d):
    """A convolution of 1 x 1 as the matrix product that it is. Shape: [B, H, W, C] -> [B, H, W, C']."""

    def __init__(self, seen: int, found: int) -> None:
        super().__init__(seen, found, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight[:, :, 0, 0], self.bias)


def _weights(seen: int, samples: int) -> nn.Sequential:
    """Layers that weigh samples. seen: numbers per pixel; channels of zeros make them a multiple of 16, which is
    computed fastest."""
    return nn.Sequential(
        PerPixel(seen + -seen % 16, HIDDEN),
        nn.ReLU(inplace=True),
        PerPixel(HIDDEN, HIDDEN),
        nn.ReLU(inplace=True),
        PerPixel(HIDDEN, samples),
    )


def _axis(motion: Tensor) -> Axes:
    """The straight motion with the told variances of the positions that a point passes.

    Shape: [B, 3, h, w] (log variance along x, along y, in px^2; correlation before tanh) -> four [B, h, w].
    A box of length L has the variance L^2 / 12.
    """
    return _axis_of(_variances(motion))


def _shared_axis(motion: Tensor, image: Tensor) -> Axes:
    """The straight motion that a neighbourhood of NEIGHBOURHOOD cells of 16 px shares.

    Directions and relative widths are those of the mean of the variances, each divided by their sum; the size is the
    geometric mean. A cell counts by its contrast: the standard deviation of its grey values, noise taken out by means
    of 2 x 2 px. No gradient goes through.
    Shape: [B, 3, H / 16, W / 16], [B, 3, H, W] -> four of [B, H / 4, W / 4].
    """

    def around(part: Tensor) -> Tensor:
        return functional.avg_pool2d(part, NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2, count_include_pad=False)

    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        variances = _variances(motion)
        both = variances[:, :1] + variances[:, 1:2]
        grey = functional.avg_pool2d(image.mean(1, keepdim=True), 2)
        mean, of_squares = (functional.avg_pool2d(part, CELL_PX // 2) for part in (grey, grey.square()))
        contrast = ((of_squares - mean.square()).clamp(min=0) + LEAST_CELL_CONTRAST**2).sqrt()
        total = around(contrast)
        shared = around(variances / both * contrast) / total * (around(both.log() * contrast) / total).exp()
        return _axis_of(_enlarged(shared, CELL_PX // BLOCK_PX))


def _variances(motion: Tensor) -> Tensor:
    """Shape: [B, 3, h, w] (as `_axis`) -> the same: variance along x, along y, covariance, in px^2."""
    along_x, along_y = motion[:, :2].clamp(LEAST_LOG, MOST_LOG).exp().unbind(1)
    together = torch.tanh(motion[:, 2]) * (along_x * along_y).sqrt()
    return torch.stack([along_x, along_y, together], dim=1)


def _axis_of(variances: Tensor) -> Axes:
    """Shape: [B, 3, h, w], as `_variances` gives them -> four of [B, h, w]."""
    along_x, along_y, together = variances.unbind(1)
    half = (along_x - along_y) / 2
    spread = (half.square() + together.square() + 1e-4).sqrt()
    mean = (along_x + along_y) / 2
    length = (12 * (mean + spread)).sqrt().clamp(max=LONGEST_PX)
    width = (12 * (mean - spread).clamp(min=LEAST_WIDTH_PX2)).sqrt().clamp(max=LONGEST_PX)
    angle = 0.5 * torch.atan2(together, half + 1e-6)
    return Axes(length, width, angle.cos(), angle.sin())


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
    multiple_of=MULTIPLE_PX,
    padding="replicate",
    value_range=(0.0, 1.0),
    weights=(),
    recipe="motion-unet",
    training=TrainingForm(residual=("weigh.4", "head", "weigh_again.0.4"), motion="motion"),
    source="this project, docs/decisions/019-motion-unet.md",
    published="",
    switches=("truncate", "self-ensemble"),
).with_tiny("motion-unet-test", _build_test)
