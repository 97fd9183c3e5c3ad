"""Depth: the recursion of a plain chain, its bound at every depth, and its floor as p → 0."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Algebra, Derivative, Differentiate, Fact, Series, Using
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
STATEMENT = (
    "h ← normalise(relu(W h)) sends the cosine between clean and perturbed states to J(c q/√v). For all "
    "depths L and rates p ≤ 1/2, C_L = (1 − q_flip²)/(1 − q_shift²) ≤ (1 − c_flip)/(1 − c_shift/√v_shift): "
    "bounded in L, so nothing compounds. C_1 = v_shift A(p): it exceeds the block's ratio only because "
    "normalising divides by the grown norm. The limit L → ∞ tends to (π/(π − 2))^{2/3} as p → 0."
)

c, v, q, rho, s = overlap, growth, state_cosine, cosine, root_rate
x, t, y = sp.symbols("x t y", positive=True)
J = cosine_map


def prove(proof: Proof) -> None:
    half = sp.Rational(1, 2)
    proof.domain |= {
        c: (half, sp.Rational(9, 10)),
        v: (1, 2),
        q: (half, 1),
        rho: (0, 1),
        x: (0, 1),
        y: (0, 3),
    }
    _recursion(proof)
    _first_layer(proof)
    _concavity(proof)
    _induction(proof)
    _flips_turn_further(proof)
    _floor(proof)


def _recursion(proof: Proof) -> None:
    """The cosine after one more layer is E h h'/√(E h² E h'²) for pre-activations of covariance c q."""
    theta = sp.Symbol("theta", real=True)
    turn = {theta: angle(c * q, v)}
    clean = proof.cite("arccos_kernel", "second moment")
    changed = proof.cite("arccos_kernel", "perturbed second moment").at(turn)
    both = proof.cite("arccos_kernel", "kernel in the moments").at({c: c * q}).at(turn)
    chain = proof.start("cosine after a layer", both.lhs / sp.sqrt(clean.lhs * changed.lhs))
    chain.step("insert the moments", 2 * kappa(c * q, v) / sp.sqrt(v), Using(both, clean, changed))
    chain.conclude("plain recursion", plain_step(q, c, v))


def _first_layer(proof: Proof) -> None:
    """C_1 in the transverse energies T = v/2 − 2κ² of the block, whose ratio is A."""
    flip, shift = sp.symbols("kappa_flip kappa_shift", positive=True)
    proof.domain |= {
        flip: (sp.Rational(2, 5), sp.Rational(9, 20)),
        shift: (sp.Rational(2, 5), sp.Rational(9, 20)),
    }
    energies = sp.Rational(1, 2) - 2 * flip**2, v / 2 - 2 * shift**2
    chain = proof.start("C_1", plain_ratio(2 * flip, 2 * shift / sp.sqrt(v)))
    chain.step("collect", v * energies[0] / energies[1], Algebra())
    chain.lemma("C_1 = v T_flip/T_shift")


def _concavity(proof: Proof) -> None:
    """D(x) = 1 − J(1 − x): D(0) = 0, D' ≥ 0 and D'' < 0, so D(x)/x decreases and D(x)/D(x') ≤ x/x'."""
    slope = proof.start("J'", sp.Derivative(J(rho), rho))
    slope.step("differentiate", (sp.pi - sp.acos(rho)) / sp.pi, Differentiate())
    slope.lemma("slope of J")
    drop = 1 - J(1 - x)
    origin = proof.start("D(0)", drop)
    origin.step("x = 0", sp.Integer(0), Using(proof.let(x, sp.Integer(0), "the origin")))
    origin.lemma("D(0) = 0")
    rate = proof.start("D'", sp.Derivative(drop, x))
    rate.step("differentiate", 1 - sp.acos(1 - x) / sp.pi, Differentiate())
    gap = proof.start("(D − x D')'", sp.Derivative(drop - x * rate.value, x))
    gap.step("differentiate", x / (sp.pi * sp.sqrt(x * (2 - x))), Differentiate())
    inside = proof.let(x, 2 * y / (1 + y), "0 < x < 2")
    gap.step("x = 2y/(1 + y)", sp.sqrt(y) / sp.pi, Using(inside))
    gap.lemma("D − x D' increases from 0")
    proof.positive("D(x)/x decreases", gap.value)


def _induction(proof: Proof) -> None:
    """With η = 1 − c/√v and u = 1 − q: u ← D(η + u − ηu). If u_f ≤ r u_s with r = η_f/η_s, then x_f ≤ r x_s,
    and by concavity D(x_f) ≤ r D(x_s): the ratio of the u is at most r in every layer."""
    eta, excess, u, slack, left = sp.symbols("eta e u g a_f", positive=True)
    argument = proof.start("1 − (1 − η)(1 − u)", 1 - (1 - eta) * (1 - u))
    argument.step("expand", eta + u - eta * u, Algebra())
    r = 1 + excess
    u_flip = r * u - slack
    margin = proof.start(
        "r x_shift − x_flip",
        r * argument.value - argument.value.subs({eta: r * eta, u: u_flip}, simultaneous=True),
    )
    margin.step("collect", r * u * eta * excess + slack * (1 - r * eta), Algebra())
    rest = proof.let(eta, (1 - left) / r, "c_flip = 1 − r η = a_f ≥ 0")
    margin.step("insert", u * excess * (1 - left) + slack * left, Using(rest))
    below = proof.let(left, 1 / (1 + y), "a_f < 1")
    margin.step("a_f < 1", u * excess * y / (1 + y) + slack / (1 + y), Using(below))
    margin.lemma("the induction step")
    proof.positive("x_flip ≤ r x_shift", margin.value)

    largest = proof.start("r − C_L at the largest u_flip = r u_shift", r - plain_ratio(1 - r * u, 1 - u))
    largest.step("collect", r * excess * u / (2 - u), Algebra())
    largest.step("u = 2y/(1 + y)", r * excess * y, Using(proof.let(u, 2 * y / (1 + y), "0 < u_shift < 2")))
    largest.lemma("C_L ≤ r")
    proof.positive("C_L < r", largest.value)
    c_f, c_s, eta_f, eta_s = sp.symbols("c_flip c_shift eta_flip eta_shift", positive=True)
    bound = proof.start("r = η_flip/η_shift", eta_f / eta_s)
    turns = (
        proof.let(eta_f, 1 - c_f, "η of flips, whose v is 1"),
        proof.let(eta_s, 1 - c_s / sp.sqrt(v), "η of the shift"),
    )
    bound.step("insert the angles", (1 - c_f) * sp.sqrt(v) / (sp.sqrt(v) - c_s), Using(*turns))
    bound.conclude("bound at every depth", plain_bound(c_f, c_s, v))


def _flips_turn_further(proof: Proof) -> None:
    """η_flip > η_shift, that is c_shift² > v_shift (1 − 2p)², for 0 < p ≤ 1/2."""
    b = sp.sqrt(2 / sp.pi)
    c_shift, v_shift = magnitude_shift(2 * s)
    chain = proof.start("c_shift² − v_shift (1 − 2p)²", c_shift**2 - v_shift * (1 - 2 * s**2) ** 2)
    chain.step("collect", 4 * b**2 * s**2 + 16 * b * s**3 * (1 - s**2) + 4 * s**4 * (3 - 4 * s**2), Algebra())
    root = 1 / sp.sqrt(2 * (1 + y))
    chain.step(
        "p = 1/(2(1 + y))",
        4 * b**2 * root**2 + 8 * b * root**3 * (1 + 2 * y) / (1 + y) + 4 * root**4 * (1 + 3 * y) / (1 + y),
        Using(proof.let(s, root, "0 < p < 1/2")),
    )
    chain.lemma("flips turn further")
    proof.positive("flips turn further", chain.value)


def _floor(proof: Proof) -> None:
    """At the fixed point q = J(ρ), ρ = q c/√v: both η = 1 − ρ/J(ρ) and u = 1 − J(ρ) are functions of ρ."""
    turn = proof.start("acos(1 − 2t²)", sp.acos(1 - 2 * t**2))
    turn.step("double angle", 2 * sp.asin(t), Derivative(t, sp.Integer(0)))
    image = proof.start("J(1 − 2t²)", J(rho))
    image.step("ρ = 1 − 2t²", J(1 - 2 * t**2), Using(proof.let(rho, 1 - 2 * t**2, "the fixed point")))
    analytic = (2 * t * sp.sqrt(1 - t**2) + (sp.pi - 2 * sp.asin(t)) * (1 - 2 * t**2)) / sp.pi
    image.step("double angle", analytic, Using(turn.fact))
    fixed = sp.Symbol("J_t", positive=True)
    named = proof.call(fixed, image.fact)
    power = proof.start("u³/η²", (1 - fixed) ** 3 / (1 - (1 - 2 * t**2) / fixed) ** 2)
    power.step("insert J", (1 - analytic) ** 3 / (1 - (1 - 2 * t**2) / analytic) ** 2, Using(named))
    power.step("u, η → 0", 9 * sp.pi**2 / 8, Series(t, 1))
    power.conclude("fixed point of small turns", fixed_point_coefficient())
    ratio = _turn_ratio(proof)
    k_flip, k_shift = (
        power.branch().limit(sp.Symbol(f"K_{name}", positive=True)) for name in ("flip", "shift")
    )
    floor = proof.start("u_flip/u_shift", sp.cbrt(k_flip.lhs / k_shift.lhs * ratio.lhs**2))
    floor.step("insert the limits", sp.cbrt((sp.pi / (sp.pi - 2)) ** 2), Using(k_flip, k_shift, ratio))
    floor.conclude("floor", depth_floor())


def _turn_ratio(proof: Proof) -> Fact:
    """η_flip/η_shift as p → 0."""
    c_shift, v_shift = magnitude_shift(2 * s)
    chain: Chain = proof.start("η_flip/η_shift", plain_bound(1 - 2 * s**2, c_shift, v_shift))
    chain.step("p → 0", sp.pi / (sp.pi - 2), Series(s, 1))
    chain.conclude("limit of the bound", transverse_ratio_limit())
    return chain.limit(sp.Symbol("r", positive=True))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
