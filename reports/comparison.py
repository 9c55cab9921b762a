"""What a difference between methods is worth: intervals, paired tests, who shares the first place. Never loads torch.

Frames of one sequence resemble each other, so every interval is drawn by sequence (the key before its last "/"; a key
without one is a sequence of its own). Values are those of one test set, protocol and metric.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from benchmark.results import PROTOCOLS, ComparisonRow, ScoreRow, pooled

BOOTSTRAP_DRAWS = 2000
LEVEL = 0.05  # family-wise error of the paired tests; the intervals are 95 %
BLOCK = 1 << 22  # numbers drawn at once


def sequence_of(key: str) -> str:
    """The sequence of an image: its key's folder, or the key itself where it has none."""
    return key.rpartition("/")[0] or key


def mean_and_interval(scores: Sequence[ScoreRow]) -> tuple[float | None, float | None, float | None]:
    """Mean of the per-image values and its 95 % bootstrap interval, drawn by sequence with a seed made of the names.

    Under a protocol that pools by sequence it is the mean of the sequences' means. With a single sequence, or an
    infinite value, there is no interval.
    """
    if not scores:
        return None, None, None
    first = scores[0]
    name = f"{first.method} {first.testset} {first.protocol} {first.metric}"
    values = np.array([score.value for score in scores])
    mean = pooled({score.key: score.value for score in scores}, pool_of(first.protocol))
    values, sequences = pooled_values(values, [sequence_of(score.key) for score in scores], first.protocol)
    return mean, *clustered_interval(values, sequences, name)


def pool_of(protocol: str) -> str:
    """How a protocol takes its mean: "image" or "sequence"; one that this version does not know: "image"."""
    return PROTOCOLS[protocol].pool if protocol in PROTOCOLS else "image"


def pooled_values(values: np.ndarray, sequences: Sequence[str], protocol: str) -> tuple[np.ndarray, Sequence[str]]:
    """What a protocol takes the mean of, and its sequences: the values, or one mean a sequence (pool "sequence")."""
    if pool_of(protocol) != "sequence":
        return values, sequences
    parts: dict[str, list[float]] = defaultdict(list)
    for value, sequence in zip(values, sequences, strict=True):
        parts[sequence].append(value)
    return np.array([np.mean(part) for part in parts.values()]), list(parts)


def clustered_interval(
    values: np.ndarray, sequences: Sequence[str], name: str
) -> tuple[float, float] | tuple[None, None]:
    """95 % percentile interval of the mean when whole sequences are drawn with replacement, 2,000 times.

    values: [images]. name: what the seed is made of. (None, None): fewer than two sequences, or an infinite value.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 (percentile interval) and 8
    (clusters as the unit of resampling).
    """
    places = {sequence: place for place, sequence in enumerate(dict.fromkeys(sequences))}
    if len(places) < 2 or not np.isfinite(values).all():
        return None, None
    owner = np.array([places[sequence] for sequence in sequences])
    sums, counts = np.bincount(owner, weights=values), np.bincount(owner)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    means = []
    rows = max(1, BLOCK // len(places))
    for start in range(0, BOOTSTRAP_DRAWS, rows):
        drawn = rng.integers(len(places), size=(min(rows, BOOTSTRAP_DRAWS - start), len(places)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def compare_all(
    scores: Iterable[ScoreRow], higher_is_better: Mapping[str, bool], order: Sequence[str]
) -> list[ComparisonRow]:
    """Every pair of methods under every protocol and metric, methods in the given order.

    Methods that share no image with another are left out of that pair. higher_is_better: of every metric's id.
    """
    tables: dict[tuple[str, str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for score in scores:
        tables[score.testset, score.protocol, score.metric][score.method][score.key] = score.value
    found = []
    for names, by_method in tables.items():
        present = [method for method in order if method in by_method]
        found += _compare_table(names, {method: by_method[method] for method in present}, higher_is_better[names[2]])
    return found


def _compare_table(
    names: tuple[str, str, str], values: Mapping[str, Mapping[str, float]], higher_is_better: bool
) -> list[ComparisonRow]:
    testset, protocol, metric = names
    found: list[dict] = []
    for method, other in combinations(values, 2):
        keys = [key for key in values[method] if key in values[other]]
        if not keys:
            continue
        ours = np.array([values[method][key] for key in keys])
        theirs = np.array([values[other][key] for key in keys])
        difference = paired_difference(ours, theirs)
        wins, ties, losses = win_tie_loss(difference, higher_is_better)
        parts, sequences = pooled_values(difference, [sequence_of(key) for key in keys], protocol)
        low, high = clustered_interval(parts, sequences, f"{method} {other} {testset} {protocol} {metric}")
        found.append(
            {
                "testset": testset,
                "protocol": protocol,
                "metric": metric,
                "method": method,
                "other": other,
                "images": len(keys),
                "wins": wins,
                "ties": ties,
                "losses": losses,
                "difference": float(parts.mean()),
                "ci95_low": low,
                "ci95_high": high,
                "wilcoxon_p": wilcoxon_p(difference),
            }
        )
    corrected = holm([line["wilcoxon_p"] for line in found])
    lines = []
    for line, holm_p in zip(found, corrected, strict=True):
        low, high = line["ci95_low"], line["ci95_high"]
        differs = None if low is None or high is None else holm_p < LEVEL and not low <= 0 <= high
        lines.append(ComparisonRow(**line, holm_p=holm_p, differs=differs))
    return lines


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """ours - theirs, image by image; two infinite values are equal. Shape: [images]."""
    same = ours == theirs
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, ours - theirs)


def win_tie_loss(difference: np.ndarray, higher_is_better: bool) -> tuple[int, int, int]:
    """Images on which the first method is better, equal, worse, from its paired differences."""
    signed = difference if higher_is_better else -difference
    return int((signed > 0).sum()), int((signed == 0).sum()), int((signed < 0).sum())


def wilcoxon_p(difference: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zero differences are dropped, and without any other p is 1.

    Exact up to 50 images without equal differences, by the normal approximation beyond.
    Source: Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1945; scipy.stats.wilcoxon.
    """
    from scipy.stats import wilcoxon

    others = difference[difference != 0]
    return float(wilcoxon(others).pvalue) if others.size else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in their own order: the k-th smallest times (n - k), never decreasing.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 1979.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected


def shares_first_place(
    means: Mapping[str, float], comparisons: Iterable[ComparisonRow], higher_is_better: bool
) -> list[str]:
    """The best method and those not distinguishable from it, best first; comparisons are of one table and metric.

    A method without a comparison, or with one that cannot be decided, is not called worse: it stays in the set. The
    best is chosen from the same data, which is why the correction counts all pairs and not those with the best alone.
    """
    if not means:
        return []
    sign = -1.0 if higher_is_better else 1.0
    ranked = sorted(means, key=lambda method: (sign * means[method], method))
    best = ranked[0]
    worse = {
        line.other if line.method == best else line.method
        for line in comparisons
        if line.differs and best in (line.method, line.other)
    }
    return [method for method in ranked if method not in worse]


def pareto_front(points: Mapping[str, tuple[float, float]], higher_is_better: bool) -> list[str]:
    """Names on the front of (cost, quality), cheapest first: nobody is as cheap and better, or as good and cheaper.

    Points with an unknown or infinite cost take no part. Two points with the same figures are both on it or both not.
    """
    sign = 1.0 if higher_is_better else -1.0
    known = {name: (cost, sign * quality) for name, (cost, quality) in points.items() if math.isfinite(cost)}
    front = [
        name
        for name, (cost, quality) in known.items()
        if not any(
            other_cost <= cost and other_quality >= quality and (other_cost, other_quality) != (cost, quality)
            for other_cost, other_quality in known.values()
        )
    ]
    return sorted(front, key=lambda name: known[name])
