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
RATE = {"rate": arguments.RATE}
CHAIN = RATE | {"depth": COUNT}

_ALL = [
    Law(
        theorem_3.transverse_ratio, RATE | WEIGHTS, "Theorem 3, exact", expansion="transverse_ratio_expansion"
    ),
    Law(theorem_3.paper_transverse_ratio, RATE, "Theorem 3, the paper's"),
    Law(theorem_3.paper_transverse_ratio_as_printed, RATE, "table of Theorem 3, the paper's"),
    Law(theorem_3.paper_transverse_ratio_error, {"rate": arguments.NORMAL_RATE}, "Theorem 3"),
    Law(theorem_3.transverse_ratio_limit, WEIGHTS, "Theorem 3"),
    Law(theorem_3.transverse_ratio_root_coefficient, WEIGHTS, "Theorem 3"),
    Law(theorem_3.transverse_ratio_rate_coefficient, WEIGHTS, "Theorem 3"),
    Law(theorem_3.transverse_ratio_expansion, {"rate": theorem_3.EXPANDED_RATE, **WEIGHTS}, "Theorem 3"),
    Law(
        energies.radial_fraction,
        {"perturbation": None, **ACTIVATED, **WEIGHTS},
        "Theorem 4",
        expansion="radial_fraction_expansion",
    ),
    Law(
        blocks.block_ratio,
        RATE | {"gated": blocks.GATED, "norm": blocks.NORMS, **ACTIVATED, **WEIGHTS},
        "gated blocks, LayerNorm",
    ),
    Law(energies.cosine_squared, {"perturbation": None, **WEIGHTS}, "Theorem 4"),
    Law(energies.sign_cosine_squared, WEIGHTS, "Theorem 4"),
    Law(
        proposition_1.flip_matrix_radial_fraction,
        {"rate": proposition_1.ANY_RATE, "rows": proposition_1.WIDTH},
        "Proposition 1",
    ),
    Law(proposition_1.noise_matrix_radial_fraction, {"rows": proposition_1.WIDTH}, "Proposition 1"),
    Law(proposition_1.noise_to_flip_ratio, {"rate": proposition_1.BELOW_ONE}, "Proposition 1"),
    Law(proposition_1.flip_to_shift_ratio, RATE | WEIGHTS, "Proposition 1, with the shift"),
    Law(
        depth.depth_ratios,
        CHAIN | {"residual": FLAG, "layers": depth.LAYERS, **ACTIVATED, **WEIGHTS},
        "depth recursion",
        "recursion",
    ),
    Law(
        depth.chain_ratios,
        CHAIN | {"chain": depth.CHAINS, "layers": depth.LAYERS, **ACTIVATED, **WEIGHTS},
        "depth recursion, V2 and V3",
        "recursion",
    ),
    Law(
        composition.network_ratio,
        RATE | {"network": None, "difference": network.DIFFERENCES},
        "composition of layers",
        "recursion",
    ),
    Law(depth_limits.depth_floor, WEIGHTS, "depth recursion"),
    Law(depth_limits.residual_limit, RATE | WEIGHTS, "depth recursion, residual"),
    Law(depth_limits.residual_first_ratio, WEIGHTS, "depth recursion, residual"),
    Law(
        width.finite_width_ratio,
        RATE | {"n": width.WIDTH, **WEIGHTS},
        "flips per row",
        "quadrature",
        expansion="finite_width_expansion",
    ),
    Law(width.finite_width_slope, {"rate": arguments.NORMAL_RATE, **WEIGHTS}, "flips per row"),
    Law(width.finite_width_expansion, RATE | {"n": width.WIDTH, **WEIGHTS}, "flips per row"),
    Law(width.finite_width_saturation_expansion, {"n": width.EXPANDED_WIDTH}, "flips per row"),
    Law(profile.profile_width_expansion, RATE | {"x": profile.INPUT, **WEIGHTS}, "flips per row, one input"),
    Law(small_errors.radial_fraction_expansion, {"perturbation": None, **WEIGHTS}, "small errors"),
    Law(
        outliers.flip_amplification_expansion,
        {"alpha": outliers.EXPANDED_AMPLITUDE, "n": outliers.EXPANDED_WIDTH},
        "outliers",
    ),
    Law(
        width.finite_width_saturation,
        {"n": width.WIDTH},
        "flips per row",
        "quadrature",
        expansion="finite_width_saturation_expansion",
    ),
    Law(
        depth_width.finite_width_depth_ratios,
        RATE | {"depth": COUNT, "n": width.WIDTH, **WEIGHTS},
        "flips per row, layer by layer",
        "recursion, quadrature",
    ),
    Law(
        depth_slope.finite_width_depth_slope,
        {"rate": depth_slope.RATE, "depth": COUNT, **WEIGHTS},
        "rows and their fourth cumulants, layer by layer",
        "recursion",
    ),
    Law(
        profile.profile_width_ratio,
        RATE | {"x": profile.INPUT, **WEIGHTS},
        "flips per row, one input",
        "quadrature",
        expansion="profile_width_expansion",
    ),
    Law(
        profile.profile_width_slope,
        {"rate": arguments.NORMAL_RATE, "x": profile.INPUT, **WEIGHTS},
        "flips per row, one input",
    ),
    Law(rows.finite_rows_ratio, RATE | {"rows": rows.ROWS, **WEIGHTS}, "1/m terms"),
    Law(
        rows.finite_rows_radial_fraction,
        {"perturbation": None, "rows": rows.ROWS, "outputs": rows.OUTPUTS, **WEIGHTS},
        "1/m and 1/d terms",
    ),
    Law(
        outliers.flip_amplification,
        {"alpha": outliers.AMPLITUDE, "n": outliers.WIDTH},
        "outliers",
        expansion="flip_amplification_expansion",
    ),
    Law(
        pools.pool_leverage,
        {
            "alpha_squared": pools.NOT_NEGATIVE,
            "column_norm_squared": pools.NOT_NEGATIVE,
            "pool": None,
            "perturbation": None,
            "match": pools.MATCHES,
            "measure": pools.MEASURES,
        },
        "outliers",
    ),
    Law(
        pools.profile_pool_leverage,
        RATE | {"x": profile.INPUT, "pool": None, "match": pools.MATCHES[:2]},
        "outliers, one input",
        "quadrature",
    ),
    Law(
        columns.column_ratio,
        RATE | {"share": columns.SHARE, "fraction": columns.FRACTION},
        "outliers, R_col",
        expansion="column_ratio_expansion",
    ),
    Law(
        columns.column_ratio_bound,
        {"fraction": columns.FRACTION, "share": columns.SHARE},
        "outliers, R_col; assumes a minority pool",
    ),
    Law(
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
