"""Outliers: exact for a given input at every width."""

import numpy as np
from agreement import Case

from signmag_jax import simulate, theory


def single_case(n, alpha, networks, *, fast=False):
    alphas = np.asarray(alpha)
    expected = {
        "amplification": (
            lambda: theory.flip_amplification(alphas, n),
            lambda: n * alphas**2 * (1 - 4 * alphas / (3 * np.pi)),
        )
    }
    arguments = {"alpha": list(alpha), "rows": 256, "inputs": 32}
    return Case("single_flip", f"n={n} α={alpha}", expected, (n,), networks, arguments, fast=fast)


def pool_case(
    n,
    networks,
    *,
    fast=False,
    rate=(0.2, 0.4),
    profile="lognormal",
    spread=1.0,
    fraction=0.1,
    matching="rate",
):
    squares = simulate.profile(profile, n, spread)
    pool = np.argsort(np.argsort(squares)) >= n - round(fraction * n)
    expected = {
        "leverage": (
            lambda: theory.profile_pool_leverage(np.asarray(rate), np.sqrt(squares), pool, matching),
            lambda: np.full(len(rate), squares[pool].mean() / squares[~pool].mean()),
        )
    }
    arguments = {
        "rate": list(rate), "profile": profile, "spread": spread, "fraction": fraction, "matching": matching,
        "rows": 128, "inputs": 32,
    }  # fmt: skip
    label = f"n={n} {profile} {matching}"
    return Case("column_pool", label, expected, (n,), networks, arguments, fast=fast)


OUTLIERS = [
    single_case(64, (0.26, 0.6), 500, fast=True),
    single_case(24, (0.4, 0.8), 800),
    pool_case(64, 150, fast=True),
    pool_case(96, 300, profile="student", spread=3.0, matching="count", fraction=0.25),
    pool_case(128, 300, spread=0.5, matching="count", fraction=0.25),
]
