"""The radial fraction of small errors in ball arithmetic."""

from flint import arb

from signmag_jax.theory.arguments import check_small_error

from .pairs import Pair


def radial_fraction_expansion(perturbation: Pair) -> arb:
    """(drift + G)²/η·(1 + x + x²)."""
    c, v = perturbation
    noise, size = v - c**2, v + 1 - 2 * c
    check_small_error(float(size.mid()))
    gap = noise * noise.nonnegative_part().sqrt() / (3 * arb.pi())
    contraction = 2 * gap / size
    return (c - 1 + gap) ** 2 / size * (1 + contraction + contraction**2)
