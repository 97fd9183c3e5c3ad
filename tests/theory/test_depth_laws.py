"""Depth: reference values, an mpmath recursion of the textbook kernel, bounds, limits and bad input."""

import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import SignFlip

PLAIN = {
    0.01: [
        3.62661697713196,
        3.51120535265887,
        3.39394351610331,
        3.27897940649607,
        3.1688884973338,
        3.06520638845763,
    ],
    0.05: [
        4.74394394404897,
        4.22735709496504,
        3.8041028981779,
        3.46500615154001,
        3.19583112362667,
        2.98273010480485,
    ],
}


def textbook_kappa(c, v):
    theta = mp.acos(c / mp.sqrt(v))
    return mp.sqrt(v) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi)


def pair(p):
    p = mp.mpf(p)
    size, b = 2 * mp.sqrt(p), mp.sqrt(2 / mp.pi)
    return (1 - 2 * p, mp.mpf(1)), (1 + size * b, 1 + 2 * size * b + size**2)


def textbook_ratios(chain, p, depth, first):
    """The recursion on cosines as theory states it, in 80 digits."""
    columns = []
    for c, v in pair(p):
        q, power, other, cross, mean, mean_other = mp.mpf(1), *[mp.mpf(1)] * 3, mp.mpf(0), mp.mpf(0)
        values = []
        for layer in range(depth):
            here = (mp.mpf(1), mp.mpf(1)) if first and layer else (c, v)
            if chain == "residual":
                q = cross / mp.sqrt(power * other)
            kappa = textbook_kappa(here[0] * q, here[1])
            if chain == "plain":
                q = 2 * kappa / mp.sqrt(here[1])
                values.append(1 - q**2)
            elif chain == "renormalised":
                q = (q + kappa) / mp.sqrt(mp.mpf(3) / 2 * (1 + here[1] / 2))
                values.append(1 - q**2)
            else:
                b, scale = 1 / mp.sqrt(2 * mp.pi), mp.sqrt(here[1])
                power, other, cross = (
                    power + mp.mpf(1) / 2 + 2 * mean * b,
                    other + here[1] / 2 + 2 * mean_other * scale * b,
                    cross + kappa + mean * scale * b + mean_other * b,
                )
                mean, mean_other = mean + b, mean_other + scale * b
                values.append(other - cross**2 / power)
        columns.append(values)
    return [float(a / b) for a, b in zip(*columns, strict=True)]


@pytest.mark.parametrize("rate", PLAIN)
def test_plain_reference(rate):
    np.testing.assert_allclose(theory.depth_ratios(rate, 6), PLAIN[rate], rtol=1e-12)


def test_residual_and_renormalised_reference():
    rounded = np.round(theory.depth_ratios(0.01, 6, residual=True), 3)
    np.testing.assert_array_equal(rounded, [1.223, 1.267, 1.337, 1.410, 1.477, 1.537])
    rounded = np.round(theory.chain_ratios(0.01, 6, "renormalised"), 4)
    np.testing.assert_array_equal(rounded, [1.3692, 1.3612, 1.3538, 1.3468, 1.3403, 1.3341])


@settings(max_examples=25)
@given(
    st.sampled_from(["plain", "residual", "renormalised"]),
    st.booleans(),
    st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x),
)
def test_every_chain_keeps_twelve_digits_at_every_rate(chain, first, rate):
    with mp.workdps(80):
        expected = textbook_ratios(chain, rate, 7, first)
    found = theory.chain_ratios(rate, 7, chain, "first" if first else "all")
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(st.floats(1e-10, 0.5))
def test_first_layer_exceeds_the_block_by_the_growth_of_the_norm(rate):
    growth = theory.matched_shift(rate).moments().v
    assert theory.depth_ratios(rate, 1)[0] == pytest.approx(theory.transverse_ratio(rate) * growth, rel=1e-13)


def test_plain_ratio_falls_to_a_floor_and_never_compounds():
    ratios = theory.depth_ratios(0.01, 4000)
    assert np.all(np.diff(ratios) <= 1e-13)
    assert ratios[-1] == pytest.approx(2.0981, abs=5e-5)
    limit = theory.transverse_ratio_limit()
    assert ratios.max() < limit**2  # any compounding with β L > 2 is excluded
    deep = [theory.depth_ratios(p, 20_000)[-1] for p in (1e-4, 1e-5)]
    assert abs(deep[1] - theory.depth_floor()) < abs(deep[0] - theory.depth_floor()) < 0.05
    assert theory.depth_floor() == pytest.approx(1.9638, abs=5e-5)


def test_residual_ratio_rises_and_stays_bounded():
    ratios = theory.depth_ratios(0.01, 5000, residual=True)
    assert np.all(np.diff(ratios) > 0)
    assert ratios[99] == pytest.approx(2.45, abs=5e-3)
    assert ratios[4999] == pytest.approx(2.68, abs=5e-3)
    assert ratios[-1] < theory.transverse_ratio_limit()


@given(st.floats(1e-8, 0.3), st.sampled_from(["plain", "residual", "renormalised"]))
def test_perturbing_only_the_first_layer_costs_less(rate, chain):
    every = theory.chain(SignFlip(rate), 5, chain)
    first = theory.chain(SignFlip(rate), 5, chain, layers="first")
    assert every.sine_squared[0] == first.sine_squared[0]
    assert np.all(every.sine_squared[1:] > first.sine_squared[1:])
    assert np.all((first.sine_squared > 0) & (every.sine_squared <= 1))


def test_shapes_derivatives_and_tracing():
    rates = np.array([[0.01, 0.02, 0.05]])
    assert theory.depth_ratios(rates, 4).shape == (4, 1, 3)
    mapped = quick.jit(jax.vmap(lambda p: theory.depth_ratios(p, 6)))(jnp.array([0.01, 0.05, 0.9]))
    np.testing.assert_allclose(mapped[0], PLAIN[0.01], rtol=1e-10 if jax.config.jax_enable_x64 else 1e-4)
    assert np.all(np.isnan(np.asarray(mapped[2])))
    step = 1e-6
    slope = (theory.depth_ratios(0.05 + step, 3) - theory.depth_ratios(0.05 - step, 3)) / (2 * step)
    derivative = quick.jit(jax.jacfwd(lambda p: theory.depth_ratios(p, 3)))(0.05)
    np.testing.assert_allclose(derivative, slope, rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.depth_ratios(0.1, 0), "depth is an integer from 1 to 1000000"),
        (lambda: theory.depth_ratios(0.6, 2), "0 < rate <= 0.5"),
        (lambda: theory.depth_ratios(0.1, 2, activation="softplus"), "activation in"),
        (lambda: theory.depth_ratios(0.1, 2, layers="last"), "layers in"),
        (lambda: theory.chain_ratios(0.1, 2, "dense"), "chain in"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()
