"""Finitely many rows: what they add to the radial energy, for flips and for the magnitude shift."""

# SymPy's own annotations are narrower than what its functions take and return.
# pyright: reportArgumentType=false

import sympy as sp

from signmag_jax.theory.proof import Chain, Proof, run
from signmag_jax.theory.rules import (
    Antiderivatives,
    Derivative,
    Differentiate,
    Fact,
    Linearity,
    Polar,
    Product,
    Series,
    SplitArc,
    Using,
)
from signmag_jax.theory.symbolic import (
    energy,
    flip_rows_coefficient,
    kappa,
    magnitude_shift,
    realignment,
    shift_rows_coefficient,
)
from signmag_jax.theory.symbolic.gaussian import angle, expectation, first, perturbed, relu, second
from signmag_jax.theory.symbolic.symbols import growth, overlap, root_rate, rows

TITLE = "Finitely many rows"
STATEMENT = (
    "E[(Σ hδ)²/Σ h²] over m rows is m μ²/ν + Var(hδ − (μ/ν)h²)/ν + O(1/m), μ = E hδ, ν = E h² = ½. As p → 0 "
    "the second term is 2e for flips and 2(1 − 2/π)e for the shift of equal norm, e = E δ²."
)

c, v, s, m = overlap, growth, root_rate, rows
z, u = first, second
theta, t = sp.symbols("theta phi", real=True)
r = sp.Symbol("r", positive=True)
gauss = sp.exp(-(r**2) / 2)
start = -sp.pi / 2
whole = (t, start, start + 2 * sp.pi)
turn = (r, 0, sp.oo), whole
fifth = sp.Integral(r**5 * gauss, (r, 0, sp.oo))


def prove(proof: Proof) -> None:
    proof.domain |= {theta: (0, sp.pi), v: (1, 2), c: (sp.Rational(1, 2), sp.Rational(9, 10))}
    _second_order(proof)
    radial = proof.start("radial integral", fifth)
    radial.step("integrate", sp.Integer(8), Antiderivatives(r, (-(r**4 + 4 * r**2 + 8) * gauss,)))
    second_kernel = _kernel(
        proof, radial.fact, (2, 2), _primitive_22(), v * (3 * _s * _c + (sp.pi - theta) * (1 + 2 * _c**2)) / 8
    )
    mixed = _kernel(
        proof,
        radial.fact,
        (3, 1),
        _primitive_31(),
        sp.sqrt(v) * (3 * _s - _s**3 + 3 * (sp.pi - theta) * _c) / 8,
    )
    fourth = _kernel(proof, radial.fact, (4, 0), _primitive_40(), 3 * sp.pi / 8)
    law = _variance(proof, second_kernel, mixed, fourth)
    _small_errors(proof, law)


_s, _c = sp.sin(theta), sp.cos(theta)


def _primitive_22() -> sp.Expr:
    double = sp.sin(2 * t) + sp.sin(2 * t - 2 * theta) + t * sp.cos(2 * theta)
    return (t + double / 2 + sp.sin(4 * t - 2 * theta) / 8) / 4


def _primitive_31() -> sp.Expr:
    single = sp.sin(2 * t - theta) / 2 + t * sp.cos(theta)
    return 3 * single / 8 + (sp.sin(4 * t - theta) / 4 + sp.sin(2 * t + theta) / 2) / 8


def _primitive_40() -> sp.Expr:
    return 3 * t / 8 + sp.sin(2 * t) / 4 + sp.sin(4 * t) / 32


def _second_order(proof: Proof) -> None:
    """A²/B at its mean, A = Σ hδ and B = Σ h²: half its second derivatives times the covariances."""
    a, b, mu, nu = sp.symbols("A B mu nu", positive=True)
    v_a, v_ab, v_b = sp.symbols("V_A V_AB V_B", real=True)
    ratio = a**2 / b
    names = sp.symbols("f_AA f_AB f_BB", real=True)
    bends = []
    for name, (left, right), value in zip(
        names, ((a, a), (a, b), (b, b)), (2 / b, -2 * a / b**2, 2 * a**2 / b**3), strict=True
    ):
        bend = proof.start(f"second derivative {name}", sp.Derivative(ratio, left, right))
        bend.step("differentiate", value, Differentiate())
        bends.append(proof.call(name, bend.fact))
    chain = proof.start("second-order term", m * (names[0] * v_a + 2 * names[1] * v_ab + names[2] * v_b) / 2)
    means = proof.let(a, m * mu, "E A"), proof.let(b, m * nu, "E B")
    chain.step("insert", (v_a - 2 * mu / nu * v_ab + mu**2 / nu**2 * v_b) / nu, Using(*bends, *means))
    chain.lemma("Var(hδ − (μ/ν)h²)/ν")


def _kernel(proof: Proof, radial: Fact, powers: tuple[int, int], primitive: sp.Expr, value: sp.Expr) -> Fact:
    """E h^a h'^b by polar coordinates; `value` is the integral over the arc."""
    left, right = powers
    size = sp.sqrt(v) ** right
    image = perturbed(theta)
    bars = relu(sp.cos(t)) ** left * relu(sp.cos(t - theta)) ** right
    smooth = sp.cos(t) ** left * sp.cos(t - theta) ** right
    chain = proof.start(f"E h^{left} h'^{right}", expectation(relu(z) ** left * relu(image) ** right, z, u))
    chain.step(
        "polar coordinates",
        sp.Integral(size * r**5 * gauss * bars / (2 * sp.pi), *turn),
        Polar(z, u, r, t, start),
    )
    chain.step("separate", size * fifth * sp.Integral(bars, whole) / (2 * sp.pi), Product())
    arc = (theta - sp.pi / 2, sp.pi / 2) if right else (start, sp.pi / 2)
    cuts = (start, *arc, theta + sp.pi / 2, 3 * sp.pi / 2) if right else (*arc, 3 * sp.pi / 2)
    chain.step(
        "both are positive on one arc only",
        size * fifth * sp.Integral(smooth, (t, *arc)) / (2 * sp.pi),
        SplitArc(t, cuts, theta, (sp.Integer(0), sp.pi)),
    )
    chain.step("integrate over the arc", fifth * value / (2 * sp.pi), Antiderivatives(t, (primitive,)))
    chain.step("insert the radial integral", 4 * value / sp.pi, Using(radial))
    chain.lemma(f"kernel of degrees {left} and {right}")
    return chain.fact


def _variance(proof: Proof, second_kernel: Fact, mixed: Fact, fourth: Fact) -> Chain:
    """hδ − (μ/ν)h² = h(h' − 2κh) has mean 0, as μ = κ − ½ and ν = ½."""
    kernel = sp.Symbol("kappa", positive=True)
    h, image = relu(z), relu(perturbed(theta))
    chain = proof.start("2E h²(h' − 2κh)²", 2 * expectation(h**2 * (image - 2 * kernel * h) ** 2, z, u))
    chain.step(
        "expand",
        2 * (second_kernel.lhs - 4 * kernel * mixed.lhs + 4 * kernel**2 * fourth.lhs),
        Linearity(),
    )
    chain.step(
        "insert the kernels",
        2 * (second_kernel.rhs - 4 * kernel * mixed.rhs + 6 * kernel**2),
        Using(second_kernel, mixed, fourth),
    )
    turned = proof.let(theta, angle(c, v), "θ"), proof.let(kernel, kappa(c, v), "κ")
    inserted = chain.value.subs(theta, angle(c, v)).subs(kernel, kappa(c, v))
    chain.step("θ and κ", inserted, Using(*turned))
    chain.conclude("variance along the signal", realignment(c, v))
    return chain


def _small_errors(proof: Proof, law: Chain) -> None:
    """The ratio to e, in s = √p, with the angles in analytic form."""
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Derivative(s, sp.Integer(0)))
    c_shift, v_shift = magnitude_shift(2 * s)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    tangent = sp.atan(2 * s * sp.sqrt(1 - 2 / sp.pi) / c_shift)
    shift.step("tangent", tangent, Derivative(s, sp.Integer(0)))
    cases = (
        ("flips", 1 - 2 * s**2, sp.Integer(1), flip, sp.Integer(2), flip_rows_coefficient(sp.Integer(1))),
        ("shift", c_shift, v_shift, shift, 2 - 4 / sp.pi, shift_rows_coefficient(sp.Integer(1))),
    )
    for name, overlap_, growth_, turned, value, expected in cases:
        ratio = proof.start(f"added radial fraction of the {name}, times m", law.value / energy(c, v))
        moments = proof.let(c, overlap_, f"c of the {name}"), proof.let(v, growth_, f"v of the {name}")
        inserted = ratio.value.subs({c: overlap_, v: growth_}, simultaneous=True)
        ratio.step("moments", inserted, Using(*moments))
        ratio.step("angle", inserted.subs(turned.origin, turned.value), Using(turned.fact))
        ratio.step("p → 0", value, Series(s, 1))
        ratio.conclude(f"rows: {name}", expected)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
