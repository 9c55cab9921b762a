"""Networks whose features losses compare: VGG19 or SqueezeNet from a file of the user's, or VGG19 with random weights.

The files are torchvision's (ImageNet, BSD-3-Clause): vgg19*.pth, squeezenet1_1*.pth, found by their names in the
weights folder. Their layers are cut off after the last one that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from core import files
from core.weights_files import SUFFIXES, load_state_dict, weights_folder

FEATURE_NETS = ("vgg19", "squeezenet", "random")  # those that a user chooses between
OTHERS = ("vgg16", "random-vgg16")  # those that a recipe may name itself (Features.network)
FILE_PREFIX = {"vgg19": "vgg19", "squeezenet": "squeezenet1_1", "vgg16": "vgg16"}
RANDOM_SEED = 19
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

VGG19_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # convolutions, channels; a max pool after each
VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# torchvision's number of the last layer of SqueezeNet 1.1 that stands in for VGG19's block 1 to 5: of about that size.
SQUEEZENET_TAPS = (1, 4, 7, 10, 12)
SQUEEZENET_POOLS = (2, 5, 8)
SQUEEZENET_FIRES = (  # input channels, squeezed to, each of the two expansions
    (64, 16, 64),
    (128, 16, 64),
    (128, 32, 128),
    (256, 32, 128),
    (256, 48, 192),
    (384, 48, 192),
    (384, 64, 256),
    (512, 64, 256),
)


class FeatureNet(nn.Module):
    """Images [B, 3, H, W], RGB in [0, 1] -> the features of the layers asked for, in their order. Frozen."""

    def __init__(self, layers: nn.Sequential, taps: Sequence[int]) -> None:
        super().__init__()
        self.features, self.taps = layers, tuple(taps)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def as_it_is(self) -> None:
        """From now on images are brought to [-1, 1] and no further."""
        self.mean.fill_(0.5)
        self.std.fill_(0.5)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = (images - self.mean) / self.std
        found: dict[int, Tensor] = {}
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found[number] = x
        return [found[tap] for tap in self.taps]


def feature_net(name: str, layers: Sequence[str], weights_dir: Path | None) -> FeatureNet:
    """The network called `name` (FEATURE_NETS), cut to VGG19's `layers`: "conv3_3" (before the ReLU) or "relu3_3".

    SqueezeNet gives the layer at the depth of the named block; it has a ReLU everywhere. "random" is VGG19 with He
    initialisation under a fixed seed: no weights file, and features that mean little.
    Errors: ValueError for an unknown name or layer or a file of another network; FileNotFoundError as `require_file`.
    """
    taps = [_tap(name, layer) for layer in layers]
    if name in ("random", "random-vgg16"):
        return FeatureNet(_random(_vgg(_blocks(name), max(taps))), taps)
    path = require_file(name, weights_dir)
    assert path is not None
    net = _squeezenet(max(taps)) if name == "squeezenet" else _vgg(_blocks(name), max(taps))
    state = load_state_dict(path)
    for key, value in net.state_dict().items():
        stored = state.get(f"features.{key}")
        if stored is None or stored.shape != value.shape:
            raise ValueError(
                f"{path} is not torchvision's {FILE_PREFIX[name]}: features.{key} of shape {list(value.shape)} is "
                f"{'missing' if stored is None else list(stored.shape)}; get that file"
            )
        value.copy_(stored)
    return FeatureNet(net, taps)


def require_file(name: str, weights_dir: Path | None) -> Path | None:
    """The weights file of a feature network; None for "random", which has none.

    Errors: ValueError for an unknown name; FileNotFoundError that says what is missing and how to get it.
    """
    if name not in (*FEATURE_NETS, *OTHERS):
        raise ValueError(f"the feature network is {', '.join(FEATURE_NETS)}, got {name!r}")
    if name.startswith("random"):
        return None
    prefix = FILE_PREFIX[name]
    folder = Path(weights_dir) if weights_dir else weights_folder()
    for path in sorted(folder.rglob(f"{prefix}*")) if folder.is_dir() else []:
        if path.is_file() and path.suffix in SUFFIXES:
            return path
    raise FileNotFoundError(
        f"this recipe's losses need {prefix}*.pth in {folder}: torchvision's ImageNet weights of {prefix} "
        f"(torchvision.models.{prefix}(weights='DEFAULT') keeps them in torch's hub folder); copy that file there, or "
        "choose --feature-net squeezenet or random, which every row will say"
    )


def identity_of(name: str, weights_dir: Path | None) -> str:
    """What the configuration of a training says about a feature network: its name and its file's sha256."""
    path = require_file(name, weights_dir)
    return name if path is None else f"{name} {files.sha256_of(path)}"


def _tap(name: str, layer: str) -> int:
    names = _vgg_names(_blocks(name))
    if layer not in names:
        raise ValueError(f"a layer of VGG19 is called conv1_1 to conv5_4 or relu1_1 to relu5_4, got {layer!r}")
    return SQUEEZENET_TAPS[int(layer[4]) - 1] if name == "squeezenet" else names.index(layer)


def _blocks(name: str) -> tuple[tuple[int, int], ...]:
    return VGG16_BLOCKS if name.endswith("vgg16") else VGG19_BLOCKS


def _vgg_names(blocks: tuple[tuple[int, int], ...]) -> list[str]:
    """VGG's layers in the order of torchvision's `features`."""
    names = []
    for block, (count, _) in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            names += [f"conv{block}_{number}", f"relu{block}_{number}"]
        names.append(f"pool{block}")
    return names


def _vgg(blocks: tuple[tuple[int, int], ...], last: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for count, channels in blocks:
        for _ in range(count):
            # Not in place: the features before the activation are wanted as well.
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[: last + 1])


class Fire(nn.Module):
    """SqueezeNet's block: few channels, then many again by kernels of 1 and of 3. Source: Iandola et al., 2016."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, inputs, H, W] -> [B, 2 * expanded, H, W]."""
        x = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def _squeezenet(last: int) -> nn.Sequential:
    """SqueezeNet 1.1 in torchvision's order."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU()]
    for inputs, squeezed, expanded in SQUEEZENET_FIRES:
        if len(layers) in SQUEEZENET_POOLS:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
        layers.append(Fire(inputs, squeezed, expanded))
    return nn.Sequential(*layers[: last + 1])


def _random(net: nn.Sequential) -> nn.Sequential:
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Conv2d):
                spread = (2 / (layer.in_channels * 9)) ** 0.5
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * spread)
                assert layer.bias is not None
                layer.bias.zero_()
    return net
