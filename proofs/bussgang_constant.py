"""The Bussgang constant: cos²(w, sign w) = 2/π for Gaussian weights, from E|w| = √(2/π)."""

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Antiderivatives, Differentiate, Split, Using
from signmag_jax.theory.symbolic.energies import cosine_squared
from signmag_jax.theory.symbolic.gaussian import expectation, normal_density, weight
from signmag_jax.theory.symbolic.perturbations import error_energy, mean_magnitude, sign_quantize
from signmag_jax.theory.symbolic.symbols import scale

TITLE = "The Bussgang constant"

w, a = weight, scale
density = normal_density(w)
mass = sp.erf(w / sp.sqrt(2)) / 2
halves = Split(w, (-sp.oo, sp.Integer(0), sp.oo))


def half_lines(right: sp.Expr, left: sp.Expr) -> sp.Expr:
    """∫ right over w > 0 and ∫ left over w < 0, with the normal density."""
    return sp.Integral(right * density, (w, 0, sp.oo)) + sp.Integral(left * density, (w, -sp.oo, 0))


def prove(proof: Proof) -> None:
    one = sp.Integer(1)
    moments = {}
    for name, function, right, left, primitive, value in (
        ("total mass", one, one, one, mass, one),
        ("mean", w, w, w, -density, sp.Integer(0)),
        ("second moment", w**2, w**2, w**2, mass - w * density, one),
        ("E w sign w", w * sp.sign(w), w, -w, -density, sp.sqrt(2 / sp.pi)),
        ("second moment of the sign", sp.sign(w) ** 2, one, one, mass, one),
    ):
        chain = proof.start(name, expectation(function, w))
        chain.step("both halves", half_lines(right, left), halves)
        chain.step("integrate", value, Antiderivatives(w, (primitive, -primitive)))
        moments[name] = chain.lemma(name)
    magnitude, square, signs = (
        moments[name] for name in ("E w sign w", "second moment", "second moment of the sign")
    )
    proof.begin(magnitude).conclude("mean magnitude", mean_magnitude())

    inserted = Using(magnitude, square, signs)
    cosine = proof.start("cos²(w, sign w)", magnitude.lhs**2 / (square.lhs * signs.lhs))
    cosine.step("insert the moments", 2 / sp.pi, inserted)
    cosine.conclude("cosine of the sign quantiser", cosine_squared(*sign_quantize()))

    error = proof.start("error of a scaled sign", expectation((w - a * sp.sign(w)) ** 2, w))
    error.step("expand", square.lhs - 2 * a * magnitude.lhs + a**2 * signs.lhs, Algebra())
    error.step("insert the moments", 1 - 2 * a * sp.sqrt(2 / sp.pi) + a**2, inserted)
    error.step("complete the square", (a - sp.sqrt(2 / sp.pi)) ** 2 + 1 - 2 / sp.pi, Algebra())
    error.conclude("error of a scaled sign", (a - mean_magnitude()) ** 2 + error_energy(*sign_quantize()))
    excess = proof.positive("a square", (a - sp.sqrt(2 / sp.pi)) ** 2)
    proof.conclude("no scale has a smaller error than the mean magnitude", excess)

    slope = proof.start("slope of the error in the scale", sp.Derivative(error.value, a))
    slope.step("differentiate", 2 * (a - sp.sqrt(2 / sp.pi)), Differentiate())
    slope.conclude("the least-squares scale is the mean magnitude", 2 * (a - mean_magnitude()))

    rest = proof.start("correlation of the rest", expectation(w * (sp.sign(w) - sp.sqrt(2 / sp.pi) * w), w))
    rest.step("expand", magnitude.lhs - sp.sqrt(2 / sp.pi) * square.lhs, Algebra())
    rest.step("insert the moments", sp.Integer(0), Using(magnitude, square))
    rest.lemma("the rest is uncorrelated")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
