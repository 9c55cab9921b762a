"""A tiny set of blurred/sharp pairs on disk, in the layout of synth/make_pairs.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from core.image_files import write_image


def make_pairs(folder: Path, *, count: int = 6, side: int = 48, split: str = "train") -> Path:
    """Smooth random colour fields with sharp edges, blurred along the rows. Two sequences."""
    lines = []
    for number in range(count):
        rng = np.random.default_rng(number)
        smooth = ndimage.gaussian_filter(rng.random((side, side, 3)), (4, 4, 0))
        sharp = ((smooth > np.median(smooth)) * 180 + 30).astype(np.uint8)
        blur = ndimage.uniform_filter1d(sharp.astype(float), 5, axis=1).round().astype(np.uint8)
        key = f"{number:03d}"
        write_image(folder / "blur" / f"{key}.png", blur)
        write_image(folder / "sharp" / f"{key}.png", sharp)
        record = {
            "key": key,
            "split": split,
            "sequence": f"s{number * 2 // count}",
            "centre_s": number / 10,
            "response": "linear",
        }
        lines.append(json.dumps({**record, "blur": f"blur/{key}.png", "sharp": f"sharp/{key}.png"}))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return folder
