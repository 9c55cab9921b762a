"""RRDBNet and SRVGGNet: what the adapters hand over, the fold of the smaller scales, gradients, sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.nets.esrgan import RRDBNet, SRVGGNet
from models.zoo import MODELS


def image(height: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(height).random((3, height, width), dtype=np.float32))


class Enlarging(nn.Module):
    """Keeps its input and answers with it, enlarged by repeating pixels, beyond [0, 1]."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return 2 * x.repeat_interleave(self.scale, dim=2).repeat_interleave(self.scale, dim=3) - 0.5


@pytest.mark.parametrize(
    ("name", "height", "width", "padded"),
    [
        ("esrgan-x4", 7, 9, (7, 9)),
        ("realesr-general-x4v3", 7, 9, (7, 9)),
        ("real-esrgan-x2", 7, 10, (8, 10)),
        ("real-esrgan-x1", 9, 14, (12, 16)),
        ("real-esrgan-x1", 8, 12, (8, 12)),
    ],
)
def test_adapters_reflect_enlarge_and_cut(name: str, height: int, width: int, padded: tuple[int, int]) -> None:
    scale = MODELS[name].scale
    module, frame = Enlarging(scale), image(height, width)
    (restored,) = MODELS[name].adapt(module).restore(iter([frame]))
    assert module.seen.shape == (1, 3, *padded)
    assert torch.equal(module.seen[0, :, :height, :width], frame)
    if padded[0] > height:
        assert torch.equal(module.seen[0, :, height, :width], frame[:, height - 2])
    assert restored.shape == (3, scale * height, scale * width)
    assert torch.equal(restored[:, ::scale, ::scale], (2 * frame - 0.5).clamp(0, 1))


@pytest.mark.parametrize("scale", [1, 2])
def test_smaller_scales_fold_the_image_first(scale: int) -> None:
    """Channel c s^2 + dy s + dx of the fold is pixel (dy, dx) of every block; then comes the network of scale 4."""
    torch.manual_seed(0)
    folding, plain = RRDBNet(scale=scale, channels=8, blocks=1, growth=4), RRDBNet(channels=8, blocks=1, growth=4)
    fold = 4 // scale
    plain.conv_first = nn.Conv2d(3 * fold**2, 8, 3, padding=1)
    plain.load_state_dict(folding.state_dict())
    frame = image(8, 12)[None]
    blocks = [frame[:, c, dy::fold, dx::fold] for c in range(3) for dy in range(fold) for dx in range(fold)]
    with torch.no_grad():
        torch.testing.assert_close(folding(frame), plain(torch.stack(blocks, dim=1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "build", [lambda: RRDBNet(channels=4, blocks=1, growth=2), lambda: SRVGGNet(channels=4, convs=1)]
)
def test_gradients_are_exact(build: Callable[[], nn.Module]) -> None:
    """Activations work in place: autograd must still find what it needs.

    Seeded, since differences across an activation's kink are no derivative.
    """
    torch.manual_seed(0)
    module = build().double()
    frame = image(4, 4)[None].double().requires_grad_()
    assert torch.autograd.gradcheck(module, (frame,))


def test_a_network_without_detail_repeats_pixels() -> None:
    module = SRVGGNet(channels=4, convs=1)
    with torch.no_grad():
        for parameter in module.body[-1].parameters():
            parameter.zero_()
        frame = image(5, 6)[None]
        assert torch.equal(module(frame), frame.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3))


def test_parameter_counts() -> None:
    """16.70 M and 1.21 M, as published."""
    counts = {
        name: sum(p.numel() for p in MODELS[name].build().parameters())
        for name in ("esrgan-x4", "realesr-general-x4v3")
    }
    assert counts == {"esrgan-x4": 16_697_987, "realesr-general-x4v3": 1_213_296}
