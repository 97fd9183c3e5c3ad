"""A single flipped sign: its exact cost by the amplitude of its input, and the expansion of R(α, n)."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Derivative, Series, Using
from signmag_jax.theory.symbolic import flip_amplification, flip_amplification_expansion, flip_energy
from signmag_jax.theory.symbolic.symbols import amplitude, cosine, growth, overlap, width

TITLE = "A single flipped sign"
STATEMENT = (
    "Unit input with one entry of amplitude α. Flipping the sign of its weight makes (z, z') Gaussian with "
    "correlation 1 − 2α² and costs 1 − J(1 − 2α²); R(α, n) = (1 − J(1 − 2α²))/(1 − J(1 − 2/n)) = "
    "n α² [1 − (4/(3π))(α − 1/√n) + O(α², 1/n)]."
)

alpha, n, rho = amplitude, width, cosine
h, small, beta = sp.symbols("tau s beta", positive=True)
j = sp.Symbol("j", positive=True, integer=True)
x, half = sp.IndexedBase("x", real=True), sp.Rational(1, 2)


def prove(proof: Proof) -> None:
    proof.domain |= {n: (2, 900), rho: (0, 1), beta: (0, half), h: (0, half)}
    others = sp.Sum(x[j] ** 2, (j, 2, n))
    norm = proof.let(others, 1 - alpha**2, "the rest of a unit input, x_1 = α")
    product = proof.start("E z z' over independent unit weights", others + alpha * (-alpha))
    product.step("unit input", 1 - 2 * alpha**2, Using(norm))
    size = proof.start("E z'²", others + (-alpha) ** 2)
    size.step("unit input", sp.Integer(1), Using(norm))

    moments = proof.call(overlap, product.fact), proof.call(growth, size.fact)
    energy = proof.cite("theorem_3", "energy")
    cost = proof.start("energy of one flip", energy.rhs)
    in_map = sp.sqrt(1 - (1 - 2 * alpha**2) ** 2) + (sp.pi - sp.acos(1 - 2 * alpha**2)) * (1 - 2 * alpha**2)
    cost.step("insert the moments", 1 - in_map / sp.pi, Using(*moments))
    cost.conclude("energy of one flip", flip_energy(alpha))

    ratio = proof.start("R(α, n)", cost.value / cost.value.subs(alpha, beta))
    spread = proof.let(beta, 1 / sp.sqrt(n), "a delocalised entry")
    ratio.step("delocalised entry", cost.value / cost.value.subs(alpha, 1 / sp.sqrt(n)), Using(spread))
    ratio.conclude("amplification", flip_amplification(alpha, n))
    _expansion(proof, cost.value)


def _expansion(proof: Proof, cost: sp.Expr) -> None:
    """Both amplitudes shrink together: α = τ a, 1/√n = τ b, τ → 0."""
    angle = proof.start("acos(1 − 2s²)", sp.acos(1 - 2 * small**2))
    angle.step("double angle", 2 * sp.asin(small), Derivative(small, sp.Integer(0)))
    analytic = (
        1 - (2 * small * sp.sqrt(1 - small**2) + (sp.pi - 2 * sp.asin(small)) * (1 - 2 * small**2)) / sp.pi
    )
    chain = proof.start("cost at amplitude s", cost)
    chain.step("amplitude s", cost.subs(alpha, small), Using(proof.let(alpha, small, "amplitude")))
    chain.step("double angle", analytic, Using(angle.fact))
    a, b = sp.symbols("a b", positive=True)
    relative = proof.start(
        "R/(n α²)", chain.value.subs(small, h * a) / chain.value.subs(small, h * b) * (b / a) ** 2
    )
    relative.step("Taylor polynomial", 1 - 4 / (3 * sp.pi) * (a - b) * h, Series(h, 2))
    shares = flip_amplification_expansion(h * a, 1 / (h * b) ** 2) / ((h * a) ** 2 / (h * b) ** 2)
    relative.conclude("expansion of the amplification", shares)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
