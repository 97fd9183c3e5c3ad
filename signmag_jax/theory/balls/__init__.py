"""The laws in ball arithmetic, as textbooks print them: where a form cancels, precision is raised instead.

Every function takes exact rationals (`fmpq`) and works at the precision of python-flint's context. Nothing
here is shared with the stable float64 forms, so their agreement is evidence.
"""

from collections.abc import Callable
from typing import Any

from flint import arb

from . import block, depth, outliers, width
from .pairs import PAIRS, check_composition, composed

__all__ = ["BALLS", "PAIRS", "check_composition", "composed"]

BALLS: dict[str, Callable[..., Any]] = {
    "transverse_ratio": block.transverse_ratio,
    "paper_transverse_ratio": block.paper_transverse_ratio,
    "paper_transverse_ratio_as_printed": block.paper_transverse_ratio_as_printed,
    "paper_transverse_ratio_error": lambda rate: (
        block.paper_transverse_ratio(rate) - block.transverse_ratio(rate)
    ),
    "transverse_ratio_limit": block.limit,
    "transverse_ratio_root_coefficient": block.root_coefficient,
    "transverse_ratio_rate_coefficient": block.rate_coefficient,
    "transverse_ratio_expansion": block.transverse_ratio_expansion,
    "radial_fraction": block.radial_fraction,
    "cosine_squared": block.cosine_squared,
    "sign_cosine_squared": lambda: 2 / arb.pi(),
    "flip_matrix_radial_fraction": lambda rate, rows: arb(rate + (1 - rate) / rows),
    "noise_matrix_radial_fraction": lambda rows: arb(1 / rows),
    "noise_to_flip_ratio": lambda rate: arb(1 / (1 - rate)),
    "flip_to_shift_ratio": lambda rate: (1 - rate) * arb.pi() / (arb.pi() - 2),
    "depth_ratios": depth.depth_ratios,
    "chain_ratios": depth.chain_ratios,
    "depth_floor": depth.depth_floor,
    "residual_limit": depth.residual_limit,
    "residual_first_ratio": depth.residual_first_ratio,
    "finite_width_ratio": width.finite_width_ratio,
    "finite_width_slope": width.finite_width_slope,
    "finite_width_saturation": width.finite_width_saturation,
    "profile_width_ratio": width.profile_width_ratio,
    "profile_width_slope": width.profile_width_slope,
    "finite_width_expansion": width.finite_width_expansion,
    "finite_width_saturation_expansion": width.finite_width_saturation_expansion,
    "profile_width_expansion": width.profile_width_expansion,
    "radial_fraction_expansion": block.radial_fraction_expansion,
    "flip_amplification_expansion": outliers.flip_amplification_expansion,
    "finite_rows_ratio": block.finite_rows_ratio,
    "finite_rows_radial_fraction": block.finite_rows_radial_fraction,
    "flip_amplification": outliers.flip_amplification,
    "pool_leverage": outliers.pool_leverage,
    "profile_pool_leverage": width.profile_pool_leverage,
    "column_ratio": outliers.column_ratio,
    "column_ratio_bound": outliers.column_ratio_bound,
    "column_ratio_expansion": outliers.column_ratio_expansion,
}
"""The laws that have a closed form, a finite sum, a finite recursion or a bounded quadrature, by name."""
