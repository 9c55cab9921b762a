"""Parameters, MACs, latency and memory of methods: `python benchmark/cost.py --methods NAME,... [--out FILE]`.

Published counts of operations stand beside measured ones; from --published.

Every method is measured in a process of its own, so that memory is its own. The weights are random: cost does not
depend on their values. MACs and latency are those of a later frame of a clip, when a recurrent network has its state;
those of a face network are of one face at its own size, whatever the frame's; those of a network that restores pieces
of a clip at once, a share of one full piece. Of a part (flow, discriminator) there are only the parameters: what
goes into it is the network's affair that uses it.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import csv
import json
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmark.methods import BaselineMethod, FolderMethod, NetworkMethod, expand_methods, method_called
from benchmark.results import CostRow, write_rows
from core.command_line import Parser, complain, listed, run, unknown
from core.memory import cpu_bytes
from core.random_streams import stream
from models.baselines import BASELINES
from models.faces import skip_detection
from models.macs import counted_macs, macs_at
from models.restorer import RESTORERS, Restorer, choose_device
from models.zoo import MODELS

if TYPE_CHECKING:
    import torch

    from models.spec import Method


@dataclass(frozen=True, kw_only=True)
class PublishedMacs:
    """A published count for one image. height, width: the size that the table's reader presumed. Units: 10^9, px."""

    macs_g: float
    height: int
    width: int
    source: str

    def beside(self, measured_g: float) -> str:
        """The published count and the one measured for the presumed size."""
        share = measured_g / self.macs_g
        return f"{self.macs_g:.2f} at {self.width} x {self.height} (measured {measured_g:.2f}, {share:.2f} of it)"

    def remark(self) -> str:
        """What a reader must know about the figure."""
        return (
            f"published MACs from {self.source}: the input size is not printed there, {self.width} x {self.height} is "
            "presumed, and what is printed as FLOPs is taken as MACs; measured ones include the padding"
        )


def published_macs(path: Path) -> dict[str, PublishedMacs]:
    """By the method's published name: the first count of the table that has a presumed size."""
    found: dict[str, PublishedMacs] = {}
    with open(path, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            size = re.search(r"(\d+)x(\d+)", row["split_or_protocol"])
            if row["metric"] == "FLOPs" and row["unit"] == "G" and size and row["method"] not in found:
                found[row["method"]] = PublishedMacs(
                    macs_g=float(row["value"]), height=int(size[2]), width=int(size[1]), source=row["source"]
                )
    return found


SIDE_PX = 256
BYTES_PER_PX = 3 * 4 * 3  # an image in floats, what comes out, and a copy


def side_of(method: NetworkMethod | BaselineMethod) -> int:
    """Side of the image that a method is measured on: of an enlarging network what becomes SIDE_PX. Units: px.

    Its layers at full size are those of the other networks then, and it takes seconds in place of minutes.
    """
    return SIDE_PX // method.spec.scale if isinstance(method, NetworkMethod) else SIDE_PX


REPEATS = 20
BUDGET_S = 2.0  # a slow method is timed fewer times, but at least MINIMUM_REPEATS
MINIMUM_REPEATS = 3
SLOW_S = 20.0  # time after which even fewer repeats will do
TIMEOUT_S = 3600


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A CostRow, and what methods.csv says: parameters in millions and MACs in 10^9 for one frame of that size.

    macs_g: see models/macs.py; None for a method that is not a network. cpu_ms, cpu_iqr: the processor's time of all
    threads (median and interquartile range), which other work on the machine hardly changes, unlike the latency.
    """

    row: CostRow
    params_m: float | None
    macs_g: float | None
    cpu_ms: float = 0.0
    cpu_iqr: float = 0.0


def measure(name: str, height: int, width: int, device: str, switches: Sequence[str] = ()) -> Cost:
    """Measure one method in this process. Latency: synchronised, after warm-up; the median.

    peak_mb: on a GPU the most memory that tensors took; on the CPU by how much the process grew at most, from before
    the network was built (so that its weights count).
    Errors: ValueError for an unknown name, a part, a device or a switch that does not suit.
    """
    import torch

    chosen = choose_device(device)
    before_mb = _forget_largest_size()
    method, params_m, piece = _build(name, chosen, switches)
    network = params_m is not None
    on_gpu = network and chosen.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(chosen)
    if _in_pieces(method, height, width, piece):
        macs_g, times_ms = _cost_of_a_piece(method, height, width, piece, chosen)
    else:
        macs_g, times_ms = _cost_of_a_frame(method, height, width, chosen)
    (ms_median, ms_iqr), (cpu_ms, cpu_iqr) = (_middle(values) for values in zip(*times_ms, strict=True))
    peak_mb = torch.cuda.max_memory_allocated(chosen) / 1e6 if on_gpu else _largest_size_mb() - before_mb
    row = CostRow(
        method=name,
        height=height,
        width=width,
        device=torch.cuda.get_device_name(chosen) if on_gpu else "cpu",
        threads=torch.get_num_threads(),
        ms_median=ms_median,
        ms_iqr=ms_iqr,
        peak_mb=round(peak_mb, 1),
    )
    return Cost(
        row=row, params_m=params_m, macs_g=round(macs_g, 3) if network else None, cpu_ms=cpu_ms, cpu_iqr=cpu_iqr
    )


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Median and interquartile range; 0 for one value."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (0.0, 0.0, 0.0)
    return round(statistics.median(values), 3), round(high - low, 3)


def _in_pieces(method: Method, height: int, width: int, piece: int) -> bool:
    """Whether a method reads no new frame between its first two outputs: it restores pieces at once. Also warms up."""
    taken = 0

    def counted() -> Iterator[torch.Tensor]:
        nonlocal taken
        for frame in _frames(height, width, piece):
            taken += 1
            yield frame

    if piece <= 2:
        return False
    outputs = method.restore(counted())
    next(outputs)
    first = taken
    next(outputs)
    return taken == first == piece


def _cost_of_a_frame(
    method: Method, height: int, width: int, device: torch.device
) -> tuple[float, list[tuple[float, float]]]:
    """(MACs in 10^9, times as `_timed` gives them) of later frames of a clip."""

    ahead = 16  # read before the first output by networks that look at frames to come
    outputs = method.restore(_frames(height, width, REPEATS + 2 + ahead))
    next(outputs)  # a recurrent network's first frame lacks its state
    macs = counted_macs(lambda: next(outputs))
    return macs / 1e9, _timed(lambda: next(outputs), 1, device)


def _cost_of_a_piece(
    method: Method, height: int, width: int, piece: int, device: torch.device
) -> tuple[float, list[tuple[float, float]]]:
    """(MACs in 10^9, times as `_timed` gives them) of a frame's share of a clip that is one piece."""

    def whole() -> None:
        for _ in method.restore(_frames(height, width, piece)):
            pass

    macs = counted_macs(whole)
    return macs / piece / 1e9, _timed(whole, piece, device)


def _timed(work: Callable[[], object], frames: int, device: torch.device) -> list[tuple[float, float]]:
    """(latency, time of the processor) of every repeat for a frame, in ms, until BUDGET_S are used up; at least one."""
    import time

    times_ms: list[tuple[float, float]] = []
    used_s = 0.0
    while len(times_ms) < REPEATS and used_s < (SLOW_S if len(times_ms) < MINIMUM_REPEATS else BUDGET_S):
        _synchronise(device)
        started, worked = time.perf_counter(), time.process_time()
        work()
        _synchronise(device)
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
        used_s += seconds
        times_ms.append((1000 * seconds / frames, 1000 * worked / frames))
    return times_ms


def measure_apart(name: str, height: int, width: int, device: str, switches: Sequence[str] = ()) -> Cost:
    """`measure` in a fresh process. Errors: ValueError with the last line of what the process said."""
    command = [sys.executable, __file__, "--methods", name, "--device", device, "--one"]
    command += ["--height", str(height), "--width", str(width), "--switches", ",".join(switches)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"the cost of {name} took longer than {TIMEOUT_S} s to measure") from None
    if run.returncode != 0:
        raise ValueError((run.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    values = json.loads(run.stdout.splitlines()[-1])
    return Cost(**{**values, "row": CostRow(**values["row"])})


def _build(name: str, device: torch.device, switches: Sequence[str]) -> tuple[Method, float | None, int]:
    """The method, its parameters in millions, and how many frames it looks at."""

    found = method_called(name)
    if isinstance(found, BaselineMethod):
        return found.baseline.method(), None, 1
    if not isinstance(found, NetworkMethod):
        raise ValueError(unknown("unknown method", name, [*BASELINES, *RESTORERS]))
    module = found.spec.build()
    params_m = parameters_m(module)
    method = Restorer(found.spec, module, device, switches)
    if found.task == "face":
        skip_detection(method)  # the cost of one face, whatever the size of the frame
    return method, params_m, found.spec.frames


def parameters_m(module: torch.nn.Module) -> float:
    """Parameters in millions; those that layers share count once."""
    parameters = {id(weight): weight.numel() for weight in module.parameters()}
    return round(sum(parameters.values()) / 1e6, 4)


def _frames(height: int, width: int, count: int) -> Iterator[torch.Tensor]:
    """Frames of smooth random texture that moves a pixel at a time."""
    import cv2
    import torch

    noise = stream(0, "cost").random((height, width + count, 3), dtype="float32")
    texture = torch.from_numpy(cv2.GaussianBlur(noise, (0, 0), 3.0).transpose(2, 0, 1).copy())
    for index in range(count):
        yield texture[:, :, index : index + width].contiguous()


def _synchronise(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_largest_size() -> float:
    """The size of this process in MB; on Linux its largest size so far is set back to that."""
    import gc

    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # not Linux, or not allowed: what importing took at most then hides as much of the network
        return _largest_size_mb()
    return _largest_size_mb()


def _largest_size_mb() -> float:
    """The largest size of this process in MB.

    On Linux not getrusage's, which goes on from the process that started this one: as large as that, it would hide a
    small network altogether.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / (1e6 / 1024)
    except OSError:
        pass
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _measure, argv, refusals=(OSError,))


def _parser() -> Parser:
    parser = Parser(prog="cost.py", description="Parameters, MACs, latency and memory of methods.")
    parser.add_argument("--methods", action="append", required=True, metavar="all|zoo|demo|NAME,...")
    parser.add_argument("--height", type=int, default=SIDE_PX)
    parser.add_argument("--width", type=int, default=SIDE_PX)
    parser.shared("--switches", "--device")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the rows as cost.csv")
    parser.add_argument(
        "--published",
        type=Path,
        metavar="FILE",
        default=Path(__file__).resolve().parents[1] / "reports" / "published.csv",
        help="figures of papers, whose counts of operations stand beside the measured ones (default: %(default)s)",
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser


def _measure(arguments: argparse.Namespace) -> int:
    names, switches = listed(arguments.methods), listed(arguments.switches)
    if min(arguments.height, arguments.width) < 16:
        raise ValueError(f"an image of at least 16 x 16 px is needed, got {arguments.width} x {arguments.height}")
    choose_device(arguments.device)
    needed, free = arguments.height * arguments.width * BYTES_PER_PX, cpu_bytes()
    if needed > free:
        raise ValueError(
            f"an image of {arguments.width} x {arguments.height} px takes {needed / 1e9:.0f} GB at least, and "
            f"{free / 1e9:.1f} GB are free; give a smaller --width or --height"
        )
    if arguments.one:
        cost = measure(names[0], arguments.height, arguments.width, arguments.device, switches)
        print(json.dumps(asdict(cost)))
        return 0
    return _measure_all(names, switches, arguments)


def _measure_all(names: list[str], switches: list[str], arguments: argparse.Namespace) -> int:

    zoo = [name for name in MODELS if not name.endswith("-test")]
    asked = [other for name in names for other in (["all", *zoo] if name == "zoo" else [name])]
    rows: list[CostRow] = []
    failed = False
    known = published_macs(arguments.published)
    stated: list[PublishedMacs] = []
    print(
        f"{'method':28s} {'params/M':>9s} {'MACs/G':>9s} {'ms':>9s} {'IQR':>7s} {'CPU ms':>9s} {'IQR':>7s} "
        f"{'MB':>8s}  published MACs"
    )
    for method in expand_methods(asked):
        name, spec = method.name, method.spec if isinstance(method, NetworkMethod) else None
        if isinstance(method, FolderMethod):
            raise ValueError(f"{method.asked}: stored images have no cost")
        if spec is not None and spec.adapter is None:
            print(f"{name:28s} {parameters_m(spec.build()):9.2f}         -         -       -        -")
            continue
        try:
            cost = measure_apart(name, arguments.height, arguments.width, arguments.device, switches)
        except ValueError as error:
            complain("cost.py", f"{name}: {error}")
            failed = True
            continue
        params, macs = ("-" if value is None else f"{value:.2f}" for value in (cost.params_m, cost.macs_g))
        row = cost.row
        beside = ""
        found = known.get(spec.published) if spec is not None else None
        if spec is not None and found is not None and cost.macs_g is not None:
            stated.append(found)
            macs_there = macs_at(spec, found.height, found.width)
            beside = "  " + found.beside(macs_there / 1e9) if macs_there is not None else f"  {found.macs_g:.2f}"
        print(
            f"{name:28s} {params:>9s} {macs:>9s} {row.ms_median:9.1f} {row.ms_iqr:7.1f} "
            f"{cost.cpu_ms:9.1f} {cost.cpu_iqr:7.1f} {row.peak_mb:8.1f}{beside}",
            flush=True,
        )
        rows.append(row)
    if rows:
        print(f"one frame of {arguments.width} x {arguments.height} px, {rows[0].device}, {rows[0].threads} threads")
    for sentence in dict.fromkeys(found.remark() for found in stated):
        print(sentence)
    if arguments.out:
        write_rows(arguments.out, CostRow, rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
