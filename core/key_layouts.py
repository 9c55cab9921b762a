"""Checkpoints of the zoo's networks under other layer names, brought to the zoo's names on loading, one to one.

| layout | files | known by |
|---|---|---|
| ESRGAN, first release | RRDB_ESRGAN_x4_old_arch.pth and what was trained with that code | `model.1.sub.0.RDB1...` |
| ESRGAN, second release | RRDB_ESRGAN_x4.pth, RRDB_PSNR_x4.pth | `RRDB_trunk.0.RDB1...` |
| MMEditing | BasicVSR++ (deblurring) and BasicVSR of OpenMMLab | `generator.spynet...conv.weight` |
| ESTRNN's wrapper | checkpoints of its authors' training program | `model.cell.F_B0.weight` |

Both releases of ESRGAN are numbered or named anew by its authors' own conversion (github.com/xinntao/ESRGAN); the
networks compute the same. MMEditing's networks have the layers of BasicSR's (github.com/open-mmlab/mmagic), with a
convolution and its activation in one module, and the convolution before a pixel shuffle inside a module of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class KeyLayout:
    """A way to name a network's layers. marker: a key that files of it have and no others do.

    rename(key) is the zoo's key; a key that is not of the layout stays as it is and is then found to be left over.
    dropped: keys that belong to the training, not to the network.
    """

    name: str
    marker: str
    rename: Callable[[str], str]
    dropped: tuple[str, ...] = ()


def _esrgan_first_release(key: str) -> str:
    """A sequence: 0 first convolution, 1 the blocks and the convolution behind them (its number is their count), then
    upsampling, convolution, activation (3, 6) twice, and two convolutions (8, 10)."""
    if found := re.fullmatch(r"model\.1\.sub\.(\d+)\.RDB([123])\.conv([1-5])\.0\.(weight|bias)", key):
        return f"body.{found[1]}.rdb{found[2]}.conv{found[3]}.{found[4]}"
    if found := re.fullmatch(r"model\.1\.sub\.\d+\.(weight|bias)", key):
        return f"conv_body.{found[1]}"
    names = {"0": "conv_first", "3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last"}
    found = re.fullmatch(r"model\.(\d+)\.(weight|bias)", key)
    return f"{names[found[1]]}.{found[2]}" if found and found[1] in names else key


def _esrgan_second_release(key: str) -> str:
    if found := re.fullmatch(r"RRDB_trunk\.(\d+)\.RDB([123])\.(conv[1-5]\.(?:weight|bias))", key):
        return f"body.{found[1]}.rdb{found[2]}.{found[3]}"
    names = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
    layer, _, parameter = key.partition(".")
    return f"{names[layer]}.{parameter}" if layer in names else key


def _mmediting(key: str) -> str:
    name = key.removeprefix("generator.")
    if name == key:
        return key
    # Convolutions are counted alone there, together with the activations between them here.
    if found := re.fullmatch(r"(spynet\.basic_module\.\d+\.basic_module)\.(\d+)\.conv\.(weight|bias)", name):
        return f"{found[1]}.{2 * int(found[2])}.{found[3]}"
    if found := re.fullmatch(r"upsample([12])\.upsample_conv\.(weight|bias)", name):
        return f"upconv{found[1]}.{found[2]}"
    return re.sub(r"^(backward|forward)_resblocks\.", r"\1_trunk.", name)  # of BasicVSR


def _without_model(key: str) -> str:
    return key.removeprefix("model.")


LAYOUTS = (
    KeyLayout(
        name="the layout of ESRGAN's first release",
        marker="model.1.sub.0.RDB1.conv1.0.weight",
        rename=_esrgan_first_release,
    ),
    KeyLayout(
        name="the layout of ESRGAN's second release",
        marker="RRDB_trunk.0.RDB1.conv1.weight",
        rename=_esrgan_second_release,
    ),
    KeyLayout(
        name="MMEditing's layout",
        marker="generator.spynet.basic_module.0.basic_module.0.conv.weight",
        rename=_mmediting,
        dropped=("step_counter",),  # how many steps the training has done
    ),
    KeyLayout(
        name="the layout of ESTRNN's authors",
        marker="model.cell.F_B0.weight",
        rename=_without_model,
    ),
)


def layout_of(state: dict[str, Tensor]) -> KeyLayout | None:
    """The other layout that a checkpoint is in; None for the zoo's own keys."""
    return next((layout for layout in LAYOUTS if layout.marker in state), None)


def renamed(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """A checkpoint under the zoo's keys, every tensor of it used once. The same dict where nothing is to be done.

    Errors: ValueError if two keys of the file mean one key of the zoo.
    """
    layout = layout_of(state)
    if layout is None:
        return state
    found: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for key, value in state.items():
        if key in layout.dropped:
            continue
        name = layout.rename(key)
        if name in found:
            raise ValueError(
                f"{path}: in {layout.name} the keys {origin[name]!r} and {key!r} both mean {name!r}; the file was put "
                "together from two networks, get the authors' own"
            )
        found[name], origin[name] = value, key
    return found
