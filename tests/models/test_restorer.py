"""The Restorer around every network: tiles, the eight poses, and the authors' habits as switches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core import memory
from models import restorer, tiling
from models.restorer import POSES, Restorer, SelfEnsemble, check_switches, open_method, posed, truncated, unposed
from models.spec import SWITCHES
from models.tiling import OVERLAP_PX, AutoSide, Compared, Tiled, blending, parse_tile, spans
from models.zoo import MODELS

CPU = torch.device("cpu")


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((3, height, width), dtype=np.float32))


def smooth(height: int, width: int) -> Tensor:
    return functional.interpolate(image(height // 8, width // 8)[None], size=(height, width), mode="bicubic")[0]


def built(name: str, **options) -> Restorer:
    torch.manual_seed(1)
    return Restorer(MODELS[name], MODELS[name].build(), CPU, **options)


class Blurring:
    """A method of known reach: the mean over 2 * reach + 1 pixels either way, edges repeated."""

    def __init__(self, reach: int, scale: int = 1) -> None:
        self.reach, self.scale, self.sizes = reach, scale, []

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        for frame in frames:
            self.sizes.append(tuple(frame.shape[-2:]))
            padded = functional.pad(frame[None], [self.reach] * 4, mode="replicate")
            mean = functional.avg_pool2d(padded, 2 * self.reach + 1, stride=1)[0]
            yield mean.repeat_interleave(self.scale, dim=1).repeat_interleave(self.scale, dim=2)


# Tiles


@pytest.mark.parametrize("length", [*range(129, 700, 43), 1280, 1921])
@pytest.mark.parametrize(("side", "multiple"), [(128, 1), (130, 4), (256, 32), (512, 8)])
def test_spans_cover_the_axis_and_overlap(length: int, side: int, multiple: int) -> None:
    places = spans(length, side, multiple)
    assert places[0][0] == 0 and places[-1][1] == length
    assert all(end - start <= side and start % multiple == 0 for start, end in places)
    assert all(earlier[1] - later[0] >= OVERLAP_PX for earlier, later in pairwise(places))


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("length", [100, 130, 301, 620])
def test_what_tiles_count_adds_up_to_one(length: int, scale: int) -> None:
    places = spans(length, 128, 4)
    total = torch.zeros(length * scale)
    for (start, end), weight in zip(places, blending(places, length, scale), strict=True):
        total[start * scale : end * scale] += weight
        if start > 0:
            assert not weight[: tiling.MARGIN_PX * scale].any()
    torch.testing.assert_close(total, torch.ones(length * scale))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_tiles_make_no_difference_within_the_margin(scale: int) -> None:
    """A network that reaches no further than the margin gives the same image in tiles."""
    spec = dataclasses.replace(MODELS["mimo-unet-test"], task={1: "deblur", 2: "sr2", 4: "sr4"}[scale])
    method, frame = Blurring(tiling.MARGIN_PX, scale), image(300, 410)
    (tiles,) = Tiled(method, spec, lambda height, width: 128).restore(iter([frame]))
    assert len(method.sizes) > 1 and max(max(size) for size in method.sizes) <= 128
    (whole,) = Blurring(tiling.MARGIN_PX, scale).restore(iter([frame]))
    assert tiles.shape == (3, 300 * scale, 410 * scale)
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-6)


def test_tiles_of_networks_are_near_the_whole_image() -> None:
    frame = smooth(208, 264)
    for name in ("mimo-unet-test", "rrdbnet-x4-test", "rrdbnet-x1-test", "srvggnet-test"):
        (tiles,) = built(name, tile=128).restore(iter([frame]))
        (whole,) = built(name).restore(iter([frame]))
        assert tiles.shape == whole.shape
        assert float((tiles - whole).abs().max()) < 1e-3, name


def test_a_clip_in_tiles_keeps_a_state_for_each_tile() -> None:
    clip = [smooth(136, 200), smooth(136, 200).flip(2), smooth(136, 200).flip(1)]
    tiles = list(built("stfan-test", tile=128).restore(iter(clip)))
    whole = list(built("stfan-test").restore(iter(clip)))
    stills = [next(iter(built("stfan-test").restore(iter([frame])))) for frame in clip]
    assert len(tiles) == 3
    for index in range(3):
        assert float((tiles[index] - whole[index]).abs().max()) < 1e-3
    assert float((whole[2] - stills[2]).abs().max()) > 1e-2  # so it was the state that tiles kept


def test_a_clip_in_tiles_has_one_size() -> None:
    with pytest.raises(ValueError, match="the frames of a clip have one size"):
        list(built("stfan-test", tile=128).restore(iter([image(136, 200), image(136, 204)])))


def test_small_images_are_not_cut() -> None:
    frame = image(100, 128)
    cut = built("mimo-unet-test", tile=128)
    assert torch.equal(*[next(iter(m.restore(iter([frame])))) for m in (cut, built("mimo-unet-test"))])
    assert cut.tiled is not None and cut.tiled.used_px is None


def test_the_difference_is_measured() -> None:
    frame = smooth(208, 264)
    compared = Compared(built("mimo-unet-test", tile=128), built("mimo-unet-test"))
    (tiles,) = compared.restore(iter([frame]))
    (whole,) = built("mimo-unet-test").restore(iter([frame]))
    difference = (tiles - whole).abs()
    assert compared.largest == float(difference.max()) > 0
    psnr = -10 * math.log10(float(difference.square().mean()))
    assert compared.sentence().endswith(f"PSNR {psnr:.1f} dB (1 images)")
    same = Compared(built("mimo-unet-test"), built("mimo-unet-test"))
    list(same.restore(iter([frame])))
    assert "are the same" in same.sentence()


@pytest.mark.parametrize(
    ("name", "tile", "sentence"),
    [
        ("mimo-unet-test", 64, "a number of pixels from 128 up, got 64"),
        ("mimo-unet-test", "big", "auto, none or a number"),
        ("stfan-test", "auto", "keeps its state over a clip.*name a size"),
    ],
)
def test_tiles_that_do_not_suit(name: str, tile: int | str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        built(name, tile=tile)


def test_reading_the_option() -> None:
    assert [parse_tile(text) for text in ("auto", "none", "256")] == ["auto", "none", 256]
    with pytest.raises(ValueError, match="--tile is auto, none or a number of pixels, got '-3'"):
        parse_tile("-3")


# Memory


def test_peak_memory_is_that_of_the_tensors_alive_at_one_time() -> None:
    def work() -> Tensor:
        one = torch.zeros(1000, 1000)  # 4 MB
        two = one + 1  # 8 MB at one time
        del one
        three = two * 2  # 8 MB again
        three.add_(1)  # in place: nothing new
        return three[:10]  # a view: nothing new

    assert tiling.peak_tensor_bytes(work) == 8_000_000
    assert tiling.peak_tensor_bytes(work) == 8_000_000


def test_memory_grows_with_the_image() -> None:
    """A convolution to 10 channels: 40 bytes of result for a pixel beside the 12 of the image."""
    conv = nn.Conv2d(3, 10, 1)
    with torch.no_grad():
        assert tiling.peak_tensor_bytes(lambda: conv(torch.zeros(1, 3, 50, 60))) == 50 * 60 * (12 + 40)


def test_free_memory(tmp_path, monkeypatch) -> None:
    assert 0 < memory.free_bytes(CPU) < 1 << 50
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("2500\n")
    (tmp_path / "memory.stat").write_text("anon 900\ninactive_file 400\n")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert memory.free_bytes(CPU) == 900
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(CPU) > 1 << 20


def test_auto_tiles_fit_the_free_memory(monkeypatch) -> None:
    spec = MODELS["mimo-unet-test"]
    side = AutoSide(built("mimo-unet-test"), spec, CPU)
    needed = side.bytes_per_px()
    assert needed > 12
    for free_px, expected in ((4_000_000, None), (2 * 200 * 200, 200), (2 * 130 * 130, 128), (10, 128)):
        monkeypatch.setattr(tiling, "free_bytes", lambda _, free_px=free_px: int(free_px * needed) + 1)
        assert side(1000, 700) == expected
    assert side(200, 200) is None  # small images need no look at the memory
    auto = built("mimo-unet-test", tile="auto")
    (restored,) = auto.restore(iter([image(260, 300)]))
    assert restored.shape == (3, 260, 300) and auto.tiled is not None and auto.tiled.used_px == 128


# Self-ensemble


def test_the_eight_poses() -> None:
    frame = image(4, 6)
    poses = [posed(frame, *pose) for pose in POSES]
    assert len({(*pose.shape, *pose.flatten().tolist()) for pose in poses}) == 8
    assert all(torch.equal(unposed(posed(frame, *pose), *pose), frame) for pose in POSES)


def test_self_ensemble_is_the_mean_over_the_poses() -> None:
    frame, network = image(40, 52), built("mimo-unet-test")
    answers = []
    for pose in POSES:
        (restored,) = network.restore(iter([posed(frame, *pose)]))
        answers.append(unposed(restored, *pose))
    (restored,) = built("mimo-unet-test", switches=["self-ensemble"]).restore(iter([frame]))
    torch.testing.assert_close(restored, torch.stack(answers).mean(dim=0), rtol=0, atol=1e-6)


def test_self_ensemble_does_not_care_how_the_image_lies() -> None:
    frame, network = image(40, 40), built("rrdbnet-x4-test", switches=["self-ensemble"])
    (upright,) = network.restore(iter([frame]))
    (lying,) = network.restore(iter([posed(frame, True, 1)]))
    assert upright.shape == (3, 160, 160)
    torch.testing.assert_close(unposed(lying, True, 1), upright, rtol=0, atol=1e-6)


def test_self_ensemble_keeps_eight_states_and_takes_frames_one_at_a_time() -> None:
    clip, taken = [image(32, 40, seed) for seed in range(4)], []

    def source() -> Iterator[Tensor]:
        for index, frame in enumerate(clip):
            taken.append(index)
            yield frame

    network = built("stfan-test")
    expected = [
        torch.stack(
            [
                unposed(list(network.restore(posed(frame, *pose) for frame in clip))[index], *pose)
                for pose in POSES
            ]
        ).mean(dim=0)
        for index in range(4)
    ]  # fmt: skip
    for index, restored in enumerate(SelfEnsemble(network).restore(source())):
        assert len(taken) == index + 1
        torch.testing.assert_close(restored, expected[index], rtol=0, atol=1e-6)
    assert len(taken) == 4


# Switches


def test_truncation_cuts_off_and_keeps_levels() -> None:
    levels = torch.arange(256) / 255
    assert torch.equal(truncated(levels), levels)
    assert torch.equal(
        truncated(torch.tensor([0.999, 1.0, 0.0, 2.9 / 255])) * 255, torch.tensor([254.0, 255.0, 0.0, 2.0])
    )
    frame = image(40, 52)
    (plain,) = built("mimo-unet-test").restore(iter([frame]))
    (cut,) = built("mimo-unet-test", switches=["truncate"]).restore(iter([frame]))
    assert torch.equal((cut * 255).round(), (plain * 255).floor())


def test_local_converter_is_handed_to_the_network() -> None:
    calls = []
    spec = dataclasses.replace(
        MODELS["mimo-unet-test"],
        switches=("local-converter",),
        localise=lambda module, height, width: calls.append((type(module).__name__, height, width)),
    )
    Restorer(spec, spec.build(), CPU)
    assert not calls
    Restorer(spec, spec.build(), CPU, ["local-converter"])
    assert calls == [("MIMOUNet", 384, 384)]


def test_train_mode_is_handed_to_the_adapter() -> None:
    class Adapter:
        train_mode = False

        def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
            for frame in frames:
                yield frame * 0 + float(self.train_mode)

    spec = dataclasses.replace(
        MODELS["mimo-unet-test"], switches=("train-mode",), adapter=lambda spec, module: Adapter()
    )
    for switches, level in (([], 0.0), (["train-mode"], 1.0)):
        (restored,) = Restorer(spec, spec.build(), CPU, switches).restore(iter([image(16, 16)]))
        assert float(restored.min()) == float(restored.max()) == level
    incapable = dataclasses.replace(MODELS["mimo-unet-test"], switches=("train-mode",))
    with pytest.raises(ValueError, match="lists train-mode but cannot do it"):
        Restorer(incapable, incapable.build(), CPU, ["train-mode"])


def test_half_precision_is_near_and_only_for_a_gpu(monkeypatch) -> None:
    with pytest.raises(ValueError, match="half precision is for a GPU and the device is cpu"):
        built("srvggnet-test", switches=["half"])
    monkeypatch.setattr(restorer, "check_switches", lambda *_: None)  # float16 runs on a CPU, too, only slowly
    frame = image(40, 52)
    (half,) = built("srvggnet-test", switches=["half"]).restore(iter([frame]))
    (full,) = built("srvggnet-test").restore(iter([frame]))
    assert half.dtype == torch.float32
    assert 0 < float((half - full).abs().max()) < 0.01


def test_switches_that_do_not_suit() -> None:
    spec = dataclasses.replace(MODELS["mimo-unet-test"], switches=("truncate",))
    with pytest.raises(ValueError, match="mimo-unet-test has no switch self-ensemble; it knows truncate"):
        check_switches(spec, ["truncate", "self-ensemble"], CPU)
    with pytest.raises(ValueError, match="no switch is called 'fast'; there are train-mode, truncate"):
        check_switches(spec, ["fast"], CPU)
    with pytest.raises(ValueError, match="identity is not a network: it takes no switches"):
        open_method("identity", None, CPU, ["truncate"])


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name].adapter])
def test_every_network_can_do_what_it_lists(name: str) -> None:
    spec = MODELS[name]
    assert set(spec.switches) <= set(SWITCHES)
    with pytest.raises(ValueError, match=r"'local-converter' and localise\(\) need each other"):
        dataclasses.replace(spec, localise=None, switches=("local-converter",))
    assert "train-mode" not in spec.switches or hasattr(spec.adapt(spec.build()), "train_mode")


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-test") and MODELS[name].adapter])
def test_every_switch_of_every_network_runs(name: str) -> None:
    for switch in MODELS[name].switches:
        if switch != "half":
            restored = list(built(name, switches=[switch]).restore(iter([smooth(48, 64), smooth(48, 64)])))
            side = 48 * MODELS[name].scale
            assert len(restored) == 2 and restored[0].shape == (3, side, 64 * MODELS[name].scale)
