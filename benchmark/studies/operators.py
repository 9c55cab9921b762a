"""Our operators against their straightforward forms: `benchmark/studies/operators.py [--device D] [--repeats N]`.

Both forms of an operator run in turn on the same inputs, at the sizes that the networks see for frames of 1280x720
(a quarter of it), and must give the same numbers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import torch
from torch.nn import functional

from core.command_line import Parser, run
from models.nets.deformable import compiled_operator_loads, modulated_deformable_convolution
from models.nets.stfan import FILTER_SIZE, filter_adaptive_convolution
from models.restorer import choose_device

if TYPE_CHECKING:
    from torch import Tensor

Operator = Callable[..., "Tensor"]
TOLERANCE = 2e-3  # float32: a place in a row of 320 px is known to 3e-5 px, and sums run over 1152 products


@dataclass(frozen=True, kw_only=True)
class Case:
    """name: what is measured; shape: (channels, groups, height, width), groups 0 where there are none."""

    name: str
    shape: tuple[int, int, int, int]
    ours: Operator
    straightforward: Operator


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Median milliseconds, and the largest difference of the results relative to their spread."""

    ours_ms: float
    straightforward_ms: float
    difference: float


def deformable_tap_by_tap(features: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Nine times: sample the image where the tap reads, multiply by the mask, add a 1x1 convolution."""
    batch, channels, height, width = features.shape
    groups = mask.shape[1] // 9
    image = features.reshape(batch * groups, channels // groups, height, width)
    shifts = offsets.reshape(batch * groups, 9, 2, height, width)
    shares = mask.reshape(batch * groups, 9, 1, height, width)
    rows = torch.arange(height, device=image.device, dtype=image.dtype)[:, None]
    columns = torch.arange(width, device=image.device, dtype=image.dtype)
    total = bias.view(1, -1, 1, 1)
    for tap in range(9):
        down, right = divmod(tap, 3)
        y = rows + (down - 1) + shifts[:, tap, 0]
        x = columns + (right - 1) + shifts[:, tap, 1]
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        sampled = functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        sampled = (sampled * shares[:, tap]).view(batch, channels, height, width)
        total = total + functional.conv2d(sampled, weight[:, :, down, right, None, None])
    return total


def filters_by_unfolding(features: Tensor, filters: Tensor) -> Tensor:
    """All neighbours of every pixel side by side, times the filters, summed."""
    batch, channels, height, width = features.shape
    taps, reach = FILTER_SIZE**2, FILTER_SIZE // 2
    padded = functional.pad(features, (reach,) * 4, mode="replicate")
    neighbours = functional.unfold(padded, FILTER_SIZE).view(batch, channels, taps, height, width)
    return (neighbours * filters.view(batch, channels, taps, height, width)).sum(dim=2)


CASES = (
    Case(
        name="deformable, EDVR-M",
        shape=(64, 8, 180, 320),
        ours=modulated_deformable_convolution,
        straightforward=deformable_tap_by_tap,
    ),
    Case(
        name="deformable, EDVR-L",
        shape=(128, 8, 180, 320),
        ours=modulated_deformable_convolution,
        straightforward=deformable_tap_by_tap,
    ),
    Case(
        name="deformable, BasicVSR++",
        shape=(128, 16, 180, 320),
        ours=modulated_deformable_convolution,
        straightforward=deformable_tap_by_tap,
    ),
    Case(
        name="filter-adaptive, STFAN",
        shape=(128, 0, 180, 320),
        ours=filter_adaptive_convolution,
        straightforward=filters_by_unfolding,
    ),
)


def inputs_of(case: Case, device: torch.device) -> list[Tensor]:
    """Random inputs: offsets of a few pixels that change from pixel to pixel, the hardest case for a cache."""
    channels, groups, height, width = case.shape
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    features = noise(1, channels, height, width)
    if not groups:
        return [features, noise(1, channels * FILTER_SIZE**2, height, width)]
    mask = noise(1, groups * 9, height, width).sigmoid_()
    return [features, noise(1, groups * 18, height, width) * 3, mask, noise(64, channels, 3, 3), noise(64)]


def measure(case: Case, device: torch.device, repeats: int, backward: bool) -> Timing:
    """Median times of both forms, which take turns. backward: with the gradients towards all inputs."""
    inputs = [value.requires_grad_(backward) for value in inputs_of(case, device)]
    times: dict[Operator, list[float]] = {case.ours: [], case.straightforward: []}
    results = {}
    for repeat in range(repeats + 1):
        for operator, durations in times.items():
            _synchronise(device)
            started = time.perf_counter()
            with torch.set_grad_enabled(backward):
                result = operator(*inputs)
                if backward:
                    torch.autograd.grad(result.sum(), inputs)
            _synchronise(device)
            if repeat:  # the first one warms up
                durations.append(1000 * (time.perf_counter() - started))
            results[operator] = result.detach()
    expected = results[case.straightforward]
    difference = float((results[case.ours] - expected).abs().max() / expected.std())
    if not difference <= TOLERANCE:
        raise ValueError(f"{case.name}: the two forms differ by {difference:.1e} of the spread, {TOLERANCE} allowed")
    medians = {operator: statistics.median(durations) for operator, durations in times.items()}
    return Timing(ours_ms=medians[case.ours], straightforward_ms=medians[case.straightforward], difference=difference)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _measure_all, argv)


def _parser() -> Parser:
    parser = Parser(prog="operators.py", description=__doc__)
    parser.shared("--device")
    parser.add_argument("--repeats", type=int, default=7)
    return parser


def _measure_all(arguments: argparse.Namespace) -> int:
    device = choose_device(arguments.device)
    if arguments.repeats < 1:
        raise ValueError(f"--repeats is at least 1, got {arguments.repeats}")
    compiled = "loads" if compiled_operator_loads() else "does not load"
    print(f"{device}, {torch.get_num_threads()} threads; torchvision's compiled operator {compiled}")
    print(f"{'operator':26s} {'size':>16s} {'':9s} {'ours ms':>9s} {'straightforward ms':>19s} {'ratio':>6s}")
    for case in CASES:
        channels, _, height, width = case.shape
        size = f"{channels}x{height}x{width}"
        for backward in (False, True):
            timing = measure(case, device, arguments.repeats, backward)
            form = "training" if backward else "forward"
            ratio = timing.ours_ms / timing.straightforward_ms
            times = f"{timing.ours_ms:9.1f} {timing.straightforward_ms:19.1f} {ratio:6.2f}"
            print(f"{case.name:26s} {size:>16s} {form:9s} {times}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
