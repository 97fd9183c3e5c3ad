"""The SymPy laws against what is computed: every float64 law lies within 1e-12 of its expression."""

import numpy as np
import pytest
import sympy as sp
from symbols import symbolic

from signmag_jax import theory
from signmag_jax.perturb import Grouped, MagnitudeNoise, MagnitudeShift, SignFlip, SignQuantize, Ternarize

RATES = [
    sp.Rational(1, 10**12),
    sp.Rational(1, 10**6),
    sp.Rational(3, 1000),
    sp.Rational(1, 7),
    sp.Rational(1, 2),
]


def number(expr: sp.Expr) -> float:
    """40 digits are more than the cancellation in the textbook forms can eat at these rates."""
    return float(sp.N(expr, 60, maxn=400))


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize(
    "name",
    [
        "transverse_ratio",
        "paper_transverse_ratio",
        "noise_to_flip_ratio",
        "flip_to_shift_ratio",
        "residual_limit",
        "finite_width_slope",
        "plain_1",
        "residual_1",
    ],
)
def test_laws_of_the_rate(name, p):
    flip = symbolic.sign_flip(p)
    shift = symbolic.magnitude_shift(symbolic.matched_size(p))
    steps = [symbolic.plain_step(sp.Integer(1), *pair) for pair in (flip, shift)]
    overlaps = [
        symbolic.residual_overlap(sp.Integer(1), symbolic.cosine_map(c / sp.sqrt(v)), v)
        for c, v in (flip, shift)
    ]
    across = [
        symbolic.residual_transverse(
            symbolic.residual_energy(sp.Integer(1), sp.Integer(1)),
            symbolic.residual_energy(sp.Integer(1), v),
            cross,
        )
        for cross, (_, v) in zip(overlaps, (flip, shift), strict=True)
    ]
    expression, computed = {
        "transverse_ratio": (symbolic.transverse_ratio(p), theory.transverse_ratio),
        "paper_transverse_ratio": (symbolic.paper_transverse_ratio(p), theory.paper_transverse_ratio),
        "noise_to_flip_ratio": (symbolic.noise_to_flip_ratio(p), theory.noise_to_flip_ratio),
        "flip_to_shift_ratio": (symbolic.flip_to_shift_ratio(p), theory.flip_to_shift_ratio),
        "residual_limit": (symbolic.residual_limit(flip[0], *shift), theory.residual_limit),
        "finite_width_slope": (symbolic.finite_width_slope(p), theory.finite_width_slope),
        "plain_1": (symbolic.plain_ratio(*steps), lambda rate: theory.depth_ratios(rate, 1)[0]),
        "residual_1": (across[0] / across[1], lambda rate: theory.depth_ratios(rate, 1, residual=True)[0]),
    }[name]
    np.testing.assert_allclose(computed(float(p)), number(expression), rtol=1e-12)


@pytest.mark.parametrize(
    ("perturbation", "pair"),
    [
        (SignFlip(0.25), symbolic.sign_flip(sp.Rational(1, 4))),
        (MagnitudeShift(0.5), symbolic.magnitude_shift(sp.Rational(1, 2))),
        (MagnitudeNoise(0.5), symbolic.magnitude_noise(sp.Rational(1, 2))),
        (SignQuantize(), symbolic.sign_quantize()),
        (Grouped(SignQuantize(), 8), symbolic.grouped_sign_quantize(sp.Integer(8))),
        (Ternarize(threshold=0.75, scale=1.25), symbolic.ternarize(sp.Rational(3, 4), sp.Rational(5, 4))),
    ],
)
def test_blocks(perturbation, pair):
    block = theory.block(perturbation)
    for name in ("energy", "radial", "transverse", "radial_fraction"):
        np.testing.assert_allclose(getattr(block, name), number(getattr(symbolic, name)(*pair)), rtol=1e-12)
    np.testing.assert_allclose(block.sine_squared, number(symbolic.normalised_change(*pair)), rtol=1e-12)
    moments = perturbation.moments()
    np.testing.assert_allclose([moments.c, moments.v], [number(m) for m in pair], rtol=1e-14)


@pytest.mark.parametrize("n", [2, 64, 2048])
def test_amplification(n):
    alpha = sp.Rational(13, 50)
    expected = number(symbolic.flip_amplification(alpha, sp.Integer(n)))
    np.testing.assert_allclose(theory.flip_amplification(float(alpha), n), expected, rtol=1e-12)


def test_the_expansion_has_the_next_order_as_its_error():
    """|A − expansion| falls as p^{3/2}; with the published coefficient of √p it falls as p^{1/2} only."""
    rates = [sp.Rational(1, 10**k) for k in range(4, 9)]
    exact = [symbolic.transverse_ratio(p) for p in rates]
    errors = [
        abs(number(a - symbolic.transverse_ratio_expansion(p))) for a, p in zip(exact, rates, strict=True)
    ]
    published = [
        abs(number(a - symbolic.paper_transverse_ratio(p))) for a, p in zip(exact, rates, strict=True)
    ]
    logs = np.log([float(p) for p in rates])
    assert np.polyfit(logs, np.log(errors), 1)[0] == pytest.approx(1.5, abs=0.02)
    assert np.polyfit(logs, np.log(published), 1)[0] == pytest.approx(0.5, abs=0.02)


def test_the_plain_bound_holds_and_the_depth_ratio_stays_below_it():
    for p in (sp.Rational(1, 1000), sp.Rational(1, 100), sp.Rational(2, 5)):
        c, v = symbolic.magnitude_shift(symbolic.matched_size(p))
        bound = number(symbolic.plain_bound(symbolic.sign_flip(p).c, c, v))
        ratios = theory.depth_ratios(float(p), 200)
        assert ratios.max() < bound
        residual = theory.depth_ratios(float(p), 200, residual=True)
        assert residual.max() < number(symbolic.residual_bound(c, v))
        assert residual.max() < number(symbolic.residual_limit(symbolic.sign_flip(p).c, c, v)) * 1.001
