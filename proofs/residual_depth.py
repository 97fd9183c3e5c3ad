"""Depth with skip connections: the recursions of the residual chain and of V3, and their bound in L."""

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Antiderivatives, Split, Using, above, by, equal, inside, join, least
from signmag_jax.theory.symbolic.depth import (
    cosine_map,
    residual_energy,
    residual_overlap,
    residual_transverse,
    skip_step,
)
from signmag_jax.theory.symbolic.depth_limits import residual_bound
from signmag_jax.theory.symbolic.energies import kappa
from signmag_jax.theory.symbolic.gaussian import angle, expectation, normal_density, relu
from signmag_jax.theory.symbolic.symbols import growth, overlap, state_cosine

TITLE = "Depth: chains with a skip connection"

c, v, q = overlap, growth, state_cosine
half, zero, one = sp.Rational(1, 2), sp.Integer(0), sp.Integer(1)
n = sp.Symbol("L", integer=True, nonnegative=True)
w, total = sp.symbols("w Sigma", real=True)


def prove(proof: Proof) -> None:
    proof.suppose("moments of a pair", least(v, (c * q) ** 2))
    moments = _moments(proof)
    _energies(proof, moments)
    _skip(proof, moments)
    _bound(proof)


def _moments(proof: Proof) -> dict[str, Any]:
    """Mean and second moments of a block's output; named, since they enter several recursions."""
    mean = proof.start("E relu(z)", expectation(relu(w), w))
    right = sp.Integral(w * normal_density(w), (w, 0, sp.oo))
    mean.step("only z > 0 counts", right, Split(w, (-sp.oo, zero, sp.oo)))
    mean.step("integrate", 1 / sp.sqrt(2 * sp.pi), Antiderivatives(w, (-normal_density(w),)))
    mean.lemma("mean of a block's output")
    changed = by.specialise(
        proof.cite("arccos_kernel", "perturbed second moment"),
        {sp.Symbol("theta", real=True): angle(c * q, v)},
    )
    facts = {
        "mu": mean.fact,
        "h2": proof.cite("arccos_kernel", "second moment"),
        "g2": changed,
        "hg": by.specialise(proof.cite("arccos_kernel", "kernel in the moments"), {c: c * q}),
    }
    return {name: proof.call(sp.Symbol(name, positive=True), fact) for name, fact in facts.items()}


def _energies(proof: Proof, moments: dict[str, Any]) -> None:
    """One more layer; W is independent of y, so the cross terms are products of means.

    After L layers the means are E y = L μ and E y' = L √v μ, as relu(√v z) = √v relu(z).
    """
    mean, square, both = moments["mu"], moments["g2"], moments["hg"]
    grown = proof.start(
        "gain of E y'²", 2 * (n * sp.sqrt(v) * mean.lhs) * (sp.sqrt(v) * mean.lhs) + square.lhs
    )
    grown.step("insert the moments", v * n / sp.pi + v / 2, Using(mean, square))
    grown.lemma("gain of the energy")
    state = sp.Symbol("state", real=True)
    energy, begins, continues = proof.sequence("stream_energy", n, state, one, state + grown.value)
    claim = equal(energy, residual_energy(n, v))
    start = join(begins, by.same(one, residual_energy(zero, v)))
    held = proof.fact("the energy of L layers", "hypothesis", lambda: by.suppose(claim))
    step = join(continues, inside(continues.rhs, held))
    step = join(step, by.same(step.rhs, residual_energy(n + 1, v)))
    proof.conclude("energy of the stream", proof.induction("E y'² by induction", claim, n, start, step))

    cross = n * mean.lhs * sp.sqrt(v) * mean.lhs + n * sp.sqrt(v) * mean.lhs * mean.lhs
    shared = proof.start("gain of E y y'", cross + both.lhs)
    shared.step("insert the moments", sp.sqrt(v) * n / sp.pi + kappa(c * q, v), Using(mean, both))
    latest = cosine_map(c * q / sp.sqrt(v))
    gain = residual_overlap(n + 1, total + latest, v) - residual_overlap(n, total, v)
    shared.conclude("gain of the overlap", gain)


def _skip(proof: Proof, moments: dict[str, Any]) -> None:
    """V3: W_down is centred and independent, so the stream gains variance and no mean."""
    square, changed, both = moments["h2"], moments["g2"], moments["hg"]
    chain = proof.start(
        "cosine after a V3 block", (q + both.lhs) / sp.sqrt((1 + square.lhs) * (1 + changed.lhs))
    )
    value = (q + kappa(c * q, v)) / sp.sqrt((1 + half) * (1 + v / 2))
    chain.step("insert the moments", value, Using(both, square, changed))
    chain.conclude("V3 recursion", skip_step(q, c, v))


def _bound(proof: Proof) -> None:
    """With A = E y² − 1, X = ½ Σ_k (1 − J_k) ≤ L/2 ≤ A and √v = 1 + e:

    E y'² = 1 + vA, E y y' = 1 + √v(A − X); T E y² lies between X (1 + A) and, for v = 1, 2X (1 + A).
    """
    a, x, e, less = sp.symbols("A X e J", positive=True)
    x_flip, x_shift, layers = sp.symbols("X_flip X_shift L", positive=True)

    def transverse(v: sp.Expr, x: sp.Expr) -> sp.Expr:
        return residual_transverse(1 + a, 1 + v * a, 1 + sp.sqrt(v) * (a - x))

    upper = proof.positive("T_flip ≤ 2X", 2 * x - transverse(one, x), form=x**2 / (1 + a))
    proof.conclude("T_flip is at most 2X", upper)
    proof.suppose("X ≤ A", least(a, x))
    above_ = transverse((1 + e) ** 2, x) * (1 + a) - x * (1 + a)
    lower = proof.positive("T_shift E y² ≥ X E y²", above_, form=_lower(a, x, e))
    lower = proof.positive("T_shift ≥ X", transverse((1 + e) ** 2, x) - x, lower, form=above_ / (1 + a))
    proof.conclude("T_shift is at least X", lower)

    proof.suppose(
        "what the layers add",
        least(layers / 2, x_flip),
        least(x_shift, layers / 2 * (1 - less)),
        above(1, less),
    )
    gap = 2 / (1 - less) - 2 * x_flip / x_shift
    rest = (x_shift - layers / 2 * (1 - less)) + (1 - less) * (layers / 2 - x_flip)
    law = proof.positive("C_L ≤ 2 X_flip/X_shift", gap, form=rest * (2 / ((1 - less) * x_shift)))
    stated = proof.apply("J of the shift", law, {less: cosine_map(c / sp.sqrt(v))})
    left = residual_bound(c, v) - 2 * x_flip / x_shift
    law = proof.fact("the law", "substitution", lambda: join(by.same(left, stated.lhs), stated))
    proof.conclude("bound of a residual chain", law)


def _lower(a: sp.Expr, x: sp.Expr, e: sp.Expr) -> sp.Expr:
    """(T_shift − X) E y² as a sum of what is not negative, for X ≤ A."""
    g = a - x
    return g * e**2 + x * e**2 + x + 2 * x * e + x * g + (2 * e + e**2) * (x**2 + 2 * x * g)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
