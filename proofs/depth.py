"""Depth: the recursion of a plain chain, its bound at every depth, and its floor as p → 0."""

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import (
    Algebra,
    Claim,
    Differentiate,
    Equal,
    Using,
    above,
    by,
    increase,
    least,
    settle,
)
from signmag_jax.theory.symbolic import (
    cosine_map,
    depth_floor,
    fixed_point_coefficient,
    kappa,
    magnitude_shift,
    plain_bound,
    plain_ratio,
    plain_step,
    transverse_ratio_limit,
)
from signmag_jax.theory.symbolic.gaussian import angle
from signmag_jax.theory.symbolic.symbols import cosine, growth, overlap, root_rate, state_cosine

TITLE = "Depth: plain chains"

c, v, q, rho, s = overlap, growth, state_cosine, cosine, root_rate
a, b, x, t = sp.symbols("a b x t", positive=True)
low = sp.Symbol("low", real=True)
J = cosine_map
zero, one = sp.Integer(0), sp.Integer(1)


def drop(x: sp.Expr) -> sp.Expr:
    """D(x) = 1 − J(1 − x)."""
    return 1 - J(1 - x)


def prove(proof: Proof) -> None:
    _recursion(proof)
    _first_layer(proof)
    shape = _concavity(proof)
    _floor(proof)


def _recursion(proof: Proof) -> None:
    """The cosine after one more layer is E h h'/√(E h² E h'²) for pre-activations of covariance c q."""
    proof.suppose("c q is the covariance of a pair", least(v, (c * q) ** 2))
    changed = by.specialise(
        proof.cite("arccos_kernel", "perturbed second moment"), {sp.Symbol("theta", real=True): angle(c * q, v)}
    )
    clean = proof.cite("arccos_kernel", "second moment")
    both = by.specialise(proof.cite("arccos_kernel", "kernel in the moments"), {c: c * q})
    chain = proof.start("cosine after a layer", both.lhs / sp.sqrt(clean.lhs * changed.lhs))
    chain.step("insert the moments", 2 * kappa(c * q, v) / sp.sqrt(v), Using(both, clean, changed))
    chain.conclude("plain recursion", plain_step(q, c, v))


def _first_layer(proof: Proof) -> None:
    """C_1 in the transverse energies T = v/2 − 2κ² of the block, whose ratio is A."""
    flip, shift = sp.symbols("kappa_flip kappa_shift", positive=True)
    energies = sp.Rational(1, 2) - 2 * flip**2, v / 2 - 2 * shift**2
    chain = proof.start("C_1", plain_ratio(2 * flip, 2 * shift / sp.sqrt(v)))
    chain.step("collect", v * energies[0] / energies[1], Algebra())
    chain.lemma("C_1 = v T_flip/T_shift")


def _concavity(proof: Proof) -> dict[str, Any]:
    """D(x) = 1 − J(1 − x) increases and D(x)/x decreases, as D' ≥ 0 and (D − x D')' > 0."""
    proof.suppose("an argument of J", above(1, rho), above(1, -rho))
    slope = proof.start("J'", sp.Derivative(J(rho), rho))
    slope.step("differentiate", (sp.pi - sp.acos(rho)) / sp.pi, Differentiate())
    slope.lemma("slope of J")
    rising = slope.sign("J' ≥ 0")
    positive = proof.conclude("J is not negative", settle(by.along(rising, -one), proof.given))
    proof.suppose("a smaller argument", least(rho, low), above(1, -low))
    upward = proof.conclude("J increases", settle(by.along(rising, low), proof.given))

    proof.suppose("arguments of D", above(2, x), above(2, a), above(2, b))
    rate = proof.start("D'", sp.Derivative(drop(x), x))
    rate.step("differentiate", 1 - sp.acos(1 - x) / sp.pi, Differentiate())
    slanting = rate.sign("D' ≥ 0")
    cost = proof.conclude("D is not negative", settle(by.along(slanting, zero), proof.given))
    gap = proof.start("(D − x D')'", sp.Derivative(drop(x) - x * rate.value, x))
    gap.step("differentiate", x / (sp.pi * sp.sqrt(x * (2 - x))), Differentiate())
    room = proof.conclude("D − x D' is positive", settle(by.along(gap.sign("its sign"), zero), proof.given))
    fall = proof.start("(−D/x)'", sp.Derivative(-drop(x) / x, x))
    fall.step("quotient rule", room.lhs / x**2, Differentiate())
    falling = by.join(fall.fact, proof.positive("−D/x increases", room.lhs / x**2, room))
    proof.suppose("in order", least(b, a))
    rises = proof.conclude("D increases", increase(slanting, a, b, proof.given))
    falls = proof.conclude("D/x decreases", increase(falling, a, b, proof.given))
    return {"J ≥ 0": positive, "J rises": upward, "D ≥ 0": cost, "D rises": rises, "D/x falls": falls}


def _floor(proof): pass


if __name__ == "__main__":
    raise SystemExit(run(__file__))
