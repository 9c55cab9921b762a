"""A method's name is read once and becomes an object that knows what it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmark.methods import (
    DEMO,
    BaselineMethod,
    FolderMethod,
    NetworkMethod,
    every_network,
    expand_methods,
    method_called,
    networks,
)
from models.zoo import MODELS

ROOT = Path(__file__).resolve().parents[2]


def test_the_three_kinds(tmp_path: Path) -> None:
    network, baseline, folder = expand_methods(["edvr-test", "identity", f"folder:{tmp_path / 'theirs'}"])
    assert isinstance(network, NetworkMethod) and network.spec is MODELS["edvr-test"]
    assert network.looks_at_clips and network.weights is None
    assert isinstance(baseline, BaselineMethod) and not baseline.looks_at_clips
    assert baseline.weights is not None and (baseline.weights.origin, baseline.weights.trained_on) == ("none", "")
    assert isinstance(folder, FolderMethod) and folder.name == "theirs" and folder.asked.startswith("folder:")
    assert folder.weights is not None and folder.weights.trained_on == "elsewhere"
    assert networks([network, baseline, folder]) == [network]
    assert method_called("nothing") is None


def test_a_folder_called_like_a_network_is_a_folder(tmp_path: Path) -> None:
    (folder,) = expand_methods([f"folder:{tmp_path / 'mimo-unet'}"])
    assert isinstance(folder, FolderMethod) and folder.name == "mimo-unet" and not folder.looks_at_clips
    assert folder.task == "deblur" and folder.flags() == folder.weights_flag() == []
    with pytest.raises(ValueError, match="two methods would be called 'mimo-unet'"):
        expand_methods(["mimo-unet", f"folder:{tmp_path / 'mimo-unet'}"])


def test_groups_and_repetitions() -> None:
    assert tuple(method.name for method in expand_methods(["demo", "identity", "demo"])) == DEMO
    everything = [method.name for method in expand_methods(["all"])]
    assert everything[0] == "identity" and len(everything) == len(set(everything))
    assert {"hinet", "deeprft", "motion-unet-small"} <= set(everything)
    assert not {"hinet-half", "deeprft-doconv"} & set(everything), "second forms take part where they are named"
    assert [method.name for method in expand_methods(["deeprft-doconv", "hinet-half"])] == [
        "deeprft-doconv",
        "hinet-half",
    ]
    assert [network.name for network in every_network()] == list(MODELS)


def test_what_cannot_take_part(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="spynet is a part of other networks"):
        expand_methods(["spynet"])[0].check()
    with pytest.raises(ValueError, match="does not exist"):
        expand_methods([f"folder:{tmp_path / 'none'}"])[0].check()


def asks_what_a_name_is(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        return ast.unparse(node.comparators[0]) in ("MODELS", "BASELINES")
    return isinstance(node, ast.Constant) and node.value == "folder:"


def test_one_file_reads_names() -> None:
    """The studies in their sub-folder take networks alone."""
    found = [
        path.name
        for path in sorted((ROOT / "benchmark").glob("*.py"))
        if any(map(asks_what_a_name_is, ast.walk(ast.parse(path.read_text("utf-8")))))
    ]
    assert found == ["methods.py"]
