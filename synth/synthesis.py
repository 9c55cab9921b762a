"""From clips to pairs: one thread reads frames and writes files, workers compute gaps and encode pictures.

From the light of an exposure to the images of a pair: camera, encoding, bit depth, files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import cv2
import numpy as np

from core.camera_response import CameraResponse, response, to_8bit, to_16bit
from core.frame_times import STEPS_DIFFER
from core.high_dynamic_range import DynamicRange, to_bt709_lin
from core.image_files import encode_png
from core.memory import keep_freed_memory
from core.pool import cluster, ordered_map
from core.random_streams import stream
from synth.exposure import SHUT, Exposure, GapShare, Window, WindowPlan
from synth.gaps import (
    BlurWindow,
    GapIntegral,
    GapJob,
    RemoteIntegrate,
    RemoteMeasure,
    blur_windows,
    integrate_gap,
    measure_gap,
    with_neighbours,
)
from synth.gaps_in_torch import GAPS_AT_ONCE, integrate_batch, measure_batch
from synth.manifest import PairRecord, gamma_name, pair_names
from synth.pair_set import PairSet
from synth.quality import pair_quality
from synth.scenes import SceneFrames
from synth.sensor import draw_settings, photograph, sharp_photograph
from synth.settings import Clip, SynthesisPlan
from synth.truth import TruthRecord, blur_psnr


@dataclass(frozen=True, kw_only=True)
class Developed:
    """The files of a pair and what the manifest says about how they were made."""

    blur_png: bytes
    sharp_png: bytes
    blur_gamma_png: bytes | None
    sharp_transform: str
    camera_settings: dict[str, float | int | str]


def develop(
    plan: SynthesisPlan, sequence: str, exposure: Exposure, blur: BlurWindow, blur_lin: np.ndarray
) -> Developed:
    """Take the exposure of a complete window through degradations and the plan's camera and encode both images.

    blur_lin: [H, W, 3] float32, linear light. The sharp image is the captured frame, 8 bit, unless the camera changes
    it. The result depends on the plan's seed, the sequence and the window alone.
    """
    assert blur.sharp is not None and blur.first is not None and blur.last is not None
    also_lin: Sequence[np.ndarray | None] = blur.also_lin
    rng = stream(plan.config.seed, sequence, blur.window.first, "camera", plan.camera.name)
    settings = draw_settings(plan.camera, rng)
    highlights = blur_gamma_png = None
    for curve, total_lin in zip(plan.also, also_lin, strict=True):
        assert total_lin is not None
        light = exposure.blur_lin(total_lin, curve.to_linear(blur.first), curve.to_linear(blur.last))
        if curve is plan.twin:
            blur_gamma_png = _png(curve.to_encoded(light), plan.config.bits)
        else:
            highlights = light
    for degradation in plan.degradations:
        if degradation.domain == "linear":
            blur_lin = degradation(np.clip(blur_lin, 0.0, 1.0), _chance(plan, sequence, blur, degradation.name))
    curve, sharp, sharp_transform = plan.response, blur.sharp, plan.camera.sharp_transform
    if plan.dynamic_range is not None:
        blur_lin, sharp, sharp_transform = _in_ordinary_range(plan.dynamic_range, plan.response, blur_lin, sharp)
        curve = response("srgb")
    if plan.camera.name == "none":
        encoded = curve.to_encoded(blur_lin)
    else:
        encoded = photograph(plan.camera, settings, blur_lin, highlights, curve, rng)
    for degradation in plan.degradations:
        if degradation.domain == "encoded":
            encoded = degradation(np.clip(encoded, 0.0, 1.0), _chance(plan, sequence, blur, degradation.name))
    return Developed(
        blur_png=_png(encoded, plan.config.bits),
        sharp_png=encode_png(sharp_photograph(plan.camera, settings, sharp, curve)),
        blur_gamma_png=blur_gamma_png,
        sharp_transform=sharp_transform,
        camera_settings=settings.drawn(),
    )


def _in_ordinary_range(
    dynamic_range: DynamicRange, curve: CameraResponse, blur_lin: np.ndarray, sharp: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Both images of a pair of HLG or PQ in the range and with the primaries of sRGB: the exposure is over, so that
    highlights may be compressed. Returns the light of the blur, the sharp frame (uint8) and what was done to it.
    """
    blur_lin = dynamic_range.to_ordinary_lin(to_bt709_lin(blur_lin))
    sharp_lin = dynamic_range.to_ordinary_lin(to_bt709_lin(curve.to_linear(sharp)))
    return blur_lin, to_8bit(response("srgb").to_encoded(sharp_lin)), f"{dynamic_range.name} to sRGB"


def _chance(plan: SynthesisPlan, sequence: str, blur: BlurWindow, name: str) -> np.random.Generator:
    return stream(plan.config.seed, sequence, blur.window.first, "degrade", name)


def _png(encoded: np.ndarray, bits: int) -> bytes:
    return encode_png(to_16bit(encoded) if bits == 16 else to_8bit(encoded))


@dataclass(frozen=True, kw_only=True)
class MadePair:
    """A finished pair, encoded but not yet written."""

    record: PairRecord
    blur_png: bytes
    sharp_png: bytes
    blur_gamma_png: bytes | None
    truth: TruthRecord | None


@dataclass(kw_only=True)
class FrameCount:
    """How many captured frames a clip turned out to have, and what broke it."""

    frames: int
    problems: list[str]


@dataclass(frozen=True, kw_only=True)
class GapWork:
    """Where gaps are computed: threads of this process, or the workers of a cluster."""

    pool: Executor
    workers: int
    remote: bool

    def gaps(self, plan: SynthesisPlan, jobs: Iterable[GapJob]) -> Iterator[GapIntegral]:
        """The integrals of the gaps that are wanted, in order."""
        if plan.config.device != "cpu":
            yield from self._gaps_on_device(plan, jobs)
            return
        measure, integrate = self.functions(plan)
        # A few gaps beyond the workers keep them busy while this thread reads and writes; more would only cost memory.
        measured = ordered_map(self.pool, measure, jobs, ahead=self.workers + 1)
        yield from ordered_map(self.pool, integrate, with_neighbours(measured), ahead=self.workers + 1)

    def _gaps_on_device(self, plan: SynthesisPlan, jobs: Iterable[GapJob]) -> Iterator[GapIntegral]:
        """The same in batches; one waits while the device works on another."""
        device, found = plan.config.device, plan.interpolator
        measure = partial(measure_batch, interpolator=found)
        factor, curve = plan.config.factor, plan.response
        integrate = partial(integrate_batch, interpolator=found, factor=factor, response=curve, device=device)
        measured = chain.from_iterable(ordered_map(self.pool, measure, _batches(jobs), ahead=2))
        gaps = ordered_map(self.pool, integrate, _batches(with_neighbours(measured)), ahead=2)
        yield from chain.from_iterable(gaps)

    def functions(self, plan: SynthesisPlan) -> tuple[Callable[[GapJob], GapJob], Callable[[GapJob], GapIntegral]]:
        """The two steps of a gap."""
        factor, curve, found = plan.config.factor, plan.response, plan.interpolator
        if not self.remote:
            return (
                partial(measure_gap, interpolator=found),
                partial(integrate_gap, interpolator=found, factor=factor, response=curve),
            )
        name = plan.config.interpolator if found else ""
        sha256 = found.weights_sha256 if found else ""
        return (
            RemoteMeasure(interpolator=name, weights_sha256=sha256),
            RemoteIntegrate(interpolator=name, weights_sha256=sha256, factor=factor, response=curve),
        )


def _batches(jobs: Iterable[GapJob]) -> Iterator[list[GapJob]]:
    """The jobs in lists of GAPS_AT_ONCE, the last one shorter."""
    coming = iter(jobs)
    while batch := list(islice(coming, GAPS_AT_ONCE)):
        yield batch


def synthesise(
    plan: SynthesisPlan,
    pair_set: PairSet,
    workers: int,
    *,
    only: Callable[[str, Window], bool] | None = None,
    progress: Callable[[str, str], None] = lambda sequence, event: None,
    scheduler: str | None = None,
) -> None:
    """Make all pairs of `plan` that are not in `pair_set` yet.

    only: leaves out windows (of a sequence) for which it is False. progress(sequence, event) is told "pair", "skipped"
    and "clip" as they happen. scheduler: address of a Dask scheduler whose workers compute the gaps; without one,
    threads of this process do. The bytes do not depend on `workers`. Errors: OSError from writing; ValueError if no
    scheduler answers. The set stays valid.
    """
    cv2.setNumThreads(1)  # parallel work is ours; and DIS results depend on the number of its threads
    keep_freed_memory()
    limit = plan.config.limit
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=workers, thread_name_prefix="synthesis"))
        gap_pool, gap_workers = stack.enter_context(cluster(scheduler)) if scheduler else (pool, workers)
        gap_work = GapWork(pool=gap_pool, workers=gap_workers, remote=scheduler is not None)
        try:
            for clip in plan.clips:
                if limit is not None and len(pair_set.records) >= limit:
                    break
                if clip.sequence in pair_set.complete:
                    continue
                count = FrameCount(frames=0, problems=[])
                for made in _clip_pairs(plan, clip, pair_set, pool, workers, gap_work, only, count, progress):
                    pair_set.add(made.record, made.blur_png, made.sharp_png, made.truth, made.blur_gamma_png)
                    progress(clip.sequence, "pair")
                    if limit is not None and len(pair_set.records) >= limit:
                        break
                else:
                    pair_set.finish_clip(clip.sequence, count.frames, _problems(plan, clip, pair_set, count))
                progress(clip.sequence, "clip")
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _clip_pairs(
    plan: SynthesisPlan,
    clip: Clip,
    pair_set: PairSet,
    pool: ThreadPoolExecutor,
    workers: int,
    gap_work: GapWork,
    only: Callable[[str, Window], bool] | None,
    count: FrameCount,
    progress: Callable[[str, str], None],
) -> Iterator[MadePair]:
    """The pairs of one clip that are still to be made, in the order in which their windows end."""
    config = plan.config
    windows = WindowPlan(sizes=config.windows, stride=config.stride, seed=config.seed, sequence=clip.sequence)

    def finished(window: Window) -> bool:
        return pair_set.is_done(clip.sequence, window) or (only is not None and not only(clip.sequence, window))

    def moving(gap: int | None) -> bool:
        if gap is not None:
            pair_set.saw_motion(clip.sequence, gap)
        return clip.sequence in pair_set.moving_since

    def complete() -> Iterator[BlurWindow]:
        for blur in blur_windows(gaps, windows, finished, moving, share):
            reason, frames = blur.skip_reason, blur.cut_after or blur.repeated
            if not reason:
                reason, frames = _odd_times(plan, clip, blur.window)
            if reason:
                pair_set.skip(clip.sequence, blur.window, reason, frames)
                progress(clip.sequence, "skipped")
            else:
                yield blur

    def share(window: Window, gap: int) -> GapShare:
        return plan.exposure(window.frames, clip).share(gap - window.first)

    interpolator = plan.interpolator
    around = interpolator is not None and interpolator.looks_around
    jobs = _gap_jobs(plan, clip, windows, finished, share, count, around=around)
    gaps = gap_work.gaps(plan, jobs)
    yield from ordered_map(pool, partial(_finish_pair, plan, clip), complete(), ahead=workers)


def _odd_times(plan: SynthesisPlan, clip: Clip, window: Window) -> tuple[str, list[int]]:
    """Why a window makes no pair by the times of its frames, and the frames after which they are odd; ("", []) else."""
    times = clip.source.times
    if times is None:
        return "", []
    uneven = times.uneven_after(window.first, window.last)
    if uneven:
        return "uneven", uneven
    # The rows of a rolling shutter were placed by the rate of the clip.
    if plan.config.row_delay_s and abs(times.rate(window.first, window.last) / clip.fps - 1) > STEPS_DIFFER:
        return "rate", [window.first]
    return "", []


def _gap_jobs(
    plan: SynthesisPlan,
    clip: Clip,
    windows: WindowPlan,
    finished: Callable[[Window], bool],
    share: Callable[[Window, int], GapShare],
    count: FrameCount,
    *,
    around: bool,
) -> Iterator[GapJob]:
    """The gaps that unfinished windows need, as the frames come in; with `around`, also the gaps beside those."""
    source = clip.source
    needs = windows.needs(finished, source.frame_count)
    needed: dict[int, list[GapShare]] = {-2: [], -1: []}  # what windows take of a gap

    def need(gap: int) -> None:
        needed[gap] = list(dict.fromkeys(share(window, gap) for window in needs.covering(gap)))

    need(0)

    def looked_at(gap: int) -> bool:
        return bool(needed[gap] or (around and gap >= 0 and (needed[gap - 1] or needed[gap + 1])))

    def wanted(frame: int) -> bool:
        need(frame + 1)
        return looked_at(frame) or looked_at(frame - 1)

    previous: np.ndarray | None = None
    for index, frame in enumerate(source.frames(wanted, count.problems)):
        count.frames = index + 1
        gap = index - 1
        if looked_at(gap) and previous is not None and frame is not None:
            truth = None
            if isinstance(source, SceneFrames) and plan.truth_known:
                truth = partial(source.truth_lin, gap)
            yield GapJob(
                gap=gap,
                first=previous,
                second=frame,
                truth_lin=truth,
                whole=None in needed[gap],
                parts=tuple(part for part in needed[gap] if part not in (None, SHUT)),
                also=plan.also,
                wanted=bool(needed[gap]),
            )
        needed.pop(gap - 1)
        previous = frame


def _finish_pair(plan: SynthesisPlan, clip: Clip, blur: BlurWindow) -> MadePair:
    """Divide, compare with the truth, take through the camera, encode, name."""
    config, window, times = plan.config, blur.window, clip.source.times
    fps = times.rate(window.first, window.last) if times else clip.fps
    exposure = plan.exposure(window.frames, clip)
    assert blur.gaps_lin is not None and blur.first is not None and blur.sharp is not None and blur.last is not None
    first_lin, last_lin = plan.response.to_linear(blur.first), plan.response.to_linear(blur.last)
    blur_lin = exposure.blur_lin(blur.gaps_lin, first_lin, last_lin)
    key, blur_name, sharp_name = pair_names(config.layout, config.split, clip.sequence, window.first)
    truth = None
    if blur.truth_lin is not None and isinstance(clip.source, SceneFrames):
        truth = _compare(key, blur, blur_lin, first_lin, last_lin, clip.source.truth_weight, plan.response)
    # A cross-fade invents no positions between the captured frames.
    invents = plan.interpolator is not None and plan.interpolator.name != "crossfade"
    quality = pair_quality(blur.motions, config.factor if invents else 1, blur.sharp)
    made = develop(plan, clip.sequence, exposure, blur, blur_lin)
    record = PairRecord(
        key=key,
        split=config.split,
        sequence=clip.sequence,
        blur=blur_name,
        sharp=sharp_name,
        blur_sha256=hashlib.sha256(made.blur_png).hexdigest(),
        sharp_sha256=hashlib.sha256(made.sharp_png).hexdigest(),
        source=clip.source.location,
        source_fps=fps,
        first_frame=window.first,
        centre_frame=window.centre,
        last_frame=window.last,
        window=window.frames,
        factor=config.factor,
        virtual_frames=exposure.virtual_frames,
        span_s=exposure.span_s(fps),
        centre_s=times.since_start_s(window.centre) if times else window.centre / clip.fps,
        response=config.response,
        interpolator=config.interpolator,
        recipe=config.recipe,
        camera=config.camera,
        sharp_transform=made.sharp_transform,
        degradations=list(config.degradations),
        seed=config.seed,
        blur_gamma=gamma_name(blur_name) if made.blur_gamma_png else "",
        blur_gamma_sha256=hashlib.sha256(made.blur_gamma_png).hexdigest() if made.blur_gamma_png else "",
        camera_settings=made.camera_settings,
        bits=config.bits,
        duty=config.duty,
        row_delay_s=config.row_delay_s,
        blur_extent_px=quality.blur_extent_px,
        ghost_score=quality.ghost_score,
        saturated=quality.saturated,
        still=quality.still,
        cut=False,
        sharp_blur=quality.sharp_blur,
        flow_disagreement=quality.flow_disagreement,
    )
    return MadePair(
        record=record,
        blur_png=made.blur_png,
        sharp_png=made.sharp_png,
        blur_gamma_png=made.blur_gamma_png,
        truth=truth,
    )


def _compare(
    key: str,
    blur: BlurWindow,
    blur_lin: np.ndarray,
    first_lin: np.ndarray,
    last_lin: np.ndarray,
    truth_weight: int,
    response: CameraResponse,
) -> TruthRecord:
    assert blur.truth_lin is not None and blur.captured_lin is not None
    gaps = blur.window.frames - 1
    truth_lin = blur.truth_lin * np.float32(1 / (gaps * truth_weight))
    trapezoid_lin = blur.captured_lin * np.float32(1 / gaps)
    plain_lin = (blur.captured_lin + (first_lin + last_lin) * np.float32(0.5)) * np.float32(1 / (gaps + 1))
    return TruthRecord(
        key=key,
        synthesis=blur_psnr(blur_lin, truth_lin, response),
        trapezoid=blur_psnr(trapezoid_lin, truth_lin, response),
        plain=blur_psnr(plain_lin, truth_lin, response),
    )


def _problems(plan: SynthesisPlan, clip: Clip, pair_set: PairSet, count: FrameCount) -> list[str]:
    """What was wrong with a clip that has been read to its end."""
    if count.problems:
        return count.problems
    windows = WindowPlan(
        sizes=plan.config.windows, stride=plan.config.stride, seed=plan.config.seed, sequence=clip.sequence
    )
    if next(windows.windows(count.frames), None) is None:
        return [f"{clip.source.location}: the clip has {count.frames} frames and no window fits into it"]
    return []
