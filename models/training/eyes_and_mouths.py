"""Where the eyes and the mouth of an aligned face are, read from landmarks.jsonl beside pairs.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core import files, schema
from models.faces import TEMPLATE_PX, TEMPLATE_SIDE_PX
from models.losses.gfpgan import EYE_SIDE_PX, MOUTH_SIDE_PX
from models.training.pair_sources import Pair

FILE = "landmarks.jsonl"
COMPONENTS = ("left_eye", "right_eye", "mouth")
TEMPLATE = "mean places of FFHQ's pose"


def boxes_of(points: np.ndarray) -> np.ndarray:
    """Square boxes around both eyes and the mouth from the five points of a face.

    In FFHQ's mean pose they are as large as the crops that the component discriminators see; otherwise they grow with
    the distance of the eyes and the width of the mouth. Ours: the paper's come from landmarks of its own.
    Shape: [5, 2] -> [3, 4] (left, top, right, bottom). Units: px.
    """
    template = np.array(TEMPLATE_PX)
    eyes, mouth = (np.linalg.norm(points[a] - points[b]) for a, b in ((1, 0), (4, 3)))
    usual_eyes, usual_mouth = (np.linalg.norm(template[a] - template[b]) for a, b in ((1, 0), (4, 3)))
    halves = np.array([eyes / usual_eyes * EYE_SIDE_PX] * 2 + [mouth / usual_mouth * MOUTH_SIDE_PX]) / 2
    centres = np.stack([points[0], points[1], (points[3] + points[4]) / 2])
    return np.concatenate([centres - halves[:, None], centres + halves[:, None]], axis=1)


def scaled(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes of a face that is shown `factor` times as large; pixels have their centres at whole numbers."""
    return (boxes + 0.5) * factor - 0.5


def mirrored(boxes: np.ndarray, side: int) -> np.ndarray:
    """Boxes of the face seen in a mirror: the eyes change places. Shape: [3, 4] -> [3, 4]."""
    turned = boxes.copy()
    turned[:, 0], turned[:, 2] = side - 1 - boxes[:, 2], side - 1 - boxes[:, 0]
    return turned[[1, 0, 2]]


@dataclass(frozen=True, kw_only=True)
class FaceBoxes:
    """The boxes of every training face. identity: what says where they come from, for the configuration."""

    identity: str
    found: dict[tuple[int, str], np.ndarray]

    def of(self, pair: Pair, side: int) -> np.ndarray:
        """Shape: [3, 4]: left eye, right eye, mouth, in px of the pair's sharp image, which has this side."""
        boxes = self.found.get((pair.folder, pair.key))
        return scaled(boxes_of(np.array(TEMPLATE_PX)), side / TEMPLATE_SIDE_PX) if boxes is None else boxes


def load_boxes(folders: Sequence[Path], pairs: Sequence[Pair], *, template: bool, whole: bool = True) -> FaceBoxes:
    """The boxes of all pairs out of their folders' landmarks.jsonl.

    template: where a folder has no such file, the mean places of FFHQ's pose are taken in place of an error. whole:
    every pair must have its line.
    Errors: FileNotFoundError, ValueError: one sentence that says how to make the file.
    """
    found: dict[tuple[int, str], np.ndarray] = {}
    identities = []
    for number, folder in enumerate(folders):
        path = Path(folder) / FILE
        how = f"make it with `python models/face_boxes.py {folder}`"
        if not path.is_file():
            if not template:
                raise FileNotFoundError(
                    f"{path} is missing, which says where the eyes and mouths of the faces are: {how}, or choose "
                    "--feature-net squeezenet or random, which takes the mean places of FFHQ's pose and says so"
                )
            identities.append(TEMPLATE)
            continue
        for key, boxes in _read(path).items():
            found[number, key] = boxes
        for pair in pairs:
            if whole and pair.folder == number and (number, pair.key) not in found:
                raise ValueError(f"{path} says nothing of {pair.key!r}; {how}")
        identities.append(f"{FILE} {files.sha256_of(path)}")
    return FaceBoxes(identity=", ".join(identities), found=found)


def _read(path: Path) -> dict[str, np.ndarray]:
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = schema.parse(line)
            if "points" in record:
                boxes = boxes_of(np.array(record["points"], np.float64).reshape(5, 2))
            else:
                boxes = np.array([record[name] for name in COMPONENTS], np.float64).reshape(3, 4)
            key = str(record["key"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{path}, line {number}: not a face; a line has a key and five points, or a key and the boxes "
                f"{', '.join(COMPONENTS)} of four numbers each"
            ) from None
        if not (np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
            raise ValueError(f"{path}, line {number}: a box ends before it starts; left, top, right, bottom are needed")
        found[key] = boxes
    return found
