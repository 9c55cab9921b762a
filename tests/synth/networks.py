"""Interpolators for the tests: those with a network get small random weights, written once for all tests."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from unittest import mock

from core.weights_files import ENVIRONMENT_VARIABLE
from synth.interp import INTERPOLATORS
from synth.interp.base import Interpolator

NETWORKS = ("rife", "rife-recursive", "spynet")
WITHOUT_NETWORK = tuple(name for name in INTERPOLATORS if name not in NETWORKS)


@functools.cache
def _weights_folder() -> tempfile.TemporaryDirectory:
    """A weights folder with random files of RIFE v3.6 and SPyNet, wrapped as their authors do; gone at the exit."""
    import torch

    from synth.interp.nets.rife_v36 import IFNetV36
    from synth.interp.nets.spynet import SpyNet

    folder = tempfile.TemporaryDirectory(prefix="weights-")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rife = {f"module.{key}": value for key, value in IFNetV36().state_dict().items()}
        spynet = {f"spynet.{key}": value for key, value in SpyNet().state_dict().items()}
    torch.save(rife, Path(folder.name) / "rife_v3.6_flownet.pkl")
    torch.save({"params": {"fusion.weight": torch.zeros(2), **spynet}}, Path(folder.name) / "BasicVSR_random.pth")
    return folder


def weights_folder() -> Path:
    return Path(_weights_folder().name)


@functools.cache
def make_interpolator(name: str) -> Interpolator:
    """The interpolator of a name, the same object every time."""
    if name in WITHOUT_NETWORK:
        return INTERPOLATORS[name]()
    with mock.patch.dict(os.environ, {ENVIRONMENT_VARIABLE: str(weights_folder())}):
        return INTERPOLATORS[name]()


def possible_factor(name: str, factor: int) -> int:
    """The factor, or the next power of two where the interpolator takes no other."""
    return factor if make_interpolator(name).any_factor else 1 << (factor - 1).bit_length()
