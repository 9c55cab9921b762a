"""The fixtures in the repository, compared; and the comparison itself must notice a wrong network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.zoo import MODELS
from tests.parity import fill
from tests.parity.__main__ import FIXTURES
from tests.parity.cases import _compare, claimed, run_fixture


@pytest.mark.parametrize("name", sorted(claimed()))
def test_fixture(name: str) -> None:
    path = FIXTURES / f"{name}.json"
    results = list(run_fixture(path, fill.load_manifest(path), None))
    assert results
    for result in results:
        assert result.state == "equal", result


@pytest.mark.parametrize("name", sorted(claimed()))
def test_keys_have_the_authors_order_and_count(name: str) -> None:
    manifest = fill.load_manifest(FIXTURES / f"{name}.json")
    module = MODELS[claimed()[name]].build()
    assert list(module.state_dict()) == [entry[0] for entry in manifest["state_dict"]]
    assert sum(p.numel() for p in module.parameters()) == manifest["param_count"]


def test_one_changed_weight_is_noticed() -> None:
    path = Path(FIXTURES / "mimounet.json")
    manifest = fill.load_manifest(path)
    state = fill.fill_state_dict(manifest)
    state["Decoder.1.layers.3.main.0.main.0.weight"] = torch.zeros_like(
        state["Decoder.1.layers.3.main.0.main.0.weight"]
    )
    result = _compare(path, manifest, manifest["cases"][0], MODELS["mimo-unet"].build(), state)
    assert result.state == "different"
