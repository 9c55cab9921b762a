"""How far voters agree, and which differences in wins are more than chance: the tests of the Lai study.

Sources: Kendall and Babington Smith, Biometrika 31, 1940 (coefficient of agreement u); David, "The Method of Paired
Comparisons", 1988 (range test); Lai et al., CVPR 2016 (both on votes for deblurred images).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ALPHA = 0.01


def agreement_u(wins: np.ndarray) -> float:
    """Kendall's coefficient of agreement of the votes. Shape: [M, M]. 1: all agree; about 0: as if by chance.

    u = 2 S / T - 1, with S the pairs of votes on the same two methods that agree and T all such pairs of votes; for
    equally many votes on every pair this is Kendall's formula. NaN where no pair of methods has two votes.
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
