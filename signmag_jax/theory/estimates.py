"""A law's value as the `Estimate` that leaves the theory."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from signmag_jax.evidence import Estimate, SignmagError
from signmag_jax.perturb import Compose

from .activations import find_activation
from .law import Law
from .registry import find


def estimate(law: str | Law, **arguments: Any) -> Estimate:
    """An exact `Estimate` of a law: standard error 0, with the law and its arguments as provenance.

    Args:
      law: a name in `LAWS`.
      **arguments: the law's own, concrete.

    Raises:
      InvalidInput: for an unknown law, or arguments that do not fit it.
    """
    found = find(law)
    value = found(**arguments)
    provenance = {"law": found.name, "source": found.source, "arguments": _plain(arguments)}
    ball = _ball(found, arguments) if np.ndim(value) == 0 else None
    estimator = _estimator(found, arguments)
    return Estimate.exact(value, unit=found.unit, estimator=estimator, provenance=provenance, enclosure=ball)


def _estimator(law: Law, arguments: Mapping[str, Any]) -> str:
    """The law's own, unless the activation or a composition of perturbations is integrated numerically."""
    integrated = "activation" in arguments and find_activation(arguments["activation"]).by_quadrature
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
