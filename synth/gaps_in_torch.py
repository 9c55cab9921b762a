"""Gaps in batches on a GPU: the networks and the integral run there, decoding and encoding stay on the CPU.

`torch-cpu` runs the same code on the CPU, to check it on a machine without a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core import devices
from core.camera_response import CameraResponse
from synth.continuity import continuity
from synth.gaps import GapIntegral, GapJob, integrate_gap, measure_gap
from synth.interp.base import Interpolator
from synth.interp.flow import Flow

if TYPE_CHECKING:
    import torch


GAPS_AT_ONCE = 8
CHECKING = "torch-cpu"
DEVICES = ("cuda:N", "mps", "auto", "cpu", "cuda", CHECKING)
ON_THE_CPU = ("cpu", CHECKING)


def choose_device(name: str) -> str:
    """ "cpu", "torch-cpu" or the GPU's name. auto takes the GPU where torch sees one; torch is not loaded to find out
    that there is no driver. Errors: ValueError for another name or a device that is not there."""
    if name in ON_THE_CPU:
        return name
    try:
        devices.require_name(name)
    except ValueError:
        raise ValueError(f"--device is one of {', '.join(DEVICES)}, got {name[:40]!r}") from None
    if name == "auto" and not devices.has_driver():
        return "cpu"
    return str(devices.choose(name))


def torch_device(name: str) -> torch.device:
    """The torch device of a name out of `choose_device`."""
    import torch

    return torch.device("cpu" if name in ON_THE_CPU else name)


def measure_batch(jobs: Sequence[GapJob], interpolator: Interpolator | None) -> list[GapJob]:
    """`measure_gap` of several gaps of one size: a network sees them at once."""
    states = [continuity(job.first, job.second) for job in jobs]
    moving = [index for index, state in enumerate(states) if not state.cut and not state.repeated]
    motions: dict[int, np.ndarray] = {}
    if isinstance(interpolator, Flow) and moving:
        found = interpolator.motions([(jobs[index].first, jobs[index].second) for index in moving])
        motions = dict(zip(moving, found, strict=True))
    return [measure_gap(job, interpolator, motions.get(index)) for index, job in enumerate(jobs)]


def integrate_batch(
    jobs: Sequence[GapJob], interpolator: Interpolator | None, factor: int, response: CameraResponse, device: str
) -> list[GapIntegral]:
    """`integrate_gap` of several gaps: the integrals of whole gaps are computed together on the device."""
    wholes: dict[int, list[np.ndarray]] = {}
    if isinstance(interpolator, Flow):
        chosen = [index for index, job in enumerate(jobs) if job.whole and job.motion_px is not None]
        paths = [
            interpolator.path(motion_px, jobs[index].before_px, jobs[index].after_px)
            for index in chosen
            if (motion_px := jobs[index].motion_px) is not None
        ]
        if chosen:
            from synth.interp.integral_in_torch import gap_totals

            firsts, seconds = ([getattr(jobs[index], side) for index in chosen] for side in ("first", "second"))
            wholes = {index: [] for index in chosen}
            for curve in (response, *jobs[0].also):
                sampling, place = interpolator.sampling(), torch_device(device)
                totals = gap_totals(firsts, seconds, paths, factor, sampling, curve, place)
                for index, total_lin in zip(chosen, totals, strict=True):
                    wholes[index].append(total_lin)
    return [integrate_gap(job, interpolator, factor, response, wholes.get(index, ())) for index, job in enumerate(jobs)]
