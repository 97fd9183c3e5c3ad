"""The laws by name: what the command line and the ledger ask for.

Where its arguments lie in the intervals named here, a law is right to 1e-12, relative, or raises `Incomplete`
where float64 does not hold its value, or terms cancel to less.
"""

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
from .law import Law

COUNT = Interval(1.0, depth.MOST_LAYERS, fix="pass a positive integer")
FLAG = (False, True)
ACTIVATED = {"activation": tuple(ACTIVATIONS), "scale": arguments.SCALE}
WEIGHTS = {"weights": None}
CHAIN = {"rate": arguments.RATE, "depth": COUNT}

_ALL = [
    Law(
        "transverse_ratio",
        theorem_3.transverse_ratio,
        {"rate": arguments.RATE, **WEIGHTS},
        "Theorem 3, exact",
        expansion="transverse_ratio_expansion",
    ),
    Law(
        "paper_transverse_ratio",
        theorem_3.paper_transverse_ratio,
        {"rate": arguments.RATE},
        "Theorem 3, the paper's",
    ),
    Law(
        "paper_transverse_ratio_as_printed",
        theorem_3.paper_transverse_ratio_as_printed,
        {"rate": arguments.RATE},
        "table of Theorem 3, the paper's",
    ),
    Law(
        "paper_transverse_ratio_error",
        theorem_3.paper_transverse_ratio_error,
        {"rate": arguments.NORMAL_RATE},
        "Theorem 3",
    ),
    Law("transverse_ratio_limit", theorem_3.transverse_ratio_limit, WEIGHTS, "Theorem 3"),
    Law(
        "transverse_ratio_root_coefficient",
        theorem_3.transverse_ratio_root_coefficient,
        WEIGHTS,
        "Theorem 3",
    ),
    Law(
        "transverse_ratio_rate_coefficient",
        theorem_3.transverse_ratio_rate_coefficient,
        WEIGHTS,
        "Theorem 3",
    ),
    Law(
        "transverse_ratio_expansion",
        theorem_3.transverse_ratio_expansion,
        {"rate": theorem_3.EXPANDED_RATE, **WEIGHTS},
        "Theorem 3",
    ),
    Law(
        "radial_fraction",
        energies.radial_fraction,
        {"perturbation": None, **ACTIVATED, **WEIGHTS},
        "Theorem 4",
        expansion="radial_fraction_expansion",
    ),
    Law(
        "block_ratio",
        blocks.block_ratio,
        {"rate": arguments.RATE, "gated": blocks.GATED, "norm": blocks.NORMS, **ACTIVATED, **WEIGHTS},
        "gated blocks, LayerNorm",
    ),
    Law("cosine_squared", energies.cosine_squared, {"perturbation": None, **WEIGHTS}, "Theorem 4"),
    Law("sign_cosine_squared", energies.sign_cosine_squared, WEIGHTS, "Theorem 4"),
    Law(
        "flip_matrix_radial_fraction",
        proposition_1.flip_matrix_radial_fraction,
        {"rate": proposition_1.ANY_RATE, "rows": proposition_1.WIDTH},
        "Proposition 1",
    ),
    Law(
        "noise_matrix_radial_fraction",
        proposition_1.noise_matrix_radial_fraction,
        {"rows": proposition_1.WIDTH},
        "Proposition 1",
    ),
    Law(
        "noise_to_flip_ratio",
        proposition_1.noise_to_flip_ratio,
        {"rate": proposition_1.BELOW_ONE},
        "Proposition 1",
    ),
    Law(
        "flip_to_shift_ratio",
        proposition_1.flip_to_shift_ratio,
        {"rate": arguments.RATE, **WEIGHTS},
        "Proposition 1, with the shift",
    ),
    Law(
        "depth_ratios",
        depth.depth_ratios,
        {**CHAIN, "residual": FLAG, "layers": depth.LAYERS, **ACTIVATED, **WEIGHTS},
        "depth recursion",
        "recursion",
    ),
    Law(
        "chain_ratios",
        depth.chain_ratios,
        {**CHAIN, "chain": depth.CHAINS, "layers": depth.LAYERS, **ACTIVATED, **WEIGHTS},
        "depth recursion, V2 and V3",
        "recursion",
    ),
    Law(
        "network_ratio",
        composition.network_ratio,
        {"rate": arguments.RATE, "network": None, "difference": network.DIFFERENCES},
        "composition of layers",
        "recursion",
    ),
    Law("depth_floor", depth_limits.depth_floor, WEIGHTS, "depth recursion"),
    Law(
        "residual_limit",
        depth_limits.residual_limit,
        {"rate": arguments.RATE, **WEIGHTS},
        "depth recursion, residual",
    ),
    Law("residual_first_ratio", depth_limits.residual_first_ratio, WEIGHTS, "depth recursion, residual"),
    Law(
        "finite_width_ratio",
        width.finite_width_ratio,
        {"rate": arguments.RATE, "n": width.WIDTH, **WEIGHTS},
        "flips per row",
        "quadrature",
        expansion="finite_width_expansion",
    ),
    Law(
        "finite_width_slope",
        width.finite_width_slope,
        {"rate": arguments.NORMAL_RATE, **WEIGHTS},
        "flips per row",
    ),
    Law(
        "finite_width_expansion",
        width.finite_width_expansion,
        {"rate": arguments.RATE, "n": width.WIDTH, **WEIGHTS},
        "flips per row",
    ),
    Law(
        "finite_width_saturation_expansion",
        width.finite_width_saturation_expansion,
        {"n": width.EXPANDED_WIDTH},
        "flips per row",
    ),
    Law(
        "profile_width_expansion",
        profile.profile_width_expansion,
        {"rate": arguments.RATE, "x": profile.INPUT, **WEIGHTS},
        "flips per row, one input",
    ),
    Law(
        "radial_fraction_expansion",
        small_errors.radial_fraction_expansion,
        {"perturbation": None, **WEIGHTS},
        "small errors",
    ),
    Law(
        "flip_amplification_expansion",
        outliers.flip_amplification_expansion,
        {"alpha": outliers.EXPANDED_AMPLITUDE, "n": outliers.EXPANDED_WIDTH},
        "outliers",
    ),
    Law(
        "finite_width_saturation",
        width.finite_width_saturation,
        {"n": width.WIDTH},
        "flips per row",
        "quadrature",
        expansion="finite_width_saturation_expansion",
    ),
    Law(
        "finite_width_depth_ratios",
        depth_width.finite_width_depth_ratios,
        {"rate": arguments.RATE, "depth": COUNT, "n": width.WIDTH, **WEIGHTS},
        "flips per row, layer by layer",
        "recursion, quadrature",
    ),
    Law(
        "finite_width_depth_slope",
        depth_slope.finite_width_depth_slope,
        {"rate": depth_slope.RATE, "depth": COUNT, **WEIGHTS},
        "rows and their fourth cumulants, layer by layer",
        "recursion",
    ),
    Law(
        "profile_width_ratio",
        profile.profile_width_ratio,
        {"rate": arguments.RATE, "x": profile.INPUT, **WEIGHTS},
        "flips per row, one input",
        "quadrature",
        expansion="profile_width_expansion",
    ),
    Law(
        "profile_width_slope",
        profile.profile_width_slope,
        {"rate": arguments.NORMAL_RATE, "x": profile.INPUT, **WEIGHTS},
        "flips per row, one input",
    ),
    Law(
        "finite_rows_ratio",
        rows.finite_rows_ratio,
        {"rate": arguments.RATE, "rows": rows.ROWS, **WEIGHTS},
        "1/m terms",
    ),
    Law(
        "finite_rows_radial_fraction",
        rows.finite_rows_radial_fraction,
        {"perturbation": None, "rows": rows.ROWS, "outputs": rows.OUTPUTS, **WEIGHTS},
        "1/m and 1/d terms",
    ),
    Law(
        "flip_amplification",
        outliers.flip_amplification,
        {"alpha": outliers.AMPLITUDE, "n": outliers.WIDTH},
        "outliers",
        expansion="flip_amplification_expansion",
    ),
    Law(
        "pool_leverage",
        pools.pool_leverage,
        {
            "alpha_squared": pools.NOT_NEGATIVE,
            "column_norm_squared": pools.NOT_NEGATIVE,
            "pool": None,
            "perturbation": None,
            "matching": pools.MATCHINGS,
            "measure": pools.MEASURES,
        },
        "outliers",
    ),
    Law(
        "profile_pool_leverage",
        pools.profile_pool_leverage,
        {"rate": arguments.RATE, "x": profile.INPUT, "pool": None, "matching": pools.MATCHINGS[:2]},
        "outliers, one input",
        "quadrature",
    ),
    Law(
        "column_ratio",
        columns.column_ratio,
        {"rate": arguments.RATE, "share": columns.SHARE, "fraction": columns.FRACTION},
        "outliers, R_col",
        expansion="column_ratio_expansion",
    ),
    Law(
        "column_ratio_bound",
        columns.column_ratio_bound,
        {"fraction": columns.FRACTION, "share": columns.SHARE},
        "outliers, R_col; assumes a minority pool",
    ),
    Law(
        "column_ratio_expansion",
        columns.column_ratio_expansion,
        {"rate": columns.EXPANDED_RATE, "share": columns.SHARE, "fraction": columns.FRACTION},
        "outliers, R_col",
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
