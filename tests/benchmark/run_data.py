"""A tiny GoPro tree in the official layout, a tiny set of pairs, and a run over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmark import cost, run
from benchmark.results import CostRow
from core.image_files import write_image
from core.random_streams import stream
from reports import build

FRAMES, HEIGHT, WIDTH = 3, 48, 64
SEQUENCES = ("GOPR0001_11_00", "GOPR0002_11_00")


def images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(blur, sharp), uint8 [H, W, 3]: texture, and the same texture blurred along the rows."""
    noise = stream(0, name).random((HEIGHT, WIDTH, 3)).astype(np.float32)
    sharp = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.2), None, 0, 255, cv2.NORM_MINMAX)
    return cv2.blur(sharp, (5, 1)).round().astype(np.uint8), sharp.round().astype(np.uint8)


def make_gopro(root: Path) -> Path:
    """`root`/GOPRO_Large/test with two sequences of three pairs; returns `root`."""
    for sequence in SEQUENCES:
        for frame in range(1, FRAMES + 1):
            blur, sharp = images(f"{sequence}/{frame}")
            home = root / "GOPRO_Large" / "test" / sequence
            for folder, image in (("blur", blur), ("blur_gamma", blur), ("sharp", sharp)):
                write_image(home / folder / f"{frame:06d}.png", image)
    return root


def make_pairs(folder: Path) -> Path:
    """A pairs.jsonl with six pairs of two sequences."""
    lines = []
    for index in range(6):
        blur, sharp = images(f"pair {index}")
        record = {
            "key": f"s{index // 3}/{index}",
            "split": "train",
            "sequence": f"s{index // 3}",
            "centre_s": index / 10,
            "response": "linear",
        }
        for side, image in (("blur", blur), ("sharp", sharp)):
            record[side] = f"{side}/{index}.png"
            record[f"{side}_sha256"] = write_image(folder / side / f"{index}.png", image)
        lines.append(json.dumps(record))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def quick_cost(name: str, height: int, width: int, device: str, switches: Sequence[str] = ()) -> cost.Cost:
    """Stands in for the measurement (`benchmark.run.measure_apart`), which starts a process and is tested on its own.

    Only `identity` is no network.
    """
    row = CostRow(
        method=name, height=height, width=width, device="cpu", threads=1, ms_median=1.5, ms_iqr=0.5, peak_mb=10.0
    )
    return cost.Cost(row=row, params_m=None if name == "identity" else 0.5, macs_g=None)


def build_here(out: Path) -> int:
    """Stands in for `benchmark.run.build_report`: the same in this process."""
    return build.main(["--in", str(out), "--out", str(out)])


class World:
    """Data, pairs and checkpoints that several runs share; every run has an output folder of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = make_gopro(home / "data")
        self.pairs = make_pairs(home / "pairs")
        self.no_weights = home / "no-weights"
        self.no_weights.mkdir()

    def arguments(self, out: str, methods: str, *more: str) -> list[str]:
        words = ["--methods", methods, "--testsets", "gopro", "--data-root", str(self.data), "--device", "cpu"]
        words += ["--pairs", str(self.pairs), "--steps", "2", "--weights-dir", str(self.no_weights)]
        words += ["--checkpoints", str(self.home / "checkpoints"), "--mini-root", str(self.home / "mini")]
        return [*words, "--out", str(self.home / out), *more]

    def run(self, out: str, methods: str, *more: str) -> int:
        return run.main(self.arguments(out, methods, *more))

    def bytes_of(self, out: str, name: str = "scores.csv") -> bytes:
        return (self.home / out / name).read_bytes()
