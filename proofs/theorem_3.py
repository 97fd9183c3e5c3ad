"""Theorem 3: the transverse energies of sign flips and magnitude shifts, their ratio, and its expansion."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import Algebra, Derivative, Linearity, Series, Using
from signmag_jax.theory.symbolic import (
    analytic_transverse_ratio,
    energy,
    kappa,
    magnitude_shift,
    matched_size,
    radial,
    radial_fraction,
    transverse,
    transverse_ratio,
    transverse_ratio_expansion,
    transverse_ratio_limit,
)
from signmag_jax.theory.symbolic.gaussian import angle, expectation, first, perturbed, relu, second
from signmag_jax.theory.symbolic.symbols import growth, overlap, rate, root_rate, size

TITLE = "Theorem 3: the transverse ratio of sign and magnitude errors"
STATEMENT = (
    "At equal Frobenius norm, T(flips at rate p)/T(shift by 2√p) = A(p) with T = v/2 − 2κ². As p → 0, "
    "A(p) = π/(π − 2) [1 − (4/(3π))(1 − k)√p − (1 + (8/(3π)) b k + (16/(9π²)) k(1 − k)) p + O(p^{3/2})], "
    "b = √(2/π), k = √(1 − 2/π)."
)

c, v, p, s = overlap, growth, rate, root_rate
z, u = first, second
half = sp.Rational(1, 2)


def prove(proof: Proof) -> None:
    proof.domain |= {c: (half, sp.Rational(9, 10)), v: (1, 2)}
    _split_of_energy(proof)
    ratio = _ratio(proof)
    analytic = _analytic(proof, ratio)
    _expansion(analytic)


def _split_of_energy(proof: Proof) -> None:
    """e = E(h' − h)², r = (E h(h' − h))²/E h² and T = e − r, from the three moments of (h, h')."""
    theta = sp.Symbol("theta", real=True)
    turn = {theta: angle(c, v)}
    clean = proof.cite("arccos_kernel", "second moment")
    changed = proof.cite("arccos_kernel", "perturbed second moment").at(turn)
    both = proof.cite("arccos_kernel", "kernel in the moments").at(turn)
    h, new = relu(z), relu(perturbed(angle(c, v), v))

    error = proof.start("energy e", expectation((new - h) ** 2, z, u))
    error.step("expand the square", changed.lhs + clean.lhs - 2 * both.lhs, Linearity())
    error.step("insert the moments", v / 2 + half - 2 * kappa(c, v), Using(changed, clean, both))
    error.conclude("energy", energy(c, v))

    along = proof.start("E h(h' − h)", expectation(h * (new - h), z, u))
    along.step("expand the product", both.lhs - clean.lhs, Linearity())
    along.step("insert the moments", kappa(c, v) - half, Using(clean, both))
    part = proof.start("radial energy r", along.origin**2 / clean.lhs)
    part.step("insert the moments", 2 * (kappa(c, v) - half) ** 2, Using(along.fact, clean))
    part.conclude("radial energy", radial(c, v))

    rest = proof.start("transverse energy T = e − r", error.origin - part.origin)
    rest.step("insert e", error.value - part.origin, Using(error.fact))
    rest.step("insert r", error.value - part.value, Using(part.fact))
    rest.step("collect", v / 2 - 2 * kappa(c, v) ** 2, Algebra())
    rest.conclude("transverse energy", transverse(c, v))
    share = proof.start("radial fraction R = r/e", part.origin / error.origin)
    share.step("insert e", part.origin / error.value, Using(error.fact))
    share.step("insert r", part.value / error.value, Using(part.fact))
    share.conclude("radial fraction", radial_fraction(c, v))


def _ratio(proof: Proof) -> Chain:
    """The moments of both perturbations at the size of equal Frobenius norm go into T."""
    cited = ("sign flip: c", "sign flip: v", "magnitude shift: c", "magnitude shift: v", "matching size")
    *moments, match = (proof.cite("perturbations", name) for name in cited)
    names = sp.symbols("c_flip v_flip c_shift v_shift", positive=True)
    inserted = []
    for name, moment in zip(names, moments, strict=True):
        inserted.append(proof.call(name, moment.at({size: match.rhs})))
    c_flip, v_flip, c_shift, v_shift = names
    chain = proof.start("A(p)", transverse(c_flip, v_flip) / transverse(c_shift, v_shift))
    flips = half - 2 * kappa(1 - 2 * p, sp.Integer(1)) ** 2
    chain.step("moments of the flips", flips / transverse(c_shift, v_shift), Using(*inserted[:2]))
    chain.step(
        "moments of the shift by 2√p",
        flips / transverse(*magnitude_shift(matched_size(p))),
        Using(*inserted[2:]),
    )
    chain.conclude("transverse ratio", transverse_ratio(p))
    return chain


def _analytic(proof: Proof, ratio: Chain) -> Chain:
    """Both angles are analytic in s = √p: acos(1 − 2s²) = 2 asin s, and an arctangent for the shift."""
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Derivative(s, sp.Integer(0)))
    c_shift, v_shift = magnitude_shift(2 * s)
    noise = 4 * s**2 * (1 - 2 / sp.pi)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    shift.step("tangent", sp.atan(sp.sqrt(noise) / c_shift), Derivative(s, sp.Integer(0)))

    chain = ratio.branch()
    in_root = (half - 2 * _kernel(s**2, sp.acos(1 - 2 * s**2)) ** 2) / transverse(c_shift, v_shift)
    chain.step("p = s²", in_root, Using(proof.let(p, s**2, "the variable s")))
    flips = half - 2 * _kernel(s**2, flip.value) ** 2
    chain.step("angle of the flips", flips / transverse(c_shift, v_shift), Using(flip.fact))
    chain.step("angle of the shift", analytic_transverse_ratio(s), Using(shift.fact))
    chain.lemma("analytic form")
    return chain


def _kernel(p: sp.Expr, theta: sp.Expr) -> sp.Expr:
    """κ of flips at rate p with the given form of its angle."""
    return (sp.sqrt(1 - (1 - 2 * p) ** 2) + (sp.pi - theta) * (1 - 2 * p)) / (2 * sp.pi)


def _expansion(analytic: Chain) -> None:
    limit = analytic.branch()
    limit.step("constant term", sp.pi / (sp.pi - 2), Series(s, 1))
    limit.conclude("limit of the transverse ratio", transverse_ratio_limit())

    b, k = sp.sqrt(2 / sp.pi), sp.sqrt(1 - 2 / sp.pi)
    root = -4 / (3 * sp.pi) * (1 - k)
    linear = -1 - 8 * b * k / (3 * sp.pi) - 16 * k * (1 - k) / (9 * sp.pi**2)
    expansion = analytic.branch()
    expansion.step("Taylor polynomial", sp.pi / (sp.pi - 2) * (1 + root * s + linear * s**2), Series(s, 3))
    expansion.conclude("expansion of the transverse ratio", transverse_ratio_expansion(s**2))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
