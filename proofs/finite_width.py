"""Finite width: what the fourth cumulants of a row's weights do to the kernel, and the flips' share of it.

For a unit input x the pair (w·x, w'·x) has the fourth cumulants κ_ab Σ x_j⁴, and to first order in them (by
Edgeworth's expansion, which is not derived here) a mean changes by Σ x_j⁴/24 Σ_a C(4, a) κ_ab E ∂_z^a ∂_z'^b.
On Gaussian means such derivatives are derivatives by the moments (not derived here either): ∂_z² is 2∂_s,
∂_z ∂_z' is ∂_c, ∂_z'² is 2∂_v.
"""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import (
    Algebra,
    Antiderivatives,
    Differentiate,
    Equal,
    Split,
    Using,
    above,
    equal,
)
from signmag_jax.theory.symbolic.energies import kappa
from signmag_jax.theory.symbolic.gaussian import angle, expectation, normal_density, weight
from signmag_jax.theory.symbolic.perturbations import magnitude_shift, sign_flip
from signmag_jax.theory.symbolic.symbols import growth, overlap, rate, root_rate, size, width
from signmag_jax.theory.symbolic.width import (
    AbsoluteMoments,
    FourthCumulants,
    finite_width_slope,
    flip_cumulants,
    kernel_change,
    profile_variance,
    saturation_coefficient,
    share_mean,
    share_variance,
    shift_cumulants,
    transverse_change,
    width_coefficient,
)

TITLE = "Finite width"

p, s, n, w, eps, c, v = rate, root_rate, width, weight, size, overlap, growth
j = sp.Symbol("j", positive=True, integer=True)
x, mask = sp.Function("x", real=True), sp.Function("M", real=True)
share, fourth, spread, small = sp.symbols("q Q4 S tau", positive=True)
half, zero = sp.Rational(1, 2), sp.Integer(0)
density = normal_density(w)


def prove(proof: Proof) -> None:
    moments = _moments(proof)
    _correlation(proof)
    _share(proof, moments)
    _flips(proof)
    _second_slopes(proof)
    _cumulants(proof, moments)
    _small_rates(proof)
    _single_flips(proof)


def primitive(polynomial: sp.Expr) -> sp.Expr:
    """∫ polynomial · density, by ∫ w^k φ = −w^{k−1} φ + (k − 1) ∫ w^{k−2} φ."""
    total = sp.Integer(0)
    for (k,), coefficient in sp.Poly(polynomial, w).terms():
        while k > 0:
            total -= coefficient * w ** (k - 1) * density
            coefficient, k = coefficient * (k - 1), k - 2
        total += coefficient * sp.erf(w / sp.sqrt(2)) / 2 if k == 0 else 0
    return total


def _mean(proof: Proof, name: str, function: Any, value: sp.Expr) -> Any:
    """E f(w, w') for w' = w + ε sign w, on each half line."""
    right, left = (sp.expand(function(w, w + turn * eps)) for turn in (1, -1))
    chain = proof.start(name, expectation(function(w, w + eps * sp.sign(w)), w))
    halves = sp.Integral(right * density, (w, 0, sp.oo)) + sp.Integral(left * density, (w, -sp.oo, 0))
    chain.step("both halves", halves, Split(w, (-sp.oo, zero, sp.oo)))
    chain.step("integrate", value, Antiderivatives(w, (primitive(right), primitive(left))))
    return chain.lemma(name)


def _moments(proof: Proof) -> dict[str, Any]:
    b = sp.sqrt(2 / sp.pi)
    powers = {
        "E w⁴": (lambda z, _: z**4, sp.Integer(3)),
        "E w³w'": (lambda z, y: z**3 * y, 3 + 2 * b * eps),
        "E w²w'²": (lambda z, y: z**2 * y**2, 3 + 4 * b * eps + eps**2),
        "E w w'³": (lambda z, y: z * y**3, 3 + 6 * b * eps + 3 * eps**2 + b * eps**3),
        "E w'⁴": (lambda _, y: y**4, 3 + 8 * b * eps + 6 * eps**2 + 4 * b * eps**3 + eps**4),
    }
    return {name: _mean(proof, name, *power) for name, power in powers.items()}


def _correlation(proof: Proof) -> None:
    """E z z' over independent unit weights, of which w_j' = (1 − 2M_j) w_j."""
    norm, flipped = sp.Sum(x(j) ** 2, (j, 1, n)), sp.Sum(mask(j) * x(j) ** 2, (j, 1, n))
    named = (
        proof.suppose("a unit input", equal(norm, sp.Integer(1))),
        proof.let(share, flipped, "q = Σ M_j x_j²"),
    )
    chain = proof.start("E[z z' | M, x]", sp.Sum((1 - 2 * mask(j)) * x(j) ** 2, (j, 1, n)))
    chain.step("expand", norm - 2 * flipped, Algebra())
    chain.step("name the sums", 1 - 2 * share, Using(*named))
    chain.lemma("correlation given the mask")


def _share(proof: Proof, moments: dict[str, Any]) -> None:
    """Moments of q: x = g/‖g‖ with g standard normal and ‖g‖ independent of x, so E x_j⁴ = E g_j⁴/E‖g‖⁴."""
    g4 = proof.call(sp.Symbol("G4", positive=True), moments["E w⁴"])
    length = n * g4.lhs + n * (n - 1)
    variance = proof.start(
        "E q² − (E q)²", n * p * g4.lhs / length + n * (n - 1) * p**2 / length - share_mean(p) ** 2
    )
    variance.step("insert the fourth moment", 3 * p * (1 - p) / (n + 2), Using(g4))
    variance.conclude("variance of the share", share_variance(p, n))
    given = proof.start("Var q, given x", p * fourth + p**2 * (1 - fourth) - p**2)
    given.step("collect", p * (1 - p) * fourth, Algebra())
    given.conclude("variance of the share of a given input", profile_variance(p, fourth))


def _flips(proof: Proof) -> None:
    """κ at correlation 1 − 2q: half its second slope times Var q is what the cumulants of the flips give."""
    proof.suppose("rates", above(1, p))
    slope = proof.start("κ'(p)", sp.Derivative(kappa(*sign_flip(p)), p))
    slope.step("differentiate", -(sp.pi - sp.acos(1 - 2 * p)) / sp.pi, Differentiate())
    slope.lemma("slope of κ")
    bend = proof.start("κ''(p)", sp.Derivative(slope.value, p))
    bend.step("differentiate", 1 / (sp.pi * sp.sqrt(p * (1 - p))), Differentiate())
    bend.lemma("second slope of κ")
    change = proof.start("½ κ'' Var q per Σ x_j⁴", bend.value * profile_variance(p, sp.Integer(1)) / 2)
    change.step("the cumulants' formula", kernel_change(flip_cumulants(p), *sign_flip(p)), Algebra())
    change.lemma("flips change κ as their cumulants say")


def _second_slopes(proof: Proof) -> None:
    """κ of variances S and v and covariance c: its second slopes at S = 1 make up the change by cumulants."""
    proof.suppose("moments of a pair", above(spread * v, c**2))
    cosine = c / sp.sqrt(spread * v)
    kernel = (sp.sqrt(spread * v - c**2) + (sp.pi - sp.acos(cosine)) * c) / (2 * sp.pi)
    root = sp.sqrt(spread * v - c**2)
    first = {
        spread: root / (4 * sp.pi * spread),
        c: (sp.pi - sp.acos(cosine)) / (2 * sp.pi),
        v: root / (4 * sp.pi * v),
    }
    second = {
        (spread, spread): (c**2 - (spread * v - c**2)) / (8 * sp.pi * spread**2 * root),
        (c, spread): -c / (4 * sp.pi * spread * root),
        (c, c): 1 / (2 * sp.pi * root),
        (c, v): -c / (4 * sp.pi * v * root),
        (v, v): (c**2 - (spread * v - c**2)) / (8 * sp.pi * v**2 * root),
    }
    for symbol, value in first.items():
        chain = proof.start(f"∂κ/∂{symbol}", sp.Derivative(kernel, symbol))
        chain.step("differentiate", value, Differentiate())
        chain.lemma(f"slope of κ by {symbol}")
    for (outer, inner), value in second.items():
        chain = proof.start(f"∂²κ/∂{outer}∂{inner}", sp.Derivative(first[outer], inner))
        chain.step("differentiate", value, Differentiate())
        chain.lemma(f"second slope of κ by {outer} and {inner}")
    names = sp.symbols("k_40 k_31 k_22 k_13 k_04", real=True)
    weights = (4, 4 * 2, 6, 4 * 2, 4)
    terms = zip(names, weights, second.values(), strict=True)
    change = proof.start(
        "Σ_a C(4, a) κ_ab E ∂^a ∂'^b/24", sp.Add(*(k * m * value for k, m, value in terms)) / 24
    )
    change.at("unit variance", {spread: sp.Integer(1)})
    change.step("collect", kernel_change(FourthCumulants(*names), c, v), Algebra())
    change.lemma("change of the kernel per Σ x_j⁴")


def _cumulants(proof: Proof, moments: dict[str, Any]) -> None:
    """κ_ab = E w^a w'^b less its Gaussian part, with E w² = 1, E w w' = c and E w'² = v."""
    named = [proof.call(sp.Symbol(f"m_{k}", positive=True), fact) for k, fact in enumerate(moments.values())]
    c_shift, v_shift = magnitude_shift(eps)
    gaussian = (sp.Integer(3), 3 * c_shift, v_shift + 2 * c_shift**2, 3 * c_shift * v_shift, 3 * v_shift**2)
    for k, (fact, part, law) in enumerate(zip(named, gaussian, shift_cumulants(eps), strict=True)):
        chain = proof.start(f"κ_{4 - k}{k} of the shift", fact.lhs - part)
        chain.step("insert the moment", law, Using(fact))
        chain.lemma(f"κ_{4 - k}{k} of the shift")


def _small_rates(proof: Proof) -> None:
    """The coefficient of 1/n in s = √p, and what leads it."""
    proof.suppose("rates up to 1/2", above(1 / sp.sqrt(2), s))
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Equal(s, zero))
    c_shift, v_shift = magnitude_shift(2 * s)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    shift.step("tangent", sp.atan(2 * s * sp.sqrt(1 - 2 / sp.pi) / c_shift), Equal(s, zero))
    flips = transverse_change(flip_cumulants(s**2), *sign_flip(s**2))
    shifts = transverse_change(shift_cumulants(2 * s), c_shift, v_shift)
    whole = proof.start("√p times the coefficient of 1/n", s * finite_width_slope(s**2))
    parts = 3 * s * flips - 3 * s * shifts
    if whole.value != parts:
        whole.step("flips less shift", parts, Algebra())
    whole.lemma("coefficient of 1/n at every rate, times √p")
    lead = proof.start("its parts", parts)
    lead.limit("p → 0", -3 / (2 * sp.pi), s, flip.fact, shift.fact)
    lead.conclude("coefficient of 1/n at small rates", width_coefficient(s**2) * s)


def _single_flips(proof: Proof) -> None:
    """One flip of |w_j x_j| = s costs E(relu(z + s) − relu(z − s))², z the rest of a wide row and normal.

    The mean is over w_j and x_j = g_j/‖g‖, ‖g‖²/n → 1.
    """
    above, below = w + small, w - small
    parts = [sp.expand(above**2), sp.expand(below**2 - 2 * above * below)]
    ends = [(w, -small, sp.oo), (w, small, sp.oo)]
    whole = sp.Add(*(sp.Integral(part * density, end) for part, end in zip(parts, ends, strict=True)))
    cost = proof.start("cost of one flip", whole)
    normal = sp.erf(small / sp.sqrt(2))
    bend = small * sp.sqrt(2 / sp.pi) * sp.exp(-(small**2) / 2)
    closed = 2 * small**2 + (1 - small**2) * normal - bend
    cost.step("integrate", closed, Antiderivatives(w, tuple(map(primitive, parts))))
    cost.expand("Taylor polynomial", 2 * small**2 - 2 * sp.sqrt(2 / sp.pi) / 3 * small**3, small, 3)
    cost.lemma("cost of one small flip")
    cube = proof.start("E|g|³", expectation(sp.Abs(w) ** 3, w))
    halves = sp.Integral(w**3 * density, (w, 0, sp.oo)) - sp.Integral(w**3 * density, (w, -sp.oo, 0))
    cube.step("both halves", halves, Split(w, (-sp.oo, zero, sp.oo)))
    cube.step("integrate", 2 * sp.sqrt(2 / sp.pi), Antiderivatives(w, (primitive(w**3),)))
    cube.lemma("third absolute moment")
    third = proof.call(sp.Symbol("G3", positive=True), cube.fact)
    terms = sp.Poly(cost.value, small)
    own = AbsoluteMoments(sp.Symbol("b", positive=True), sp.Symbol("W_3", positive=True), sp.Integer(3))
    chain = proof.start(
        "√n (E cost/(2 E w² E x²) − 1)",
        terms.coeff_monomial(small**3) * own.third * third.lhs / terms.coeff_monomial(small**2),
    )
    chain.step("insert the moment", -4 * own.third / (3 * sp.pi), Using(third))
    chain.conclude("saturation", saturation_coefficient(own))


if __name__ == "__main__":
    raise SystemExit(run(__file__))
