"""RetinaFace with a MobileNetV1 of a quarter of the width: where faces are, and five landmarks of each.

Source: Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020; Howard et al.,
"MobileNets", 2017 (backbone); Najibi et al., "SSH: Single Stage Headless Face Detector", ICCV 2017 (context modules).
Layer names, anchors and plain ReLU follow the public weights (github.com/biubug6/Face-Detector-1MB-with-landmark): on
a face, the boxes and landmarks of neighbouring anchors agree within 1.5 px with them, with LeakyReLU they do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spec import ModelSpec, Weights

STRIDES = (8, 16, 32)
ANCHOR_SIDES_PX = ((10.0, 20.0), (32.0, 64.0), (128.0, 256.0))
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
MEANS_BGR = (104.0, 117.0, 123.0)  # subtracted from [0, 255]
LARGEST_COUNT = 1000  # candidates that take part in the suppression


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Detected faces, the surest first.

    Shape: scores [N], boxes [N, 4] (left, top, right, bottom), landmarks [N, 5, 2] (x, y of the eye at the left, the
    eye at the right, the nose, the corners of the mouth at the left and the right, as seen in the image).
    Units: px, the centre of the first pixel at 0. Range: scores [0, 1].
    """

    scores: Tensor
    boxes: Tensor
    landmarks: Tensor


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, relu: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, then 1x1 convolution, each with norm and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class QuarterMobileNet(nn.Module):
    """MobileNetV1 x 0.25 up to stride 32; its three stages end at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv(3, 8, 3, stride=2),
            _separable(8, 16),
            _separable(16, 32, 2),
            _separable(32, 32),
            _separable(32, 64, 2),
            _separable(64, 64),
        )
        self.stage2 = nn.Sequential(_separable(64, 128, 2), *[_separable(128, 128) for _ in range(5)])
        self.stage3 = nn.Sequential(_separable(128, 256, 2), _separable(256, 256))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        eighth = self.stage1(x)
        sixteenth = self.stage2(eighth)
        return eighth, sixteenth, self.stage3(sixteenth)


class FeaturePyramid(nn.Module):
    """Coarse features are brought up and added to the finer ones (Lin et al., CVPR 2017)."""

    def __init__(self, inputs: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.output1 = _conv(inputs[0], channels, 1)
        self.output2 = _conv(inputs[1], channels, 1)
        self.output3 = _conv(inputs[2], channels, 1)
        self.merge1 = _conv(channels, channels, 3)
        self.merge2 = _conv(channels, channels, 3)

    def forward(self, eighth: Tensor, sixteenth: Tensor, deepest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse = self.output3(deepest)
        middle = self.output2(sixteenth)
        middle = self.merge2(middle + functional.interpolate(coarse, size=middle.shape[-2:]))
        fine = self.output1(eighth)
        return self.merge1(fine + functional.interpolate(middle, size=fine.shape[-2:])), middle, coarse


class ContextModule(nn.Module):
    """SSH: looks at 3x3, 5x5 and 7x7 neighbourhoods through stacked 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.conv3X3 = _conv(channels, channels // 2, 3, relu=False)
        self.conv5X5_1 = _conv(channels, quarter, 3)
        self.conv5X5_2 = _conv(quarter, quarter, 3, relu=False)
        self.conv7X7_2 = _conv(quarter, quarter, 3)
        self.conv7x7_3 = _conv(quarter, quarter, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        return functional.relu_(
            torch.cat([self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))], dim=1)
        )


class Head(nn.Module):
    """`values` numbers for each of the two anchors of every place."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, 2 * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.values)  # [B, H * W * 2, values]


class RetinaFace(nn.Module):
    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.body = QuarterMobileNet()
        self.fpn = FeaturePyramid((64, 128, 256), channels)
        self.ssh1 = ContextModule(channels)
        self.ssh2 = ContextModule(channels)
        self.ssh3 = ContextModule(channels)
        self.ClassHead = nn.ModuleList([Head(channels, 2) for _ in STRIDES])
        self.BboxHead = nn.ModuleList([Head(channels, 4) for _ in STRIDES])
        self.LandmarkHead = nn.ModuleList([Head(channels, 10) for _ in STRIDES])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shape: [B, 3, H, W] -> box offsets [B, A, 4], class logits [B, A, 2] (background, face), landmark offsets
        [B, A, 10] for the A anchors of `anchors(H, W)`.

        Range: BGR, [0, 255] less MEANS_BGR.
        """
        fine, middle, coarse = self.fpn(*self.body(images))
        levels = (self.ssh1(fine), self.ssh2(middle), self.ssh3(coarse))
        boxes = torch.cat([head(x) for head, x in zip(self.BboxHead, levels, strict=True)], dim=1)
        logits = torch.cat([head(x) for head, x in zip(self.ClassHead, levels, strict=True)], dim=1)
        landmarks = torch.cat([head(x) for head, x in zip(self.LandmarkHead, levels, strict=True)], dim=1)
        return boxes, logits, landmarks


def anchors(height: int, width: int) -> Tensor:
    """The squares that the network's offsets count from. Shape: [A, 3] (centre x, centre y, side). Units: px.

    Order: by stride, row, column, side. An anchor's centre is the middle of its stride x stride cell.
    """
    parts = []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES_PX, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = torch.meshgrid(
            (torch.arange(rows) + 0.5) * stride,
            (torch.arange(columns) + 0.5) * stride,
            torch.tensor(sides),
            indexing="ij",
        )
        parts.append(torch.stack([x, y, side], dim=-1).view(-1, 3))  # [rows * columns * 2, 3]
    return torch.cat(parts)


def decode_boxes(offsets: Tensor, squares: Tensor) -> Tensor:
    """Offsets [A, 4] from anchors [A, 3] to boxes [A, 4] (left, top, right, bottom), px. Source: SSD, ECCV 2016."""
    centre, side = squares[:, :2], squares[:, 2:]
    centre = centre + offsets[:, :2] * CENTRE_VARIANCE * side
    half = side * torch.exp(offsets[:, 2:] * SIZE_VARIANCE) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def decode_landmarks(offsets: Tensor, squares: Tensor) -> Tensor:
    """Offsets [A, 10] from anchors [A, 3] to points [A, 5, 2], px."""
    return squares[:, None, :2] + offsets.view(-1, 5, 2) * CENTRE_VARIANCE * squares[:, None, 2:]


def suppress(boxes: Tensor, scores: Tensor, largest_overlap: float) -> Tensor:
    """Greedy non-maximum suppression: indices of the boxes that no surer kept one overlaps by more than the limit.

    Shape: boxes [N, 4], scores [N] -> [K], the surest first. The overlap is the intersection over the union.
    """
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = boxes[order]
    low = torch.maximum(sorted_boxes[:, None, :2], sorted_boxes[None, :, :2])
    high = torch.minimum(sorted_boxes[:, None, 2:], sorted_boxes[None, :, 2:])
    shared = (high - low).clamp_(min=0).prod(dim=2)  # [N, N]
    area = (sorted_boxes[:, 2:] - sorted_boxes[:, :2]).clamp(min=0).prod(dim=1)
    union = area[:, None] + area[None, :] - shared
    overlapping = (shared > largest_overlap * union).cpu()
    alive = torch.ones(len(order), dtype=torch.bool)
    kept = []
    for index in range(len(order)):
        if alive[index]:
            kept.append(index)
            alive &= ~overlapping[index]
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def detect(module: nn.Module, frame: Tensor, smallest_score: float, largest_overlap: float = 0.4) -> Faces:
    """The faces in one frame. Shape: [3, H, W]. Range: RGB [0, 1]. module: a RetinaFace in evaluation mode."""
    _, height, width = frame.shape
    means = frame.new_tensor(MEANS_BGR).view(3, 1, 1)
    image = frame.flip(0) * 255 - means
    boxes, logits, landmarks = (output[0] for output in module(image[None]))
    scores = logits.softmax(dim=1)[:, 1]
    sure = (scores >= smallest_score).nonzero()[:, 0]
    if len(sure) > LARGEST_COUNT:
        sure = sure[scores[sure].topk(LARGEST_COUNT).indices]
    squares = anchors(height, width).to(frame)[sure]
    boxes, scores = decode_boxes(boxes[sure], squares), scores[sure]
    kept = suppress(boxes, scores, largest_overlap)
    return Faces(
        scores=scores[kept],
        boxes=boxes[kept],
        landmarks=decode_landmarks(landmarks[sure[kept]], squares[kept]),
    )


def _build() -> nn.Module:
    return RetinaFace()


RETINAFACE_MOBILENET = ModelSpec(
    name="retinaface-mobilenet",
    task="features",
    build=_build,
    adapter=None,
    frames=1,
    multiple_of=1,
    value_range=(0.0, 255.0),
    weights=(
        Weights(
            file="retinaface_mobilenet0.25.pth",
            sha256="ed6fa7d45a5179f03cb5ce82c73b0c6711372968e53782e88395acee88d319e1",
            source="github.com/biubug6/Face-Detector-1MB-with-landmark (weights/mobilenet0.25_Final.pth)",
            licence="MIT",
        ),
    ),
    recipe="",
    source="Deng et al., CVPR 2020, arXiv:1905.00641; github.com/biubug6/Face-Detector-1MB-with-landmark",
    published="",
    switches=(),
)
