"""What the synthesis is worth: `benchmark/studies/synthesis_worth.py --out DIR [--real DIR]`.

One small network is trained on the same windows of the same rendered scenes (synth/scenes.py), whose blur is made in
four ways: the plain mean of the captured frames, their trapezoid rule, our synthesis of 3840 frames a second, and the
rendered truth. All are tested on the truth of other scenes, and with --real on pairs of real frames (a folder that
make_pairs.py made of a real 240 fps video with all of its frames). Every arm has the same steps, seeds and crops.

Written to --out: sets/ (the pairs), runs/ (the trainings), scores.csv, table.csv, worth.md, run.json: the same bytes
for the same command, run.json apart. An interrupted study goes on with --resume. Exit codes: 0 done, 1 a training
failed, 2 bad arguments or a refusal to start, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from core.command_line import loading

    loading()

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import numpy as np

from benchmark.results import write_rows
from benchmark.studies.arm_scores import METRIC_IDS, ArmScore, interval, score, use_one_thread
from core import camera_response, command_line, files, provenance
from core.command_line import Parser
from core.image_files import encode_png
from models.recipes import find_recipe
from models.training.loop import TrainConfig, TrainingFailed, train
from models.training.pair_sources import Pair, manifest_pairs
from synth.make_pairs import make
from synth.manifest import PairRecord, append_record, read_manifest
from synth.scenes import CAPTURED_FPS, VIRTUAL_FPS, blur_lin, default_scenes
from synth.settings import SynthesisConfig

FACTOR = round(VIRTUAL_FPS / CAPTURED_FPS)
FIRST = "plain mean"
# name -> how the blur of the training pairs is made; every difference is taken to the arm before it.
ARMS: dict[str, dict[str, object]] = {
    FIRST: {"recipe": "mean", "factor": 1, "interpolator": "none"},
    "trapezoid": {"recipe": "trapezoid", "factor": 1, "interpolator": "none"},
    "3840 fps": {"recipe": "trapezoid", "factor": FACTOR},
    "truth": {},
}
TRUTH, REAL = "rendered truth", "real frames"


@dataclass(frozen=True, kw_only=True)
class WorthConfig:
    """What the user chooses. limit: pairs of every set, None for all. real: a set of pairs made of real frames."""

    out: Path
    model: str = "mimo-unet"
    recipe: str = "mimo-unet"
    steps: int = 400
    batch: int = 2
    crop_px: int = 96
    seeds: tuple[int, ...] = (0, 1, 2)
    window: int = 11
    limit: int | None = None
    real: Path | None = None
    side_px: int = 256
    threads: int = 1
    device: str = "cpu"
    workers: int = 1

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) != len(self.seeds):
            given = ", ".join(map(str, self.seeds)) or "none"
            raise ValueError(f"--seeds takes different numbers from 0 up, got {given}")


@dataclass(frozen=True, kw_only=True)
class WorthRow:
    """A line of table.csv: an arm on a test. difference: to the arm before, paired over images and seeds."""

    test: str
    arm: str
    metric: str
    value: float
    blurred: float
    against: str
    difference: float | None
    ci95_low: float | None
    ci95_high: float | None
    per_seed: str
    seeds: str
    images: int


def make_sets(config: WorthConfig) -> dict[str, Path]:
    """The four training sets and the test set, by arm and "test". Errors: ValueError, OSError."""
    home = config.out / "sets"
    found = {}
    for name, facts in ARMS.items():
        if facts:
            found[name] = home / name.replace(" ", "-")
            _synthesise(config, found[name], "train", facts)
    found["truth"] = home / "truth"
    _rendered(found["3840 fps"], found["truth"], "train", config)
    basis, found["test"] = home / "test-windows", home / "test"
    _synthesise(config, basis, "test", ARMS[FIRST])
    _rendered(basis, found["test"], "test", config)
    return found


def _synthesise(config: WorthConfig, folder: Path, split: str, facts: dict[str, object]) -> None:
    chosen = SynthesisConfig(
        windows=(config.window,),
        split=split,
        limit=config.limit,
        seed=0,
        recipe=str(facts["recipe"]),
        factor=int(str(facts["factor"])),
        interpolator=str(facts.get("interpolator", SynthesisConfig.interpolator)),
    )
    if make(chosen, folder, workers=config.workers, resume=True) != 0:
        raise ValueError(f"the pairs in {folder} could not all be made; the reasons are above")


def _rendered(basis: Path, folder: Path, split: str, config: WorthConfig) -> None:
    """The same windows with their true blur. A pair that is there already is kept."""
    scenes = {clip.scene.name: clip.scene for clip in default_scenes(split, 0)}
    response = camera_response.response("srgb")
    done = {record.key for record in read_manifest(folder)} if (folder / "pairs.jsonl").is_file() else set()
    for record in read_manifest(basis):
        if record.key in done:
            continue
        light = blur_lin(scenes[record.sequence], record.first_frame * FACTOR, record.last_frame * FACTOR)
        blur_png = encode_png(camera_response.to_8bit(np.clip(response.to_encoded(light), 0, 1)))
        files.write_bytes(folder / record.blur, blur_png)
        files.write_bytes(folder / record.sharp, record.sharp_path(basis).read_bytes())
        append_record(folder, _true(record, blur_png))


def _true(record: PairRecord, blur_png: bytes) -> PairRecord:
    return replace(
        record,
        blur_sha256=sha256(blur_png).hexdigest(),
        factor=FACTOR,
        virtual_frames=(record.window - 1) * FACTOR + 1,
        interpolator="rendered",
        recipe="truth",
    )


def run(config: WorthConfig, resume: bool) -> list[str]:
    """Make the sets, train and score every arm under every seed; returns what failed, in words.

    Errors: ValueError, FileNotFoundError before the first step; OSError.
    """
    tests = {TRUTH: None, **({REAL: manifest_pairs(config.real)[0]} if config.real else {})}
    sets = make_sets(config)
    tests[TRUTH] = manifest_pairs(sets["test"])[0]
    use_one_thread()
    scores: list[ArmScore] = []
    blurred = {test: score("", None, pairs or [], config.side_px) for test, pairs in tests.items()}
    failures = []
    recipe = replace(
        find_recipe(config.recipe, "quick"),
        steps=config.steps,
        batch=config.batch,
        crop_px=config.crop_px,
        rounds=1,
        most_macs=0.0,
        response_share=0.0,
    )
    for seed in config.seeds:
        for arm in ARMS:
            slug = arm.replace(" ", "-")
            training = TrainConfig(
                model=config.model,
                pairs=(sets[arm],),
                profile="quick",
                folder=config.out / "runs" / slug / f"seed-{seed}",
                seed=seed,
                device=config.device,
                threads=config.threads,
                feature_net="random",
                hold_out="none",
            )
            try:
                info = train(training, resume, replace(recipe, name=f"worth-{slug}"))
            except TrainingFailed as error:
                failures.append(f"{arm}, seed {seed}: {error}")
                continue
            for test, pairs in tests.items():
                values = score(config.model, info.weights, pairs or [], config.side_px)
                scores += _lines(f"{test}: {arm}", seed, values, pairs or [])
    rows = table(scores, blurred, tests)
    write_rows(config.out / "scores.csv", ArmScore, scores)
    write_rows(config.out / "table.csv", WorthRow, rows)
    files.write_text(config.out / "worth.md", markdown(rows, config))
    facts = {
        "configuration": json.loads(json.dumps(asdict(config), default=str)),
        "commit": provenance.commit(),
        "versions": provenance.versions(("torch", "numpy", "opencv-python")),
        "host": provenance.host(),
    }
    files.write_json(config.out / "run.json", facts)
    return failures


def _lines(arm: str, seed: int, values: dict[str, dict[str, float]], pairs: Sequence[Pair]) -> list[ArmScore]:
    return [
        ArmScore(arm=arm, seed=seed, key=pair.key, sequence=pair.sequence, metric=name, value=values[name][pair.key])
        for name in METRIC_IDS
        for pair in pairs
    ]


def table(
    scores: Sequence[ArmScore],
    blurred: dict[str, dict[str, dict[str, float]]],
    tests: dict[str, list[Pair] | None],
) -> list[WorthRow]:
    """A row for every test, arm and metric; an image that the blur did not reach (infinite PSNR) is left out."""
    known = {(row.arm, row.metric, row.seed, row.key): row.value for row in scores}
    rows = []
    for test, pairs in tests.items():
        keys = [pair for pair in pairs or [] if np.isfinite(blurred[test]["psnr"][pair.key])]
        for metric in METRIC_IDS:
            before = ""
            for arm in ARMS:
                seeds = sorted({seed for name, _, seed, _ in known if name == f"{test}: {arm}" and seed is not None})
                if not seeds or not keys:
                    continue
                ours = _values(known, f"{test}: {arm}", metric, seeds, keys)
                apart, low, high, each = None, None, None, ""
                common = [seed for seed in seeds if (f"{test}: {before}", metric, seed, keys[0].key) in known]
                if before and common:
                    mine = _values(known, f"{test}: {arm}", metric, common, keys)
                    differences = mine - _values(known, f"{test}: {before}", metric, common, keys)
                    apart = float(differences.mean())
                    low, high = interval(differences, [pair.sequence for pair in keys])
                    each = " ".join(f"{value:+.4f}" for value in differences.mean(axis=1))
                rows.append(
                    WorthRow(
                        test=test,
                        arm=arm,
                        metric=metric,
                        value=float(ours.mean()),
                        blurred=float(np.mean([blurred[test][metric][pair.key] for pair in keys])),
                        against=before,
                        difference=apart,
                        ci95_low=low,
                        ci95_high=high,
                        per_seed=each,
                        seeds=" ".join(map(str, seeds)),
                        images=len(keys),
                    )
                )
                before = arm
    return rows


def _values(
    known: dict[tuple[str, str, int | None, str], float],
    arm: str,
    metric: str,
    seeds: Sequence[int],
    pairs: Sequence[Pair],
) -> np.ndarray:
    return np.array([[known[arm, metric, seed, pair.key] for pair in pairs] for seed in seeds])


def markdown(rows: Sequence[WorthRow], config: WorthConfig) -> str:
    """The table as Markdown, whatever came out."""
    lines = [
        "# What the synthesis is worth",
        "",
        f"{config.model}, {config.steps} steps, batch {config.batch}, crops of {config.crop_px} px, seeds "
        f"{' '.join(map(str, config.seeds))}; the same windows of {config.window} frames at {CAPTURED_FPS:g} fps of "
        "the same rendered scenes, their blur made in four ways. Intervals: bootstrap over scenes and seeds.",
        "",
        "| tested on | trained on | PSNR, dB | gain over the input, dB | difference to the arm before (95 %) | SSIM |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in (row for row in rows if row.metric == "psnr"):
        other = next(one for one in rows if (one.test, one.arm) == (row.test, row.arm) and one.metric != "psnr")
        apart = ""
        if row.difference is not None and row.ci95_low is not None and row.ci95_high is not None:
            apart = f"{row.difference:+.3f} ({row.ci95_low:+.3f} to {row.ci95_high:+.3f})"
        lines.append(
            f"| {row.test}, {row.images} images | {row.arm} | {row.value:.3f} | {row.value - row.blurred:+.3f} "
            f"| {apart} | {other.value:.4f} |"
        )
    lines += [""]
    lines += [
        f"- {row.test}, {row.arm} less {row.against} under each seed: {row.per_seed} dB"
        for row in rows
        if row.metric == "psnr" and " " in row.per_seed
    ]
    return "\n".join(lines) + "\n"


def _parser() -> Parser:
    parser = Parser(
        prog="benchmark/studies/synthesis_worth.py",
        description="What blur made of interpolated frames is worth beside plain means and the truth.",
        examples=(
            "python benchmark/studies/synthesis_worth.py --out out/worth",
            "python benchmark/studies/synthesis_worth.py --real out/pairs-of-a-phone --steps 5000 --out out/worth",
        ),
    )
    add, usual = parser.add_argument, WorthConfig
    add("--out", type=Path, required=True, metavar="DIR")
    add("--model", default=usual.model, metavar="NAME")
    add("--recipe", default=usual.recipe, metavar="NAME", help="its quick profile (default %(default)s)")
    parser.shared("--steps", default=usual.steps, help="of each training (default %(default)s)")
    parser.shared("--batch", default=usual.batch)
    parser.shared("--crop", default=usual.crop_px)
    add("--seeds", type=_numbers, default=usual.seeds, metavar="N,...")
    add("--window", type=int, default=usual.window, metavar="N", help="captured frames (default %(default)s)")
    add("--limit", type=int, metavar="PAIRS", help="of every set")
    add("--real", type=Path, metavar="DIR", help="pairs that make_pairs.py made of real frames, to test on as well")
    add("--held-out-crop", type=int, default=usual.side_px, metavar="PX", help="side of the crops scored")
    parser.shared("--threads", default=usual.threads)
    parser.shared("--device", default=usual.device)
    parser.shared("--workers", default=usual.workers)
    parser.shared("--resume")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def main(argv: list[str] | None = None) -> int:
    return command_line.run(
        _parser(),
        _study,
        argv,
        refusals=(FileNotFoundError,),
        interrupted="interrupted; --resume goes on from the last checkpoint",
        resume=True,
    )


def _study(given: argparse.Namespace) -> int:
    config = WorthConfig(
        out=given.out,
        model=given.model,
        recipe=given.recipe,
        steps=given.steps,
        batch=given.batch,
        crop_px=given.crop,
        seeds=given.seeds,
        window=given.window,
        limit=given.limit,
        real=given.real,
        side_px=given.held_out_crop,
        threads=given.threads,
        device=given.device,
        workers=given.workers,
    )
    failures = run(config, given.resume)
    print((config.out / "worth.md").read_text(encoding="utf-8") if not failures else "\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
