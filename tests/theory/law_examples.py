"""Arguments at which every law has a value."""

import numpy as np

from signmag_jax.perturb import SignFlip

EXAMPLES = {
    "rate": 0.02,
    "alpha": 0.2,
    "n": 100,
    "rows": 64,
    "depth": 3,
    "share": 0.3,
    "fraction": 0.05,
    "perturbation": SignFlip(0.02),
    "alpha_squared": np.array([0.5, 0.25, 0.25]),
    "column_norm_squared": np.array([1.0, 2.0, 3.0]),
    "pool": np.array([True, False, False]),
    "network": "dense, relu, residual(rmsnorm, gate(serial(dense, relu), dense), dense), rmsnorm",
    "x": np.array([1.0, -2.0, 0.5]),
}
# Expansions in many flips a row.
MANY_FLIPS = {
    "finite_width_expansion": {"rate": 0.4},
    "profile_width_expansion": {"rate": 0.4, "x": np.ones(4)},
}


def arguments(law):
    """Those that the law needs, by name."""
    return {name: EXAMPLES[name] for name in law.required} | MANY_FLIPS.get(law.name, {})
