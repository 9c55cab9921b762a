"""The benchmark of operators: both forms give the same numbers; the command line at a small size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmark.studies import operators
from benchmark.studies.operators import CASES, main, measure


def small() -> tuple[operators.Case, ...]:
    return tuple(replace(case, shape=(16, min(case.shape[1], 8), 9, 13)) for case in CASES)


@pytest.mark.parametrize("backward", [False, True])
def test_forms_agree(backward: bool) -> None:
    for case in small():
        timing = measure(case, torch.device("cpu"), 1, backward)
        assert timing.ours_ms > 0 and timing.straightforward_ms > 0
        assert timing.difference < 1e-5


def test_forms_that_differ_are_refused() -> None:
    case = replace(small()[0], ours=lambda *inputs: operators.deformable_tap_by_tap(*inputs) * 1.1)
    with pytest.raises(ValueError, match="the two forms differ"):
        measure(case, torch.device("cpu"), 1, False)


def test_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(operators, "CASES", small())
    assert main(["--device", "cpu", "--repeats", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2 * len(CASES)
    assert lines[2].startswith("deformable, EDVR-M") and "16x9x13" in lines[2]
    assert main(["--device", "cpu", "--repeats", "0"]) == 2
    assert "--repeats is at least 1, got 0" in capsys.readouterr().err
