"""The angle between two faces' ArcFace features: how far a restored face is from the person it should be.

The network belongs to models/; who scores hands it over (`use`), so that metrics import nothing of ours.
Source: Wang et al., GFPGAN, CVPR 2021, section 4.2 ("Deg."); Deng et al., ArcFace, CVPR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmark.metrics.images import checked_pair
from benchmark.protocols import Metric

if TYPE_CHECKING:
    from torch import Tensor

Features = Callable[["Tensor"], "Tensor"]  # a face [3, H, W] in [0, 1] -> a vector
LACK = "identity needs ArcFace's network, which benchmark/run.py and score.py hand over"
_features: Features | None = None
_lack = LACK


def use(features: Features | None, lack: str = LACK) -> None:
    """Take this network from now on; None and a sentence where there is none."""
    global _features, _lack
    _features, _lack = features, lack


def missing() -> str | None:
    return None if _features is not None else _lack


def _angle(restored: Tensor, sharp: Tensor | None) -> float:
    assert sharp is not None
    if _features is None:
        raise ValueError(_lack)
    one, two = (_features(image.expand(3, -1, -1)).flatten().double() for image in (restored, sharp))
    one, two = (vector / vector.norm().clamp_min(1e-12) for vector in (one, two))
    return math.degrees(2 * math.atan2(float((one - two).norm()), float((one + two).norm())))


IDENTITY = Metric(
    name="identity",
    title="Identity angle",
    unit="deg",
    higher_is_better=False,
    needs_reference=True,
    source="Deng et al., ArcFace, CVPR 2019; as in Wang et al., GFPGAN, CVPR 2021 (Deg.)",
    fn=checked_pair(_angle),
    unchecked=_angle,
    missing=missing,
)
