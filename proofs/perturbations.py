"""The two moments of each weight perturbation, and the size at which magnitudes match sign flips."""

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import Algebra, Antiderivatives, Product, Using, by
from signmag_jax.theory.symbolic.gaussian import expectation, normal_density, weight
from signmag_jax.theory.symbolic.perturbations import (
    error_energy,
    magnitude_noise,
    magnitude_shift,
    matched_size,
    sign_flip,
    sign_quantize,
    ternarize,
)
from signmag_jax.theory.symbolic.symbols import rate, scale, size, threshold

TITLE = "Moments of weight perturbations"
w, p, eps, t, a = weight, rate, size, threshold, scale
g = sp.Symbol("g", real=True)


def prove(proof: Proof) -> None:
    one = proof.cite("bussgang_constant", "total mass")
    zero = proof.cite("bussgang_constant", "mean")
    square = proof.cite("bussgang_constant", "second moment")
    magnitude = proof.cite("bussgang_constant", "E w sign w")
    signs = proof.cite("bussgang_constant", "second moment of the sign")
    _flip(proof, square)
    _shift(proof, square, magnitude, signs)
    _noise(proof, one, zero, square)
    _quantisers(proof, magnitude, signs)
    _matching(proof)


def _flip(proof: Proof, square) -> None:
    def flipped(function) -> sp.Expr:
        """E f(w') with w' = −w at probability p."""
        return p * expectation(function(-w), w) + (1 - p) * expectation(function(w), w)

    overlap = proof.start("sign flip: E w w'", flipped(lambda new: w * new))
    overlap.step("pull out the sign", -p * square.lhs + (1 - p) * square.lhs, Algebra())
    overlap.step("insert the second moment", 1 - 2 * p, Using(square))
    overlap.conclude("sign flip: c", sign_flip(p).c)

    growth = proof.start("sign flip: E w'²", flipped(lambda new: new**2))
    growth.step("add the two cases", square.lhs, Algebra())
    growth.step("insert the second moment", sp.Integer(1), Using(square))
    growth.conclude("sign flip: v", sign_flip(p).v)


def _shift(proof: Proof, square, magnitude, signs) -> None:
    shifted = w + eps * sp.sign(w)
    overlap = proof.start("magnitude shift: E w w'", expectation(w * shifted, w))
    overlap.step("expand", square.lhs + eps * magnitude.lhs, Algebra())
    overlap.step("insert the moments", 1 + eps * sp.sqrt(2 / sp.pi), Using(square, magnitude))
    overlap.conclude("magnitude shift: c", magnitude_shift(eps).c)

    growth = proof.start("magnitude shift: E w'²", expectation(shifted**2, w))
    growth.step("expand", square.lhs + 2 * eps * magnitude.lhs + eps**2 * signs.lhs, Algebra())
    growth.step(
        "insert the moments",
        1 + 2 * eps * sp.sqrt(2 / sp.pi) + eps**2,
        Using(square, magnitude, signs),
    )
    growth.conclude("magnitude shift: v", magnitude_shift(eps).v)


def _noise(proof: Proof, one, zero, square) -> None:
    """The noise sign(w) g is distributed as g and independent of w; both orders of factors are kept."""
    noisy = w + eps * sp.sign(w) * g
    mass, mean, energy = (by.specialise(fact, {w: g}) for fact in (one, zero, square))
    magnitude = expectation(w * sp.sign(w), w)
    overlap = proof.start("magnitude noise: E w w'", expectation(w * noisy, w, g))
    overlap.step("separate", square.lhs * mass.lhs + eps * magnitude * mean.lhs, Product())
    overlap.step("insert the moments", sp.Integer(1), Using(square, mass, mean))
    overlap.conclude("magnitude noise: c", magnitude_noise(eps).c)

    signs = expectation(sp.sign(w) ** 2, w)
    growth = proof.start("magnitude noise: E w'²", expectation(noisy**2, w, g))
    growth.step(
        "separate",
        square.lhs * mass.lhs + 2 * eps * magnitude * mean.lhs + eps**2 * signs * energy.lhs,
        Product(),
    )
    unit = proof.cite("bussgang_constant", "second moment of the sign")
    growth.step("insert the moments", 1 + eps**2, Using(square, mass, mean, energy, unit))
    growth.conclude("magnitude noise: v", magnitude_noise(eps).v)


def _quantisers(proof: Proof, magnitude, signs) -> None:
    best = sp.sqrt(2 / sp.pi)
    overlap = proof.start("sign quantiser: E w w'", expectation(w * best * sp.sign(w), w))
    overlap.step("pull out the scale", best * magnitude.lhs, Algebra())
    overlap.step("insert the mean magnitude", 2 / sp.pi, Using(magnitude))
    overlap.conclude("sign quantiser: c", sign_quantize().c)

    growth = proof.start("sign quantiser: E w'²", expectation((best * sp.sign(w)) ** 2, w))
    growth.step("pull out the scale", 2 / sp.pi * signs.lhs, Algebra())
    growth.step("insert the moment", 2 / sp.pi, Using(signs))
    growth.conclude("sign quantiser: v", sign_quantize().v)

    density = normal_density(w)
    above, below = (w, t, sp.oo), (w, -sp.oo, -t)
    kept = proof.start(
        "ternary quantiser: E w w'",
        a * sp.Integral(w * density, above) - a * sp.Integral(w * density, below),
    )
    kept.step("integrate", 2 * a * normal_density(t), Antiderivatives(w, (-density,)))
    kept.conclude("ternary quantiser: c", ternarize(t, a).c)

    share = proof.start(
        "ternary quantiser: E w'²", a**2 * sp.Integral(density, above) + a**2 * sp.Integral(density, below)
    )
    share.step(
        "integrate",
        a**2 * (1 - sp.erf(t / sp.sqrt(2))),
        Antiderivatives(w, (sp.erf(w / sp.sqrt(2)) / 2,)),
    )
    share.conclude("ternary quantiser: v", ternarize(t, a).v)


def _matching(proof: Proof) -> None:
    """E(w' − w)² = v + 1 − 2c, and the size at which two perturbations have the same."""
    square = proof.cite("bussgang_constant", "second moment")
    signs = proof.cite("bussgang_constant", "second moment of the sign")
    flips = proof.start(
        "error of flips", p * expectation((-w - w) ** 2, w) + (1 - p) * expectation((w - w) ** 2, w)
    )
    flips.step("pull out the constants", 4 * p * square.lhs, Algebra())
    flips.step("insert the second moment", 4 * p, Using(square))
    flips.conclude("error of flips", error_energy(*sign_flip(p)))
    shift = proof.start("error of a shift", expectation((w + eps * sp.sign(w) - w) ** 2, w))
    shift.step("pull out the constants", eps**2 * signs.lhs, Algebra())
    shift.step("insert the second moment", eps**2, Using(signs))
    shift.conclude("error of a shift", error_energy(*magnitude_shift(eps)))
    equal = proof.start("error of the shift by the matching size", shift.origin)
    equal.step("the error of a shift", eps**2, Using(shift.fact)).at("ε = 2√p", {eps: matched_size(p)})
    equal.step("the error of flips", flips.origin, Using(flips.fact))
    equal.lemma("the matching size gives the error of the flips")


if __name__ == "__main__":
    raise SystemExit(run(__file__))
