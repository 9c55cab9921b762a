"""Scores of the arms on held-out pairs, differences with their intervals, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmark.metrics import METRICS
from benchmark.studies.arms import Arm
from core.random_streams import stream
from models.restorer import open_method
from models.training.pair_sources import Pair
from models.training.samples import centre_crop
from models.zoo import MODELS

METRIC_IDS = ("psnr", "ssim-skimage-gauss")
BLURRED = "blurred input"
DRAWS = 4000
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class ArmScore:
    """A line of scores.csv: one held-out image under one seed. The blurred input has no seed."""

    arm: str
    seed: int | None
    key: str
    sequence: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """A line of table.csv: one arm and one metric. difference: to the arm `against`, paired over images and seeds.

    gain: over the blurred input. ci95_low, ci95_high: bootstrap interval of the difference; per_seed: the difference
    under every seed. images: held-out ones, of `photographs` sequences.
    """

    arm: str
    change: str
    model: str
    loss: str
    steps: int
    batch: int
    crop_px: int
    feature_net: str
    seeds: str
    images: int
    photographs: int
    metric: str
    value: float
    gain: float
    against: str
    difference: float | None
    ci95_low: float | None
    ci95_high: float | None
    per_seed: str


def score(model: str, weights: Path | None, pairs: Sequence[Pair], side_px: int) -> dict[str, dict[str, float]]:
    """Values by metric and key: middle crops, restored, rounded to 8 bits. weights None: the blurred images themselves.

    A network for clips gets whole sequences.

    Errors: FloatingPointError if the network gives NaN.
    """
    method = open_method(model, weights, "cpu") if weights else None
    found: dict[str, dict[str, float]] = {name: {} for name in METRIC_IDS}
    looks_at_clips = method is not None and MODELS[model].frames > 1
    for clip in _clips(pairs) if looks_at_clips else [[pair] for pair in pairs]:
        blurred = [centre_crop(pair.blur, side_px) for pair in clip]
        frames = blurred if method is None else method.restore(iter(blurred))
        for pair, frame in zip(clip, frames, strict=True):
            sharp = centre_crop(pair.sharp, side_px)
            restored = (frame * 255).round() / 255
            for name in METRIC_IDS:
                found[name][pair.key] = float(METRICS[name].fn(restored, sharp))
    return found


def _clips(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs of every sequence in the order of time, as a network for clips must see them."""
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    return [sorted((pair for pair in pairs if pair.sequence == name), key=lambda pair: pair.order) for name in names]


def interval(differences: np.ndarray, sequences: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean difference. Shape: differences [seeds, images], a sequence per image.

    Seeds and sequences are drawn with replacement, independently of each other: frames of one sequence resemble each
    other (docs/decisions/009). With a single seed only the sequences vary, and the interval says nothing about chance
    in training. Errors: ValueError for a sequence missing or too many.
    """
    if differences.shape[1] != len(sequences):
        raise ValueError(f"one sequence per image is needed: {differences.shape[1]} images, {len(sequences)} names")
    names = list(dict.fromkeys(sequences))
    place = np.array([names.index(name) for name in sequences])
    sums = np.stack([differences[:, place == number].sum(axis=1) for number in range(len(names))], axis=1)
    counts = np.bincount(place)
    rng = stream(seed, "ablation", "bootstrap")
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        runs = rng.integers(len(sums), size=len(sums))
        photographs = rng.integers(len(names), size=len(names))
        means[draw] = sums[np.ix_(runs, photographs)].sum() / (len(runs) * counts[photographs].sum())
    low, high = np.quantile(means, QUANTILES)
    return float(low), float(high)


def table(
    arms: Sequence[Arm], scores: Sequence[ArmScore], *, steps: int, batch: int, crop_px: int, feature_net: str
) -> list[ArmRow]:
    """A row per arm and metric, of the seeds for which every arm has been trained."""
    trained = [arm for arm in arms if any(row.arm == arm.name for row in scores)]
    rows: list[ArmRow] = []
    for metric in METRIC_IDS:
        values = {arm.name: _matrix(scores, arm.name, metric) for arm in trained}
        blurred = {row.key: row.value for row in scores if row.arm == BLURRED and row.metric == metric}
        for arm in trained:
            seeds, keys, ours = values[arm.name]
            sequences = [next(row.sequence for row in scores if row.key == key) for key in keys]
            difference: float | None = None
            low: float | None = None
            high: float | None = None
            per_seed = ""
            if arm.against in values:
                others, _, theirs = values[arm.against]
                common = [seed for seed in seeds if seed in others]
                apart = ours[[seeds.index(seed) for seed in common]] - theirs[[others.index(seed) for seed in common]]
                if common:
                    difference = float(apart.mean())
                    low, high = interval(apart, sequences)
                    per_seed = " ".join(f"{value:+.4f}" for value in apart.mean(axis=1))
            rows.append(
                ArmRow(
                    arm=arm.name,
                    change=arm.change,
                    model=arm.model,
                    loss=" + ".join(arm.recipe.terms()),
                    steps=steps,
                    batch=batch,
                    crop_px=crop_px,
                    feature_net=feature_net if arm.recipe.needs_features() else "",
                    seeds=" ".join(str(seed) for seed in seeds),
                    images=len(keys),
                    photographs=len(set(sequences)),
                    metric=metric,
                    value=float(ours.mean()),
                    gain=float(ours.mean() - np.mean([blurred[key] for key in keys])),
                    against=arm.against,
                    difference=difference,
                    ci95_low=low,
                    ci95_high=high,
                    per_seed=per_seed,
                )
            )
    return rows


def _matrix(scores: Sequence[ArmScore], arm: str, metric: str) -> tuple[list[int], list[str], np.ndarray]:
    """(seeds, keys, values [seeds, keys]) of an arm."""
    found = {
        (row.seed, row.key): row.value
        for row in scores
        if row.arm == arm and row.metric == metric and row.seed is not None
    }
    seeds = sorted({seed for seed, _ in found})
    keys = sorted({key for _, key in found})
    return seeds, keys, np.array([[found[seed, key] for key in keys] for seed in seeds])


def markdown(
    title: str, rows: Sequence[ArmRow], blurred: dict[str, float], seconds: dict[str, float], left_out: int
) -> str:
    """The table as Markdown. blurred: the input's mean by metric; seconds: CPU time of a training by arm.

    left_out: held-out images whose middle crop is sharp already.
    """
    arms = list(dict.fromkeys(row.arm for row in rows))
    lines = [f"# {title}", "", _budget(rows, left_out), ""]
    lines.append("| arm | PSNR, dB | gain over the input, dB | difference to the arm | dB (95 %) | SSIM | CPU, s |")
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    lines.append(f"| {BLURRED} | {blurred['psnr']:.3f} | | | | {blurred['ssim-skimage-gauss']:.4f} | |")
    for arm in arms:
        psnr, ssim = (next(row for row in rows if row.arm == arm and row.metric == name) for name in METRIC_IDS)
        apart = ""
        if psnr.difference is not None and psnr.ci95_low is not None and psnr.ci95_high is not None:
            apart = f"{psnr.difference:+.3f} ({psnr.ci95_low:+.3f} to {psnr.ci95_high:+.3f})"
        used = f"{seconds[arm]:.0f}" if arm in seconds else ""
        lines.append(
            f"| {arm} | {psnr.value:.3f} | {psnr.gain:+.3f} | {psnr.against} | {apart} | {ssim.value:.4f} | {used} |"
        )
    lines += ["", *(f"- {row.arm}: {row.change} ({row.model}; {row.loss})" for row in rows if row.metric == "psnr")]
    several = [row for row in rows if row.metric == "psnr" and " " in row.per_seed]
    lines += [f"- {row.arm}, difference in dB under each of the seeds {row.seeds}: {row.per_seed}" for row in several]
    return "\n".join(lines) + "\n"


def _budget(rows: Sequence[ArmRow], left_out: int) -> str:
    first = rows[0]
    nets = " ".join(dict.fromkeys(row.feature_net for row in rows if row.feature_net)) or "none"
    unblurred = f"; {left_out} left out, whose crop is sharp already" if left_out else ""
    return (
        f"{first.steps} steps, batch {first.batch}, crops of {first.crop_px} px; feature network: {nets}; seeds "
        f"{first.seeds}; {first.images} held-out images of {first.photographs} photographs (middle crops{unblurred}). "
        "Intervals: bootstrap over photographs and seeds; CPU: seconds of one training, mean of the seeds."
    )


def mean_of(values: Sequence[float]) -> float:
    return float(np.mean(values))


def use_one_thread() -> None:
    """Scores do not depend on how sums are split then."""
    torch.set_num_threads(1)
