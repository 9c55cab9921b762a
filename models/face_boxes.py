"""Where the eyes and the mouth are in aligned faces: landmarks.jsonl beside pairs.jsonl.

One object a line, places in px of the pair's sharp image, the centre of the first pixel at 0; left is left in the
picture:

    {"key": KEY, "left_eye": [left, top, right, bottom], "right_eye": [...], "mouth": [...]}
    {"key": KEY, "points": [[x, y], [x, y], [x, y], [x, y], [x, y]]}    eyes, nose, corners of the mouth

`python models/face_boxes.py DIR` writes the file with the points that the face detector finds in every training pair,
or in every picture of a folder of aligned faces (FFHQ), which `models/train.py --model gfpgan --sharp DIR` trains on.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import json

from core import files
from core.command_line import Parser, complain, run
from core.weights_files import weights_folder
from models.faces import open_detector
from models.training.eyes_and_mouths import FILE
from models.training.pair_sources import layout_pairs, load_pairs, sharp_pairs
from models.training.samples import centre_crop


def detect_boxes(folder: Path, weights_dir: Path) -> list[str]:
    """Write landmarks.jsonl of a folder of pairs; returns the keys of those in which no face was found.

    Of several faces the largest counts. Errors: ValueError if the detector's weights are missing; as load_pairs.
    """
    import torch

    known = (folder / "pairs.jsonl").is_file() or layout_pairs(folder, "") is not None
    sets = load_pairs([folder]) if known else sharp_pairs([folder])
    detector = open_detector([weights_dir], torch.device("cpu"))
    lines, missing = [], []
    for pair in (*sets.train, *sets.validation):
        with torch.inference_mode():
            faces = detector(centre_crop(pair.sharp, 1 << 30))
        if not len(faces.boxes):
            missing.append(pair.key)
            continue
        largest = int((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(dim=1).argmax())
        points = [[round(value, 3) for value in point] for point in faces.landmarks[largest].tolist()]
        lines.append(json.dumps({"key": pair.key, "points": points}) + "\n")
    files.write_bytes(folder / FILE, "".join(lines).encode())
    return missing


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _detect, argv, refusals=(OSError,))


def _parser() -> Parser:
    parser = Parser(prog="models/face_boxes.py", description="Find eyes and mouths of training faces.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder with pairs.jsonl, or of faces")
    parser.shared("--weights-dir", default=weights_folder())
    return parser


def _detect(arguments: argparse.Namespace) -> int:
    missing = detect_boxes(arguments.folder, arguments.weights_dir)
    for key in missing:
        complain(
            "face_boxes.py",
            f"no face in {key}; take it out of pairs.jsonl, or add its line",
        )
    print(arguments.folder / FILE)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
