"""What is told about a download where there is no terminal."""

from __future__ import annotations

import pytest

from core import progress


def test_lines_of_a_download(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 104.0, 110.0, 111.0, 120.0, 140.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.TransferProgress("set.zip") as report:
        for loaded in (0, 20, 30, 35, 50, 100):  # MB; the first are too soon, the fourth is not a tenth more
            report(loaded * 1_000_000, 100_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "set.zip: 30% of 100.0 MB, about 23 s left",
        "set.zip: 50% of 100.0 MB, about 20 s left",
        "set.zip: 100% of 100.0 MB",
    ]
