"""EDVR in the zoo: the image interface and the entries. The networks are in models/nets/edvr.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from models.nets.clips import SlidingWindow
from models.nets.edvr import EDVR, Pyramid, TwoStageEDVR
from models.nets.padding import pad_to_multiple
from models.spec import Method, ModelSpec, Weights

SOURCE = "Wang et al., CVPRW 2019, arXiv:1905.02716; github.com/XPixelGroup/BasicSR"
ZOO = "github.com/XPixelGroup/BasicSR, docs/ModelZoo.md"
REACH = 2
# Offsets and flows are places in the image: half precision would round them to a quarter of a pixel at column 320.
SWITCHES = ("truncate", "self-ensemble")


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """A frame as the network wants it, its size before padding and its features."""

    padded: Tensor  # [1, 3, H, W]
    height: int
    width: int
    pyramid: Pyramid


def _window(module: EDVR, multiple: int, factor: int, ends: str) -> SlidingWindow[_Frame]:
    """Frames are padded by reflection; the authors' models refuse sizes that do not divide."""

    def prepare(frame: Tensor) -> _Frame:
        padded = pad_to_multiple(frame[None], multiple, "reflect")
        return _Frame(padded=padded, height=frame.shape[1], width=frame.shape[2], pyramid=module.pyramid(padded))

    def restore_centre(window: list[_Frame]) -> Tensor:
        centre = window[REACH]
        output = module.reconstructed([frame.pyramid for frame in window], centre.padded)
        return output[0, :, : factor * centre.height, : factor * centre.width].clamp(0, 1)

    return SlidingWindow(prepare, restore_centre, reach=REACH, ends=ends)


class _TwoStages:
    def __init__(self, first: Method, second: Method) -> None:
        self.first, self.second = first, second

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        return self.second.restore(self.first.restore(frames))


def _adapt_deblur(module: nn.Module) -> Method:
    return _window(module, 16, 1, "repeat")  # type: ignore[arg-type]


def _adapt_x4(module: nn.Module) -> Method:
    return _window(module, 4, 4, "other-side")  # type: ignore[arg-type]


def _adapt_two_stages(module: nn.Module) -> Method:
    return _TwoStages(_adapt_deblur(module.stage1), _adapt_deblur(module.stage2))  # type: ignore[arg-type]


def _build_two_stages() -> nn.Module:
    return TwoStageEDVR(EDVR(channels=128, blocks=(5, 40)), EDVR(channels=128, blocks=(5, 20)))


def _build_two_stages_test() -> nn.Module:
    return TwoStageEDVR(_TINY_EDVR(blocks=(1, 2)), _TINY_EDVR())


def _spec(
    name: str,
    task: str,
    build: Callable[[], nn.Module],
    adapt: Callable[[nn.Module], Method],
    weights: tuple[Weights, ...] = (),
    published: str = "",
    parity: tuple[str, ...] = (),
    frames: int = 2 * REACH + 1,
    remark: str = "",
    recipe: str = "edvr",
) -> ModelSpec:
    return ModelSpec(
        name=name,
        task=task,
        build=build,
        adapt=adapt,
        frames=frames,
        multiple_of=4 if task == "video-sr4" else 16,
        value_range=(0.0, 1.0),
        weights=weights,
        recipe=recipe,
        source=SOURCE + remark,
        published=published,
        parity=parity,
        switches=SWITCHES,
    )


# The tiny ones train under a recipe of one stage, so that one step of training is enough for a test.
_TINY_RECIPE = "stfan-plain"
_TINY = " (tiny variant for tests, not the published network)"
_TINY_EDVR = partial(EDVR, channels=8, groups=2, blocks=(1, 1), last=8)
_L_DEBLUR = Weights(file="EDVR_L_deblur_REDS_official-d76a26ec.pth", source=ZOO, licence="Apache-2.0")
EDVR_M_DEBLUR = _spec("edvr-m-deblur", "video-deblur", EDVR, _adapt_deblur, parity=("edvr_m_deblur",))
EDVR_L_DEBLUR = _spec(
    "edvr-l-deblur",
    "video-deblur",
    partial(EDVR, channels=128, blocks=(5, 40)),
    _adapt_deblur,
    (_L_DEBLUR,),
    "EDVR",
    ("edvr_l_deblur",),
)
EDVR_M_X4 = _spec(
    "edvr-m-x4",
    "video-sr4",
    partial(EDVR, deblur=False),
    _adapt_x4,
    (Weights(file="EDVR_M_x4_SR_REDS_official-32075921.pth", source=ZOO, licence="Apache-2.0"),),
    parity=("edvr_m_x4",),
)
# No file holds both: joined_weights() in models/nets/edvr.py takes the first network's weights and those of the
# authors' EDVR_REDS_deblur_Stage2.pth (github.com/xinntao/EDVR), brought to BasicSR's names by its model_conversion.
EDVR_L_DEBLUR_2STAGE = _spec(
    "edvr-l-deblur-2stage",
    "video-deblur",
    _build_two_stages,
    _adapt_two_stages,
    (
        Weights(
            file="edvr_l_deblur_2stage.safetensors",
            source="joined_weights() of EDVR_L_deblur_REDS_official-d76a26ec.pth and EDVR_REDS_deblur_Stage2.pth",
            licence="Apache-2.0",
        ),
    ),
    frames=4 * REACH + 1,
)
EDVR_TEST = _spec("edvr-test", "video-deblur", _TINY_EDVR, _adapt_deblur, remark=_TINY, recipe=_TINY_RECIPE)
EDVR_X4_TEST = _spec(
    "edvr-x4-test", "video-sr4", partial(_TINY_EDVR, deblur=False), _adapt_x4, remark=_TINY, recipe=_TINY_RECIPE
)
EDVR_2STAGE_TEST = _spec(
    "edvr-2stage-test",
    "video-deblur",
    _build_two_stages_test,
    _adapt_two_stages,
    frames=9,
    remark=_TINY,
    recipe=_TINY_RECIPE,
)
