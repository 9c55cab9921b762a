"""Degradations: every draw against the published ranges and shares, kernels and noise against what defines them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.image_files import read_image
from core.random_streams import stream
from synth import make_pairs
from synth.degrade import DEGRADATIONS
from synth.degrade.base import Degradation, require_order
from synth.degrade.bsrgan import STEPS, draw_shuffle
from synth.degrade.second_order import FIRST, SECOND, Settings, apply_chain, draw_chain
from synth.degrade.steps import (
    KIND_SHARES,
    KINDS,
    SIZES_PX,
    Kernel,
    add_gaussian,
    add_poisson,
    draw_final_sinc,
    draw_kernel,
    filtered,
    jpeg,
    stfan_noise,
)
from synth.manifest import read_manifest
from tests.synth.clips import moving_frames, tree, write_frames

DRAWS = 4000


def covers(values: list[float], low: float, high: float) -> bool:
    """All inside, and the outer 5 % of the range at both ends are reached."""
    margin = 0.05 * (high - low)
    return low <= min(values) <= low + margin and high - margin <= max(values) <= high


def share(count: int, of: int, expected: float) -> bool:
    """Within four standard deviations of a binomial draw."""
    return abs(count / of - expected) < 4 * math.sqrt(expected * (1 - expected) / of)


@pytest.mark.parametrize("sigma_px", [(0.2, 3.0), (0.2, 1.5)])
def test_kernels_are_drawn_as_published(sigma_px: tuple[float, float]) -> None:
    rng = stream(0, "kernels")
    kernels = [draw_kernel(rng, sigma_px) for _ in range(DRAWS)]
    kinds = Counter(kernel.kind for kernel in kernels)
    assert share(kinds["sinc"], DRAWS, 0.1)
    for kind, expected in zip(KINDS, KIND_SHARES, strict=True):
        assert share(kinds[kind], DRAWS, 0.9 * expected), kind
    assert {kernel.size for kernel in kernels} == set(SIZES_PX) == set(range(7, 22, 2))
    blurs = [kernel for kernel in kernels if kernel.kind != "sinc"]
    assert covers([kernel.sigma_x for kernel in blurs], *sigma_px)
    turned = [kernel for kernel in blurs if kernel.kind.endswith("aniso") and not kernel.kind.endswith("-iso")]
    turned = [kernel for kernel in turned if kernel.sigma_x != kernel.sigma_y]
    assert covers([kernel.angle for kernel in turned], -math.pi, math.pi)
    assert all(kernel.sigma_x == kernel.sigma_y for kernel in blurs if kernel.kind.endswith("-iso"))
    shapes = [kernel.shape for kernel in blurs if kernel.kind.startswith("generalised")]
    assert covers(shapes, 0.5, 4.0) and share(sum(shape < 1 for shape in shapes), len(shapes), 0.5)
    assert covers([kernel.shape for kernel in blurs if kernel.kind.startswith("plateau")], 1.0, 2.0)
    for small, lowest in ((True, math.pi / 3), (False, math.pi / 5)):
        cutoffs = [kernel.cutoff for kernel in kernels if kernel.kind == "sinc" and (kernel.size < 13) == small]
        assert covers(cutoffs, lowest, math.pi)
    assert covers([draw_final_sinc(rng).cutoff for _ in range(DRAWS)], math.pi / 3, math.pi)


def test_kernels_sum_to_one_and_have_their_widths() -> None:
    y, x = np.mgrid[-10:11, -10:11]
    for kernel in (
        Kernel(kind="iso", size=21, sigma_x=2.0, sigma_y=2.0),
        Kernel(kind="aniso", size=21, sigma_x=2.5, sigma_y=1.0, angle=0.7),
        Kernel(kind="plateau-iso", size=9, sigma_x=2.0, sigma_y=2.0, shape=1.5),
        Kernel(kind="generalised-aniso", size=13, sigma_x=2.0, sigma_y=1.0, angle=1.0, shape=0.6),
        Kernel(kind="sinc", size=21, cutoff=1.2),
    ):
        values = kernel.values()
        assert values.shape == (21, 21) and values.sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(values, values[::-1, ::-1], atol=1e-7)  # symmetric under half a turn
        outside = np.maximum(abs(x), abs(y)) > kernel.size // 2
        assert not values[outside].any()
    gauss = Kernel(kind="aniso", size=21, sigma_x=2.5, sigma_y=1.0, angle=0.7).values()
    covariance = np.array(
        [[(gauss * x * x).sum(), (gauss * x * y).sum()], [(gauss * x * y).sum(), (gauss * y * y).sum()]]
    )
    widths, axes = np.linalg.eigh(covariance)
    np.testing.assert_allclose(np.sqrt(widths), [1.0, 2.5], rtol=0.02)
    assert abs(axes[:, 1] @ [math.cos(0.7), math.sin(0.7)]) == pytest.approx(1, abs=1e-3)


def test_sinc_passes_below_its_cutoff_and_stops_above() -> None:
    values = Kernel(kind="sinc", size=21, cutoff=1.2).values()
    frequencies = np.linspace(0, math.pi, 64)
    x = np.arange(-10, 11)
    gain = np.abs([(values.sum(axis=0) * np.exp(-1j * frequency * x)).sum() for frequency in frequencies])
    assert gain[frequencies < 0.8].min() > 0.85 and gain[frequencies > 1.6].max() < 0.12
    assert 0.3 < np.interp(1.2, frequencies, gain) < 0.7
    edge = np.zeros((40, 40, 3), np.float32)
    edge[:, 20:] = 1
    assert filtered(edge, values).max() > 1.02  # it rings


@pytest.mark.parametrize("settings", [FIRST, SECOND], ids=["first", "second"])
def test_second_order_draws(settings: Settings) -> None:
    rng = stream(1, "chains")
    chains = [draw_chain(rng) for _ in range(DRAWS)]
    stages = [chain.first if settings is FIRST else chain.second for chain in chains]
    blurred = sum(stage.kernel is not None for stage in stages)
    assert blurred == DRAWS if settings is FIRST else share(blurred, DRAWS, 0.8)
    up, down, keep = (0.2, 0.7, 0.1) if settings is FIRST else (0.3, 0.4, 0.3)
    low, high = (0.15, 1.5) if settings is FIRST else (0.3, 1.2)
    scales = [stage.scale for stage in stages]
    assert covers(scales, low, high) and share(scales.count(1.0), DRAWS, keep)
    assert share(sum(scale > 1 for scale in scales), DRAWS, up)
    assert share(sum(scale < 1 for scale in scales), DRAWS, down)
    assert all(share(count, DRAWS, 1 / 3) for count in Counter(stage.mode for stage in stages).values())
    gaussian = [stage.amount * 255 for stage in stages if stage.noise == "gaussian"]
    poisson = [stage.amount for stage in stages if stage.noise == "poisson"]
    assert share(len(gaussian), DRAWS, 0.5) and covers(gaussian, 1, 30 if settings is FIRST else 25)
    assert covers(poisson, 0.05, 3 if settings is FIRST else 2.5)
    assert share(sum(stage.grey for stage in stages), DRAWS, 0.4)
    assert covers([stage.quality for stage in stages], 30, 95)
    assert share(sum(chain.final_sinc is not None for chain in chains), DRAWS, 0.8)
    assert share(sum(chain.jpeg_last for chain in chains), DRAWS, 0.5)


def test_order_of_the_last_two_steps_matters() -> None:
    image = np.repeat(np.repeat(stream(0, "blocks").random((8, 8, 3)), 8, 0), 8, 1).astype(np.float32)
    chain = draw_chain(stream(5, "chain"))
    ringing = Kernel(kind="sinc", size=21, cutoff=1.1)
    values = {}
    for last in (True, False):
        variant = dataclasses.replace(chain, jpeg_last=last, final_sinc=ringing)
        values[last] = apply_chain(image, variant, stream(5, "noise"))
    assert not np.array_equal(values[True], values[False])
    # What was JPEG last survives the same JPEG nearly unchanged.
    again = {last: float(np.abs(jpeg(value, chain.second.quality) - value).mean()) for last, value in values.items()}
    assert again[True] < again[False]


@pytest.mark.parametrize("factor", [1, 4])
def test_second_order_sizes(factor: int) -> None:
    image = moving_frames(1)[0].astype(np.float32) / 255
    out = apply_chain(image, draw_chain(stream(2, "c")), stream(2, "n"), factor)
    assert out.shape == (image.shape[0] // factor, image.shape[1] // factor, 3) and out.dtype == np.float32
    with pytest.raises(ValueError, match="cannot be reduced"):
        apply_chain(image[:3, :3], draw_chain(stream(2, "c")), stream(2, "n"), 4)


def test_bsrgan_draws() -> None:
    rng = stream(3, "shuffles")
    shuffles = [draw_shuffle(rng) for _ in range(DRAWS)]
    for shuffle in shuffles:
        assert sorted(shuffle.order) == sorted(STEPS)
        assert shuffle.order.index("reduce") < shuffle.order.index("reduce-rest")
    assert all(share(sum(s.order[0] == step for s in shuffles), DRAWS, 1 / 7) for step in ("blur", "gaussian", "jpeg"))
    assert covers([shuffle.sigma * 255 for shuffle in shuffles], 2, 25)
    assert share(sum(shuffle.quality is not None for shuffle in shuffles), DRAWS, 0.9)
    assert covers([shuffle.quality for shuffle in shuffles if shuffle.quality is not None], 30, 95)
    assert share(sum(shuffle.camera for shuffle in shuffles), DRAWS, 0.25)


def test_noise_has_the_stated_variance() -> None:
    flat = np.full((200, 200, 3), 0.25, np.float32)
    assert add_gaussian(flat, 0.05, False, stream(0, "a")).std() == pytest.approx(0.05, rel=0.02)
    assert stfan_noise(flat, stream(0, "s")).std() == pytest.approx(0.01, rel=0.02)
    grey = add_gaussian(flat, 0.05, True, stream(0, "b")) - flat
    assert np.ptp(grey, axis=-1).max() < 1e-6
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2).repeat(400, axis=0)
    noise = add_poisson(ramp, 2.0, False, stream(0, "c")) - ramp
    variance = noise.var(axis=(0, 2))
    slope, offset = np.polyfit(ramp[0, :, 0], variance, 1)
    assert slope == pytest.approx(2.0**2 / 256, rel=0.05) and abs(offset) < 1e-3
    assert np.ptp(add_poisson(ramp, 2.0, True, stream(0, "d")) - ramp, axis=-1).max() < 1e-5


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_keeps_shape_and_is_repeatable(name: str) -> None:
    image = moving_frames(1)[0].astype(np.float32) / 255
    before = image.copy()
    one, two = (DEGRADATIONS[name](image, stream(7, name)) for _ in range(2))
    assert one.shape == image.shape and one.dtype == np.float32 and 0 <= one.min() <= one.max() <= 1
    assert np.array_equal(one, two) and np.array_equal(image, before)
    assert not np.array_equal(one, DEGRADATIONS[name](image, stream(8, name)))
    assert not np.array_equal(one, image)
    with pytest.raises(ValueError, match="divide 8-bit values by 255"):
        DEGRADATIONS[name](image * 255, stream(7, name))
    with pytest.raises(ValueError, match=r"\[H, W, 3\]"):
        DEGRADATIONS[name](image[..., 0], stream(7, name))


def test_light_comes_before_encoded_values() -> None:
    linear = Degradation(name="shake", domain="linear", source="", apply=lambda image, rng: image)
    require_order([linear, DEGRADATIONS["bsrgan"]])
    with pytest.raises(ValueError, match="shake works in linear light and cannot follow bsrgan"):
        require_order([DEGRADATIONS["bsrgan"], linear])


def test_degraded_pairs_are_repeatable_and_rebuilt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_frames(tmp_path / "clip", moving_frames(9))
    common = ["--video", str(folder), "--fps", "240", "--window", "3", "--interp", "4x"]
    chain = ["--degrade", "stfan-noise,bsrgan"]
    for name, workers in (("one", "1"), ("two", "2")):
        assert make_pairs.main([*common, *chain, "--workers", workers, "--out", str(tmp_path / name)]) == 0
    assert make_pairs.main([*common, "--out", str(tmp_path / "plain")]) == 0
    images = {name: tree(tmp_path / name) for name in ("one", "two", "plain")}
    for key in images["one"]:
        if not key.endswith("run.json"):
            assert images["one"][key] == images["two"][key], key
    records, plain = read_manifest(tmp_path / "one"), read_manifest(tmp_path / "plain")
    assert records[0].degradations == ["stfan-noise", "bsrgan"] and plain[0].degradations == []
    assert records[0].blur_sha256 != plain[0].blur_sha256 and records[0].sharp_sha256 == plain[0].sharp_sha256
    assert json.loads((tmp_path / "one" / "run.json").read_text())["configuration"]["degradations"] == [
        "stfan-noise",
        "bsrgan",
    ]
    again = tmp_path / "again"
    assert make_pairs.main(["rebuild", records[1].key, "--in", str(tmp_path / "one"), "--out", str(again)]) == 0
    rebuilt = next(again.rglob("blur/*.png"), None)
    assert rebuilt is not None
    assert np.array_equal(read_image(rebuilt), read_image(records[1].blur_path(tmp_path / "one")))
    assert make_pairs.main([*common, "--out", str(tmp_path / "one")]) == 2
    assert "degradations" in capsys.readouterr().err


def test_a_domain_is_light_or_encoded_values() -> None:
    with pytest.raises(ValueError, match="blur: a degradation's domain is linear or encoded, got 'Linear'"):
        Degradation(name="blur", domain="Linear", source="", apply=lambda image, rng: image)
