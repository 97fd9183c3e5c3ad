"""Depth with skip connections: the ratio's limit L → ∞, at every rate."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Series, Using
from signmag_jax.theory.symbolic import cosine_map, residual_energy, residual_limit, residual_transverse
from signmag_jax.theory.symbolic.symbols import cosine, depth, growth, overlap

TITLE = "Depth: the limit of residual chains"
STATEMENT = (
    "y ← y + relu(W y/‖y‖), every layer perturbed: as L → ∞ the ratio of transverse energies tends to "
    "(1 − J(c_flip))/(v (1 − J(c_shift/√v))), at every rate p ≤ 1/2. The stream grows like L and each layer "
    "adds like 1, so that q_L → 1 like 1 − O(1/L), and what the layers add has a mean."
)

c, v, layers, rho = overlap, growth, depth, cosine
a, x, e, gap, more, h = sp.symbols("A X e g m h", positive=True)
half = sp.Rational(1, 2)


def prove(proof: Proof) -> None:
    proof.domain |= {v: (1, 2), layers: (1, 9), rho: (0, 1), a: (1, 3), x: (0, 1)}
    _streams_stay_together(proof)
    _layers_have_a_mean(proof)
    _limit(proof)


def _streams_stay_together(proof: Proof) -> None:
    """1 − q² = T/E y'² with A = E y² − 1, E y'² = 1 + vA, E y y' = 1 + √v(A − X), √v = 1 + e, e ≥ 0."""
    clean, image, cross = 1 + a, 1 + v * a, 1 + sp.sqrt(v) * (a - x)
    transverse = residual_transverse(clean, image, cross)
    sine = proof.start("1 − q²", 1 - cross**2 / (clean * image))
    sine.step("common denominator", transverse / image, Algebra())
    sine.lemma("sine of the streams")
    room = proof.start("(e² + 2vX − T) E y²", (1 + a) * (e**2 + 2 * v * x - transverse))
    root = proof.let(v, (1 + e) ** 2, "√v = 1 + e")
    room.step("√v = 1 + e", e**2 + 2 * e * (1 + e) * x + (1 + e) ** 2 * x**2, Using(root))
    room.lemma("T ≤ e² + 2vX")
    proof.positive("T < e² + 2vX", room.value)

    grown = proof.start("A − L²/(2π)", residual_energy(layers, sp.Integer(1)) - 1 - layers**2 / (2 * sp.pi))
    grown.step("collect", layers * (sp.pi - 1) / (2 * sp.pi), Algebra())
    grown.lemma("A ≥ L²/(2π)")
    proof.positive("A > L²/(2π)", grown.value)

    # Σ_k (1 − J_k)/2 ≤ L/2, as J ≥ 0.
    bound = (e**2 + v * layers) * 2 * sp.pi / (v * layers**2)
    chain = proof.start("2π(e²/v + L)/L² − (1 − q²)", bound - (e**2 + 2 * v * x) / (1 + v * a))
    sizes = (
        proof.let(a, layers**2 / (2 * sp.pi) + gap, "A ≥ L²/(2π)"),
        proof.let(x, layers / 2 - more, "X ≤ L/2"),
    )
    below = v * layers**2 * (v * layers**2 / (2 * sp.pi) + 1 + v * gap)
    above = 2 * sp.pi * (e**2 + v * layers) * (1 + v * gap) + 2 * v * more * v * layers**2
    chain.step("insert the sizes", above / below, Using(*sizes))
    chain.lemma("1 − q² is at most of order 1/L")
    proof.positive("1 − q² < 2π(e²/v + L)/L²", chain.value)


def _layers_have_a_mean(proof: Proof) -> None:
    """J(ρ) − J(ρq) ≤ ρ(1 − q) ≤ 1 − q², as J' ≤ 1; and Σ_{k≤L} 1/k ≤ 2√L, term by term."""
    theta = sp.Symbol("theta", positive=True)
    slope = proof.cite("depth", "slope of J")
    rest = proof.start("1 − J'", 1 - slope.rhs)
    rest.step("angle", theta / sp.pi, Using(proof.let(sp.acos(rho), theta, "0 < θ < π")))
    rest.lemma("J' ≤ 1")
    proof.positive("J' < 1", rest.value)

    root, before, y = sp.symbols("r_k r_{k-1} y", positive=True)
    term = proof.start("2(√k − √(k−1)) − 1/√k", 2 * (root - before) - 1 / root)
    sum_and_difference = (
        proof.let(root, (y + 1 / y) / 2, "√k, y = √k + √(k−1)"),
        proof.let(before, (y - 1 / y) / 2, "√(k−1)"),
    )
    term.step("y = √k + √(k−1)", 2 / (y * (y**2 + 1)), Using(*sum_and_difference))
    term.lemma("1/k ≤ 1/√k ≤ 2(√k − √(k−1))")
    proof.positive("terms of the telescope", term.value)


def _limit(proof: Proof) -> None:
    """X = L(x̄ + b/√L) with x̄ = (1 − J(c/√v))/2 and b bounded: the limit does not depend on b."""
    c_flip, c_shift = sp.symbols("c_flip c_shift", positive=True)
    of_flips, of_shift = sp.symbols("x_flip x_shift", positive=True)
    slack = sp.symbols("b_flip b_shift", positive=True)
    length = 1 / h**2
    grown = length / 2 + length * (length - 1) / (2 * sp.pi)
    flip, shift = (length * (mean + b * h) for mean, b in zip((of_flips, of_shift), slack, strict=True))
    x_flip, x_shift = sp.symbols("X_flip X_shift", positive=True)
    named = (
        proof.let(a, grown, "A after L = 1/h² layers"),
        proof.let(x_flip, flip, "X of the flips"),
        proof.let(x_shift, shift, "X of the shift"),
    )
    above = residual_transverse(1 + a, 1 + a, 1 + a - x_flip)
    below = residual_transverse(1 + a, 1 + v * a, 1 + sp.sqrt(v) * (a - x_shift))
    ratio = proof.start("C_L", above / below)
    inserted = ratio.value.subs({x_flip: flip, x_shift: shift}).subs(a, grown)
    ratio.step("insert the sizes", inserted, Using(*named))
    ratio.step("L → ∞", of_flips / (v * of_shift), Series(h, 1))
    layers_add = (
        proof.let(of_flips, (1 - cosine_map(c_flip)) / 2, "mean of the flips' layers"),
        proof.let(of_shift, (1 - cosine_map(c_shift / sp.sqrt(v))) / 2, "mean of the shift's layers"),
    )
    value = (1 - cosine_map(c_flip)) / (v * (1 - cosine_map(c_shift / sp.sqrt(v))))
    ratio.step("insert the means", value, Using(*layers_add))
    ratio.conclude("limit of a residual chain", residual_limit(c_flip, c_shift, v))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
