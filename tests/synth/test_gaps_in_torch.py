"""The GPU's path, run on the CPU (`torch-cpu`): the same integrals as numba's, the same pairs within 1/255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.camera_response import response
from core.image_files import read_image
from synth import make_pairs
from synth.gaps_in_torch import choose_device
from synth.interp.flow import TIERS, Flow
from synth.interp.integral import gap_total, padded_lin
from synth.interp.integral_in_torch import gap_totals
from synth.manifest import read_manifest
from tests.synth.clips import moving_frames, write_frames
from tests.synth.networks import make_interpolator

SRGB = response("srgb")


@pytest.mark.parametrize("tier", sorted(TIERS))
@pytest.mark.parametrize("speed_px", [0.4, 3.0, 9.0])
def test_integrals_agree(tier: str, speed_px: float) -> None:
    rng = np.random.default_rng(1)
    frames = moving_frames(5, speed_px=speed_px)
    flow = Flow(TIERS[tier])
    motions = [flow.motion(frames[gap], frames[gap + 1]) for gap in range(4)]
    paths = [flow.path(motions[0], None, None), flow.path(motions[1], motions[0], motions[2])]
    # A wild path: everywhere else, and out of the picture.
    wild = flow.path(motions[2] + rng.normal(0, 12, motions[2].shape).astype(np.float32), motions[1], motions[3])
    paths.append(wild)
    arguments = (16, flow.sampling())
    batch = gap_totals(frames[:3], frames[1:4], paths, *arguments, SRGB, torch.device("cpu"))
    for index, total in enumerate(batch):
        ends = [padded_lin(frames[index + side], SRGB) for side in (0, 1)]
        expected = gap_total(ends[0], ends[1], paths[index], *arguments)
        # A position may round to the other 1/64 px, and a length to another number of steps, in few places.
        assert np.abs(total - expected).mean() < 2e-5 * 16
        assert np.quantile(np.abs(total - expected), 0.999) < 2e-3 * 16
        assert total.flags.writeable and total.shape == expected.shape


@pytest.mark.parametrize(
    "options",
    [
        ("--interpolator", "flow"),
        ("--interpolator", "flow-fast", "--window", "3,5", "--stride", "1"),
        ("--interpolator", "flow", "--duty", "0.6", "--camera", "saturated"),
        ("--interpolator", "crossfade"),
        ("--recipe", "gopro_like", "--window", "7,11,13", "--stride", "7"),
    ],
)
def test_pairs_within_one_level(tmp_path: Path, options: tuple[str, ...]) -> None:
    clip = write_frames(tmp_path / "clip", moving_frames(31, speed_px=3.0))
    common = ["--video", str(clip), "--fps", "240", *(() if "--window" in options else ("--window", "5")), *options]
    for device in ("cpu", "torch-cpu"):
        assert make_pairs.main([*common, "--device", device, "--out", str(tmp_path / device)]) == 0
    pairs = list(zip(read_manifest(tmp_path / "cpu"), read_manifest(tmp_path / "torch-cpu"), strict=True))
    assert len(pairs) >= 3
    for one, other in pairs:
        assert (one.key, one.sharp_sha256) == (other.key, other.sharp_sha256)
        blurs = [read_image(one.blur_path(tmp_path / "cpu")), read_image(other.blur_path(tmp_path / "torch-cpu"))]
        assert np.abs(blurs[0].astype(int) - blurs[1]).max() <= 1


@pytest.mark.parametrize("name", ["rife", "spynet"])
def test_networks_see_several_gaps_at_once(name: str) -> None:
    interpolator = make_interpolator(name)
    frames = moving_frames(4, speed_px=2.0)
    gaps = [(frames[index], frames[index + 1]) for index in range(3)]
    together = interpolator.motions(gaps)  # type: ignore[attr-defined]
    for (first, second), motion_px in zip(gaps, together, strict=True):
        alone = interpolator.motion(first, second)  # type: ignore[attr-defined]
        np.testing.assert_allclose(motion_px, alone, atol=2e-3 * max(1.0, float(np.abs(alone).max())))


def test_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_device("cpu") == "cpu" and choose_device("torch-cpu") == "torch-cpu"
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="auto, cpu, cuda, torch-cpu, got 'tpu'"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="sees no GPU here"):
            choose_device("cuda")
    arguments = ["--scheduler", "tcp://127.0.0.1:1", "--device", "torch-cpu", "--out", str(tmp_path)]
    assert make_pairs.main(arguments) == 2 and "CPU workers" in capsys.readouterr().err
