"""Losses in the feature space of another network: perceptual and contrastive.

`features` turns images [B, 3, H, W] in [0, 1] into one tensor or a sequence of them (models/feature_nets.py). Where it
is left out, the tensors given are compared as they are: they may be features already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Maps = Tensor | Sequence[Tensor]
Features = Callable[[Tensor], Maps]

# Weights of five levels from shallow to deep (AECR-Net: VGG19's 1st, 3rd, 5th, 9th and 13th ReLU).
CONTRASTIVE_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def perceptual(
    restored: Tensor,
    sharp: Tensor,
    features: Features | None = None,
    weights: Sequence[float] = (1.0,),
    distance: str = "mse",
) -> Tensor:
    """Weighted sum over feature maps of their mean distance, "mse" or "l1".

    Shape: two tensors of one shape -> scalar. weights: one per map. The sharp side carries no gradient.
    Source: Johnson et al., ECCV 2016, arXiv:1603.08155, equation 2; with "mse" and VGG19's conv3_3 the content loss of
    DeblurGAN and DeblurGAN-v2, with "l1" before the activation that of ESRGAN (section 3.3).
    Errors: ValueError for another number of weights than of maps, or an unknown distance.
    """
    ours = _maps(restored, features)
    with torch.no_grad():
        theirs = _maps(sharp, features)
    _check(len(ours), len(weights))
    terms = [weight * _distance(one, two, distance) for weight, one, two in zip(weights, ours, theirs, strict=True)]
    return torch.stack(terms).sum()


def contrastive(
    restored: Tensor,
    sharp: Tensor,
    negatives: Tensor | Sequence[Tensor],
    features: Features | None = None,
    weights: Sequence[float] | None = None,
    epsilon: float = 1e-7,
) -> Tensor:
    """Near to the sharp image, far from the negatives: sum over levels of weight * |r - s| / mean over n of |r - n|.

    Anchor: the restored image; positive: the sharp one; negatives: one image or several, each of the same shape. |.| is
    the mean absolute difference. Shape: tensors [B, 3, H, W] -> scalar. weights: one per map; by default 1 for a
    single map, CONTRASTIVE_WEIGHTS for five. Source: Wu et al., AECR-Net, CVPR 2021, arXiv:2104.09367, equation 4; more
    than one negative: their mean distance (ours).
    Errors: ValueError for no negative, or another number of weights than of maps.
    """
    given = [negatives] if isinstance(negatives, Tensor) else list(negatives)
    if not given:
        raise ValueError("a contrastive loss needs at least one negative, got none")
    anchor = _maps(restored, features)
    if weights is None:
        weights = (1.0,) if len(anchor) == 1 else CONTRASTIVE_WEIGHTS
    _check(len(anchor), len(weights))
    with torch.no_grad():
        positive = _maps(sharp, features)
        away = [_maps(negative, features) for negative in given]
    terms = []
    for level, weight in enumerate(weights):
        near = _distance(anchor[level], positive[level], "l1")
        far = torch.stack([_distance(anchor[level], maps[level], "l1") for maps in away]).mean()
        terms.append(weight * near / (far + epsilon))
    return torch.stack(terms).sum()


def _maps(images: Tensor, features: Features | None) -> list[Tensor]:
    found = images if features is None else features(images)
    return [found] if isinstance(found, Tensor) else list(found)


def _distance(one: Tensor, two: Tensor, distance: str) -> Tensor:
    if distance == "mse":
        return (one - two).square().mean()
    if distance == "l1":
        return (one - two).abs().mean()
    raise ValueError(f"the distance of features is mse or l1, got {distance!r}")


def _check(maps: int, weights: int) -> None:
    if maps != weights:
        raise ValueError(f"one weight per feature map is needed: {maps} maps, {weights} weights")
