"""Response curves: known values, round trips, measured curves from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.camera_response import RESPONSES, response, to_8bit


@pytest.mark.parametrize("name", RESPONSES)
def test_round_trips(name: str) -> None:
    curve = response(name)
    values = np.linspace(0, 1, 4097, dtype=np.float32).reshape(1, -1)
    assert np.abs(curve.to_linear(curve.to_encoded(values)) - values).max() < 1e-6
    assert np.abs(curve.to_encoded(curve.to_linear(values)) - values).max() < 1e-6
    assert np.all(np.diff(curve.to_encoded(values)) > 0)
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_8bit(curve.to_encoded(curve.to_linear(levels))), levels)


@pytest.mark.parametrize("name", RESPONSES)
def test_the_table_is_the_curve(name: str) -> None:
    curve = response(name)
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    exact = curve.decode(levels / 255.0)
    assert curve.to_linear(levels).dtype == np.float32
    assert np.abs(curve.to_linear(levels) - exact).max() < 1e-7
    colour = np.repeat(levels[..., None], 3, axis=2)
    assert np.array_equal(curve.to_linear(colour)[..., 1], curve.to_linear(levels))


def test_known_values() -> None:
    """The mean of black and white, and two points computed by hand from the standards' formulas."""
    half = np.array([0.5], dtype=np.float32)
    assert response("srgb").to_encoded(half)[0] == pytest.approx(1.055 * 0.5 ** (1 / 2.4) - 0.055, abs=1e-6)
    assert response("srgb").to_encoded(half)[0] == pytest.approx(0.735, abs=5e-4)
    assert response("gamma2.2").to_encoded(half)[0] == pytest.approx(0.7297, abs=1e-4)
    assert response("bt709").to_encoded(half)[0] == pytest.approx(1.0993 * 0.5**0.45 - 0.0993, abs=1e-4)
    assert response("linear").to_encoded(half)[0] == 0.5


def test_measured_curve_from_text_and_npy(tmp_path: Path) -> None:
    linear = np.linspace(0, 1, 256) ** 1.8 * 37.0  # relative units
    np.save(tmp_path / "curve.npy", linear)
    (tmp_path / "curve.txt").write_text("# two columns\n" + "\n".join(f"{i / 255}, {v}" for i, v in enumerate(linear)))
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    for name in ("curve.npy", "curve.txt"):
        curve = response(str(tmp_path / name))
        assert np.abs(curve.to_linear(levels) - (levels / 255.0) ** 1.8).max() < 1e-6
        assert np.array_equal(to_8bit(curve.to_encoded(curve.to_linear(levels))), levels)
        assert len(curve.digest) == 64


@pytest.mark.parametrize(
    "content", ["hello", "0 1 2\n3 4 5", "0.5 0\n1 1", "0 0\n0.5 0.9\n1 0.8", "nan", "1", "3\n2\n1"]
)
def test_broken_curves_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "curve.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"curve\.txt"):
        response(str(path))


def test_unknown_names_list_what_exists() -> None:
    with pytest.raises(ValueError, match=r"srgb.*gamma2\.2.*bt709.*linear"):
        response("rec2020")


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8 or float"):
        response("srgb").to_linear(np.zeros((2, 2), dtype=np.int32))
