"""Bradley-Terry scores from win counts: P(i is better than j) = 1 / (1 + exp(score j - score i)).

Scores are logarithms with mean zero. Sources: Bradley and Terry, Biometrika 39, 1952; Ford, American Mathematical
Monthly 64, 1957 (when the maximum of the likelihood exists); Lai et al., CVPR 2016 (the scheme per image).
"""

from __future__ import annotations

import numpy as np

LAI_ITERATIONS, LAI_TOLERANCE = 5000, 1e-8
NEWTON_STEPS, LARGEST_STEP, RIDGE = 60, 2.0, 1e-6


def global_scores(wins: np.ndarray, prior: float = 0.0) -> np.ndarray:
    """Maximum-likelihood scores by choix. Shape: wins [methods, methods] -> [methods], mean zero.

    prior: strength of a quadratic pull towards zero; 0 is plain maximum likelihood. Callers make sure with `separated`
    that the maximum exists where prior is 0. Errors: RuntimeError if the iteration does not converge.
    """
    import choix

    if prior > 0:
        better, worse = np.nonzero(wins)
        pairs = [(int(i), int(j)) for i, j in zip(better, worse, strict=True) for _ in range(int(wins[i, j]))]
        scores = choix.opt_pairwise(len(wins), pairs, alpha=prior, tol=1e-9)
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
    if unit == "images":
        weights = rng.multinomial(images, np.full(images, 1 / images), size=draws)
        drawn = np.tensordot(weights.astype(float), wins, axes=1)
    else:
        total = wins.sum(axis=0).ravel()
        drawn = rng.multinomial(round(total.sum()), total / total.sum(), size=draws)
        drawn = drawn.reshape(draws, methods, methods).astype(float)
    return np.percentile(newton_scores(drawn, ridge or RIDGE), [2.5, 97.5], axis=0).T


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
