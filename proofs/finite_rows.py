"""Finitely many rows: what they add to the radial energy, for flips and for the magnitude shift."""

from typing import Any

import sympy as sp

from signmag_jax.theory.proof import Proof, run
from signmag_jax.theory.rules import (
    Algebra,
    Antiderivatives,
    Differentiate,
    Equal,
    Polar,
    Product,
    Split,
    Using,
    above,
    least,
)
from signmag_jax.theory.symbolic.energies import energy, kappa
from signmag_jax.theory.symbolic.gaussian import angle, expectation, first, perturbed, relu, second
from signmag_jax.theory.symbolic.perturbations import magnitude_shift
from signmag_jax.theory.symbolic.rows import flip_rows_coefficient, realignment, shift_rows_coefficient
from signmag_jax.theory.symbolic.symbols import growth, overlap, root_rate, rows

TITLE = "Finitely many rows"

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
    _second_order(proof)
    proof.suppose("the angle of the pair", least(theta), least(sp.pi, theta))
    radial = proof.start("radial integral", fifth)
    radial.step("integrate", sp.Integer(8), Antiderivatives(r, (-(r**4 + 4 * r**2 + 8) * gauss,)))
    second_value = v * (3 * _s * _c + (sp.pi - theta) * (1 + 2 * _c**2)) / 8
    mixed_value = sp.sqrt(v) * (3 * _s - _s**3 + 3 * (sp.pi - theta) * _c) / 8
    second_kernel = _kernel(proof, radial.fact, (2, 2), _primitive_22(), second_value)
    mixed = _kernel(proof, radial.fact, (3, 1), _primitive_31(), mixed_value)
    fourth = _kernel(proof, radial.fact, (4, 0), _primitive_40(), 3 * sp.pi / 8)
    _variance(proof, second_kernel, mixed, fourth)
    _small_errors(proof)


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
    bends = []
    for name, slope, by_, value in (
        ("A²/B, by A", a**2 / b, a, 2 * a / b),
        ("A²/B, by B", a**2 / b, b, -(a**2) / b**2),
        ("twice by A", 2 * a / b, a, 2 / b),
        ("by A and B", 2 * a / b, b, -2 * a / b**2),
        ("twice by B", -(a**2) / b**2, b, 2 * a**2 / b**3),
    ):
        bend = proof.start(name, sp.Derivative(slope, by_))
        bend.step("differentiate", value, Differentiate())
        bend.lemma(name)
        bends.append(bend.value)
    chain = proof.start("second-order term", m * (bends[2] * v_a + 2 * bends[3] * v_ab + bends[4] * v_b) / 2)
    chain.at("means", {a: m * mu, b: m * nu})
    chain.step("collect", (v_a - 2 * mu / nu * v_ab + mu**2 / nu**2 * v_b) / nu, Algebra())
    chain.lemma("Var(hδ − (μ/ν)h²)/ν")


def _kernel(proof: Proof, radial: Any, powers: tuple[int, int], primitive: sp.Expr, value: sp.Expr) -> Any:
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
        Split(t, cuts),
    )
    chain.step("integrate over the arc", fifth * value / (2 * sp.pi), Antiderivatives(t, (primitive,)))
    chain.step("insert the radial integral", 4 * value / sp.pi, Using(radial))
    chain.lemma(f"kernel of degrees {left} and {right}")
    return chain.fact


def _variance(proof: Proof, second_kernel: Any, mixed: Any, fourth: Any) -> None:
    """hδ − (μ/ν)h² = h(h' − 2κh) has mean 0, as μ = κ − ½ and ν = ½."""
    kernel = sp.Symbol("kappa", positive=True)
    h, image = relu(z), relu(perturbed(theta))
    chain = proof.start("2E h²(h' − 2κh)²", 2 * expectation(h**2 * (image - 2 * kernel * h) ** 2, z, u))
    expanded = 2 * (second_kernel.lhs - 4 * kernel * mixed.lhs + 4 * kernel**2 * fourth.lhs)
    chain.step("expand", expanded, Algebra())
    value = 2 * (second_kernel.rhs - 4 * kernel * mixed.rhs + 6 * kernel**2)
    chain.step("insert the kernels", value, Using(second_kernel, mixed, fourth))
    chain.lemma("variance along the signal, for any κ")
    proof.suppose("moments of a pair", least(v, c**2), above(kappa(c, v)))
    chain.at("θ and κ", {theta: angle(c, v), kernel: kappa(c, v)})
    chain.conclude("variance along the signal", realignment(c, v))


def _small_errors(proof: Proof) -> None:
    """The ratio to e, in s = √p, with the angles in analytic form."""
    proof.suppose("rates up to 1/2", above(1 / sp.sqrt(2), s))
    flip = proof.start("angle of the flips", sp.acos(1 - 2 * s**2))
    flip.step("double angle", 2 * sp.asin(s), Equal(s, sp.Integer(0)))
    c_shift, v_shift = magnitude_shift(2 * s)
    shift = proof.start("angle of the shift", angle(c_shift, v_shift))
    tangent = sp.atan(2 * s * sp.sqrt(1 - 2 / sp.pi) / c_shift)
    shift.step("tangent", tangent, Equal(s, sp.Integer(0)))
    cases = (
        ("flips", 1 - 2 * s**2, sp.Integer(1), flip, sp.Integer(2), flip_rows_coefficient(sp.Integer(1))),
        ("shift", c_shift, v_shift, shift, 2 - 4 / sp.pi, shift_rows_coefficient(sp.Integer(1))),
    )
    for name, overlap_, growth_, turned, value, expected in cases:
        law = realignment(overlap_, growth_) / energy(overlap_, growth_)
        noise = sp.sqrt(1 - 2 / sp.pi) if name == "shift" else sp.sqrt(1 - s**2)
        sines = []
        for power in (1, 3):
            sine = proof.start(f"sine^{power} of the {name}", sp.sqrt(1 - overlap_**2 / growth_) ** power)
            sine.step("collect", (2 * s * noise / sp.sqrt(growth_)) ** power, Algebra())
            sines.append(sine.fact)
        ratio = proof.start(f"added radial fraction of the {name}, times m", law)
        ratio.limit("p → 0", value, s, turned.fact, *sines)
        ratio.conclude(f"rows: {name}", expected)


if __name__ == "__main__":
    raise SystemExit(run(__file__))
