"""Running networks that need several frames over clips of any length, in bounded memory.

Authors' habits. EDVR restores the middle of five frames; at a clip's ends its deblurring models repeat the first or
last frame ("replicate"), its x4 models take the frames just beyond the window from its other side ("new_info").
BasicVSR and its relatives see the whole clip: the authors' scripts hand over pieces (100 frames by default for
BasicVSR++, the length of a REDS clip) and forget everything between two of them. Here pieces overlap, so that no
output is made near a cut. Where a clip is shorter than a network can take, it is continued by its own reflection, a
still by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

import torch
from torch import Tensor

Kept = TypeVar("Kept")


def window_indices(centre: int, count: int, reach: int, ends: str) -> list[int]:
    """The frames of a window of 2 * reach + 1 around frame `centre` of a clip of `count`.

    ends: "repeat" (the first or the last frame again) or "other-side" (the nearest frames beyond the other end of the
    window; a clip too short for these repeats). Errors: ValueError for another name.
    """
    if ends not in ("repeat", "other-side"):
        raise ValueError(f'ends are "repeat" or "other-side", got {ends!r}')
    indices = []
    for index in range(centre - reach, centre + reach + 1):
        wanted = index
        if ends == "other-side" and count > 2 * reach:
            if index < 0:
                wanted = centre + reach - index
            elif index >= count:
                wanted = centre - reach - (index - (count - 1))
        indices.append(min(max(wanted, 0), count - 1))
    return indices


def continued_indices(count: int, shortest: int) -> list[int]:
    """A clip of `count` frames, continued by its reflection up to `shortest`: 0 1 2 1 0 1 ..."""
    period = max(1, 2 * (count - 1))
    folded = (index % period for index in range(max(count, shortest)))
    return [min(index, period - index) if count > 1 else 0 for index in folded]


class SlidingWindow(Generic[Kept]):
    """A Method for networks that restore the middle of a window; what belongs to one frame is computed once.

    prepare(frame [3, H, W]) is what the network keeps of a frame; restore_centre(that of the window's frames) is the
    restored frame [3, h, w], clamped.
    """

    def __init__(
        self,
        prepare: Callable[[Tensor], Kept],
        restore_centre: Callable[[list[Kept]], Tensor],
        *,
        reach: int,
        ends: str,
    ) -> None:
        self.prepare = prepare
        self.restore_centre = restore_centre
        self.reach = reach
        self.ends = ends

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Errors: ValueError if the frames are not all of one size."""
        frames = _of_one_size(frames)
        kept: dict[int, Kept] = {}
        centre = read = 0
        ended = False
        while True:
            # The first window also needs what lies beyond it where the ends come from the other side.
            while not ended and read <= max(centre, self.reach if self.ends == "other-side" else 0) + self.reach:
                frame = next(frames, None)
                if frame is None:
                    ended = True
                else:
                    kept[read] = self.prepare(frame)
                    read += 1
            if centre >= read:
                return
            window = window_indices(centre, read, self.reach, self.ends)
            yield self.restore_centre([kept[index] for index in window])
            centre += 1
            behind = self.reach if self.ends == "repeat" else 2 * self.reach
            for index in [index for index in kept if index < centre - behind]:
                del kept[index]


class OverlappingPieces:
    """A Method for networks that restore a whole clip at once: pieces of `length` frames, of which the `overlap`
    outputs nearest to a cut are not used. A clip of up to `length` frames is one piece.

    run(clip [1, T, 3, H, W], first) gives the restored frames [3, h, w] number `first` to T - 1 of the piece, one after
    the other; what nobody asks for need not be computed. T is from `shortest` to `length`.
    """

    def __init__(
        self, run: Callable[[Tensor, int], Iterator[Tensor]], *, length: int, overlap: int, shortest: int
    ) -> None:
        if length <= 2 * overlap or length < shortest:
            raise ValueError(f"pieces of {length} frames are too short: overlap {overlap}, shortest {shortest}")
        self.run = run
        self.length = length
        self.overlap = overlap
        self.shortest = shortest

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Errors: ValueError if the frames are not all of one size."""
        frames = _of_one_size(frames)
        piece = list(islice(frames, self.length))
        due = len(piece)  # frames at the end of the piece whose outputs are not given out yet
        ended = due < self.length
        while due:
            outputs = self._restored(piece, len(piece) - due)
            if not ended:
                yield from islice(outputs, due - self.overlap)
                added = list(islice(frames, self.length - 2 * self.overlap))
            if ended or not added:  # nothing follows: the piece is good to its end
                yield from outputs
                return
            del outputs  # the state of a whole pass
            ended = len(added) < self.length - 2 * self.overlap
            piece = (piece + added)[-self.length :]
            due = self.overlap + len(added)

    def _restored(self, piece: list[Tensor], first: int) -> Iterator[Tensor]:
        order = continued_indices(len(piece), self.shortest)
        clip = torch.stack([piece[index] for index in order])[None]
        if len(piece) == 1:  # a still is repeated; the middle output has seen frames on both sides
            return islice(self.run(clip, len(order) // 2), 1)
        return islice(self.run(clip, first), len(piece) - first)


def _of_one_size(frames: Iterator[Tensor]) -> Iterator[Tensor]:
    size = None
    for frame in frames:
        if size is not None and frame.shape != size:
            raise ValueError(
                f"the frames of a clip are of one size, got {list(frame.shape)} after {list(size)}; restore them apart"
            )
        size = frame.shape
        yield frame
