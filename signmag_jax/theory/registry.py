"""The laws by name: what the command line and the ledger ask for."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from signmag_jax.evidence import Estimate, SignmagError, invalid
from signmag_jax.evidence.domain import Interval

from . import depth, energies, outliers, paper, rows, theorems, width
from .activations import ACTIVATIONS


@dataclass(frozen=True)
class Law:
    """One law of the theory.

    Args:
      name: its name in `LAWS`.
      function: the float64 array function.
      arguments: its arguments in order, each with where it may lie, or the values it may take, or None.
      source: where the law comes from.
      estimator: "closed form", "recursion" or "quadrature".
      unit: of the value.
    """

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Interval | tuple[Any, ...] | None] = field(default_factory=dict)
    source: str = ""
    estimator: str = "closed form"
    unit: str = "1"

    @property
    def doc(self) -> str:
        """The first line of the function's documentation: the formula in words."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def required(self) -> tuple[str, ...]:
        """The arguments without a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is inspect.Parameter.empty)

    def __call__(self, **arguments: Any) -> Any:
        """The value, after a check that the names of the arguments fit.

        Raises:
          InvalidInput: for a missing or unknown argument, or a value outside its domain.
        """
        self.check(arguments)
        return self.function(**arguments)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments whose names do not fit.

        Raises:
          InvalidInput: for a missing or unknown argument, or an option that is none of those allowed.
        """
        unknown = sorted(set(arguments) - set(self.arguments))
        missing = [name for name in self.required if name not in arguments]
        if unknown or missing:
            wanted = f"arguments of {self.name} are ({', '.join(self.arguments)})"
            raise invalid(wanted, sorted(arguments), "pass these by name, each required one once")
        for name, value in arguments.items():
            allowed = self.arguments[name]
            if isinstance(allowed, tuple) and value not in allowed:
                raise invalid(f"{name} in {allowed}", value, "choose one of these")


COUNT = Interval(1.0, fix="pass a positive integer")
FLAG = (False, True)
ACTIVATED = {"activation": tuple(ACTIVATIONS), "scale": energies.SCALE}
CHAIN = {"rate": energies.RATE, "depth": COUNT}

_ALL = [
    Law("transverse_ratio", energies.transverse_ratio, {"rate": energies.RATE}, "Theorem 3, exact"),
    Law(
        "paper_transverse_ratio",
        paper.paper_transverse_ratio,
        {"rate": energies.RATE},
        "Theorem 3, the paper's",
    ),
    Law(
        "paper_transverse_ratio_as_printed",
        paper.paper_transverse_ratio_as_printed,
        {"rate": energies.RATE},
        "table of Theorem 3, the paper's",
    ),
    Law(
        "paper_transverse_ratio_error",
        paper.paper_transverse_ratio_error,
        {"rate": energies.RATE},
        "Theorem 3",
    ),
    Law("transverse_ratio_limit", theorems.transverse_ratio_limit, {}, "Theorem 3"),
    Law("transverse_ratio_root_coefficient", theorems.transverse_ratio_root_coefficient, {}, "Theorem 3"),
    Law("transverse_ratio_rate_coefficient", theorems.transverse_ratio_rate_coefficient, {}, "Theorem 3"),
    Law(
        "transverse_ratio_expansion",
        theorems.transverse_ratio_expansion,
        {"rate": energies.RATE},
        "Theorem 3",
    ),
    Law(
        "radial_fraction",
        energies.radial_fraction,
        {"perturbation": None, **ACTIVATED},
        "Theorem 4",
    ),
    Law("cosine_squared", energies.cosine_squared, {"perturbation": None}, "Theorem 4"),
    Law("sign_cosine_squared", theorems.sign_cosine_squared, {}, "Theorem 4"),
    Law(
        "flip_matrix_radial_fraction",
        theorems.flip_matrix_radial_fraction,
        {"rate": theorems.ANY_RATE, "rows": theorems.WIDTH},
        "Proposition 1",
    ),
    Law(
        "noise_matrix_radial_fraction",
        theorems.noise_matrix_radial_fraction,
        {"rows": theorems.WIDTH},
        "Proposition 1",
    ),
    Law("noise_to_flip_ratio", theorems.noise_to_flip_ratio, {"rate": theorems.BELOW_ONE}, "Proposition 1"),
    Law(
        "flip_to_shift_ratio",
        theorems.flip_to_shift_ratio,
        {"rate": energies.RATE},
        "Proposition 1, with the shift",
    ),
    Law(
        "depth_ratios",
        depth.depth_ratios,
        {
            **CHAIN,
            "residual": FLAG,
            "layers": depth.LAYERS,
            **ACTIVATED,
        },
        "depth recursion",
        "recursion",
    ),
    Law(
        "chain_ratios",
        depth.chain_ratios,
        {
            **CHAIN,
            "chain": depth.CHAINS,
            "layers": depth.LAYERS,
            **ACTIVATED,
        },
        "depth recursion, V2 and V3",
        "recursion",
    ),
    Law("depth_floor", theorems.depth_floor, {}, "depth recursion"),
    Law(
        "finite_width_ratio",
        width.finite_width_ratio,
        {"rate": energies.RATE, "n": width.WIDTH},
        "flips per row",
        "quadrature",
    ),
    Law("finite_width_slope", width.finite_width_slope, {"rate": energies.RATE}, "flips per row"),
    Law(
        "finite_width_saturation",
        width.finite_width_saturation,
        {"n": width.WIDTH},
        "flips per row",
        "quadrature",
    ),
    Law(
        "finite_rows_ratio",
        rows.finite_rows_ratio,
        {"rate": energies.RATE, "rows": rows.ROWS},
        "1/m terms",
    ),
    Law(
        "finite_rows_radial_fraction",
        rows.finite_rows_radial_fraction,
        {"perturbation": None, "rows": rows.ROWS, "outputs": rows.ROWS},
        "1/m and 1/d terms",
    ),
    Law(
        "flip_amplification",
        outliers.flip_amplification,
        {"alpha": outliers.AMPLITUDE, "n": outliers.WIDTH},
        "outliers",
    ),
    Law(
        "pool_leverage",
        outliers.pool_leverage,
        {"alpha_squared": outliers.NOT_NEGATIVE, "column_norm_squared": outliers.NOT_NEGATIVE, "pool": None},
        "outliers",
    ),
]

LAWS: dict[str, Law] = {law.name: law for law in _ALL}


def find(law: str | Law) -> Law:
    """The law of that name.

    Raises:
      InvalidInput: for an unknown name.
    """
    if isinstance(law, Law):
        return law
    if law not in LAWS:
        raise invalid("law is a name in theory.LAWS", law, f"choose one of {', '.join(sorted(LAWS))}")
    return LAWS[law]


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
    return Estimate.exact(
        value, unit=found.unit, estimator=found.estimator, provenance=provenance, enclosure=ball
    )


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
