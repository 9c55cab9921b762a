"""Faces in pictures: pose, pasting back, counting, and what happens without the detector's weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from benchmark.restoring import read_record, restore_clips
from benchmark.testsets.base import Clip, Sample
from core.image_files import read_image, write_image
from models import faces, restore
from models.faces import (
    FEATHER,
    OUTSIDE,
    TEMPLATE_PX,
    FaceRestorer,
    align,
    inverse,
    open_detector,
    paste,
    sample,
    scale_of,
    similarity,
    skip_detection,
)
from models.nets.retinaface import RETINAFACE_MOBILENET, Faces
from models.restorer import Restorer, check_switches, open_method
from models.zoo import MODELS

# The astronaut's face as the detector with its public weights sees it, rounded.
ASTRONAUT_PX = ((203.0, 102.0), (246.0, 102.0), (223.0, 128.0), (203.0, 141.0), (244.0, 142.0))


def astronaut() -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(data.astronaut().transpose(2, 0, 1))).float() / 255


def turned(angle: float, scale: float, shift: tuple[float, float]) -> torch.Tensor:
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[a, -b, shift[0]], [b, a, shift[1]]], dtype=torch.float64)


def stand_in(*landmarks: tuple) -> object:
    """A detector that always finds these faces."""
    points = torch.tensor(landmarks).view(-1, 5, 2)
    found = Faces(scores=torch.ones(len(points)), boxes=torch.zeros(len(points), 4), landmarks=points)
    return lambda frame: found


def only(restorer: FaceRestorer, frame: torch.Tensor) -> torch.Tensor:
    (restored,) = restorer.restore(iter([frame]))
    return restored


@pytest.mark.parametrize(("angle", "scale"), [(0.0, 1.0), (0.4, 2.5), (-3.0, 0.2)])
def test_a_similarity_is_recovered(angle: float, scale: float) -> None:
    matrix = turned(angle, scale, (30.0, -7.0))
    points = torch.tensor(TEMPLATE_PX, dtype=torch.float64)
    found = similarity(points, points @ matrix[:, :2].T + matrix[:, 2])
    torch.testing.assert_close(found, matrix, rtol=0, atol=1e-9)
    assert scale_of(found) == pytest.approx(scale)
    there_and_back = inverse(matrix)[:, :2] @ matrix[:, :2]
    torch.testing.assert_close(there_and_back, torch.eye(2, dtype=torch.float64))


def test_a_similarity_is_the_best_one_and_never_a_reflection() -> None:
    rng = np.random.default_rng(0)
    points, targets = torch.from_numpy(rng.normal(size=(2, 5, 2)))
    best = similarity(points, targets)

    def misfit(matrix: torch.Tensor) -> float:
        return float((points @ matrix[:, :2].T + matrix[:, 2] - targets).square().sum())

    for _ in range(50):
        a, b, x, y = rng.normal(scale=0.05, size=4)
        assert misfit(best + torch.tensor([[a, -b, x], [b, a, y]])) > misfit(best)
    mirrored = similarity(points, points * torch.tensor([-1.0, 1.0]))
    assert torch.linalg.det(mirrored[:, :2]) > 0


def test_one_point_gives_no_pose() -> None:
    with pytest.raises(ValueError, match="two different points"):
        similarity(torch.ones(5, 2), torch.tensor(TEMPLATE_PX))


def test_sampling_by_whole_pixels_is_exact() -> None:
    image = torch.rand(3, 9, 12, generator=torch.Generator().manual_seed(0))
    seen = sample(image, turned(0, 1, (2.0, -1.0)), 0, 0, 12, 9)
    torch.testing.assert_close(seen[:, 1:, :10], image[:, :8, 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[:, 0, 0], torch.tensor(OUTSIDE), rtol=0, atol=1e-5)
    part = sample(image, turned(0, 1, (2.0, -1.0)), 3, 4, 5, 2)
    torch.testing.assert_close(part, seen[:, 4:6, 3:8], rtol=0, atol=1e-5)


def test_making_smaller_does_not_alias() -> None:
    """A one-pixel checkerboard, four times smaller, is grey."""
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    smaller = sample(board.float().expand(3, 64, 64), turned(0, 4, (1.5, 1.5)), 0, 0, 16, 16)
    torch.testing.assert_close(smaller[:, 1:-1, 1:-1], torch.full((3, 14, 14), 0.5), rtol=0, atol=0.02)


def test_an_unchanged_face_is_pasted_back_where_it_was() -> None:
    """Outside of the face nothing changes; inside stays what resampling there and back costs (measured: 0.93 / 255)."""
    frame = astronaut()
    restorer = FaceRestorer(lambda face: face, detector=stand_in(ASTRONAUT_PX))
    difference = (only(restorer, frame) - frame).abs()
    touched = (difference > 0).any(dim=0)
    rows, columns = touched.nonzero().unbind(1)
    matrix = similarity(torch.tensor(ASTRONAUT_PX), torch.tensor(TEMPLATE_PX))
    side = 512 / scale_of(matrix)
    assert 0.6 * side**2 < touched.sum() <= 1.02 * side**2  # a turned square of that side, its faintest edge aside
    assert rows.min() > 10 and columns.max() < 350
    assert float(difference[:, touched].mean()) < 1.2 / 255
    smooth = torch.nn.functional.avg_pool2d(frame[None], 9, stride=1, padding=4)[0]
    again = torch.nn.functional.avg_pool2d(only(restorer, smooth)[None] - smooth[None], 1)[0]
    assert float(again.abs().max()) < 2 / 255  # without fine texture the way there and back costs next to nothing
    assert restorer.faces == 2


def test_switches_of_a_face_restorer() -> None:
    """Truncating leaves every 8-bit level outside of the faces; nothing else makes sense around a detector."""
    spec = MODELS["gfpgan-test"]
    restorer = Restorer(spec, spec.build(), torch.device("cpu"), ["truncate"])
    assert isinstance(restorer.adapted, FaceRestorer)
    restorer.adapted.aligned, restorer.adapted.detector = False, stand_in()
    levels = torch.arange(256, dtype=torch.uint8).expand(3, 20, 256)
    (restored,) = restorer.restore(iter([levels.float() / 255]))
    assert torch.equal((restored * 255).round().byte(), levels) and restorer.adapted.faces == 0
    for switch in ("self-ensemble", "local-converter", "train-mode", "half"):
        with pytest.raises(ValueError, match=f"gfpgan has no switch {switch}; it knows truncate"):
            check_switches(MODELS["gfpgan"], [switch], torch.device("cuda"))
        with pytest.raises(ValueError, match=r"knows no switch but truncate|need each other"):
            replace(spec, switches=(switch,))
    for tile in ("auto", 512):
        with pytest.raises(ValueError, match="looks at whole faces, it cannot work in tiles; leave --tile away"):
            Restorer(spec, spec.build(), torch.device("cpu"), [], tile)


def test_the_pasted_face_fades_in_from_its_border() -> None:
    frame, face = torch.zeros(3, 100, 120), torch.ones(3, 50, 50)
    matrix = turned(0, 1, (-30.0, -20.0))
    paste(frame, face, matrix)
    row = frame[0, 20 + 25]
    assert not row[:30].any() and not row[80:].any()
    width = FEATHER * 50
    for depth in range(12):
        t = min(1.0, (depth + 0.5) / width)
        assert float(row[30 + depth]) == pytest.approx(t * t * (3 - 2 * t), abs=1e-5)
        assert float(row[79 - depth]) == pytest.approx(float(row[30 + depth]), abs=1e-5)


def test_a_face_that_leaves_the_frame() -> None:
    frame = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(1))
    matrix = turned(0.2, 3.0, (200.0, 250.0))
    face = align(frame, matrix, 512)
    torch.testing.assert_close(face[:, 0, 0], torch.tensor(OUTSIDE), rtol=0, atol=1e-5)
    pasted = frame.clone()
    paste(pasted, face, matrix)
    assert torch.isfinite(pasted).all() and pasted.min() >= 0 and pasted.max() <= 1
    far = frame.clone()
    paste(far, face, turned(0, 1, (5000.0, 0.0)))
    assert torch.equal(far, frame)


def test_faces_are_counted_and_the_rest_is_unchanged() -> None:
    frame = astronaut()
    small = tuple((300 + 0.02 * x, 300 + 0.02 * y) for x, y in TEMPLATE_PX)  # eyes 2.5 px apart: left alone
    restorer = FaceRestorer(torch.zeros_like, detector=stand_in(ASTRONAUT_PX, small))
    restored = only(restorer, frame)
    assert restorer.faces == 1
    assert float(restored[:, 115, 222].max()) == 0
    assert torch.equal(restored[:, 250:], frame[:, 250:])
    nobody = FaceRestorer(torch.zeros_like, detector=stand_in())
    assert torch.equal(only(nobody, frame), frame) and nobody.faces == 0


def test_every_face_is_taken_from_the_frame_as_it_was() -> None:
    """Two detections that overlap: the second one is not restored from the first one's result."""
    seen = []

    def black(face: torch.Tensor) -> torch.Tensor:
        seen.append(face.clone())
        return torch.zeros_like(face)

    moved = tuple((x + 1, y) for x, y in ASTRONAUT_PX)
    only(FaceRestorer(black, detector=stand_in(ASTRONAUT_PX, moved)), astronaut())
    assert len(seen) == 2 and float(seen[1][:, 256, 256].min()) > 0.1


def test_aligned_pictures_need_no_detector() -> None:
    restorer = FaceRestorer(lambda face: 1 - face, size=64, aligned=True)
    face = torch.rand(3, 64, 64)
    assert torch.equal(only(restorer, face), 1 - face)
    assert only(restorer, torch.rand(3, 40, 50)).shape == (3, 40, 50)
    assert restorer.faces == 2


def test_without_the_detectors_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBLUR_BENCH_WEIGHTS", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"put retinaface_mobilenet0\.25\.pth \(from github.*aligned"):
        only(FaceRestorer(lambda face: face), torch.zeros(3, 32, 32))


def test_the_detectors_weights_may_lie_beside_the_restorers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBLUR_BENCH_WEIGHTS", str(tmp_path / "missing"))
    torch.save(MODELS["gfpgan-test"].build().state_dict(), tmp_path / "net.pth")
    (published,) = RETINAFACE_MOBILENET.weights
    detector = replace(RETINAFACE_MOBILENET, weights=(replace(published, sha256=""),))  # random values, not those
    monkeypatch.setattr(faces, "RETINAFACE_MOBILENET", detector)
    torch.save(detector.build().state_dict(), tmp_path / published.file)
    method = open_method("gfpgan-test", tmp_path / "net.pth", "cpu")
    method.adapted.aligned = False
    method.adapted.one_face = torch.zeros_like
    only(method, torch.rand(3, 40, 50))
    assert method.adapted.detector is not None


def test_detection_is_skipped_on_request_only_for_face_restorers(tmp_path: Path) -> None:
    torch.save(MODELS["gfpgan-test"].build().state_dict(), tmp_path / "net.pth")
    method = open_method("gfpgan-test", tmp_path / "net.pth", "cpu")
    method.adapted.aligned = False
    skip_detection(method)
    assert method.adapted.aligned
    with pytest.raises(ValueError, match="only a network that restores faces"):
        skip_detection(open_method("identity", None))
    write_image(tmp_path / "a.png", np.zeros((20, 20, 3), np.uint8))
    words = ["--model", "identity", "--aligned", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert restore.main(words) == 2


def test_large_pictures_are_searched_at_a_smaller_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found in the reduced picture is told in pixels of the large one."""
    asked = []

    def found(module: object, frame: torch.Tensor, smallest_score: float) -> Faces:
        asked.append(tuple(frame.shape))
        points = torch.tensor(TEMPLATE_PX)[None]
        return Faces(scores=torch.ones(1), boxes=torch.tensor([[-0.5, -0.5, 9.5, 19.5]]), landmarks=points)

    monkeypatch.setattr(faces, "detect", found)
    detector = faces._Detector(torch.nn.Identity())
    side = faces.LONGEST_SIDE_PX
    large, small = detector(torch.zeros(3, 200, 2 * side)), detector(torch.zeros(3, 200, side))
    assert asked == [(3, 100, side), (3, 200, side)]
    torch.testing.assert_close(large.boxes, torch.tensor([[-0.5, -0.5, 19.5, 39.5]]))
    torch.testing.assert_close(large.landmarks, 2 * small.landmarks + 0.5)


def test_a_run_records_the_faces_of_every_image(tmp_path: Path) -> None:
    clips = []
    for key, image in (("a/1", data.astronaut()), ("a/2", data.astronaut()[:300])):
        write_image(tmp_path / f"{key}.png", image)
        one = Sample(key=key, blur=tmp_path / f"{key}.png", references=())
        clips.append(Clip(name=key, samples=(one,), scored=frozenset([key])))
    record_path = tmp_path / "restored.json"

    def run(detector: object) -> dict[str, int]:
        method = FaceRestorer(lambda face: face, detector=detector)
        return restore_clips(method, clips, tmp_path / "out", record_path, "weights", lambda count: None).faces

    assert run(stand_in(ASTRONAUT_PX)) == {"a/1": 1, "a/2": 1}
    assert run(stand_in()) == {"a/1": 1, "a/2": 1}  # finished images are kept, and so are their counts
    (tmp_path / "out" / "a" / "2.png").unlink()
    assert run(stand_in()) == {"a/1": 1, "a/2": 0}
    assert read_record(record_path, "weights").faces == {"a/1": 1, "a/2": 0}
    assert read_record(record_path, "other weights").faces == {}
    assert json.loads(record_path.read_text())["faces"] == {"a/1": 1, "a/2": 0}
    assert np.array_equal(read_image(tmp_path / "out" / "a" / "2.png"), data.astronaut()[:300])


def test_the_astronaut_is_found() -> None:
    """With the public weights: one face, its landmarks in the right places and at every size of the picture."""
    try:
        detector = open_detector([], torch.device("cpu"))
    except ValueError as error:
        pytest.skip(str(error))
    frame = astronaut()
    with torch.no_grad():
        found = detector(frame)
        twice = detector(torch.nn.functional.interpolate(frame[None], scale_factor=2, mode="bicubic")[0].clamp(0, 1))
    assert len(found.scores) == 1 and found.scores[0] > 0.99
    torch.testing.assert_close(found.landmarks[0], torch.tensor(ASTRONAUT_PX), rtol=0, atol=2.5)
    torch.testing.assert_close(twice.landmarks[0] / 2, torch.tensor(ASTRONAUT_PX), rtol=0, atol=7)
    assert torch.allclose(found.boxes[0], torch.tensor([179.0, 55, 270, 178]), atol=3)
    assert len(detector(frame.mean(dim=(1, 2), keepdim=True).expand_as(frame)).scores) == 0
