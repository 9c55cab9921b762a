"""Camera models: statistics of noise and of every drawn value, demosaicing, and what a model leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.camera_response import response, to_8bit
from core.random_streams import stream
from synth import sensor
from synth.sensor import (
    CAMERAS,
    HIGHLIGHTS,
    CameraModel,
    CameraSettings,
    NoiseLevel,
    add_noise,
    draw_settings,
    photograph,
    sharp_photograph,
)
from tests.synth.clips import texture

SRGB, LINEAR = response("srgb"), response("linear")
RAW = CameraSettings(shot=0.0, read=0.0, bayer="GRBG", red_gain=2.1, blue_gain=1.7, matrix="Sony ILCE-7R")


def light_of(height: int = 60, width: int = 80) -> np.ndarray:
    return SRGB.to_linear(texture(3, height, width)[:height, :width])


def test_noise_variance_is_linear_in_the_signal() -> None:
    level = NoiseLevel(shot=0.004, read=0.01)
    signals = np.array([0.0, 0.1, 0.3, 0.5, 0.9])
    samples = [
        add_noise(np.full((300, 300), signal, dtype=np.float32), level, stream(0, "noise", index)).astype(np.float64)
        for index, signal in enumerate(signals)
    ]
    assert [sample.mean() for sample in samples] == pytest.approx(signals.tolist(), abs=1e-3)
    variances = np.array([sample.var() for sample in samples])
    assert variances == pytest.approx(0.004 * signals + 0.01**2, rel=0.03)
    slope, offset = np.polyfit(signals, variances, 1)
    assert slope == pytest.approx(0.004, rel=0.02) and offset == pytest.approx(1e-4, rel=0.2)
    neighbours = samples[3] - samples[3].mean()
    assert abs((neighbours[:, 1:] * neighbours[:, :-1]).mean()) < 0.02 * variances[3]


def test_no_noise_leaves_light_alone() -> None:
    light = light_of()
    assert np.array_equal(add_noise(light, NoiseLevel(shot=0.0, read=0.0), stream(0, "x")), light)
    settings = CameraSettings(shot=0.0, read=0.0)
    encoded = photograph(CAMERAS["shot-read"], settings, light, None, SRGB, stream(0, "x"))
    assert np.array_equal(encoded, SRGB.to_encoded(light))
    assert np.array_equal(
        photograph(CAMERAS["none"], CameraSettings(), light, None, SRGB, stream(0, "x")), SRGB.to_encoded(light)
    )


@pytest.mark.parametrize("bayer", sensor.BAYER_PATTERNS)
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (3, 3)])
def test_demosaicing_a_flat_field_is_flat(bayer: str, height: int, width: int) -> None:
    colour = np.array([0.7, 0.35, 0.1], dtype=np.float32)
    field = np.broadcast_to(colour, (height, width, 3))
    raw = sensor.mosaic(field, bayer)
    assert sorted(np.unique(raw)) == pytest.approx(sorted(colour))
    assert raw[0, 0] == colour["RGB".index(bayer[0])] and raw[1, 0] == colour["RGB".index(bayer[2])]
    assert np.abs(sensor.demosaic(raw, bayer) - colour).max() < 1e-6


@pytest.mark.parametrize("bayer", sensor.BAYER_PATTERNS)
def test_demosaicing_keeps_what_was_measured_and_linear_ramps(bayer: str) -> None:
    """Grey ramps are linear in space, which every one of Malvar's filters reproduces away from the mirrored border."""
    rows, columns = np.mgrid[0:24, 0:30].astype(np.float32)
    ramp = np.repeat((0.1 + 0.01 * columns + 0.02 * rows)[..., None], 3, axis=2)
    image = sensor.demosaic(sensor.mosaic(ramp, bayer), bayer)
    assert np.abs(image - ramp)[2:-2, 2:-2].max() < 1e-5
    noisy = stream(0, "raw").random((24, 30), dtype=np.float32)
    assert np.array_equal(sensor.mosaic(sensor.demosaic(noisy, bayer), bayer), noisy)


def test_raw_and_back_keeps_colours_and_white() -> None:
    """Without noise: flat colours come back, and a picture of one colour plane per pixel only loses detail."""
    for name in sensor.CAMERA_MATRICES:
        matrix = sensor.camera_matrix(name)
        assert matrix.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
        assert (matrix > -0.01).all()  # so that hardly a colour leaves the range of the sensor
        settings = CameraSettings(**{**RAW.drawn(), "matrix": name})  # type: ignore[arg-type]
        for colour in ((1.0, 1.0, 1.0), (0.2, 0.5, 0.8), (0.9, 0.0, 0.1)):
            field = np.broadcast_to(np.array(colour, dtype=np.float32), (16, 16, 3))
            out = photograph(CAMERAS["raw-isp"], settings, field, None, LINEAR, stream(0, "x"))
            assert np.abs(out - field).max() < 1e-5
    light = light_of()
    out = photograph(CAMERAS["raw-isp"], RAW, light, None, LINEAR, stream(0, "x"))
    assert 0 < np.abs(out - light).mean() < 0.005


def test_raw_noise_has_the_level_of_the_mosaic_times_the_gains() -> None:
    """On a grey field the green pixels that were measured keep the sensor's noise; red ones have it times the gain."""
    settings = CameraSettings(**{**RAW.drawn(), "shot": 0.0, "read": 0.01})  # type: ignore[arg-type]
    model = CameraModel(name="test", source="test", raw=True)
    grey = np.full((200, 200, 3), 0.5, dtype=np.float32)
    out = photograph(model, settings, grey, None, LINEAR, stream(0, "x"))
    own = sensor.through_matrix(out, sensor.camera_matrix("Sony ILCE-7R"))  # back to the camera's colours; bayer GRBG
    assert own[0::2, 0::2, 1].std() == pytest.approx(0.01, rel=0.03)
    assert own[0::2, 1::2, 0].std() == pytest.approx(0.01 * 2.1, rel=0.03)
    assert own[1::2, 0::2, 2].std() == pytest.approx(0.01 * 1.7, rel=0.03)


def test_highlights_are_scaled_by_the_mask_and_clipped() -> None:
    light = np.full((4, 4, 3), 0.4, dtype=np.float32)
    mask = np.zeros_like(light)
    mask[0], mask[1] = 0.5, 1.0
    settings = CameraSettings(highlight_scale=0.8)
    out = photograph(CAMERAS["saturated"], settings, light, mask, LINEAR, stream(0, "x"))
    assert [float(out[row, 0, 0]) for row in range(3)] == pytest.approx([0.8, 1.0, 0.4])
    kept = CameraSettings(**{**RAW.drawn(), "highlight_scale": 0.8, "shot": 0.01, "read": 0.05})  # type: ignore[arg-type]
    wide = np.tile(mask, (4, 4, 1))
    out = photograph(CAMERAS["rsblur"], kept, np.full_like(wide, 0.4), wide, LINEAR, stream(0, "x"))
    assert (out[wide == 1.0] == 1.0).all() and out[wide == 0.0].std() > 0.02


def test_the_mask_of_clipped_highlights() -> None:
    """Also of frames that a network made, whose floats are pictures and no masks."""
    assert HIGHLIGHTS.to_linear(np.array([[254, 255, 0]], dtype=np.uint8)).tolist() == [[0, 1, 0]]
    assert HIGHLIGHTS.to_linear(np.array([0.9, 0.999, 1.0], dtype=np.float32)).tolist() == [0, 1, 1]
    moved = np.array([-0.1, 0.3, 0.7, 1.1], dtype=np.float32)
    assert HIGHLIGHTS.to_linear(HIGHLIGHTS.to_encoded(moved)).tolist() == [0, 0, 1, 1]


def test_drawn_values_follow_the_published_ranges() -> None:
    draws = [draw_settings(CAMERAS["shot-read"], stream(index, "draw")) for index in range(1500)]
    log_shot = np.log([draw.shot for draw in draws if draw.shot])
    log_variance = 2 * np.log([draw.read for draw in draws if draw.read])
    assert np.log(0.0001) <= log_shot.min() and log_shot.max() <= np.log(0.012)
    low, high = np.log(0.0001), np.log(0.012)
    assert np.histogram(log_shot, 4, (low, high))[0] == pytest.approx([375] * 4, rel=0.2)
    slope, offset = np.polyfit(log_shot, log_variance, 1)
    assert slope == pytest.approx(2.18, abs=0.03) and offset == pytest.approx(1.20, abs=0.2)
    assert (log_variance - 2.18 * log_shot - 1.20).std() == pytest.approx(0.26, abs=0.02)
    raw = [draw_settings(CAMERAS["rsblur"], stream(index, "draw")) for index in range(600)]
    for values, (lowest, highest) in (
        ([draw.highlight_scale for draw in raw], (0.25, 1.75)),
        ([draw.shot for draw in raw], (0.5e-4, 1.5e-4)),
        ([draw.read for draw in raw], (4.5752e-4, 13.7256e-4)),
        ([draw.red_gain for draw in raw], (1.9, 2.4)),
        ([draw.blue_gain for draw in raw], (1.5, 1.9)),
    ):
        found = np.array(values, dtype=np.float64)
        assert lowest <= found.min() < lowest + 0.02 * (highest - lowest)
        assert highest >= found.max() > highest - 0.02 * (highest - lowest)
        assert found.mean() == pytest.approx((lowest + highest) / 2, abs=0.05 * (highest - lowest))
    counts = np.unique([str(draw.bayer) for draw in raw], return_counts=True)[1]
    assert len(counts) == 4 and counts.min() > 100
    qualities = {draw_settings(CAMERAS["jpeg"], stream(index, "draw")).jpeg_quality for index in range(600)}
    assert qualities == set(range(60, 96))
    factors = {draw_settings(CAMERAS["h264"], stream(index, "draw")).h264_crf for index in range(300)}
    assert factors == set(range(18, 33))


def test_codecs_lose_more_at_lower_quality_and_keep_colours() -> None:
    light = light_of(64, 80)
    for name, key, ladder in (("jpeg", "jpeg_quality", (95, 75, 60)), ("h264", "h264_crf", (18, 25, 32))):
        errors = []
        for value in ladder:
            settings = CameraSettings(**{key: value})  # type: ignore[arg-type]
            out = photograph(CAMERAS[name], settings, light, None, SRGB, stream(0, "x"))
            difference = out - SRGB.to_encoded(light)
            errors.append(float(np.sqrt(np.mean(difference**2))))
            assert np.abs(difference.mean(axis=(0, 1))).max() < 0.01
        assert 0 < errors[0] < errors[1] < errors[2] < 0.06, (name, errors)


@pytest.mark.parametrize("name", CAMERAS)
def test_every_camera_on_odd_sizes(name: str) -> None:
    """In range, the same for the same stream, another for another; sharp is the frame itself unless it says so."""
    model, light = CAMERAS[name], light_of(33, 41)
    mask = np.zeros_like(light)
    mask[:3] = 1.0

    def shot(seed: int) -> np.ndarray:
        rng = stream(seed, "shot")
        return photograph(model, draw_settings(model, rng), light, mask, SRGB, rng)

    first = shot(0)
    assert first.shape == light.shape and first.dtype == np.float32 and first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, shot(0))
    if name != "none":
        assert any(not np.array_equal(first, shot(seed)) for seed in (1, 2))
    frame = to_8bit(SRGB.to_encoded(light))
    sharp = sharp_photograph(model, draw_settings(model, stream(0, "shot")), frame, SRGB)
    assert np.array_equal(sharp, frame) == (model.sharp_transform == "none")
    assert sharp.dtype == np.uint8 and model.name == name and model.source
