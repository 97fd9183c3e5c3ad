"""Depth with skip connections: the ratio rises with every layer as p → 0, and at p = 1/20 it first falls."""

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Equal, above, least
from signmag_jax.theory.symbolic.depth import (
    cosine_map,
    residual_energy,
    residual_linear_step,
    residual_overlap,
    residual_transverse,
)
from signmag_jax.theory.symbolic.depth_limits import residual_first_ratio, residual_limit
from signmag_jax.theory.symbolic.perturbations import magnitude_shift, sign_flip
from signmag_jax.theory.symbolic.symbols import root_rate
from signmag_jax.theory.symbolic.theorem_3 import transverse_ratio_limit

TITLE = "Depth: the rise of residual chains"

s = root_rate
a, tau, x, t = sp.symbols("A tau x t", positive=True)
eta, jump, grow, delta, f, g = sp.symbols("eta sigma r Delta F G", positive=True)
n = sp.Symbol("L", integer=True, nonnegative=True)
layers = sp.Symbol("l", positive=True)
zero, one, w = sp.Integer(0), sp.Integer(1), 1 - 2 / sp.pi


def prove(proof: Proof) -> None:
    proof.suppose("rates up to 1/2, few turns", above(1 / sp.sqrt(2), s), above(1, t))
    _first_order(proof)
    _sources(proof)
    _superposition(proof)
    _alignment_falls(proof)
    _ratio_rises(proof)
    _first_layer(proof)
    _not_at_every_rate(proof)


def _double_angle(proof: Proof, size: sp.Symbol) -> Any:
    chain = proof.start(f"acos(1 − 2{size}²)", sp.acos(1 - 2 * size**2))
    return chain.step("double angle", 2 * sp.asin(size), Equal(size, zero)).fact


def _first_order(proof: Proof) -> None:
    """√v = 1 + στ, X = xτ²/2 and cosines 1 − ητ², 1 − uτ² with τ → 0: T = (x + σ²A/(1 + A))τ²."""
    root, u, following = 1 + jump * tau, sp.Symbol("u", positive=True), sp.Symbol("a_next", positive=True)
    energy = proof.start(
        "T/τ²", residual_transverse(1 + a, 1 + root**2 * a, 1 + root * (a - x * tau**2 / 2)) / tau**2
    )
    energy.limit("τ → 0", x + jump**2 * a / (1 + a), tau)
    energy.lemma("transverse energy to first order")
    turned = proof.start("(1 − cos θ)/τ²", (1 - (1 - eta * tau**2) * (1 - u * tau**2)) / tau**2)
    turned.limit("τ → 0", eta + u, tau)
    turned.lemma("turns add to first order")
    cost = proof.start("(1 − J(1 − 2t²))/(2t²)", (1 - cosine_map(1 - 2 * t**2)) / (2 * t**2))
    cost.limit("t → 0", one, t, _double_angle(proof, t))
    cost.lemma("a layer's loss is its turn")
    # The next layer has X + η + u and A/(1 + A) + Δ, with u = T/(2(1 + A)).
    whole = x + jump**2 * a / (1 + a)
    chain = proof.start(
        "T of the next layer, over τ²", x + (eta + whole / (2 * (1 + a))) + jump**2 * following
    )
    chain.at("the next A/(1 + A)", {following: a / (1 + a) + delta})
    chain.step("collect", residual_linear_step(whole, eta, jump**2, 1 + 1 / (2 * (1 + a)), delta), Algebra())
    chain.lemma("linear recursion")


def _sources(proof: Proof) -> None:
    """η and σ² per p: 2 and 0 for the flips, which keep v = 1; 2w and 4(1 − w) for the shift."""
    c_shift, v_shift = magnitude_shift(2 * s)
    for name, expr, value in (
        ("η of the flips", (1 - sign_flip(s**2).c) / s**2, sp.Integer(2)),
        ("η of the shift", (1 - c_shift / sp.sqrt(v_shift)) / s**2, 2 * w),
        ("σ² of the shift", (sp.sqrt(v_shift) - 1) ** 2 / s**2, 4 * (1 - w)),
    ):
        chain = proof.start(f"{name}, over p", expr)
        chain.limit("p → 0", value, s)
        chain.lemma(name)


def _superposition(proof: Proof) -> None:
    """T_flip = 2F and T_shift = 2wF + 4(1 − w)G solve their recursions, if F ← rF + 1 and G ← rG + Δ."""
    f_next, g_next = grow * f + 1, grow * g + delta
    flips = residual_linear_step(2 * f, sp.Integer(2), zero, grow, delta)
    mixed = 2 * w * f + 4 * (1 - w) * g
    shift = residual_linear_step(mixed, 2 * w, 4 * (1 - w), grow, delta)
    ratio = proof.start("C_L of the next layer", flips / shift)
    ratio.step("collect", 2 * f_next / (2 * w * f_next + 4 * (1 - w) * g_next), Algebra())
    ratio.lemma("both follow their recursions")


def _alignment_falls(proof: Proof) -> None:
    """A/(1 + A) is concave in L: its rises Δ_L fall; so G ≥ Δ F in every layer, and G/F falls."""
    proof.suppose("a layer", least(layers, 1))
    before, here, after = (residual_energy(layers + k, one) for k in (-1, 0, 1))
    bend = proof.positive("1 + A before", before)
    gap = 1 / before + 1 / after - 2 / here
    y = layers - 1
    top = (sp.pi - 1) / (2 * sp.pi) + 3 * y / (2 * sp.pi) + 3 * y * layers / (2 * sp.pi**2)
    proof.conclude(
        "the rises of A/(1 + A) fall",
        proof.positive("Δ_{L−1} > Δ_L", gap, bend, form=top / (before * here * after)),
    )

    earlier = sp.Symbol("Delta_before", positive=True)
    proof.suppose("rises fall, G ≥ Δ_before F", least(earlier, delta), least(g, earlier * f))
    form = grow * ((g - earlier * f) + (earlier - delta) * f)
    held = proof.positive("G_next ≥ Δ F_next", (grow * g + delta) - delta * (grow * f + 1), form=form)
    proof.conclude("the induction step", held)
    form = (g - earlier * f) + (earlier - delta) * f
    proof.conclude("G/F falls", proof.positive("G/F", g * (grow * f + 1) - (grow * g + delta) * f, form=form))


def _ratio_rises(proof: Proof) -> None:
    """lim C_L = F/(wF + 2(1 − w)G) = 1/(w + 2(1 − w)G/F)."""
    now, less = sp.symbols("R R_next", positive=True)
    proof.suppose("G/F falls", least(now, less))
    ratio = proof.start("T_flip/T_shift", 2 * f / (2 * w * f + 4 * (1 - w) * now * f))
    limit = 1 / (w + 2 * (1 - w) * now)
    ratio.step("R = G/F", limit, Algebra())
    ratio.lemma("limit of C_L in R = G/F")
    after = limit.xreplace({now: less})
    form = 2 * (1 - w) * (now - less) * limit * after
    proof.conclude("rise of a residual chain", proof.positive("C_{L+1} ≥ C_L", after - limit, form=form))
    ratio.at("one layer: F = 1, G = A/(1 + A) = 1/3", {now: sp.Rational(1, 3)})
    ratio.conclude("first layer", residual_first_ratio())


def _first_layer(proof: Proof) -> None:
    """The first layer's ratio from the exact recursion, and the limit of the limits, as p → 0."""
    c_shift, v_shift = magnitude_shift(2 * s)
    flip = _double_angle(proof, s)
    shift = proof.start("angle of the shift", sp.acos(c_shift / sp.sqrt(v_shift)))
    shift.step("tangent", sp.atan(2 * s * sp.sqrt(w) / c_shift), Equal(s, zero))
    sine = proof.start("sine of the shift", sp.sqrt(1 - c_shift**2 / v_shift))
    sine.step("collect", 2 * s * sp.sqrt(w) / sp.sqrt(v_shift), Algebra())
    first = _exact(1, 1 - 2 * s**2, one) / _exact(1, c_shift, v_shift)
    for name, exact, value, law in (
        ("C_1", first, 3 * sp.pi / (3 * sp.pi - 2), residual_first_ratio()),
        (
            "C_∞",
            residual_limit(1 - 2 * s**2, c_shift, v_shift),
            sp.pi / (sp.pi - 2),
            transverse_ratio_limit(),
        ),
    ):
        chain = proof.start(name, exact)
        chain.limit("p → 0", value, s, flip, shift.fact, sine.fact)
        chain.conclude(f"{name} of small errors", law)


def _exact(length: int, c: sp.Expr, v: sp.Expr) -> sp.Expr:
    """Transverse energy of the stream after one or two layers."""
    cosines = cosine_map(c / sp.sqrt(v))
    if length == 2:
        clean, other, both = _stream(one, cosines, v)
        cosines += cosine_map(c * both / sp.sqrt(clean * other) / sp.sqrt(v))
    return residual_transverse(*_stream(sp.Integer(length), cosines, v))


def _stream(length: sp.Expr, cosines: sp.Expr, v: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """E y², E y'² and E y y'."""
    energies = residual_energy(length, one), residual_energy(length, v)
    return *energies, residual_overlap(length, cosines, v)


def _not_at_every_rate(proof: Proof) -> None:
    """p = 1/20, where the paper's simulated ratio falls from C_1 to C_2 as well."""
    p = sp.Rational(1, 20)
    flip, shift = sign_flip(p), magnitude_shift(2 * sp.sqrt(p))
    first, second = (_exact(length, *flip) / _exact(length, *shift) for length in (1, 2))
    proof.conclude("C_2 < C_1 at p = 1/20", proof.positive("C_1 > C_2 at p = 1/20", first - second))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
