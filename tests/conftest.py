"""What every test starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.weights_files import set_weights_dir


@pytest.fixture(autouse=True)
def no_chosen_weights_folder() -> Iterator[None]:
    """A run chooses the folder of weights for its whole process: here for its test alone."""
    set_weights_dir(None)
    yield
    set_weights_dir(None)
