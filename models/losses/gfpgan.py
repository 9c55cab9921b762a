"""The losses of GFPGAN's training that others do not have.

Source: Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021,
arXiv:2101.04061, section 3.4; what the paper leaves open as in the authors' program (github.com/TencentARC/GFPGAN).
Weights of the terms there: pyramid 1 (dropped after 50,000 steps), pixel 0.1, perceptual 1 with gram style 50, GAN 0.1,
component GAN 1 with component style 200, identity 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.losses.pixel import l1

# BT.601 luma as the authors round it.
GREY = (0.2989, 0.5870, 0.1140)
IDENTITY_SIDE_PX = 128
EYE_SIDE_PX, MOUTH_SIDE_PX = 80, 120  # of the crops that the component discriminators see, at 512 px faces
COMPONENT_STYLE_WEIGHTS = (0.5, 1.0)  # of the features at half and at quarter resolution


def pyramid_l1(levels: Tensor | Sequence[Tensor], sharp: Tensor) -> Tensor:
    """Sum of the L1 distances between the U-Net's images and the sharp face, reduced to the size of each.

    Shape: levels [B, 3, S/2^k, S/2^k], the smallest first and the last of full size (a tensor: that one alone); sharp
    [B, 3, S, S] -> scalar.
    Every level of the target is the bilinear half of the one above. Source: section 3.2 (degradation removal).
    Errors: ValueError if there is no level, or one is not half as large as the next.
    """
    levels = [levels] if isinstance(levels, Tensor) else levels
    if not levels:
        raise ValueError("the pyramid loss needs the U-Net's images, got none; run the network with return_rgb")
    total = sharp.new_zeros(())
    target = sharp
    for number, level in enumerate(reversed(levels)):
        if number:
            target = functional.interpolate(target, scale_factor=0.5, mode="bilinear", align_corners=False)
        if level.shape != target.shape:
            raise ValueError(
                f"a level of the pyramid has the shape {list(target.shape)} here, got {list(level.shape)}: the last "
                "one is of the sharp image's size, each other one half as large as the next"
            )
        total = total + l1(level, target)
    return total


def gram_matrix(features: Tensor) -> Tensor:
    """How strongly channels appear together. Shape: [B, C, H, W] -> [B, C, C].

    The mean over all C H W numbers' products: the sum over places divided by C H W.
    """
    batch, channels, height, width = features.shape
    flat = features.reshape(batch, channels, height * width)  # [B, C, H * W]
    return flat @ flat.transpose(1, 2) / (channels * height * width)


def gram_style(
    restored: Tensor | Sequence[Tensor], sharp: Tensor | Sequence[Tensor], weights: Sequence[float] | None = None
) -> Tensor:
    """Weighted sum over feature maps of the L1 distance between their Gram matrices.

    Shape: features [B, C, H, W] of the restored and of the sharp image, one map or several -> scalar. Heights and
    widths of the two sides may differ. weights: one per map (default: 1 each; COMPONENT_STYLE_WEIGHTS for the
    features of a facial component's discriminator). The sharp side carries no gradient.
    Source: Gatys et al., CVPR 2016; section 3.4 (facial component loss).
    Errors: ValueError for another number of maps or weights.
    """
    ours = [restored] if isinstance(restored, Tensor) else list(restored)
    theirs = [sharp] if isinstance(sharp, Tensor) else list(sharp)
    chosen = [1.0] * len(ours) if weights is None else list(weights)
    if not len(ours) == len(theirs) == len(chosen) or not ours:
        raise ValueError(
            f"as many feature maps of both images and weights are needed, got {len(ours)}, {len(theirs)} and "
            f"{len(chosen)}"
        )
    terms = [
        weight * l1(gram_matrix(one), gram_matrix(two.detach()))
        for weight, one, two in zip(chosen, ours, theirs, strict=True)
    ]
    return torch.stack(terms).sum()


def grey_faces(faces: Tensor) -> Tensor:
    """What the identity network looks at: grey, 128 x 128 px. Shape: [B, 3, H, W] -> [B, 1, 128, 128]."""
    grey = (faces * faces.new_tensor(GREY).view(3, 1, 1)).sum(dim=1, keepdim=True)
    return functional.interpolate(grey, (IDENTITY_SIDE_PX, IDENTITY_SIDE_PX), mode="bilinear", align_corners=False)


def identity(restored: Tensor, sharp: Tensor, network: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """L1 distance between the features by which ArcFace tells people apart.

    network: takes [B, 1, 128, 128] in [-1, 1], in evaluation mode (`arcface-resnet18`); the faces are then [B, 3, H, W]
    in [-1, 1]. Without it the tensors given are compared as they are: they may be features already. The sharp side
    carries no gradient. Source: section 3.4 (identity preserving loss).
    """
    if network is None:
        return l1(restored, sharp.detach())
    with torch.no_grad():
        target = network(grey_faces(sharp))
    return l1(network(grey_faces(restored)), target)


def component_crops(faces: Tensor, boxes: Tensor, side: int) -> Tensor:
    """An eye or the mouth of every face, cut out by RoI align.

    Shape: faces [B, C, H, W], boxes [B, 4] (left, top, right, bottom) -> [B, C, side, side]. Units: px, the centre of
    the first pixel at 0. Each of the side x side cells of a box is the mean of bilinear samples, as many as the cell
    is pixels wide and high, rounded up; differentiable in the faces.
    Source: He et al., Mask R-CNN, ICCV 2017 (the form without the half pixel shift, as the authors use it).
    Errors: ValueError unless there is one box per face.
    """
    if boxes.shape != (len(faces), 4):
        raise ValueError(f"one box of four numbers per face is needed: {len(faces)} faces, boxes {list(boxes.shape)}")
    last = faces.new_tensor([faces.shape[3] - 1, faces.shape[2] - 1])
    crops = []
    for face, box in zip(faces, boxes.tolist(), strict=True):
        left, top, right, bottom = box
        places, counts = [], []
        for start, length in ((left, max(right - left, 1.0)), (top, max(bottom - top, 1.0))):
            count = math.ceil(length / side)
            steps = (torch.arange(side * count, device=faces.device, dtype=faces.dtype) + 0.5) / (side * count)
            places.append(start + length * steps)
            counts.append(count)
        y, x = torch.meshgrid(places[1], places[0], indexing="ij")
        grid = torch.stack([x, y], dim=-1) / last * 2 - 1  # [side * rows, side * columns, 2]
        samples = functional.grid_sample(
            face[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
        )
        crops.append(functional.avg_pool2d(samples, (counts[1], counts[0])))
    return torch.cat(crops)  # [B, C, side, side]
