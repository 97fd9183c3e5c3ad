"""Every measurement by the name that the command line gives it."""

from __future__ import annotations

import functools

from . import costs, inputs, option_checks
from .activations import alpha
from .all_columns import all_columns
from .attacks import attacks, check_game
from .column_flips import column_flips
from .column_map import columns
from .control import controlled
from .deciding import SHORTLIST_PASSES, deciding_weights
from .error_response import error_response
from .flip_energies import flip_energies
from .incoherent import incoherent_errors
from .leverage import leverage
from .loss import nll
from .measurement import Measurement
from .metrics import metrics
from .outlier_definitions import outlier_definitions
from .outlier_flips import check_rate, outlier_flips
from .plan import check_plan, plan
from .plan_costs import DERIVATIVE_PASSES
from .protect import checked as checked_protection
from .protect import protect
from .quantization import quantization
from .quantization_report import checked_options, quantization_report
from .response import linear_response
from .rotation import rotation
from .sensitivity import check_counts, sensitivity
from .trained_chain import trained_chain

derivatives = functools.partial(Measurement, arrays=3, float32_arrays=0.5)
"""A measurement that holds the weights, the costs by which single ones are chosen, and a gradient.

The half array is what `columns` was measured to take in bfloat16 beyond these.
"""
PROTECT_ARRAYS, PROTECT_COSTS = 2, 1.3
"""Weights and squares of derivatives; in float32 the predicted costs, those of the largest matrices twice."""
ERROR_ARRAYS = 5
"""Weights, an error, the error with random signs, the gradient and its derivative along that."""

MINIMUM, FEWEST = inputs.MINIMUM_WINDOWS, inputs.FEWEST_CALIBRATION
# Columns, then a backward pass of each window for the single weights.
RESPONSE_CALIBRATIONS = 1 + SHORTLIST_PASSES
RESPONSE = (costs.linear_response, RESPONSE_CALIBRATIONS, 2)
SCREENED = {"check": option_checks.response, "fixed": costs.response_screening}

MEASUREMENTS: dict[str, Measurement] = {
    "nll": Measurement(nll, costs.once),
    "alpha": Measurement(alpha, costs.once, fewest=FEWEST),
    "leverage": derivatives(
        leverage,
        costs.leverage,
        1 + SHORTLIST_PASSES,
        MINIMUM,
        check=option_checks.leverage,
        fixed=costs.screening,
    ),
    "quantization": Measurement(quantization, costs.once, fewest=FEWEST),
    "all-columns": Measurement(
        all_columns, costs.all_columns, fewest=MINIMUM, check=option_checks.all_columns
    ),
    "metrics": Measurement(metrics, costs.metrics, fewest=MINIMUM, check=option_checks.metrics),
    "outlier-flips": Measurement(outlier_flips, costs.outlier_flips, 1, MINIMUM, check=check_rate),
    "column-flips": Measurement(column_flips, costs.column_flips, 1, MINIMUM),
    "flip-energies": Measurement(flip_energies, costs.flip_energies, 1, FEWEST, check=check_rate),
    # No window is read: a few matrices meet a few hundred inputs.
    "trained-chain": Measurement(trained_chain, lambda: 0, check=option_checks.chain),
    "quantization-report": Measurement(
        quantization_report,
        costs.quantization_report,
        1,
        MINIMUM,
        check=checked_options,
        fixed=costs.quantization_trials,
    ),
    "outlier-definitions": Measurement(
        outlier_definitions, costs.outlier_definitions, 2, MINIMUM, check=option_checks.one_rate
    ),
    "rotation": Measurement(rotation, costs.rotation, 4, MINIMUM, arrays=2, check=option_checks.one_rate),
    "linear-response": derivatives(linear_response, *RESPONSE, **SCREENED),
    "columns": derivatives(columns, *RESPONSE, **SCREENED),
    "deciding-weights": derivatives(
        deciding_weights,
        costs.deciding_weights,
        SHORTLIST_PASSES + RESPONSE_CALIBRATIONS,
        2,
        check=option_checks.deciding,
        fixed=costs.deciding_search,
    ),
    "sensitivity": derivatives(
        sensitivity, costs.sensitivity, 1, 2, check=check_counts, fixed=costs.own_response
    ),
    "incoherent-errors": Measurement(
        incoherent_errors, costs.incoherent_errors, fewest=2, arrays=2, check=check_rate
    ),
    "attacks": derivatives(
        attacks, costs.attacks, RESPONSE_CALIBRATIONS, 2, check=check_game, fixed=costs.attack_search
    ),
    "error-response": Measurement(
        error_response, costs.error_response, fewest=2, arrays=ERROR_ARRAYS, check=option_checks.errors
    ),
}
"""The measurements by their names on the command line."""

CONTROLLED = Measurement(controlled, costs.controlled, arrays=2)
"""The control variate of a leverage, which is no command of its own."""

PLAN = Measurement(plan, costs.plan, DERIVATIVE_PASSES, MINIMUM, ERROR_ARRAYS, check_plan, costs.plan_trials)
"""The verb `signmag plan`."""

PROTECT = Measurement(
    protect,
    costs.protect,
    # Activations, and a backward pass of each window.
    1 + SHORTLIST_PASSES,
    MINIMUM,
    PROTECT_ARRAYS,
    checked_protection,
    costs.protect_screening,
    float32_arrays=PROTECT_COSTS,
)
"""The verb `signmag protect`."""
