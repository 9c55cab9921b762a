"""Small blocks that several networks share: padding, norms, local means, dense layers, pieces of video networks.

Local means: a network that was trained on crops sees means over a crop; on a whole frame a global mean has another
distribution. The test-time local converter (TLC) takes the mean over a window of 1.5 times the training crop around
every pixel instead. Source: Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation",
ECCV 2022, arXiv:2112.04491, section 3.

Instance norms: DeblurGAN and its successor store running statistics in them and never use them: their authors predict
in training mode. That also puts batch norms on the statistics of one image, and dropout stays active. Here the first is
the rule, the rest is a switch (docs/decisions/011-train-mode.md).

The pieces that EDVR, BasicVSR and their relatives share have the layer names of BasicSR's checkpoints.

Dense layers: restoring on a CPU runs them through oneDNN, whose products write their results once; PyTorch's own write
the bias first, then the product, then read it again for the activation. Measured on one core, 65,536 pixels of 32
channels: 2.0 ms in place of 6.1, with a GELU 3.1 in place of 6.3. Training, counting and other devices take PyTorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def pad_to_multiple(images: Tensor, multiple: int, mode: str, smallest: int = 1) -> Tensor:
    """Pad at the right and the bottom until both sides divide by `multiple` and are `smallest` or more.

    Shape: [B, C, H, W]. mode: "reflect" (an image too small to be reflected has its edge repeated), "replicate" or
    "constant" (zeros).
    """
    height, width = images.shape[-2:]
    bottom = max(0, smallest - height)
    bottom += -(height + bottom) % multiple
    right = max(0, smallest - width)
    right += -(width + right) % multiple
    if not bottom and not right:
        return images
    if mode == "reflect" and (bottom >= height or right >= width):
        mode = "replicate"
    return functional.pad(images, (0, right, 0, bottom), mode=mode)


def reduced(image: Tensor, width: int) -> Tensor:
    """An image reduced bilinearly to a width. Shape: [B, C, H, W] -> [B, C, H width / W, width]."""
    if image.shape[-1] == width:
        return image
    return functional.interpolate(image, scale_factor=width / image.shape[-1], mode="bilinear")


def learns(part: object) -> bool:
    """Whether a part of a network is trained: any of its parameters."""
    return isinstance(part, nn.Module) and any(parameter.requires_grad for parameter in part.parameters())


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Subtract the mean of a pixel's channels, divide by their (biased) deviation, scale and shift per channel.

    Shape: [B, C, H, W]. Needs no copy where the features are laid out channels-last.
    """
    last = x.permute(0, 2, 3, 1)  # [B, H, W, C]
    return functional.layer_norm(last, weight.shape, weight, bias, eps).permute(0, 3, 1, 2)


def local_mean(x: Tensor, height: int, width: int) -> Tensor:
    """Mean over the window of height x width around every pixel.

    Windows lie inside the image; where one would leave it, the nearest that does not counts (replicate padding, the
    smaller half in front). A window that covers the whole image gives the global mean, [B, C, 1, 1].

    Shape: [B, C, H, W] -> [B, C, H, W] or [B, C, 1, 1]. Differentiable. The sums run along one axis after the other
    in float64, so that a large image loses no digits.
    """
    rows, columns = x.shape[-2:]
    if height >= rows and width >= columns:
        return x.mean(dim=(2, 3), keepdim=True)
    height, width = min(height, rows), min(width, columns)
    means = _window_sums(_window_sums(x.double(), 2, height), 3, width) / (height * width)  # [B, C, H-h+1, W-w+1]
    above, left = (height - 1) // 2, (width - 1) // 2
    return functional.pad(means.to(x.dtype), (left, width - 1 - left, above, height - 1 - above), mode="replicate")


def _window_sums(x: Tensor, axis: int, length: int) -> Tensor:
    """Sums of `length` neighbours along an axis, as differences of running sums."""
    running = x.cumsum(dim=axis)
    count = x.shape[axis]
    first = running.narrow(axis, length - 1, 1)
    others = running.narrow(axis, length, count - length) - running.narrow(axis, 0, count - length)
    return torch.cat([first, others], dim=axis)


class LocalMean(nn.Module):
    """Takes the place of a global average pooling. height, width: the window in pixels of this layer's features."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        if height < 1 or width < 1:
            raise ValueError(f"a window has at least 1 x 1 px at every level of the network, got {height} x {width}")
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return local_mean(x, self.height, self.width)


def restored_with_statistics(module: nn.Module, image: Tensor, *, train_mode: bool) -> Tensor:
    """The network's output for one image; mode and running statistics are put back, also after an error.

    train_mode: everything in training mode as the authors do, with the same dropout for every image.
    """
    modes = [(layer, layer.training) for layer in module.modules()]
    # Only these move: a large backbone's are hundreds of copies, which a GPU would notice.
    moving = [layer for layer, _ in modes if train_mode or isinstance(layer, nn.InstanceNorm2d)]
    statistics = [(value, value.clone()) for layer in moving for value in layer.buffers(recurse=False)]
    try:
        module.train(train_mode)
        if train_mode:
            with torch.random.fork_rng(devices=[image.device] if image.device.type == "cuda" else []):
                torch.manual_seed(0)
                return module(image)
        for layer in moving:
            layer.train()
        return module(image)
    finally:
        for layer, mode in modes:
            layer.training = mode
        for value, before in statistics:
            value.copy_(before)


LEAKY_SLOPE = 0.1


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU in place: x must be the fresh result of a convolution."""
    return functional.leaky_relu(x, LEAKY_SLOPE, inplace=True)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


class ResidualBlock(nn.Module):
    """Two convolutions without normalisation, ReLU between them, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(functional.relu(self.conv1(x), inplace=True)).add_(x)


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(channels) for _ in range(count)])


class Trunk(nn.Module):
    """A convolution with LeakyReLU, then residual blocks."""

    def __init__(self, inputs: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            conv(inputs, channels), nn.LeakyReLU(LEAKY_SLOPE, inplace=True), residual_blocks(channels, blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


def strided_front(channels: int) -> nn.Sequential:
    """Features of a quarter of a frame's size. Shape: [B, 3, H, W], sides multiples of 4 -> [B, C, H/4, W/4]."""
    return nn.Sequential(
        conv(3, channels, stride=2),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        conv(channels, channels, stride=2),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        Trunk(channels, channels, 5),
    )


def quarter(image: Tensor) -> Tensor:
    """Bicubic, a quarter as large, without a filter against aliasing. Shape: [B, 3, H, W] -> [B, 3, H/4, W/4]."""
    return functional.interpolate(image, scale_factor=0.25, mode="bicubic", align_corners=False)


def warp_features(features: Tensor, flow_px: Tensor) -> Tensor:
    """Features at every pixel's place plus its flow; zero outside the image.

    Shape: [B, C, H, W], flow [B, 2, H, W] (x right, y down) -> [B, C, H, W]. Units: px.
    """
    height, width = features.shape[-2:]
    # -1 and 1 are the outer edges (align_corners=False): the same places, and no division by zero for one pixel.
    columns = (2 * torch.arange(width, device=flow_px.device, dtype=flow_px.dtype) + 1) / width - 1
    rows = (2 * torch.arange(height, device=flow_px.device, dtype=flow_px.dtype) + 1) / height - 1
    x = torch.add(columns, flow_px[:, 0], alpha=2 / width)
    y = torch.add(rows[:, None], flow_px[:, 1], alpha=2 / height)
    grid = torch.stack([x, y], dim=-1)  # [B, H, W, 2]
    return functional.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class Enlargement(nn.Module):
    """Base of networks whose last layers enlarge features four times: two pixel shuffles and two convolutions.

    `_add_enlargement` is called last by the networks' constructors, so that the keys come in the authors' order.
    """

    upconv1: nn.Conv2d
    upconv2: nn.Conv2d
    conv_hr: nn.Conv2d
    conv_last: nn.Conv2d

    def _add_enlargement(self, channels: int, last_channels: int) -> None:
        self.upconv1 = conv(channels, channels * 4)
        self.upconv2 = conv(channels, last_channels * 4)
        self.conv_hr = conv(last_channels, last_channels)
        self.conv_last = conv(last_channels, 3)
        # The layers are complete. Channels last, everything up to here takes 20 to 45 % less time on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs

    def enlarge(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> image residual [B, 3, 4H, 4W]."""
        x = functional.pixel_shuffle(leaky(self.upconv1(x)), 2)  # [B, C, 2H, 2W]
        x = functional.pixel_shuffle(leaky(self.upconv2(x)), 2)  # [B, last, 4H, 4W]
        return self.conv_last(leaky(self.conv_hr(x)))


def enlargement(module: nn.Module) -> int:
    """How many times larger than its input the output of an `Enlargement` is: 1 for the forms that deblur, else 4."""
    return 4 if getattr(module, "deblur", True) is False else 1


def seen_in_training(module: nn.Module, clip: Tensor, sharp: Tensor) -> Tensor:
    """What an `Enlargement` gets of a blurred clip: the frames, or their means over 4x4 pixels where it enlarges.

    Frames that are smaller than the sharp ones already stay.
    """
    whole = clip.shape[-1] == sharp.shape[-1]
    return functional.avg_pool3d(clip, (1, 4, 4)) if whole and enlargement(module) == 4 else clip


def enlarged_image(image: Tensor) -> Tensor:
    """Bilinear, four times as large. Shape: [B, 3, H, W] -> [B, 3, 4H, 4W]."""
    return functional.interpolate(image, scale_factor=4, mode="bilinear", align_corners=False)


def dense(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: str = "", plus: Tensor | None = None) -> Tensor:
    """x @ weight^T + bias, then the GELU or the sum with another tensor.

    Shape: x [..., C], weight [D, C], plus [..., D] -> [..., D]. gelu: "" (none), "none" (the exact one) or "tanh", as
    PyTorch names them.
    """
    if gelu and plus is not None:
        raise ValueError("a dense layer has an activation or a sum, not both")
    if _dense_supported(x, weight):
        pointwise = torch.ops.mkldnn._linear_pointwise
        weight = weight.contiguous()  # thousandfold slower with strides
        if plus is not None:
            return pointwise.binary(x, plus, weight, bias, "add")
        return pointwise(x, weight, bias, "gelu" if gelu else "none", [], gelu)
    product = functional.linear(x, weight, bias)
    if plus is not None:
        return product + plus
    return functional.gelu(product, approximate=gelu) if gelu else product


def _dense_supported(x: Tensor, weight: Tensor) -> bool:
    return (
        torch.is_inference_mode_enabled()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
