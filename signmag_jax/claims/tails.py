"""How many standard errors apart two numbers may lie: a normal level for the family, and the tails beyond."""

from __future__ import annotations

import math
from collections.abc import Sequence

from signmag_jax.evidence import Estimate

FAMILY_LEVEL = 0.01
# A rival that the evidence resolves is excluded with this probability.
POWER = 0.8
# That of a log-normal whose logarithm has deviation 1: samples may be as skewed, and few cannot show it.
SKEWNESS = (math.e + 2) * math.sqrt(math.e - 1)


def threshold(comparisons: int) -> float:
    """Two-sided normal quantile that keeps the family-wise level over `comparisons` (Bonferroni)."""
    from scipy.special import ndtri  # slow to import, and reading a ledger needs none

    return -float(ndtri(FAMILY_LEVEL / (2 * max(comparisons, 1))))


def freedom(estimates: Sequence[Estimate], paired: bool = False) -> float:
    """Degrees of freedom of a difference (Welch and Satterthwaite), infinite where none are known.

    An estimate of n independent samples has n − 1 of them; n < 2 means that they are not known, or that the
    value is exact. A paired difference has those of the fewer samples.
    """
    sampled = _sampled(estimates)
    if not sampled:
        return math.inf
    if paired:
        return float(min(estimate.n for estimate in sampled) - 1)
    total = _error(estimates)
    return 1 / sum((one.standard_error / total) ** 4 / (one.n - 1) for one in sampled)


def student(critical: float, estimates: Sequence[Estimate], paired: bool = False) -> float:
    """The threshold widened to Student's tails."""
    from scipy.special import ndtr, stdtrit

    count = freedom(estimates, paired)
    return critical if math.isinf(count) else -float(stdtrit(count, ndtr(-critical)))


def skewed(critical: float, estimates: Sequence[Estimate], paired: bool = False) -> float:
    """The threshold for samples as skewed as a log-normal's.

    A studentised mean of n samples of skewness γ has its quantile at z + γ(2z² + 1)/(6√n), to first order
    (Cornish and Fisher): so much is added to Student's threshold. In a difference of two means the third
    cumulants add.
    """
    sampled = _sampled(estimates)
    if not sampled:
        return critical
    if paired:
        lean = 1 / math.sqrt(min(estimate.n for estimate in sampled))
    else:
        total = _error(estimates)
        lean = sum((one.standard_error / total) ** 3 / math.sqrt(one.n) for one in sampled)
    return student(critical, estimates, paired) + SKEWNESS * lean * (2 * critical**2 + 1) / 6


def telling(limit: float, estimates: Sequence[Estimate], paired: bool = False) -> float:
    """Standard errors between two numbers at which their difference passes the limit with the probability
    `POWER`: the noncentrality of Student's t, since few samples do not know their standard error.
    """
    from scipy.special import nctdtrinc

    return float(nctdtrinc(freedom(estimates, paired), 1 - POWER, limit))


def _sampled(estimates: Sequence[Estimate]) -> list[Estimate]:
    return [one for one in estimates if one.n >= 2 and one.standard_error > 0]


def _error(estimates: Sequence[Estimate]) -> float:
    return math.hypot(*(one.standard_error for one in estimates))
