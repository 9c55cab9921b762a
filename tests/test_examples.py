"""The examples in the documentation of what users call run, and print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "models.restorer",
        "models.restore",
        "benchmark.score",
        "synth.arrays",
        "models.zoo",
        "models.losses",
        "models.recipes",
        "benchmark.metrics",
        "benchmark.evaluation",
        "synth.interp",
        "synth.degrade",
        "synth.exposure",
    ],
)
def test_examples(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0 and results.failed == 0
