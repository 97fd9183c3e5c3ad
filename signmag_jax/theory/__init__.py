"""Predicted: every law exact at finite rate, in float64, differentiable, enclosed and proved."""

import importlib
from typing import Any

from .activations import ACTIVATIONS, Activation, leaky_relu, smooth
from .blocks import block_ratio, centred, gated
from .checks import checked
from .columns import column_ratio, column_ratio_bound, column_ratio_expansion
from .composition import network_ratio
from .cumulants import FourthCumulants, flip_cumulants, kernel_change, shift_cumulants
from .depth import Parting, chain, chain_ratios, depth_ratios
from .depth_limits import depth_floor, residual_first_ratio, residual_limit
from .depth_slope import finite_width_depth_slope
from .depth_width import finite_width_depth_ratios
from .enclosure import Ball, enclose
from .energies import BlockEnergies, block, cosine_squared, radial_fraction, sign_cosine_squared
from .estimates import estimate
from .gated_width import gated_width_ratio
from .layers import Dense, Layer, LayerNorm, RMSNorm
from .network import Gate, Network, Residual, serial
from .outliers import flip_amplification, flip_amplification_expansion
from .pools import pool_leverage, profile_pool_leverage
from .profile import (
    infinite_width_holds,
    profile_width_expansion,
    profile_width_gap,
    profile_width_ratio,
    profile_width_slope,
)
from .proposition_1 import (
    flip_matrix_radial_fraction,
    flip_to_shift_ratio,
    noise_matrix_radial_fraction,
    noise_to_flip_ratio,
)
from .registry import LAWS, Law
from .rise import first_fall
from .rows import finite_rows_radial_fraction, finite_rows_ratio
from .small_errors import radial_fraction_expansion
from .theorem_3 import (
    matched_noise,
    matched_shift,
    paper_transverse_ratio,
    paper_transverse_ratio_as_printed,
    paper_transverse_ratio_error,
    transverse_ratio,
    transverse_ratio_expansion,
    transverse_ratio_limit,
    transverse_ratio_rate_coefficient,
    transverse_ratio_root_coefficient,
)
from .width import (
    finite_width_expansion,
    finite_width_ratio,
    finite_width_saturation,
    finite_width_saturation_expansion,
    finite_width_slope,
)

__all__ = [
    "ACTIVATIONS",
    "LAWS",
    "Activation",
    "Ball",
    "BlockEnergies",
    "Dense",
    "FourthCumulants",
    "Gate",
    "Law",
    "Layer",
    "LayerNorm",
    "Network",
    "Parting",
    "RMSNorm",
    "Residual",
    "block",
    "block_ratio",
    "centred",
    "chain",
    "chain_ratios",
    "checked",
    "column_ratio",
    "column_ratio_bound",
    "column_ratio_expansion",
    "cosine_squared",
    "depth_floor",
    "depth_ratios",
    "enclose",
    "estimate",
    "finite_rows_radial_fraction",
    "finite_rows_ratio",
    "finite_width_depth_ratios",
    "finite_width_depth_slope",
    "finite_width_expansion",
    "finite_width_ratio",
    "finite_width_saturation",
    "finite_width_saturation_expansion",
    "finite_width_slope",
    "first_fall",
    "flip_amplification",
    "flip_amplification_expansion",
    "flip_cumulants",
    "flip_matrix_radial_fraction",
    "flip_to_shift_ratio",
    "gated",
    "gated_width_ratio",
    "infinite_width_holds",
    "kernel_change",
    "leaky_relu",
    "matched_noise",
    "matched_shift",
    "network_ratio",
    "noise_matrix_radial_fraction",
    "noise_to_flip_ratio",
    "paper_transverse_ratio",
    "paper_transverse_ratio_as_printed",
    "paper_transverse_ratio_error",
    "pool_leverage",
    "profile_pool_leverage",
    "profile_width_expansion",
    "profile_width_gap",
    "profile_width_ratio",
    "profile_width_slope",
    "radial_fraction",
    "radial_fraction_expansion",
    "residual_first_ratio",
    "residual_limit",
    "serial",
    "shift_cumulants",
    "sign_cosine_squared",
    "smooth",
    "transverse_ratio",
    "transverse_ratio_expansion",
    "transverse_ratio_limit",
    "transverse_ratio_rate_coefficient",
    "transverse_ratio_root_coefficient",
]

# Proving needs SymPy, which takes longer to import than most laws to compute.
_LAZY = {"Proof": "proof", "ProofResult": "proof", "prove": "proof"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
