"""Whether a grid resolves an activation: by two quadratures, Stein's identity and Taylor's formula."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from .quadrature import LEGENDRE, LEGENDRE_WEIGHTS, REACH, Rule

TRAPEZOID = 1 << 15
# Nodes that no kink is likely to lie on: there a trapezoidal rule would not see it.
OFFSET = 0.3819660112501051
TOLERANCE = 1e-12


@functools.lru_cache(maxsize=256)
def agrees(rule: Rule, size: float) -> bool:
    """Whether a rule integrates an activation at pre-activations of this deviation to 1e-12.

    The panels against an independent trapezoidal rule, for what the second moments and their derivatives are
    made of; Stein's identity E xf(x) = E f'(x), which a derivative that lacks a jump breaks; Taylor's formula
    within reach; and hardly anything beyond the grid.
    """
    # Numbers even where a caller traces: Python decides by them which grid is compiled.
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        x, weight = (np.asarray(a) for a in rule.grid.axis(jnp.zeros(()), jnp.asarray(rule.analytic / size)))
        step = 2 * (REACH + 1) / TRAPEZOID
        even = step * (np.arange(TRAPEZOID) + OFFSET) - (REACH + 1)
        compute = jax.jit(lambda z: (rule.function(z), rule.derivative(z), rule.curvature(z)))
        panels, evenly = (tuple(map(np.asarray, compute(size * nodes))) for nodes in (x, even))
        moved = _taylor_error(rule, x, weight, size)
    if not all(np.all(np.isfinite(values)) for values in (*panels, *evenly)):
        return False
    density = step * np.exp(-(even**2) / 2) / math.sqrt(2 * math.pi)
    mine, theirs = _integrals(x, weight, *panels), _integrals(even, density, *evenly)
    square = evenly[0] ** 2 * density
    return bool(
        np.all(np.abs(mine[0] - theirs[0]) <= TOLERANCE * mine[1])
        and _stein(mine, size)
        and moved <= TOLERANCE * np.sqrt(mine[1][0])
        and np.sum(square[np.abs(even) > REACH]) <= TOLERANCE * np.sum(square)
    )


def _integrals(
    x: np.ndarray, weight: np.ndarray, f: np.ndarray, df: np.ndarray, ddf: np.ndarray
) -> np.ndarray:
    """Expectations, and those of the absolute values."""
    products = np.stack([f**2, df**2, ddf**2, f * df, df * ddf, x * f**2, x * df**2])
    return np.stack([products @ weight, np.abs(products) @ weight])


def _stein(integrals: np.ndarray, size: float) -> bool:
    (_, _, _, first, second, *tilted), sizes = integrals
    pairs = ((tilted[0], first, sizes[5]), (tilted[1], second, sizes[6]))
    return all(abs(t - 2 * size * d) <= 10 * TOLERANCE * s for t, d, s in pairs)


def _taylor_error(rule: Rule, x: np.ndarray, weight: np.ndarray, size: float) -> float:
    """Root mean square of φ(z + m) − φ(z) − mφ'(z) − m²∫(1−t)φ''(z + tm) over z, for moves within reach."""
    nodes, shares = (1 + LEGENDRE) / 2, LEGENDRE_WEIGHTS / 2

    @jax.jit
    def residue(z: jax.Array, m: jax.Array) -> jax.Array:
        bends = (
            float(w * (1 - t)) * rule.curvature(z + float(t) * m) for t, w in zip(nodes, shares, strict=True)
        )
        return rule.function(z + m) - rule.function(z) - m * rule.derivative(z) - m**2 * sum(bends, 0 * z)

    # No move is longer than the grid is wide.
    longest = min(rule.grid.reach, 2 * REACH * size)
    residues = [np.asarray(residue(size * x, np.full_like(x, longest * share))) for share in (-1.0, 0.5, 1.0)]
    return max(float(np.sqrt(error**2 @ weight)) for error in residues)
