"""A single flipped sign: its exact cost by the amplitude of its input, and the expansion of R(α, n)."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Equal, Using, above, equal, least
from signmag_jax.theory.symbolic.outliers import (
    flip_amplification,
    flip_amplification_expansion,
    flip_energy,
    flip_energy_expansion,
)
from signmag_jax.theory.symbolic.symbols import amplitude, growth, overlap, width

TITLE = "A single flipped sign"

alpha, n = amplitude, width
h, small = sp.symbols("tau s", positive=True)
j = sp.Symbol("j", positive=True, integer=True)
x = sp.Function("x", real=True)


def prove(proof: Proof) -> None:
    proof.suppose("an entry of a unit input", least(1, alpha), above(n, 1))
    others = sp.Sum(x(j) ** 2, (j, 2, n))
    unit = proof.suppose("the rest of a unit input, x_1 = α", equal(others, 1 - alpha**2))
    product = proof.start("E z z' over independent unit weights", others + alpha * (-alpha))
    product.step("unit input", 1 - 2 * alpha**2, Using(unit))
    product.lemma("overlap of one flip")
    size = proof.start("E z'²", others + (-alpha) ** 2)
    size.step("unit input", sp.Integer(1), Using(unit))
    size.lemma("growth of one flip")

    cost = proof.begin(proof.cite("theorem_3", "energy"))
    cost.at("the two moments", {overlap: product.value, growth: size.value})
    cost.conclude("energy of one flip", flip_energy(alpha))
    _expansion(proof)


def _expansion(proof: Proof) -> None:
    """Both amplitudes shrink together: α = τ a, 1/√n = τ b, τ → 0."""
    proof.suppose("small amplitudes", above(1, small))
    angle = proof.start("acos(1 − 2s²)", sp.acos(1 - 2 * small**2))
    angle.step("double angle", 2 * sp.asin(small), Equal(small, sp.Integer(0)))
    cost = proof.start("cost at amplitude s", flip_energy(small))
    cost.expand("Taylor polynomial", 2 * small**2 - 8 * small**3 / (3 * sp.pi), small, 3, angle.fact)
    cost.conclude("cost of a small flip", flip_energy_expansion(small))

    a, b = sp.symbols("a b", positive=True)
    proof.suppose("both amplitudes", above(1, h * a), above(1, h * b))
    angles = [proof.begin(angle.fact).at(f"s = {size}", {small: size}).fact for size in (h * a, h * b)]
    relative = proof.start("R/(n α²)", flip_amplification(h * a, 1 / (h * b) ** 2) * b**2 / a**2)
    relative.expand("Taylor polynomial", 1 - 4 / (3 * sp.pi) * (a - b) * h, h, 1, *angles)
    relative.conclude(
        "expansion of the amplification", flip_amplification_expansion(h * a, 1 / (h * b) ** 2) * b**2 / a**2
    )


if __name__ == "__main__":
    raise SystemExit(run(__file__))
