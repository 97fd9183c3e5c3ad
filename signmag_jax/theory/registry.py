"""The laws by name: what the command line and the ledger ask for.

Where its arguments lie in the intervals named here, a law is right to 1e-12, relative, or raises `Incomplete`
where float64 does not hold its value, or terms cancel to less.
"""

import inspect
from collections.abc import Callable
from typing import Any

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval

from . import (
    arguments,
    blocks,
    columns,
    composition,
    depth,
    depth_limits,
    depth_slope,
    depth_width,
    energies,
    network,
    outliers,
    pools,
    profile,
    proposition_1,
    rows,
    small_errors,
    theorem_3,
    width,
)
from .activations import ACTIVATIONS
from .law import Domain, Law

COUNT = Interval(1.0, depth.MOST_LAYERS, fix="pass a positive integer")
DOMAINS: dict[str, Domain] = {
    "rate": arguments.RATE,
    "weights": None,
    "perturbation": None,
    "activation": tuple(ACTIVATIONS),
    "scale": arguments.SCALE,
    "gated": blocks.GATED,
    "norm": blocks.NORMS,
    "depth": COUNT,
    "residual": (False, True),
    "chain": depth.CHAINS,
    "layers": depth.LAYERS,
    "network": None,
    "difference": network.DIFFERENCES,
    "n": width.WIDTH,
    "rows": rows.ROWS,
    "outputs": rows.OUTPUTS,
    "x": profile.INPUT,
    "alpha": outliers.AMPLITUDE,
    "share": columns.SHARE,
    "fraction": columns.FRACTION,
    "alpha_squared": pools.NOT_NEGATIVE,
    "column_norm_squared": pools.NOT_NEGATIVE,
    "pool": None,
    "match": pools.MATCHES,
    "measure": pools.MEASURES,
}
"""Where an argument may lie, by its name, in every law that says nothing else of it."""


def _law(
    function: Callable[..., Any],
    source: str,
    estimator: str = "closed form",
    expansion: str | None = None,
    **own: Domain,
) -> Law:
    """The law of a function whose arguments lie in `DOMAINS`, but for its own."""
    domains = DOMAINS | own
    known = {name: domains[name] for name in inspect.signature(function).parameters}
    return Law(function, known, source, estimator, expansion=expansion)


_ALL = [
    _law(theorem_3.transverse_ratio, "Theorem 3, exact", expansion="transverse_ratio_expansion"),
    _law(theorem_3.paper_transverse_ratio, "Theorem 3, the paper's"),
    _law(theorem_3.paper_transverse_ratio_as_printed, "table of Theorem 3, the paper's"),
    _law(theorem_3.paper_transverse_ratio_error, "Theorem 3", rate=arguments.NORMAL_RATE),
    _law(theorem_3.transverse_ratio_limit, "Theorem 3"),
    _law(theorem_3.transverse_ratio_root_coefficient, "Theorem 3"),
    _law(theorem_3.transverse_ratio_rate_coefficient, "Theorem 3"),
    _law(theorem_3.transverse_ratio_expansion, "Theorem 3", rate=theorem_3.EXPANDED_RATE),
    _law(energies.radial_fraction, "Theorem 4", expansion="radial_fraction_expansion"),
    _law(blocks.block_ratio, "gated blocks, LayerNorm"),
    _law(energies.cosine_squared, "Theorem 4"),
    _law(energies.sign_cosine_squared, "Theorem 4"),
    _law(
        proposition_1.flip_matrix_radial_fraction,
        "Proposition 1",
        rate=proposition_1.ANY_RATE,
        rows=proposition_1.WIDTH,
    ),
    _law(proposition_1.noise_matrix_radial_fraction, "Proposition 1", rows=proposition_1.WIDTH),
    _law(proposition_1.noise_to_flip_ratio, "Proposition 1", rate=proposition_1.BELOW_ONE),
    _law(proposition_1.flip_to_shift_ratio, "Proposition 1, with the shift"),
    _law(depth.depth_ratios, "depth recursion", "recursion"),
    _law(depth.chain_ratios, "depth recursion, V2 and V3", "recursion"),
    _law(composition.network_ratio, "composition of layers", "recursion"),
    _law(depth_limits.depth_floor, "depth recursion"),
    _law(depth_limits.residual_limit, "depth recursion, residual"),
    _law(depth_limits.residual_first_ratio, "depth recursion, residual"),
    _law(width.finite_width_ratio, "flips per row", "quadrature", "finite_width_expansion"),
    _law(width.finite_width_slope, "flips per row", rate=arguments.NORMAL_RATE),
    _law(width.finite_width_expansion, "flips per row"),
    _law(width.finite_width_saturation_expansion, "flips per row", n=width.EXPANDED_WIDTH),
    _law(profile.profile_width_expansion, "flips per row, one input"),
    _law(small_errors.radial_fraction_expansion, "small errors"),
    _law(
        outliers.flip_amplification_expansion,
        "outliers",
        alpha=outliers.EXPANDED_AMPLITUDE,
        n=outliers.EXPANDED_WIDTH,
    ),
    _law(width.finite_width_saturation, "flips per row", "quadrature", "finite_width_saturation_expansion"),
    _law(depth_width.finite_width_depth_ratios, "flips per row, layer by layer", "recursion, quadrature"),
    _law(
        depth_slope.finite_width_depth_slope,
        "rows and their fourth cumulants, layer by layer",
        "recursion",
        rate=depth_slope.RATE,
    ),
    _law(profile.profile_width_ratio, "flips per row, one input", "quadrature", "profile_width_expansion"),
    _law(profile.profile_width_slope, "flips per row, one input", rate=arguments.NORMAL_RATE),
    _law(rows.finite_rows_ratio, "1/m terms"),
    _law(rows.finite_rows_radial_fraction, "1/m and 1/d terms"),
    _law(outliers.flip_amplification, "outliers", expansion="flip_amplification_expansion", n=outliers.WIDTH),
    _law(pools.pool_leverage, "outliers"),
    _law(pools.profile_pool_leverage, "outliers, one input", "quadrature", match=pools.MATCHES[:2]),
    _law(columns.column_ratio, "outliers, R_col", expansion="column_ratio_expansion"),
    _law(columns.column_ratio_bound, "outliers, R_col; assumes a minority pool"),
    _law(columns.column_ratio_expansion, "outliers, R_col", rate=columns.EXPANDED_RATE),
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
