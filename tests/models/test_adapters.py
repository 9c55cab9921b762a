"""What adapt() hands to a network and takes from it: padding, range, order of channels, state, norm statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.zoo import MODELS


def clip(count: int, height: int, width: int) -> list[Tensor]:
    rng = np.random.default_rng(height)
    return [torch.from_numpy(rng.random((3, height, width), dtype=np.float32)) for _ in range(count)]


class Recorder(nn.Module):
    """Keeps what it is called with and answers with `answer(number of the call, *inputs)`."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.answer = answer
        self.calls: list[tuple] = []
        self.modes: list[bool] = []

    def forward(self, *inputs):
        self.calls.append(inputs)
        self.modes.append(self.training)
        return self.answer(len(self.calls), *inputs)


@pytest.mark.parametrize(("height", "width", "padded"), [(9, 14, (12, 16)), (8, 12, (8, 12))])
def test_mimo_unet_reflects_and_takes_the_full_size(height: int, width: int, padded: tuple[int, int]) -> None:
    module = Recorder(lambda _, x: [x[..., ::4, ::4], x[..., ::2, ::2], 3 * x - 1])
    (frame,) = clip(1, height, width)
    (restored,) = MODELS["mimo-unet"].adapt(module).restore(iter([frame]))
    (image,) = module.calls[0]
    assert image.shape == (1, 3, *padded)
    assert torch.equal(image[0, :, :height, :width], frame)
    if padded != (height, width):
        assert torch.equal(image[0, :, height, :width], frame[:, height - 2])
        assert torch.equal(image[0, :, :height, width], frame[:, :, width - 2])
    assert torch.equal(restored, (3 * frame - 1).clamp(0, 1))


@pytest.mark.parametrize(("side", "padded"), [(50, 64), (64, 96), (65, 96), (720, 736)])
def test_deblurgan_v2_pads_zeros_after_normalising_and_always_a_block(side: int, padded: int) -> None:
    module = Recorder(lambda _, x: x * 0.5).eval()
    (frame,) = clip(1, side, 40)
    (restored,) = MODELS["deblurgan-v2-mobilenet"].adapt(module).restore(iter([frame]))
    (image,) = module.calls[0]
    assert image.shape == (1, 3, padded, 64)
    assert torch.equal(image[0, :, :side, :40], frame * 2 - 1)
    assert not image[0, :, side:].any() and not image[0, :, :, 40:].any()
    torch.testing.assert_close(restored, frame * 0.5 + 0.25)
    assert module.modes == [False] and not module.training


@pytest.mark.parametrize("side", [5, 95, 127])
def test_deblurgan_v2_inception_gets_128_pixels_at_least(side: int) -> None:
    module = Recorder(lambda _, x: x).eval()
    (frame,) = clip(1, side, 200)
    (restored,) = MODELS["deblurgan-v2-inception"].adapt(module).restore(iter([frame]))
    (image,) = module.calls[0]
    assert image.shape == (1, 3, 128, 224) and not image[0, :, side:].any()
    torch.testing.assert_close(restored, frame)


def test_deblurgan_reflects_to_multiples_of_four() -> None:
    module = Recorder(lambda _, x: x * 0.5).eval()
    (frame,) = clip(1, 9, 14)
    (restored,) = MODELS["deblurgan"].adapt(module).restore(iter([frame]))
    (image,) = module.calls[0]
    assert image.shape == (1, 3, 12, 16)
    assert torch.equal(image[0, :, 9, :14], frame[:, 7] * 2 - 1)
    torch.testing.assert_close(restored, frame * 0.5 + 0.25)


@pytest.mark.parametrize("train_mode", [False, True])
def test_deblurgan_v2_uses_the_image_s_own_statistics_and_keeps_the_stored_ones(train_mode: bool) -> None:
    """In instance norms always; in the backbone's batch norms only where training mode is asked for."""
    torch.manual_seed(0)
    spec = MODELS["deblurgan-v2-mobilenet-test"]
    module = spec.build().eval()
    (frame,) = clip(1, 70, 90)
    image = functional.pad(frame[None] * 2 - 1, (0, 6, 0, 26))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    method = spec.adapt(module)
    method.train_mode = train_mode
    with torch.no_grad():
        (restored,) = method.restore(iter([frame]))
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
        assert not any(layer.training for layer in module.modules())
        module.train(train_mode)
        for layer in module.modules():
            if isinstance(layer, nn.InstanceNorm2d):
                layer.train()
        expected = (module(image)[0, :, :70, :90] * 0.5 + 0.5).clamp(0, 1)
        module.load_state_dict(before)
        stored = (module.eval()(image)[0, :, :70, :90] * 0.5 + 0.5).clamp(0, 1)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-6)
    assert (restored - stored).abs().max() > 1e-3


def test_deblurgan_v2_keeps_the_stored_statistics_even_of_a_broken_image() -> None:
    spec = MODELS["deblurgan-v2-mobilenet-test"]
    module = spec.build().eval()
    with torch.no_grad():
        list(spec.adapt(module).restore(iter([torch.full((3, 40, 40), float("nan"))])))
    assert all(bool(torch.isfinite(value).all()) for value in module.state_dict().values())


def test_stfan_gets_bgr_and_its_own_past() -> None:
    module = Recorder(lambda number, blur, *_: (blur + number, torch.full((1,), float(number))))
    method = MODELS["stfan"].adapt(module)
    frames = clip(3, 10, 12)
    restored = list(method.restore(iter(frames)))
    padded = [functional.pad(frame[None].flip(1), (0, 0, 0, 2), mode="reflect") for frame in frames]
    for number, (blur, previous_blur, previous_output, features) in enumerate(module.calls):
        assert torch.equal(blur, padded[number])
        if number == 0:  # a clip's first frame is its own past
            assert torch.equal(previous_blur, blur) and torch.equal(previous_output, blur) and features is None
        else:
            assert torch.equal(previous_blur, padded[number - 1])
            # Clamped, as the authors' test program does.
            assert torch.equal(previous_output, (padded[number - 1] + number).clamp(0, 1))
            assert torch.equal(features, torch.full((1,), float(number)))
    assert all(torch.equal(image, (frame + 1).clamp(0, 1)) for image, frame in zip(restored[:1], frames, strict=False))

    list(method.restore(iter(frames[:1])))
    assert module.calls[3][3] is None  # a new clip starts anew


def test_stfan_colours_are_not_swapped() -> None:
    red = torch.zeros(3, 8, 8)
    red[0] = 0.75
    module = Recorder(lambda _, blur, *rest: (blur, torch.zeros(1)))
    (restored,) = MODELS["stfan"].adapt(module).restore(iter([red]))
    assert torch.equal(restored, red)
    assert module.calls[0][0][0, 2].max() == 0.75 and not module.calls[0][0][0, 0].any()
