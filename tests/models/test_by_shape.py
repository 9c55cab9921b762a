"""How networks that are not listed are run: made-up ones whose outputs tell what they were given."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.nets.adapters import by_shape
from models.zoo import MODELS

STILL, VIDEO = MODELS["mimo-unet-test"], MODELS["stfan-test"]
BLUR = torch.arange(7.0).reshape(1, 7, 1, 1, 1).expand(1, 7, 3, 8, 8) / 10
SHARP = BLUR + 0.05


class Whole(nn.Module):
    """Gives back what it gets."""

    def forward(self, clip: Tensor) -> Tensor:
        return clip


class Window(nn.Module):
    """Gives back the middle one of five frames."""

    frames = 5

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, clip: Tensor) -> Tensor:
        assert clip.shape[1] == 5
        return clip[:, 2] * self.weight


class TwoStages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stage1, self.stage2 = Window(), Window()

    def forward(self, clip: Tensor) -> Tensor:
        return self.stage2(clip[:, 1:6]) * 2


def test_a_frame_for_each_frame_and_short_clips() -> None:
    for frames in (7, 3):
        pairs = by_shape(VIDEO)(Whole(), BLUR[:, :frames], SHARP[:, :frames])
        assert len(pairs) == frames
        for number, (restored, sharp) in enumerate(pairs):
            assert torch.equal(restored, BLUR[:, number]) and torch.equal(sharp, SHARP[:, number])


def test_windows_get_the_middle_of_a_clip() -> None:
    for frames in (7, 5, 1):
        ((restored, sharp),) = by_shape(VIDEO)(Window(), BLUR[:, :frames], SHARP[:, :frames])
        assert torch.equal(restored, BLUR[:, frames // 2]) and torch.equal(sharp, SHARP[:, frames // 2])


def test_the_first_of_two_stages_is_trained_alone() -> None:
    net = TwoStages()
    assert by_shape(VIDEO)(net, BLUR, SHARP)[0][0][0, 0, 0, 0].item() == pytest.approx(0.6)
    net.stage2.requires_grad_(False)
    assert by_shape(VIDEO)(net, BLUR, SHARP)[0][0][0, 0, 0, 0].item() == pytest.approx(0.3)


def test_ranges_and_lists_of_sizes() -> None:
    class Scales(nn.Module):
        def forward(self, image: Tensor) -> list[Tensor]:
            assert float(image.max()) == pytest.approx(51)
            return [image, image[..., ::2, ::2]]

    spec = replace(STILL, value_range=(0.0, 255.0))
    pairs = by_shape(spec)(Scales(), torch.full((1, 1, 3, 8, 8), 0.2), SHARP[:, :1])
    assert [pair[0].shape[-1] for pair in pairs] == [4, 8] and all(one.shape == two.shape for one, two in pairs)
    assert pairs[-1][0].mean().item() == pytest.approx(0.2)


def test_enlarging_networks_get_area_means() -> None:
    enlarge = nn.Upsample(scale_factor=4)
    image = torch.rand(1, 1, 3, 8, 8)
    ((restored, sharp),) = by_shape(replace(STILL, task="sr4"))(enlarge, image, image)
    assert restored.shape == sharp.shape == (1, 3, 8, 8)
    torch.testing.assert_close(restored[..., 0, 0], image[:, 0, :, :4, :4].mean(dim=(2, 3)))
