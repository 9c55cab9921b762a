"""Bradley-Terry scores from win counts, and how far voters agree: the statistics of the Lai study.

Bradley-Terry scores from win counts: P(i is better than j) = 1 / (1 + exp(score j - score i)).

Scores are logarithms with mean zero. Sources: Bradley and Terry, Biometrika 39, 1952; Ford, American Mathematical
Monthly 64, 1957 (when the maximum of the likelihood exists); Lai et al., CVPR 2016 (the scheme per image).

How far voters agree, and which differences in wins are more than chance: the tests of the Lai study.

Sources: Kendall and Babington Smith, Biometrika 31, 1940 (coefficient of agreement u); David, "The Method of Paired
Comparisons", 1988 (range test); Lai et al., CVPR 2016 (both on votes for deblurred images).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LAI_ITERATIONS, LAI_TOLERANCE = 5000, 1e-8
NEWTON_STEPS, LARGEST_STEP, RIDGE = 60, 2.0, 1e-6
AT_ONCE = 1 << 22  # numbers in the win matrices of the draws that are fitted together: 32 MiB


def global_scores(wins: np.ndarray, prior: float = 0.0) -> np.ndarray:
    """Maximum-likelihood scores by choix. Shape: wins [methods, methods] -> [methods], mean zero.

    prior: strength of a quadratic pull towards zero; 0 is plain maximum likelihood. Callers make sure with `separated`
    that the maximum exists where prior is 0. Errors: RuntimeError if the iteration does not converge.
    """
    import choix

    if prior > 0:
        # Ties are halves: twice the wins under twice the pull have their maximum at the same place.
        twice = np.rint(2 * wins).astype(int)
        better, worse = np.nonzero(twice)
        pairs = [(int(i), int(j)) for i, j in zip(better, worse, strict=True) for _ in range(twice[i, j])]
        scores = choix.opt_pairwise(len(wins), pairs, alpha=2 * prior, tol=1e-9)
    else:
        scores = choix.ilsr_pairwise_dense(wins, max_iter=1000, tol=1e-10)
    return np.asarray(scores - scores.mean())


def separated(wins: np.ndarray) -> np.ndarray | None:
    """Methods that never lost to any of the others, or None where finite scores exist. Shape: [methods] bool.

    Finite scores exist if and only if there is a chain of wins from every method to every other one.
    """
    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins).bit_length()):
        reached = (reached.astype(int) @ reached.astype(int)) > 0
    if reached.all():
        return None
    # The methods that beat a member of a group that nobody outside has beaten: the group with the fewest beaters.
    first = int(np.argmin(reached.sum(axis=0)))
    return np.asarray(reached[:, first])


def scores_per_image(wins: np.ndarray) -> np.ndarray:
    """Scores of each image by the fixed-point iteration of the Lai study. Shape: [images, M, M] -> [images, M].

    Strengths start equal and are renewed together as wins_i / sum_j n_ij / (p_i + p_j), at most 5000 times or until
    none changes by more than 1e-8; their logarithms are centred on the mean of the finite ones. A method without a vote
    or without a win on an image has no finite score there and is NaN. Where the maximum of the likelihood exists this
    is it; a method that won every time ends at a large finite value, as in the study.
    """
    images, methods = wins.shape[:2]
    met = wins + wins.transpose(0, 2, 1)
    won = wins.sum(axis=2)
    strength = np.full((images, methods), 1.0 / methods)
    open_images = np.arange(images)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(LAI_ITERATIONS):
            now = strength[open_images]
            sums = now[:, :, None] + now[:, None, :]
            share = np.where(met[open_images] > 0, met[open_images] / sums, 0.0).sum(axis=2)
            renewed = won[open_images] / share
            renewed /= np.nansum(renewed, axis=1, keepdims=True)
            strength[open_images] = renewed
            moved = np.nanmax(np.abs(renewed - now), axis=1) > LAI_TOLERANCE
            open_images = open_images[moved]
            if not len(open_images):
                break
        scores = np.log(strength)
    scores[~np.isfinite(scores)] = np.nan
    return np.asarray(scores - np.nanmean(scores, axis=1, keepdims=True))


def mean_over_images(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each method's finite scores, and how many images gave one. Shape: [images, M] -> [M], [M]."""
    finite = np.isfinite(scores)
    counts = finite.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(finite, scores, 0.0).sum(axis=0) / counts, counts


def bootstrap_intervals(wins: np.ndarray, unit: str, draws: int, seed: int, ridge: float | None = None) -> np.ndarray:
    """95 % intervals of the global scores. Shape: wins [images, M, M] -> [M, 2].

    unit "images": images are drawn with replacement, with all of their votes; "votes": single votes are.
    A draw in which no finite maximum exists is fitted with a pull of 1e-6 towards zero, so that its interval is wide
    and not undefined.
    """
    rng = np.random.default_rng(seed)
    images, methods = wins.shape[:2]
    total = wins.sum(axis=0)
    if unit == "images":
        weights = rng.multinomial(images, np.full(images, 1 / images), size=draws)
    else:
        weights = rng.multinomial(round(total.sum()), (total / total.sum()).ravel(), size=draws)
    at_once = max(1, AT_ONCE // methods**2)  # draws that are fitted together
    found = []
    for start in range(0, draws, at_once):
        part = weights[start : start + at_once].astype(float)
        drawn = np.tensordot(part, wins, axes=1) if unit == "images" else part.reshape(-1, methods, methods)
        found.append(newton_scores(drawn, ridge or RIDGE))
    return np.percentile(np.concatenate(found), [2.5, 97.5], axis=0).T


def newton_scores(wins: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """Scores of many win matrices at once by Newton's method. Shape: [draws, M, M] -> [draws, M], mean zero."""
    draws, methods = wins.shape[:2]
    met = wins + wins.transpose(0, 2, 1)
    won = wins.sum(axis=2)
    scores = np.zeros((draws, methods))
    for _ in range(NEWTON_STEPS):
        chance = 1.0 / (1.0 + np.exp(scores[:, None, :] - scores[:, :, None]))  # of i against j
        slope = won - (met * chance).sum(axis=2) - ridge * scores
        bend = met * chance * (1 - chance)
        # A unit on every entry fixes the mean, to which the likelihood is blind.
        curvature = -bend + np.eye(methods) * (bend.sum(axis=2)[:, :, None] + ridge) + 1.0 / methods
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        scores = scores + np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        scores -= scores.mean(axis=1, keepdims=True)
        if np.abs(step).max() < 1e-9:
            break
    return scores


ALPHA = 0.01


def agreement_u(wins: np.ndarray) -> float:
    """Kendall's coefficient of agreement of the votes. Shape: [M, M]. 1: all agree; about 0: as if by chance.

    u = 2 S / T - 1, with S the pairs of votes on the same two methods that agree and T all such pairs of votes; for
    equally many votes on every pair this is Kendall's formula. Ties are no votes here. NaN where no pair of
    methods has two votes.
    """
    met = np.triu(wins + wins.T, 1)
    agreeing = (wins * (wins - 1) / 2).sum()
    possible = (met * (met - 1) / 2).sum()
    return float(2 * agreeing / possible - 1) if possible else math.nan


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """Wins out of equally many votes on every pair, and the difference that is significant.

    wins: [M]. least_difference: methods whose wins differ by at least this are told apart at the level `alpha`.
    votes_per_pair: S of the formula; the fewest of any pair, to whose number the wins of the others are scaled.
    """

    wins: np.ndarray
    votes_per_pair: int
    least_difference: int
    alpha: float = ALPHA

    def apart(self) -> np.ndarray:
        """[M, M] bool: the two differ significantly."""
        return np.asarray(np.abs(self.wins[:, None] - self.wins[None, :]) >= self.least_difference)


def range_test(wins: np.ndarray, alpha: float = ALPHA) -> RangeTest | None:
    """The range test of paired comparisons. Shape: [M, M]. None where two methods were never compared.

    R = ceil(W sqrt(S M) / 2 + 1/4), W the upper alpha point of the range of M standard normal values. The study drew it
    from 10^7 normal values; here it is the exact integral.
    """
    from scipy.stats import studentized_range

    methods = len(wins)
    met = wins + wins.T
    fewest = int(met[~np.eye(methods, dtype=bool)].min())
    if fewest == 0:
        return None
    width = float(studentized_range.ppf(1 - alpha, methods, np.inf))
    share = np.divide(wins, met, out=np.zeros_like(wins), where=met > 0)
    return RangeTest(
        wins=share.sum(axis=1) * fewest,
        votes_per_pair=fewest,
        least_difference=math.ceil(0.5 * width * math.sqrt(fewest * methods) + 0.25),
        alpha=alpha,
    )
