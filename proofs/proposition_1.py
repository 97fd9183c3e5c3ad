"""Proposition 1: one Gaussian matrix without a ReLU, at finite height m."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Fact, Linearity, Using
from signmag_jax.theory.symbolic import (
    flip_matrix_radial_fraction,
    flip_to_shift_ratio,
    matrix_radial,
    matrix_radial_fraction,
    matrix_transverse,
    noise_matrix_radial_fraction,
    noise_to_flip_ratio,
)
from signmag_jax.theory.symbolic.gaussian import expectation
from signmag_jax.theory.symbolic.symbols import growth, overlap, rate, rows, size

TITLE = "Proposition 1: a matrix without a ReLU"
STATEMENT = (
    "y = W x, y' = W' x with m rows, pairs (y_i, y_i') Gaussian with moments (1, c, v) (delocalised x). "
    "Ratios of means: radial energy m(c − 1)² + (v − c²), transverse energy (m − 1)(v − c²), total "
    "m(v + 1 − 2c). At equal Frobenius norm: radial fractions p + (1 − p)/m (flips) and 1/m (noise), "
    "transverse ratios noise/flip 1/(1 − p) and flip/shift (1 − p)π/(π − 2)."
)

c, v, m, p, eps = overlap, growth, rows, rate, size
g = sp.Symbol("g", real=True)
squared = sp.Symbol("Y", positive=True)
alpha, beta = sp.Symbol("alpha", real=True), sp.Symbol("beta", positive=True)


def prove(proof: Proof) -> None:
    proof.domain |= {c: (sp.Rational(1, 2), sp.Rational(9, 10)), v: (1, 2), squared: (1, 5), m: (2, 9)}
    radial, total = _energies(proof)
    _perturbations(proof, radial, total)


def _energies(proof: Proof) -> tuple[Fact, Fact]:
    """δ = α y + β ξ with ξ standard normal, independent of y; given y, ⟨y, ξ⟩ is ‖y‖ times a normal g."""
    names = ("total mass", "mean", "second moment")
    powers = (sp.Integer(1), g, g**2)
    one, mean, square = (
        Fact(expectation(power, g), proof.cite("bussgang_constant", name).rhs)
        for name, power in zip(names, powers, strict=True)
    )
    inner = alpha * squared + beta * sp.sqrt(squared) * g
    radial = proof.start("E[⟨y, δ⟩²/‖y‖² | y]", expectation(inner**2 / squared, g))
    radial.step(
        "expand",
        alpha**2 * squared * one.lhs + 2 * alpha * beta * sp.sqrt(squared) * mean.lhs + beta**2 * square.lhs,
        Linearity(),
    )
    radial.step("moments of g", alpha**2 * squared + beta**2, Using(one, mean, square))
    parts = [
        proof.let(squared, m, "E ‖y‖² = m"),
        proof.let(alpha, c - 1, "regression of δ_i on y_i"),
        proof.let(beta, sp.sqrt(v - c**2), "what it leaves"),
    ]
    radial.step("mean over y", m * (c - 1) ** 2 + v - c**2, Using(*parts))
    law = radial.conclude("radial energy", matrix_radial(c, v, m))

    y_i = sp.Symbol("y_i", real=True)
    total = proof.start("E δ_i², given y_i", expectation((alpha * y_i + beta * g) ** 2, g))
    total.step(
        "expand",
        alpha**2 * y_i**2 * one.lhs + 2 * alpha * beta * y_i * mean.lhs + beta**2 * square.lhs,
        Linearity(),
    )
    total.step("moments of g", alpha**2 * y_i**2 + beta**2, Using(one, mean, square))
    unit = proof.let(y_i, sp.Integer(1), "E y_i² = 1")
    total.step("mean over y_i", v + 1 - 2 * c, Using(unit, *parts[1:]))
    total.lemma("energy per row")

    rest = proof.start("transverse energy", m * total.origin - radial.origin)
    rest.step("insert the total", m * total.value - radial.origin, Using(total.fact))
    rest.step("insert the radial part", (m - 1) * (v - c**2), Using(radial.fact))
    rest.conclude("transverse energy", matrix_transverse(c, v, m))
    share = proof.start("radial fraction", radial.origin / (m * total.origin))
    share.step("insert both", radial.value / (m * total.value), Using(radial.fact, total.fact))
    share.conclude("radial fraction", matrix_radial_fraction(c, v, m))
    return law, rest.fact


def _moments(proof: Proof, name: str) -> list[Fact]:
    """c and v of a perturbation, at the size that matches flips at rate p."""
    match = proof.cite("perturbations", "matching size").rhs
    return [
        proof.call(symbol, proof.cite("perturbations", f"{name}: {symbol}").at({eps: match}))
        for symbol in (c, v)
    ]


def _inserted(proof: Proof, title: str, law: sp.Expr, moments: list[Fact], value: sp.Expr) -> Chain:
    chain = proof.start(title, law)
    chain.step("insert the moments", value, Using(*(fact for fact in moments if law.has(fact.lhs))))
    return chain


def _perturbations(proof: Proof, radial: Fact, rest: Fact) -> None:
    flip, noise, shift = (_moments(proof, n) for n in ("sign flip", "magnitude noise", "magnitude shift"))
    fraction = matrix_radial_fraction(c, v, m)
    of_flips = _inserted(proof, "radial fraction of flips", fraction, flip, p + (1 - p) / m)
    of_flips.conclude("radial fraction of flips", flip_matrix_radial_fraction(p, m))
    of_noise = _inserted(proof, "radial fraction of noise", fraction, noise, 1 / m)
    of_noise.conclude("radial fraction of noise", noise_matrix_radial_fraction(m))

    flips = _inserted(proof, "transverse energy of flips", rest.rhs, flip, (m - 1) * 4 * p * (1 - p))
    noisy = _inserted(proof, "transverse energy of noise", rest.rhs, noise, (m - 1) * 4 * p)
    shifted = _inserted(
        proof, "transverse energy of the shift", rest.rhs, shift, (m - 1) * 4 * p * (1 - 2 / sp.pi)
    )
    names = sp.symbols("T_flip T_noise T_shift", positive=True)
    t_flip, t_noise, t_shift = names
    energies = [
        proof.call(name, chain.fact) for name, chain in zip(names, (flips, noisy, shifted), strict=True)
    ]
    reverse = proof.start("noise/flip", t_noise / t_flip)
    reverse.step("insert and cancel", 1 / (1 - p), Using(*energies[:2]))
    reverse.conclude("transverse ratio noise/flip", noise_to_flip_ratio(p))
    coherent = proof.start("flip/shift", t_flip / t_shift)
    coherent.step("insert and cancel", sp.pi * (1 - p) / (sp.pi - 2), Using(energies[0], energies[2]))
    coherent.conclude("transverse ratio flip/shift", flip_to_shift_ratio(p))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
