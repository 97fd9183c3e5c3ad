"""Small suppliers of evidence for the declarations of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from signmag_jax.evidence import Estimate

from .claim import Evidence, Missing
from .published import figure

Supply = Callable[[], Evidence]


def exact(law: Callable[..., Any], *arguments: Any, name: str | None = None, **keywords: Any) -> Supply:
    """A closed form, evaluated when the ledger is filled."""

    def supply() -> Estimate:
        value = float(law(*arguments, **keywords))
        source = {"law": name or getattr(law, "__name__", "law"), **_plain(keywords)}
        return Estimate.exact(value, estimator="closed form", provenance=source)

    return supply


def component(law: Callable[..., Any], index: int, *arguments: Any, **keywords: Any) -> Supply:
    """One element of a law that returns several."""
    return exact(lambda: law(*arguments, **keywords)[index], name=f"{law.__name__}[{index}]")


def printed(value: float, *, decimals: int | None, section: str, what: str, **keywords: Any) -> Supply:
    """A figure of the paper."""
    return lambda: figure(value, decimals=decimals, section=section, what=what, **keywords)


def found(results: Mapping[str, Evidence], name: str) -> Supply:
    """Evidence gathered beforehand under a name."""
    return lambda: results.get(name) or Missing("NOT RUN", f"{name} is not part of this run")


def combine(first: Supply, second: Supply, weights: tuple[float, float], estimator: str) -> Supply:
    """A linear combination of two independent estimates."""

    def supply() -> Evidence:
        left, right = first(), second()
        for part in (left, right):
            if isinstance(part, Missing):
                return part
        assert isinstance(left, Estimate)
        assert isinstance(right, Estimate)
        a, b = weights
        error = ((a * left.standard_error) ** 2 + (b * right.standard_error) ** 2) ** 0.5
        return Estimate(
            a * left.value + b * right.value,
            error,
            min(left.n, right.n),
            left.unit,
            estimator,
            {"parts": [dict(left.provenance), dict(right.provenance)]},
        )

    return supply


def extrapolated(narrow: tuple[int, Supply], wide: tuple[int, Supply]) -> Supply:
    """The linear extrapolation in 1/width of independent simulations at two widths."""
    ratio = wide[0] / narrow[0]
    weights = (ratio / (ratio - 1), -1 / (ratio - 1))
    return combine(wide[1], narrow[1], weights, f"widths {narrow[0]} and {wide[0]} extrapolated in 1/width")


def pick(estimate: Estimate, index: int | tuple[int, ...]) -> Estimate:
    """One element of an estimate that holds an array."""
    return Estimate(
        estimate.value[index],
        estimate.standard_error[index],
        estimate.n,
        estimate.unit,
        estimate.estimator,
        {**estimate.provenance, "element": index},
    )


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """An estimate in another unit."""
    return Estimate(
        factor * estimate.value,
        abs(factor) * estimate.standard_error,
        estimate.n,
        estimate.unit,
        estimate.estimator,
        {**estimate.provenance, "multiplied_by": factor},
    )


def _plain(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int | float | bool | str) else repr(value)
        for name, value in keywords.items()
    }
