"""Between frames and networks: what a network's spec says about sizes, ranges and channels, done once for all of them.

A network takes images of its own range, channel order and sides; a `Method` takes frames of any size, RGB in [0, 1].
`Fitted` is one frame on its way in and out. Around it: `Still` for networks that look at one image, `windows` for those
that restore the middle of some frames, `pieces` for those that carry features through a clip in both directions, and
`recurrent` for those that carry them forwards. How a network is run in training follows from the same facts
(`outputs_of`), unless its spec has a `TrainingForm` with outputs of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.clips import OverlappingPieces, SlidingWindow
from models.nets.layers import pad_to_multiple, reduced, restored_with_statistics
from models.spec import Method, ModelSpec, Outputs

LEAST_FRAMES = 5  # of a clip in training: what the networks with key frames need
Description = TypeVar("Description")
State = TypeVar("State")


def to_range(images: Tensor, spec: ModelSpec) -> Tensor:
    """From [0, 1] to the network's range."""
    low, high = spec.value_range
    return images if (low, high) == (0, 1) else images * (high - low) + low


def from_range(images: Tensor, spec: ModelSpec) -> Tensor:
    """From the network's range to [0, 1], not clamped."""
    low, high = spec.value_range
    return images if (low, high) == (0, 1) else (images - low) / (high - low)


class Fitted:
    """Frames of one size as a network takes them, in `image`, and the way back.

    Shape: frames [B, 3, H, W] -> image [B, 3, H', W']. Range: [0, 1] -> the spec's. pad: False where the caller knows
    that the size suits.
    """

    def __init__(self, frames: Tensor, spec: ModelSpec, *, pad: bool = True) -> None:
        self.spec = spec
        height, width = frames.shape[-2:]
        image, top, left = to_range(frames.flip(1) if spec.bgr else frames, spec), 0, 0
        if pad and callable(spec.padding):
            image, top, left = spec.padding(image, spec.multiple_of, spec.smallest_px)
        elif pad:
            image = pad_to_multiple(image, spec.multiple_of, cast(str, spec.padding), spec.smallest_px)
        self.image = image
        self.rows, self.columns = (
            slice(spec.scale * start, spec.scale * (start + side)) for start, side in ((top, height), (left, width))
        )

    def restored(self, output: Tensor) -> Tensor:
        """Shape: what the network gives for one frame, [1, 3, s H', s W'] -> [3, s H, s W]. Range: [0, 1], clamped."""
        image = output[0, :, self.rows, self.columns]
        return from_range(image.flip(0) if self.spec.bgr else image, self.spec).clamp(0, 1)


class Still:
    """A Method for networks that look at one image.

    run(module, image) gives the restored image where the module itself takes or gives something else: a pyramid, the
    images of several stages. Shape: [1, 3, H', W'] -> [1, 3, s H', s W'], in the network's range.
    """

    def __init__(
        self, spec: ModelSpec, module: nn.Module, run: Callable[[nn.Module, Tensor], Tensor] | None = None
    ) -> None:
        self.spec, self.module, self.run = spec, module, run

    def image(self, image: Tensor) -> Tensor:
        return self.module(image) if self.run is None else self.run(self.module, image)

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            fitted = Fitted(frame[None], self.spec)
            yield fitted.restored(self.image(fitted.image))


class StillWithStatistics(Still):
    """Instance norms take the statistics of the image, batch norms the stored ones.

    train_mode: batch norms take those of the image, too, and dropout is active.
    """

    train_mode = False

    def image(self, image: Tensor) -> Tensor:
        return restored_with_statistics(self.module, image, train_mode=self.train_mode)


class StillInTiles(Still):
    """A network whose authors test it on tiles. tiles(module, image) does so.

    authors_tiles: images are cut, and those with a tile's side or more are not padded.
    """

    authors_tiles = False

    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        run: Callable[[nn.Module, Tensor], Tensor],
        tiles: Callable[[nn.Module, Tensor], Tensor],
        side_px: int,
    ) -> None:
        super().__init__(spec, module, run)
        self.tiles, self.side_px = tiles, side_px

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            whole = not self.authors_tiles or min(frame.shape[1:]) < self.side_px
            fitted = Fitted(frame[None], self.spec, pad=whole)
            image = self.tiles(self.module, fitted.image) if self.authors_tiles else self.image(fitted.image)
            yield fitted.restored(image)


def last(module: nn.Module, image: Tensor) -> Tensor:
    """For `Still`: the last of the images that the network gives."""
    return module(image)[-1]


def first(module: nn.Module, image: Tensor) -> Tensor:
    """For `Still`: the first of the images that the network gives."""
    return module(image)[0]


def windows(
    spec: ModelSpec,
    module: nn.Module,
    *,
    describe: Callable[[nn.Module, Tensor], Description],
    restored: Callable[[nn.Module, Tensor, Sequence[Description]], Tensor],
    reach: int = 2,
    ends: str = "repeat",
) -> Method:
    """A Method for networks that restore the middle of 2 * reach + 1 frames; each frame is described once.

    describe(module, image [1, 3, H', W']) is what they need of a frame; restored(module, image, descriptions) is the
    middle frame out of its image and the descriptions of all, [1, 3, s H', s W']. ends: as `clips.window_indices`.
    """

    def prepare(frame: Tensor) -> tuple[Fitted, Description]:
        fitted = Fitted(frame[None], spec)
        return fitted, describe(module, fitted.image)

    def restore_centre(window: list[tuple[Fitted, Description]]) -> Tensor:
        fitted, _ = window[reach]
        return fitted.restored(restored(module, fitted.image, [description for _, description in window]))

    return SlidingWindow(prepare, restore_centre, reach=reach, ends=ends)


class Carrying(Protocol):
    """A network that gives the restored frames of a clip [1, T, 3, H', W'] from `first` on, one after the other."""

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]: ...


def pieces(spec: ModelSpec, module: nn.Module, *, shortest: int, overlap: int) -> Method:
    """A Method for networks that carry features through a whole clip (`Carrying`): pieces of `spec.frames` frames.

    shortest, overlap: as `clips.OverlappingPieces`, in frames.
    """

    def run(clip: Tensor, first: int) -> Iterator[Tensor]:
        fitted = Fitted(clip[0], spec)
        for output in cast(Carrying, module).restored(fitted.image[None], first):
            yield fitted.restored(output)

    return OverlappingPieces(run, length=spec.frames, overlap=overlap, shortest=shortest)


def recurrent(
    spec: ModelSpec,
    module: nn.Module,
    *,
    step: Callable[[nn.Module, Tensor, State | None], tuple[Tensor, State]],
) -> Method:
    """A Method for networks that carry a state from frame to frame.

    step(module, image [1, 3, H', W'], state) gives the restored image and the next state; the state is None at the
    first frame, and where the size of the frames changes.
    """
    return _Recurrent(spec, module, step)


class _Recurrent:
    def __init__(
        self,
        spec: ModelSpec,
        module: nn.Module,
        step: Callable[[nn.Module, Tensor, State | None], tuple[Tensor, State]],
    ) -> None:
        self.spec, self.module, self.step = spec, module, step

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        state, size = None, None
        for frame in frames:
            fitted = Fitted(frame[None], self.spec)
            if fitted.image.shape != size:
                state, size = None, fitted.image.shape
            output, state = self.step(self.module, fitted.image, state)
            yield fitted.restored(output)


def outputs_of(spec: ModelSpec) -> Outputs:
    """How a network is run in training: as its `TrainingForm` says, else as its facts do (`by_shape`)."""
    return spec.training.outputs or by_shape(spec)


def by_shape(spec: ModelSpec) -> Outputs:
    """What a network takes in training follows from its facts, what it gives from its shape.

    A network for clips gets the clip, five frames at least (a shorter one is lengthened by its ends); one that has a
    number of `frames` gets the middle ones. A network of two parts `stage1` and `stage2` is run up to the first while
    the second is frozen. An enlarging network gets area means of the blurred images. Of a list of outputs each is
    compared with the sharp image reduced bilinearly to its size.
    """

    def outputs(module: nn.Module, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
        running = _unfrozen(module)
        if spec.frames > 1:
            given, before = _lengthened(blur, LEAST_FRAMES)
            given, cut = _middle(given, getattr(running, "frames", None))
            before -= cut
        else:
            given, before = blur[:, :1], 0
        if spec.scale > 1 and given.shape[-1] == sharp.shape[-1]:  # otherwise it is small already
            given = functional.avg_pool3d(given, (1, spec.scale, spec.scale))
        given = to_range(given.flip(2) if spec.bgr else given, spec)
        results = running(given if spec.frames > 1 else given[:, 0])
        found: list[tuple[Tensor, Tensor]] = []
        for result in results if isinstance(results, list | tuple) else [results]:
            restored = from_range(result.flip(-3) if spec.bgr else result, spec)
            if restored.ndim == 5:  # a frame for each frame
                found += [(restored[:, before + number], sharp[:, number]) for number in range(sharp.shape[1])]
            else:
                found.append((restored, reduced(sharp[:, sharp.shape[1] // 2], restored.shape[-1])))
        return sorted(found, key=lambda pair: pair[0].shape[-1])

    return outputs


def _unfrozen(module: nn.Module) -> nn.Module:
    """The first of two stages while the second one is not trained; else the network itself."""
    first, second = getattr(module, "stage1", None), getattr(module, "stage2", None)
    if isinstance(first, nn.Module) and isinstance(second, nn.Module):
        frozen = not any(parameter.requires_grad for parameter in second.parameters())
        return first if frozen else module
    return module


def _lengthened(clip: Tensor, frames: int) -> tuple[Tensor, int]:
    """A clip [B, T, 3, H, W] of at least this many frames, its ends repeated; how many were put before it."""
    missing = max(0, frames - clip.shape[1])
    before, after = missing // 2, missing - missing // 2
    return torch.cat([clip[:, :1]] * before + [clip] + [clip[:, -1:]] * after, dim=1), before


def _middle(clip: Tensor, frames: object) -> tuple[Tensor, int]:
    """The middle frames of a clip, and how many were left out before them; all of it where no number is given."""
    if not isinstance(frames, int) or frames >= clip.shape[1]:
        return clip, 0
    cut = clip.shape[1] // 2 - frames // 2
    return clip[:, cut : cut + frames], cut
