"""Proposition 1: one Gaussian matrix without a ReLU, at finite height m."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Algebra, Using, above, by
from signmag_jax.theory.symbolic.gaussian import expectation, weight
from signmag_jax.theory.symbolic.perturbations import error_energy, magnitude_noise, matched_size
from signmag_jax.theory.symbolic.proposition_1 import (
    flip_matrix_radial_fraction,
    flip_to_shift_ratio,
    matrix_radial,
    matrix_radial_fraction,
    matrix_transverse,
    noise_matrix_radial_fraction,
    noise_to_flip_ratio,
)
from signmag_jax.theory.symbolic.symbols import growth, overlap, rate, rows, size

TITLE = "Proposition 1: a matrix without a ReLU"
c, v, m, p, eps = overlap, growth, rows, rate, size
g = sp.Symbol("g", real=True)
squared = sp.Symbol("Y", positive=True)
alpha, beta = sp.Symbol("alpha", real=True), sp.Symbol("beta", real=True)


def prove(proof: Proof) -> None:
    _perturbations(proof, *_energies(proof))


def _energies(proof: Proof) -> tuple[Chain, ...]:
    """δ = α y + β ξ with ξ standard normal, independent of y; given y, ⟨y, ξ⟩ is ‖y‖ times a normal g."""
    names = ("total mass", "mean", "second moment")
    one, mean, square = (by.specialise(proof.cite("bussgang_constant", name), {weight: g}) for name in names)
    inner = alpha * squared + beta * sp.sqrt(squared) * g
    given_y = proof.start("E[⟨y, δ⟩²/‖y‖² | y]", expectation(inner**2 / squared, g))
    expanded = (
        alpha**2 * squared * one.lhs + 2 * alpha * beta * sp.sqrt(squared) * mean.lhs + beta**2 * square.lhs
    )
    given_y.step("expand", expanded, Algebra())
    given_y.step("moments of g", alpha**2 * squared + beta**2, Using(one, mean, square))
    given_y.lemma("radial energy given y")
    radial = given_y.branch()
    radial.at("E ‖y‖² = m, α = c − 1, β² = v − c²", {squared: m, alpha: c - 1, beta: sp.sqrt(v - c**2)})
    radial.conclude("radial energy", matrix_radial(c, v, m))

    y_i = sp.Symbol("y_i", real=True)
    total = proof.start("E[δ_i² | y_i]", expectation((alpha * y_i + beta * g) ** 2, g))
    expanded = alpha**2 * y_i**2 * one.lhs + 2 * alpha * beta * y_i * mean.lhs + beta**2 * square.lhs
    total.step("expand", expanded, Algebra())
    total.step("moments of g", alpha**2 * y_i**2 + beta**2, Using(one, mean, square))
    total.lemma("energy of a row given y")
    total.at("E y_i² = 1", {y_i: sp.Integer(1), alpha: c - 1, beta: sp.sqrt(v - c**2)})
    total.conclude("energy per row", error_energy(c, v))

    rest = proof.start("transverse energy", m * total.origin - radial.origin)
    rest.step("insert both", m * total.value - radial.value, Using(total.fact, radial.fact))
    rest.conclude("transverse energy", matrix_transverse(c, v, m))
    share = proof.start("radial fraction", radial.origin / (m * total.origin))
    share.step("insert both", radial.value / (m * total.value), Using(radial.fact, total.fact))
    share.conclude("radial fraction", matrix_radial_fraction(c, v, m))
    return radial, total, share, rest


def _moments(proof: Proof, name: str) -> dict:
    """c and v of a perturbation, at the size that matches flips at rate p."""
    moments = {}
    for symbol in (c, v):
        fact = proof.cite("perturbations", f"{name}: {symbol}")
        moments[symbol] = (by.specialise(fact, {eps: matched_size(p)}) if fact.rhs.has(eps) else fact).rhs
    return moments


def _perturbations(proof: Proof, radial: Chain, total: Chain, share: Chain, rest: Chain) -> None:
    proof.suppose("rates", above(1, p))
    flip, noise, shift = (_moments(proof, n) for n in ("sign flip", "magnitude noise", "magnitude shift"))
    flipped = share.branch()
    flipped.at("moments of flips", flip)
    flipped.conclude("radial fraction of flips", flip_matrix_radial_fraction(p, m))
    energy = error_energy(*magnitude_noise(eps)).xreplace({eps: matched_size(p)})
    of_noise = radial.branch().at("moments of noise", noise)
    of_noise.conclude("radial energy of noise", m * energy * noise_matrix_radial_fraction(m))
    row = total.branch().at("moments of noise", noise)
    row.conclude("energy of noise per row", energy)
    energies = {}
    for name, moments, value in (
        ("flips", flip, (m - 1) * 4 * p * (1 - p)),
        ("noise", noise, (m - 1) * 4 * p),
        ("the shift", shift, (m - 1) * 4 * p * (1 - 2 / sp.pi)),
    ):
        chain = rest.branch()
        chain.at(f"moments of {name}", moments)
        chain.conclude(f"transverse energy of {name}", value)
        energies[name] = proof.call(sp.Symbol(f"T_{name.split()[-1]}", positive=True), chain.fact)
    flips, noisy, shifted = energies.values()
    proof.suppose("rows", above(m, 1))
    reverse = proof.start("noise/flip", noisy.lhs / flips.lhs)
    reverse.step("insert and cancel", 1 / (1 - p), Using(noisy, flips))
    reverse.conclude("transverse ratio noise/flip", noise_to_flip_ratio(p))
    coherent = proof.start("flip/shift", flips.lhs / shifted.lhs)
    coherent.step("insert and cancel", sp.pi * (1 - p) / (sp.pi - 2), Using(flips, shifted))
    coherent.conclude("transverse ratio flip/shift", flip_to_shift_ratio(p))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
