"""A small stored result to build reports from: three methods, two protocols, made-up figures and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.results import CostRow, MethodRow, ScoreRow, write_rows
from core.image_files import write_image

KEYS = ("s1/000001", "s1/000002", "s2/000001")
VALUES = {"identity": (20.0, 22.0, 24.0), "mimo-unet": (21.0, 23.0, 26.0), "stfan": (20.5, 21.0, 22.0)}


def write_results(folder: Path, simulated: bool = True) -> Path:
    note = " (mini, simulated)" if simulated else ""
    scores, methods = [], []
    for method, values in VALUES.items():
        for key, value in zip(KEYS, values, strict=True):
            common = {
                "method": method,
                "testset": "gopro",
                "protocol": "gopro-linear",
                "key": key,
                "simulated": simulated,
            }
            scores.append(ScoreRow(metric="psnr", value=value, **common))
            scores.append(ScoreRow(metric="ssim-gauss-valid", value=value / 30, **common))
        trained = method != "identity"
        methods.append(
            MethodRow(
                method=method,
                testset="gopro",
                protocol="gopro-linear",
                task="deblur",
                params_m=6.81 if trained else None,
                trained_on="30 pairs" if trained else "",
                steps=110 if trained else None,
                profile="quick" if trained else "",
                weights_sha256="ab" * 32 if trained else "",
                switches="last layer starts at zero" if trained else "",
                title=f"GoPro{note}",
                commit="0123456789abcdef",
                command=f"python benchmark/run.py --methods {method}",
                missing="lpips-alex: the file alexnet.pth is needed",
            )
        )
    low_is_better = {"identity": 5.0, "mimo-unet": 4.0}
    for method, value in low_is_better.items():
        scores.append(
            ScoreRow(
                method=method,
                testset="lai-real",
                protocol="lai-real",
                metric="niqe",
                key="a",
                value=value,
                simulated=simulated,
            )
        )
        methods.append(MethodRow(method=method, testset="lai-real", protocol="lai-real", title=f"Lai real{note}"))
    methods.append(MethodRow(method="stfan", testset="lai-real", protocol="lai-real", status="the network gave NaN"))
    write_rows(folder / "scores.csv", ScoreRow, scores)
    write_rows(folder / "methods.csv", MethodRow, methods)
    cost = CostRow(
        method="mimo-unet", height=256, width=256, device="cpu", threads=2, ms_median=900.5, ms_iqr=10.0, peak_mb=400.0
    )
    write_rows(folder / "cost.csv", CostRow, [cost])
    rng = np.random.default_rng(0)
    for name in ("_blur", "_sharp", "identity", "mimo-unet", "stfan"):
        for key in KEYS:
            picture = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
            write_image(folder / "images" / "gopro" / name / f"{key}.png", picture)
    return folder
