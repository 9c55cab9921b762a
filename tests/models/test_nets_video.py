"""Networks that look at several frames: windows, pieces, short clips, and laws beyond the fixtures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.nets.adapters import outputs_of
from models.nets.basicvsr import BasicVSR, BasicVSRPlusPlus, key_clips, key_frames
from models.nets.clips import OverlappingPieces, SlidingWindow, continued_indices, window_indices
from models.nets.edvr import EDVR, TwoStageEDVR, joined_weights
from models.nets.layers import pad_to_multiple, warp_features
from models.zoo import MODELS

PIECEWISE = ["basicvsr-x4-test", "iconvsr-x4-test", "basicvsr-deblur-test", "iconvsr-deblur-test", "basicvsr++-test"]
WINDOWED = ["edvr-test", "edvr-x4-test"]


def clip(count: int, height: int, width: int, seed: int = 0) -> list[Tensor]:
    """Smooth random texture that moves by a pixel a frame."""
    noise = torch.from_numpy(np.random.default_rng(seed).random((1, 3, height, width + count), dtype=np.float32))
    smooth = functional.avg_pool2d(functional.pad(noise, (2, 2, 2, 2), mode="reflect"), 5, 1)
    return [smooth[0, :, :, index : index + width].contiguous() for index in range(count)]


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    module = MODELS[name].build().eval()
    with torch.no_grad():  # new layers predict no offsets, and hardly anything passes through them: make them alive
        for key, weight in module.named_parameters():
            if weight.ndim == 4 and "spynet" not in key:
                weight.normal_(0, (1.5 / weight[0].numel()) ** 0.5)
    return module


def side_px(name: str) -> int:
    """The smallest side that the network takes without padding (and its multiple)."""
    return 48 if name in ("basicvsr-x4-test", "iconvsr-x4-test", "edvr-test", "edvr-x4-test") else 144


def restored(name: str, frames: list[Tensor], module: nn.Module | None = None) -> Tensor:
    with torch.no_grad():
        return torch.stack(list(MODELS[name].adapt(module or built(name)).restore(iter(frames))))


def test_windows_at_the_ends_of_a_clip() -> None:
    """The authors' two habits, written out for a clip of seven."""
    assert [window_indices(centre, 7, 2, "repeat") for centre in (0, 1, 3, 6)] == [
        [0, 0, 0, 1, 2],
        [0, 0, 1, 2, 3],
        [1, 2, 3, 4, 5],
        [4, 5, 6, 6, 6],
    ]
    assert [window_indices(centre, 7, 2, "other-side") for centre in (0, 1, 3, 5, 6)] == [
        [4, 3, 0, 1, 2],
        [4, 0, 1, 2, 3],
        [1, 2, 3, 4, 5],
        [3, 4, 5, 6, 2],
        [4, 5, 6, 3, 2],
    ]
    assert window_indices(1, 3, 2, "other-side") == [0, 0, 1, 2, 2]  # too short: repeated
    assert window_indices(0, 1, 2, "repeat") == [0] * 5
    with pytest.raises(ValueError, match='ends are "repeat" or "other-side"'):
        window_indices(0, 5, 2, "mirror")


def test_short_clips_are_reflected() -> None:
    assert continued_indices(3, 8) == [0, 1, 2, 1, 0, 1, 2, 1]
    assert continued_indices(2, 5) == [0, 1, 0, 1, 0]
    assert continued_indices(1, 3) == [0, 0, 0]
    assert continued_indices(4, 2) == [0, 1, 2, 3]


@pytest.mark.parametrize("ends", ["repeat", "other-side"])
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 11])
def test_a_sliding_window_sees_what_it_should(ends: str, count: int) -> None:
    """Frames stand for their numbers; every frame is prepared once."""
    prepared: list[int] = []
    seen: list[list[int]] = []

    def prepare(frame: Tensor) -> int:
        prepared.append(int(frame[0, 0, 0]))
        return prepared[-1]

    def restore_centre(window: list[int]) -> Tensor:
        seen.append(window)
        return torch.full((3, 1, 1), float(window[2]))

    frames = [torch.full((3, 1, 1), float(number)) for number in range(count)]
    method = SlidingWindow(prepare, restore_centre, reach=2, ends=ends)
    outputs = list(method.restore(iter(frames)))
    assert [int(output[0, 0, 0]) for output in outputs] == list(range(count)) == prepared
    assert seen == [window_indices(centre, count, 2, ends) for centre in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 10, 13, 14, 30])
def test_pieces_overlap_and_cover_a_clip(count: int) -> None:
    """Frames stand for their numbers; an output near a cut is never used, and none is missing."""
    pieces: list[list[int]] = []
    asked: list[int] = []

    def run(piece: Tensor, first: int):
        numbers = [int(number) for number in piece[0, :, 0, 0, 0]]
        pieces.append(numbers)
        for place in range(first, len(numbers)):
            asked.append(numbers[place])
            if len(pieces) > 1:
                assert place >= 2
            yield torch.full((3, 1, 1), float(numbers[place]))

    frames = [torch.full((3, 1, 1), float(number)) for number in range(count)]
    method = OverlappingPieces(run, length=7, overlap=2, shortest=1)
    assert [int(output[0, 0, 0]) for output in method.restore(iter(frames))] == list(range(count)) == asked
    assert all(len(piece) == min(count, 7) for piece in pieces)


def test_pieces_must_be_longer_than_their_overlaps() -> None:
    with pytest.raises(ValueError, match="pieces of 4 frames are too short: overlap 2, shortest 1"):
        OverlappingPieces(lambda piece, first: iter(()), length=4, overlap=2, shortest=1)


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("count", [5, 7])
def test_a_clip_of_one_piece_is_the_forward_pass(name: str, count: int) -> None:
    """Sizes that need no padding: what adapt() gives is what the authors' module gives, clamped."""
    module, frames = built(name), clip(count, side_px(name), side_px(name) + 16)
    with torch.no_grad():
        expected = module(torch.stack(frames)[None])[0].clamp(0, 1)
    torch.testing.assert_close(restored(name, frames, module), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PIECEWISE)
def test_long_clips_come_in_pieces(name: str) -> None:
    """Frame 0 to 4 of nine come from the piece of frames 0 to 6, the others from that of frames 2 to 8."""
    module, frames = built(name), clip(9, side_px(name), side_px(name))
    first = restored(name, frames[:7], module)[:5]
    second = restored(name, frames[2:], module)[3:]
    torch.testing.assert_close(restored(name, frames, module), torch.cat([first, second]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PIECEWISE + WINDOWED)
def test_a_still_is_a_repeated_frame(name: str) -> None:
    module, (frame,) = built(name), clip(1, side_px(name), side_px(name))
    minimum = 5 if "iconvsr" in name or "edvr" in name else 2
    with torch.no_grad():
        output = module(torch.stack([frame] * minimum)[None])[0]
    middle = (output if "edvr" in name else output[minimum // 2]).clamp(0, 1)
    torch.testing.assert_close(restored(name, [frame], module)[0], middle, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_are_the_forward_pass(name: str) -> None:
    """Features are kept from window to window; the middle frame is what the authors' module gives for its five."""
    module, frames = built(name), clip(7, 48, 64)
    ends = "other-side" if "x4" in name else "repeat"
    outputs = restored(name, frames, module)
    for centre in range(7):
        window = torch.stack([frames[index] for index in window_indices(centre, 7, 2, ends)])[None]
        with torch.no_grad():
            expected = module(window)[0].clamp(0, 1)
        torch.testing.assert_close(outputs[centre], expected, rtol=0, atol=1e-5)


def test_the_second_stage_sees_what_the_first_restored() -> None:
    module, frames = built("edvr-2stage-test"), clip(9, 32, 48)
    stage1 = restored("edvr-test", frames, module.stage1)
    expected = restored("edvr-test", list(stage1), module.stage2)
    outputs = restored("edvr-2stage-test", frames, module)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
    with torch.no_grad():  # far from the ends it is the module itself
        middle = module(torch.stack(frames)[None])[0].clamp(0, 1)
    torch.testing.assert_close(outputs[4], middle, rtol=0, atol=1e-5)


def test_two_stage_weights_are_those_of_two_networks() -> None:
    first, second = (EDVR(channels=8, groups=2, blocks=(1, back), last=8) for back in (2, 1))
    module = TwoStageEDVR(*(EDVR(channels=8, groups=2, blocks=(1, back), last=8) for back in (2, 1)))
    module.load_state_dict(joined_weights(first.state_dict(), second.state_dict()), strict=True)
    frames = torch.stack(clip(9, 16, 16))[None]
    with torch.no_grad():
        between = torch.stack([first(frames[:, start : start + 5]).clamp(0, 1) for start in range(5)], dim=1)
        torch.testing.assert_close(module(frames), second(between))


@pytest.mark.parametrize("name", PIECEWISE + WINDOWED)
def test_frames_of_one_clip_have_one_size(name: str) -> None:
    with pytest.raises(ValueError, match=r"of one size, got \[3, 40, 48\] after \[3, 32, 48\]"):
        restored(name, clip(2, 32, 48) + clip(1, 40, 48))


@pytest.mark.parametrize("name", PIECEWISE + WINDOWED)
def test_neighbours_matter(name: str) -> None:
    module, frames = built(name), clip(5, side_px(name), side_px(name))
    other = frames[:4] + clip(1, side_px(name), side_px(name), seed=1)
    difference = (restored(name, frames, module)[2] - restored(name, other, module)[2]).abs().max()
    assert difference > 1e-3


@pytest.mark.parametrize("name", PIECEWISE + WINDOWED)
def test_gradients_reach_every_weight(name: str) -> None:
    """All of it can be trained: in-place steps and strips do not cut the gradient."""
    module = built(name).train()
    output = module(torch.stack(clip(5, side_px(name), side_px(name)))[None])
    functional.l1_loss(output, torch.rand_like(output)).backward()
    silent = [key for key, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not silent


def test_a_static_clip_read_backwards_is_itself() -> None:
    """BasicVSR++ on its own time reversal (the authors' shortcut): the same as any other clip, with no state left."""
    module = built("basicvsr++-test")
    frames = clip(2, 132, 132)
    mirrored = torch.stack([*frames, *reversed(frames)])[None]
    with torch.no_grad():
        plain = module(torch.stack(clip(4, 132, 132))[None])
        module(mirrored)
        torch.testing.assert_close(module(torch.stack(clip(4, 132, 132))[None]), plain, rtol=0, atol=0)


def test_key_frames() -> None:
    assert key_frames(5) == [0, 4]
    assert key_frames(6) == [0, 5]
    assert key_frames(12) == [0, 5, 10, 11]
    numbers = torch.arange(7.0).view(1, 7, 1, 1, 1).expand(1, 7, 3, 1, 1)
    around = {index: [int(number) for number in frames[0, :, 0, 0, 0]] for index, frames in key_clips(numbers)}
    assert around == {0: [4, 3, 0, 1, 2], 5: [3, 4, 5, 6, 3], 6: [4, 5, 6, 3, 2]}


def test_features_move_along_the_flow() -> None:
    """A flow of (2, 1) reads two columns to the right and one row below; zero beyond the border."""
    features = torch.arange(42.0).view(1, 1, 6, 7)
    flow = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 7)
    moved = warp_features(features, flow)
    torch.testing.assert_close(moved[..., :5, :5], features[..., 1:, 2:])
    assert not moved[..., 5, :].any() and not moved[..., 5:].any()
    torch.testing.assert_close(warp_features(features[..., :1, :1], flow[..., :1, :1] * 0), features[..., :1, :1])


def test_networks_say_what_they_take() -> None:
    with pytest.raises(ValueError, match="5 frames with sides that are multiples of 16"):
        EDVR(channels=8, groups=2, blocks=(1, 1))(torch.zeros(1, 5, 3, 24, 32))
    with pytest.raises(ValueError, match="5 frames with sides"):
        EDVR(channels=8, groups=2, blocks=(1, 1))(torch.zeros(1, 3, 3, 32, 32))
    with pytest.raises(ValueError, match=r"multiples of 4, 132 px or more, got 128x132"):
        BasicVSRPlusPlus(channels=8, blocks=1, groups=2)(torch.zeros(1, 2, 3, 132, 128))
    with pytest.raises(ValueError, match="IconVSR takes clips of at least 5 frames, got 4"):
        built("iconvsr-x4-test")(torch.zeros(1, 4, 3, 64, 64))
    with pytest.raises(ValueError, match="SPyNet takes sides of at least 33 px"):
        BasicVSR(channels=8, blocks=1)(torch.zeros(1, 2, 3, 32, 64))


def test_padding_reaches_the_smallest_size() -> None:
    assert pad_to_multiple(torch.zeros(1, 3, 5, 140), 16, "reflect", 132).shape == (1, 3, 144, 144)
    image = torch.arange(12.0).view(1, 1, 3, 4)
    padded = pad_to_multiple(image, 1, "reflect", 5)
    assert torch.equal(padded[0, 0, :, 0], torch.tensor([0.0, 4, 8, 4, 0]))
    assert torch.equal(pad_to_multiple(image, 2, "reflect")[0, 0, 3], image[0, 0, 1])


def test_enlarging_variants_are_the_others_upsampled() -> None:
    """With its last layer at zero an x4 network is a bilinear enlargement, a deblurring one changes nothing."""
    for name in PIECEWISE + WINDOWED:
        module, frames = built(name), clip(5, side_px(name), side_px(name))
        nn.init.zeros_(module.conv_last.weight)
        nn.init.zeros_(module.conv_last.bias)
        factor = 4 if "x4" in name else 1
        expected = functional.interpolate(torch.stack(frames), scale_factor=factor, mode="bilinear")
        torch.testing.assert_close(restored(name, frames, module), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["edvr-test", "edvr-2stage-test", *(name for name in PIECEWISE if "x4" not in name)])
@pytest.mark.parametrize("count", [1, 3])
def test_training_starts_at_the_blurred_clip(name: str, count: int) -> None:
    """With the layers that a recipe sets to zero, every output is its own blurred frame, cropped as it came."""
    module = built(name)
    for layer in MODELS[name].training.residual:
        nn.init.zeros_(module.get_submodule(layer).weight)
        nn.init.zeros_(module.get_submodule(layer).bias)
    blur, sharp = (torch.stack(clip(count, 36, 40, seed))[None] for seed in (0, 1))
    with torch.no_grad():
        pairs = outputs_of(MODELS[name])(module, blur, sharp)
    stages = 2 if "2stage" in name else 1
    assert len(pairs) == stages * count
    for number, (output, target) in enumerate(pairs):
        torch.testing.assert_close(output, blur[:, number % count], rtol=0, atol=1e-6)
        assert torch.equal(target, sharp[:, number % count])


@pytest.mark.parametrize("name", ["edvr-test", "basicvsr++-test"])
def test_training_sees_what_restoring_sees(name: str) -> None:
    """The outputs in training are those of adapt() on the same clip, before the clamp; of EDVR whole windows alone."""
    module, frames = built(name), clip(5, 144, 144)
    blur = torch.stack(frames)[None]
    with torch.no_grad():
        pairs = outputs_of(MODELS[name])(module, blur, blur)
    assert len(pairs) == (1 if name == "edvr-test" else 5)
    trained = torch.cat([output for output, _ in pairs]).clamp(0, 1)
    cut = (5 - len(pairs)) // 2
    expected = restored(name, frames, module)[cut : cut + len(pairs)]
    torch.testing.assert_close(trained, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["edvr-x4-test", "basicvsr-x4-test", "iconvsr-x4-test"])
def test_x4_trains_on_area_means(name: str) -> None:
    """The outputs in training are those of adapt() on means over 4x4 pixels, for pairs of one size."""
    module, blur = built(name), torch.stack(clip(5, 192, 192))[None]
    small = list(functional.avg_pool2d(blur[0], 4).unbind(0))
    with torch.no_grad():
        pairs = outputs_of(MODELS[name])(module, blur, blur)
    count = 1 if name == "edvr-x4-test" else 5  # of a clip of five EDVR learns the middle
    assert all(torch.equal(target, blur[:, (5 - count) // 2 + number]) for number, (_, target) in enumerate(pairs))
    trained = torch.cat([output for output, _ in pairs]).clamp(0, 1)
    assert trained.shape == (count, 3, 192, 192)
    # The middle: adapt() repeats other frames at the ends of a clip.
    torch.testing.assert_close(trained[count // 2], restored(name, small, module)[2], rtol=0, atol=1e-5)


def test_a_frozen_stage_is_not_compared() -> None:
    """EDVR's cascade: each network learns alone while the other one is frozen, and no gradient reaches that."""
    module, blur = built("edvr-2stage-test"), torch.stack(clip(3, 32, 32))[None]
    outputs = outputs_of(MODELS["edvr-2stage-test"])
    for learning, frozen in ((module.stage1, module.stage2), (module.stage2, module.stage1)):
        learning.requires_grad_(True)
        frozen.requires_grad_(False)
        pairs = outputs(module, blur, blur)
        assert len(pairs) == 3
        module.zero_grad(set_to_none=True)
        torch.stack([(output - target).square().mean() for output, target in pairs]).sum().backward()
        assert all(parameter.grad is None for parameter in frozen.parameters())
        assert learning.conv_last.weight.grad is not None
    module.requires_grad_(True)
    assert len(outputs(module, blur, blur)) == 6
