"""Networks in a run that need more than a file of weights: larger outputs, switches, tiles, no weights at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark import run
from benchmark.restoring import AreaReduced
from benchmark.results import MethodRow, ScoreRow, read_rows
from core.image_files import read_image
from models import weights
from models.restorer import open_method
from models.zoo import MODELS
from tests.benchmark.run_data import HEIGHT, SEQUENCES, WIDTH, World, build_here, quick_cost

KEY = f"{SEQUENCES[0]}/000002"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.run.measure_apart", quick_cost)
        patch.setattr("benchmark.run.build_report", build_here)
        made = World(tmp_path_factory.mktemp("networks"))
        for name in ("srvggnet-test", "rrdbnet-x2-test", "mimo-unet-test"):
            torch.manual_seed(0)
            torch.save(MODELS[name].build().state_dict(), made.home / f"{name}.pth")
        yield made


def run_with_weights(world: World, out: str, name: str, *more: str) -> int:
    given = f"{name}={world.home / f'{name}.pth'}"
    return world.run(out, name, "--protocols", "gopro-linear", "--weights", given, *more)


def rows(world: World, out: str) -> list[MethodRow]:
    return read_rows(world.home / out / "methods.csv", MethodRow)


def blurred(world: World) -> Tensor:
    image = read_image(world.data / "GOPRO_Large" / "test" / SEQUENCES[0] / "blur" / "000002.png")
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)


@pytest.mark.parametrize(("name", "scale"), [("srvggnet-test", 4), ("rrdbnet-x2-test", 2)])
def test_super_resolution_is_reduced_by_area(world: World, name: str, scale: int) -> None:
    assert run_with_weights(world, name, name) == 0
    (row,) = rows(world, name)
    assert (row.status, row.switches, row.task) == ("ok", f"x{scale}, area-reduced", f"sr{scale}")
    assert len(read_rows(world.home / name / "scores.csv", ScoreRow)) == 2 * 3 * 2
    (native,) = open_method(name, world.home / f"{name}.pth", "cpu").restore(iter([blurred(world)]))
    assert native.shape == (3, scale * HEIGHT, scale * WIDTH)
    mean = native.reshape(3, HEIGHT, scale, WIDTH, scale).double().mean(dim=(2, 4))
    image = read_image(world.home / name / "images" / "gopro" / name / f"{KEY}.png").transpose(2, 0, 1)
    assert np.abs(image - 255 * mean.numpy()).max() <= 0.5 + 1e-3


def test_area_reduction_of_odd_sides_and_of_wrong_outputs() -> None:
    class Enlarging:
        def __init__(self, scale: int) -> None:
            self.scale = scale

        def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
            for frame in list(frames):  # as a network that reads ahead
                yield frame.repeat_interleave(self.scale, dim=1).repeat_interleave(self.scale, dim=2)

    clip = [torch.rand(3, 7, 9), torch.rand(3, 5, 11)]
    for frame, reduced in zip(clip, AreaReduced(Enlarging(4), 4).restore(iter(clip)), strict=True):
        torch.testing.assert_close(reduced, frame, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="a network of scale 4 turned 7 x 9 px into 14 x 18"):
        list(AreaReduced(Enlarging(2), 4).restore(iter(clip)))


def test_switches_are_done_and_recorded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with_weights(world, "switched", "mimo-unet-test", "--switches", "truncate,self-ensemble") == 0
    (row,) = rows(world, "switched")
    assert row.switches == "truncate, self-ensemble"
    assert "--switches truncate,self-ensemble" in row.command
    path = world.home / "mimo-unet-test.pth"
    (expected,) = open_method("mimo-unet-test", path, "cpu", ["truncate", "self-ensemble"]).restore(
        iter([blurred(world)])
    )
    image = read_image(world.home / "switched" / "images" / "gopro" / "mimo-unet-test" / f"{KEY}.png")
    assert np.array_equal(image.transpose(2, 0, 1), (expected * 255).round().byte().numpy())
    assert run_with_weights(world, "switched", "mimo-unet-test", "--switches", "truncate") == 2
    assert "switches was ['truncate', 'self-ensemble'] and is ['truncate'] now" in capsys.readouterr().err
    assert run_with_weights(world, "tiles", "mimo-unet-test", "--tile", "128", "--limit", "1") == 0
    assert rows(world, "tiles")[0].switches == "tiles of 128 px"


def test_baselines_take_no_switches(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("none", "identity", "--switches", "truncate") == 2
    assert "--switches and --tile are for networks, and there is none" in capsys.readouterr().err


def test_a_folder_from_before_switches_goes_on(world: World) -> None:
    import json

    assert run_with_weights(world, "older", "mimo-unet-test", "--limit", "1") == 0
    path = world.home / "older" / "run.json"
    record = json.loads(path.read_text())
    del record["configuration"]["switches"], record["configuration"]["tile"]
    path.write_text(json.dumps(record))
    assert run_with_weights(world, "older", "mimo-unet-test", "--limit", "1") == 0
    assert run_with_weights(world, "older", "mimo-unet-test", "--limit", "1", "--tile", "128") == 2


def test_all_gives_a_row_to_networks_without_weights(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.run("named", "srvggnet-test") == 2
    assert "srvggnet-test cannot be trained here: give its weights" in capsys.readouterr().err

    monkeypatch.setattr("benchmark.methods.RESTORERS", ("srvggnet-test",))
    assert world.run("all", "all", "--protocols", "gopro-linear", "--limit", "1") == 0
    assert "srvggnet-test: not run: no weights here" in capsys.readouterr().err
    found = {row.method: row.status for row in rows(world, "all")}
    assert found["identity"] == "ok"
    assert (
        found["srvggnet-test"]
        == "not run: no weights here and no quick recipe to train it; give --weights srvggnet-test=FILE"
    )
    table = (world.home / "all" / "leaderboard.md").read_text()
    assert "| srvggnet-test | not run |" in table
    assert "- srvggnet-test not run: no weights here" in table
    assert world.run("all", "all", "--protocols", "gopro-linear", "--limit", "1") == 0  # finished before


def test_a_missing_feature_network_is_a_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that compares features of VGG19, without its file: the other methods go on."""
    from dataclasses import replace

    from models.zoo import MODELS

    monkeypatch.setitem(MODELS, "deblurgan-test", replace(MODELS["deblurgan-test"], recipe="deblurgan"))
    monkeypatch.setattr("benchmark.methods.RESTORERS", ("deblurgan-test",))
    assert world.run("features", "all", "--protocols", "gopro-linear", "--limit", "1") == 1
    found = {row.method: row.status for row in rows(world, "features")}
    assert found["identity"] == "ok"
    assert "vgg19" in found["deblurgan-test"] and "--feature-net squeezenet or random" in found["deblurgan-test"]


def test_weights_by_name(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes((world.home / "mimo-unet-test.pth").read_bytes())
    words = ["--methods", "mimo-unet-test", "--weights", "mimo-unet-test=mine.pth", "--weights-dir", str(tmp_path)]
    config = run.configuration(run.parser().parse_args(words))
    assert config.weights == (("mimo-unet-test", tmp_path / "mine.pth"),)
    assert weights.load_state_dict(config.weights[0][1])


def test_a_row_of_six_files_names_them_all(world: World) -> None:
    """DMPHN's weights are a folder; another file of the six is another run."""
    folder = world.home / "six"
    folder.mkdir()
    torch.manual_seed(0)
    for part, child in MODELS["dmphn-test"].build().named_children():
        torch.save(child.state_dict(), folder / f"{part}.pkl")
    words = ("six-out", "dmphn-test", "--protocols", "gopro-linear", "--weights", f"dmphn-test={folder}")
    assert world.run(*words) == 0
    (row,) = rows(world, "six-out")
    assert row.status == "ok" and row.weights_sha256 == weights.identity_of(folder)
    state = torch.load(folder / "decoder_lv3.pkl")
    torch.save({key: value * 1.01 for key, value in state.items()}, folder / "decoder_lv3.pkl")
    assert weights.identity_of(folder) != row.weights_sha256
    assert world.run(*words, "--resume") == 2  # output of another configuration
    (folder / "encoder_lv2.pkl").unlink()
    assert world.run(*words, "--resume") == 2
