"""Results in one line each."""

from __future__ import annotations

from typing import Any


def written(estimate: Any) -> str:
    """An estimate in one line."""
    from signmag_jax.report.numbers import with_error

    number = with_error(estimate.value, estimate.standard_error)
    return f"{number} {estimate.unit} (n = {estimate.n}; {estimate.estimator})"


def mean(damage: Any) -> str:
    """A mean with its interval, or that a draw had none."""
    return "not finite" if damage is None else written(damage.estimate)


def ratio(found: Any) -> str:
    """A ratio, or why there is none."""
    return written(found.interval.estimate) if found.resolved else f"UNRESOLVED: {found.reason}"


def correlation(interval: Any) -> str:
    """A correlation with its interval."""
    return f"{written(interval.estimate)}, 95% interval [{interval.low:.3f}, {interval.high:.3f}]"


def association(name: str, found: Any) -> dict[str, str]:
    """Rank correlation and slope of damages with a predictor of that name."""
    slope = f"UNRESOLVED: {found.reason}" if found.slope is None else written(found.slope.estimate)
    return {f"{name}: rank correlation": correlation(found.rank_correlation), f"{name}: log-log slope": slope}
