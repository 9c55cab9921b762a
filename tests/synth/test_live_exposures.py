"""Blur drawn on the fly: the sharp picture is the photograph, the blur its mean, chance a function of the number."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from core.random_streams import stream
from synth.live_exposures import (
    LiveSettings,
    Motion,
    Photographs,
    Sheet,
    _blurred,
    developed,
    draw,
    texture,
)

PLAIN = LiveSettings(
    side_px=48,
    encoded=1.0,
    few_frames=0.0,
    paths=0.0,
    foreground=0.0,
    parallax=0.0,
    rolling=0.0,
    highlights=0.0,
    soft=0.0,
    noise=0.0,
    jpeg=0.0,
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for number in range(3):
        noise = stream(number, "photograph").integers(0, 256, (30, 40, 3)).astype(np.uint8)
        picture = cv2.resize(noise, (200, 150), interpolation=cv2.INTER_CUBIC)
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return Photographs([paths], replace(PLAIN, side_px=48), seed=0, scales=2)


def test_every_second_pixel_of_a_texture_is_the_photograph():
    picture = stream(0, "texture").integers(0, 256, (31, 44, 3)).astype(np.uint8)
    pixels = texture(picture, 1.0).pixels
    assert pixels.shape == (62, 88, 3)
    np.testing.assert_array_equal(pixels[::2, ::2], picture)


def test_a_shift_of_whole_pixels_is_a_mean_of_shifted_pictures():
    picture = np.zeros((96, 96, 4), np.float32)
    picture[..., :3] = stream(1, "shift").random((96, 96, 3), dtype=np.float32)
    picture[..., 3] = 1
    way = np.stack([np.linspace(-4, 4, 9), np.zeros(9)], axis=1)
    sheet = Sheet(pixels=picture, corner=(16.0, 16.0), motion=Motion(side=32, points_px=way, way_px=8.0))
    blur = _blurred([sheet], np.zeros((1, 1), np.float32), 9, np.zeros(1))
    # a frame pixel is two texture pixels, and what moves to the right by d shows what was d to the left
    expected = np.mean([picture[16:80:2, 16 - 2 * shift : 80 - 2 * shift : 2, :3] for shift in range(-4, 5)], axis=0)
    np.testing.assert_allclose(blur, expected, atol=2e-6)


def test_a_cut_out_covers_what_is_behind():
    back = np.ones((64, 64, 4), np.float32) * np.float32(0.25)
    front = np.ones((16, 16, 4), np.float32)
    still = Motion(side=32)
    sheets = [
        Sheet(pixels=back, corner=(0.0, 0.0), motion=still),
        Sheet(pixels=front, corner=(-20.0, -20.0), motion=still),
    ]
    blur = _blurred(sheets, np.zeros((1, 1), np.float32), 3, np.zeros(1))
    np.testing.assert_allclose(blur[12:16, 12:16], 1.0, atol=1e-6)
    np.testing.assert_allclose(blur[:8, :8], 0.25, atol=1e-6)


def test_encoded_and_light_means_of_black_and_white():
    """The mean of black and white is 0.5 of the values averaged: 0.5 encoded, or 0.735 once light is encoded."""
    from synth.live_exposures import Exposure

    half = np.full((4, 4, 3), 0.5, np.float32)
    for gamma, value in ((1.0, 128), (0.0, 188)):
        exposure = Exposure(blur=half, sharp=half, gamma=gamma, path=(0.0, 0.0, 0.0, 0.0, 0.0))
        blur, sharp = developed(exposure, PLAIN, stream(0, "developed"))
        assert abs(int(blur[0, 0, 0]) - value) <= 1
        np.testing.assert_array_equal(blur, sharp)


def test_the_sharp_picture_is_a_part_of_a_photograph(photographs: Photographs):
    exposure = draw(photographs, PLAIN, 3, 5)
    _, sharp = developed(exposure, PLAIN, stream(0, "developed"))
    found = [
        cv2.matchTemplate(kept.pixels[::2, ::2], sharp, cv2.TM_SQDIFF).min() / sharp.size
        for kept in photographs.textures[0]
    ]
    assert min(found) < 1e-3


def test_the_extent_is_what_was_asked_for(photographs: Photographs):
    """The middle of the sample travels over the drawn distance; told backwards, a turning way is a little another."""
    from synth.live_exposures import _Motions, _spread

    for number in range(12):
        motions = _Motions(replace(PLAIN, rolling=0.0), stream(0, "motions", number), 0, number)
        motion = motions.draw(17.0, 0)
        seen = motion.inverses(np.linspace(-0.5, 0.5, 41), np.zeros(1))[0] @ np.array([23.5, 23.5, 1.0])
        assert _spread(seen[:, :2] / seen[:, 2:]) == pytest.approx(17.0, rel=0.1)


def test_the_middle_of_the_exposure_is_at_rest():
    from synth.live_exposures import _Motions

    settings = replace(PLAIN, rolling=1.0)
    motion = _Motions(settings, stream(0, "motions"), 0, 1).draw(20.0, 0)
    rows = np.linspace(-0.3, 0.3, settings.side_px)
    inverses = motion.inverses(np.zeros(1), rows)
    np.testing.assert_allclose(inverses[:, 0], np.broadcast_to(np.eye(3), (settings.side_px, 3, 3)), atol=1e-4)


def test_a_number_gives_the_same_exposure_in_any_order(photographs: Photographs):
    settings = LiveSettings(side_px=48)
    forwards = [draw(photographs, settings, 7, number) for number in range(6)]
    for number in (5, 2, 0):
        again = draw(photographs, settings, 7, number)
        np.testing.assert_array_equal(again.blur, forwards[number].blur)
        np.testing.assert_array_equal(again.sharp, forwards[number].sharp)
    assert not np.array_equal(draw(photographs, settings, 8, 2).blur, forwards[2].blur)


def test_nothing_gets_brighter_than_light_that_was_there(photographs: Photographs):
    settings = replace(LiveSettings(side_px=48), highlights=0.0, noise=0.0)
    for number in range(20):
        exposure = draw(photographs, settings, 1, number)
        assert np.isfinite(exposure.blur).all()
        assert exposure.blur.min() >= -1e-5 and exposure.blur.max() <= 1 + 1e-5
        assert exposure.blur.shape == exposure.sharp.shape == (48, 48, 3)


def test_the_greatest_extent_grows():
    settings = LiveSettings(extent_px=(1.0, 40.0), first_extent_px=5.0, growth=100)
    assert settings.most_px(0) == pytest.approx(5.0)
    assert settings.most_px(50) == pytest.approx(np.sqrt(200.0))
    assert settings.most_px(100) == settings.most_px(10**6) == 40.0
    with pytest.raises(ValueError, match="extent"):
        LiveSettings(extent_px=(3.0, 1.0))


@pytest.mark.parametrize(
    "kinds",
    [
        {"extent_px": (3.0, 30.0)},
        {"rolling": 1.0, "extent_px": (5.0, 20.0)},
        {"foreground": 1.0, "second": 1.0, "resting": 0.3, "encoded": 0.0, "highlights": 0.5},
        {"parallax": 1.0, "few_frames": 1.0, "paths": 0.5},
        {"foreground": 1.0, "rolling": 1.0, "parallax": 1.0, "soft": 0.5},
    ],
)
def test_torch_makes_the_same_exposures(photographs: Photographs, kinds: dict[str, object]):
    settings = replace(PLAIN, **kinds)  # type: ignore[arg-type]
    for number in range(4):
        compiled = draw(photographs, settings, 3, number)
        in_torch = draw(photographs, settings, 3, number, device=str(torch.device("cpu", 0)))
        assert in_torch.path == compiled.path and in_torch.gamma == compiled.gamma
        np.testing.assert_array_equal(in_torch.sharp, compiled.sharp)
        scale = max(1.0, float(compiled.blur.max()))
        # Places are float32; a matte's border is the one edge that a rounding of them can show.
        assert float(np.abs(in_torch.blur - compiled.blur).mean()) < 2e-6 * scale
        assert float(np.quantile(np.abs(in_torch.blur - compiled.blur), 0.999)) < 5e-5 * scale
