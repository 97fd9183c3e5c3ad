"""Moments of the weights' own distribution in ball arithmetic, from their densities."""

from typing import NamedTuple

from flint import arb, fmpq

from signmag_jax.theory.arguments import check_first_order, check_known


class Weights(NamedTuple):
    """E|w|, E|w|³ and E w⁴ in units of σ; None where they are not known or infinite."""

    b: arb
    third: arb | None = None
    fourth: arb | None = None


def named(name: str) -> Weights:
    """Gaussian, Laplace and uniform weights."""
    if name == "laplace":
        # Of density e^(−√2|w|)/√2: E|w|^k = k!/2^(k/2).
        return Weights(1 / arb(2).sqrt(), 6 / arb(8).sqrt(), arb(6))
    if name == "uniform":
        # On (−√3, √3): E|w|^k = 3^(k/2)/(k + 1).
        return Weights(arb(3).sqrt() / 2, arb(27).sqrt() / 4, arb(fmpq(9, 5)))
    b = (2 / arb.pi()).sqrt()
    return Weights(b, 2 * b, arb(3))


def student_t(degrees: fmpq) -> Weights:
    """E|w|^k = (ν−2)^(k/2)Γ((k+1)/2)Γ((ν−k)/2)/(√πΓ(ν/2)), for k < ν."""

    def absolute(k: int) -> arb | None:
        if degrees <= k:
            return None
        above = arb.gamma_fmpq(fmpq(k + 1, 2)) * arb.gamma_fmpq((degrees - k) / 2)
        return arb(degrees - 2).sqrt() ** k * above / (arb.pi().sqrt() * arb.gamma_fmpq(degrees / 2))

    b = absolute(1)
    assert b is not None
    return Weights(b, absolute(3), absolute(4))


def check_own_law(weights: Weights | None, rate: fmpq, effective: fmpq) -> None:
    """Refuse weights that are not Gaussian where the float64 law does, by `check_first_order`."""
    if weights is not None:
        check_known(weights.third, weights.fourth)
        check_first_order(float(rate), float(effective), float(arb(weights.fourth)))


def of(weights: Weights | None) -> Weights:
    """The given weights, by default Gaussian ones."""
    return named("gaussian") if weights is None else weights
