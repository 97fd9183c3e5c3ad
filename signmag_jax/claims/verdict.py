"""The rule that turns intervals into verdicts; it never sees which answer would be welcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import norm, t

from signmag_jax.evidence import Estimate

from .claim import Claim, Evidence, Missing, Route

PROVED = "PROVED"
REPRODUCED = "REPRODUCED"
DISAGREES = "DISAGREES"
UNRESOLVED = "UNRESOLVED"
IDENTITY = "IDENTITY"
NOT_COMPARABLE = "NOT COMPARABLE"
NOT_RUN = "NOT RUN"
VERDICTS = (PROVED, REPRODUCED, DISAGREES, UNRESOLVED, IDENTITY, NOT_COMPARABLE, NOT_RUN)

FAMILY_LEVEL = 0.01
# A rival this many standard errors beyond the rejection threshold is excluded with probability Φ(2), by many
# samples; by few with a smaller one, since their standard error is itself uncertain.
POWER_MARGIN = 2.0
# Two exact numbers agree when they differ by less than float64 evaluation may: theory promises 1e-12.
EXACT_TOLERANCE = 1e-11


@dataclass(frozen=True)
class Comparison:
    """Two routes of one row: difference, combined standard error, distance in standard errors.

    `distance` and `threshold` are None where both numbers are exact: then `agrees` rests on the difference
    alone. The threshold is the one applied, Student's for few samples; `resolving` is the largest standard
    error that tells the rival apart at it, None without a rival or an error, and `resolved` says whether
    `standard_error` is that small.
    """

    between: tuple[Route, Route]
    difference: float
    standard_error: float
    distance: float | None
    agrees: bool
    resolved: bool
    threshold: float | None = None
    resolving: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The verdict of a row with its reason and the comparisons behind it."""

    word: str
    reason: str
    comparisons: tuple[Comparison, ...] = ()


def threshold(comparisons: int) -> float:
    """Two-sided normal quantile that keeps the family-wise level over `comparisons` (Bonferroni)."""
    return float(norm.isf(FAMILY_LEVEL / (2 * max(comparisons, 1))))


def student(critical: float, first: Estimate, second: Estimate) -> float:
    """The threshold widened to Student's tails at Welch and Satterthwaite's degrees of freedom.

    An estimate of n independent samples has n − 1 of them; n < 2 means that they are not known, as for
    published numbers, or that the value is exact.
    """
    parts = [
        (float(estimate.standard_error) ** 2, estimate.n - 1)
        for estimate in (first, second)
        if estimate.n >= 2 and float(estimate.standard_error) > 0
    ]
    total = float(first.standard_error) ** 2 + float(second.standard_error) ** 2
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    return critical if spread == 0 else float(t.isf(norm.sf(critical), total**2 / spread))


def of_same(critical: float, first: Estimate, second: Estimate) -> float:
    """The threshold widened to Student's tails for a difference over the fewer of their common samples.

    As in `student`, n < 2 says nothing of them.
    """
    known = [estimate.n for estimate in (first, second) if estimate.n >= 2]
    return float(t.isf(norm.sf(critical), min(known) - 1)) if known else critical


def resolving_standard_error(value: float, rival: float, critical: float) -> float:
    """The largest standard error at which `value` can be told from `rival`."""
    return abs(value - rival) / (critical + POWER_MARGIN)


def compare(
    pair: tuple[Route, Route],
    first: Estimate,
    second: Estimate,
    rival: float | None,
    critical: float,
    paired: float | None = None,
) -> Comparison:
    """Compare two scalar estimates, at the normal threshold `critical` or Student's beyond it.

    `paired` is the standard error of their difference where they are of the same samples.
    """
    difference = float(first.value) - float(second.value)
    error = math.hypot(float(first.standard_error), float(second.standard_error))
    if paired is not None:
        error = paired
    if error == 0:
        scale = max(abs(float(first.value)), abs(float(second.value)), 1e-300)
        return Comparison(pair, difference, 0.0, None, abs(difference) <= EXACT_TOLERANCE * scale, True)
    distance = difference / error
    critical = student(critical, first, second) if paired is None else of_same(critical, first, second)
    resolving = (
        None if rival is None else resolving_standard_error(_reference(first, second), rival, critical)
    )
    resolved = resolving is None or error <= resolving
    return Comparison(
        pair, difference, error, distance, abs(distance) <= critical, resolved, critical, resolving
    )


def _reference(first: Estimate, second: Estimate) -> float:
    """The more precise of the two values: the rival must be distinguishable from it."""
    return float(min(first, second, key=lambda estimate: float(estimate.standard_error)).value)


def decide(
    claim: Claim, evidence: Mapping[Route, Evidence], proved: Mapping[str, bool], critical: float
) -> Verdict:
    """The verdict of one row.

    Order: identities; missing proofs; missing or unresolved evidence; disagreement; resolution. A row
    whose published figure belongs to another model, text or protocol is NOT COMPARABLE at best.
    """
    if claim.kind == "identity":
        return Verdict(IDENTITY, claim.note)
    unproved = [name for name in claim.proofs if not proved.get(name, False)]
    absent = [name for name in unproved if name not in proved]
    if absent:
        return Verdict(NOT_RUN, f"proof {', '.join(absent)} was not run")
    if unproved:
        return Verdict(DISAGREES, f"the derivation {', '.join(unproved)} does not hold")
    missing = _missing(claim, evidence)
    if missing is not None:
        return Verdict(missing.status, missing.reason)
    rival = claim.rival() if claim.rival else None
    paired = claim.paired() if claim.paired else None
    comparisons = tuple(
        compare(pair, _estimate(evidence[pair[0]]), _estimate(evidence[pair[1]]), rival, critical, paired)
        for pair in claim.compare
    )
    return _weigh(claim, comparisons)


def outside(claim: Claim, evidence: Mapping[Route, Evidence], critical: float) -> str:
    """How far the published figure lies from the simulated one that it is not compared with; empty if near.

    The note of such a row says why it does not compare them.
    """
    pair: tuple[Route, Route] = ("published", "simulated")
    published, simulated = (evidence.get(route) for route in pair)
    if pair in claim.compare or not (isinstance(published, Estimate) and isinstance(simulated, Estimate)):
        return ""
    comparison = compare(pair, published, simulated, None, critical)
    return "" if comparison.agrees else f"not compared, as the note says: {_size(comparison)}"


def _missing(claim: Claim, evidence: Mapping[Route, Evidence]) -> Missing | None:
    needed = {route for pair in claim.compare for route in pair} or set(claim.routes)
    gaps = [evidence[route] for route in claim.routes if route in needed]
    gaps = [gap for gap in gaps if isinstance(gap, Missing)]
    # NOT RUN outranks UNRESOLVED: nothing was even tried.
    return min(gaps, key=lambda gap: gap.status, default=None)


def _estimate(evidence: Evidence) -> Estimate:
    if isinstance(evidence, Missing):
        raise TypeError("a comparison needs two estimates")
    return evidence


def _weigh(claim: Claim, comparisons: tuple[Comparison, ...]) -> Verdict:
    if claim.kind == "other":
        return Verdict(NOT_COMPARABLE, claim.note, comparisons)
    if claim.kind == "above":
        return _exceeds(comparisons)
    worst = [comparison for comparison in comparisons if not comparison.agrees]
    if worst:
        return Verdict(DISAGREES, "; ".join(_size(comparison) for comparison in worst), comparisons)
    if claim.kind == "proof":
        return Verdict(PROVED, f"derived in {', '.join(claim.proofs)}", comparisons)
    wide = [comparison for comparison in comparisons if not comparison.resolved]
    if wide:
        reason = f"the interval is too wide to exclude the rival ({claim.rival_is})"
        return Verdict(UNRESOLVED, reason, comparisons)
    return Verdict(REPRODUCED, _within(comparisons), comparisons)


def _exceeds(comparisons: tuple[Comparison, ...]) -> Verdict:
    """Whether the first number of each pair lies clearly above the second; below it, the claim is wrong."""
    reason = "; ".join(_size(comparison) for comparison in comparisons)
    apart = [comparison.difference for comparison in comparisons if not comparison.agrees]
    if any(difference < 0 for difference in apart):
        return Verdict(DISAGREES, reason, comparisons)
    if len(apart) < len(comparisons):
        return Verdict(UNRESOLVED, f"the interval is too wide: {reason}", comparisons)
    return Verdict(REPRODUCED, reason, comparisons)


def _within(comparisons: tuple[Comparison, ...]) -> str:
    """The comparison that comes nearest to its own threshold."""
    judged = [(abs(c.distance), c.threshold) for c in comparisons if c.distance is not None and c.threshold]
    if not judged:
        return f"exact numbers, equal to {EXACT_TOLERANCE:g}"
    distance, threshold = max(judged, key=lambda pair: pair[0] / pair[1])
    return f"within {distance:.1f} standard errors (threshold {threshold:.1f})"


def _size(comparison: Comparison) -> str:
    first, second = comparison.between
    if comparison.distance is None:
        return f"{first} and {second} are exact and differ by {comparison.difference:.3g}"
    return f"{first} lies {comparison.distance:+.1f} standard errors from {second}"
