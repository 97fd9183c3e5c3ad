"""Depth with skip connections: the recursions of the residual chain and of V3, and their bound in L."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Antiderivatives, Fact, SplitLine, Using
from signmag_jax.theory.symbolic import (
    cosine_map,
    kappa,
    residual_bound,
    residual_energy,
    residual_overlap,
    residual_transverse,
    skip_step,
)
from signmag_jax.theory.symbolic.gaussian import expectation, normal_density, relu
from signmag_jax.theory.symbolic.symbols import depth, growth, overlap, state_cosine

TITLE = "Depth: chains with a skip connection"
STATEMENT = (
    "y ← y + relu(W y/‖y‖) with E y_0² = 1: E y_L'² = 1 + v(L/2 + L(L − 1)/(2π)) and E y_L y_L' = "
    "1 + √v(L(L − 1)/(2π) + ½ Σ_k J(c q_k/√v)). With v_flip = 1 and v_shift > 1 the ratio of transverse "
    "energies is at most 2/(1 − J(c_shift/√v_shift)) at every depth. V3 sends q to "
    "(q + √v J(c q/√v)/2)/√((3/2)(1 + v/2))."
)

c, v, q, layers = overlap, growth, state_cosine, depth
half = sp.Rational(1, 2)
w = sp.Symbol("w", real=True)
total = sp.Symbol("Sigma", positive=True)


def prove(proof: Proof) -> None:
    proof.domain |= {c: (half, sp.Rational(9, 10)), v: (1, 2), q: (half, 1), layers: (1, 9), total: (0, 1)}
    moments = _moments(proof)
    _energies(proof, moments)
    _skip(proof, moments)
    _bound(proof)


def _moments(proof: Proof) -> dict[str, Fact]:
    """Mean and second moments of a block's output; named, since they enter several recursions."""
    mean = proof.start("E relu(z)", expectation(relu(w), w))
    mean.step("only z > 0 counts", sp.Integral(w * normal_density(w), (w, 0, sp.oo)), SplitLine(w))
    mean.step("integrate", 1 / sp.sqrt(2 * sp.pi), Antiderivatives(w, (-normal_density(w),)))
    names = {"mean": "mu", "square": "h2", "perturbed": "g2", "both": "hg"}
    symbol = {key: sp.Symbol(name, positive=True) for key, name in names.items()}
    kernel = proof.cite("arccos_kernel", "kernel in the moments").at({c: c * q})
    return {
        "mean": proof.call(symbol["mean"], mean.fact),
        "square": proof.call(symbol["square"], proof.cite("arccos_kernel", "second moment")),
        "perturbed": proof.call(symbol["perturbed"], proof.cite("arccos_kernel", "perturbed second moment")),
        "both": proof.call(symbol["both"], kernel),
    }


def _energies(proof: Proof, moments: dict[str, Fact]) -> None:
    """One more layer; W is independent of y, so the cross terms are products of means.

    After L layers the means are E y = L μ and E y' = L √v μ, as relu(√v z) = √v relu(z).
    """
    mean, square = moments["mean"], moments["perturbed"]
    grown = proof.start(
        "gain of E y'²", 2 * (layers * sp.sqrt(v) * mean.lhs) * (sp.sqrt(v) * mean.lhs) + square.lhs
    )
    grown.step("insert the moments", v * layers / sp.pi + v / 2, Using(mean, square))
    grown.conclude("energy of the stream", residual_energy(layers + 1, v) - residual_energy(layers, v))
    first = proof.start("E y_0'²", residual_energy(layers, v))
    first.step("L = 0", sp.Integer(1), Using(proof.let(layers, sp.Integer(0), "no layer")))
    first.lemma("start of the recursion")

    both = moments["both"]
    cross = layers * mean.lhs * sp.sqrt(v) * mean.lhs + layers * sp.sqrt(v) * mean.lhs * mean.lhs
    shared = proof.start("gain of E y y'", cross + both.lhs)
    shared.step("insert the moments", sp.sqrt(v) * layers / sp.pi + kappa(c * q, v), Using(mean, both))
    latest = cosine_map(c * q / sp.sqrt(v))
    shared.conclude(
        "overlap of the streams",
        residual_overlap(layers + 1, total + latest, v) - residual_overlap(layers, total, v),
    )


def _skip(proof: Proof, moments: dict[str, Fact]) -> None:
    """V3: W_down is centred and independent, so the stream gains variance and no mean."""
    square, perturbed, both = moments["square"], moments["perturbed"], moments["both"]
    chain = proof.start(
        "cosine after a V3 block", (q + both.lhs) / sp.sqrt((1 + square.lhs) * (1 + perturbed.lhs))
    )
    chain.step(
        "insert the moments",
        (q + kappa(c * q, v)) / sp.sqrt((1 + half) * (1 + v / 2)),
        Using(both, square, perturbed),
    )
    chain.conclude("V3 recursion", skip_step(q, c, v))


def _bound(proof: Proof) -> None:
    """With A = E y² − 1 and X = ½ Σ_k (1 − J_k) ≤ L/2 ≤ A, and √v = 1 + e:

    E y'² = 1 + vA, E y y' = 1 + √v(A − X); T E y² lies between X (1 + A) and, for v = 1, 2X (1 + A).
    """
    a, x, e, gap = sp.symbols("A X e g", positive=True)
    times = residual_transverse(1 + a, 1 + v * a, 1 + sp.sqrt(v) * (a - x)) * (1 + a)
    growth_of = proof.let(v, (1 + e) ** 2, "√v = 1 + e")
    room = proof.let(a, x + gap, "A > X")

    flips = proof.start("2X − T_flip", (2 * x * (1 + a) - times) / (1 + a))
    flips.step("v = 1", x**2 / (1 + a), Using(proof.let(v, sp.Integer(1), "flips keep v = 1")))
    flips.lemma("T_flip ≤ 2X")
    proof.positive("T_flip < 2X", flips.value)

    shift = proof.start("(T_shift − X) E y²", times - x * (1 + a))
    shift.step(
        "collect",
        gap * e**2 + x * e**2 + x + 2 * x * e + x * gap + (2 * e + e**2) * (x**2 + 2 * x * gap),
        Using(growth_of, room),
    )
    shift.lemma("T_shift ≥ X")
    proof.positive("T_shift > X", shift.value)

    # J ≥ 0 gives X_flip ≤ L/2; q ≤ 1 and J increasing give X_shift ≥ (L/2)(1 − J(c/√v)).
    x_flip, x_shift = sp.symbols("X_flip X_shift", positive=True)
    least = proof.let(x_shift, layers / 2 * (1 - cosine_map(c / sp.sqrt(v))), "X_shift at its least")
    most = proof.let(x_flip, layers / 2, "X_flip at its most")
    chain = proof.start("bound of C_L", 2 * x_flip / x_shift)
    chain.step("extreme sums", 2 / (1 - cosine_map(c / sp.sqrt(v))), Using(most, least))
    chain.conclude("bound of a residual chain", residual_bound(c, v))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
