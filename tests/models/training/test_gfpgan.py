"""GFPGAN's recipe: its terms by hand, where eyes and mouths come from, whole faces as samples, resuming, refusals."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.image_files import write_image
from models import face_boxes, train
from models.faces import TEMPLATE_PX
from models.feature_nets import feature_net
from models.losses.gfpgan import component_crops
from models.nets.retinaface import Faces
from models.recipes import RECIPES, Augmentation, find_recipe
from models.training import checkpoint
from models.training.discriminators import Opponents, crop_sides
from models.training.eyes_and_mouths import FaceBoxes, boxes_of, load_boxes, mirrored, scaled
from models.training.loop import TrainConfig, TrainingFailed, _Training, plan
from models.training.loop import train as run_training
from models.training.objective import Objective
from models.training.pair_sources import load_pairs
from models.training.samples import FaceSampler
from models.training.stages import PlannedStage
from models.training.start import load_backbone
from models.zoo import MODELS
from tests.models.face_data import grams, use_tiny_networks, write_landmarks
from tests.models.training.training_data import make_pairs

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_networks(monkeypatch)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_pairs(tmp_path_factory.mktemp("faces"))
    write_landmarks(folder, 48)
    return folder


def config(folder: Path, out: Path, **changes: object) -> TrainConfig:
    common = TrainConfig(
        model="gfpgan-test",
        recipe="gfpgan",
        pairs=(folder,),
        steps=4,
        out=out,
        device="cpu",
        threads=1,
        batch=2,
        feature_net="random",
    )
    return replace(common, **changes)


def softplus(values: np.ndarray) -> float:
    return float(np.log1p(np.exp(values.astype(np.float64))).mean())


def test_every_term_by_hand() -> None:
    """0.1 L1 and pyramid in [-1, 1]; VGG19 before its ReLUs; 0.1 softplus; crops: softplus + 200 Gram; 10 ArcFace."""
    torch.manual_seed(0)
    recipe = find_recipe("gfpgan", "paper")
    stage = PlannedStage(recipe=recipe, first=0, last=800, batch=2, crop_px=32, clip_frames=1)
    opponents = Opponents(stage, 0, CPU)
    objective = Objective(
        recipe,
        feature_net_name="random",
        weights_dir=None,
        discriminator=opponents.whole,
        device=CPU,
        components=opponents.components,
    )
    sharp, restored = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    levels = [torch.rand(2, 3, side, side) for side in (8, 16, 32)]
    boxes = torch.tensor([[[2.0, 4, 10, 12], [18, 5, 26, 13], [9, 20, 21, 29]]] * 2)
    pairs = [(level, sharp[..., : level.shape[-1], : level.shape[-1]]) for level in levels] + [(restored, sharp)]
    with torch.no_grad():
        total, terms = objective.loss(pairs, sharp[:, None], boxes, step=0, steps=800)
        expected = {"images": 0.1 * 2 * np.abs(restored.numpy() - sharp.numpy()).mean()}
        reduced = {32: sharp.numpy()}
        for side in (16, 8):  # bilinear halves are means of four
            reduced[side] = reduced[2 * side].reshape(2, 3, side, 2, side, 2).mean(axis=(3, 5))
        expected["pyramid"] = sum(2 * np.abs(one.numpy() - reduced[one.shape[-1]]).mean() for one in levels)
        layers = ["conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"]
        maps = [feature_net("random", layers, None)(image) for image in (restored, sharp)]
        weights = (0.1, 0.1, 1, 1, 1)
        expected["perceptual"] = sum(
            w * np.abs(one.numpy() - two.numpy()).mean() for w, one, two in zip(weights, *maps, strict=True)
        )
        assert opponents.whole is not None
        expected["adversarial"] = 0.1 * softplus(-opponents.whole.module(restored * 2 - 1).numpy())
        fooled = alike = 0.0
        for number, (name, side) in enumerate(crop_sides(32).items()):
            module = opponents.components[name].module
            made, real = (component_crops(one * 2 - 1, boxes[:, number], side) for one in (restored, sharp))
            (scores, ours), (_, theirs) = module(made, return_feats=True), module(real, return_feats=True)
            fooled += softplus(-scores.numpy())
            for share, one, two in zip((0.5, 1.0), ours, theirs, strict=True):
                alike += share * float((grams(one) - grams(two)).abs().mean())
        expected |= {"adversarial components": fooled, "style": 200 * alike}
        assert objective.faces is not None
        grey = [
            torch.nn.functional.interpolate(
                (0.2989 * one[:, :1] + 0.587 * one[:, 1:2] + 0.114 * one[:, 2:]), (128, 128), mode="bilinear"
            )
            for one in (restored * 2 - 1, sharp * 2 - 1)
        ]
        told = [objective.faces.network(one).numpy() for one in grey]
        expected["identity"] = 10 * np.abs(told[0] - told[1]).mean()
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-4), name
    assert float(total) == pytest.approx(float(sum(expected.values())), rel=1e-4)
    _, later = objective.loss(pairs, sharp[:, None], boxes, step=50, steps=800)  # 50k of 800k steps
    assert "pyramid" not in later and "pyramid" in objective.loss(pairs, sharp[:, None], boxes, step=49, steps=800)[1]


def test_published_weights_and_schedule() -> None:
    recipe = find_recipe("gfpgan", "paper")
    assert recipe.batch == 12 and recipe.crop_px == 512 and recipe.steps == 800_000
    rates = [recipe.learning_rate_at(step, 800_000) for step in (0, 699_999, 700_000, 750_000)]
    assert rates == [2e-3, 2e-3, 1e-3, 5e-4]
    assert recipe.ema_decay ** (10_000 / 32) == pytest.approx(0.5)
    words = " + ".join(recipe.terms())
    assert "200 gram-style of components" in words and "10 identity" in words and "1 pyramid-l1" in words


def test_boxes_from_points() -> None:
    """In FFHQ's pose eyes are 80 px and the mouth 120 px wide, as the discriminators see them."""
    boxes = boxes_of(np.array(TEMPLATE_PX))
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], [[80, 80], [80, 80], [120, 120]])
    np.testing.assert_allclose((boxes[0, :2] + boxes[0, 2:]) / 2, TEMPLATE_PX[0])
    np.testing.assert_allclose((boxes[2, :2] + boxes[2, 2:]) / 2, np.mean(TEMPLATE_PX[3:], axis=0))
    np.testing.assert_allclose(scaled(np.array([[-0.5, -0.5, 7.5, 7.5]]), 0.5), [[-0.5, -0.5, 3.5, 3.5]])
    turned = mirrored(np.array([[1.0, 2, 3, 4], [10, 2, 14, 6], [5, 8, 9, 12]]), 16)
    np.testing.assert_allclose(turned, [[1, 2, 5, 6], [12, 2, 14, 4], [6, 8, 10, 12]])
    np.testing.assert_allclose(mirrored(turned, 16)[0], [1, 2, 3, 4])


def test_boxes_follow_the_samples(tmp_path: Path) -> None:
    """Faces of twice the side, with a bright left eye and a dark right one: both are in their boxes, flipped or not."""
    folder = make_pairs(tmp_path, count=4, side=64)
    face = np.full((64, 64, 3), 128, np.uint8)
    face[10:20, 8:18], face[12:22, 44:54] = 255, 0
    for number in range(4):
        write_image(folder / "sharp" / f"{number:03d}.png", face)
    boxes = np.array([[8.0, 10, 17, 19], [44, 12, 53, 21], [20, 40, 40, 50]])
    pairs = load_pairs([folder]).train
    known = FaceBoxes(identity="", found={(0, pair.key): boxes for pair in pairs})

    def sampler(flips: tuple[str, ...]) -> FaceSampler:
        change = Augmentation(degrade="gfpgan", from_sharp=True)
        return FaceSampler(pairs, known, seed=0, side_px=32, flips=flips, augmentation=change, shares=(), cache=None)

    lefts = []
    for step in range(12):
        blur, sharp, places = sampler(("horizontal",)).batch(step, 1)
        assert blur.shape == sharp.shape == (1, 1, 3, 32, 32) and places.shape == (1, 3, 4)
        crops = [component_crops(sharp[:, 0], places[:, index], 4).mean() for index in (0, 1)]
        lefts.append(float(crops[0]) > 0.9)
        assert sorted(round(float(crop), 2) for crop in crops) == [0.0, 1.0]
        again = sampler(("horizontal",)).batch(step, 1)
        assert all(torch.equal(*both) for both in zip((blur, sharp, places), again, strict=True))
        assert float((blur - sharp).abs().mean()) > 0.01
    assert any(lefts) and not all(lefts)
    assert all(torch.equal(sampler(()).batch(0, 1)[2], sampler(()).batch(step, 1)[2]) for step in range(6))
    whole, parts = sampler(("horizontal",)).batch(1, 4), sampler(("horizontal",)).parts(1, 4, parts=2)
    assert torch.equal(whole[2], torch.cat([part[2] for part in parts]))


def test_landmarks_are_read(tmp_path: Path) -> None:
    folder = make_pairs(tmp_path, count=2)
    pairs = load_pairs([folder]).train
    path = folder / face_boxes.FILE
    lines = [{"key": pair.key, "points": [list(point) for point in TEMPLATE_PX]} for pair in pairs]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = load_boxes([folder], pairs, template=False)
    np.testing.assert_allclose(found.of(pairs[0], 48), boxes_of(np.array(TEMPLATE_PX)))
    assert "landmarks.jsonl " in found.identity
    path.write_text("")
    with pytest.raises(
        ValueError, match=r"landmarks\.jsonl says nothing of '000'; make it with `python models/face_bo"
    ):
        load_boxes([folder], pairs, template=True)
    for line in ('{"key": "000", "points": [1, 2]}', "[]", '{"key": "000", "left_eye": [0, 0, 1, 1]}', "{"):
        path.write_text(line + "\n")
        with pytest.raises(
            ValueError, match=r"line 1: not a face; a line has a key and five points, or a key and the b"
        ):
            load_boxes([folder], pairs, template=True)
    box = [4, 4, 2, 8]
    path.write_text(json.dumps({"key": "000", "left_eye": box, "right_eye": box, "mouth": box}))
    with pytest.raises(ValueError, match="line 1: a box ends before it starts"):
        load_boxes([folder], pairs, template=True)


def test_the_detector_writes_landmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two faces the larger one counts; where there is none, its key is said and the exit code is not zero."""
    folder = make_pairs(tmp_path, count=2)
    points = torch.arange(10.0).reshape(5, 2)
    two = Faces(
        scores=torch.ones(2),
        boxes=torch.tensor([[0.0, 0, 4, 4], [0, 0, 9, 9]]),
        landmarks=torch.stack([points, points + 3]),
    )
    none = Faces(scores=torch.ones(0), boxes=torch.zeros(0, 4), landmarks=torch.zeros(0, 5, 2))
    results = iter([two, none])
    monkeypatch.setattr("models.face_boxes.open_detector", lambda *_: lambda frame: next(results))
    assert face_boxes.main([str(folder)]) == 1
    assert "no face in 001; take it out of pairs.jsonl, or add its line" in capsys.readouterr().err
    (line,) = [json.loads(line) for line in (folder / face_boxes.FILE).read_text().splitlines()]
    assert line == {"key": "000", "points": (points + 3).tolist()}


def test_it_trains_and_says_what_it_used(faces: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    info = run_training(config(faces, tmp_path), resume=False)
    meta = info.meta
    assert meta["finished"] and meta["validation"]["psnr"] is not None and meta["feature_net"] == "random"
    assert "eyes and mouths from landmarks" in meta["switches"] and "identity network random" in meta["switches"]
    assert "landmarks.jsonl" in meta["configuration"]["face_boxes"]
    state = load_file(info.folder / checkpoint.STATE)
    for name in ("discriminator", "discriminator-left_eye", "discriminator-right_eye", "discriminator-mouth"):
        steps = [value for key, value in state.items() if key.startswith(f"adam-{name}.") and key.endswith(".step")]
        assert steps and all(int(value) == 4 for value in steps), name


def test_without_landmarks_the_mean_places_are_said(tmp_path: Path) -> None:
    info = run_training(config(make_pairs(tmp_path / "pairs"), tmp_path / "out", steps=1), resume=False)
    assert "eyes and mouths in FFHQ's mean places" in info.meta["switches"]


def test_the_quick_profile_lowers_the_loss(faces: Path, tmp_path: Path) -> None:
    """The same faces over and over: what the network itself is to lower, without its opponents, falls."""
    # A rate suits layers of one width and goes with its inverse (Yang et al., arXiv:2203.03466): 512, and 16 here.
    quick = find_recipe("gfpgan", "quick")
    recipe = replace(quick, learning_rate=quick.learning_rate * 512 / 16)
    training = _Training(plan(config(faces, tmp_path, steps=40), recipe))
    batch = training.sampler.batch(0, 2)
    training.sampler.parts = lambda *_, **__: [batch]  # type: ignore[method-assign]
    own = []
    for step in range(40):
        training.step(step)
        told = sum(value for name, value in training.terms.items() if name.startswith("loss/adversarial"))
        own.append(training.terms["loss"] - told)
    assert np.mean(own[-3:]) < 0.95 * np.mean(own[:3])


@pytest.mark.parametrize("cut", [1, 3])
def test_it_resumes_to_the_same_bytes(cut: int, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five networks and their optimisers, the generator's noise, the degradations, the flips."""
    recipe = replace(find_recipe("gfpgan", "quick"), checkpoint_every=1)
    monkeypatch.setitem(RECIPES, "gfpgan", lambda profile: recipe)
    chosen = config(faces, tmp_path / "whole")
    whole = run_training(chosen, resume=False)
    save = _Training.save

    def stopped(self: _Training, steps_done: int, validation: dict | None) -> object:
        written = save(self, steps_done, validation)
        if steps_done == cut:
            raise KeyboardInterrupt
        return written

    cut_config = replace(chosen, out=tmp_path / "cut")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_Training, "save", stopped)
        run_training(cut_config, resume=False)
    resumed = run_training(cut_config, resume=True)
    for name in (checkpoint.WEIGHTS, checkpoint.STATE, checkpoint.META):
        assert (whole.folder / name).read_bytes() == (resumed.folder / name).read_bytes(), name


def test_a_component_that_is_not_finite_stops_the_run(faces: Path, tmp_path: Path) -> None:
    training = _Training(plan(config(faces, tmp_path)))
    with torch.no_grad():
        next(training.opponents.components["mouth"].module.parameters()).fill_(math.nan)
    with pytest.raises(TrainingFailed, match=r"became nan at step 2 \(its batch is in failed_batch\.safetensors\)"):
        training.step(2)
    assert (training.plan.folder / checkpoint.FAILED_BATCH).is_file()


def test_what_is_missing_stops_before_the_first_step(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    shapes = {f"features.{n}": torch.zeros(1) for n in range(2)}
    torch.save(shapes, weights / "vgg19.pth")
    common = {"--model": "gfpgan-test", "--recipe": "gfpgan", "--steps": 1, "--device": "cpu", "--weights-dir": weights}
    words = [str(word) for pair in common.items() for word in pair]
    assert train.main([*words, "--pairs", str(faces), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "identity loss needs arcface_resnet18.pth in" in error and "--feature-net squeezenet or random" in error
    (weights / "arcface_resnet18.pth").write_bytes(b"x")
    without = make_pairs(tmp_path / "without")
    assert train.main([*words, "--pairs", str(without), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "landmarks.jsonl is missing" in error and "python models/face_boxes.py" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_pictures_that_are_no_faces(tmp_path: Path) -> None:
    folder = make_pairs(tmp_path / "pairs")
    for side in ("blur", "sharp"):
        for number in range(6):
            write_image(folder / side / f"{number:03d}.png", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(ValueError, match=r"is 48x40 px; a recipe of faces trains on aligned faces, which are square"):
        plan(config(folder, tmp_path / "out"))
    small = make_pairs(tmp_path / "small", side=24)
    with pytest.raises(ValueError, match=r"is 24 px on a side, but gfpgan-test .* trains on squares of 32 px"):
        plan(config(small, tmp_path / "out"))


def test_crops_of_the_published_size() -> None:
    assert crop_sides(512) == {"left_eye": 80, "right_eye": 80, "mouth": 120}
    assert all(side % 4 == 0 and side >= 8 for size in (16, 32, 48, 256) for side in crop_sides(size).values())


def test_a_generators_file_fills_the_decoder(tmp_path: Path) -> None:
    torch.manual_seed(3)
    prior = MODELS["gfpgan-test"].build().get_submodule("stylegan_decoder").state_dict()
    torch.save({"params_ema": prior}, tmp_path / "stylegan2.pth")
    module = MODELS["gfpgan-test"].build()
    load_backbone(module, MODELS["gfpgan-test"], tmp_path / "stylegan2.pth")
    loaded = module.get_submodule("stylegan_decoder").state_dict()
    assert all(torch.equal(value, prior[key]) for key, value in loaded.items())
    del prior["constant_input.weight"]
    torch.save(prior, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"1 keys are missing, such as 'constant_input\.weight'"):
        load_backbone(module, MODELS["gfpgan-test"], tmp_path / "cut.pth")
