"""Face restoration in whole pictures: find the faces, bring each into pose, restore it, put it back.

Source: the authors' pipeline around GFPGAN (Wang et al., CVPR 2021; github.com/TencentARC/GFPGAN, facexlib). Theirs
finds the pose by least median of squares and fades by a blurred mask; here it is least squares and an exact ramp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.face_geometry import TEMPLATE_PX, TEMPLATE_SIDE_PX, align, paste, similarity
from models.nets.retinaface import RETINAFACE_MOBILENET, Faces, detect
from models.spec import Method

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
        if self.detector is None:
            self.detector = open_detector(self.weights_folders, frame.device)
        restored = frame.clone()
        template = torch.tensor(TEMPLATE_PX) * (self.size / TEMPLATE_SIDE_PX)
        for landmarks in self.detector(frame).landmarks.cpu():
            if float(torch.dist(landmarks[0], landmarks[1])) < SMALLEST_EYE_DISTANCE_PX:
                continue
            matrix = similarity(landmarks, template)
            paste(restored, self.one_face(align(frame, matrix, self.size)), matrix)
            self.faces += 1
        return restored


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    return functional.interpolate(
        image[None], size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )[0]


def open_detector(folders: list[Path], device: torch.device) -> Callable[[Tensor], Faces]:
    """RetinaFace with its weights, from the default weights folder or one of the given ones.

    Errors: ValueError that names the missing file and says where to get it, or that it is another network's.
    """
    from models.weights import DEFAULT_WEIGHTS, find_weights, load_into

    for folder in (DEFAULT_WEIGHTS, *folders):
        path = find_weights(RETINAFACE_MOBILENET, folder) if folder.is_dir() else None
        if path is not None:
            module = RETINAFACE_MOBILENET.build()
            load_into(module, path, RETINAFACE_MOBILENET.name)
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
