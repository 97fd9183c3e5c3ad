"""Small suppliers of evidence for the declarations of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from signmag_jax.evidence import ConfidenceInterval, Estimate
from signmag_jax.evidence.ratio import Ratio, ratio_of_estimates

from .claim import Evidence, Exact, Missing, Supply


def exact(law: Callable[..., Any], *arguments: Any, name: str | None = None, **keywords: Any) -> Exact:
    """A closed form, evaluated when the ledger is filled."""

    def supply() -> Estimate:
        value = float(law(*arguments, **keywords))
        source = {"law": name or getattr(law, "__name__", "law"), **_plain(keywords)}
        return Estimate.exact(value, estimator="closed form", provenance=source)

    return Exact(supply)


def component(law: Callable[..., Any], index: int, *arguments: Any, **keywords: Any) -> Exact:
    """One element of a law that returns several."""
    return exact(lambda: law(*arguments, **keywords)[index], name=f"{law.__name__}[{index}]")


def left_out(
    law: Callable[..., Any],
    approximation: Callable[..., Any],
    arguments: Callable[[float], tuple[Any, ...]],
    small: float = 1e-6,
) -> float:
    """The power of a small number with which |law/approximation − 1| vanishes: a slope of logarithms.

    Args:
      arguments: those of both functions at a small number.
      small: the larger of the two numbers, of which the other is a quarter: large enough for float64.
    """

    def error(at: float) -> float:
        return abs(float(law(*arguments(at))) / float(approximation(*arguments(at))) - 1)

    return math.log(error(small) / error(small / 4)) / math.log(4)


def combine(parts: Sequence[Supply], weights: Sequence[float], estimator: str) -> Supply:
    """A linear combination of independent estimates."""

    def supply() -> Evidence:
        terms = []
        for part in parts:
            evidence = part()
            if isinstance(evidence, Missing):
                return evidence
            terms.append(evidence)
        return Estimate(
            math.fsum(w * float(term.value) for w, term in zip(weights, terms, strict=True)),
            math.hypot(*(w * float(term.standard_error) for w, term in zip(weights, terms, strict=True))),
            min(term.n for term in terms),
            terms[0].unit,
            estimator,
            {"weights": list(weights), "parts": [dict(term.provenance) for term in terms]},
        )

    return supply


def extrapolated(*points: tuple[int, Supply]) -> Supply:
    """Independent simulations at k widths, extrapolated by the polynomial of degree k − 1 in 1/width.

    Two widths leave an error of order 1/width², three one of 1/width³ and a larger standard error.
    """
    widths = [width for width, _ in points]
    name = f"widths {', '.join(map(str, widths))} extrapolated in 1/width, degree {len(widths) - 1}"
    return combine([supply for _, supply in points], weights_at_infinity(widths), name)


def weights_at_infinity(widths: Sequence[int]) -> list[float]:
    """Lagrange's weights at 1/n = 0 for values at these widths: Π_{j≠i} n_i/(n_i − n_j)."""
    return [math.prod((n / (n - other) for other in widths if other != n), start=1.0) for n in widths]


def pick(estimate: Estimate, index: int | tuple[int, ...]) -> Estimate:
    """One element of an estimate that holds an array."""
    return _changed(estimate, estimate.value[index], estimate.standard_error[index], element=index)


def of_ratio(ratio: Ratio, origin: Mapping[str, Any]) -> Evidence:
    """The estimate of a ratio, or the reason why there is none, with the provenance of its measurement."""
    return of_interval(ratio.interval, ratio.reason, origin)


def of_interval(interval: ConfidenceInterval | None, reason: str, origin: Mapping[str, Any]) -> Evidence:
    """The estimate of a confidence interval, or the reason why there is none; `origin` as in `of_ratio`."""
    return with_origin(Missing("UNRESOLVED", reason) if interval is None else interval.estimate, origin)


def error_of(evidence: Evidence) -> Callable[[], float] | None:
    """The error of a paired difference, where there is one."""
    return (lambda: float(evidence.standard_error)) if isinstance(evidence, Estimate) else None


def value_of(evidence: Evidence, otherwise: float) -> Callable[[], float]:
    """The value of evidence as a rival, or another rival where there is none."""
    return lambda: float(evidence.value) if isinstance(evidence, Estimate) else otherwise


def with_origin(evidence: Evidence, origin: Mapping[str, Any]) -> Evidence:
    """Evidence with the provenance of the run that it was taken from."""
    if isinstance(evidence, Missing):
        return evidence
    return replace(evidence, provenance={**origin, **evidence.provenance})


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """An estimate in another unit."""
    return _changed(
        estimate,
        factor * estimate.value,
        abs(factor) * estimate.standard_error,
        multiplied_by=factor,
    )


def inverse(estimate: Estimate) -> Estimate:
    """One over an estimate (delta method: for a ratio of means, that of the ratio the other way round)."""
    value = 1 / float(estimate.value)
    return _changed(estimate, value, value**2 * float(estimate.standard_error), inverted=True)


def _changed(estimate: Estimate, value: Any, error: Any, **how: Any) -> Estimate:
    origin = {**estimate.provenance, **how}
    return replace(estimate, value=value, standard_error=error, provenance=origin, enclosure=None)


def quotient(numerator: Evidence, denominator: Evidence, estimator: str) -> Evidence:
    """A ratio of two estimates, their errors taken as independent (delta method)."""
    for one in (numerator, denominator):
        if isinstance(one, Missing):
            return one
    assert isinstance(numerator, Estimate)
    assert isinstance(denominator, Estimate)
    return ratio_of_estimates(numerator, denominator, estimator=estimator)


def _plain(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int | float | bool | str) else repr(value)
        for name, value in keywords.items()
    }
