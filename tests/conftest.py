"""What every test starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.weights_files import ENVIRONMENT_VARIABLE, set_weights_dir


@pytest.fixture(autouse=True)
def no_chosen_weights_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run chooses the folder of weights for its whole process: here for its test alone. What was fetched into
    weights/ must change no test."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "no-such-folder-of-weights")
    set_weights_dir(None)
    yield
    set_weights_dir(None)
