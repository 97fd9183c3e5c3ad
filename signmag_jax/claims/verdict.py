"""The rule that turns intervals into verdicts; it never sees which answer would be welcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from signmag_jax.evidence import Estimate

from .claim import Claim, Evidence, Missing, Route
from .published import half_unit
from .tails import skewed, student, telling

PROVED = "PROVED"
REPRODUCED = "REPRODUCED"
DISAGREES = "DISAGREES"
UNRESOLVED = "UNRESOLVED"
IDENTITY = "IDENTITY"
NOT_COMPARABLE = "NOT COMPARABLE"
NOT_RUN = "NOT RUN"

# Two exact numbers agree when they differ by less than float64 evaluation may: theory promises 1e-12.
EXACT_TOLERANCE = 1e-11
# Orders are slopes between two small arguments, where the next term is still seen.
ORDER_TOLERANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two routes of one row: difference, combined standard error, distance in standard errors.

    Within `threshold` (normal errors, Student's tails) they agree; beyond `limit` (errors as skewed as a
    log-normal's) they disagree; in between neither is shown. These three are None where both numbers are
    exact: then everything rests on the difference. `resolving` is the largest standard error that tells the
    rival apart, None without a rival or an error, and `resolved` says whether `standard_error` is that small.
    """

    between: tuple[Route, Route]
    difference: float
    standard_error: float
    distance: float | None
    agrees: bool
    disagrees: bool
    resolved: bool
    threshold: float | None = None
    limit: float | None = None
    resolving: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The verdict of a row with its reason and the comparisons behind it."""

    word: str
    reason: str
    comparisons: tuple[Comparison, ...] = ()


def resolving_standard_error(value: float, rival: float, bound: float, slack: float = 0.0) -> float:
    """The largest standard error at which `value` is `bound` of them from `rival`, less `slack`."""
    return max(abs(value - rival) - slack, 0.0) / bound


def compare(
    pair: tuple[Route, Route],
    first: Estimate,
    second: Estimate,
    rival: float | None,
    critical: float,
    paired: float | None = None,
    missed: float = 0.0,
) -> Comparison:
    """Compare two scalar estimates at the family's normal threshold `critical` or beyond it.

    Args:
      paired: the standard error of their difference where they are of the same samples.
      missed: what rare heavy draws, if all were missed, could add to the difference.
    """
    both = first, second
    difference = first.value - second.value
    error = math.hypot(first.standard_error, second.standard_error) if paired is None else paired
    rounding = sum(map(half_unit, both))
    if error == 0:
        return _exactly(pair, both, rival, rounding)
    threshold, limit = (bound(critical, both, paired is not None) for bound in (student, skewed))
    beyond = math.copysign(max(abs(difference) - rounding, 0.0), difference)
    slack = rounding + missed
    apart = telling(limit, both, paired is not None)
    resolving = None if rival is None else resolving_standard_error(_reference(both), rival, apart, slack)
    return Comparison(
        pair,
        difference,
        error,
        beyond / error,
        abs(beyond) <= threshold * error,
        abs(difference) - slack > limit * error,
        error <= resolving if resolving is not None else missed < math.inf,
        threshold,
        limit,
        resolving,
    )


def _exactly(
    pair: tuple[Route, Route], both: tuple[Estimate, Estimate], rival: float | None, rounding: float
) -> Comparison:
    """Two numbers without sampling error, of which the printed ones are known to half a unit."""
    difference = both[0].value - both[1].value
    scale = max(abs(both[0].value), abs(both[1].value))
    agrees = abs(difference) <= rounding + EXACT_TOLERANCE * scale
    told = rival is None or abs(_reference(both) - rival) > rounding
    return Comparison(pair, difference, 0.0, None, agrees, not agrees, told)


def _reference(both: tuple[Estimate, Estimate]) -> float:
    """The more precise of the two values: the rival must be distinguishable from it."""
    return min(both, key=lambda estimate: (estimate.standard_error, half_unit(estimate))).value


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
    if claim.kind == "order":
        return _of_order(claim, _estimate(evidence["predicted"]).value)
    rival, paired = (supply() if supply else None for supply in (claim.rival, claim.paired))
    missed = claim.missed() if claim.missed else 0.0
    compared = {route: _estimate(evidence[route]) for pair in claim.compare for route in pair}
    # A number that is not positive has no logarithm: then the numbers themselves are compared.
    if claim.logarithmic and all(float(one.value) > 0 for one in compared.values()):
        compared = {route: _logarithm(one) for route, one in compared.items()}
        rival = None if rival is None else math.log(rival)
    comparisons = tuple(
        compare(pair, compared[pair[0]], compared[pair[1]], rival, critical, paired, missed)
        for pair in claim.compare
    )
    verdict = _weigh(claim, comparisons)
    return replace(verdict, reason=f"{verdict.reason}; {_unhit(missed)}") if missed > 0 else verdict


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


def _logarithm(estimate: Estimate) -> Estimate:
    """The logarithm of an estimate (delta method), whose errors skewed numbers bend less."""
    error = estimate.standard_error / estimate.value
    return replace(
        estimate, value=math.log(estimate.value), standard_error=error, provenance={}, enclosure=None
    )


def _of_order(claim: Claim, order: float) -> Verdict:
    """Whether an approximation leaves out no more than it says."""
    sizes = f"what the approximation leaves out is of order {order:.2f}, stated: {claim.order:g}"
    return Verdict(REPRODUCED if order >= claim.order - ORDER_TOLERANCE else DISAGREES, sizes)


def _weigh(claim: Claim, comparisons: tuple[Comparison, ...]) -> Verdict:
    if claim.kind == "other":
        return Verdict(NOT_COMPARABLE, claim.note, comparisons)
    if claim.kind == "above":
        return _exceeds(comparisons)
    worst = [comparison for comparison in comparisons if comparison.disagrees]
    if worst:
        return Verdict(DISAGREES, "; ".join(_size(comparison) for comparison in worst), comparisons)
    between = [comparison for comparison in comparisons if not comparison.agrees]
    if between:
        return Verdict(UNRESOLVED, "; ".join(_in_between(one) for one in between), comparisons)
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
    apart = [comparison.difference for comparison in comparisons if comparison.disagrees]
    if any(difference < 0 for difference in apart):
        return Verdict(DISAGREES, reason, comparisons)
    if len(apart) < len(comparisons):
        return Verdict(UNRESOLVED, f"the interval is too wide: {reason}", comparisons)
    return Verdict(REPRODUCED, reason, comparisons)


def _in_between(comparison: Comparison) -> str:
    """Why numbers that normal errors would keep apart do not disagree."""
    return (
        f"{_size(comparison)}: from so few samples normal errors allow {comparison.threshold:.1f}, and "
        f"errors as skewed as a log-normal's {comparison.limit:.1f}"
    )


def _unhit(missed: float) -> str:
    """What no standard error of the evidence knows."""
    if missed == math.inf:
        return "what rare heavy draws add that were missed is in no error, and not known"
    return f"rare heavy draws that were missed may add {missed:.2g}, which is in no error"


def _within(comparisons: tuple[Comparison, ...]) -> str:
    """The comparison that comes nearest to its own threshold."""
    judged = [(abs(c.distance), c.threshold) for c in comparisons if c.distance is not None and c.threshold]
    if not judged:
        return f"exact numbers, equal to {EXACT_TOLERANCE:g} or as printed"
    distance, threshold = max(judged, key=lambda pair: pair[0] / pair[1])
    return f"within {distance:.1f} standard errors (threshold {threshold:.1f})"


def _size(comparison: Comparison) -> str:
    first, second = comparison.between
    if comparison.distance is None:
        return f"{first} and {second} are exact and differ by {comparison.difference:.3g}"
    return f"{first} lies {comparison.distance:+.1f} standard errors from {second}"
