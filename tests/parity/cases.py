"""Numeric parity: our networks with the fixtures' weights must give the numbers of the published networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.weights import SUFFIXES, load_state_dict
from models.zoo import MODELS
from synth import atomic
from tests.parity import fill

Forward = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one case. state: "equal", "different" or "skipped"; detail: the worst deviation, or why."""

    fixture: str
    case: str
    state: str
    detail: str


def _mimo_unet(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(("out_quarter", "out_half", "out_full"), module(inputs["x"]), strict=True))


def _pyramid_generator(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}

    def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        seen["final_conv"] = output.clone()

    hook = module.get_submodule("final").register_forward_hook(keep)
    try:
        seen["out"] = module(inputs["x"])
    finally:
        hook.remove()
    return seen


def _stfan(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Recurrent steps over frame0, frame1, ...: the first one is its own predecessor."""
    outputs: dict[str, Tensor] = {}
    previous_blur = previous_output = inputs["frame0"]
    features = None
    for step in range(len(inputs)):
        blur = inputs[f"frame{step}"]
        previous_output, features = module(blur, previous_blur, previous_output, features)
        previous_blur = blur
        outputs[f"out{step}"], outputs[f"fea{step}"] = previous_output, features
    return outputs


# How to run a fixture's case and name its outputs; one line per fixture.
FORWARDS: dict[str, Forward] = {
    "mimounet": _mimo_unet,
    "mimounet_plus": _mimo_unet,
    "deblurganv2_mobilenet": _pyramid_generator,
    "stfan": _stfan,
}


def claimed() -> dict[str, str]:
    """Fixture -> the network of the zoo that must reproduce it."""
    return {fixture: spec.name for spec in MODELS.values() for fixture in spec.parity}


def run(fixtures: Path, weights_dir: Path | None = None) -> Iterator[Result]:
    """Compare every case of every fixture in a folder. Errors: FileNotFoundError if there is no fixture."""
    manifests = sorted(Path(fixtures).glob("*.json"))
    if not manifests:
        raise FileNotFoundError(f"no fixtures (NAME.json with NAME.npz) in {fixtures}")
    for path in manifests:
        manifest = fill.load_manifest(path)
        if "state_dict" in manifest and "cases" in manifest:
            yield from run_fixture(path, manifest, weights_dir)


def run_fixture(path: Path, manifest: dict, weights_dir: Path | None) -> Iterator[Result]:
    owner = claimed().get(path.stem)
    for case in manifest["cases"]:
        name = str(case["case"])
        if owner is None or path.stem not in FORWARDS:
            yield Result(fixture=path.stem, case=name, state="skipped", detail="this network is not in the zoo yet")
            continue
        state = fill.fill_state_dict(manifest)
        if case.get("weights") == "real":
            found = _real_weights(manifest, weights_dir)
            if found is None:
                yield Result(fixture=path.stem, case=name, state="skipped", detail="the published weights are not here")
                continue
            state = load_state_dict(found)
        yield _compare(path, manifest, case, MODELS[owner].build(), state)


def _compare(path: Path, manifest: dict, case: dict, module: nn.Module, state: dict[str, Tensor]) -> Result:
    keys = [entry[0] for entry in manifest["state_dict"]]
    differing = sorted(set(keys) ^ set(module.state_dict()))
    if differing:
        detail = f"{len(differing)} keys differ, such as {differing[0]!r}"
        return Result(fixture=path.stem, case=str(case["case"]), state="different", detail=detail)
    module.load_state_dict(state, strict=True)
    _set_mode(module, case["mode"])
    inputs = {spec["name"]: fill.make_input(spec) for spec in case["inputs"]}
    with torch.no_grad():
        outputs = FORWARDS[path.stem](module, inputs)
    report = fill.compare(outputs, case, path.with_suffix(".npz"))
    worst = max(report, key=lambda name: report[name]["rel"])
    equal = all(entry["rel"] <= case["tolerance_rel"] for entry in report.values())
    detail = f"{worst} differs by {report[worst]['rel']:.1e} of its spread, {case['tolerance_rel']:.0e} allowed"
    return Result(fixture=path.stem, case=str(case["case"]), state="equal" if equal else "different", detail=detail)


def _set_mode(module: nn.Module, mode: str) -> None:
    if mode == "eval":
        module.eval()
    elif mode in ("train", "train_nodrop"):
        module.train()
    elif mode != "keep":
        raise ValueError(f"a case's mode is eval, train, train_nodrop or keep, got {mode!r}")
    if mode == "train_nodrop":
        for layer in module.modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.eval()


def _real_weights(manifest: dict, weights_dir: Path | None) -> Path | None:
    """The published file under a folder whose sha256 stands in the manifest's notes, or whose name does."""
    if weights_dir is None:
        return None
    notes = " ".join(str(note) for note in manifest.get("notes", []))
    for path in sorted(Path(weights_dir).rglob("*")):
        known = path.is_file() and path.suffix in SUFFIXES
        if known and (path.name in notes or atomic.sha256_of(path) in notes):
            return path
    return None
