"""The laws in ball arithmetic, as textbooks print them: where a form cancels, precision is raised instead.

Every function takes exact rationals (`fmpq`) and works at the precision of python-flint's context. Nothing
here is shared with the stable float64 forms, so their agreement is evidence.
"""

from collections.abc import Callable
from typing import Any

from . import (
    blocks,
    columns,
    composition,
    depth,
    depth_limits,
    depth_slope,
    energies,
    outliers,
    pools,
    profile,
    proposition_1,
    rows,
    small_errors,
    theorem_3,
    weights,
    width,
)
from .pairs import PAIRS, UNDER_WEIGHTS, check_composition, composed

__all__ = ["BALLS", "PAIRS", "UNDER_WEIGHTS", "check_composition", "composed", "weights"]

_ALL: list[Callable[..., Any]] = [
    blocks.block_ratio,
    columns.column_ratio,
    columns.column_ratio_bound,
    columns.column_ratio_expansion,
    composition.network_ratio,
    depth.depth_ratios,
    depth.chain_ratios,
    depth_limits.depth_floor,
    depth_limits.residual_limit,
    depth_limits.residual_first_ratio,
    depth_slope.finite_width_depth_slope,
    energies.radial_fraction,
    energies.cosine_squared,
    energies.sign_cosine_squared,
    outliers.flip_amplification_expansion,
    outliers.flip_amplification,
    pools.pool_leverage,
    pools.profile_pool_leverage,
    profile.profile_width_ratio,
    profile.profile_width_slope,
    profile.profile_width_expansion,
    proposition_1.flip_matrix_radial_fraction,
    proposition_1.noise_matrix_radial_fraction,
    proposition_1.noise_to_flip_ratio,
    proposition_1.flip_to_shift_ratio,
    rows.finite_rows_ratio,
    rows.finite_rows_radial_fraction,
    small_errors.radial_fraction_expansion,
    theorem_3.transverse_ratio,
    theorem_3.paper_transverse_ratio,
    theorem_3.paper_transverse_ratio_as_printed,
    theorem_3.paper_transverse_ratio_error,
    theorem_3.transverse_ratio_limit,
    theorem_3.transverse_ratio_root_coefficient,
    theorem_3.transverse_ratio_rate_coefficient,
    theorem_3.transverse_ratio_expansion,
    width.finite_width_ratio,
    width.finite_width_slope,
    width.finite_width_saturation,
    width.finite_width_expansion,
    width.finite_width_saturation_expansion,
]

BALLS: dict[str, Callable[..., Any]] = {function.__name__: function for function in _ALL}
"""The laws that have a closed form, a finite sum, a finite recursion or a bounded quadrature, by name."""
