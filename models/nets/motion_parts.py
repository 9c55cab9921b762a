"""Flow and interpolation networks in the zoo; their code belongs to the synthesis (synth/interp/nets)."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from models.spec import ModelSpec, Weights
from synth.interp.nets.rife_v4 import MULTIPLE as V4_MULTIPLE
from synth.interp.nets.rife_v4 import IFNetV4
from synth.interp.nets.rife_v36 import MULTIPLE as V36_MULTIPLE
from synth.interp.nets.rife_v36 import IFNetV36
from synth.interp.nets.spynet import SpyNet


def _part(
    name: str,
    task: str,
    build: Callable[[], nn.Module],
    multiple_of: int,
    weights: tuple[Weights, ...],
    source: str,
    parity: str,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        task=task,
        build=build,
        adapter=None,
        frames=2,
        multiple_of=multiple_of,
        value_range=(0.0, 1.0),
        weights=weights,
        recipe="",
        source=source,
        published="",
        parity=(parity,),
        switches=(),
    )


SPYNET = _part(
    "spynet",
    "flow",
    SpyNet,
    1,
    (Weights(file="spynet_sintel_final-3d2a1287.pth", source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md"),),
    "Ranjan and Black, CVPR 2017, arXiv:1611.00850; github.com/XPixelGroup/BasicSR",
    "spynet",
)
RIFE_V36 = _part(
    "rife-v3.6",
    "interpolation",
    IFNetV36,
    V36_MULTIPLE,
    (
        Weights(
            file="flownet.pkl",
            sha256="fe854fc8996547c953f732aaa3b78cae76cc0a12833ae856ea0749c4c570d7d8",
            source="github.com/hzwer/ECCV2022-RIFE (README, HD model v3.6)",
            licence="MIT",
        ),
    ),
    "Huang et al., ECCV 2022, arXiv:2011.06294; github.com/hzwer/ECCV2022-RIFE",
    "rife_v36",
)
RIFE_V4 = _part(
    "rife-v4.25",
    "interpolation",
    IFNetV4,
    V4_MULTIPLE,
    (
        Weights(
            file="flownet.pkl",
            sha256="6615790efd627772917205db291f51cd392528a157ecbb2ecaeec3bff8eb6de2",
            source="github.com/hzwer/Practical-RIFE (README, 4.25)",
            licence="MIT",
        ),
    ),
    "Huang et al., ECCV 2022, and later releases; github.com/hzwer/Practical-RIFE",
    "rife_v4x",
)
