"""From a name and a weights file to something that restores frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from models.baselines import BASELINES
from models.faces import FaceRestorer
from models.spec import RESTORER_TASKS, Method, ModelSpec
from models.weights import load_into
from models.zoo import MODELS

RESTORERS = tuple(name for name, spec in MODELS.items() if spec.task in RESTORER_TASKS and not name.endswith("-test"))


def choose_device(device: str) -> torch.device:
    """ "auto" takes the GPU where there is one. Errors: ValueError for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"the device is auto, cpu, cuda or cuda:N, got {device!r}") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch sees no GPU here; use --device cpu")
    return chosen


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 convolutions in float32: a GPU's shorter TF32 would cost more than the 1/255 by which it may differ."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


class Restorer:
    """A network with weights as a Method. Frames may be on any device; results come back on the CPU.

    Weights are laid out channels-last, which takes 30 to 40 % less CPU time and changes results by 3e-7 at
    most; not where norms use the image's statistics: those are summed ten times less exactly in that layout.
    """

    def __init__(self, spec: ModelSpec, module: nn.Module, device: torch.device) -> None:
        self.spec = spec
        self.device = device
        self.module = module.to(device).eval()
        if not any(isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) for layer in self.module.modules()):
            for weight in self.module.parameters():
                if weight.ndim == 4:  # StyleGAN2's have five dimensions, for which the layout does not exist
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if spec.adapt is None:
            raise ValueError(f"{spec.name} is a part of other networks ({spec.task}), it restores nothing")
        self.adapted = spec.adapt(self.module)
        self._method: Method = self.adapted

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] each, as many out as in. Range: float32 RGB [0, 1], clamped.

        Errors: ValueError for a frame that is not float [3, H, W]; FloatingPointError if the network's output is not
        finite; MemoryError for an image that is too large.
        """
        restored = self._method.restore(self._checked(frame).to(self.device) for frame in frames)
        while True:
            # Not around the yield: the caller must not run inside it.
            with torch.no_grad(), full_precision(self.device):
                frame = self._next(restored)
            if frame is None:
                return
            if not bool(torch.isfinite(frame).all()):
                raise FloatingPointError(f"{self.spec.name} gave NaN or infinity for this image")
            yield frame.cpu()

    def _next(self, restored: Iterator[Tensor]) -> Tensor | None:
        try:
            return next(restored, None)
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise MemoryError(f"{self.spec.name} needs more memory for an image of this size than there is") from None

    def _checked(self, frame: Tensor) -> Tensor:
        if frame.ndim != 3 or frame.shape[0] != 3 or not frame.is_floating_point():
            raise ValueError(f"a frame is a float tensor of shape [3, H, W], got {frame.dtype} {list(frame.shape)}")
        return frame


def open_method(name: str, weights: Path | None, device: str | torch.device = "auto") -> Method:
    """A baseline, or a network with its weights loaded strictly.

    Errors: ValueError for an unknown name, a network without weights, a checkpoint of another network or with NaN.
    """
    if name in BASELINES:
        return BASELINES[name].method()
    if name not in MODELS:
        raise ValueError(f"no method is called {name!r}; there are {', '.join([*BASELINES, *RESTORERS])}")
    if weights is None:
        raise ValueError(f"{name} needs weights: give a file, or train it with models/train.py --model {name}")
    spec = MODELS[name]
    module = spec.build()
    load_into(module, weights, name)
    restorer = Restorer(spec, module, choose_device(device) if isinstance(device, str) else device)
    if isinstance(restorer.adapted, FaceRestorer):
        restorer.adapted.weights_folders.append(Path(weights).parent)  # the face detector's may lie beside
    return restorer
