"""Training on live exposures: same batches for any number of workers, exact resuming, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.random_streams import stream
from models.train import main
from models.training.live_samples import REUSE, LiveSampler, live_sources, validation_samples
from synth.live_exposures import LiveSettings
from tests.synth.test_live_frames import panned


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(12):
        noise = stream(number, "photograph").integers(0, 256, (12, 16, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:02d}.png"), cv2.resize(noise, (128, 96), interpolation=cv2.INTER_CUBIC))
    return folder


def sampler(folder: Path, workers: int, frames: tuple[Path, ...] = ()) -> LiveSampler:
    return LiveSampler(live_sources((folder,), frames), LiveSettings(), seed=4, crop_px=32, workers=workers)


def test_any_number_of_workers_and_any_order_give_the_same_batches(photographs: Path, tmp_path: Path):
    (tmp_path / "frames").mkdir()
    panned(tmp_path / "frames", step=5)
    one, three = (sampler(photographs, workers, (tmp_path / "frames",)) for workers in (1, 3))
    first = [one.parts(step, 4)[0] for step in range(3)]
    for step in (2, 0):
        for own, other in zip(first[step], three.parts(step, 4)[0], strict=True):
            assert own.shape == (4, 1, 3, 32, 32)
            assert torch.equal(own, other)
    halves = three.parts(1, 4, parts=2)
    assert torch.equal(torch.cat([half[0] for half in halves]), first[1][0])


def test_an_exposure_is_shown_a_few_times_and_never_the_same(photographs: Path):
    source = sampler(photographs, 1)
    order = [int(place) % 128 for place in stream(4, "live order", 0).permutation(128 * REUSE)]
    assert sorted(order) == sorted(list(range(128)) * REUSE)
    twice = [number for number in range(len(order)) if order[number] == order[0]]
    shown = [source.sample(number)[0] for number in twice]
    assert len(shown) == REUSE and not np.array_equal(shown[0], shown[1])


def test_held_out_pictures_do_not_train(photographs: Path):
    sources = live_sources((photographs,), ())
    assert [path.name for path in sources.held_out] == ["09.png"]
    assert not {path.name for path in sources.photographs[0]} & {"09.png"}
    assert sources.count == 11
    ((blur, sharp),) = validation_samples(sources, LiveSettings())
    assert blur.shape == sharp.shape == (3, 256, 256)


def test_train_resumes_to_the_same_bytes(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = ["--model", "nafnet-test", "--recipe", "photographs", "--sharp", str(photographs), "--crop", "32"]
    arguments += ["--batch", "2", "--steps", "4", "--threads", "1"]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    from models.training import loop

    step = loop._Training.step

    def stopping(self, number: int) -> float:
        if number == 2:
            self.save(2, None)
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(loop._Training, "step", stopping)
    assert main([*arguments, "--out", str(tmp_path / "cut"), "--workers", "2"]) == 130
    monkeypatch.setattr(loop._Training, "step", step)
    assert main([*arguments, "--out", str(tmp_path / "cut"), "--resume", "--workers", "2"]) == 0
    whole, cut = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys() and all(torch.equal(whole[key], cut[key]) for key in whole)
    meta = json.loads((tmp_path / "whole" / "checkpoint.json").read_text())
    assert meta["pairs"] == 11 and "blurred live" in meta["held_out"]
    assert meta["configuration"]["live"][0]["extent_px"] == [1.0, 40.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sharp", "nowhere"], "is no folder"),
        (["--sharp", "{folder}", "--pairs", "x"], "take the place of --pairs"),
        (["--frames", "{folder}", "--every", "2"], "--every"),
        (["--sharp", "{folder}", "--mix", "1,2"], "one number per folder"),
    ],
)
def test_refusals_are_one_sentence(
    photographs: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    given = [text.format(folder=photographs) for text in arguments]
    assert main(["--model", "nafnet-test", "--recipe", "photographs", *given]) == 2
    assert sentence in capsys.readouterr().err


def test_a_network_of_several_frames_is_refused(photographs: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--model", "stfan-test", "--sharp", str(photographs)]) == 2
    assert "single pictures" in capsys.readouterr().err
