"""A stored result of any size with made-up figures, to measure what the page does with many images and methods."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.results import CostRow, MethodRow, ScoreRow, write_rows
from core.image_files import write_image

METRICS = {"psnr": (30.0, 3.0), "ssim-gauss-valid": (0.9, 0.03), "lpips-alex": (0.2, 0.05)}


def write_large(folder: Path, images: int, methods: int, pictures: Sequence[str] | None = None) -> Path:
    """scores.csv of `images` x `methods` x 3 metrics under gopro-linear, in sequences of 100 images.

    pictures: methods that get images, all of them links to one small picture of the method; None: every method.
    """
    rng = np.random.default_rng(0)
    keys = [f"GOPR{1000 + n // 100}_11_00/{n % 100:06d}" for n in range(images)]
    names = ["identity", *(f"network-{n:02d}" for n in range(1, methods))]
    level = rng.normal(0, 1, images)
    scores, rows, costs = [], [], []
    for place, name in enumerate(names):
        for metric, (mean, spread) in METRICS.items():
            values = mean + spread * (level + 0.02 * place + rng.normal(0, 0.3, images))
            scores += [
                ScoreRow(
                    method=name, testset="gopro", protocol="gopro-linear", metric=metric, key=key, value=float(value),
                    simulated=True,
                )
                for key, value in zip(keys, values, strict=True)
            ]  # fmt: skip
        rows.append(
            MethodRow(
                method=name,
                testset="gopro",
                protocol="gopro-linear",
                task="deblur",
                params_m=1.0 + place,
                macs_g=10.0 * (1 + place),
                trained_on="GoPro train" if place else "",
                weights_sha256="cd" * 32,
                commit="0" * 40,
                command="python benchmark/run.py --methods all",
                title="GoPro (generated, simulated)",
            )
        )
        costs.append(
            CostRow(
                method=name,
                height=720,
                width=1280,
                device="cpu",
                threads=2,
                ms_median=10.0 * (1 + place),
                ms_iqr=1.0,
                peak_mb=100.0,
            )
        )
    write_rows(folder / "scores.csv", ScoreRow, scores)
    write_rows(folder / "methods.csv", MethodRow, rows)
    write_rows(folder / "cost.csv", CostRow, costs)
    for name in names if pictures is None else pictures:
        first = folder / "images" / "gopro" / name / f"{keys[0]}.png"
        write_image(first, rng.integers(0, 256, (72, 128, 3)).astype(np.uint8))
        for key in keys[1:]:
            path = folder / "images" / "gopro" / name / f"{key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(first, path)
    return folder
