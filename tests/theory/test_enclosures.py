"""Balls hold the true value, carry the digits asked for, and the float64 laws lie within 1e-12 of them."""

import math
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip, SignQuantize, Ternarize

rates = st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x)


def digits_of(ball):
    if Decimal(ball.radius) == 0:
        return math.inf
    return -math.log10(Decimal(ball.radius) / abs(Decimal(ball.midpoint)))


def check(name, relative=1e-12, absolute=0.0, **arguments):
    value, balls = theory.LAWS[name](**arguments), theory.enclose(name, **arguments)
    for number, ball in zip(np.atleast_1d(value), balls if isinstance(balls, list) else [balls], strict=True):
        assert digits_of(ball) >= 30
        assert float(number) == pytest.approx(float(ball), rel=relative, abs=absolute)


@given(rates)
def test_laws_of_the_rate(rate):
    for name in ("transverse_ratio", "paper_transverse_ratio", "paper_transverse_ratio_as_printed"):
        check(name, rate=rate)
    check("flip_to_shift_ratio", rate=rate)
    check("finite_width_slope", rate=rate)
    for perturbation in (SignFlip(rate), MagnitudeShift(rate), MagnitudeNoise(rate), Ternarize(rate, 0.5)):
        # Where the alignment of an error passes through 0, only its absolute accuracy is left.
        check("radial_fraction", absolute=1e-15, perturbation=perturbation)
        check("cosine_squared", perturbation=perturbation)


@settings(max_examples=10)
@given(rates, st.integers(1, 64), st.sampled_from(["plain", "residual", "renormalised"]), st.booleans())
def test_depth_up_to_sixty_four(rate, depth, chain, first):
    check("chain_ratios", rate=rate, depth=depth, chain=chain, layers="first" if first else "all")


@given(st.floats(1e-6, 1.0), st.integers(2, 10**8))
def test_flip_amplification(alpha, n):
    check("flip_amplification", alpha=alpha, n=n)


@pytest.mark.parametrize(
    "perturbation", [SignQuantize(), Ternarize(), Ternarize(scale="mean_abs"), Ternarize(0.7, 1.1)]
)
def test_quantisers(perturbation):
    check("radial_fraction", perturbation=perturbation)
    check("radial_fraction", perturbation=perturbation, activation="identity")


def test_constants():
    for name in (
        "transverse_ratio_limit",
        "transverse_ratio_root_coefficient",
        "depth_floor",
        "sign_cosine_squared",
    ):
        check(name)


@pytest.mark.parametrize("digits", [10, 30, 200])
def test_ball_holds_the_independent_value_and_excludes_its_neighbours(digits):
    ball = theory.enclose("transverse_ratio", rate="1/100", digits=digits)
    with mp.workdps(digits + 30):
        p = mp.mpf(1) / 100
        size, b = 2 * mp.sqrt(p), mp.sqrt(2 / mp.pi)
        pairs = (1 - 2 * p, mp.mpf(1)), (1 + size * b, 1 + 2 * size * b + size**2)
        transverse = []
        for c, v in pairs:
            theta = mp.acos(c / mp.sqrt(v))
            kappa = mp.sqrt(v) / (2 * mp.pi) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta))
            transverse.append(v / 2 - 2 * kappa**2)
        value = transverse[0] / transverse[1]
        assert abs(value - mp.mpf(ball.midpoint)) <= mp.mpf(ball.radius)
        assert mp.mpf(ball.radius) < value * mp.mpf(10) ** (-digits)


def test_exact_arguments_in_every_spelling():
    expected = theory.enclose("transverse_ratio", rate=Fraction(1, 100))
    for spelling in ("1/100", "0.01", "1e-2", Decimal("0.01")):
        assert theory.enclose("transverse_ratio", rate=spelling) == expected
    # 0.01 as a float is another number, and the ball can tell.
    assert theory.enclose("transverse_ratio", rate=0.01) != expected
    assert theory.enclose("radial_fraction", perturbation="SignFlip(rate=1/4)") == theory.enclose(
        "radial_fraction", perturbation=SignFlip(0.25)
    )


def test_estimates_carry_their_ball():
    estimate = theory.estimate("transverse_ratio", rate=0.01)
    assert estimate.enclosure is not None
    assert float(estimate.enclosure[0]) == pytest.approx(estimate.value, rel=1e-14)
    assert theory.estimate("finite_width_depth_ratios", rate=0.01, depth=1, n=64).enclosure is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"law": "transverse_ratio", "rate": "0.6"}, r"0 < rate <= 0.5"),
        ({"law": "transverse_ratio", "rate": "a tenth"}, "rate is an exact number"),
        ({"law": "transverse_ratio", "rate": "1/0"}, "rate is an exact number"),
        ({"law": "transverse_ratio", "rate": float("nan")}, "rate is an exact number"),
        ({"law": "transverse_ratio", "rate": "0.1", "digits": 0}, "1 <= digits"),
        ({"law": "depth_ratios", "rate": "0.1", "depth": "5/2"}, "depth is an integer"),
        ({"law": "depth_ratios", "rate": "0.1", "depth": 0}, "1 <= depth"),
        ({"law": "radial_fraction", "perturbation": "Dropout(0.1)"}, "perturbation is one of"),
        ({"law": "radial_fraction", "perturbation": "SignFlip(2)"}, "0 <= rate <= 1"),
        ({"law": "radial_fraction", "perturbation": "SignFlip(0.1, 0.2)"}, "arguments of SignFlip"),
        ({"law": "chain_ratios", "rate": "0.1", "depth": 1, "chain": "dense"}, "chain in"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        theory.enclose(**arguments)


def test_an_exact_zero_is_reported_not_looped_over():
    with pytest.raises(Incomplete, match="65536 bits"):
        theory.enclose("radial_fraction", perturbation="SignFlip(0)")


def test_a_law_without_a_ball_says_why():
    with pytest.raises(InvalidInput, match="whose remainder has no bound"):
        theory.enclose("finite_width_depth_ratios", rate="1/100", depth=2, n=64)
