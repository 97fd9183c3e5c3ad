"""Single flips in ball arithmetic."""

from flint import arb, fmpq

from .activations import kappa


def lost(square: fmpq) -> arb:
    """1 − J(1 − 2α²)."""
    return 1 - 2 * kappa(arb(1 - 2 * square), arb(1))


def flip_amplification(alpha: fmpq, n: fmpq) -> arb:
    """R(α, n)."""
    return lost(alpha * alpha) / lost(1 / n)


def flip_amplification_expansion(alpha: fmpq, n: fmpq) -> arb:
    """nα²[1 − (4/(3π))(α − 1/√n)]."""
    return n * alpha * alpha * (1 - 4 / (3 * arb.pi()) * (alpha - 1 / arb(n).sqrt()))
