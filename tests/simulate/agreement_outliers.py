"""Outliers: exact for a given input at every width."""

import numpy as np
from agreement import Case
from scipy import stats

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


def laplace_case(n, alpha, networks):
    """The weight at the outlier has its own law, the sum of all others is Gaussian."""
    widths = np.linspace(0.005, 29.995, 3000) / np.sqrt(2)
    masses = stats.laplace(scale=1 / np.sqrt(2)).pdf(widths)

    def energy(amplitude):
        beta = np.sqrt(1 - amplitude**2)
        t = amplitude * widths / beta
        # E(relu(y + t) − relu(y − t))² for y ~ N(0, 1): y + t where |y| < t, 2t beyond.
        between = (1 - 2 * stats.norm.sf(t)) * (1 + t**2) - 2 * t * stats.norm.pdf(t)
        return np.sum(masses * beta**2 * (between + 4 * t**2 * stats.norm.sf(t)))

    expected = {
        "amplification": (
            lambda: energy(alpha) / energy(1 / np.sqrt(n)),
            lambda: theory.flip_amplification(alpha, n),
        )
    }
    arguments = {"alpha": alpha, "rows": 1024, "inputs": 8, "weights": "laplace"}
    return Case("single_flip", f"n={n} laplace", expected, (n,), networks, arguments)


def laplace_pool_case(n, networks):
    """Flips against shifts over all columns, by the fourth cumulants of Laplace weights."""
    x = np.sqrt(simulate.profile("lognormal", n, 0.5))
    expected = {
        "everywhere_ratio": (
            lambda: theory.profile_width_ratio(0.2, x, "laplace"),
            lambda: theory.profile_width_ratio(0.2, x),
        )
    }
    arguments = {"rate": 0.2, "spread": 0.5, "rows": 512, "inputs": 64, "weights": "laplace"}
    return Case("column_pool", f"n={n} laplace", expected, (n,), networks, arguments)


def pool_case(
    n,
    networks,
    *,
    fast=False,
    rate=(0.2, 0.4),
    profile="lognormal",
    spread=1.0,
    fraction=0.1,
    match="rate",
):
    squares = simulate.profile(profile, n, spread)
    pool = np.argsort(np.argsort(squares)) >= n - round(fraction * n)
    expected = {
        "leverage": (
            lambda: theory.profile_pool_leverage(np.asarray(rate), np.sqrt(squares), pool, match),
            lambda: np.full(len(rate), squares[pool].mean() / squares[~pool].mean()),
        )
    }
    arguments = {
        "rate": list(rate), "profile": profile, "spread": spread, "fraction": fraction, "match": match,
        "rows": 128, "inputs": 32,
    }  # fmt: skip
    label = f"n={n} {profile} {match}"
    return Case("column_pool", label, expected, (n,), networks, arguments, fast=fast)


OUTLIERS = [
    single_case(64, (0.26, 0.6), 500, fast=True),
    single_case(24, (0.4, 0.8), 800),
    pool_case(64, 150, fast=True),
    pool_case(96, 300, profile="student", spread=3.0, match="count", fraction=0.25),
    pool_case(128, 300, spread=0.5, match="count", fraction=0.25),
    laplace_case(256, 0.6, 200),
    laplace_pool_case(128, 100),
]
