"""Restoring an image with networks whose instance norms are meant to use the image's own statistics.

DeblurGAN and its successor store running statistics in instance norms and never use them: their authors predict in
training mode. That also puts batch norms on the statistics of one image, and dropout stays active. Here the first is
the rule, the rest is a switch (docs/decisions/011-train-mode.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def forward(module: nn.Module, image: Tensor, *, train_mode: bool) -> Tensor:
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
