"""Expansions: the order of what they leave, as slopes on logarithmic axes; limits; who names them."""

import math

import jax
import numpy as np
import pytest

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import LloydMax, MagnitudeNoise, MagnitudeShift, Prune, SignFlip


def order(sizes, law, expansion):
    """Slope of the relative difference against the size."""
    return np.polyfit(np.log(sizes), np.log(np.abs(np.asarray(law) / np.asarray(expansion) - 1)), 1)[0]


@pytest.mark.parametrize(
    ("perturbation", "sizes", "expected"),
    [
        (SignFlip, np.logspace(-6, -3, 7), 1.5),
        (MagnitudeShift, np.logspace(-5, -2, 7), 2),
        (lambda size: MagnitudeShift(-size), np.logspace(-5, -2, 7), 2),
        # Noise has no drift: its alignment is the gap's own, which is known to leading order only.
        (MagnitudeNoise, np.logspace(-3, -1, 7), 2),
        # The energy that pruning takes is of order t³, and what is left of order t^4.5.
        (Prune, np.logspace(-2, -0.5, 7), 4.5),
    ],
    ids=["flips", "shift", "shrinking", "noise", "pruning"],
)
def test_radial_fraction_of_small_errors(perturbation, sizes, expected):
    each = [perturbation(size) for size in sizes]
    laws = [theory.radial_fraction(one) for one in each]
    expansions = [theory.radial_fraction_expansion(one) for one in each]
    assert order(sizes, laws, expansions) == pytest.approx(expected, abs=0.1)
    # Without the gap one order less is right.
    moments = [one.moments() for one in each]
    pre_relu = [m.drift**2 / m.energy for m in moments if m.drift != 0]
    if pre_relu:
        assert order(sizes, laws, pre_relu) < expected - 0.4


def test_radial_fraction_of_quantisers():
    for perturbation, error in ((LloydMax(3), 3e-4), (LloydMax(4), 2e-5)):
        law, expansion = theory.radial_fraction(perturbation), theory.radial_fraction_expansion(perturbation)
        assert 0 < abs(expansion / law - 1) < error
    assert theory.radial_fraction_expansion(SignFlip(0.0)) == 0
    slope = jax.grad(lambda p: theory.radial_fraction_expansion(SignFlip(p)))
    assert math.isfinite(float(slope(1e-12)))
    assert math.isfinite(float(jax.grad(lambda e: theory.radial_fraction_expansion(MagnitudeNoise(e)))(0.0)))


@pytest.mark.slow
def test_wide_layers():
    widths = np.array([2**12, 2**14, 2**16])
    laws = [theory.finite_width_ratio(0.3, int(n)) for n in widths]
    expansions = [theory.finite_width_expansion(0.3, int(n)) for n in widths]
    assert order(widths, laws, expansions) == pytest.approx(-2, abs=0.05)
    assert order(widths, laws, theory.transverse_ratio(0.3)) == pytest.approx(-1, abs=0.05)
    laws = [theory.finite_width_saturation(int(n)) for n in widths]
    expansions = [theory.finite_width_saturation_expansion(int(n)) for n in widths]
    assert order(widths, laws, expansions) == pytest.approx(-1, abs=0.05)
    x = np.linspace(0.5, 1.5, 20)
    copies = np.array([10, 30])
    laws = [theory.profile_width_ratio(0.3, np.tile(x, k)) for k in copies]
    expansions = [theory.profile_width_expansion(0.3, np.tile(x, k)) for k in copies]
    assert order(copies, laws, expansions) == pytest.approx(-2, abs=0.1)


def test_small_amplitudes():
    alphas = np.logspace(-4, -2, 7)
    laws, expansions = (
        law(alphas, 1 / alphas**2 / 4)
        for law in (theory.flip_amplification, theory.flip_amplification_expansion)
    )
    assert order(alphas, laws, expansions) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize(
    ("expansion", "message"),
    [
        (lambda: theory.finite_width_expansion(1e-6, 2), r"rate·‖x‖⁴/Σx_j⁴ >= 1"),
        (lambda: theory.profile_width_expansion(0.01, np.ones(64)), r"rate·‖x‖⁴/Σx_j⁴ >= 1"),
        (lambda: theory.finite_width_saturation_expansion(3), "4 <= n"),
        (lambda: theory.radial_fraction_expansion(MagnitudeNoise(100.0)), r"drift\*\*2 \+ noise <= 0.08"),
        (lambda: theory.transverse_ratio_expansion(0.3), "rate <= 0.15"),
        (lambda: theory.column_ratio_expansion(0.5, 0.3, 0.05), "rate <= 0.4"),
        (lambda: theory.flip_amplification_expansion(0.9, 64), "alpha <= 0.8"),
    ],
)
def test_an_expansion_outside_its_range_is_refused(expansion, message):
    with pytest.raises(InvalidInput, match=message):
        expansion()


def test_an_expansion_is_within_a_tenth_where_it_is_given():
    rates = np.logspace(-6, math.log10(0.15), 9)
    pairs = [(theory.transverse_ratio_expansion(rates), theory.transverse_ratio(rates))]
    for n in (4, 16, 1024):
        many = np.array([p for p in np.logspace(-4, math.log10(0.5), 9) if p * (n + 2) / 3 >= 1])
        pairs.append((theory.finite_width_expansion(many, n), theory.finite_width_ratio(many, n)))
    for expansion, law in pairs:
        np.testing.assert_allclose(expansion, law, rtol=0.1)


def test_laws_name_expansions_that_take_their_arguments():
    named = [law for law in theory.LAWS.values() if law.expansion is not None]
    assert {law.name for law in named} == {
        "transverse_ratio",
        "radial_fraction",
        "finite_width_ratio",
        "finite_width_saturation",
        "profile_width_ratio",
        "flip_amplification",
        "column_ratio",
    }
    for law in named:
        assert set(law.required) == set(theory.LAWS[law.expansion].arguments) - {"weights"}
    with pytest.raises(InvalidInput, match=r"0 < rate <= 0\.5"):
        theory.finite_width_expansion(0.6, 64)
    with pytest.raises(InvalidInput, match="2 <= n"):
        theory.finite_width_saturation_expansion(1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("radial_fraction_expansion", {"perturbation": SignFlip(1e-7)}),
        ("radial_fraction_expansion", {"perturbation": LloydMax(3)}),
        ("finite_width_expansion", {"rate": 0.01, "n": 512}),
        ("finite_width_saturation_expansion", {"n": 512}),
        ("profile_width_expansion", {"rate": 0.5, "x": np.array([1.0, -2.0, 0.5, 1.0])}),
        ("flip_amplification_expansion", {"alpha": 0.26, "n": 2048}),
        ("column_ratio_expansion", {"rate": 0.01, "share": 0.3, "fraction": 0.05}),
        ("transverse_ratio_expansion", {"rate": 0.01}),
    ],
)
def test_expansions_lie_in_their_balls(name, arguments):
    ball = theory.enclose(name, **arguments)
    assert float(theory.LAWS[name](**arguments)) == pytest.approx(float(ball), rel=1e-12)
