"""Numeric parity: our networks with the fixtures' weights must give the numbers of the published networks."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from core import files
from core.weights_files import SUFFIXES, load_state_dict
from models import maxim_files
from models.nets import deeprft, dmphn, hinet, nafnet
from models.nets.uformer import Uformer
from models.zoo import MODELS
from tests.parity import fill

# What a wrong network, a damaged file or a manifest that lacks something throws.
FAILURES = (
    *(AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
)

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


def _with_output_of(module: nn.Module, layer: str, name: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The output, and under `name` that of an inner layer."""
    seen: dict[str, Tensor] = {}

    def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = output.clone()

    hook = module.get_submodule(layer).register_forward_hook(keep)
    try:
        seen["out"] = module(inputs["x"])
    finally:
        hook.remove()
    return seen


def _pyramid_generator(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return _with_output_of(module, "final", "final_conv", inputs)


def _deblurgan(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return _with_output_of(module, "model.26", "pre_tanh", inputs)


def _double_scale_discriminator(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(("patch", "full"), module(inputs["x"]), strict=True))


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


def _scales(inputs: dict[str, Tensor]) -> list[list[float]]:
    """RIFE's scales, where a case names them: a user may divide them all by a factor."""
    return [inputs["scale_list"].tolist()] if "scale_list" in inputs else []


def _rife_v36(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs = module(inputs["img0"], inputs["img1"], *_scales(inputs))
    return dict(zip(("flow", "mask", "merged"), outputs, strict=True))


def _rife_v4x(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs = module(inputs["img0"], inputs["img1"], float(inputs["timestep"]), *_scales(inputs))
    return dict(zip(("flow", "mask_logit", "merged"), outputs, strict=True))


def _spynet(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"flow": module(inputs["ref"], inputs["supp"])}


def _gfpgan(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    image, levels = module(inputs["x"], randomize_noise=False)
    return {"image": image} | {f"rgb_{level.shape[-1]}": level for level in levels}


def _facial_component_discriminator(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    logits, (half, quarter) = module(inputs["x"], return_feats=True)
    return {"out": logits, "feat0": half, "feat1": quarter}


def _vgg_style_discriminator(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    hook = module.get_submodule("linear1").register_forward_hook(lambda _, __, output: seen.update(linear1=output))
    try:
        seen["out"] = module(inputs["x"])
    finally:
        hook.remove()
    return seen


def _unet_discriminator(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A power iteration in training mode, then the norm that it left."""
    outputs = {"train_first": module.train()(inputs["x"]), "eval_after": module.eval()(inputs["x"])}
    return outputs | {"conv4_weight_u": module.get_buffer("conv4.weight_u")}


def _one_image(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"out": module(inputs["x"])}


def _nafnet(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """`local_big` is the same network with local means, windows of 1.5 times the training crop of 256."""
    outputs = _one_image(module, inputs)
    if "big" in inputs:
        nafnet.localise(module, 384, 384)
        outputs["local_big"] = module(inputs["big"])
    return outputs


def _hinet(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tiled` is the authors' averaging of tiles, of 64 px or as the case says, not their 256."""
    if "big" in inputs:
        return {"tiled": hinet.in_tiles(module, inputs["big"], int(inputs.get("tile_side", torch.tensor(64))))}
    return dict(zip(("out1", "out2"), module(inputs["x"]), strict=True))


def _deeprft(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tiled` is the authors' cut into tiles, of 32 px or as the case says, not their 256."""
    if "big" in inputs:
        return {"tiled": deeprft.in_tiles(module, inputs["big"], int(inputs.get("tile_side", torch.tensor(32))))}
    return _one_image(module, inputs)


def _deeprft_doconv(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(("full", "half", "quarter"), module(inputs["x"]), strict=True))


def _image_pyramid(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs = module([inputs["fine"], inputs["mid"], inputs["coarse"]])
    return dict(zip(("out_fine", "out_mid", "out_coarse"), outputs, strict=True))


def _mprnet(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(("stage3", "stage2", "stage1"), module(inputs["x"]), strict=True))


def _uformer(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors build it for 128 px in their test programs (`out`) and for 256 px in training (`out_img256`)."""
    assert isinstance(module, Uformer)
    (image,) = inputs.values()
    outputs = {"out": module(image)}
    module.image_px = module.trained_px
    return outputs | {"out_img256": module(image)}


def _maxim(module: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Images of each stage, quarter size first; the last of the last stage is the output."""
    stages = module(inputs["x"])
    outputs = {
        f"s{stage}_{size}": image
        for stage, images in enumerate(stages)
        for size, image in zip(("quarter", "half", "full"), images, strict=True)
    }
    return outputs | {"out": stages[-1][-1]}


# How to run a fixture's case and name its outputs; one line per fixture.
FORWARDS: dict[str, Forward] = {
    "mimounet": _mimo_unet,
    "mimounet_plus": _mimo_unet,
    "deblurganv2_mobilenet": _pyramid_generator,
    "deblurganv2_inception": _pyramid_generator,
    "fpn_inception_simple": _pyramid_generator,
    "deblurganv2_discriminator": _double_scale_discriminator,
    "deblurgan_resnet9": _deblurgan,
    "deblurgan_resnet9_head2019": _deblurgan,
    "stfan": _stfan,
    "edvr_m_deblur": _one_image,
    "edvr_l_deblur": _one_image,
    "edvr_m_x4": _one_image,
    "basicvsr_x4": _one_image,
    "iconvsr_x4": _one_image,
    "basicvsrpp_deblur": _one_image,
    "nafnet_width32": _nafnet,
    "nafnet_width64": _nafnet,
    "dmphn_124": _one_image,
    "deepdeblur_msresnet": _image_pyramid,
    "srn_simdeblur": _image_pyramid,
    "mprnet_deblur": _mprnet,
    "hinet_gopro": _hinet,
    "hinet_half": _hinet,
    "stripformer": _one_image,
    "fftformer": _one_image,
    "restormer_deblur": _one_image,
    "deeprft": _deeprft,
    "deeprft_doconv": _deeprft_doconv,
    "estrnn_c80b15": _one_image,
    "rife_v36": _rife_v36,
    "rife_v4x": _rife_v4x,
    "spynet": _spynet,
    "gfpgan_clean": _gfpgan,
    "facial_component_discriminator": _facial_component_discriminator,
    "arcface_resnet18": _one_image,
    "vgg_style_discriminator128": _vgg_style_discriminator,
    "unet_discriminator_sn": _unet_discriminator,
    "rrdbnet_x4": _one_image,
    "rrdbnet_x2": _one_image,
    "rrdbnet_x1": _one_image,
    "srvggnet_x4": _one_image,
    "uformer_b": _uformer,
    "maxim_3s": _maxim,
}


def claimed() -> dict[str, Callable[[], nn.Module]]:
    """Fixture -> the builder of the zoo's network that must reproduce it."""
    return {fixture: spec.build for spec in MODELS.values() for fixture in spec.parity}


def run(fixtures: Path, weights_dir: Path | None = None) -> Iterator[Result]:
    """Compare every case of every fixture in a folder.

    A manifest that cannot be read counts as one case that is different. Errors: FileNotFoundError if there is no
    fixture, or if one of the folders is not there.
    """
    for what, folder in (("fixtures", fixtures), ("weights", weights_dir)):
        if folder is not None and not Path(folder).is_dir():
            raise FileNotFoundError(f"--{what} {folder}: there is no such folder")
    nothing = True
    for path in sorted(Path(fixtures).glob("*.json")):
        try:
            manifest = fill.load_manifest(path)
        except (ValueError, OSError) as error:
            yield Result(fixture=path.stem, case="-", state="different", detail=f"{path.name} is no manifest: {error}")
            nothing = False
            continue
        if isinstance(manifest, dict) and {"state_dict", "cases"} <= set(manifest):
            yield from run_fixture(path, manifest, weights_dir)
            nothing = False
    if nothing:
        raise FileNotFoundError(f"no fixtures (NAME.json with NAME.npz) in {fixtures}")


def run_fixture(path: Path, manifest: dict, weights_dir: Path | None) -> Iterator[Result]:
    """Compare every case of one fixture; each gets a new module and the weights anew (norms move in training mode)."""
    fixture = str(manifest.get("name", path.stem))  # the file may be called otherwise, as in another set of cases
    build = claimed().get(fixture)
    for case in manifest["cases"]:
        state, detail = "skipped", f"no network of models/zoo.py has {fixture!r} in its `parity`"
        if build is not None:
            try:
                state, detail = _compare(path, manifest, case, build(), weights_dir)
            except FAILURES as error:
                state, detail = "different", " ".join(f"{type(error).__name__}: {error}".split())
        yield Result(fixture=fixture, case=str(case.get("case", "-")), state=state, detail=detail)


def _compare(path: Path, manifest: dict, case: dict, module: nn.Module, weights_dir: Path | None) -> tuple[str, str]:
    """(state, detail) of one case. Errors: whatever a wrong network throws: shapes, keys, outputs that are missing."""
    if case.get("weights") == "real":
        found = _real_weights(manifest, weights_dir)
        if found is None:
            return "skipped", "the published weights are not here"
        weights = dmphn.merge_folder(found) or maxim_files.read(found) or load_state_dict(found)
    else:
        weights = fill.fill_state_dict(manifest)
    if list(module.state_dict()) != [entry[0] for entry in manifest["state_dict"]]:
        differing = sorted({entry[0] for entry in manifest["state_dict"]} ^ set(module.state_dict()))
        return "different", f"{len(differing)} keys differ, such as {differing[:1]}" if differing else "order of keys"
    module.load_state_dict(weights, strict=True)
    _set_mode(module, case["mode"])
    stored = path.with_suffix(".npz")
    inputs = {spec["name"]: _input(spec, stored) for spec in case["inputs"]}
    if "scale_list" in case:
        inputs["scale_list"] = torch.tensor(case["scale_list"])
    if tile := re.search(r"tile side (\d+)", str(case.get("note", ""))):
        inputs["tile_side"] = torch.tensor(int(tile[1]))
    with torch.no_grad():
        outputs = FORWARDS[manifest["name"]](module, inputs)
    if not stored.is_file():
        return "different", f"{stored.name}, the expected outputs, is not beside {path.name}"
    report = fill.compare(outputs, case, stored)
    # The worst first; "not <=" so that NaN is a difference, too.
    worst, entry = max(report.items(), key=lambda item: (item[1]["rel"] != item[1]["rel"], item[1]["rel"]))
    state = "equal" if entry["rel"] <= case["tolerance_rel"] else "different"
    return state, f"{worst} differs by {entry['rel']:.1e} of its spread, {case['tolerance_rel']:.0e} allowed"


def _input(spec: dict, stored: Path) -> Tensor:
    """An input that a manifest describes; of the kind "stored" it is an image beside the expected outputs.

    Shape: stored [H, W, 3] uint8 -> [1, 3, H, W]. Errors: KeyError, ValueError if the image is not there or not one.
    """
    if spec.get("dist") != "stored":
        return fill.make_input(spec)
    with np.load(stored, allow_pickle=False) as arrays:
        image = arrays[spec["npz_key"]]
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"{spec['npz_key']} is no uint8 image (height, width, 3)")
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    if list(tensor.shape) != list(spec["shape"]):
        raise ValueError(f"{spec['npz_key']} has shape {list(tensor.shape)}, the manifest says {spec['shape']}")
    return tensor


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
    """The published file under a folder whose sha256 stands in the manifest's notes, or whose name does.

    Also one that the zoo knows by its sha256 (converted from the published ones), or a tf.js model whose parts'
    sha256 the manifest lists.
    """
    if weights_dir is None:
        return None
    notes = " ".join(str(note) for note in manifest.get("notes", []))
    notes += " ".join([" ", *manifest.get("real_weights_sha256", {}).values()])
    specs = [spec for spec in MODELS.values() if manifest["name"] in spec.parity]
    notes += " ".join([" ", *(entry.sha256 for spec in specs for entry in spec.weights)])
    for path in sorted(Path(weights_dir).rglob("*")):
        if manifest["name"] == "dmphn_124" and path.name == "encoder_lv1.pkl":
            return path  # the notes name the authors' six files by a pattern
        known = path.is_file() and (path.suffix in SUFFIXES or path.name == "model.json")
        if known and (path.name in notes or files.sha256_of(path) in notes):
            return path
    return None
