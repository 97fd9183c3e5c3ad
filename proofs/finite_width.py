"""Finite width: the flips of one row, their share of the input's energy, and what its fluctuation does."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import (
    Algebra,
    Antiderivatives,
    Derivative,
    Differentiate,
    Linearity,
    Series,
    SplitLine,
    Using,
)
from signmag_jax.theory.symbolic import (
    finite_width_slope,
    flip_energy_expansion,
    profile_slope,
    profile_variance,
    saturation_coefficient,
    share_mean,
    share_variance,
    width_coefficient,
)
from signmag_jax.theory.symbolic.gaussian import expectation, normal_density
from signmag_jax.theory.symbolic.symbols import rate, root_rate, width

TITLE = "Finite width: flips per row"
STATEMENT = (
    "Given the mask M and a unit input x, (z, z') is Gaussian with correlation 1 − 2q, q = Σ_j M_j x_j². For "
    "x uniform on the sphere and flips at rate p: E q = p, Var q = 3p(1 − p)/(n + 2). To first order in "
    "1/n this fluctuation changes the flips' transverse energy T by −6κ√(p(1 − p))/(πT n) of itself, "
    "for small p −3/(2π√p n), where n p ≫ 1, and by −(4/(3π))√(8/π)/√n where n p ≪ 1. For one given input "
    "Σ x_j⁴ stands for 3/n. The energy of the magnitude shift has its own 1/n term, which is not derived."
)

p, s, n = rate, root_rate, width
half = sp.Rational(1, 2)
w = sp.Symbol("w", real=True)
j = sp.Symbol("j", positive=True, integer=True)
x, mask = sp.IndexedBase("x", real=True), sp.IndexedBase("M", real=True)
share = sp.Symbol("q", positive=True)
fourth = sp.Symbol("Q4", positive=True)
"""Σ_j x_j⁴ of a unit input."""


def prove(proof: Proof) -> None:
    proof.domain |= {n: (2, 90)}
    _correlation(proof)
    variance = _share(proof)
    _many_flips(proof, variance, _given_input(proof))
    _single_flips(proof)


def _correlation(proof: Proof) -> None:
    """E z z' over independent unit weights, of which w_j' = (1 − 2M_j) w_j."""
    chain = proof.start("E[z z' | M, x]", sp.Sum((1 - 2 * mask[j]) * x[j] ** 2, (j, 1, n)))
    norm, flipped = sp.Sum(x[j] ** 2, (j, 1, n)), sp.Sum(mask[j] * x[j] ** 2, (j, 1, n))
    chain.step("expand", norm - 2 * flipped, Linearity())
    names = proof.let(norm, sp.Integer(1), "unit input"), proof.let(flipped, share, "q = Σ M_j x_j²")
    chain.step("name the sums", 1 - 2 * share, Using(*names))
    chain.lemma("correlation given the mask")


def _share(proof: Proof) -> sp.Expr:
    """Moments of q: x = g/‖g‖ with g standard normal, and ‖g‖ independent of x."""
    density = normal_density(w)
    fourth = proof.start("E g_j⁴", expectation(w**4, w))
    fourth.step("fold", 2 * sp.Integral(w**4 * density, (w, 0, sp.oo)), SplitLine(w))
    primitive = 3 * sp.erf(w / sp.sqrt(2)) / 2 - (w**3 + 3 * w) * density
    fourth.step("integrate", sp.Integer(3), Antiderivatives(w, (primitive,)))

    g4, g2, length, x4, x22, x2 = sp.symbols("G4 G2 N4 X4 X22 X2", positive=True)
    known = [
        proof.call(g4, fourth.fact),
        proof.call(g2, proof.cite("bussgang_constant", "second moment")),
    ]
    whole = proof.start("E‖g‖⁴", n * g4 + n * (n - 1) * g2**2)
    whole.step("insert the moments", n * (n + 2), Using(*known))
    named = proof.call(length, whole.fact)
    on_sphere = [
        proof.let(x4, g4 / length, "E x_j⁴"),
        proof.let(x22, g2**2 / length, "E x_j² x_k²"),
        proof.let(x2, g2 / n, "E x_j²"),
    ]
    mean = proof.start("E q", n * p * x2)
    mean.step("insert", p, Using(on_sphere[2], known[1]))
    mean.conclude("mean share", share_mean(p))
    variance = proof.start("E q² − (E q)²", n * p * x4 + n * (n - 1) * p**2 * x22 - (n * p * x2) ** 2)
    variance.step("insert the sphere", 3 * p * (1 - p) / (n + 2), Using(*on_sphere, *known, named))
    variance.conclude("variance of the share", share_variance(p, n))
    return variance.value


def _given_input(proof: Proof) -> sp.Expr:
    """Moments of q for one unit input: E M_j² = p and, for j ≠ k, E M_j M_k = p²."""
    square = sp.Symbol("X2", positive=True)
    chain = proof.start(
        "E q² − (E q)², given x", p * fourth + p**2 * (square**2 - fourth) - (p * square) ** 2
    )
    chain.step("collect", p * (1 - p) * fourth, Algebra())
    chain.conclude("variance of the share of a given input", profile_variance(p, fourth))
    return chain.value


def _kernel(q: sp.Expr, angle: sp.Expr) -> sp.Expr:
    """κ at correlation 1 − 2q."""
    return (2 * sp.sqrt(q * (1 - q)) + (sp.pi - angle) * (1 - 2 * q)) / (2 * sp.pi)


def _angle(proof: Proof) -> Chain:
    chain = proof.start("acos(1 − 2s²)", sp.acos(1 - 2 * s**2))
    return chain.step("double angle", 2 * sp.asin(s), Derivative(s, sp.Integer(0)))


def _many_flips(proof: Proof, variance: sp.Expr, given: sp.Expr) -> None:
    """T = ½ − 2(E κ)², and E κ(q) = κ(p) + ½ κ''(p) Var q + O(1/n²)."""
    kappa, bend, shift = sp.symbols("kappa bend delta", real=True)
    slope = proof.start("κ'(q)", sp.Derivative(_kernel(share, sp.acos(1 - 2 * share)), share))
    slope.step("differentiate", -(sp.pi - sp.acos(1 - 2 * share)) / sp.pi, Differentiate())
    slope.lemma("slope of κ")
    second = proof.start("κ''(q)", sp.Derivative(slope.value, share))
    second.step("differentiate", 1 / (sp.pi * sp.sqrt(share * (1 - share))), Differentiate())
    at_rate = second.branch()
    at_rate.step(
        "q = p = s²", 1 / (sp.pi * s * sp.sqrt(1 - s**2)), Using(proof.let(share, s**2, "q at its mean"))
    )
    gain = proof.start("dT/dκ", sp.Derivative(half - 2 * (kappa + shift) ** 2, shift))
    gain.step("differentiate", -4 * (kappa + shift), Differentiate())
    gain.step("at κ", -4 * kappa, Using(proof.let(shift, sp.Integer(0), "no change")))

    scaled = n * variance.subs(p, s**2)
    lead = proof.start("n Var q", scaled)
    inverse = sp.Symbol("h", positive=True)
    lead.step("h = 1/n", 3 * s**2 * (1 - s**2) / (1 + 2 * inverse), Using(proof.let(n, 1 / inverse, "width")))
    lead.step("n → ∞", 3 * s**2 * (1 - s**2), Series(inverse, 1))
    spread = lead.limit(sp.Symbol("V", positive=True))

    pull = sp.Symbol("pull", real=True)
    named = [proof.call(pull, gain.fact), proof.call(bend, at_rate.fact), spread]
    analytic = _kernel(s**2, sp.acos(1 - 2 * s**2))
    chain = proof.start("n √p ΔT/T", s * pull * bend * spread.lhs / 2 / (half - 2 * kappa**2))
    chain.step(
        "insert the parts",
        -6 * kappa * s**2 * sp.sqrt(1 - s**2) / (sp.pi * (half - 2 * kappa**2)),
        Using(*named),
    )
    of_rate = proof.let(kappa, analytic, "κ at rate p = s²")
    whole = -6 * analytic * s**2 * sp.sqrt(1 - s**2) / (sp.pi * (half - 2 * analytic**2))
    chain.step("κ of the flips", whole, Using(of_rate))
    chain.branch().conclude("coefficient of 1/n in the flips' energy", finite_width_slope(s**2) * s)
    single = proof.start("ΔT/T, given x", pull * bend * given.subs(p, s**2) / 2 / (half - 2 * kappa**2))
    tilt = -2 * kappa * s * sp.sqrt(1 - s**2) * fourth / (sp.pi * (half - 2 * kappa**2))
    single.step("insert its variance", tilt, Using(*named[:2]))
    single.step("κ of the flips, given x", tilt.subs(kappa, analytic), Using(of_rate))
    single.conclude("slope of a given input", profile_slope(s**2) * fourth)
    angle = _angle(proof)
    chain.step("double angle", whole.subs(angle.origin, angle.value), Using(angle.fact))
    chain.step("p → 0", -3 / (2 * sp.pi), Series(s, 1))
    chain.conclude("coefficient of 1/n", width_coefficient(s**2) * s)


def _single_flips(proof: Proof) -> None:
    """A row with one flip costs 1 − J(1 − 2x_j²); x_j = g_j/‖g‖, and ‖g‖²/n → 1."""
    angle = _angle(proof)
    cost = proof.start("1 − J(1 − 2s²)", 1 - 2 * _kernel(s**2, angle.origin))
    cost.step("double angle", 1 - 2 * _kernel(s**2, angle.value), Using(angle.fact))
    cost.step("small amplitudes", 2 * s**2 - 8 * s**3 / (3 * sp.pi), Series(s, 4))
    cost.conclude("cost of a small flip", flip_energy_expansion(s))

    density = normal_density(w)
    cube = proof.start("E|g|³", expectation(sp.Abs(w) ** 3, w))
    cube.step("fold", 2 * sp.Integral(w**3 * density, (w, 0, sp.oo)), SplitLine(w))
    cube.step("integrate", 2 * sp.sqrt(2 / sp.pi), Antiderivatives(w, (-(w**2 + 2) * density,)))
    third, square = sp.symbols("G3 G2", positive=True)
    named = [
        proof.call(third, cube.fact),
        proof.call(square, proof.cite("bussgang_constant", "second moment")),
    ]
    low, high = (sp.Poly(cost.value, s).coeff_monomial(s**k) for k in (2, 3))
    chain = proof.start("√n (E cost/(2 E x²) − 1)", high * third / (low * square))
    chain.step("insert the moments", -8 * sp.sqrt(2 / sp.pi) / (3 * sp.pi), Using(*named))
    chain.conclude("saturation", saturation_coefficient())


if __name__ == "__main__":
    raise SystemExit(run(__file__))
