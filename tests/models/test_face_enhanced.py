"""Faces of one network on the larger background of another, and the self-ensemble of four."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from models.faces import FaceEnhanced, FaceRestorer, enlarged_frame, paste, similarity
from models.nets.retinaface import Faces
from models.restorer import FOUR_POSES, SelfEnsemble, check_switches
from models.zoo import MODELS

POINTS = torch.tensor([[20.0, 24.0], [40.0, 24.0], [30.0, 36.0], [22.0, 46.0], [38.0, 46.0]])


class Nearest:
    """A background network that repeats every pixel scale x scale times."""

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            yield frame.repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2)


def found(frame: Tensor) -> Faces:
    return Faces(scores=torch.ones(1), boxes=torch.tensor([[10.0, 10.0, 50.0, 60.0]]), landmarks=POINTS[None])


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_face_lands_where_it_was_at_the_backgrounds_size(scale: int) -> None:
    """A white face on a black picture: its middle, in the large picture, is the middle of the landmarks."""
    restorer = FaceRestorer(torch.ones_like, size=64, detector=found)
    method = FaceEnhanced(Nearest(scale), restorer, scale)
    (image,) = method.restore(iter([torch.zeros(3, 80, 64)]))
    assert image.shape == (3, 80 * scale, 64 * scale) and method.faces == 1
    weights = image[0]
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in weights.shape)
    middle = (float((weights.sum(dim=1) @ rows) / weights.sum()), float((weights.sum(dim=0) @ columns) / weights.sum()))
    alone = torch.zeros(3, 80, 64)
    template = torch.tensor([[24.12, 29.99], [39.86, 30.02], [32.08, 39.25], [25.16, 46.43], [39.14, 46.40]])
    paste(alone, torch.ones(3, 64, 64), similarity(POINTS, template))
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in alone[0].shape)
    small = (
        float((alone[0].sum(dim=1) @ rows) / alone[0].sum()),
        float((alone[0].sum(dim=0) @ columns) / alone[0].sum()),
    )
    for large, one in zip(middle, small, strict=True):
        assert (large + 0.5) / scale - 0.5 == pytest.approx(one, abs=0.1)


def test_the_similarity_of_the_larger_frame() -> None:
    matrix = similarity(POINTS, POINTS * 3 + 7)
    large = enlarged_frame(matrix, 4)
    point = torch.tensor([12.0, 30.0, 1.0]).double()
    same = torch.cat([(point[:2] + 0.5) * 4 - 0.5, torch.ones(1).double()])
    assert torch.allclose(matrix @ point, large @ same)


def test_without_a_face_the_background_is_left_alone() -> None:
    none = Faces(scores=torch.zeros(0), boxes=torch.zeros(0, 4), landmarks=torch.zeros(0, 5, 2))
    method = FaceEnhanced(Nearest(2), FaceRestorer(torch.ones_like, size=64, detector=lambda frame: none), 2)
    frame = torch.rand(3, 8, 8)
    (image,) = method.restore(iter([frame]))
    assert torch.equal(image, next(Nearest(2).restore(iter([frame])))) and method.faces == 0


def test_four_poses_keep_height_and_width() -> None:
    """A method that adds a ramp along the columns: over the four poses the ramp and its mirror image take turns."""
    seen: list[tuple[int, ...]] = []

    class Ramp:
        def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
            for frame in frames:
                seen.append(tuple(frame.shape))
                yield frame + torch.linspace(0, 1, frame.shape[2])

    (image,) = SelfEnsemble(Ramp(), FOUR_POSES).restore(iter([torch.zeros(3, 4, 6)]))
    assert seen == [(3, 4, 6)] * 4 and torch.allclose(image, torch.full((3, 4, 6), 0.5))


def test_the_switch_is_known_where_the_one_of_eight_is() -> None:
    check_switches(MODELS["highres-atrous"], ["self-ensemble-4"], torch.device("cpu"))
    with pytest.raises(ValueError, match="gfpgan has no switch self-ensemble-4"):
        check_switches(MODELS["gfpgan"], ["self-ensemble-4"], torch.device("cpu"))
