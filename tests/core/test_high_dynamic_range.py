"""HLG and PQ: the points that ITU-R BT.2100 and BT.2408 give, and the way into an ordinary picture and back."""

from __future__ import annotations

import numpy as np
import pytest

from core.camera_response import response
from core.high_dynamic_range import (
    DYNAMIC_RANGES,
    hlg_from_scene,
    hlg_to_scene,
    pq_from_display,
    pq_to_display,
    to_bt709_lin,
)


def test_known_points() -> None:
    # BT.2100 table 5: half the signal is a twelfth of the light; BT.2408 table 1: diffuse white is 75 % HLG, 58 % PQ.
    assert hlg_to_scene(np.array([0.0, 0.5, 0.75, 1.0])) == pytest.approx([0, 1 / 12, 0.265, 1], abs=2e-4)
    nits = 10_000 * pq_to_display(np.array([0.0, 0.5081, 0.5807, 0.7518, 1.0]))
    assert nits == pytest.approx([0, 100, 203, 1000, 10_000], rel=2e-3)
    signal = np.linspace(0, 1, 101)
    assert hlg_from_scene(hlg_to_scene(signal)) == pytest.approx(signal, abs=1e-6)
    assert pq_from_display(pq_to_display(signal)) == pytest.approx(signal, abs=1e-6)


@pytest.mark.parametrize("name", DYNAMIC_RANGES)
def test_into_an_ordinary_picture_and_back(name: str) -> None:
    found = DYNAMIC_RANGES[name]
    light = np.linspace(0, found.peak, 500)
    ordinary = found.to_ordinary_lin(light)
    assert ordinary[0] == 0 and ordinary[-1] == pytest.approx(1) and (np.diff(ordinary) >= 0).all()
    assert found.to_ordinary_lin(np.array([0.25 * found.white])) == pytest.approx([0.25], rel=1e-3)  # untouched below
    assert 0.7 < float(found.to_ordinary_lin(np.array([found.white]))[0]) < 0.9  # white leaves room above it
    assert found.from_ordinary_lin(ordinary[:-50]) == pytest.approx(light[:-50], rel=2e-2, abs=1e-5)


@pytest.mark.parametrize("name", DYNAMIC_RANGES)
def test_as_a_camera_response(name: str) -> None:
    curve = response(name)
    levels = np.arange(256, dtype=np.uint8)
    assert curve.to_encoded(curve.to_linear(levels)) == pytest.approx(levels / 255, abs=1e-4)


def test_primaries() -> None:
    white = np.ones((2, 2, 3), np.float32)
    assert to_bt709_lin(white) == pytest.approx(white, abs=1e-3)
    assert to_bt709_lin(np.array([[[0.0, 1.0, 0.0]]], np.float32)).min() == 0  # BT.2020's green lies outside
