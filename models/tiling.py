"""Large images in overlapping tiles that are blended where they overlap.

A tile's edge is a border that the whole image does not have there, so tiles overlap by OVERLAP_PX, and a tile counts
nothing at its edge and more and more further inside; what remains of the difference can be measured (`Compared`). Tiles
start at multiples of the network's `multiple_of`, so that its subsampling falls on the same pixels. Networks that look
at the image as a whole (norms with the image's own statistics, attention over all of it) differ most.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from itertools import chain, tee
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core.memory import free_bytes
from models.spec import Method, ModelSpec

OVERLAP_PX = 48
MARGIN_PX = (
    16  # of a tile's inner edges, where it counts nothing: tenfold smaller differences than a ramp from the edge
)
SMALLEST_PX = 128
PROBE_PX = 128
UNTILED_PX = 256 * 256  # images of this size are restored as a whole without a look at the memory
SHARE_OF_FREE = 0.5
SCRATCH = 1.5  # convolutions take memory beside the tensors that a network makes

Side = Callable[[int, int], int | None]  # (height, width) -> side of the tiles, None for no tiles


def check_tile(tile: int | str, spec: ModelSpec) -> None:
    """Errors: ValueError for a tile that is not "auto", "none" or large enough, or that does not suit the network."""
    if tile == "none":
        return
    smallest = max(SMALLEST_PX, OVERLAP_PX + 2 * spec.multiple_of)
    if tile != "auto" and not (isinstance(tile, int) and tile >= smallest):
        raise ValueError(f"a tile is auto, none or a number of pixels from {smallest} up, got {tile!r}")
    if spec.task == "face":
        raise ValueError(f"{spec.name} looks at whole faces, it cannot work in tiles; leave --tile away")
    if tile == "auto" and spec.frames > 1:
        raise ValueError(
            f"{spec.name} keeps its state over a clip, so that the memory of a tile cannot be told from one frame; "
            "name a size, such as --tile 512, or none"
        )


def parse_tile(text: str) -> int | str:
    """The value of a --tile option: "auto", "none" or pixels. Errors: ValueError."""
    if text in ("auto", "none"):
        return text
    if not text.isdecimal():
        raise ValueError(f"--tile is auto, none or a number of pixels, got {text!r}")
    return int(text)


def spans(length: int, side: int, multiple: int) -> list[tuple[int, int]]:
    """Where the tiles lie along an axis, evenly spread: (start, end), at most `side` long, starts at multiples.

    The last one ends with the image; neighbours overlap by OVERLAP_PX or more.
    """
    if length <= side:
        return [(0, length)]
    side = side // multiple * multiple
    last = -(-(length - side) // multiple)  # of the last start, in multiples
    count = math.ceil(last / ((side - OVERLAP_PX) // multiple))
    starts = [index * last // count * multiple for index in range(count + 1)]
    return [(start, min(start + side, length)) for start in starts]


def blending(places: list[tuple[int, int]], length: int, scale: int) -> list[Tensor]:
    """What each tile counts along an axis: down to nothing at its inner edges, together one everywhere.

    Shape: [scale * (end - start)] for each span.
    """
    ramps = []
    for start, end in places:
        position = torch.arange(start * scale, end * scale) + 0.5
        ramp = torch.full_like(position, OVERLAP_PX * scale)
        if start > 0:
            ramp = torch.minimum(ramp, position - (start + MARGIN_PX) * scale)
        if end < length:
            ramp = torch.minimum(ramp, (end - MARGIN_PX) * scale - position)
        ramps.append(ramp.clamp_(min=0))
    total = torch.zeros(length * scale)
    for (start, end), ramp in zip(places, ramps, strict=True):
        total[start * scale : end * scale] += ramp
    return [ramp / total[scale * start : scale * end] for (start, end), ramp in zip(places, ramps, strict=True)]


class Tiled:
    """A network's method on tiles. side(height, width) says how large they are, None for the image as a whole.

    A video network runs over the clip in every tile at once, frame by frame, and each tile keeps a state of its own:
    together as much state as without tiles, but the memory of one step is that of one tile.
    """

    def __init__(self, method: Method, spec: ModelSpec, side: Side) -> None:
        self.method = method
        self.spec = spec
        self.side = side
        self.used_px: int | None = None  # side of the tiles of the last image that was cut

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, scale H, scale W]; on the CPU where tiles were blended."""
        if self.spec.frames == 1:
            for frame in frames:
                yield from self._clip(frame, iter([frame]))
            return
        first = next(frames, None)
        if first is not None:
            yield from self._clip(first, chain([first], frames))

    def _clip(self, first: Tensor, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        height, width = first.shape[-2:]
        side = self.side(height, width)
        if side is None or max(height, width) <= side:
            yield from self.method.restore(frames)
            return
        self.used_px, scale = side, self.spec.scale
        rows, columns = (spans(length, side, self.spec.multiple_of) for length in (height, width))
        places = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
        row_weights, column_weights = blending(rows, height, scale), blending(columns, width, scale)
        streams = [
            self.method.restore(_cut(copy, rows[row], columns[column], (height, width)))
            for copy, (row, column) in zip(tee(frames, len(places)), places, strict=True)
        ]
        while True:
            image = torch.zeros(3, height * scale, width * scale)
            for stream, (row, column) in zip(streams, places, strict=True):
                tile = next(stream, None)
                if tile is None:
                    return
                top, bottom, left, right = (scale * edge for edge in (*rows[row], *columns[column]))
                weight = row_weights[row][:, None] * column_weights[column]
                image[:, top:bottom, left:right] += tile.cpu().float() * weight
            yield image.clamp_(0, 1)


def _cut(
    frames: Iterator[Tensor], rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int]
) -> Iterator[Tensor]:
    for frame in frames:
        if tuple(frame.shape[-2:]) != size:
            raise ValueError(f"the frames of a clip have one size, got {size} and {tuple(frame.shape[-2:])}")
        yield frame[:, slice(*rows), slice(*columns)].contiguous()


class AutoSide:
    """The largest tile that fits in half of the memory that is free; no tiles where the whole image fits.

    The memory of a pixel is measured once, on a small image, as the tensors alive at one time.
    """

    def __init__(self, method: Method, spec: ModelSpec, device: torch.device) -> None:
        self.method = method
        self.spec = spec
        self.device = device
        self._bytes_per_px: float | None = None

    def __call__(self, height: int, width: int) -> int | None:
        if height * width <= UNTILED_PX:
            return None
        affordable_px = SHARE_OF_FREE * free_bytes(self.device) / self.bytes_per_px()
        if height * width <= affordable_px:
            return None
        multiple = self.spec.multiple_of
        side = int(math.sqrt(affordable_px)) // multiple * multiple
        return max(side, math.ceil(SMALLEST_PX / multiple) * multiple)

    def bytes_per_px(self) -> float:
        """Memory of a restoration for every pixel of the image."""
        if self._bytes_per_px is None:
            probe = torch.rand(3, PROBE_PX, PROBE_PX, generator=torch.Generator().manual_seed(0)).to(self.device)
            peak = peak_tensor_bytes(lambda: list(self.method.restore(iter([probe]))))
            self._bytes_per_px = SCRATCH * peak / PROBE_PX**2
        return self._bytes_per_px


class Compared:
    """Gives the images made of tiles and keeps how far they are from those made as a whole."""

    def __init__(self, tiled: Method, whole: Method) -> None:
        self.tiled = tiled
        self.whole = whole
        self.images = 0
        self.largest = self.mean = self.squared = 0.0  # mean, squared: sums over images of the image's mean

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        one, other = tee(frames)
        for tiles, whole in zip(self.tiled.restore(one), self.whole.restore(other), strict=True):
            difference = (tiles - whole).abs()
            self.images += 1
            self.largest = max(self.largest, float(difference.max()))
            self.mean += float(difference.mean())
            self.squared += float(difference.square().mean())
            yield tiles

    def sentence(self) -> str:
        """Units: 8-bit levels; PSNR of the tiled against the whole image in dB."""
        if self.largest == 0:
            return f"tiled and whole image are the same ({self.images} images)"
        psnr = -10 * math.log10(self.squared / self.images)
        return (
            f"tiled against whole image: largest difference {255 * self.largest:.2f} levels of 255, mean "
            f"{255 * self.mean / self.images:.4f}, PSNR {psnr:.1f} dB ({self.images} images)"
        )


class _LiveTensors(TorchDispatchMode):
    """Adds up the memory of tensors made while it is active, for as long as they live. Scratch memory is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return outputs

    def _count(self, storage: torch.UntypedStorage) -> None:
        place, size = id(storage), storage.nbytes()
        if place in self._known:
            return
        self._known.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, place, size)

    def _forget(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def peak_tensor_bytes(work: Callable[[], object]) -> int:
    """The most memory that tensors made by `work` take at one time, on any device. The same on every run."""
    tensors = _LiveTensors()
    with tensors:
        work()
    return tensors.peak
