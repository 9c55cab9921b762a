"""Gaps computed by the workers of a Dask cluster: `make_pairs.py --scheduler tcp://...`.

A gap is a task, as it is for threads: the process that was started reads the video, sends frames and motion out, gets
integrals back, sums, encodes and writes. The bytes are the same wherever a gap was computed, on machines whose
processors are alike. Workers run the same checkout; an interpolator with a network finds its weights there, too.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import cv2

from synth.camera import CameraResponse
from synth.exposure import GapIntegral, GapJob, integrate_gap, measure_gap
from synth.interp import INTERPOLATORS
from synth.interp.base import Interpolator

ANSWER_S = 10
ADDRESS = re.compile(r"(tcp|tls|ws|wss)://.+:\d+")


@dataclass(frozen=True, kw_only=True)
class RemoteMeasure:
    """`measure_gap` on a worker. interpolator: its name, "" for none; weights_sha256: of the weights it must have."""

    interpolator: str
    weights_sha256: str

    def __call__(self, job: GapJob) -> GapJob:
        return measure_gap(job, _ready(self.interpolator, self.weights_sha256))


@dataclass(frozen=True, kw_only=True)
class RemoteIntegrate:
    """`integrate_gap` on a worker."""

    interpolator: str
    weights_sha256: str
    factor: int
    response: CameraResponse

    def __call__(self, job: GapJob) -> GapIntegral:
        return integrate_gap(job, _ready(self.interpolator, self.weights_sha256), self.factor, self.response)


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the cluster of a scheduler, and the number of its threads.

    Errors: ValueError, one sentence, if that is no address, no scheduler answers there or it has no workers.
    """
    if not ADDRESS.fullmatch(address):
        raise ValueError(f"--scheduler takes an address such as tcp://127.0.0.1:8786, got {address!r}")
    from distributed import Client

    try:
        client = Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--scheduler {address}: no Dask scheduler answers there ({error or type(error).__name__}); start one with "
            "`dask scheduler` and give its address, such as tcp://127.0.0.1:8786"
        ) from None
    with client:
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise ValueError(f"--scheduler {address}: the cluster has no workers; start `dask worker {address}`")
        # Frames and motion travel with their task, and nothing else ever uses them.
        warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
        try:
            yield client.get_executor(), threads
        except (RuntimeError, ModuleNotFoundError) as error:
            if not isinstance(error, ModuleNotFoundError) and "deserialization" not in str(error):
                raise
            raise ValueError(
                f"--scheduler {address}: the scheduler or a worker cannot import this checkout; start both with the "
                "`dask` of its .venv, in which it is installed"
            ) from None


@lru_cache(maxsize=4)
def _made(name: str) -> Interpolator:
    return INTERPOLATORS[name]()


def _ready(name: str, weights_sha256: str) -> Interpolator | None:
    """Errors: ValueError if this worker's weights are not those of the process that asks."""
    cv2.setNumThreads(1)
    if not name:
        return None
    interpolator = _made(name)
    if interpolator.weights_sha256 != weights_sha256:
        raise ValueError(f"a worker of the cluster has other weights for {name} than the process that was started")
    return interpolator
