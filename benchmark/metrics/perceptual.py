"""LPIPS: distance of deep features; the published linear layers (package `lpips`) on a backbone the user provides."""

from __future__ import annotations

import functools
import importlib.util
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.metrics.images import checked_pair
from benchmark.protocols import Metric
from core.torchvision_shim import ensure_torchvision
from core.weights_files import find_file, missing_sentence, open_weights, weights_folder

if TYPE_CHECKING:
    from torch import Tensor, nn

# torchvision's file of each backbone, and what other names are taken for it: `fetch` gets its convolutions alone
FILES = {
    "alex": ("alexnet-owt-7be5be79.pth", "alexnet-features.safetensors"),
    "vgg": ("vgg16-397923af.pth", "vgg16-features.safetensors"),
    "squeeze": ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1*.pth"),
}
MIN_SIDE_PX = {"alex": 31, "vgg": 16, "squeeze": 17}  # below it a pooling layer has nothing left
_WHERE = "torchvision's; run python models/weights.py fetch lpips-{net}"
_building = threading.Lock()  # two threads must not build the same network at once


def missing(net: str) -> str | None:
    """What LPIPS with this backbone lacks here, or None."""
    for package in ("lpips", "torchvision"):
        if importlib.util.find_spec(package) is None:
            return f"lpips-{net} needs the package {package}"
    if find_file(*FILES[net]) is None:
        return missing_sentence(f"lpips-{net}", FILES[net][0], _WHERE.format(net=net))
    return None


def lpips_distance(restored: Tensor, sharp: Tensor | None, net: str) -> float:
    """LPIPS v0.1 of two images in [0, 1] (scaled to [-1, 1] inside); one channel is taken as grey RGB.

    Runs on the device of `restored`, on the CPU always with one thread, so that the value depends on no setting.
    Errors: ValueError naming the missing or unsuitable weights file, or for images too small for the backbone.
    """
    import torch

    assert sharp is not None
    if min(restored.shape[1:]) < MIN_SIDE_PX[net]:
        size = f"{restored.shape[2]} x {restored.shape[1]}"
        raise ValueError(f"lpips-{net} needs images of at least {MIN_SIDE_PX[net]} px a side, got {size}")
    with _building:
        network = _network(net, weights_folder(), str(restored.device))
    pair = [image.detach().to(restored.device).float().expand(3, -1, -1)[None] for image in (restored, sharp)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return float(network(*pair, normalize=True))
    finally:
        torch.set_num_threads(threads)


@functools.lru_cache(maxsize=4)
def _network(net: str, folder: Path, device: str) -> nn.Module:
    """The network with the backbone found in `folder`; kept for the next image."""
    import torch

    sentence = missing(net)
    path = find_file(*FILES[net])
    if sentence is not None or path is None:
        raise ValueError(sentence)
    ensure_torchvision()
    import lpips

    # Building a backbone draws random weights first: the caller's random state must not notice.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's notes about `pretrained`
        network = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    _load_backbone(network.net, path)
    return network.eval().to(device)


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    """Fill lpips' slices `slice2.4.bias` from torchvision's `features.4.bias`. Errors: ValueError naming the file."""
    try:
        opened = open_weights(path)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable weights file ({error})") from None
    stored = next((tensors for names, tensors in opened.sets if not names), {})
    wanted = backbone.state_dict()
    needed = {}
    for key, value in wanted.items():
        name = "features." + key.split(".", 1)[1]
        if name not in stored or stored[name].shape != tuple(value.shape):
            raise ValueError(f"{path}: weights of another network; {name} of shape {list(value.shape)} is not in it")
        needed[key] = stored[name]
    try:
        found = opened.load(needed, compared=True)
    except ValueError as error:
        raise ValueError(f"{path}: its values are not finite or no numbers ({error})") from None
    backbone.load_state_dict(found, strict=True)


def _metric(net: str, title: str) -> Metric:
    measure = functools.partial(lpips_distance, net=net)
    return Metric(
        name=f"lpips-{net}",
        title=title,
        unit="",
        higher_is_better=False,
        needs_reference=True,
        source="Zhang et al., CVPR 2018, version 0.1, package lpips; lower is better",
        fn=checked_pair(measure),
        unchecked=measure,
        missing=functools.partial(missing, net),
        smallest_px=MIN_SIDE_PX[net],
    )


LPIPS_ALEX = _metric("alex", "LPIPS (AlexNet)")
LPIPS_VGG = _metric("vgg", "LPIPS (VGG-16)")
LPIPS_SQUEEZE = _metric("squeeze", "LPIPS (SqueezeNet)")
