"""The Bussgang constant: cos²(w, sign w) = 2/π for Gaussian weights, from E|w| = √(2/π)."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Antiderivatives, Differentiate, Linearity, SplitLine, Using
from signmag_jax.theory.symbolic import cosine_squared, error_energy, mean_magnitude, sign_quantize
from signmag_jax.theory.symbolic.gaussian import expectation, normal_density, weight
from signmag_jax.theory.symbolic.symbols import scale

TITLE = "The Bussgang constant"
STATEMENT = (
    "For w ~ N(0, 1): E|w| = √(2/π), cos²(w, sign w) = 2/π, the least-squares scale of sign w is √(2/π), "
    "and sign w − √(2/π) w is uncorrelated with w."
)

w, a = weight, scale
density = normal_density(w)


def half_line(function: sp.Expr) -> sp.Integral:
    return sp.Integral(function * density, (w, 0, sp.oo))


def prove(proof: Proof) -> None:
    mass = proof.start("total mass", expectation(sp.Integer(1), w))
    mass.step("both halves agree", 2 * half_line(sp.Integer(1)), SplitLine(w))
    mass.step("integrate", sp.Integer(1), Antiderivatives(w, (sp.erf(w / sp.sqrt(2)) / 2,)))
    mass.lemma("total mass")

    mean = proof.start("mean", expectation(w, w))
    mean.step("the halves cancel", sp.Integer(0), SplitLine(w))
    mean.lemma("mean")

    square = proof.start("second moment", expectation(w**2, w))
    square.step("both halves agree", 2 * half_line(w**2), SplitLine(w))
    square.step("integrate", sp.Integer(1), Antiderivatives(w, (sp.erf(w / sp.sqrt(2)) / 2 - w * density,)))
    square.lemma("second moment")

    magnitude = proof.start("E w sign w", expectation(w * sp.sign(w), w))
    magnitude.step("fold onto the half line", 2 * half_line(w), SplitLine(w))
    magnitude.step("integrate", sp.sqrt(2 / sp.pi), Antiderivatives(w, (-density,)))
    magnitude.conclude("mean magnitude", mean_magnitude())

    signs = proof.start("E sign² w", expectation(sp.sign(w) ** 2, w))
    signs.step("fold onto the half line", 2 * half_line(sp.Integer(1)), SplitLine(w))
    signs.step("integrate", sp.Integer(1), Antiderivatives(w, (sp.erf(w / sp.sqrt(2)) / 2,)))
    signs.lemma("second moment of the sign")

    moments = Using(magnitude.fact, square.fact, signs.fact)
    cosine = proof.start("cos²(w, sign w)", magnitude.origin**2 / (square.origin * signs.origin))
    cosine.step("insert the moments", 2 / sp.pi, moments)
    cosine.conclude("cosine of the sign quantiser", cosine_squared(*sign_quantize()))

    error = proof.start("error of a scaled sign", expectation((w - a * sp.sign(w)) ** 2, w))
    error.step("expand", square.origin - 2 * a * magnitude.origin + a**2 * signs.origin, Linearity())
    error.step("insert the moments", 1 - 2 * a * sp.sqrt(2 / sp.pi) + a**2, moments)
    error.step("complete the square", (a - sp.sqrt(2 / sp.pi)) ** 2 + 1 - 2 / sp.pi, Algebra())
    error.conclude("error of a scaled sign", (a - mean_magnitude()) ** 2 + error_energy(*sign_quantize()))

    slope = proof.start("slope of the error in the scale", sp.Derivative(error.value, a))
    slope.step("differentiate", 2 * (a - sp.sqrt(2 / sp.pi)), Differentiate())
    slope.conclude("the least-squares scale is the mean magnitude", 2 * (a - mean_magnitude()))

    rest = proof.start("correlation of the rest", expectation(w * (sp.sign(w) - sp.sqrt(2 / sp.pi) * w), w))
    rest.step("expand", magnitude.origin - sp.sqrt(2 / sp.pi) * square.origin, Linearity())
    rest.step("insert the moments", sp.Integer(0), Using(magnitude.fact, square.fact))
    rest.lemma("the rest is uncorrelated")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
