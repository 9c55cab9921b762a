"""Parameters, MACs, latency and memory of methods: `python benchmark/cost.py --methods NAME,... [--out FILE]`.

Every method is measured in a process of its own, so that memory is its own. The weights are random: cost does not
depend on their values. MACs and latency are those of a later frame of a clip, when a recurrent network has its state;
those of a face network are of one face at its own size, whatever the frame's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmark.results import CostRow, write_rows

if TYPE_CHECKING:
    import torch

    from models.spec import Method

SIDE_PX = 256
REPEATS = 20
BUDGET_S = 2.0  # a slow method is timed fewer times, but at least MINIMUM_REPEATS
MINIMUM_REPEATS = 3
TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A CostRow, and what methods.csv says: parameters in millions and MACs in 10^9 for one frame of that size.

    macs_g counts the multiplications of convolutions and matrix products (half of torch's flop count); None for a
    method that is not a network.
    """

    row: CostRow
    params_m: float | None
    macs_g: float | None


def measure(name: str, height: int, width: int, device: str) -> Cost:
    """Measure one method in this process. Latency: synchronised, after two frames of warm-up.

    peak_mb: on a GPU the most memory that tensors took; on the CPU the growth of the process's largest size.
    Errors: ValueError for an unknown name or device.
    """
    import statistics
    import time

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from models.restorer import choose_device

    chosen = choose_device(device)
    before_mb = _largest_size_mb()
    method, params_m = _build(name, chosen)
    network = params_m is not None
    if chosen.type == "cuda":
        torch.cuda.reset_peak_memory_stats(chosen)
    outputs = method.restore(_frames(height, width, REPEATS + 2))
    next(outputs)  # a recurrent network's first frame lacks its state
    counter = FlopCounterMode(display=False)
    with counter:
        next(outputs)
    times_ms: list[float] = []
    while len(times_ms) < REPEATS and (len(times_ms) < MINIMUM_REPEATS or sum(times_ms) < 1000 * BUDGET_S):
        _synchronise(chosen)
        started = time.perf_counter()
        next(outputs)
        _synchronise(chosen)
        times_ms.append(1000 * (time.perf_counter() - started))
    low, _, high = statistics.quantiles(times_ms, n=4, method="inclusive")
    on_gpu = network and chosen.type == "cuda"
    peak_mb = torch.cuda.max_memory_allocated(chosen) / 1e6 if on_gpu else _largest_size_mb() - before_mb
    row = CostRow(
        method=name,
        height=height,
        width=width,
        device=torch.cuda.get_device_name(chosen) if on_gpu else "cpu",
        threads=torch.get_num_threads(),
        ms_median=round(statistics.median(times_ms), 3),
        ms_iqr=round(high - low, 3),
        peak_mb=round(peak_mb, 1),
    )
    macs_g = round(counter.get_total_flops() / 2e9, 3) if network else None
    return Cost(row=row, params_m=params_m, macs_g=macs_g)


def measure_apart(name: str, height: int, width: int, device: str) -> Cost:
    """`measure` in a fresh process. Errors: ValueError with the last line of what the process said."""
    command = [sys.executable, __file__, "--methods", name, "--device", device, "--one"]
    command += ["--height", str(height), "--width", str(width)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"the cost of {name} took longer than {TIMEOUT_S} s to measure") from None
    if run.returncode != 0:
        raise ValueError((run.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    values = json.loads(run.stdout.splitlines()[-1])
    return Cost(row=CostRow(**values["row"]), params_m=values["params_m"], macs_g=values["macs_g"])


def _build(name: str, device: torch.device) -> tuple[Method, float | None]:
    from models.baselines import BASELINES
    from models.faces import skip_detection
    from models.restorer import RESTORERS, Restorer
    from models.zoo import MODELS

    if name in BASELINES:
        return BASELINES[name].method(), None
    if name not in MODELS:
        raise ValueError(f"unknown method {name!r}; there are {', '.join([*BASELINES, *RESTORERS])}")
    module = MODELS[name].build()
    parameters = {id(weight): weight.numel() for weight in module.parameters()}  # shared ones count once
    method = Restorer(MODELS[name], module, device)
    if MODELS[name].task == "face":
        skip_detection(method)  # the cost of one face, whatever the size of the frame
    return method, round(sum(parameters.values()) / 1e6, 4)


def _frames(height: int, width: int, count: int) -> Iterator[torch.Tensor]:
    """Frames of smooth random texture that moves a pixel at a time."""
    import cv2
    import torch

    from synth.rng import stream

    noise = stream(0, "cost").random((height, width + count, 3), dtype="float32")
    texture = torch.from_numpy(cv2.GaussianBlur(noise, (0, 0), 3.0).transpose(2, 0, 1).copy())
    for index in range(count):
        yield texture[:, :, index : index + width].contiguous()


def _synchronise(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _largest_size_mb() -> float:
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cost.py", description="Parameters, MACs, latency and memory of methods.")
    parser.add_argument("--methods", action="append", required=True, metavar="all|demo|NAME,...")
    parser.add_argument("--height", type=int, default=SIDE_PX)
    parser.add_argument("--width", type=int, default=SIDE_PX)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the rows as cost.csv")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    names = [name for group in arguments.methods for name in group.split(",") if name]
    try:
        if min(arguments.height, arguments.width) < 16:
            raise ValueError(f"an image of at least 16 x 16 px is needed, got {arguments.width} x {arguments.height}")
        if arguments.one:
            print(json.dumps(asdict(measure(names[0], arguments.height, arguments.width, arguments.device))))
            return 0
        return _measure_all(names, arguments)
    except (ValueError, OSError) as error:
        print(f"cost.py: {error}", file=sys.stderr)
        return 2


def _measure_all(names: list[str], arguments: argparse.Namespace) -> int:
    from benchmark.plan import FOREIGN, expand_methods

    rows, failed = [], False
    print(f"{'method':28s} {'params/M':>9s} {'MACs/G':>9s} {'ms':>9s} {'IQR':>7s} {'MB':>8s}")
    for name in expand_methods(names):
        if name.startswith(FOREIGN):
            raise ValueError(f"{name}: stored images have no cost")
        try:
            cost = measure_apart(name, arguments.height, arguments.width, arguments.device)
        except ValueError as error:
            print(f"cost.py: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        params, macs = ("-" if value is None else f"{value:.2f}" for value in (cost.params_m, cost.macs_g))
        row = cost.row
        print(f"{name:28s} {params:>9s} {macs:>9s} {row.ms_median:9.1f} {row.ms_iqr:7.1f} {row.peak_mb:8.1f}")
        rows.append(row)
    if rows:
        print(f"one frame of {arguments.width} x {arguments.height} px, {rows[0].device}, {rows[0].threads} threads")
    if arguments.out:
        write_rows(arguments.out, CostRow, rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
