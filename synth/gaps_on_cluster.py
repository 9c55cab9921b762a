"""Gaps computed by the workers of a Dask cluster: `make_pairs.py --scheduler tcp://...`.

A gap is a task, as it is for threads: the process that was started reads the video, sends frames and motion out, gets
integrals back, sums, encodes and writes. The bytes are the same wherever a gap was computed, on machines whose
processors are alike. Workers run the same checkout; an interpolator with a network finds its weights there, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2

from core.camera_response import CameraResponse
from synth.gaps import GapIntegral, GapJob, integrate_gap, measure_gap
from synth.interp import INTERPOLATORS
from synth.interp.base import Interpolator


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
