"""The numbers that a network starts from, where a recipe says something else than what its layers are built with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from models.nets.esrgan import DenseBlock
from models.nets.layers import ResidualBlock

SMALL = 0.1  # of Kaiming's deviation


def _xavier(module: nn.Module) -> None:
    """Uniform Xavier, biases zero. Source: STFAN, core/build.py 56; SRN, models/model.py 79."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            _no_bias(layer)


def _small(module: nn.Module) -> None:
    """0.1 times Kaiming's normal numbers in residual and dense blocks, their biases zero; all else stays.

    Source: Wang et al., ESRGAN, section 3.1 ("smaller initialization"); BasicSR, rrdbnet_arch.py 30, arch_util.py 83.
    """
    for block in module.modules():
        if isinstance(block, DenseBlock | ResidualBlock):
            for layer in block.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight)
                    layer.weight.data.mul_(SMALL)
                    _no_bias(layer)


def _dmphn(module: nn.Module) -> None:
    """Normal of half of He's deviation over the outputs, biases zero. Source: DMPHN_1_2_4.py, weight_init."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            height, width = layer.kernel_size
            nn.init.normal_(layer.weight, 0.0, 0.5 * math.sqrt(2 / (height * width * layer.out_channels)))
            _no_bias(layer)


def _no_bias(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


RULES: dict[str, Callable[[nn.Module], None]] = {"xavier": _xavier, "small": _small, "dmphn": _dmphn}


def initialise(module: nn.Module, rule: str) -> None:
    """Draw a network's first numbers anew, in place, from torch's generator. rule: of a recipe; "" leaves them."""
    if rule:
        with torch.no_grad():
            RULES[rule](module)


def renew(module: nn.Module, beginnings: tuple[str, ...]) -> None:
    """Draw the numbers of the parts that begin like this anew, as their layers are built, in place."""
    for name, layer in module.named_modules():
        if f"{name}.".startswith(beginnings) and hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
