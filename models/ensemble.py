"""Self-ensemble: the mean over the eight flips and quarter turns of an image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import tee

import torch
from torch import Tensor

from models.spec import Method

# (mirrored left to right first?, quarter turns after it)
POSES = tuple((mirrored, turns) for mirrored in (False, True) for turns in range(4))


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

    The mean is that of the clamped results, without rounding between. A network that reads a clip to its end before it
    answers then holds it eight times.
    Source: Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016, section 3.6.
    """

    def __init__(self, method: Method) -> None:
        self.method = method

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        copies = tee(frames, len(POSES))
        streams = [self.method.restore(_posed(copy, *pose)) for copy, pose in zip(copies, POSES, strict=True)]
        while True:
            total: Tensor | None = None
            for stream, pose in zip(streams, POSES, strict=True):
                restored = next(stream, None)
                if restored is None:
                    return
                restored = unposed(restored, *pose).float()
                total = restored.clone() if total is None else total.add_(restored)
            if total is not None:
                yield total.div_(len(POSES))


def _posed(frames: Iterator[Tensor], mirrored: bool, turns: int) -> Iterator[Tensor]:
    for frame in frames:
        yield posed(frame, mirrored, turns)
