"""A law's value as the `Estimate` that leaves the theory."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from signmag_jax.evidence import Estimate, Incomplete, SignmagError
from signmag_jax.perturb import Compose

from .activations import find_activation
from .composition import as_network, integrals
from .law import Law
from .registry import find

CLOSED, INTEGRATED = 1e-11, 1e-9
"""Relative distance from its ball at which a closed form, or a quadrature, is refused."""


def estimate(law: str | Law, *, exact: Mapping[str, Any] | None = None, **arguments: Any) -> Estimate:
    """An exact `Estimate` of a law: standard error 0, with the law and its arguments as provenance.

    Args:
      law: a name in `LAWS`.
      exact: the arguments as `enclose` takes them, for the enclosure, where those are roundings of what is
        meant: 1/100 and not the float nearest to it. By default those.
      **arguments: the law's own, concrete.

    Raises:
      InvalidInput: for an unknown law, or arguments that do not fit it.
      Incomplete: if the value lies outside the law's own rigorous enclosure: one of the two is wrong.
    """
    law = find(law)
    value = law(**arguments)
    provenance = {"law": law.name, "source": law.source, "arguments": _plain(arguments)}
    ball = _ball(law, arguments if exact is None else exact) if np.ndim(value) == 0 else None
    estimator = _estimator(law, arguments)
    if ball is not None:
        _check_inside(law.name, float(value), ball, INTEGRATED if "quadrature" in estimator else CLOSED)
    return Estimate.exact(value, unit=law.unit, estimator=estimator, provenance=provenance, enclosure=ball)


def _check_inside(name: str, value: float, ball: tuple[str, str], slack: float) -> None:
    """Refuse a float64 value that its enclosure contradicts by more than rounding.

    Raises:
      Incomplete: naming the law and both numbers.
    """
    midpoint, radius = map(float, ball)
    if not abs(value - midpoint) <= radius + slack * abs(midpoint):
        raise Incomplete(
            f"{name} evaluates to {value!r}, but its rigorous enclosure is {ball[0]} ± {ball[1]}: the "
            "arguments lie where float64 does not resolve the law; take the enclosure"
        )


def _estimator(law: Law, arguments: Mapping[str, Any]) -> str:
    """The law's own, unless the activation or a composition of perturbations is integrated numerically."""
    integrated = "activation" in arguments and find_activation(arguments["activation"]).by_quadrature
    if "network" in arguments:
        integrated = integrals(as_network(arguments["network"])) > 0
    perturbation = arguments.get("perturbation")
    if isinstance(perturbation, Compose) and perturbation.quadrature_bound() > 0:
        integrated = True
    if not integrated:
        return law.estimator
    return "quadrature" if law.estimator == "closed form" else f"{law.estimator}, quadrature"


def _ball(law: Law, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    # Imported here, because enclosures look the laws up in this registry.
    from .balls import BALLS
    from .enclosure import enclose

    if law.name not in BALLS:
        return None
    try:
        ball = enclose(law, **arguments)
    except SignmagError:
        return None  # a perturbation of the user's own, or a value that is exactly 0
    return None if isinstance(ball, list) else ball.pair


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        return repr(value)

    return {name: plain(value) for name, value in arguments.items()}
