"""Depth with skip connections: why the ratio has a limit L → ∞, and its value."""

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, above, least
from signmag_jax.theory.symbolic.depth import cosine_map, residual_energy, residual_transverse
from signmag_jax.theory.symbolic.depth_limits import residual_limit
from signmag_jax.theory.symbolic.symbols import growth

TITLE = "Depth: the limit of residual chains"

v = growth
c_flip, c_shift = sp.symbols("c_flip c_shift", real=True)
a, x, e, layers, h = sp.symbols("A X e L h", positive=True)


def prove(proof: Proof) -> None:
    _streams_stay_together(proof)
    _limit(proof)


def _streams_stay_together(proof: Proof) -> None:
    """1 − q² = T/E y'² ≤ 2π(e²/v + L)/L²: its energy grows like L², and L layers add at most like L."""
    grown = residual_energy(layers, sp.Integer(1)) - 1 - layers**2 / (2 * sp.pi)
    energy = proof.positive("A ≥ L²/(2π)", grown, form=layers * (sp.pi - 1) / (2 * sp.pi))
    proof.conclude("the energy grows like L²", energy)
    transverse = residual_transverse(1 + a, 1 + (1 + e) ** 2 * a, 1 + (1 + e) * (a - x))
    form = (e**2 + 2 * e * (1 + e) * x + (1 + e) ** 2 * x**2) / (1 + a)
    upper = proof.positive("T ≤ e² + 2vX", e**2 + 2 * (1 + e) ** 2 * x - transverse, form=form)
    proof.conclude("T is at most e² + 2vX", upper)
    proof.suppose("L layers", least(a, layers**2 / (2 * sp.pi)), least(layers / 2, x))
    image = 1 + (1 + e) ** 2 * a
    bound = (e**2 + (1 + e) ** 2 * layers) * 2 * sp.pi / ((1 + e) ** 2 * layers**2)
    apart = (e**2 + (1 + e) ** 2 * layers) - (e**2 + 2 * (1 + e) ** 2 * x)
    less = proof.positive("e² + 2vX ≤ e² + vL", apart, form=2 * (1 + e) ** 2 * (layers / 2 - x))
    form = (
        (e**2 + (1 + e) ** 2 * layers)
        * (1 + (1 + e) ** 2 * (a - layers**2 / (2 * sp.pi)))
        / ((1 + e) ** 2 * layers**2 / (2 * sp.pi) * image)
        + less.lhs / image
        + upper.lhs / image
    )
    gap = proof.positive("1 − q² ≤ 2π(e²/v + L)/L²", bound - transverse / image, less, upper, form=form)
    proof.conclude("1 − q² is at most of order 1/L", gap)


def _limit(proof: Proof) -> None:
    """X = L(x̄ + b/√L) for any b, with h = 1/√L → 0: the ratio's limit does not depend on b."""
    flips, shift = sp.symbols("x_flip x_shift", positive=True)
    b_flip, b_shift = sp.symbols("b_flip b_shift", real=True)
    length = 1 / h**2
    grown = length / 2 + length * (length - 1) / (2 * sp.pi)
    parts = []
    for growth_, mean, slack in ((sp.Integer(1), flips, b_flip), (v, shift, b_shift)):
        added = length * (mean + slack * h)
        parts.append(
            residual_transverse(1 + grown, 1 + growth_ * grown, 1 + sp.sqrt(growth_) * (grown - added))
        )
    whole = sp.cancel(sp.together(parts[0] / parts[1]))
    defined = proof.start("C_L after L = 1/h² layers", parts[0] / parts[1])
    defined.step("common denominator", whole, Algebra())
    defined.lemma("C_L in h")
    ratio = proof.start("C_L", whole)
    ratio.limit("L → ∞", flips / (v * shift), h)
    ratio.lemma("limit in the means of the layers")
    means = {flips: (1 - cosine_map(c_flip)) / 2, shift: (1 - cosine_map(c_shift / sp.sqrt(v))) / 2}
    proof.suppose("cosines", above(1 - c_flip**2), above(v, c_shift**2))
    ratio.at("the layers' means at q = 1", means)
    ratio.conclude("limit of a residual chain", residual_limit(c_flip, c_shift, v))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
