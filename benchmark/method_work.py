"""The work on one method: weights, restoring, scoring, its rows. And the input images that the report shows."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.methods import WeightsInUse, find_image, homes, keep, weights_of, with_images
from benchmark.plan import FOREIGN, RunConfig, Target, by_images_folder, clips_to_restore, method_name
from benchmark.restoring import AreaReduced, one_sentence, restore_clips
from benchmark.results import MethodRow, ScoreRow
from benchmark.scoring import Scored, record_path, score_target
from core.files import sha256_of, write_bytes
from core.image_files import encode_png, read_image
from models.baselines import BASELINES
from models.restorer import open_method
from models.zoo import MODELS

if TYPE_CHECKING:
    from benchmark.cost import Cost
    from models.spec import Method

SHEET_KEYS = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The rows of a method, and the targets that went without a failure."""

    scores: list[ScoreRow]
    methods: list[MethodRow]
    done: list[Target]


def run_method(
    method: str, config: RunConfig, targets: Sequence[Target], threads: int, cost: Cost | None, commit: str
) -> Outcome:
    """Restore and score all targets with one method. A failure becomes the `status` of its rows.

    Errors: OSError if results cannot be written.
    """
    import torch

    name = method_name(method)
    files: dict[str, dict[str, tuple[Path, str]]] = {}
    faces: dict[str, dict[str, int]] = {}
    failures: dict[str, dict[str, str]] = {folder: {} for folder in by_images_folder(targets)}
    weights, broken = WeightsInUse(path=None, trained_on="elsewhere" if method.startswith(FOREIGN) else ""), ""
    if method.startswith(FOREIGN):
        targets = with_images(Path(method.removeprefix(FOREIGN)), targets)
    else:
        try:
            weights = weights_of(name, config)
        except Exception as error:  # training or loading failed: the reason goes into the rows
            broken = one_sentence(error)
        else:
            torch.set_num_threads(threads)
            for folder, group in by_images_folder(targets).items():
                try:
                    files[folder], failures[folder], faces[folder] = _restore(name, weights, folder, group, config)
                except (ValueError, RuntimeError) as error:
                    failures[folder] = {"": one_sentence(error)}
    outcome = Outcome(scores=[], methods=[], done=[])
    for target in targets:
        folder = target.testset.images_folder
        if method.startswith(FOREIGN):
            found, failed = _foreign(Path(method.removeprefix(FOREIGN)), target, targets, config.out)
        else:
            found, failed = files.get(folder, {}), failures[folder]
        scored = Scored()
        if not broken:
            record = record_path(config.out, name, target)
            with progress(
                f"{name}: scoring {target.testset.title}, {target.testset.protocol.name}", target.keys
            ) as step:
                scored = score_target(target, found, record, config.workers, config.weights_dir, step, config.scheduler)
        status = broken or _status(target, found, {**failed, **scored.failed})
        counts = faces.get(folder, {})
        noted = [f"faces: {sum(counts.get(key, 0) for key in target.keys)}"] if counts else []
        outcome.methods.append(_method_row(method, target, weights, status, config, cost, commit, noted))
        outcome.scores.extend(_score_rows(name, target, scored))
        if status == "ok":
            outcome.done.append(target)
    return outcome


def _restore(
    name: str, weights: WeightsInUse, folder: str, group: Sequence[Target], config: RunConfig
) -> tuple[dict[str, tuple[Path, str]], dict[str, str], dict[str, int]]:
    """The images by key, why others are missing, and the faces in each image of a method that restores faces."""
    clips = clips_to_restore(group, whole_clips=_looks_at_clips(name))
    home = config.out / "images" / folder / name
    record_path = config.out / "parts" / name / folder / "restored.json"
    count = [sample.key for clip in clips for sample in clip.samples]
    with progress(f"{name}: restoring {group[0].testset.title}, {folder}", count) as step:
        opened = _open(name, weights.path, config)
        restored = restore_clips(opened, clips, home, record_path, weights.sha256 or name, step)
    images = {key: (home / f"{key}.png", digest) for key, digest in restored.images.items()}
    return images, restored.failed, restored.faces


def _open(name: str, weights: Path | None, config: RunConfig) -> Method:
    """The method as the run asks for it, its output of the input's size."""

    if name not in MODELS:
        return open_method(name, weights, config.device)
    opened = open_method(name, weights, config.device, config.switches, config.tile or "none")
    scale = MODELS[name].scale
    return opened if scale == 1 else AreaReduced(opened, scale)


def _looks_at_clips(name: str) -> bool:
    """Whether a network looks at several frames; others get every scored image as a still."""

    return name in MODELS and MODELS[name].frames > 1


def _foreign(
    folder: Path, target: Target, targets: Sequence[Target], out: Path
) -> tuple[dict[str, tuple[Path, str]], dict[str, str]]:
    places = homes(folder, target, targets)
    found, failed = {}, {}
    shown = sheet_keys(by_images_folder(targets)[target.testset.images_folder][0])
    for key in target.keys:
        path = find_image(places, key)
        if path is None:
            failed[key] = f"no image {key}.png in {' or '.join(map(str, places))}"
            continue
        found[key] = (path, sha256_of(path))
        kept = out / "images" / target.testset.images_folder / folder.resolve().name / f"{key}.png"
        try:
            if key in shown:
                _copy_image(path, kept)
            else:
                keep(path, kept)
        except ValueError as error:
            failed[key] = str(error)
    return found, failed


def _status(target: Target, found: dict[str, tuple[Path, str]], failed: dict[str, str]) -> str:
    """ "ok", or how many images failed and why the first one did."""
    if "" in failed:  # the method as a whole
        return failed[""]
    by_key = {}
    for clip in target.clips:
        for sample in clip.samples:
            reason = failed.get(sample.key) or failed.get(clip.name)
            if sample.key in clip.scored and (reason or sample.key not in found):
                by_key[sample.key] = reason or "not restored"
    if not by_key:
        return "ok"
    first, reason = next(iter(by_key.items()))
    return f"{len(by_key)} of {len(target.keys)} images failed, first {first}: {reason}"


def _method_row(
    method: str,
    target: Target,
    weights: WeightsInUse,
    status: str,
    config: RunConfig,
    cost: Cost | None,
    commit: str,
    noted: Sequence[str],
) -> MethodRow:

    name, task = method_name(method), "deblur"
    if name in MODELS and not method.startswith(FOREIGN):
        task = MODELS[name].task
    elif name in BASELINES:
        task = BASELINES[name].task
    switches = [*weights.switches, *noted]
    if name in MODELS and not method.startswith(FOREIGN):
        switches += config.switches
        switches += [f"tiles of {config.tile} px"] if config.tile else []
        switches += [f"x{MODELS[name].scale}, area-reduced"] if MODELS[name].scale > 1 else []
    if (
        not method.startswith(FOREIGN)
        and _looks_at_clips(name)
        and any(len(clip.samples) == 1 for clip in target.clips)
    ):
        switches.append("repeated still")
    return MethodRow(
        method=name,
        testset=target.testset.name,
        protocol=target.testset.protocol.name,
        task=task,
        params_m=cost.params_m if cost else None,
        macs_g=cost.macs_g if cost else None,
        trained_on=weights.trained_on,
        steps=weights.steps,
        feature_net=weights.feature_net,
        switches=", ".join(switches),
        weights_sha256=weights.sha256,
        status=status,
        commit=commit,
        command=command(method, config),
        profile=weights.profile,
        title=target.testset.title,
        missing="; ".join(f"{metric}: {sentence.replace('; ', ', ')}" for metric, sentence in target.missing),
    )


def command(method: str, config: RunConfig) -> str:
    """The command line that makes a method's rows again."""

    words = ["python", "benchmark/run.py", "--methods", method, "--testsets", ",".join(config.testsets)]
    words += ["--protocols", ",".join(config.protocols)] if config.protocols else []
    words += ["--metrics", ",".join(config.metrics)] if config.metrics else []
    words += ["--profile", config.profile, "--seed", str(config.seed)]
    for flag, value in (("--steps", config.steps), ("--limit", config.limit)):
        words += [flag, str(value)] if value is not None else []
    if method in MODELS:
        words += ["--retrain"] if config.retrain else []
        words += ["--switches", ",".join(config.switches)] if config.switches else []
        words += ["--tile", str(config.tile)] if config.tile else []
    for flag, folder in (("--weights-dir", config.weights_dir), ("--data-root", config.data_root)):
        words += [flag, folder.name] if folder is not None else []  # names only: tables are shared between machines
    words += [f"--weights={name}={path.name}" for name, path in config.weights if name == method]
    return shlex.join(words)


def _score_rows(name: str, target: Target, scored: Scored) -> Iterator[ScoreRow]:
    for metric in target.metrics:
        for key in target.keys:
            if key in scored.images:
                yield ScoreRow(
                    method=name,
                    testset=target.testset.name,
                    protocol=target.testset.protocol.name,
                    metric=metric,
                    key=key,
                    value=scored.images[key][1][metric],
                    simulated=target.testset.simulated,
                )


def sheet_keys(target: Target) -> list[str]:
    """The images that the contact sheet shows: spread over the test set."""
    count = len(target.keys)
    return list(dict.fromkeys(target.keys[index * count // SHEET_KEYS] for index in range(SHEET_KEYS) if count))


def keep_sheet_inputs(out: Path, targets: Sequence[Target]) -> None:
    """Copies of a few blurred and sharp images of every images folder, for the contact sheets."""
    for folder, group in by_images_folder(targets).items():
        samples = {sample.key: sample for clip in group[0].clips for sample in clip.samples}
        for key in sheet_keys(group[0]):
            references = samples[key].references
            chosen = [("_blur", samples[key].blur)]
            # Kohler: the middle of the trajectory.
            chosen += [("_sharp", references[len(references) // 2])] if references else []
            for name, path in chosen:
                try:
                    _copy_image(path, out / "images" / folder / name / f"{key}.png")
                except ValueError as error:
                    print(f"run.py: {error}", file=sys.stderr)


def _copy_image(source: Path, target: Path) -> None:
    image = read_image(source)  # also of a PNG: a broken file must not reach the contact sheet
    data = source.read_bytes() if source.suffix.lower() == ".png" else encode_png(image)
    if not target.is_file() or target.read_bytes() != data:
        write_bytes(target, data)


@contextmanager
def progress(title: str, items: Sequence[object]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr: what runs, m of n, time left. Not on a terminal: one line when it is finished."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    started = time.monotonic()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=len(items))
        yield lambda count: bar.advance(task, count)
    print(f"{title}: {len(items)} in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
