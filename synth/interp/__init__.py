"""The interpolators: a new one is a file beside this one and a line here."""

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
