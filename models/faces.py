"""Face restoration in whole pictures: find the faces, bring each into pose, restore it, put it back.

A face's five landmarks say how to bring it to the pose of FFHQ's 512 px faces. Coordinates are (x, y) in px, the centre
of the first pixel at 0.

Source: the authors' pipeline around GFPGAN (Wang et al., CVPR 2021; github.com/TencentARC/GFPGAN, facexlib). Theirs
finds the pose by least median of squares and fades by a blurred mask; here it is least squares and an exact ramp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import tee
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.weights_files import weights_folder
from models.nets.retinaface import RETINAFACE_MOBILENET, Faces, detect
from models.network_weights import find_weights, load_into
from models.spec import Method

# Eyes, nose and corners of the mouth in the aligned faces of FFHQ, 512 x 512 px, that GFPGAN was trained on
# (github.com/xinntao/facexlib; FFHQ: Karras et al., CVPR 2019).
TEMPLATE_PX = (
    (192.98138, 239.94708),
    (318.90277, 240.19360),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
TEMPLATE_SIDE_PX = 512
# What lies outside of the frame is shown to the network as the authors do: this grey (132, 133, 135 of 255).
OUTSIDE = (132 / 255, 133 / 255, 135 / 255)
FEATHER = 0.1  # of the side: the width over which a pasted face fades in from its border


def similarity(points: Tensor, targets: Tensor) -> Tensor:
    """The rotation, uniform scale and shift that bring points closest to targets (least squares, no reflection).

    Shape: [N, 2], [N, 2] -> [2, 3]. Errors: ValueError if all points are one.
    Source: Umeyama, PAMI 1991; in the plane a similarity is one complex factor and one complex shift.
    """
    start = torch.view_as_complex(points.detach().double().contiguous())
    end = torch.view_as_complex(targets.detach().double().contiguous())
    centred = start - start.mean()
    spread = float(centred.abs().square().sum())
    if spread == 0:
        raise ValueError("landmarks of a face are at least two different points, these are all one")
    factor = (centred.conj() * (end - end.mean())).sum() / spread
    shift = end.mean() - factor * start.mean()
    a, b = float(factor.real), float(factor.imag)
    return torch.tensor([[a, -b, float(shift.real)], [b, a, float(shift.imag)]], dtype=torch.float64)


def inverse(matrix: Tensor) -> Tensor:
    """The similarity that undoes another. Shape: [2, 3] -> [2, 3]."""
    turned = torch.linalg.inv(matrix[:, :2])
    return torch.cat([turned, -turned @ matrix[:, 2:]], dim=1)


def scale_of(matrix: Tensor) -> float:
    """How many times longer lengths become."""
    return math.hypot(float(matrix[0, 0]), float(matrix[1, 0]))


def sample(image: Tensor, matrix: Tensor, left: int, top: int, width: int, height: int) -> Tensor:
    """An image seen through a similarity: pixel (x, y) of the result shows image point matrix (x, y, 1).

    Where the result is smaller, every pixel is the mean of several points, so that nothing aliases. Outside of the
    image lies OUTSIDE.
    Shape: [3, H, W] -> [3, height, width], the part of the result that starts at (left, top). Range: [0, 1].
    """
    count = math.ceil(scale_of(matrix) - 1e-6)  # points per pixel and direction
    steps = (torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5
    x = (left + torch.arange(width, dtype=torch.float64)[:, None] + steps).view(-1)  # [width * count]
    y = (top + torch.arange(height, dtype=torch.float64)[:, None] + steps).view(-1)  # [height * count]
    sides = torch.tensor([image.shape[2], image.shape[1]], dtype=torch.float64)
    # Per axis and then summed: the grid in double precision would take a moment longer than the network's first layer.
    along_x = (matrix[:, :1] * x).T / sides * 2  # [width * count, 2]
    along_y = (matrix[:, 1:2] * y).T / sides * 2  # [height * count, 2]
    start = (2 * matrix[:, 2] + 1) / sides - 1
    grid = (along_x.to(image)[None] + (along_y + start).to(image)[:, None])[None]
    outside = image.new_tensor(OUTSIDE).view(3, 1, 1)
    seen = functional.grid_sample((image - outside)[None], grid, mode="bicubic", align_corners=False)
    if count > 1:
        seen = functional.avg_pool2d(seen, count)
    return (seen[0] + outside).clamp_(0, 1)


def align(frame: Tensor, matrix: Tensor, side: int) -> Tensor:
    """The face that `matrix` (frame to aligned face) brings into pose. Shape: [3, H, W] -> [3, side, side]."""
    return sample(frame, inverse(matrix), 0, 0, side, side)


def paste(frame: Tensor, face: Tensor, matrix: Tensor) -> None:
    """Put an aligned face back into the frame, in place; it fades in over FEATHER of its side.

    Shape: frame [3, H, W], face [3, side, side], matrix [2, 3] from the frame to the aligned face.
    """
    side = face.shape[-1]
    corners = torch.tensor([[-0.5, -0.5], [side - 0.5, -0.5], [-0.5, side - 0.5], [side - 0.5] * 2]).double()
    back = inverse(matrix)
    placed = corners @ back[:, :2].T + back[:, 2]
    left, top = (max(0, math.ceil(value)) for value in placed.amin(dim=0).tolist())
    right = min(frame.shape[2], math.floor(float(placed[:, 0].max())) + 1)
    bottom = min(frame.shape[1], math.floor(float(placed[:, 1].max())) + 1)
    if left >= right or top >= bottom:
        return
    seen = sample(face, matrix, left, top, right - left, bottom - top)
    mask = _mask(matrix, left, top, right - left, bottom - top, side).to(frame)
    region = frame[:, top:bottom, left:right]
    region += mask * (seen - region)


def _mask(matrix: Tensor, left: int, top: int, width: int, height: int, side: int) -> Tensor:
    """How much of the face a frame's pixel shows: 0 at the face's border and outside, 1 inside. Shape: [height, width].

    It depends on the distance from the face's border alone, and starts and ends without a kink (3 t^2 - 2 t^3).
    """
    x = left + torch.arange(width, dtype=torch.float64)
    y = top + torch.arange(height, dtype=torch.float64)
    place = matrix[:, :1, None] * x + matrix[:, 1:2, None] * y[:, None] + matrix[:, 2:, None]  # [2, height, width]
    depth = torch.minimum(place + 0.5, side - 0.5 - place).amin(dim=0)
    t = (depth / (FEATHER * side)).clamp_(0, 1)
    return t * t * (3 - 2 * t)


SMALLEST_SCORE = 0.97  # the authors'; blurred pictures without faces hold places that score 0.93
# The detector is asked about a picture of at most this size: it was trained on small ones, knows faces of up to about
# 300 px and finds false ones in the smooth parts of large ones.
LONGEST_SIDE_PX = 1280
SMALLEST_EYE_DISTANCE_PX = 5.0  # the authors': smaller faces have nothing to restore from


class FaceRestorer:
    """Restores the faces that it finds in a frame and returns the rest unchanged, bit for bit.

    one_face: an aligned face [3, size, size] in [0, 1] to the restored one. aligned: every frame is such a face
    itself (of any size), nothing is searched for. detector: finds faces; None loads the weights when they are needed
    first, from `weights_folders` or the default folder. faces: how many have been restored so far.
    """

    def __init__(
        self,
        one_face: Callable[[Tensor], Tensor],
        *,
        size: int = TEMPLATE_SIDE_PX,
        aligned: bool = False,
        detector: Callable[[Tensor], Faces] | None = None,
    ) -> None:
        self.one_face = one_face
        self.size = size
        self.aligned = aligned
        self.detector = detector
        self.weights_folders: list[Path] = []
        self.faces = 0

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, H, W]. Range: [0, 1]. Errors: ValueError if the detector's weights are missing."""
        for frame in frames:
            yield self._whole(frame) if self.aligned else self._in_frame(frame)

    def _whole(self, face: Tensor) -> Tensor:
        self.faces += 1
        height, width = face.shape[1:]
        if height == width == self.size:
            return self.one_face(face)
        return _resized(self.one_face(_resized(face, self.size, self.size)), height, width).clamp_(0, 1)

    def _in_frame(self, frame: Tensor) -> Tensor:
        restored = frame.clone()
        for matrix, face in self.found(frame):
            paste(restored, face, matrix)
        return restored

    def found(self, frame: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Every face of a frame, restored: the similarity that brought it into pose, and the face in pose.

        Shape: frame [3, H, W] -> [2, 3] and [3, size, size] each.
        """
        if self.detector is None:
            self.detector = open_detector(self.weights_folders, frame.device)
        template = torch.tensor(TEMPLATE_PX) * (self.size / TEMPLATE_SIDE_PX)
        for landmarks in self.detector(frame).landmarks.cpu():
            if float(torch.dist(landmarks[0], landmarks[1])) < SMALLEST_EYE_DISTANCE_PX:
                continue
            matrix = similarity(landmarks, template)
            self.faces += 1
            yield matrix, self.one_face(align(frame, matrix, self.size))


class FaceEnhanced:
    """Faces of one network on the background of another, which may enlarge: Real-ESRGAN with GFPGAN's faces.

    Faces are found and taken out of the input; where the background is scale times larger, they are put back as much
    larger. faces: how many have been restored so far. Source: the authors' inference programs (Real-ESRGAN,
    --face_enhance; GFPGAN, --bg_upsampler).
    """

    def __init__(self, background: Method, faces: FaceRestorer, scale: int) -> None:
        self.background, self.restorer, self.scale = background, faces, scale

    @property
    def faces(self) -> int:
        return self.restorer.faces

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Shape: [3, H, W] -> [3, s H, s W]. Range: [0, 1]. Errors: ValueError without the detector's weights."""
        given, shown = tee(frames)
        for frame, restored in zip(given, self.background.restore(shown), strict=True):
            with torch.inference_mode():
                image = restored.clone()
                for matrix, face in self.restorer.found(frame):
                    paste(image, face.to(image), enlarged_frame(matrix, self.scale))
                image.clamp_(0, 1)
            yield image.clone()  # an inference tensor could be changed by nobody


def enlarged_frame(matrix: Tensor, scale: int) -> Tensor:
    """A similarity from a frame, for the frame at `scale` times its size: pixels have their centres at whole numbers.

    Shape: [2, 3] -> [2, 3].
    """
    start = torch.full((2, 1), 0.5 / scale - 0.5, dtype=matrix.dtype)  # where the first large pixel lies in the frame
    return torch.cat([matrix[:, :2] / scale, matrix[:, :2] @ start + matrix[:, 2:]], dim=1)


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(
        image[None], size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )[0]


def open_detector(folders: list[Path], device: torch.device) -> Callable[[Tensor], Faces]:
    """RetinaFace with its weights, from the default weights folder or one of the given ones.

    Errors: ValueError that names the missing file and says where to get it, or that it is another network's.
    """

    for folder in (weights_folder(), *folders):
        path = find_weights(RETINAFACE_MOBILENET, folder) if folder.is_dir() else None
        if path is not None:
            module = RETINAFACE_MOBILENET.build()
            load_into(module, path, RETINAFACE_MOBILENET)
            return _Detector(module.to(device).eval())
    wanted = RETINAFACE_MOBILENET.weights[0]
    raise ValueError(
        f"the weights of the face detector are missing: put {wanted.file} (from {wanted.source}) into the folder "
        "weights/ or beside the restorer's own weights file; pictures that are aligned faces need none (--aligned)"
    )


class _Detector:
    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, frame: Tensor) -> Faces:
        height, width = frame.shape[1:]
        factor = max(height, width) / LONGEST_SIDE_PX
        if factor <= 1:
            return detect(self.module, frame, SMALLEST_SCORE)
        small = _resized(frame, max(1, round(height / factor)), max(1, round(width / factor)))
        found = detect(self.module, small, SMALLEST_SCORE)
        growth = found.boxes.new_tensor([width / small.shape[2], height / small.shape[1]])
        # Pixel centres: the first one of the small picture lies half a small pixel from the border.
        return Faces(
            scores=found.scores,
            boxes=(found.boxes + 0.5) * growth.repeat(2) - 0.5,
            landmarks=(found.landmarks + 0.5) * growth - 0.5,
        )


def skip_detection(method: Method) -> None:
    """From now on every frame is an aligned face. Errors: ValueError if the method does not restore faces."""
    adapted = getattr(method, "adapted", method)
    if not isinstance(adapted, FaceRestorer):
        raise ValueError("only a network that restores faces, such as gfpgan, takes pictures as aligned faces")
    adapted.aligned = True
