"""Networks rearranged for inference on a CPU: the same function in fewer passes over the features.

Batch norms go into the weights of the convolutions before them, ReLUs into the convolutions' own pass, 1x1
convolutions to oneDNN (with one thread PyTorch takes a path that is three times as slow), and instance norms read
their features channels-last. Figures: docs/log, 14.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = tuple[str, list[float], str]  # oneDNN's name, its numbers, its algorithm
NO_ACTIVATION: Activation = ("none", [], "")


def fused(module: nn.Module) -> nn.Module:
    """A copy that computes what `module` does in evaluation mode, up to rounding; CPU, float32, no gradients.

    Weights are shared but for those that a batch norm was folded into; `module` and its state dict stay as they are.
    The copy's state dict has other keys. Instance norms use the statistics of the image, as their networks' adapters
    ask for. Where this PyTorch lacks oneDNN the copy is a plain one.
    """
    shared = [*module.parameters(), *module.buffers()]
    twin = copy.deepcopy(module, {id(value): value for value in shared})
    for layer in list(twin.modules()):
        for name, child in list(layer.named_children()):
            if isinstance(child, nn.InstanceNorm2d):
                setattr(layer, name, ImageNorm(child.eps, child.weight, child.bias))
            plain: Callable[[], nn.Module] | None = getattr(child, "plain", None)
            if plain is not None:  # a convolution of another form, as an ordinary one
                setattr(layer, name, plain())
    if not _supported():
        return twin
    done: dict[int, nn.Module] = {}  # some networks know a layer under two names
    for layer in list(twin.modules()):
        if isinstance(layer, nn.Sequential):
            _fuse_row(layer)
        for name, child in list(layer.named_children()):
            if type(child) is nn.Conv2d and _fits(child) and child.kernel_size == (1, 1):
                setattr(layer, name, done.setdefault(id(child), FusedConvolution(child, None, NO_ACTIVATION)))
    return twin


def _supported() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def _fits(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _fuse_row(row: nn.Sequential) -> None:
    """Convolution, batch norm and activation that follow each other become one; their places stay, as identities."""
    names = [name for name, _ in row.named_children()]
    for place, name in enumerate(names):
        layer = row.get_submodule(name)
        if type(layer) is not nn.Conv2d or not _fits(layer):
            continue
        followers = names[place + 1 :]
        norm = row.get_submodule(followers[0]) if followers else None
        if isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
            row.add_module(followers.pop(0), nn.Identity())
        else:
            norm = None
        activation = _activation(row.get_submodule(followers[0])) if followers else NO_ACTIVATION
        if activation != NO_ACTIVATION:
            row.add_module(followers[0], nn.Identity())
        if norm is not None or activation != NO_ACTIVATION:
            row.add_module(name, FusedConvolution(layer, norm, activation))


def _activation(layer: nn.Module) -> Activation:
    """Those that oneDNN computes to the same digits."""
    if isinstance(layer, nn.ReLU):
        return "relu", [], ""
    if isinstance(layer, nn.LeakyReLU):
        return "leaky_relu", [layer.negative_slope], ""
    if isinstance(layer, nn.ReLU6):
        return "hardtanh", [0.0, 6.0], ""
    return NO_ACTIVATION


class FusedConvolution(nn.Module):
    """A convolution with the batch norm (in evaluation mode) and the activation after it."""

    def __init__(self, layer: nn.Conv2d, norm: nn.BatchNorm2d | None, activation: Activation) -> None:
        super().__init__()
        self.weight: Tensor = layer.weight
        self.bias: Tensor | None = layer.bias
        if norm is not None:
            self.weight, self.bias = _folded(layer, norm)
        self.padding, self.stride, self.dilation = (
            list(value) for value in (layer.padding, layer.stride, layer.dilation)
        )
        self.groups = layer.groups
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups, *self.activation
        )


def _folded(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias of the convolution with the norm in them, computed in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    with torch.no_grad():
        weight, mean = layer.weight.double(), norm.running_mean.double()
        factor = torch.rsqrt(norm.running_var.double() + norm.eps)
        shift = torch.zeros_like(mean) if norm.bias is None else norm.bias.double()
        if norm.weight is not None:
            factor = factor * norm.weight.double()
        bias = mean.new_zeros(()) if layer.bias is None else layer.bias.double()
        folded = (weight * factor.view(-1, 1, 1, 1), (bias - mean) * factor + shift)
    dtype = layer.weight.dtype
    return tuple(nn.Parameter(value.to(dtype), requires_grad=False) for value in folded)  # type: ignore[return-value]


class ImageNorm(nn.Module):
    """Instance norm from the statistics of each image. weight, bias: per channel; None for no scale and shift.

    PyTorch's own, given channels-last features, takes four times as long as this one and given its default layout 1.3
    to 3 times. Sums run along rows in float32 and over the rows in float64, so that no digits are lost.
    """

    def __init__(self, eps: float, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        self.eps, self.weight, self.bias = eps, weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, C, H, W] -> the same."""
        batch, _, height, width = x.shape
        if height * width < 2:
            raise ValueError(f"an instance norm needs more than one value per channel, got {height} x {width}")
        results = []
        for image in x.split(1):
            rows = image.permute(0, 2, 3, 1)[0]  # [H, W, C]
            mean = _mean(rows)
            variance = _mean((rows - mean).square_())
            results.append(functional.batch_norm(image, mean, variance, self.weight, self.bias, False, 0.0, self.eps))
        return results[0] if batch == 1 else torch.cat(results)


def _mean(rows: Tensor) -> Tensor:
    """Shape: [H, W, C] -> [C]."""
    return (rows.sum(dim=1).double().sum(dim=0) / (rows.shape[0] * rows.shape[1])).to(rows.dtype)
