"""From a name and a weights file to something that restores frames.

Self-ensemble: the mean over the eight flips and quarter turns of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import tee
from pathlib import Path

import torch
from torch import Tensor, nn

from core import devices
from core.command_line import unknown
from core.memory import free_bytes, keep_freed_memory
from models.baselines import BASELINES
from models.faces import FaceRestorer
from models.fused import fused
from models.network_weights import load_into
from models.spec import RESTORER_TASKS, SWITCHES, Method, ModelSpec
from models.tiling import AutoSide, Tiled, check_tile
from models.zoo import MODELS

# (mirrored left to right first?, quarter turns after it)
POSES = tuple((mirrored, turns) for mirrored in (False, True) for turns in range(4))
FOUR_POSES = tuple((mirrored, turns) for mirrored in (False, True) for turns in (0, 2))


def posed(image: Tensor, mirrored: bool, turns: int) -> Tensor:
    """An image in another pose. Shape: [3, H, W] -> [3, H, W], or [3, W, H] after an odd number of turns."""
    image = image.flip(-1) if mirrored else image
    return torch.rot90(image, turns, (-2, -1)).contiguous()


def unposed(image: Tensor, mirrored: bool, turns: int) -> Tensor:
    """Undoes `posed`."""
    image = torch.rot90(image, -turns, (-2, -1))
    return image.flip(-1) if mirrored else image


class SelfEnsemble:
    """Restores every clip in the eight poses, side by side, each with a state of its own, and takes the mean.

    poses: those of the eight that take part; FOUR_POSES keep height and width (the description of the high-resolution
    network names four versions by rotating and flipping).
    The mean is that of the clamped results, without rounding between. A network that reads a clip to its end before it
    answers then holds it eight times.
    Source: Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016, section 3.6.
    """

    def __init__(self, method: Method, poses: Sequence[tuple[bool, int]] = POSES) -> None:
        self.method, self.poses = method, tuple(poses)

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        copies = tee(frames, len(self.poses))
        streams = [self.method.restore(_posed(copy, *pose)) for copy, pose in zip(copies, self.poses, strict=True)]
        while True:
            total: Tensor | None = None
            for stream, pose in zip(streams, self.poses, strict=True):
                restored = next(stream, None)
                if restored is None:
                    return
                restored = unposed(restored, *pose).float()
                total = restored.clone() if total is None else total.add_(restored)
            if total is not None:
                yield total.div_(len(self.poses))


def _posed(frames: Iterator[Tensor], mirrored: bool, turns: int) -> Iterator[Tensor]:
    for frame in frames:
        yield posed(frame, mirrored, turns)


KEPT_SHARE = 0.25  # of the free memory: freed features that the next layers use again
LOCAL_WINDOW_PX = 384  # 1.5 times the training crop of 256 (Chu et al., TLC, ECCV 2022, arXiv:2112.04491)
ADAPTER_SWITCHES = {"train-mode": "train_mode", "authors-tiles": "authors_tiles"}  # switch -> flag of the adapter
RESTORERS = tuple(
    name
    for name, spec in MODELS.items()
    if spec.task in RESTORER_TASKS and not name.endswith("-test") and not spec.study
)


choose_device = devices.choose


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """float32 convolutions in float32: a GPU's shorter TF32 would cost more than the 1/255 by which it may differ."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def truncated(image: Tensor) -> Tensor:
    """Values cut off to 8-bit levels, as a cast to unsigned integers does, in place of rounding. Range: [0, 1]."""
    return (image * 255).floor_().div_(255)


def check_switches(spec: ModelSpec, switches: Sequence[str], device: torch.device) -> None:
    """Errors: ValueError for a switch that does not exist, that this network does not list, or that needs a GPU."""
    for switch in switches:
        if switch not in SWITCHES:
            raise ValueError(unknown("no switch is called", switch, SWITCHES))
        if not spec.knows(switch):
            listed = f"it knows {', '.join(spec.switches)}" if spec.switches else "it knows none"
            raise ValueError(f"{spec.name} has no switch {switch}; {listed}")
        if switch == "half" and device.type != "cuda":
            raise ValueError(f"half precision is for a GPU and the device is {device}; leave the switch half away")


class Restorer:
    """A network with weights as a Method.

    Weights are laid out channels-last; on a CPU the network runs as the copy that models/fused.py makes, and what its
    features took is kept for the next ones (core/memory.py).

    Parameters
    ----------
    spec : ModelSpec
        The network's facts, an entry of `models.zoo.MODELS`.
    module : torch.nn.Module
        What `spec.build()` gave, with its weights loaded.
    device : torch.device
        Where the network runs.
    switches : sequence of str
        Authors' habits that change numbers, of `models.spec.SWITCHES`; all are off unless they are named.
    tile : int or str
        "none"; "auto" (still networks: tiles where the image would not fit in half of the free memory); or the side of
        square tiles in px. See models/tiling.py.
    fuse : bool
        False: the network itself, layer by layer.

    Raises
    ------
    ValueError
        For a part of other networks, and for a switch or a tile that does not suit the network or the device.

    Examples
    --------
    >>> import torch
    >>> from models.zoo import MODELS
    >>> spec = MODELS["mimo-unet-test"]
    >>> restorer = Restorer(spec, spec.build(), torch.device("cpu"))
    >>> (restored,) = restorer.restore(iter([torch.rand(3, 30, 45)]))
    >>> tuple(restored.shape)
    (3, 30, 45)
    """

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        device: torch.device,
        switches: Sequence[str] = (),
        tile: int | str = "none",
        *,
        fuse: bool = True,
    ) -> None:
        if spec.adapter is None:
            raise ValueError(f"{spec.name} is a part of other networks ({spec.task}), it restores nothing")
        check_switches(spec, switches, device)
        check_tile(tile, spec)
        self.spec = spec
        self.device = device
        self.switches = tuple(switches)
        module = module.to(device).eval()
        if "local-converter" in switches and spec.localise is not None:
            spec.localise(module, LOCAL_WINDOW_PX, LOCAL_WINDOW_PX)
        # Norms with an image's statistics are ten times less exact channels-last, but for those of the fused copy.
        fuse = fuse and device.type == "cpu" and "train-mode" not in switches
        if fuse or not any(isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) for layer in module.modules()):
            for weight in module.parameters():
                if weight.ndim == 4:  # StyleGAN2's have five dimensions, for which the layout does not exist
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if device.type == "cpu":
            keep_freed_memory(largest_block=free_bytes(device), kept=int(KEPT_SHARE * free_bytes(device)))
        self.module = fused(module) if fuse else module  # with a copy's weights alone where the caller lets go of it
        self.adapted = spec.adapt(self.module)
        for switch, attribute in ADAPTER_SWITCHES.items():
            if switch in switches:
                if not hasattr(self.adapted, attribute):
                    raise ValueError(f"{spec.name} lists {switch} but cannot do it; this is an error in its file")
                setattr(self.adapted, attribute, True)
        self._method: Method = self.adapted
        self.tiled: Tiled | None = None
        if tile != "none":
            fixed = tile if isinstance(tile, int) else 0
            side = AutoSide(self._method, spec, device) if tile == "auto" else lambda height, width: fixed
            self._method = self.tiled = Tiled(self._method, spec, side)
        for switch, poses in (("self-ensemble", POSES), ("self-ensemble-4", FOUR_POSES)):
            if switch in switches:
                self._method = SelfEnsemble(self._method, poses)

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Restore a clip; a still is a clip of one.

        Parameters
        ----------
        frames : iterator of torch.Tensor
            [3, H, W] each, float, RGB, sRGB-encoded, in [0, 1]; on any device.

        Yields
        ------
        torch.Tensor
            [3, H, W], or [3, s H, s W] for a network that enlarges s times; float32 RGB in [0, 1], on the CPU. As many
            as frames came, in their order.

        Raises
        ------
        ValueError
            For a frame of another type or shape.
        FloatingPointError
            If the network's output is not finite.
        MemoryError
            For an image that is too large.
        """
        restored = self._method.restore(self._checked(frame).to(self.device) for frame in frames)
        half = "half" in self.switches
        while True:
            # Not around the yield: the caller must not run inside it.
            with (
                torch.inference_mode(),
                full_precision(self.device),
                # Convolutions and matrix products in float16; sums, norms and resampling stay in float32.
                torch.autocast(self.device.type, dtype=torch.float16, enabled=half),
            ):
                frame = self._next(restored)
            if frame is None:
                return
            if not bool(torch.isfinite(frame).all()):
                hint = "; half precision may be too short for it" if half else ""
                raise FloatingPointError(f"{self.spec.name} gave NaN or infinity for this image{hint}")
            frame = frame.cpu().float().clone()  # an inference tensor could be changed by nobody
            yield truncated(frame) if "truncate" in self.switches else frame

    def _next(self, restored: Iterator[Tensor]) -> Tensor | None:
        try:
            return next(restored, None)
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise MemoryError(
                f"{self.spec.name} needs more memory for an image of this size than there is; try tiles"
            ) from None

    def _checked(self, frame: Tensor) -> Tensor:
        if frame.ndim != 3 or frame.shape[0] != 3 or not frame.is_floating_point():
            raise ValueError(f"a frame is a float tensor of shape [3, H, W], got {frame.dtype} {list(frame.shape)}")
        return frame


def open_method(
    name: str,
    weights: Path | None,
    device: str | torch.device = "auto",
    switches: Sequence[str] = (),
    tile: int | str = "none",
) -> Method:
    """A baseline, or a network with its weights loaded strictly.

    Parameters
    ----------
    name : str
        Of `models.baselines.BASELINES` or `models.zoo.MODELS`.
    weights : pathlib.Path or None
        The network's weights file; None for a baseline.
    device : str or torch.device
        "auto" takes the GPU where there is one.
    switches, tile
        As `Restorer` takes them.

    Returns
    -------
    Method
        With `restore(frames)`, as `Restorer.restore`.

    Raises
    ------
    ValueError
        For an unknown name, a network without weights, a checkpoint of another network or with NaN, a switch or a tile
        that does not suit.

    Examples
    --------
    >>> import torch
    >>> frame = torch.rand(3, 20, 30)
    >>> (restored,) = open_method("identity", None).restore(iter([frame]))
    >>> torch.equal(restored, frame)
    True
    """
    if name in BASELINES:
        if switches or tile not in ("none", "auto"):
            raise ValueError(f"{name} is not a network: it takes no switches and no tiles")
        return BASELINES[name].method()
    if name not in MODELS:
        raise ValueError(unknown("no method is called", name, [*BASELINES, *RESTORERS]))
    if weights is None:
        raise ValueError(f"{name} needs weights: give a file, or train it with models/train.py --model {name}")
    spec, chosen = MODELS[name], choose_device(device) if isinstance(device, str) else device
    check_switches(spec, switches, chosen)  # before the weights are read
    check_tile(tile, spec)
    module = spec.build()
    load_into(module, weights, spec)
    restorer = Restorer(spec, module, chosen, switches, tile)
    if isinstance(restorer.adapted, FaceRestorer):
        restorer.adapted.weights_folders.append(Path(weights).parent)  # the face detector's may lie beside
    return restorer
