"""The interpolators: a new one is a file beside this one and a line here.

What they offer stands in synth/interp/base.py: `between(first, second, phases, response)` gives virtual frames between
two captured ones (uint8 [H, W, 3] -> float32 [len(phases), H, W, 3], encoded, in [0, 1]), and `gap_sum` their sum in
linear light.

Examples
--------
>>> import numpy as np
>>> from core.camera_response import response
>>> black, white = np.zeros((8, 8, 3), dtype=np.uint8), np.full((8, 8, 3), 255, dtype=np.uint8)
>>> (middle,) = INTERPOLATORS["crossfade"]().between(black, white, [0.5], response("srgb"))
>>> print(f"{middle.mean():.3f}")  # half of the light, encoded
0.735
>>> total = INTERPOLATORS["crossfade"]().gap_sum(black, white, 4, response("srgb"))
>>> print(f"{total.mean():.3f}")  # 1/4 + 2/4 + 3/4
1.500
"""

from collections.abc import Callable
from functools import partial

from synth.interp.base import Interpolator
from synth.interp.crossfade import CrossFade
from synth.interp.flow import TIERS, Flow
from synth.interp.rife import Rife, RifeRecursive
from synth.interp.spynet import Spynet

INTERPOLATORS: dict[str, Callable[[], Interpolator]] = {
    "crossfade": CrossFade,
    "flow": Flow,
    "flow-fast": partial(Flow, TIERS["fast"]),
    "flow-balanced": Flow,
    "flow-best": partial(Flow, TIERS["best"]),
    "rife": Rife,
    "rife-recursive": RifeRecursive,
    "spynet": Spynet,
}
