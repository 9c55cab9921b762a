"""Who scores images: threads of this process, or the workers of a Dask cluster; the same values either way.

Workers of a cluster run the same checkout and read the same files, under the same paths (a shared disk).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from benchmark.protocol import EvalProtocol
from benchmark.restoring import one_sentence


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """One image to score. Paths are absolute: a worker's own folder is another one."""

    restored: Path
    references: tuple[Path, ...]
    protocol: EvalProtocol
    metrics: tuple[str, ...]
    weights_dir: Path | None


def score_jobs(jobs: Sequence[ScoreJob], workers: int, scheduler: str) -> Iterator[dict[str, float] | str]:
    """The values of each job in order, or the sentence that says why there are none.

    scheduler: address of a Dask scheduler; "" for `workers` threads here. Errors: ValueError if no scheduler answers.
    """
    if scheduler:
        from synth.cluster import cluster

        with cluster(scheduler) as (executor, _):
            yield from _collected([executor.submit(score_job, job) for job in jobs])
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=workers, prefer="threads", return_as="generator")(
        delayed(score_job)(job) for job in jobs
    )


def score_job(job: ScoreJob) -> dict[str, float] | str:
    """The scores of one image, or the sentence that says why there are none."""
    import cv2
    import torch

    from benchmark.metrics.weights_dir import set_weights_dir
    from benchmark.scorer import score_files

    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # sums in another order give other last digits
    try:
        set_weights_dir(job.weights_dir)
        return score_files(job.restored, job.references, job.protocol, job.metrics)
    except Exception as error:  # one bad image must not end the table; its row says why
        return one_sentence(error)


def _collected(futures: Iterable[Future[dict[str, float] | str]]) -> Iterator[dict[str, float] | str]:
    for future in futures:
        try:
            yield future.result()
        except Exception as error:  # a worker that was lost
            yield f"the cluster lost this image ({one_sentence(error)})"
