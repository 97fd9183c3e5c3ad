"""The degree-1 arc-cosine kernel: E[relu(z) relu(z')] of a Gaussian pair, by polar coordinates."""

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Antiderivatives, Polar, Product, Split, Using, least
from signmag_jax.theory.symbolic.depth import cosine_map
from signmag_jax.theory.symbolic.energies import kappa
from signmag_jax.theory.symbolic.gaussian import angle, expectation, first, perturbed, relu, second
from signmag_jax.theory.symbolic.symbols import cosine, growth, overlap

TITLE = "The degree-1 arc-cosine kernel"

theta = sp.Symbol("theta", real=True)
r = sp.Symbol("r", positive=True)
t = sp.Symbol("phi", real=True)
z, u, c, v = first, second, overlap, growth

gauss = sp.exp(-(r**2) / 2)
start = -sp.pi / 2
full_turn = (start, theta - sp.pi / 2, sp.pi / 2, theta + sp.pi / 2, 3 * sp.pi / 2)
whole = (t, start, start + 2 * sp.pi)
polar = Polar(z, u, r, t, start)
cubic = sp.Integral(r**3 * gauss, (r, 0, sp.oo))


def prove(proof: Proof) -> None:
    proof.suppose("the angle of the pair", least(theta), least(sp.pi, theta))
    radial = proof.start("radial integral", cubic)
    radial.step("integrate", sp.Integer(2), Antiderivatives(r, (-(r**2 + 2) * gauss,)))
    _kernel(proof, radial.fact)
    _square(proof, radial.fact, "second moment", z, sp.Integer(1), sp.Integer(0))
    _square(proof, radial.fact, "perturbed second moment", perturbed(theta), v, theta)


def _kernel(proof: Proof, radial: Any) -> None:
    bars = relu(sp.cos(t)) * relu(sp.cos(t - theta))
    chain = proof.start("E[relu(z) relu(z')]", expectation(relu(z) * relu(perturbed(theta)), z, u))
    plane = sp.Integral(sp.sqrt(v) * r**3 * gauss * bars / (2 * sp.pi), (r, 0, sp.oo), whole)
    chain.step("polar coordinates", plane, polar)
    factor = sp.sqrt(v) / (2 * sp.pi)
    chain.step("separate radius and angle", factor * cubic * sp.Integral(bars, whole), Product())
    arc = sp.Integral(sp.cos(t) * sp.cos(t - theta), (t, theta - sp.pi / 2, sp.pi / 2))
    chain.step("both are positive on one arc only", factor * cubic * arc, Split(t, full_turn))
    primitive = t * sp.cos(theta) / 2 + sp.sin(2 * t - theta) / 4
    bend = sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)
    chain.step("integrate over the arc", factor * cubic * bend / 2, Antiderivatives(t, (primitive,)))
    chain.step("insert the radial integral", factor * bend, Using(radial))
    chain.lemma("kernel in the angle")
    proof.suppose("c and v are moments of a pair", least(v, c**2))
    chain.at("cos θ = c/√v", {theta: angle(c, v)})
    chain.conclude("kernel in the moments", kappa(c, v))
    unit = proof.start("twice the kernel", 2 * chain.origin)
    unit.step("insert the kernel", 2 * kappa(c, v), Using(chain.fact))
    unit.at("variance 1, correlation ρ", {c: cosine, v: sp.Integer(1)})
    unit.conclude("cosine map", cosine_map(cosine))


def _square(proof: Proof, radial: Any, name: str, variable: sp.Expr, v: sp.Expr, turn: sp.Expr) -> None:
    """E relu(z')²: the square of one cosine over half a turn."""
    chain = proof.start(f"E relu² ({name})", expectation(relu(variable) ** 2, z, u))
    bars = relu(sp.cos(t - turn)) ** 2
    plane = sp.Integral(v * r**3 * gauss * bars / (2 * sp.pi), (r, 0, sp.oo), whole)
    chain.step("polar coordinates", plane, polar)
    chain.step("separate radius and angle", v / (2 * sp.pi) * cubic * sp.Integral(bars, whole), Product())
    arc = (t, turn - sp.pi / 2, turn + sp.pi / 2)
    cuts = full_turn if turn != 0 else (start, sp.pi / 2, 3 * sp.pi / 2)
    cuts = (start, turn - sp.pi / 2, turn + sp.pi / 2, 3 * sp.pi / 2) if turn != 0 else cuts
    half = sp.Integral(sp.cos(t - turn) ** 2, arc)
    chain.step("positive on half a turn", v / (2 * sp.pi) * cubic * half, Split(t, cuts))
    primitive = t / 2 + sp.sin(2 * (t - turn)) / 4
    chain.step("integrate over the arc", v / 4 * cubic, Antiderivatives(t, (primitive,)))
    chain.step("insert the radial integral", v / 2, Using(radial))
    chain.lemma(name)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
