"""The work on one method: weights, restoring, scoring, its rows. And the input images that the report shows."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.methods import BaselineMethod, FolderMethod, Method, NetworkMethod
from benchmark.plan import RunConfig, Target, by_images_folder, clips_to_restore
from benchmark.restoring import enlarged, input_of, one_sentence, restore_clips
from benchmark.results import NOT_RUN, MethodRow, ScoreRow
from benchmark.scoring import Scored, record_path, score_target
from benchmark.stored_images import find_image, homes, keep, with_images
from benchmark.testsets.base import Sample, some
from benchmark.trainings import NoWeightsError, trained
from core.files import sha256_of, write_bytes
from core.image_files import encode_png, read_picture
from core.progress import bar
from models.chosen_weights import ChosenWeights

if TYPE_CHECKING:
    from benchmark.cost import Cost

SHEET_KEYS = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The rows of a method, and the targets that went without a failure."""

    scores: list[ScoreRow]
    methods: list[MethodRow]
    done: list[Target]


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of a method for one target: file and sha256 by key, why others are missing, faces by key.

    failed[""]: why there is none at all.
    """

    files: dict[str, tuple[Path, str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    faces: dict[str, int] = field(default_factory=dict)


def run_method(
    method: Method, config: RunConfig, targets: Sequence[Target], threads: int, cost: Cost | None, commit: str
) -> Outcome:
    """Restore and score all targets with one method. What failed becomes the `status` of its rows.

    Errors: OSError if results cannot be written.
    """
    if isinstance(method, FolderMethod):
        targets = with_images(method.folder, targets)
        images = [_stored(method, target, targets, config.out) for target in targets]
        return _scored(method, config, list(zip(targets, images, strict=True)), cost, commit)
    try:
        method = trained(method, config)
    except NoWeightsError as error:
        rows = [_method_row(method, target, f"{NOT_RUN}{error}", config, cost, commit, ()) for target in targets]
        return Outcome(scores=[], methods=rows, done=list(targets))
    except Exception as error:  # training or loading failed: the reason goes into the rows
        broken = [_method_row(method, target, one_sentence(error), config, cost, commit, ()) for target in targets]
        return Outcome(scores=[], methods=broken, done=[])
    by_folder = _restored(method, config, targets, threads)
    found = [(target, by_folder[target.testset.images_folder]) for target in targets]
    return _scored(method, config, found, cost, commit)


def _scored(
    method: Method, config: RunConfig, found: Sequence[tuple[Target, Images]], cost: Cost | None, commit: str
) -> Outcome:
    """The rows of a method whose images are there, target by target."""
    outcome = Outcome(scores=[], methods=[], done=[])
    for target, images in found:
        title = f"{method.name}: scoring {target.testset.title}, {target.testset.protocol.name}"
        record = record_path(config.out, method.name, target)
        with progress(title, target.keys) as step:
            scored = score_target(
                target, images.files, record, config.workers, config.weights_dir, step, config.scheduler
            )
        status = _status(target, images.files, {**images.failed, **scored.failed})
        noted = [f"faces: {sum(images.faces.get(key, 0) for key in target.keys)}"] if images.faces else []
        if same := scored.identical():
            noted.append(f"identical to the sharp image, PSNR infinite: {some(same)}")
            warn(f"{method.name}, {target.testset.protocol.name}: {noted[-1]}; so is its mean")
        lost = scored.lost_in_words()
        for metric, sentence in lost.items():
            warn(f"{method.name}, {target.testset.protocol.name}: {metric}: {sentence}")
        outcome.methods.append(_method_row(method, target, status, config, cost, commit, noted, lost))
        outcome.scores.extend(_score_rows(method.name, target, scored))
        if status == "ok":
            outcome.done.append(target)
    return outcome


def _restored(
    method: NetworkMethod | BaselineMethod, config: RunConfig, targets: Sequence[Target], threads: int
) -> dict[str, Images]:
    """The images by images folder; targets that share one share them."""
    import torch

    torch.set_num_threads(threads)
    found = {}
    for folder, group in by_images_folder(targets).items():
        try:
            found[folder] = _restore(method, folder, group, config)
        except (ValueError, RuntimeError) as error:
            found[folder] = Images(failed={"": one_sentence(error)})
    return found


def _restore(method: NetworkMethod | BaselineMethod, folder: str, group: Sequence[Target], config: RunConfig) -> Images:
    clips = clips_to_restore(group, whole_clips=method.looks_at_clips)
    home = config.out / "images" / folder / method.name
    record_path = config.out / "parts" / method.name / folder / "restored.json"
    source = (method.weights.sha256 if method.weights else "") or method.name
    count = [sample.key for clip in clips for sample in clip.samples]
    scale = group[0].testset.protocol.scale
    with progress(f"{method.name}: restoring {group[0].testset.title}, {folder}", count) as step:
        restored = restore_clips(method.open(config.device, scale), clips, home, record_path, source, step, scale)
    files = {key: (home / f"{key}.png", digest) for key, digest in restored.images.items()}
    return Images(files=files, failed=restored.failed, faces=restored.faces)


def _stored(method: FolderMethod, target: Target, targets: Sequence[Target], out: Path) -> Images:
    """The images of a folder, each copied to where the page and the contact sheets look for it."""
    places = homes(method.folder, target, targets)
    images = Images()
    shown = sheet_keys(by_images_folder(targets)[target.testset.images_folder][0])
    for key in target.keys:
        path = find_image(places, key)
        if path is None:
            images.failed[key] = f"no image {key}.png in {' or '.join(map(str, places))}"
            continue
        images.files[key] = (path, sha256_of(path))
        kept = out / "images" / target.testset.images_folder / method.name / f"{key}.png"
        try:
            if key in shown:
                _copy_image(path, kept)
            else:
                keep(path, kept)
        except ValueError as error:
            images.failed[key] = str(error)
    return images


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
    method: Method,
    target: Target,
    status: str,
    config: RunConfig,
    cost: Cost | None,
    commit: str,
    noted: Sequence[str],
    lost: Mapping[str, str] | None = None,
) -> MethodRow:

    weights = method.weights or ChosenWeights()
    before, after = method.notes(target.testset.protocol.scale)
    switches = [*before, *noted, *after]
    if method.looks_at_clips and any(len(clip.samples) == 1 for clip in target.clips):
        switches.append("repeated still")
    return MethodRow(
        method=method.name,
        testset=target.testset.name,
        protocol=target.testset.protocol.name,
        task=method.task,
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
        missing="; ".join(
            f"{metric}: {sentence.replace('; ', ', ')}" for metric, sentence in [*target.missing, *(lost or {}).items()]
        ),
    )


def command(method: Method, config: RunConfig) -> str:
    """The command line that makes a method's rows again."""

    words = ["python", "benchmark/run.py", "--methods", method.asked, "--testsets", ",".join(config.testsets)]
    words += ["--protocols", ",".join(config.protocols)] if config.protocols else []
    words += ["--metrics", ",".join(config.metrics)] if config.metrics else []
    words += ["--profile", config.profile, "--seed", str(config.seed)]
    for flag, value in (("--steps", config.steps), ("--limit", config.limit)):
        words += [flag, str(value)] if value is not None else []
    words += method.flags()
    for flag, folder in (("--weights-dir", config.weights_dir), ("--data-root", config.data_root)):
        words += [flag, folder.name] if folder is not None else []  # names only: tables are shared between machines
    words += method.weights_flag()
    return shlex.join(words)


def warn(sentence: str) -> None:
    print(f"run.py: warning: {sentence}", file=sys.stderr, flush=True)


def _score_rows(name: str, target: Target, scored: Scored) -> Iterator[ScoreRow]:
    for metric in target.metrics:
        for key in target.keys:
            if key in scored.images and metric in scored.images[key][1]:
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
            scale = group[0].testset.protocol.scale
            if scale > 1 or samples[key].made:
                _write_input(samples[key], scale, out / "images" / folder / "_blur" / f"{key}.png")
                chosen = []
            else:
                chosen = [("_blur", samples[key].blur)]
            # Kohler: the middle of the trajectory.
            chosen += [("_sharp", references[len(references) // 2])] if references else []
            for name, path in chosen:
                try:
                    _copy_image(path, out / "images" / folder / name / f"{key}.png")
                except ValueError as error:
                    print(f"run.py: {error}", file=sys.stderr)


def _write_input(sample: Sample, scale: int, target: Path) -> None:
    """An input that is no file as it is, at the size of the restored images."""
    image = input_of(sample)
    image = enlarged(image, scale) if scale > 1 else image
    data = encode_png((image * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
    if not target.is_file() or target.read_bytes() != data:
        write_bytes(target, data)


def _copy_image(source: Path, target: Path) -> None:
    image = read_picture(source).rgb  # also of a PNG: a broken file must not reach the contact sheet
    data = source.read_bytes() if source.suffix.lower() == ".png" else encode_png(image)
    if not target.is_file() or target.read_bytes() != data:
        write_bytes(target, data)


@contextmanager
def progress(title: str, items: Sequence[object]) -> Iterator[Callable[[int], None]]:
    """A bar, and one line when it is finished."""
    started = time.monotonic()
    with bar(title, len(items)) as advance:
        yield lambda count: advance(count, "")
    print(f"{title}: {len(items)} in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
