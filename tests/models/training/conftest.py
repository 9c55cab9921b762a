"""What every test of training starts from."""

from __future__ import annotations

import pytest

from tests.models.training.training_data import narrow_features


@pytest.fixture(autouse=True)
def narrow_random_features(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_features(monkeypatch)
