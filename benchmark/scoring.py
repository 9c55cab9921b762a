"""Scoring saved images under a protocol with several workers, recorded so that a killed run goes on.

Who scores images: threads of this process, or the workers of a Dask cluster; the same values either way.

Workers of a cluster run the same checkout and read the same files, under the same paths (a shared disk).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.evaluation import score_files_apart
from benchmark.metrics import identity
from benchmark.protocols import PROTOCOLS, EvalProtocol
from benchmark.restoring import one_sentence
from core import schema
from core.files import write_text
from core.pool import cluster
from core.weights_files import set_weights_dir, weights_folder
from models.losses.gfpgan import grey_faces
from models.nets.arcface import ARCFACE_RESNET18
from models.network_weights import find_weights, load_into

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmark.plan import Target


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """The values of one image by metric; lost: why other metrics have none."""

    values: dict[str, float]
    lost: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """One image to score. Paths are absolute: a worker's own folder is another one."""

    restored: Path
    references: tuple[Path, ...]
    protocol: EvalProtocol
    metrics: tuple[str, ...]
    weights_dir: Path | None


def score_jobs(jobs: Sequence[ScoreJob], workers: int, scheduler: str = "") -> Iterator[ImageScores | str]:
    """The values of each job in order, or the sentence that says why there are none.

    scheduler: address of a Dask scheduler; "" for `workers` threads here. Errors: ValueError if no scheduler answers.
    """
    if scheduler:
        with cluster(scheduler) as (executor, _):
            yield from _collected([executor.submit(score_job, job) for job in jobs])
        return
    import torch
    from joblib import Parallel, delayed

    threads = torch.get_num_threads()  # a single worker scores in this thread, with one of them
    try:
        yield from Parallel(n_jobs=workers, prefer="threads", return_as="generator")(
            delayed(score_job)(job) for job in jobs
        )
    finally:
        torch.set_num_threads(threads)


def score_job(job: ScoreJob) -> ImageScores | str:
    """The scores of one image, or the sentence that says why there are none."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # sums in another order give other last digits
    try:
        set_weights_dir(job.weights_dir)
        if "identity" in job.metrics:
            hand_over_identity(job.weights_dir)
        values, lost = score_files_apart(job.restored, job.references, job.protocol, job.metrics)
        return ImageScores(values=values, lost=lost)
    except Exception as error:  # one bad image must not end the table; its row says why
        return one_sentence(error)


def _collected(futures: Iterable[Future[ImageScores | str]]) -> Iterator[ImageScores | str]:
    for future in futures:
        try:
            yield future.result()
        except Exception as error:  # a worker that was lost
            yield f"the cluster lost this image ({one_sentence(error)})"


RECORD_EVERY_S = 10.0


@dataclass
class Scored:
    """Values by key and metric, with the sha256 of the image that was scored; and why other images have none.

    lost: of images that have some values, why they have none of other metrics.
    """

    images: dict[str, tuple[str, dict[str, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lost: dict[str, dict[str, str]] = field(default_factory=dict)

    def lost_in_words(self) -> dict[str, str]:
        """Metric -> the sentence about the images that have no value of it."""
        found: dict[str, dict[str, str]] = {}
        for key, reasons in self.lost.items():
            for metric, reason in reasons.items():
                found.setdefault(metric, {})[key] = reason
        return {
            metric: f"{len(keys)} images have no value, first {next(iter(keys))} ({next(iter(keys.values()))})"
            for metric, keys in found.items()
        }

    def identical(self) -> list[str]:
        """Keys of the images that are the same as their sharp ones: their PSNR is infinite, and so is the mean."""
        return [key for key, (_, values) in self.images.items() if values.get("psnr") == math.inf]


def record_path(out: Path, name: str, target: Target) -> Path:
    """Where the scores of a method under a protocol are recorded.

    Protocols that differ only in which images they take and how they average share a record: dvd-su30 takes its values
    from dvd-all, gopro-per-sequence from gopro-linear.
    """
    testset = target.testset
    first = next(
        (protocol for protocol in PROTOCOLS.values() if _scoring(protocol) == _scoring(testset.protocol)),
        testset.protocol,
    )
    return out / "parts" / name / testset.images_folder / f"{testset.name}.{first.name}.json"


def _scoring(protocol: EvalProtocol) -> tuple[object, ...]:
    """What decides the value of one image."""
    return (
        protocol.testset,
        protocol.blur_variant,
        protocol.quantise,
        protocol.align,
        protocol.luma,
        protocol.crop_px,
        protocol.reference,
        protocol.scale,
        protocol.studio_luma,
        protocol.name if protocol.testset in ("reds4", "vid4") else "",  # their protocols have other inputs
    )


def scored_images(path: Path) -> dict[str, str]:
    """Key -> sha256 of the images whose scores a record holds."""
    return {key: digest for key, (digest, _) in _read(path).images.items()}


def score_target(
    target: Target,
    files: Mapping[str, tuple[Path, str]],
    record_path: Path,
    workers: int,
    weights_dir: Path | None,
    advance: Callable[[int], None],
    scheduler: str = "",
) -> Scored:
    """Score every image of a target that is in `files` (key -> file, sha256). The result does not depend on workers.

    scheduler: address of a Dask scheduler whose workers score, "" for threads here. An image whose sha256 and metrics
    are recorded already is not scored again. Only the calling thread writes.
    """
    known = _read(record_path)
    samples = {sample.key: sample for clip in target.clips for sample in clip.samples}
    scored, waiting = Scored(), []
    for key in target.keys:
        if key not in files:
            advance(1)
            continue
        entry = known.images.get(key)
        before = known.lost.get(key, {}) if entry is not None else {}
        if entry is not None and entry[0] == files[key][1] and set(target.metrics) <= {*entry[1], *before}:
            scored.images[key] = entry
            if lost := {metric: before[metric] for metric in target.metrics if metric in before}:
                scored.lost[key] = lost
            advance(1)
        else:
            waiting.append(key)
    if waiting and target.metrics:
        jobs = [
            ScoreJob(
                restored=files[key][0].resolve(),
                references=tuple(path.resolve() for path in samples[key].references),
                protocol=target.testset.protocol,
                metrics=target.metrics,
                weights_dir=weights_dir.resolve() if weights_dir is not None else None,
            )
            for key in waiting
        ]
        last = time.monotonic()
        for key, result in zip(waiting, score_jobs(jobs, workers, scheduler), strict=True):
            if isinstance(result, str):
                scored.failed[key] = result
            else:
                scored.images[key] = (files[key][1], result.values)
                if result.lost:
                    scored.lost[key] = result.lost
            advance(1)
            if time.monotonic() - last > RECORD_EVERY_S:
                _write(record_path, known, scored)
                last = time.monotonic()
    _write(record_path, known, scored)
    return scored


def _read(path: Path) -> Scored:
    scored = Scored()
    try:
        stored = schema.parse(path.read_text(encoding="utf-8"))
        for key, entry in stored["images"].items():
            values = {metric: float(value) for metric, value in entry["values"].items()}
            scored.images[key] = (entry["sha256"], values)
            if lost := entry.get("lost"):
                scored.lost[key] = {str(metric): str(reason) for metric, reason in lost.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Scored()
    return scored


def _write(path: Path, known: Scored, scored: Scored) -> None:
    """Write what was known with what was scored now; another protocol may have recorded more images or metrics."""
    merged = dict(known.images)
    for key, (digest, values) in scored.images.items():
        before = merged.get(key)
        merged[key] = (digest, {**before[1], **values} if before is not None and before[0] == digest else values)
    images: dict[str, dict[str, object]] = {
        key: {"sha256": digest, "values": {name: _plain(value) for name, value in values.items()}}
        for key, (digest, values) in sorted(merged.items())
    }
    for key, lost in {**known.lost, **scored.lost}.items():
        reasons = {metric: reason for metric, reason in lost.items() if metric not in merged[key][1]}
        if reasons:
            images[key]["lost"] = reasons
    text = json.dumps({"images": images, "failed": scored.failed}, indent=1)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no infinity


def hand_over_identity(weights_dir: Path | None) -> None:
    """Give the metric `identity` ArcFace's network where its weights are there, else the sentence how to get them."""
    folder = weights_dir or weights_folder()
    path = find_weights(ARCFACE_RESNET18, folder) if folder.is_dir() else None
    if path is None:
        wanted = ARCFACE_RESNET18.weights[0]
        identity.use(None, f"identity needs {wanted.file} in {folder}: get it from {wanted.source}")
    else:
        identity.use(lambda image: _features(path, image))


def _features(path: Path, image: Tensor) -> Tensor:
    import torch

    with torch.inference_mode():
        return _network(path)(grey_faces(image[None] * 2 - 1))


@cache
def _network(path: Path) -> nn.Module:
    module = ARCFACE_RESNET18.build()
    load_into(module, path, ARCFACE_RESNET18)
    return module.eval().requires_grad_(False)
